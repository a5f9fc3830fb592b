//! Work of the embedder whose changes are made all or not at all.
//!
//! ```text
//!   in no transaction ─▶ one of its own ─┬ done ─▶ merged into the turn
//!                                        └ an error ─▶ forgotten
//!   in one ─▶ what it takes the place of is kept ─┬ done ─▶ goes on
//!                                                 └ an error ─▶ is as it was
//! ```

use vestibule_actors::PeerAddress;
use vestibule_actors::engine::catalog::User;
use vestibule_actors::engine::{Caller, TransactionId};
use vestibule_wire::Error;

use super::EmbeddedEngine;

impl EmbeddedEngine {
    /// Does work in a transaction of its own, which is a part of the turn if it succeeds.
    ///
    /// # Errors
    ///
    /// That of the work, or of the transaction's beginning or end: nothing is changed then.
    pub(crate) fn in_transaction<R>(
        &mut self,
        work: impl FnOnce(&mut Self, TransactionId) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let id = self.workspace.next_own();
        let caller = Caller {
            connection: 0,
            user: User::named("admin"),
            peer: PeerAddress::Local,
            is_administrator: true,
        };
        self.workspace.begin(id, &caller)?;
        let result = work(self, id).and_then(|value| self.merge(id).map(|()| value));
        // One that failed, or was aborted, is there still.
        self.workspace.roll_back(id);
        result
    }

    /// Does work in a transaction; what it has changed is undone if it fails.
    ///
    /// # Errors
    ///
    /// That of the work; `ErrorCode::TRANSACTION_CONFLICT` if the transaction was aborted.
    pub(crate) fn in_savepoint<R>(
        &mut self,
        id: TransactionId,
        work: impl FnOnce(&mut Self) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let savepoint = self.workspace.savepoint(id)?;
        let result = work(self);
        self.workspace.end_savepoint(id, savepoint, result.is_ok());
        result
    }
}
