//! Requests on their way to the socket: which of them are not sent, to the byte.
//!
//! ```text
//!   push ──▶ queue ──take──▶ in hand ──wrote──▶ sent
//!              │                │
//!              └─ withdraw      └─ at the end of the connection: whole ones are sent, the others
//! not
//! ```
//!
//! A request whose last byte was not handed to the kernel cannot have run. This is where a
//! scheduler of message groups will stand: it alone decides what is taken next.

use std::collections::VecDeque;

/// A request that waits to be written.
#[derive(Debug)]
struct Item {
    sync: u64,
    /// Empty once it was withdrawn.
    frame: Vec<u8>,
    /// What it counts for in the bound on what waits.
    charge: usize,
}

/// What one connection has to write.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// In the order of their sync numbers.
    queue: VecDeque<Item>,
    /// Charges of what is in the queue.
    charged: usize,
    /// What is being written: where each ends in the bytes that were taken.
    in_hand: Vec<(u64, usize)>,
    written: usize,
}

impl Outgoing {
    /// Appends a request. Sync numbers grow. Returns whether nothing was there before.
    pub(crate) fn push(&mut self, sync: u64, frame: Vec<u8>, charge: usize) -> bool {
        let was_idle = self.queue.is_empty();
        self.charged += charge;
        self.queue.push_back(Item {
            sync,
            frame,
            charge,
        });
        was_idle
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_hand.is_empty()
    }

    /// Takes back a request that is not in hand yet; returns its charge, or `None` if it may be
    /// sent.
    pub(crate) fn withdraw(&mut self, sync: u64) -> Option<usize> {
        let at = self.queue.binary_search_by_key(&sync, |item| item.sync);
        let item = self.queue.get_mut(at.ok()?)?;
        if std::mem::take(&mut item.frame).is_empty() {
            return None;
        }
        let charge = std::mem::take(&mut item.charge);
        self.charged -= charge;
        Some(charge)
    }

    /// Moves requests of about `size_max` bytes into `bytes`, which is emptied before; at least
    /// one. A request that is as large as that goes alone, and is not copied. Returns the charges
    /// of what has left the queue.
    pub(crate) fn take(&mut self, bytes: &mut Vec<u8>, size_max: usize) -> usize {
        bytes.clear();
        self.in_hand.clear();
        self.written = 0;
        let mut freed = 0;
        while let Some(item) = self.queue.front() {
            let size = item.frame.len();
            if !bytes.is_empty() && bytes.len() + size > size_max {
                break;
            }
            let Some(Item {
                sync,
                frame,
                charge,
            }) = self.queue.pop_front()
            else {
                break;
            };
            freed += charge;
            if frame.is_empty() {
                continue;
            }
            if bytes.is_empty() && size >= size_max {
                *bytes = frame;
            } else {
                bytes.extend_from_slice(&frame);
            }
            self.in_hand.push((sync, bytes.len()));
        }
        self.charged -= freed;
        freed
    }

    /// Counts bytes of what is in hand that the kernel has taken.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self
            .in_hand
            .last()
            .is_none_or(|(_, end)| *end <= self.written)
        {
            self.in_hand.clear();
        }
    }

    /// The end of the connection: which requests were not sent, ascending, and the charges of
    /// those in the queue.
    pub(crate) fn close(&mut self) -> (Vec<u64>, usize) {
        let written = self.written;
        let in_hand = self.in_hand.drain(..);
        let cut_off = in_hand.filter(|(_, end)| *end > written);
        let mut unsent: Vec<u64> = cut_off.map(|(sync, _)| sync).collect();
        let queued = self.queue.drain(..).filter(|item| !item.frame.is_empty());
        unsent.extend(queued.map(|item| item.sync));
        (unsent, std::mem::take(&mut self.charged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BATCH: usize = 10;

    fn filled(sizes: &[usize]) -> Outgoing {
        let mut outgoing = Outgoing::default();
        for (at, size) in sizes.iter().enumerate() {
            let sync = at as u64 + 1;
            assert_eq!(outgoing.push(sync, vec![sync as u8; *size], *size), at == 0);
        }
        outgoing
    }

    #[test]
    fn small_requests_are_taken_together_and_large_ones_alone() {
        let mut outgoing = filled(&[4, 4, 4, 30, 1]);
        let mut bytes = Vec::new();
        let mut batches = Vec::new();
        while {
            outgoing.take(&mut bytes, BATCH);
            !bytes.is_empty()
        } {
            batches.push(bytes.clone());
            outgoing.wrote(bytes.len());
        }
        let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, [8, 4, 30, 1]);
        assert_eq!(batches.concat().len(), 43);
        assert!(outgoing.is_idle());
    }

    #[test]
    fn a_request_that_is_half_written_is_not_sent() {
        let mut outgoing = filled(&[4, 4, 4, 4]);
        let mut bytes = Vec::new();
        assert_eq!(outgoing.take(&mut bytes, 12), 12);
        outgoing.wrote(7);
        assert_eq!(outgoing.close(), (vec![2, 3, 4], 4));
    }

    #[test]
    fn what_is_withdrawn_is_never_written() {
        let mut outgoing = filled(&[4, 4, 4]);
        assert_eq!(outgoing.withdraw(2), Some(4));
        assert_eq!(outgoing.withdraw(2), None);
        let mut bytes = Vec::new();
        outgoing.take(&mut bytes, 100);
        assert_eq!(bytes, [1, 1, 1, 1, 3, 3, 3, 3]);
        assert_eq!(outgoing.withdraw(1), None, "in hand");
        assert_eq!(outgoing.withdraw(9), None, "not there");
    }

    proptest! {
        #[test]
        fn sent_are_exactly_those_whose_every_byte_was_written(
            sizes in prop::collection::vec(1..30usize, 1..40),
            withdrawn in prop::collection::vec(1..40u64, 0..10),
            mut left in 0..800usize,
        ) {
            let mut outgoing = filled(&sizes);
            let is_gone = |sync: &u64| withdrawn.contains(sync);
            for sync in &withdrawn {
                outgoing.withdraw(*sync);
            }
            let mut written = Vec::new();
            let mut bytes = Vec::new();
            while outgoing.take(&mut bytes, BATCH) > 0 {
                let some = left.min(bytes.len());
                written.extend_from_slice(&bytes[..some]);
                outgoing.wrote(some);
                left -= some;
                if some < bytes.len() {
                    break;
                }
            }
            let (unsent, _) = outgoing.close();
            for (at, size) in sizes.iter().enumerate() {
                let sync = at as u64 + 1;
                let count = written.iter().filter(|byte| **byte == sync as u8).count();
                prop_assert!(count == 0 || !is_gone(&sync));
                prop_assert_eq!(count == *size, !unsent.contains(&sync) && !is_gone(&sync));
            }
            prop_assert!(outgoing.is_idle());
        }
    }
}
