//! Orphaned transactions died with their Tx, or with their connection upstream: what comes next has
//! never heard of them, so it is answered here.
//!
//! ```text
//!   open ── Tx dies ─▶ orphaned ─┬─ statement ─▶ 97, still orphaned
//!                            ├─ COMMIT ────▶ 97, over: it must not look as if it had succeeded
//!                            ├─ ROLLBACK ──▶ done, over
//!                            └─ BEGIN ─────▶ over, and a new one begins
//!
//!   BEGIN that is not done ─▶ unbegun ── as orphaned, and nobody's place is taken
//!
//!   COMMIT that Tx had begun ─▶ unknown ─┬─ COMMIT ─────────▶ outcome unknown, over
//!                                        └─ anything else ──▶ over: its client takes it for ended
//! ```

use vestibule_wire::keys::RequestType;
use vestibule_wire::{Error, ErrorCode};

use crate::limits::{UNBEGUN_TRANSACTIONS_MAX, UNKNOWN_COMMITS_MAX};

/// The transactions of one connection that are lost and that their client has not ended.
#[derive(Debug, Default)]
pub(crate) struct OrphanedTransactions {
    /// The oldest first.
    all: Vec<OrphanedTransaction>,
}

#[derive(Debug)]
struct OrphanedTransaction {
    stream: u64,
    fate: Box<OrphanFate>,
}

/// What became of a transaction that was lost, with what its client is told of it.
#[derive(Debug)]
pub(crate) enum OrphanFate {
    /// The transaction did not happen.
    Aborted(Error),
    /// The transaction was not even begun: what was to begin it is not done.
    Unbegun(Error),
    /// The transaction's COMMIT had begun, and was answered with this.
    Unknown(Error),
}

/// Error with the code of transactions that did not happen and may be tried again.
pub(crate) fn aborted_by(what: &str) -> Error {
    let text = format!("Transaction has been aborted by {what}");
    Error::new(ErrorCode::TRANSACTION_CONFLICT, text)
}

impl OrphanedTransaction {
    fn is_aborted(&self) -> bool {
        matches!(*self.fate, OrphanFate::Aborted(_))
    }

    fn is_unbegun(&self) -> bool {
        matches!(*self.fate, OrphanFate::Unbegun(_))
    }

    fn is_unknown(&self) -> bool {
        matches!(*self.fate, OrphanFate::Unknown(_))
    }
}

impl OrphanedTransactions {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many transactions were open, did not happen and are still to be ended by their client.
    /// Those of unknown outcome are over for it, those that were not begun never had a place, and
    /// neither takes one.
    pub(crate) fn aborted(&self) -> usize {
        let all = self.all.iter();
        all.filter(|own| own.is_aborted()).count()
    }

    /// The transaction of a stream is lost: what became of it counts from now on. Of those that
    /// were not begun, and of those of unknown outcome, which may never be asked for again, the
    /// oldest is dropped for one too many.
    pub(crate) fn add(&mut self, stream: u64, fate: OrphanFate) {
        self.all.retain(|own| own.stream != stream);
        let fate = Box::new(fate);
        self.all.push(OrphanedTransaction { stream, fate });
        self.drop_oldest_beyond(UNKNOWN_COMMITS_MAX, OrphanedTransaction::is_unknown);
        self.drop_oldest_beyond(UNBEGUN_TRANSACTIONS_MAX, OrphanedTransaction::is_unbegun);
    }

    fn drop_oldest_beyond(&mut self, max: usize, is_meant: fn(&OrphanedTransaction) -> bool) {
        if self.all.iter().filter(|own| is_meant(own)).count() > max {
            let oldest = self.all.iter().position(is_meant);
            oldest.into_iter().for_each(|at| drop(self.all.remove(at)));
        }
    }

