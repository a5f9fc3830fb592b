//! Requests of one connection that the solo policy `hold` keeps until Tx hears again.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use vestibule_wire::keys::RequestType;

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
    pub(crate) sync: u64,
    pub(crate) stream: u64,
    pub(crate) request_type: RequestType,
    /// The epoch in which it arrived: what a demotion forbids from then on, it may not do later.
    pub(crate) epoch: u64,
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
    pub(crate) fn push(&mut self, request: HeldRequest, limits: HoldLimits) -> bool {
        let size = request.content.len();
        let fits = self.frames.len() < limits.requests_max && self.bytes + size <= limits.bytes_max;
        if fits {
            self.bytes += size;
            self.frames.push_back(request);
        }
        fits
    }

    /// Takes the first.
    pub(crate) fn pop(&mut self) -> Option<HeldRequest> {
        let first = self.frames.pop_front()?;
        self.bytes -= first.content.len();
        Some(first)
    }

    /// Puts back what was taken last.
    pub(crate) fn put_back(&mut self, first: HeldRequest) {
        self.bytes += first.content.len();
        self.frames.push_front(first);
    }

    /// Takes out those that are meant, in their order.
    pub(crate) fn take_where(
        &mut self,
        is_meant: impl Fn(&HeldRequest) -> bool,
    ) -> Vec<HeldRequest> {
        if !self.frames.iter().any(&is_meant) {
            return Vec::new();
        }
        let frames = std::mem::take(&mut self.frames);
        let (taken, kept): (Vec<_>, Vec<_>) = frames.into_iter().partition(is_meant);
        self.frames = kept.into();
        self.bytes = self.frames.iter().map(|own| own.content.len()).sum();
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(requests_max: usize, bytes_max: usize) -> HoldLimits {
        HoldLimits {
            requests_max,
            bytes_max,
            time_max: Duration::from_secs(1),
        }
    }

    fn request(content: &'static [u8]) -> HeldRequest {
        HeldRequest {
            since: Instant::now(),
            sync: content.len() as u64,
            stream: 0,
            request_type: RequestType::Replace,
            epoch: 1,
            content: Bytes::from_static(content),
        }
    }

    #[test]
    fn what_is_held_is_bounded_in_number_and_bytes() {
        let mut held = HeldRequests::default();
        assert!(held.push(request(b"12345"), limits(2, 10)));
        assert!(held.push(request(b"67890"), limits(2, 10)));
        assert!(!held.push(request(b""), limits(2, 10)), "one too many");
        assert!(!held.push(request(b"1"), limits(3, 10)), "a byte too many");
        assert_eq!((held.len(), held.bytes()), (2, 10));
    }

    #[test]
    fn order_and_sum_hold_whatever_is_taken_and_put_back() {
        let mut held = HeldRequests::default();
        for content in [&b"a"[..], b"bb", b"ccc", b"dddd"] {
            assert!(held.push(request(content), limits(9, 99)));
        }
        let first = held.pop().unwrap();
        assert_eq!((&first.content[..], held.bytes()), (&b"a"[..], 9));
        held.put_back(first);
        assert_eq!(held.bytes(), 10);
        let syncs = |taken: Vec<HeldRequest>| taken.iter().map(|own| own.sync).collect::<Vec<_>>();
        assert_eq!(syncs(held.take_where(|own| own.sync % 2 == 0)), [2, 4]);
        assert_eq!(syncs(held.take_where(|own| own.sync == 7)), []);
        assert_eq!((held.len(), held.bytes()), (2, 4));
        assert_eq!(held.pop().map(|own| own.sync), Some(1));
        assert_eq!(held.pop().map(|own| own.sync), Some(3));
        assert!(held.pop().is_none() && held.is_empty());
    }
}
