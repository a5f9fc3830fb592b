//! Requests of one connection that the solo policy `hold` keeps until Tx hears again.
//!
//! ```text
//!   BEGIN taken out, or no room for it ─────▶ its mark stays in its place: in its turn, what is
//!                                             behind it learns that there is no transaction
//!   the same of a call or SQL in a stream ──▶ its mark stays, and what is behind it learns of that
//!   of a gateway, that no BEGIN is held of     where it is known what is open there
//!   statement taken out that ends what its
//!   BEGIN, held in front of it, begins ─────▶ its mark stays: it aborts that in its turn
//!   COMMIT, ROLLBACK taken out, and something
//!   of its stream is in front of it ────────▶ its mark stays: it ends in its turn what it ended
//!                     ... and that is the mark of its BEGIN ─▶ both go
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use vestibule_wire::keys::RequestType;

use crate::config::HoldLimits;
use crate::upstream::ReadFrom;

/// Frames in the order of their arrival, and their sum.
///
/// Invariant: `bytes` is the sum of the frames' sizes, and `marks` the number of those that are
/// marks.
#[derive(Debug, Default)]
pub(crate) struct HeldRequests {
    frames: VecDeque<HeldRequest>,
    marks: usize,
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
    /// Where SELECTs of its connection were answered then, as that had said.
    pub(crate) read_from: ReadFrom,
    pub(crate) content: Bytes,
    /// The client is told already what becomes of it, and a mark of it is held in its place: of
    /// what that is, what is behind it in its stream learns in its turn.
    pub(crate) is_marked: bool,
    /// A call or SQL in a stream of a gateway: it may begin a transaction, if none is open there.
    pub(crate) may_begin: bool,
}

/// The transaction that a held request is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeldPart {
    /// Whatever is open in its stream.
    Open,
    /// The one whose BEGIN is held in front of it, or has left its mark there.
    Begun,
    /// None: what ends that is held in front of it.
    Ended,
}

/// The parts of held requests that are looked at from the first on.
#[derive(Debug, Default)]
struct HeldParts(BTreeMap<u64, HeldPart>);

impl HeldParts {
    /// Of what the next one is a part.
    fn next(&mut self, own: &HeldRequest) -> HeldPart {
        let part = self.0.get(&own.stream).copied();
        if let Some(behind) = own.part_behind().filter(|_| own.stream != 0) {
            self.0.insert(own.stream, behind);
        }
        part.unwrap_or(HeldPart::Open)
    }
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

    /// Of what those behind it are a part, if it makes a difference.
    fn part_behind(&self) -> Option<HeldPart> {
        match self.is_begin() {
            true => Some(HeldPart::Begun),
            false => self.is_end().then_some(HeldPart::Ended),
        }
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

    /// How many requests are held: marks are none, for their clients have been answered.
    pub(crate) fn len(&self) -> usize {
        self.frames.len() - self.marks
    }

    /// Bytes of all frames.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Each of them, and of what it is a part.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&HeldRequest, HeldPart)> {
        let mut parts = HeldParts::default();
        (self.frames.iter()).map(move |own| (own, parts.next(own)))
    }

    /// Keeps one more; gives it back if that is beyond the limits. There are as many marks at most
    /// as there may be requests, beside these.
    pub(crate) fn push(
        &mut self,
        request: HeldRequest,
        limits: HoldLimits,
    ) -> Result<(), HeldRequest> {
        let size = request.content.len();
        let is_full = self.len().max(self.marks) >= limits.requests_max;
        if is_full || self.bytes + size > limits.bytes_max {
            return Err(request);
        }
        self.bytes += size;
        self.frames.push_back(request);
        Ok(())
    }

    /// A BEGIN that there is no room for leaves a mark, if anything of its stream is in front of
    /// it; false if not. There are never more of these than there may be requests.
    pub(crate) fn mark_refused(&mut self, begin: &HeldRequest) -> bool {
        let Some(last) = self.last_of(begin.stream) else {
            return false;
        };
        if !(last.is_marked && last.is_begin()) {
            self.frames.push_back(begin.mark());
            self.marks += 1;
        }
        true
    }