    /// What a request in a stream is answered: nothing, if it goes its usual way.
    pub(crate) fn answer(
        &mut self,
        stream: u64,
        request: RequestType,
    ) -> Option<Result<(), Error>> {
        let at = self.all.iter().position(|own| own.stream == stream)?;
        match (request, &*self.all[at].fate) {
            (
                RequestType::Commit,
                OrphanFate::Aborted(error)
                | OrphanFate::Unbegun(error)
                | OrphanFate::Unknown(error),
            ) => {
                let error = error.clone();
                self.all.remove(at);
                Some(Err(error))
            }
            (RequestType::Rollback, OrphanFate::Aborted(_) | OrphanFate::Unbegun(_)) => {
                self.all.remove(at);
                Some(Ok(()))
            }
            (RequestType::Begin, _) | (_, OrphanFate::Unknown(_)) => {
                self.all.remove(at);
                None
            }
            (_, OrphanFate::Aborted(error) | OrphanFate::Unbegun(error)) => {
                Some(Err(error.clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What these requests of one stream are answered: a code, "ok", or "on" for the usual way.
    fn ask(fate: OrphanFate, requests: &[RequestType]) -> Vec<String> {
        let mut orphaned = OrphanedTransactions::default();
        orphaned.add(1, fate);
        let mut answer = |request: &RequestType| match orphaned.answer(1, *request) {
            None => "on".to_owned(),
            Some(Ok(())) => "ok".to_owned(),
            Some(Err(error)) => error.code().0.to_string(),
        };
        requests.iter().map(&mut answer).collect()
    }

    #[test]
    fn it_is_told_as_aborted_until_its_client_ends_it() {
        use RequestType::{Begin, Commit, Ping, Rollback};
        for fate in [OrphanFate::Aborted, OrphanFate::Unbegun] {
            let aborted = || fate(aborted_by("a test"));
            assert_eq!(
                ask(aborted(), &[Ping, Ping, Commit, Commit]),
                ["97", "97", "97", "on"]
            );
            assert_eq!(ask(aborted(), &[Ping, Rollback, Ping]), ["97", "ok", "on"]);
            assert_eq!(ask(aborted(), &[Begin, Ping]), ["on", "on"]);
        }
    }

    #[test]
    fn transactions_that_were_not_begun_are_bounded_and_take_no_places_of_others() {
        let mut own = OrphanedTransactions::default();
        own.add(1, OrphanFate::Aborted(aborted_by("a test")));
        for stream in 2..UNBEGUN_TRANSACTIONS_MAX as u64 + 4 {
            own.add(stream, OrphanFate::Unbegun(aborted_by("a test")));
        }
        let all = UNBEGUN_TRANSACTIONS_MAX + 1;
        assert_eq!((own.aborted(), own.all.len()), (1, all));
        let mut is_known = |stream| own.answer(stream, RequestType::Commit).is_some();
        assert_eq!([1, 2, 3, 4].map(&mut is_known), [true, false, false, true]);
    }

    #[test]
    fn a_commit_that_may_have_happened_is_never_told_as_aborted() {
        use RequestType::{Begin, Commit, Ping, Rollback};
        let unknown = || OrphanFate::Unknown(Error::new(ErrorCode::SYSTEM, "Outcome unknown"));
        assert_eq!(ask(unknown(), &[Commit, Commit]), ["115", "on"]);
        for request in [Begin, Ping, Rollback] {
            assert_eq!(ask(unknown(), &[request, Commit]), ["on", "on"]);
        }
    }

    #[test]
    fn commits_that_may_have_happened_are_bounded_and_take_no_places_of_transactions() {
        let mut own = OrphanedTransactions::default();
        own.add(1, OrphanFate::Aborted(aborted_by("a test")));
        for stream in 2..UNKNOWN_COMMITS_MAX as u64 + 4 {
            let error = Error::new(ErrorCode::SYSTEM, "Outcome unknown");
            own.add(stream, OrphanFate::Unknown(error));
        }
        assert_eq!((own.aborted(), own.all.len()), (1, UNKNOWN_COMMITS_MAX + 1));
        let mut is_known = |stream| own.answer(stream, RequestType::Commit).is_some();
        assert_eq!([1, 2, 3, 4].map(&mut is_known), [true, false, false, true]);
    }
}
