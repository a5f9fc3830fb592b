//! Requests of one connection that the solo policy `hold` keeps until Tx hears again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::HoldLimits;

/// Frames in the order of their arrival, and their sum.
///
/// Invariant: `bytes` is the sum of the frames' sizes.
#[derive(Debug, Default)]
pub(crate) struct HeldRequests {
    frames: VecDeque<HeldRequest>,
    bytes: usize,
}

/// One frame: header and body.
#[derive(Debug)]
pub(crate) struct HeldRequest {
    /// When it arrived.
    pub(crate) since: Instant,
    pub(crate) content: Bytes,
}

impl HeldRequests {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Bytes of all frames.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &HeldRequest> {
        self.frames.iter()
    }

    /// Keeps one more; false if that is beyond the limits.
    pub(crate) fn push(&mut self, since: Instant, content: &[u8], limits: HoldLimits) -> bool {
        let fits = self.frames.len() < limits.requests_max
            && self.bytes + content.len() <= limits.bytes_max;
        if fits {
            self.bytes += content.len();
            let content = Bytes::copy_from_slice(content);
            self.frames.push_back(HeldRequest { since, content });
        }
        fits
    }

    /// Takes the first.
    pub(crate) fn pop(&mut self) -> Option<HeldRequest> {
        let first = self.frames.pop_front()?;
        self.bytes -= first.content.len();
        Some(first)
    }

    /// Takes the first if it has waited for so long.
    pub(crate) fn pop_older_than(&mut self, limit: Duration, now: Instant) -> Option<HeldRequest> {
        let first = self.frames.front()?;
        match now.duration_since(first.since) >= limit {
            true => self.pop(),
            false => None,
        }
    }

    /// Puts back what was taken last.
    pub(crate) fn put_back(&mut self, first: HeldRequest) {
        self.bytes += first.content.len();
        self.frames.push_front(first);
    }

    /// Drops the frames that are meant.
    pub(crate) fn remove_where(&mut self, mut is_meant: impl FnMut(&[u8]) -> bool) {
        self.frames.retain(|own| !is_meant(&own.content));
        self.bytes = self.frames.iter().map(|own| own.content.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(requests_max: usize, bytes_max: usize) -> HoldLimits {
        HoldLimits {
            requests_max,
            bytes_max,
            time_max: Duration::from_secs(1),
        }
    }

    #[test]
    fn what_is_held_is_bounded_in_number_and_bytes() {
        let now = Instant::now();
        let mut held = HeldRequests::default();
        assert!(held.push(now, b"12345", limits(2, 10)));
        assert!(held.push(now, b"67890", limits(2, 10)));
        assert!(!held.push(now, b"", limits(2, 10)), "one too many");
        assert!(!held.push(now, b"1", limits(3, 10)), "a byte too many");
        assert_eq!((held.len(), held.bytes()), (2, 10));
    }

    #[test]
    fn order_and_sum_hold_whatever_is_taken_put_back_and_removed() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut held = HeldRequests::default();
        for (at, content) in [(0, &b"a"[..]), (1, b"bb"), (2, b"ccc")] {
            assert!(held.push(start + second * at, content, limits(9, 99)));
        }
        assert!(held.pop_older_than(second, start).is_none());
        let first = held.pop_older_than(second, start + second).unwrap();
        assert_eq!((&first.content[..], held.bytes()), (&b"a"[..], 5));
        held.put_back(first);
        assert_eq!(held.bytes(), 6);
        held.remove_where(|content| content == b"bb");
        let contents: Vec<_> = held.iter().map(|own| own.content.clone()).collect();
        assert_eq!(
            (contents, held.bytes()),
            (
                vec![Bytes::from_static(b"a"), Bytes::from_static(b"ccc")],
                4
            )
        );
        assert_eq!(held.pop().map(|own| own.since), Some(start));
        assert_eq!(held.pop().map(|own| own.since), Some(start + second * 2));
        assert!(held.pop().is_none() && held.is_empty());
    }
}