    fn last_of(&self, stream: u64) -> Option<&HeldRequest> {
        self.frames.iter().rev().find(|own| own.stream == stream)
    }

    /// Takes the first.
    pub(crate) fn pop(&mut self) -> Option<HeldRequest> {
        let first = self.frames.pop_front()?;
        self.bytes -= first.content.len();
        self.marks -= usize::from(first.is_marked);
        Some(first)
    }

    /// Puts back what was taken last.
    pub(crate) fn put_back(&mut self, first: HeldRequest) {
        self.bytes += first.content.len();
        self.marks += usize::from(first.is_marked);
        self.frames.push_front(first);
    }

    /// Takes out those that are meant, in their order, with what each is a part of. Marks stay of
    /// what matters to those behind; `ends_transaction`: so does what keeps a statement from
    /// happening.
    pub(crate) fn take_where(
        &mut self,
        ends_transaction: bool,
        is_meant: impl Fn(&HeldRequest, HeldPart) -> bool,
    ) -> Vec<(HeldRequest, HeldPart)> {
        let is_meant = |own: &HeldRequest, part| !own.is_marked && is_meant(own, part);
        if !self.iter().any(|(own, part)| is_meant(own, part)) {
            return Vec::new();
        }
        let (mut taken, mut parts) = (Vec::new(), HeldParts::default());
        for mut own in std::mem::take(&mut self.frames) {
            let part = parts.next(&own);
            if !is_meant(&own, part) {
                self.frames.push_back(own);
                continue;
            }
            own.is_marked = match own.part_behind() {
                _ if own.stream == 0 => false,
                Some(HeldPart::Ended) => self.leaves_mark_of_end(own.stream),
                Some(_) => true,
                None if part != HeldPart::Begun => {
                    own.may_begin && !self.is_marked_call(own.stream)
                }
                None => ends_transaction && self.is_alive(own.stream),
            };
            if own.is_marked {
                let may_begin = own.may_begin && part != HeldPart::Begun;
                self.frames.push_back(HeldRequest {
                    may_begin,
                    ..own.mark()
                });
            }
            taken.push((own, part));
        }
        self.bytes = self.frames.iter().map(|own| own.content.len()).sum();
        self.marks = self.frames.iter().filter(|own| own.is_marked).count();
        taken
    }

    /// Whether no mark aborts already what is begun in this stream.
    fn is_alive(&self, stream: u64) -> bool {
        self.last_of(stream).is_some_and(|own| !own.is_marked)
    }

    /// Whether what is behind all of these in this stream learns already of a call that was taken
    /// out.
    fn is_marked_call(&self, stream: u64) -> bool {
        let last = self.last_of(stream);
        last.is_some_and(|own| own.is_marked && own.may_begin)
    }

