//! Interactive transactions: optimistic, serializable.
//!
//! ```text
//!   statement ─▶ own layer ─▶ turn ─▶ image         reads: what it saw, and what was not there
//!
//!   a change by anybody else ─▶ is its key in the reads of an open transaction? ─▶ aborted
//!   COMMIT ─▶ own layer into the turn (a change by somebody else, for the other transactions)
//! ```
//!
//! A transaction that is open still has seen nothing that has changed since, so all it saw is true
//! at its commit: transactions are in effect executed one by one, in the order of their commits. An
//! aborted one sees nothing more, so that no client ever looks at half of another transaction.
//!
//! | module | what |
//! |---|---|
//! | `reads` | what a transaction has seen |
//! | `turn` | changes that are committed together |
//! | `workspace` | the turn, the open transactions, and the one whose statement is executed |
//!
//! A key that it wrote counts as seen, so of two writers of a key the one that commits first wins.

mod reads;
pub(crate) mod turn;
pub(crate) mod workspace;

use std::cell::RefCell;
use std::collections::HashMap;

use vestibule_actors::engine::TransactionId;
use vestibule_wire::Error;

use crate::errors;
use crate::limits::{
    OPEN_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_CHANGE_BYTES, TRANSACTIONS_BYTES_MAX,
};
use crate::model::index::PRIMARY;
use crate::model::key::Key;
use crate::schema::system;
use crate::store::layer::{Change, Layer};
pub(crate) use reads::Reads;

/// An open transaction.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// What it changed.
    pub(crate) layer: Layer,
    /// Looking does not change the engine, but what the transaction has seen.
    pub(crate) reads: RefCell<Reads>,
    /// Size of the layer, about.
    bytes: usize,
    is_aborted: bool,
}

impl Transaction {
    /// Changes a key of a primary index, for this transaction alone.
    pub(crate) fn put(&mut self, space: u32, key: Key, change: Change) {
        let size = |change: &Change| {
            let tuple = change.as_ref().map_or(0, |tuple| tuple.len());
            TRANSACTION_CHANGE_BYTES + tuple
        };
        let changes = self.layer.changes(space);
        let old = changes.and_then(|changes| changes.get(&key));
        self.bytes -= old.map_or(0, size);
        self.bytes += size(&change);
        self.reads.get_mut().add_point(space, PRIMARY, &key);
        self.layer.set(space, key, change);
    }

    /// Changes a key of a secondary index.
    pub(crate) fn put_secondary(&mut self, space: u32, index: u32, key: Key, change: Change) {
        self.bytes += TRANSACTION_CHANGE_BYTES;
        self.layer.set_secondary(space, index, key, change);
    }

    /// What it changed and saw, in bytes, about.
    fn size(&self) -> usize {
        self.bytes + self.reads.borrow().bytes()
    }

    // What it held is of no use to anybody now.
    fn abort(&mut self) {
        *self = Self {
            is_aborted: true,
            ..Self::default()
        };
    }
}

/// Every open transaction but the one whose statement is executed.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    open: HashMap<TransactionId, Box<Transaction>>,
    /// The sum of their sizes.
    bytes: usize,
}

impl Transactions {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// # Errors
    ///
    /// `ErrorCode::ILLEGAL_PARAMS` if there are too many.
    pub(crate) fn open(&mut self, id: TransactionId) -> Result<(), Error> {
        if self.open.len() >= OPEN_TRANSACTIONS_MAX {
            return Err(Error::illegal_params("Too many open transactions"));
        }
        self.open.insert(id, Box::default());
        Ok(())
    }

    /// Takes a transaction out.
    ///
    /// # Errors
    ///
    /// `ErrorCode::TRANSACTION_CONFLICT` if it was aborted; it then stays, for its client to end
    /// it.
    pub(crate) fn take(&mut self, id: TransactionId) -> Result<Box<Transaction>, Error> {
        match self.open.get(&id) {
            Some(own) if !own.is_aborted => self.remove(id).ok_or_else(errors::conflict),
            _ => Err(errors::conflict()),
        }
    }

    pub(crate) fn put_back(&mut self, id: TransactionId, own: Box<Transaction>) {
        self.bytes += own.size();
        self.open.insert(id, own);
    }

    pub(crate) fn forget(&mut self, id: TransactionId) {
        self.remove(id);
    }

    fn remove(&mut self, id: TransactionId) -> Option<Box<Transaction>> {
        let own = self.open.remove(&id)?;
        self.bytes -= own.size();
        Some(own)
    }

    /// Whether a transaction beside these may change more.
    ///
    /// # Errors
    ///
    /// `ErrorCode::MEMORY_ISSUE` if it may not.
    pub(crate) fn check_room(&self, own: &Transaction) -> Result<(), Error> {
        if own.bytes >= TRANSACTION_BYTES_MAX {
            return Err(errors::transaction_too_large(own.bytes));
        }
        if self.is_full_with(&own.reads.borrow(), own.bytes) {
            return Err(errors::transactions_too_large(self.bytes + own.size()));
        }
        Ok(())
    }

    /// Whether there is no room beside what one transaction has seen, and `bytes` more.
    pub(crate) fn is_full_with(&self, reads: &Reads, bytes: usize) -> bool {
        self.bytes + bytes + reads.bytes() >= TRANSACTIONS_BYTES_MAX
    }

    /// Somebody changed a key: aborts those that have seen it.
    pub(crate) fn note(&mut self, space: u32, index: u32, key: &Key) {
        self.abort_if(|reads| reads.contains(space, index, key));
    }

    /// Somebody changed definitions: aborts those that have seen the spaces or the definitions.
    pub(crate) fn note_definitions(&mut self, turn: &Layer) {
        if self.is_empty() {
            return;
        }
        for (space, changes) in turn.spaces() {
            let is_definition = matches!(
                space,
                system::SPACE | system::INDEX | system::TRUNCATE | system::SPACE_SEQUENCE
            );
            for key in changes.keys() {
                // Keys of these spaces begin with the number of the space that they are about.
                let about = key.first_number() as u32;
                self.abort_if(|reads| {
                    reads.has_catalog()
                        || reads.contains(space, PRIMARY, key)
                        || (is_definition && reads.touches(about))
                });
            }
        }
    }

    /// A turn was forgotten: aborts those that have seen any of it.
    pub(crate) fn note_all(&mut self, turn: &Layer) {
        if self.is_empty() {
            return;
        }
        for (space, changes) in turn.spaces() {
            changes
                .keys()
                .for_each(|key| self.note(space, PRIMARY, key));
        }
        for ((space, index), changes) in turn.secondaries() {
            changes.keys().for_each(|key| self.note(space, index, key));
        }
    }

    fn abort_if(&mut self, has_seen: impl Fn(&Reads) -> bool) {
        for own in self.open.values_mut() {
            if has_seen(own.reads.get_mut()) {
                self.bytes -= own.size();
                own.abort();
            }
        }
    }
}

#[cfg(test)]
impl Transactions {
    /// Lets the open transactions forget what they have seen.
    fn forget_reads(&mut self) {
        for own in self.open.values_mut() {
            self.bytes -= own.size();
            *own.reads.get_mut() = Reads::default();
            self.bytes += own.size();
        }
    }
}
