//! What an upstream owes over one link: the requests that were sent and not answered.
//!
//! ```text
//!   add ─▶ sync: index and generation of a slot ── sent ─▶ upstream
//!   get, remove ◀─ the reply's sync: this very request, or nobody's
//! ```
//!
//! A request that nobody waits for any more is owed all the same: the upstream works at it.
//!
//! Bodies of requests that may be sent again are kept with them: small ones are copied into
//! buffers that stay with the slots.

use bytes::Bytes;

use super::kept::{ForwardBody, KeptRequest};
use super::waiting::Forward;
use crate::limits::OWED_BODY_KEEP_MAX;

/// A request that was sent.
pub(crate) type OwedRequest = Forward;

/// The table of what is owed.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    request: Option<OwedRequest>,
    body: KeptBody,
    /// For small bodies.
    buffer: Vec<u8>,
}

/// The body of what is owed.
#[derive(Debug, Default, Clone)]
enum KeptBody {
    #[default]
    None,
    InBuffer,
    Whole(Bytes),
}

/// A request that is owed no more.
#[derive(Debug)]
pub(crate) struct TakenRequest {
    pub(crate) forward: OwedRequest,
    /// The body, if that was kept, and is wanted.
    pub(crate) body: Option<Bytes>,
    /// How many bytes were kept.
    pub(crate) kept: usize,
}

impl TakenRequest {
    /// The same, to be sent once more, if its body was kept.
    pub(crate) fn keep(self) -> Option<KeptRequest> {
        Some(KeptRequest {
            forward: self.forward,
            body: self.body?,
            was_sent: true,
        })
    }
}

impl Slot {
    /// Frees it. The body is copied out if `wants_body`.
    fn take(&mut self, wants_body: bool) -> Option<TakenRequest> {
        let forward = self.request.take()?;
        let (body, kept) = match std::mem::take(&mut self.body) {
            KeptBody::None => (None, 0),
            KeptBody::InBuffer => {
                let body = wants_body.then(|| Bytes::copy_from_slice(&self.buffer));
                (body, self.buffer.len())
            }
            KeptBody::Whole(bytes) => {
                let kept = bytes.len();
                (Some(bytes), kept)
            }
        };
        Some(TakenRequest {
            forward,
            body,
            kept,
        })
    }
}

