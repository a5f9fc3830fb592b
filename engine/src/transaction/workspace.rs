//! What is changed and not durable yet: the turn, and the open transactions beside it.
//!
//! ```text
//!   statement ─▶ in a transaction? ─┬ yes ─▶ its own layer ──COMMIT──┐
//!                                   └ no ──▶ turn ◀──────────────────┘
//!                                             └▶ aborts the transactions that have seen the key
//! ```

use vestibule_actors::engine::TransactionId;
use vestibule_wire::Error;

use super::reads::{KeyBounds, Reads};
use super::turn::Turn;
use super::{Transaction, Transactions};
use crate::model::index::PRIMARY;
use crate::model::key::Key;
use crate::store::garbage::Garbage;
use crate::store::image::Image;
use crate::store::index_build::Built;
use crate::store::layer::{Change, Layer};
use crate::store::snapshot::Snapshot;

/// The turn, the open transactions, and the one whose statement is executed.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    turn: Turn,
    transactions: Transactions,
    active: Option<Box<Transaction>>,
}

/// A transaction that statements are executed in, to be left again.
#[derive(Debug)]
#[must_use = "the transaction must be left"]
pub(crate) struct Entered(TransactionId);

impl Workspace {
    /// The turn under construction.
    #[inline]
    pub(crate) fn turn(&self) -> &Turn {
        &self.turn
    }

    /// Whether statements are executed in a transaction.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.active.is_some()
    }

    /// Opens a transaction.
    ///
    /// # Errors
    ///
    /// `ErrorCode::ILLEGAL_PARAMS` if there are too many.
    pub(crate) fn begin(&mut self, id: TransactionId) -> Result<(), Error> {
        self.transactions.open(id)
    }

    /// Forgets a transaction with everything that it changed.
    pub(crate) fn roll_back(&mut self, id: TransactionId) {
        self.transactions.forget(id);
    }

    /// Executes what follows in a transaction, if one is given and none is entered already.
    ///
    /// # Errors
    ///
    /// `ErrorCode::TRANSACTION_CONFLICT` if the transaction was aborted.
    pub(crate) fn enter(&mut self, id: Option<TransactionId>) -> Result<Option<Entered>, Error> {
        let Some(id) = id.filter(|_| self.active.is_none()) else {
            return Ok(None);
        };
        self.active = Some(self.transactions.take(id)?);
        Ok(Some(Entered(id)))
    }

    /// Ends what [`enter`](Self::enter) began.
    pub(crate) fn leave(&mut self, entered: Option<Entered>) {
        if let Some(Entered(id)) = entered
            && let Some(own) = self.active.take()
        {
            self.transactions.put_back(id, own);
        }
    }

    /// Calls `look` with the data as the statement sees it: through its transaction and the turn.
    #[inline]
    pub(crate) fn look<T>(&self, image: &Image, look: impl FnOnce(Snapshot<'_>) -> T) -> T {
        let (turn, both);
        let layers: &[&Layer] = match &self.active {
            None => {
                turn = [self.turn.layer()];
                &turn
            }
            Some(own) => {
                both = [&own.layer, self.turn.layer()];
                &both
            }
        };
        look(Snapshot { layers, image })
    }

    /// Whether the transaction, if there is one, may change more.
    ///
    /// # Errors
    ///
    /// `ErrorCode::MEMORY_ISSUE` if it may not.
    #[inline]
    pub(crate) fn check_room(&self) -> Result<(), Error> {
        match &self.active {
            Some(own) => self.transactions.check_room(own),
            None => Ok(()),
        }
    }

    /// Changes a key of a primary index: in the transaction, or else in the turn.
    #[inline]
    pub(crate) fn put(&mut self, space: u32, key: Key, change: Change) {
        if let Some(own) = &mut self.active {
            return own.put(space, key, change);
        }
        self.put_in_turn(space, key, change);
    }

    /// Changes a key of a primary index in the turn, even inside a transaction.
    #[inline]
    pub(crate) fn put_in_turn(&mut self, space: u32, key: Key, change: Change) {
        if !self.transactions.is_empty() {
            self.transactions.note(space, PRIMARY, &key);
        }
        self.turn.set(space, key, change);
    }

    /// Changes a key of a secondary index.
    pub(crate) fn put_secondary(&mut self, space: u32, index: u32, key: Key, change: Change) {
        if let Some(own) = &mut self.active {
            return own.put_secondary(space, index, key, change);
        }
        if !self.transactions.is_empty() {
            self.transactions.note(space, index, &key);
        }
        self.turn.set_secondary(space, index, key, change);
    }

    /// Changes a row of a system space, with the indexes that were built for it.
    pub(crate) fn put_definition(
        &mut self,
        space: u32,
        key: Key,
        change: Change,
        built: Vec<Built>,
    ) {
        self.turn.keep_built(built);
        self.turn.set(space, key, change);
    }

    /// A change of definitions is complete: aborts the transactions that have seen what it changes.
    pub(crate) fn end_ddl(&mut self) {
        self.turn.end_ddl();
        self.transactions.note_definitions(self.turn.layer());
    }

    /// Remembers what the transaction has seen, if there is one.
    #[inline]
    pub(crate) fn saw(&self, add: impl FnOnce(&mut Reads)) {
        if let Some(own) = &self.active {
            let reads = &mut own.reads.borrow_mut();
            add(reads);
            if self.transactions.is_full_with(reads, own.bytes) {
                reads.widen();
            }
        }
    }

    /// One key was looked up, whether it was there or not.
    #[inline]
    pub(crate) fn saw_point(&self, space: u32, index: u32, key: &Key) {
        self.saw(|reads| reads.add_point(space, index, key));
    }

    /// A range was walked over.
    #[inline]
    pub(crate) fn saw_range(&self, space: u32, index: u32, range: impl FnOnce() -> KeyBounds) {
        self.saw(|reads| reads.add_range(space, index, range()));
    }

    /// Moves what a transaction changed into the turn; the transaction is gone then, whatever comes
    /// of it. `check_writable` is asked if it changed anything.
    ///
    /// # Errors
    ///
    /// `ErrorCode::TRANSACTION_CONFLICT` if the transaction was aborted, and those of
    /// `check_writable`.
    pub(crate) fn commit(
        &mut self,
        id: TransactionId,
        check_writable: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let taken = self.transactions.take(id);
        self.transactions.forget(id);
        let mut own = taken?;
        if own.layer.is_empty() {
            return Ok(());
        }
        check_writable()?;
        for (space, changes) in own.layer.take() {
            for (key, change) in changes {
                self.put(space, key, change);
            }
        }
        for ((space, index), changes) in own.layer.take_secondaries() {
            for (key, change) in changes {
                self.put_secondary(space, index, key, change);
            }
        }
        Ok(())
    }

    /// The turn's changes and the indexes built for them, to be applied to the image.
    pub(crate) fn take_turn(&mut self) -> (&mut Layer, Vec<Built>) {
        self.turn.take()
    }

    /// Forgets the turn, and aborts the transactions that have seen any of it.
    pub(crate) fn discard_turn(&mut self) -> Garbage {
        self.transactions.note_all(self.turn.layer());
        self.turn.clear()
    }
}

#[cfg(test)]
impl Workspace {
    /// Lets the open transactions forget what they have seen, so that no conflict is found: to show
    /// that the tests find what validation prevents.
    pub(crate) fn forget_reads(&mut self) {
        self.transactions.forget_reads();
    }
}
