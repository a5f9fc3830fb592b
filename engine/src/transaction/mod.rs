//! Interactive transactions: optimistic, serializable.
//!
//! ```text
//!   statement ─▶ own layer ─▶ turn ─▶ image         reads: what it saw, and what was not there
//!
//!   a change by anybody else ─▶ who has seen the key? ─┬ has written ─▶ aborted
//!                                                      └ only read ──▶ goes on with the past
//!   COMMIT ─▶ own layer into the turn (a change by somebody else, for the other transactions)
//! ```
//!
//! A transaction that writes has seen nothing that has changed since, so all it saw is true at its
//! commit: those that write are in effect executed one by one, in the order of their commits. One
//! that only reads and is overtaken keeps the data as they were just before: that is its place in
//! the order. It may not write any more. An aborted one sees nothing more, so that no client ever
//! looks at half of another transaction.
//!
//! | module | what |
//! |---|---|
//! | `edge` | places between keys |
//! | `reads` | what a transaction has seen |
//! | `readers` | who has seen what |
//! | `holders` | what they take, by whom |
//! | `past` | the data as they were before a change |
//! | `undo` | the way back to savepoints |
//! | `turn` | changes that are committed together |
//! | `workspace` | the turn, the open transactions, and the one whose statement is executed |
//!
//! A key that it wrote counts as seen, so of two writers of a key the one that commits first wins.

mod edge;
mod holders;
mod past;
mod readers;
mod reads;
#[cfg(test)]
mod tests;
pub(crate) mod turn;
mod undo;
pub(crate) mod workspace;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use vestibule_actors::engine::{Caller, TransactionId};
use vestibule_wire::Error;

use crate::errors;
use crate::limits::{
    OPEN_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_TAKEN_OUT_MAX,
    TRANSACTION_TAKEN_OUT_PER_CHANGE, VERSION_DROPPED_INLINE_MAX,
};
use crate::model::index::PRIMARY;
use crate::model::key::Key;
use crate::schema::system;
use crate::schema::system::rows::SpaceRow;
use crate::store::garbage::discard_elsewhere;
use crate::store::layer::{Change, Layer};
use holders::{Full, Holder, Holders};
use past::Past;
use readers::{Readers, SeenBy};
pub(crate) use reads::Reads;
use undo::UndoLog;

/// An open transaction.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// What it changed.
    pub(crate) layer: Layer,
    /// The way back to its savepoints.
    undo: UndoLog,
    /// Looking does not change the engine, but what the transaction has seen.
    pub(crate) reads: RefCell<Reads>,
    /// What it sees instead of the present: something that it had seen has changed.
    past: Option<Arc<Past>>,
    /// Who pays for it.
    holder: Arc<Holder>,
    /// A write was tried, and it may not write.
    is_doomed: Cell<bool>,
    is_aborted: bool,
}

impl Transaction {
    /// Changes a key of a primary index, for this transaction alone.
    pub(crate) fn put(&mut self, space: u32, key: Key, change: Change) {
        self.reads.get_mut().add_point(space, PRIMARY, &key);
        self.undo.note(&self.layer, space, PRIMARY, &key);
        self.layer.set(space, key, change);
    }

    /// Changes a key of a secondary index.
    pub(crate) fn put_secondary(&mut self, space: u32, index: u32, key: Key, change: Change) {
        self.undo.note(&self.layer, space, index, &key);
        self.layer.set_secondary(space, index, key, change);
    }

    /// Whether it sees the present.
    fn is_current(&self) -> bool {
        !self.is_aborted && self.past.is_none()
    }

    /// What it changed and keeps to undo that, in bytes, about.
    fn changed_bytes(&self) -> usize {
        self.layer.bytes() + self.undo.bytes()
    }

    /// What it changed and saw, in bytes, about.
    fn size(&self) -> usize {
        self.changed_bytes() + self.reads.borrow().bytes()
    }

    /// Forgets what it changed.
    fn drop_changes(&mut self) {
        self.undo.clear();
        let layer = std::mem::take(&mut self.layer);
        let bytes = layer.bytes();
        drop_large(layer, bytes);
    }
}

