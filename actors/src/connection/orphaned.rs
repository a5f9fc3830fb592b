//! Orphaned transactions died with their Tx: the next Tx has never heard of them, so the session
//! answers.
//!
//! ```text
//!   open ── Tx dies ─▶ orphaned ─┬─ statement ─▶ 97, still orphaned
//!                            ├─ COMMIT ────▶ 97, over: it must not look as if it had succeeded
//!                            ├─ ROLLBACK ──▶ done, over
//!                            └─ BEGIN ─────▶ over, and a new one begins
//!
//!   COMMIT that Tx had begun ─▶ unknown ─┬─ COMMIT ─────────▶ outcome unknown, over
//!                                        └─ anything else ──▶ over: its client takes it for ended
//! ```

use vestibule_wire::request::Body;
use vestibule_wire::{Error, ErrorCode};

/// The transactions of one connection that died with their Tx and that their client has not ended.
#[derive(Debug, Default)]
pub(crate) struct OrphanedTransactions {
    all: Vec<OrphanedTransaction>,
}

#[derive(Debug)]
struct OrphanedTransaction {
    stream: u64,
    /// Of its COMMIT, if Tx had begun that.
    unknown: Option<Box<Error>>,
}

/// Error with the code of transactions that did not happen and may be tried again.
fn transaction_aborted() -> Error {
    let text = "Transaction has been aborted by a failure of Tx";
    Error::new(ErrorCode::TRANSACTION_CONFLICT, text)
}

impl OrphanedTransactions {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The transaction of a stream is lost; `unknown` is what its COMMIT was answered, if Tx had
    /// begun it.
    pub(crate) fn add(&mut self, stream: u64, unknown: Option<Error>) {
        let unknown = unknown.map(Box::new);
        self.all.push(OrphanedTransaction { stream, unknown });
    }

    /// What a request in a stream is answered: nothing, if it goes its usual way.
    pub(crate) fn answer(&mut self, stream: u64, body: &Body<'_>) -> Option<Result<(), Error>> {
        let at = self.all.iter().position(|own| own.stream == stream)?;
        let is_unknown = self.all[at].unknown.is_some();
        match body {
            Body::Commit => {
                let unknown = self.all.swap_remove(at).unknown;
                Some(Err(unknown.map_or_else(transaction_aborted, |own| *own)))
            }
            Body::Rollback if !is_unknown => {
                self.all.swap_remove(at);
                Some(Ok(()))
            }
            Body::Begin(_) => {
                self.all.swap_remove(at);
                None
            }
            _ if is_unknown => {
                self.all.swap_remove(at);
                None
            }
            _ => Some(Err(transaction_aborted())),
        }
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::keys::RequestType;
    use vestibule_wire::request::decode;

    use super::*;

    /// What these requests of one stream are answered: a code, "ok", or "on" for the usual way.
    fn ask(unknown: Option<Error>, requests: &[RequestType]) -> Vec<String> {
        let mut orphaned = OrphanedTransactions::default();
        orphaned.add(1, unknown);
        let mut answer = |request: &RequestType| {
            let body = decode(*request, &[0x80]).expect("it needs no keys");
            match orphaned.answer(1, &body) {
                None => "on".to_owned(),
                Some(Ok(())) => "ok".to_owned(),
                Some(Err(error)) => error.code().0.to_string(),
            }
        };
        requests.iter().map(&mut answer).collect()
    }

    #[test]
    fn it_is_told_as_aborted_until_its_client_ends_it() {
        use RequestType::{Begin, Commit, Ping, Rollback};
        assert_eq!(
            ask(None, &[Ping, Ping, Commit, Commit]),
            ["97", "97", "97", "on"]
        );
        assert_eq!(ask(None, &[Ping, Rollback, Ping]), ["97", "ok", "on"]);
        assert_eq!(ask(None, &[Begin, Ping]), ["on", "on"]);
    }

    #[test]
    fn a_commit_that_may_have_happened_is_never_told_as_aborted() {
        use RequestType::{Begin, Commit, Ping, Rollback};
        let unknown = || Some(Error::new(ErrorCode::SYSTEM, "Outcome unknown"));
        assert_eq!(ask(unknown(), &[Commit, Commit]), ["115", "on"]);
        for request in [Begin, Ping, Rollback] {
            assert_eq!(ask(unknown(), &[request, Commit]), ["on", "on"]);
        }
    }
}