    /// Whether a mark of a COMMIT or ROLLBACK that is taken out from behind all of these stays. It
    /// takes with it what is left of its transaction, if that is nothing but the mark of its BEGIN,
    /// or of what may have been one.
    fn leaves_mark_of_end(&mut self, stream: u64) -> bool {
        let is_its = |own: &HeldRequest| own.stream == stream;
        let last = self.frames.iter().rposition(is_its);
        if let Some(at) = last
            && self.frames[at].is_marked
            && (self.frames[at].is_begin() || self.frames[at].may_begin)
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
            read_from: ReadFrom::Replica,
            content: Bytes::from_static(content),
            is_marked: false,
            may_begin: false,
        }
    }

    #[test]
    fn what_is_held_is_bounded_in_number_and_bytes() {
        let mut held = HeldRequests::default();
        assert!(held.push(request(b"12345"), limits(2, 10)).is_ok());
        assert!(held.push(request(b"67890"), limits(2, 10)).is_ok());
        let one_too_many = held.push(request(b""), limits(2, 10));
        assert!(one_too_many.is_err());
        let byte_too_many = held.push(request(b"1"), limits(3, 10));
        assert!(byte_too_many.is_err());
        assert_eq!((held.len(), held.bytes()), (2, 10));
    }

    #[test]
    fn order_and_sum_hold_whatever_is_taken_and_put_back() {
        let mut held = HeldRequests::default();
        for content in [&b"a"[..], b"bb", b"ccc", b"dddd"] {
            assert!(held.push(request(content), limits(9, 99)).is_ok());
        }
        let first = held.pop().unwrap();
        assert_eq!((&first.content[..], held.bytes()), (&b"a"[..], 9));
        held.put_back(first);
        assert_eq!(held.bytes(), 10);
        let mut take = |is_meant: fn(u64) -> bool| {
            let taken = held.take_where(true, |own, _| is_meant(own.sync));
            taken.iter().map(|(own, _)| own.sync).collect::<Vec<_>>()
        };
        assert_eq!(take(|sync| sync % 2 == 0), [2, 4]);
        assert_eq!(take(|sync| sync == 7), []);
        assert_eq!((held.len(), held.bytes()), (2, 4));
        assert_eq!(held.pop().map(|own| own.sync), Some(1));
        assert_eq!(held.pop().map(|own| own.sync), Some(3));
        assert!(held.pop().is_none() && held.is_empty());
    }

    /// What is held in a stream, by position.
    fn held(requests: &[RequestType]) -> HeldRequests {
        let mut own = HeldRequests::default();
        for (at, request_type) in requests.iter().enumerate() {
            let one = HeldRequest {
                sync: at as u64,
                stream: 7,
                request_type: *request_type,
                ..request(b"1")
            };
            assert!(own.push(one, limits(9, 99)).is_ok());
        }
        own
    }

    /// What is held, marks in brackets.
    fn shown(own: &HeldRequests) -> String {
        let all = own.iter().map(|(own, _)| match own.is_marked {
            true => format!("[{}]", own.sync),
            false => own.sync.to_string(),
        });
        all.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_mark_stays_of_what_may_begin_a_transaction_unless_it_stands_in_one() {
        use RequestType::{Begin, Call, Commit, Replace};
        let stays = |requests: &[RequestType], taken: &[u64], ends| {
            let mut own = held(requests);
            for one in &mut own.frames {
                one.may_begin = one.request_type == Call;
            }
            own.take_where(ends, |own, _| taken.contains(&own.sync));
            shown(&own)
        };
        for ends in [true, false] {
            assert_eq!(stays(&[Call, Replace], &[0], ends), "[0] 1");
            assert_eq!(stays(&[Commit, Call, Replace], &[1], ends), "0 [1] 2");
            assert_eq!(stays(&[Call, Commit], &[0, 1], ends), "");
            assert_eq!(stays(&[Call, Call], &[0, 1], ends), "[0]", "one is enough");
            assert_eq!(stays(&[Call, Call, Commit], &[0, 1, 2], ends), "");
        }
        let whole = [Begin, Call, Commit];
        assert_eq!(stays(&whole, &[1], true), "0 [1] 2", "it aborts that");
        assert_eq!(stays(&whole, &[1], false), "0 2");
    }

    /// What stays of what is held in a stream, when these are taken one after another or, as a
    /// group, at once.
    fn stays(requests: &[RequestType], groups: &[&[u64]]) -> String {
        let mut own = held(requests);
        for taken in groups {
            let gone = own.take_where(true, |own, _| taken.contains(&own.sync));
            assert_eq!(gone.len(), taken.len());
            assert!(own.take_where(true, |own, _| own.is_marked).is_empty());
            let whole = own.iter().filter(|(own, _)| !own.is_marked);
            assert_eq!(whole.count(), own.bytes());
        }
        shown(&own)
    }

    #[test]
    fn marks_stay_of_a_begin_and_of_an_end_that_has_something_in_front_of_it() {
        use RequestType::{Begin, Commit, Replace, Rollback};
        let whole = [Begin, Replace, Commit];
        assert_eq!(stays(&whole, &[&[0]]), "[0] 1 2");
        assert_eq!(stays(&whole, &[&[0, 1]]), "[0] 2");
        assert_eq!(stays(&whole, &[&[0, 2]]), "[0] 1 [2]");
        assert_eq!(stays(&whole, &[&[0, 1, 2]]), "");
        assert_eq!(stays(&[Commit, Begin, Rollback], &[&[1, 2]]), "0 [2]");
        assert_eq!(stays(&[Commit, Replace], &[&[0, 1]]), "");
    }

    #[test]
    fn a_mark_stays_of_a_statement_whose_begin_is_held_unless_another_one_says_the_same() {
        use RequestType::{Begin, Commit, Replace};
        let whole = [Begin, Replace, Replace, Commit];
        assert_eq!(stays(&whole, &[&[1]]), "0 [1] 2 3");
        assert_eq!(stays(&whole, &[&[1], &[2]]), "0 [1] 3");
        assert_eq!(stays(&whole, &[&[0], &[1, 2]]), "[0] 3");
        assert_eq!(stays(&whole, &[&[1], &[3]]), "0 [1] 2 [3]");
        // What is behind the end of a transaction, and what is in one that is open, have none.
        assert_eq!(stays(&[Commit, Replace], &[&[1]]), "0");
        assert_eq!(stays(&[Replace, Commit], &[&[0]]), "1");
        let mut own = held(&whole);
        own.take_where(false, |own, _| own.sync == 1);
        assert_eq!(shown(&own), "0 2 3", "its transaction goes on without it");
    }

    #[test]
    fn marks_are_no_requests_and_there_are_no_more_of_them_than_there_may_be_requests() {
        use RequestType::{Begin, Replace};
        let mut own = held(&[Begin, Replace, Replace]);
        own.take_where(true, |own, _| own.sync == 0);
        assert_eq!((shown(&own).as_str(), own.len()), ("[0] 1 2", 2));
        assert!(own.push(request(b"12345"), limits(3, 99)).is_ok());
        assert!(own.push(request(b"12345"), limits(3, 99)).is_err());
        let mark = own.pop().unwrap();
        assert_eq!(own.len(), 3);
        own.put_back(mark);
        assert_eq!(own.len(), 3);
        let mut own = held(&[Begin; 3]);
        own.take_where(true, |_, _| true);
        assert_eq!((shown(&own).as_str(), own.len()), ("[0] [1] [2]", 0));
        assert!(own.push(request(b"1"), limits(3, 99)).is_err());
        assert!(own.push(request(b"1"), limits(4, 99)).is_ok());
    }

    #[test]
    fn what_is_open_ends_before_what_is_held_behind_its_end() {
        use HeldPart::{Begun, Ended, Open};
        use RequestType::{Begin, Commit, Replace};
        let own = held(&[Replace, Commit, Replace, Begin, Replace, Commit]);
        let parts: Vec<_> = own.iter().map(|(_, part)| part).collect();
        assert_eq!(parts, [Open, Open, Ended, Ended, Begun, Begun]);
    }

    #[test]
    fn a_begin_without_room_leaves_one_mark_if_anything_of_its_stream_is_held() {
        use RequestType::{Begin, Commit};
        let begin = |sync, stream| HeldRequest {
            sync,
            stream,
            request_type: Begin,
            ..request(b"1")
        };
        let mut own = held(&[Commit]);
        assert!(own.mark_refused(&begin(4, 7)) && own.mark_refused(&begin(5, 7)));
        assert!(!own.mark_refused(&begin(6, 8)), "nothing is held there");
        assert_eq!(shown(&own), "0 [4]");
    }
}
