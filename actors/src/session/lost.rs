//! Transactions that died with their Tx: the next Tx has never heard of them, so the session answers.
//!
//! ```text
//!   open ── Tx dies ─▶ lost ─┬─ statement ─▶ 97, still lost
//!                            ├─ COMMIT ────▶ 97, over: it must not look as if it had succeeded
//!                            ├─ ROLLBACK ──▶ done, over
//!                            └─ BEGIN ─────▶ over, and a new one begins
//! ```
//!
//! A COMMIT that the dead Tx had begun may have happened: whoever asks again is told that instead.

use vestibule_wire::request::Body;
use vestibule_wire::{Error, ErrorCode};

use super::desk::{Desk, Taken};
use super::registry::Pending;
use super::state::{OpenTransaction, SessionState};

/// What statements of a transaction get that died with its Tx. Its code is that of transactions that
/// did not happen and may be tried again.
fn lost() -> Error {
    let text = "Transaction has been aborted by a failure of Tx";
    Error::new(ErrorCode::TRANSACTION_CONFLICT, text)
}

impl SessionState {
    /// Tx died: so did every transaction that is open. `ends` are the COMMITs and ROLLBACKs that it had
    /// begun, and `unknown` is what their clients are told.
    pub(super) fn lose_transactions(&mut self, connection: u64, ends: &[Pending], unknown: &Error) {
        let live = self.transactions.iter_mut();
        for open in live.filter(|own| own.lost.is_none()) {
            let is_own = |own: &Pending| (own.connection, own.stream) == (connection, open.stream);
            let may_be_committed = ends.iter().any(is_own);
            open.lost = Some(Box::new(match may_be_committed {
                true => unknown.clone(),
                false => lost(),
            }));
        }
    }

    /// How many transactions are open and not lost.
    pub(super) fn live_transactions(&self) -> usize {
        let is_live = |own: &&OpenTransaction| own.lost.is_none();
        self.transactions.iter().filter(is_live).count()
    }
}

impl Desk<'_> {
    /// Answers a request in the stream of a transaction that is lost; false if it is not in one.
    pub(super) fn answer_in_lost(&mut self, taken: &Taken<'_>) -> bool {
        let open = &mut self.session.transactions;
        let is_meant = |own: &OpenTransaction| own.stream == taken.stream;
        let Some(at) = open.iter().position(is_meant) else {
            return false;
        };
        let Some(error) = &open[at].lost else {
            return false;
        };
        let error = (**error).clone();
        match taken.body {
            Body::Begin(_) => {
                open.swap_remove(at);
                return false;
            }
            Body::Rollback => {
                open.swap_remove(at);
                let header = self.header(taken.sync);
                header.write_empty(self.session.output.buffer());
            }
            Body::Commit => {
                open.swap_remove(at);
                self.refuse(taken.sync, &error);
            }
            _ => self.refuse(taken.sync, &error),
        }
        true
    }
}
