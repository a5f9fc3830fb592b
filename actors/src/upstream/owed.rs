//! What an upstream owes over one link: the requests that were sent and not answered.
//!
//! ```text
//!   add ─▶ sync: index and generation of a slot ── sent ─▶ upstream
//!   get, remove ◀─ the reply's sync: this very request, or nobody's
//! ```
//!
//! A request that nobody waits for any more is owed all the same: the upstream works at it.

use super::credits::Kind;
use super::streams::StreamStep;
use crate::cells::claims::RequestId;

/// A request that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwedRequest {
    /// Of the worker's in-flight table; [`RequestId::NONE`] for a ROLLBACK of ours.
    pub(crate) id: RequestId,
    /// The sync by which its client knows it.
    pub(crate) sync: u64,
    /// What it takes of the upstream.
    pub(crate) kind: Kind,
    /// The number of its stream upstream; 0 for none.
    pub(crate) stream: u64,
    /// What it does to the transaction of its stream.
    pub(crate) step: StreamStep,
}

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
}

impl Owed {
    /// How much is owed.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A request is sent; returns the sync that it is sent with.
    #[inline]
    pub(crate) fn add(&mut self, request: OwedRequest) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.request = Some(request);
        u64::from(slot.generation) << 32 | u64::from(index)
    }

    /// The request that was sent with this sync, if it is owed.
    #[inline]
    pub(crate) fn get(&self, sync: u64) -> Option<&OwedRequest> {
        let slot = self.slots.get(sync as u32 as usize)?;
        let is_it = slot.generation == (sync >> 32) as u32;
        slot.request.as_ref().filter(|_| is_it)
    }

    /// The reply of a request is whole. Returns the request, if it was owed.
    #[inline]
    pub(crate) fn remove(&mut self, sync: u64) -> Option<OwedRequest> {
        self.get(sync)?;
        let index = sync as u32;
        self.free.push(index);
        self.slots[index as usize].request.take()
    }

    /// Everything that is owed, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &OwedRequest> {
        self.slots.iter().filter_map(|slot| slot.request.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(sync: u64) -> OwedRequest {
        OwedRequest {
            id: RequestId::NONE,
            sync,
            kind: Kind::Other,
            stream: 0,
            step: StreamStep::Nothing,
        }
    }

    #[test]
    fn a_reply_finds_its_own_request_once() {
        let mut owed = Owed::default();
        let syncs = [7, 7, 8].map(|sync| owed.add(request(sync)));
        assert_eq!(owed.len(), 3);
        assert_eq!(owed.get(syncs[1]), Some(&request(7)));
        owed.remove(syncs[1]);
        assert_eq!((owed.get(syncs[1]), owed.len()), (None, 2));
        let next = owed.add(request(9));
        assert_ne!(next, syncs[1], "of another generation");
        assert_eq!(
            (owed.get(syncs[1]), owed.get(next)),
            (None, Some(&request(9)))
        );
        owed.remove(syncs[1]);
        assert_eq!(owed.len(), 3, "a late reply frees nobody else's slot");
    }

    #[test]
    fn a_sync_that_was_never_sent_is_nobodys() {
        let mut owed = Owed::default();
        let sync = owed.add(request(7));
        for foreign in [0, sync + 1, sync | 1 << 60, u64::MAX] {
            assert_eq!(owed.get(foreign), None, "{foreign:x}");
            owed.remove(foreign);
        }
        assert_eq!(owed.iter().count(), 1);
    }
}
