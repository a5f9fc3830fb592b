//! Started or revoked, never both: one word per forwarded request, changed by compare-and-swap.
//!
//! ```text
//!            session arbiter              Tx
//!   free ────── queue ──▶ Queued ─────── claim ──▶ Started ── (the reply frees it)
//!                            └── revoke ──▶ free again: the session has answered
//! ```
//!
//! The word carries the generation of its request, so that Tx, late, cannot claim the next tenant of a
//! word, and a late reply to something given up on finds that its request is gone.

use std::sync::atomic::{AtomicU64, Ordering};

/// Names one forwarded request of one session arbiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId {
    /// Which word.
    pub index: u32,
    /// Which tenant of the word.
    pub generation: u32,
}

const FREE: u64 = 0;
const QUEUED: u64 = 1;
const STARTED: u64 = 2;

impl RequestId {
    const fn word(self, state: u64) -> u64 {
        (self.generation as u64) << 2 | state
    }
}

/// The words of one session arbiter, shared with Tx. The arbiter alone queues, revokes and frees;
/// Tx alone claims.
#[derive(Debug)]
pub struct Claims {
    words: Box<[AtomicU64]>,
}

impl Claims {
    /// A table for so many requests at a time.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            words: (0..capacity).map(|_| AtomicU64::new(FREE)).collect(),
        }
    }

    fn word(&self, id: RequestId) -> &AtomicU64 {
        &self.words[id.index as usize]
    }

    /// Puts a new tenant on a free word and returns its name.
    #[inline]
    pub fn queue(&self, index: u32) -> RequestId {
        let word = &self.words[index as usize];
        let generation = (word.load(Ordering::Relaxed) >> 2) as u32;
        let id = RequestId {
            index,
            generation: generation.wrapping_add(1),
        };
        word.store(id.word(QUEUED), Ordering::Release);
        id
    }

    /// Tx begins the request; false if it was revoked.
    #[inline]
    #[must_use = "a request that was revoked must not be executed"]
    pub fn claim(&self, id: RequestId) -> bool {
        self.exchange(id, STARTED)
    }

    /// Takes the request back; false if Tx has begun it.
    #[inline]
    #[must_use = "a request that Tx has begun must not be answered as refused"]
    pub fn revoke(&self, id: RequestId) -> bool {
        self.exchange(id, FREE)
    }

    fn exchange(&self, id: RequestId, to: u64) -> bool {
        let (from, to) = (id.word(QUEUED), id.word(to));
        self.word(id)
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether Tx has begun the request.
    #[must_use]
    pub fn is_started(&self, id: RequestId) -> bool {
        self.word(id).load(Ordering::Acquire) == id.word(STARTED)
    }

    /// How many requests wait for Tx. Looks at every word: for people who ask, not for the hot path.
    #[must_use]
    pub fn count_queued(&self) -> usize {
        let queued = |word: &&AtomicU64| word.load(Ordering::Relaxed) & 3 == QUEUED;
        self.words.iter().filter(queued).count()
    }

    /// Frees the word when the request is answered, keeping its generation.
    #[inline]
    pub fn free(&self, id: RequestId) {
        self.word(id).store(id.word(FREE), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn a_revoked_request_cannot_be_claimed_and_the_reverse() {
        let claims = Claims::new(2);
        let revoked = claims.queue(0);
        assert!(claims.revoke(revoked));
        assert!(!claims.claim(revoked));
        let started = claims.queue(1);
        assert!(claims.claim(started));
        assert!(!claims.revoke(started));
        assert!(claims.is_started(started));
    }

    #[test]
    fn a_late_claim_does_not_reach_the_next_tenant() {
        let claims = Claims::new(1);
        let first = claims.queue(0);
        assert!(claims.revoke(first));
        let second = claims.queue(0);
        assert!(!claims.claim(first));
        assert!(claims.claim(second));
        claims.free(second);
        let third = claims.queue(0);
        assert!(!claims.claim(second));
        assert!(claims.revoke(third));
    }

    #[test]
    fn whoever_comes_first_wins_and_only_one_wins() {
        const ROUNDS: u32 = 20_000;
        let claims = Arc::new(Claims::new(ROUNDS as usize));
        let ids: Vec<_> = (0..ROUNDS).map(|index| claims.queue(index)).collect();
        let tx = thread::spawn({
            let (claims, ids) = (claims.clone(), ids.clone());
            move || ids.iter().map(|id| claims.claim(*id)).collect::<Vec<_>>()
        });
        let revoked: Vec<_> = ids.iter().rev().map(|id| claims.revoke(*id)).collect();
        let claimed = tx.join().expect("the claiming thread does not panic");
        for (claimed, revoked) in claimed.into_iter().zip(revoked.into_iter().rev()) {
            assert!(claimed != revoked, "exactly one side gets the request");
        }
    }
}