impl Owed {
    /// What is owed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &OwedRequest> {
        self.slots.iter().filter_map(|own| own.request.as_ref())
    }

    /// How much is owed.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A request is sent, in this stream of the upstream's; returns the sync that it is sent with.
    /// The body is kept, if there is one.
    #[inline]
    pub(crate) fn add(
        &mut self,
        request: &Forward,
        stream: u64,
        body: Option<&ForwardBody<'_>>,
    ) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        // Copied as one, which is less than field by field.
        slot.request.insert(*request).stream = stream;
        slot.body = match body {
            None => KeptBody::None,
            // One that has waited as well: to share its buffer costs more than to copy it.
            Some(body) if body.bytes().len() <= OWED_BODY_KEEP_MAX => {
                slot.buffer.clear();
                slot.buffer.extend_from_slice(body.bytes());
                KeptBody::InBuffer
            }
            Some(ForwardBody::Part(bytes)) => KeptBody::Whole(Bytes::copy_from_slice(bytes)),
            Some(ForwardBody::Own(bytes)) => KeptBody::Whole(bytes.clone()),
        };
        u64::from(slot.generation) << 32 | u64::from(index)
    }

    /// Whether a connection has sent any of it. No more is looked at than there is, nor slots
    /// behind that: a link that has owed much once has many of them.
    pub(crate) fn has_of(&self, connection: u64) -> bool {
        let mut all = self.iter().take(self.len());
        all.any(|own| own.key.connection == connection)
    }

    /// How much of it a connection has sent.
    pub(crate) fn count_of(&self, connection: u64) -> usize {
        let all = self.slots.iter().filter_map(|own| own.request.as_ref());
        all.filter(|own| own.key.connection == connection).count()
    }

    /// The request that was sent with this sync, if it is owed.
    #[inline]
    pub(crate) fn get(&self, sync: u64) -> Option<&OwedRequest> {
        let slot = self.slots.get(sync as u32 as usize)?;
        let is_it = slot.generation == (sync >> 32) as u32;
        slot.request.as_ref().filter(|_| is_it)
    }

    /// Whether the body of a request is kept.
    pub(crate) fn has_body(&self, sync: u64) -> bool {
        let is_owed = self.get(sync).is_some();
        is_owed && !matches!(self.slots[sync as u32 as usize].body, KeptBody::None)
    }

    /// The reply of a request is whole. Returns the request, if it was owed, and its body, if that
    /// was kept and somebody `wants_body`.
    #[inline]
    pub(crate) fn remove(&mut self, sync: u64, wants_body: bool) -> Option<TakenRequest> {
        self.get(sync)?;
        let index = sync as u32;
        self.free.push(index);
        self.slots[index as usize].take(wants_body)
    }

    /// The same where nobody wants more of it than [`get`](Self::get) shows; how many bytes of its
    /// body were kept.
    #[inline]
    pub(crate) fn free(&mut self, sync: u64) -> usize {
        if self.get(sync).is_none() {
            return 0;
        }
        let index = sync as u32;
        self.free.push(index);
        let slot = &mut self.slots[index as usize];
        slot.request = None;
        match std::mem::take(&mut slot.body) {
            KeptBody::None => 0,
            KeptBody::InBuffer => slot.buffer.len(),
            KeptBody::Whole(bytes) => bytes.len(),
        }
    }

    /// Everything that is owed, in no order.
    pub(crate) fn into_all(self) -> impl Iterator<Item = TakenRequest> {
        let slots = self.slots.into_iter();
        slots.filter_map(|mut slot| slot.take(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Kind;
    use crate::upstream::waiting::tests::forward;

    fn request(sync: u64) -> OwedRequest {
        forward(0, sync, Kind::Other)
    }

    #[test]
    fn a_connection_has_something_until_the_last_of_it_is_answered() {
        let mut owed = Owed::default();
        let of = |connection| {
            let mut own = request(1);
            own.key.connection = connection;
            own
        };
        let syncs = [7, 8, 7].map(|connection| owed.add(&of(connection), 0, None));
        let mut has = |answered: u64| {
            owed.remove(answered, true);
            [7, 8].map(|connection| owed.has_of(connection))
        };
        assert_eq!(syncs.map(&mut has), [[true; 2], [true, false], [false; 2]]);
    }

    #[test]
    fn a_reply_finds_its_own_request_once() {
        let mut owed = Owed::default();
        let syncs = [7, 7, 8].map(|sync| owed.add(&request(sync), 0, None));
        assert_eq!(owed.len(), 3);
        assert_eq!(owed.get(syncs[1]), Some(&request(7)));
        owed.remove(syncs[1], true);
        assert_eq!((owed.get(syncs[1]), owed.len()), (None, 2));
        let next = owed.add(&request(9), 0, None);
        assert_ne!(next, syncs[1], "of another generation");
        assert_eq!(
            (owed.get(syncs[1]), owed.get(next)),
            (None, Some(&request(9)))
        );
        owed.remove(syncs[1], true);
        assert_eq!(owed.len(), 3, "a late reply frees nobody else's slot");
    }

    #[test]
    fn a_sync_that_was_never_sent_is_nobodys() {
        let mut owed = Owed::default();
        let sync = owed.add(&request(7), 0, None);
        for foreign in [0, sync + 1, sync | 1 << 60, u64::MAX] {
            assert_eq!(owed.get(foreign), None, "{foreign:x}");
            owed.remove(foreign, true);
        }
        assert_eq!(owed.into_all().count(), 1);
    }

    #[test]
    fn a_body_that_is_kept_is_that_of_its_request() {
        let mut owed = Owed::default();
        let small = owed.add(&request(1), 0, Some(&ForwardBody::Part(b"small")));
        let large = vec![7; OWED_BODY_KEEP_MAX + 1];
        let large = [
            owed.add(&request(2), 0, Some(&ForwardBody::Part(&large))),
            owed.add(&request(3), 0, Some(&ForwardBody::Own(large.into()))),
        ];
        let none = owed.add(&request(4), 0, None);
        let taken = owed.remove(small, true).unwrap();
        assert_eq!(
            (taken.body.as_deref(), taken.kept),
            (Some(&b"small"[..]), 5)
        );
        assert!(owed.remove(none, true).unwrap().keep().is_none());
        let next = owed.add(&request(5), 0, Some(&ForwardBody::Part(b"next")));
        for sync in large {
            let taken = owed.remove(sync, true).unwrap();
            assert_eq!(taken.kept, OWED_BODY_KEEP_MAX + 1);
            assert_eq!(taken.keep().unwrap().body.len(), OWED_BODY_KEEP_MAX + 1);
        }
        let left = owed.into_all().map(|own| own.keep().unwrap());
        let left: Vec<_> = left.map(|own| (own.forward.sync, own.body)).collect();
        assert_eq!(left, [(5, Bytes::from_static(b"next"))], "{next}");
    }
}
