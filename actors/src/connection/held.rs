//! Requests of one connection that the solo policy `hold` keeps until Tx hears again.
//!
//! ```text
//!   BEGIN taken out ────────────────────────▶ its mark stays in its place: in its turn, what is
//!                                             behind it learns that there is no transaction
//!   COMMIT, ROLLBACK taken out, and something
//!   of its stream is in front of it ────────▶ its mark stays: it ends in its turn what it ended
//!                     ... and that is the mark of its BEGIN ─▶ both go
//! ```

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
    /// The client is told already what becomes of it, and a mark of it is held in its place: of
    /// what that is, what is behind it in its stream learns in its turn.
    pub(crate) is_marked: bool,
}

impl HeldRequest {
    pub(crate) fn is_begin(&self) -> bool {
        self.request_type == RequestType::Begin
    }

    /// COMMIT or ROLLBACK.
    pub(crate) fn is_end(&self) -> bool {
        matches!(
            self.request_type,
            RequestType::Commit | RequestType::Rollback
        )
    }

    fn mark(&self) -> Self {
        Self {
            content: Bytes::new(),
            is_marked: true,
            ..*self
        }
    }
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

    /// Takes out those that are meant, in their order. Marks stay of what matters to those behind.
    pub(crate) fn take_where(
        &mut self,
        is_meant: impl Fn(&HeldRequest) -> bool,
    ) -> Vec<HeldRequest> {
        let is_meant = |own: &HeldRequest| !own.is_marked && is_meant(own);
        if !self.frames.iter().any(is_meant) {
            return Vec::new();
        }
        let mut taken = Vec::new();
        for mut own in std::mem::take(&mut self.frames) {
            if !is_meant(&own) {
                self.frames.push_back(own);
                continue;
            }
            if self.leaves_mark(&own) {
                self.frames.push_back(own.mark());
                own.is_marked = true;
            }
            taken.push(own);
        }
        self.bytes = self.frames.iter().map(|own| own.content.len()).sum();
        taken
    }

    /// Whether a mark of one that is taken out from behind all of these stays. The end of a
    /// transaction of which nothing but the mark of its BEGIN is left takes that with it.
    fn leaves_mark(&mut self, taken: &HeldRequest) -> bool {
        if taken.stream == 0 || !taken.is_end() {
            return taken.stream != 0 && taken.is_begin();
        }
        let is_its = |own: &HeldRequest| own.stream == taken.stream;
        let last = self.frames.iter().rposition(is_its);
        if let Some(at) = last
            && self.frames[at].is_marked
            && self.frames[at].is_begin()
        {
            self.frames.remove(at);
        }
        self.frames.iter().any(is_its)
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
            is_marked: false,
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

    #[test]
    fn marks_stay_of_a_begin_and_of_an_end_that_has_something_in_front_of_it() {
        use RequestType::{Begin, Commit, Replace, Rollback};
        // What is held in a stream; which of that is taken; and what stays, marks in brackets.
        let stays = |held: &[RequestType], taken: &[usize]| {
            let mut own = HeldRequests::default();
            for (at, request_type) in held.iter().enumerate() {
                let one = HeldRequest {
                    sync: at as u64,
                    stream: 7,
                    request_type: *request_type,
                    ..request(b"1")
                };
                assert!(own.push(one, limits(9, 99)));
            }
            let gone = own.take_where(|own| taken.contains(&(own.sync as usize)));
            assert_eq!(gone.len(), taken.len());
            assert!(own.take_where(|own| own.is_marked).is_empty());
            let whole = own.iter().filter(|own| !own.is_marked);
            assert_eq!(whole.count(), own.bytes());
            let all = own.iter().map(|own| match own.is_marked {
                true => format!("[{}]", own.sync),
                false => own.sync.to_string(),
            });
            all.collect::<Vec<_>>().join(" ")
        };
        let whole = [Begin, Replace, Commit];
        assert_eq!(stays(&whole, &[0]), "[0] 1 2");
        assert_eq!(stays(&whole, &[0, 1]), "[0] 2");
        assert_eq!(stays(&whole, &[0, 2]), "[0] 1 [2]");
        assert_eq!(stays(&whole, &[0, 1, 2]), "");
        assert_eq!(stays(&[Commit, Begin, Rollback], &[1, 2]), "0 [2]");
        assert_eq!(stays(&[Commit, Replace], &[0, 1]), "");
    }
}
