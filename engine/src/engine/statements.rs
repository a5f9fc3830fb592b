//! How the engine's requests read and write inside transactions, and beside them.

use vestibule_actors::engine::TransactionId;
use vestibule_wire::Error;

use crate::engine::EmbeddedEngine;
use crate::model::index::PRIMARY;
use crate::model::key::Key;
use crate::store::layer::Change;
use crate::transaction::{KeyBounds, Reads};

/// A transaction that statements are executed in, to be left again.
#[derive(Debug)]
#[must_use = "the transaction must be left"]
pub(crate) struct Entered(TransactionId);

impl EmbeddedEngine {
    /// Executes what follows in a transaction, if one is given and it is not entered already.
    ///
    /// # Errors
    ///
    /// 97 if it was aborted.
    pub(crate) fn enter(&mut self, id: Option<TransactionId>) -> Result<Option<Entered>, Error> {
        let Some(id) = id.filter(|_| self.active.is_none()) else {
            return Ok(None);
        };
        self.active = Some(self.transactions.take(id)?);
        Ok(Some(Entered(id)))
    }

    pub(crate) fn leave(&mut self, entered: Option<Entered>) {
        if let Some(Entered(id)) = entered
            && let Some(own) = self.active.take()
        {
            self.transactions.put_back(id, own);
        }
    }

    /// Changes a key of a primary index: in the transaction, or else in the turn.
    #[inline]
    pub(crate) fn put(&mut self, space: u32, key: Key, change: Change) {
        if let Some(own) = &mut self.active {
            return own.put(space, key, change);
        }
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

    /// Moves what a transaction changed into the turn; it is gone then, whatever comes of it.
    ///
    /// # Errors
    ///
    /// 97 if it was aborted, 7 if it changed anything and nothing can be written.
    pub(crate) fn merge(&mut self, id: TransactionId) -> Result<(), Error> {
        let taken = self.transactions.take(id);
        self.transactions.forget(id);
        let mut own = taken?;
        if own.layer.is_empty() {
            return Ok(());
        }
        self.check_writable()?;
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
}