/// Every open transaction but the one whose statement is executed.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    open: HashMap<TransactionId, Box<Transaction>>,
    /// All that have reads that count, the one whose statement is executed too, by their numbers.
    live: HashMap<u64, TransactionId>,
    begun: u64,
    readers: Readers,
    /// Reads that do not count any more, to be taken out of the readers bit by bit.
    over: VecDeque<(Reads, Arc<Holder>)>,
    /// Who holds how much: the sizes of all that are open, what is over, and what is kept of turns
    /// for those that see the past.
    holders: Holders,
}

impl Transactions {
    /// Whether there are none: nobody needs to be told of changes.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// What all of them take, with what is over and with turns that are past.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.holders.bytes()
    }

    /// # Errors
    ///
    /// `ErrorCode::ILLEGAL_PARAMS` if there are too many.
    pub(crate) fn open(&mut self, id: TransactionId, caller: &Caller) -> Result<(), Error> {
        if self.open.len() >= OPEN_TRANSACTIONS_MAX {
            return Err(Error::illegal_params("Too many open transactions"));
        }
        self.forget(id);
        self.begun += 1;
        self.live.insert(self.begun, id);
        let own = Transaction {
            reads: RefCell::new(Reads::of(self.begun)),
            holder: self.holders.holder(caller),
            ..Transaction::default()
        };
        self.open.insert(id, Box::new(own));
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

    /// Puts back what was taken out, with what its statement has seen.
    pub(crate) fn put_back(&mut self, id: TransactionId, mut own: Box<Transaction>) {
        self.tidy();
        let reads = own.reads.get_mut();
        self.readers.register(reads);
        if own.holder.check(own.size()).is_err() {
            self.readers.widen_all(own.reads.get_mut());
        }
        let is_doomed = own.is_doomed.get();
        own.holder.add(own.size());
        self.open.insert(id, own);
        if is_doomed {
            self.abort(id);
        }
    }

    /// Forgets a transaction with what it has seen and changed, if it is there.
    pub(crate) fn forget(&mut self, id: TransactionId) {
        self.tidy();
        if let Some(mut own) = self.remove(id) {
            self.discard(&mut own);
            own.drop_changes();
        }
    }

    /// What a transaction that was taken out has seen does not count any more.
    fn discard(&mut self, own: &mut Transaction) {
        let reads = std::mem::take(own.reads.get_mut());
        self.live.remove(&reads.owner);
        own.holder.add(reads.bytes());
        self.over.push_back((reads, own.holder.clone()));
    }

    fn remove(&mut self, id: TransactionId) -> Option<Box<Transaction>> {
        let own = self.open.remove(&id)?;
        own.holder.subtract(own.size());
        Some(own)
    }

    /// Takes out a little of what is over.
    pub(crate) fn tidy(&mut self) {
        self.take_out(TRANSACTION_TAKEN_OUT_MAX);
    }

    fn take_out(&mut self, mut most: usize) {
        while most > 0
            && let Some((reads, holder)) = self.over.front_mut()
        {
            let before = reads.bytes();
            let (count, is_done) = self.readers.take_out(reads, most);
            holder.subtract(before - reads.bytes());
            most -= count.min(most);
            if is_done {
                self.over.pop_front();
            }
        }
    }

    /// Whether a transaction beside these may change more.
    ///
    /// # Errors
    ///
    /// `ErrorCode::MEMORY_ISSUE` if it may not, `ErrorCode::TRANSACTION_CONFLICT` if it sees the
    /// past: it is aborted then.
    pub(crate) fn check_room(&self, own: &Transaction) -> Result<(), Error> {
        if own.past.is_some() {
            own.is_doomed.set(true);
            return Err(errors::conflict());
        }
        let changed = own.changed_bytes();
        if changed >= TRANSACTION_BYTES_MAX {
            return Err(errors::transaction_too_large(changed));
        }
        let bytes = own.size();
        own.holder.check(bytes).map_err(|full| match full {
            Full::All => errors::transactions_too_large(self.bytes() + bytes),
            Full::Share => errors::share_of_transactions_too_large(bytes),
        })
    }

    /// Everybody who has seen a key, but for the one whose statement is executed.
    fn who_saw(&mut self, space: u32, index: u32, key: &Key) -> Vec<TransactionId> {
        let mut found = Vec::new();
        self.readers.find((space, index), key, &mut found);
        let mut seen_by = Vec::new();
        for SeenBy { owner, .. } in &found {
            let id = self.live.get(owner);
            seen_by.extend(id.filter(|id| self.open.contains_key(id)).copied());
        }
        let is_over = |reader: &SeenBy| !self.live.contains_key(&reader.owner);
        for reader in found.into_iter().filter(is_over) {
            self.readers.forget((space, index), key, reader);
        }
        seen_by
    }

    /// Somebody changes a key: those that have seen it and written anything are aborted, the others
    /// go on with the past.
    fn note(
        &mut self,
        space: u32,
        index: u32,
        key: &Key,
        past: &mut dyn FnMut(&Arc<Holder>) -> Option<Arc<Past>>,
    ) {
        if !self.readers.has((space, index)) {
            return;
        }
        for id in self.who_saw(space, index, key) {
            let Some(own) = self.open.get(&id).filter(|own| own.is_current()) else {
                continue;
            };
            let has_written = !own.layer.is_empty();
            let kept = Some(()).filter(|()| !has_written);
            match kept.and_then(|()| past(&own.holder)) {
                Some(kept) => self.overtake(id, kept),
                None => self.abort(id),
            }
        }
        self.take_out(TRANSACTION_TAKEN_OUT_PER_CHANGE);
    }

    /// From here on, a transaction sees the past.
    fn overtake(&mut self, id: TransactionId, past: Arc<Past>) {
        if let Some(mut own) = self.remove(id) {
            self.discard(&mut own);
            own.past = Some(past);
            own.holder.add(own.size());
            self.open.insert(id, own);
        }
    }

    /// What a transaction held is of no use to anybody now.
    fn abort(&mut self, id: TransactionId) {
        if let Some(mut own) = self.remove(id) {
            self.discard(&mut own);
            own.drop_changes();
            let aborted = Transaction {
                is_aborted: true,
                holder: own.holder,
                ..Transaction::default()
            };
            self.open.insert(id, Box::new(aborted));
        }
    }

    fn abort_all(&mut self, is_concerned: impl Fn(&mut Transaction) -> bool) {
        let open = self.open.iter_mut();
        let concerned = open.filter_map(|(id, own)| is_concerned(own).then_some(*id));
        for id in concerned.collect::<Vec<_>>() {
            self.abort(id);
        }
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
            for (key, change) in changes {
                // Keys of these spaces begin with the number of the space that they are about.
                let about = key.first_number() as u32;
                let parents = parents(space, change);
                for id in self.who_saw(space, PRIMARY, key) {
                    self.abort(id);
                }
                self.abort_all(|own| {
                    let reads = own.reads.get_mut();
                    reads.has_catalog()
                        || (is_definition && reads.touches(about))
                        || parents.iter().any(|parent| reads.touches(*parent))
                });
            }
        }
    }

    /// A turn was forgotten: aborts those that have seen any of it.
    pub(crate) fn note_all(&mut self, turn: &Layer, turn_number: u64) {
        if self.is_empty() {
            return;
        }
        for ((space, index), changes) in turn.all() {
            for key in changes.keys() {
                for id in self.who_saw(space, index, key) {
                    self.abort(id);
                }
            }
        }
        self.abort_all(|own| {
            let past = own.past.as_ref();
            past.is_some_and(|past| past.turn_number == turn_number && past.turn().is_some())
        });
    }
}

/// The spaces that the foreign keys of a definition lead to: who has changed something there may
/// have taken away what they need.
fn parents(space: u32, change: &Change) -> Vec<u32> {
    let row = change.as_ref().filter(|_| space == system::SPACE);
    let row = row.and_then(|row| SpaceRow::decode(row).ok());
    let Some(row) = row else { return Vec::new() };
    row.foreign_keys().map(|key| key.parent(row.id)).collect()
}

/// Drops what takes this many bytes, on a thread of its own if those are many.
fn drop_large<T: Send + 'static>(something: T, bytes: usize) {
    if bytes as u64 > VERSION_DROPPED_INLINE_MAX {
        discard_elsewhere(something);
    }
}

#[cfg(test)]
impl Transactions {
    /// Lets the open transactions forget what they have seen.
    fn forget_reads(&mut self) {
        let ids: Vec<_> = self.open.keys().copied().collect();
        for id in ids {
            if let Some(mut own) = self.remove(id) {
                if !own.is_aborted {
                    self.discard(&mut own);
                    self.begun += 1;
                    self.live.insert(self.begun, id);
                    *own.reads.get_mut() = Reads::of(self.begun);
                }
                own.holder.add(own.size());
                self.open.insert(id, own);
            }
        }
    }
}
