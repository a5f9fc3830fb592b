//! Started or revoked, never both: one word per forwarded request, changed by compare-and-swap.
//!
//! ```text
//!            worker                       Tx
//!   free ────── queue ──▶ Queued ─────── claim ──▶ Started ─ defer ─▶ Deferred
//!                            │                        └───────┬──────────┘
//!                            └── revoke ──▶ free again ◀── the reply, or the session cancels it
//! ```
//!
//! The work on a request that was cancelled sees it by its word: that is the [`CancelToken`].
//!
//! The word carries the generation of its request, so that Tx, late, cannot claim the next tenant
//! of a word, and a late reply to something cancelled finds that its request is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::{CancelToken, Cancellation};

/// Names one forwarded request of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RequestId {
    /// Which word.
    pub(crate) index: u32,
    /// Which tenant of the word.
    pub(crate) generation: u32,
}

impl RequestId {
    /// Names no request: that of one which was never forwarded.
    pub(crate) const NONE: Self = Self {
        index: u32::MAX,
        generation: 0,
    };
}

const FREE: u64 = 0;
const QUEUED: u64 = 1;
const STARTED: u64 = 2;
const DEFERRED: u64 = 3;

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestPhase {
    /// Tx has not begun it.
    Queued,
    /// Tx executes it, or its turn is not committed.
    Started,
    /// Tx has begun it, and it waits for something else than Tx.
    Deferred,
}

impl RequestId {
    const fn word(self, state: u64) -> u64 {
        (self.generation as u64) << 2 | state
    }

    /// The id as one number, for a [`CancelToken`].
    const fn key(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    const fn from_key(key: u64) -> Self {
        Self {
            index: key as u32,
            generation: (key >> 32) as u32,
        }
    }
}

/// The words of one worker, shared with Tx. The worker alone queues, revokes and frees;
/// Tx alone claims.
#[derive(Debug)]
pub(crate) struct Claims {
    words: Box<[AtomicU64]>,
}

impl Claims {
    /// A table for this number of requests at a time.
    #[must_use]
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            words: (0..capacity).map(|_| AtomicU64::new(FREE)).collect(),
        }
    }

    /// How many requests there can be at a time.
    pub(crate) fn capacity(&self) -> usize {
        self.words.len()
    }

    fn word(&self, id: RequestId) -> &AtomicU64 {
        &self.words[id.index as usize]
    }

    /// Puts a new tenant on a free word and returns its name.
    #[inline]
    pub(crate) fn queue(&self, index: u32) -> RequestId {
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
    pub(crate) fn claim(&self, id: RequestId) -> bool {
        self.exchange(id, QUEUED, STARTED)
    }

    /// The request that Tx has begun will be answered in a later turn.
    pub(crate) fn defer(&self, id: RequestId) {
        // One that was cancelled meanwhile needs no new state.
        let _ = self.exchange(id, STARTED, DEFERRED);
    }

    /// Takes the request back; false if Tx has begun it.
    #[inline]
    #[must_use = "a request that Tx has begun must not be answered as refused"]
    pub(crate) fn revoke(&self, id: RequestId) -> bool {
        self.exchange(id, QUEUED, FREE)
    }

    /// The request that was begun goes back to those that are not: it was refused where it was
    /// begun, or may be begun twice. False if it was cancelled.
    #[must_use = "a request that was cancelled must not be executed again"]
    pub(crate) fn requeue(&self, id: RequestId) -> bool {
        self.exchange(id, STARTED, QUEUED)
    }

    fn exchange(&self, id: RequestId, from: u64, to: u64) -> bool {
        let (from, to) = (id.word(from), id.word(to));
        self.word(id)
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// How far the request has come; `None` if it was answered, taken back or cancelled.
    #[must_use]
    pub(crate) fn phase(&self, id: RequestId) -> Option<RequestPhase> {
        let word = self.word(id).load(Ordering::Acquire);
        if word == id.word(QUEUED) {
            Some(RequestPhase::Queued)
        } else if word == id.word(STARTED) {
            Some(RequestPhase::Started)
        } else if word == id.word(DEFERRED) {
            Some(RequestPhase::Deferred)
        } else {
            None
        }
    }

    /// Whether Tx has begun the request, and nobody has cancelled it.
    #[must_use]
    pub(crate) fn is_started(&self, id: RequestId) -> bool {
        matches!(
            self.phase(id),
            Some(RequestPhase::Started | RequestPhase::Deferred)
        )
    }

    /// How many requests wait for Tx. Looks at every word: for people who ask, not for the hot
    /// path.
    #[must_use]
    pub(crate) fn count_queued(&self) -> usize {
        let queued = |word: &&AtomicU64| word.load(Ordering::Relaxed) & 3 == QUEUED;
        self.words.iter().filter(queued).count()
    }

    /// Frees the word when the request is answered, keeping its generation.
    #[inline]
    pub(crate) fn free(&self, id: RequestId) {
        self.word(id).store(id.word(FREE), Ordering::Release);
    }
}

impl Cancellation for Claims {
    fn is_cancelled(&self, key: u64) -> bool {
        !self.is_started(RequestId::from_key(key))
    }
}

/// One request of a table, while Tx executes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) claims: &'a Arc<Claims>,
    pub(crate) id: RequestId,
}

impl Claim<'_> {
    pub(crate) fn is_cancelled(self) -> bool {
        !self.claims.is_started(self.id)
    }

    pub(crate) fn token(self) -> CancelToken {
        CancelToken::new(self.claims.clone(), self.id.key())
    }
}

#[cfg(test)]
mod tests {
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
    fn a_token_tells_that_its_request_was_given_up_on_and_stays_so() {
        let claims = Arc::new(Claims::new(1));
        let first = claims.queue(0);
        assert!(claims.claim(first));
        let token = CancelToken::new(claims.clone(), first.key());
        claims.defer(first);
        assert_eq!(claims.phase(first), Some(RequestPhase::Deferred));
        assert!(!token.is_cancelled());
        claims.free(first);
        assert!(token.is_cancelled());
        let second = claims.queue(0);
        assert!(claims.claim(second));
        assert!(token.is_cancelled());
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
