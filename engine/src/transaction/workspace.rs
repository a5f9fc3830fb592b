//! What is changed and not durable yet: the turn, and the open transactions beside it.
//!
//! ```text
//!   statement ─▶ in a transaction? ─┬ yes ─▶ its own layer ──COMMIT──┐
//!                                   └ no ──▶ turn ◀──────────────────┘
//!                                             └▶ overtakes the transactions that have seen the key
//! ```
//!
//! What is changed together, by one statement or by one COMMIT, is held against the reads of all
//! transactions before any of it is changed: those that go on with the past see none of it.

use std::sync::{Arc, Weak};

use vestibule_actors::engine::{Caller, TransactionId};
use vestibule_wire::Error;

use super::holders::Holder;
use super::past::Past;
use super::reads::{KeyBounds, Reads};
use super::turn::Turn;
use super::undo::Savepoint;
use super::{Transaction, Transactions};
use crate::errors;
use crate::limits::INDEX_CHANGES_KEPT_MAX;
use crate::model::index::PRIMARY;
use crate::model::key::Key;
use crate::store::garbage::Garbage;
use crate::store::image::Image;
use crate::store::index_build::Built;
use crate::store::layer::{Change, Layer};
use crate::store::shared_image::SharedImage;
use crate::store::snapshot::Snapshot;

/// The turn, the open transactions, and the one whose statement is executed.
#[derive(Debug)]
pub(crate) struct Workspace {
    image: SharedImage,
    turn: Turn,
    transactions: Transactions,
    active: Option<Active>,
    /// How many transactions of the embedder's there were.
    own: u64,
    /// What transactions that are overtaken go on with, while the turn is at this position.
    past: Option<((u64, u64), Weak<Past>)>,
    /// An empty list, for the next changes that are made together.
    spare: Vec<IndexChange>,
}

/// The transaction whose statement is executed.
#[derive(Debug)]
struct Active {
    own: Box<Transaction>,
    /// What it sees instead of the image, if that is the past.
    past: Option<Image>,
}

/// A change of one index, to be made together with others.
#[derive(Debug)]
pub(crate) struct IndexChange {
    pub(crate) index: u32,
    pub(crate) key: Key,
    pub(crate) change: Change,
}

/// A transaction that statements are executed in, to be left again.
#[derive(Debug)]
#[must_use = "the transaction must be left"]
pub(crate) struct Entered(TransactionId);

impl Workspace {
    /// A workspace above this image.
    pub(crate) fn new(image: SharedImage) -> Self {
        Self {
            image,
            turn: Turn::default(),
            transactions: Transactions::default(),
            active: None,
            own: 0,
            past: None,
            spare: Vec::new(),
        }
    }

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
    pub(crate) fn begin(&mut self, id: TransactionId, caller: &Caller) -> Result<(), Error> {
        self.transactions.open(id, caller)
    }

    /// A number for a transaction of the embedder's: far from those that the runtime gives.
    pub(crate) fn next_own(&mut self) -> TransactionId {
        self.own += 1;
        TransactionId(u64::MAX - self.own)
    }

    /// Sets a savepoint in a transaction.
    ///
    /// # Errors
    ///
    /// `ErrorCode::TRANSACTION_CONFLICT` if it was aborted.
    pub(crate) fn savepoint(&mut self, id: TransactionId) -> Result<Savepoint, Error> {
        let mut own = self.transactions.take(id)?;
        let savepoint = own.undo.set(&own.layer);
        self.transactions.put_back(id, own);
        Ok(savepoint)
    }

    /// Ends the newest savepoint of a transaction: what was changed since is forgotten, or kept as
    /// what was changed before. What it has seen, it has seen.
    pub(crate) fn end_savepoint(&mut self, id: TransactionId, savepoint: Savepoint, keeps: bool) {
        // One that was aborted has nothing any more.
        if let Ok(mut own) = self.transactions.take(id) {
            let own_mut = &mut *own;
            if keeps {
                own_mut.undo.release(savepoint);
            } else {
                own_mut.undo.roll_back(savepoint, &mut own_mut.layer);
            }
            self.transactions.put_back(id, own);
        }
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
        let own = self.transactions.take(id)?;
        let mut past = None;
        if let Some(kept) = &own.past {
            past = kept.image();
            if past.is_none() || self.image.read().schema_version != kept.schema_version {
                own.is_doomed.set(true);
                self.transactions.put_back(id, own);
                return Err(errors::conflict());
            }
        }
        self.active = Some(Active { own, past });
        Ok(Some(Entered(id)))
    }

    /// Ends what [`enter`](Self::enter) began.
    pub(crate) fn leave(&mut self, entered: Option<Entered>) {
        if let Some(Entered(id)) = entered
            && let Some(active) = self.active.take()
        {
            self.transactions.put_back(id, active.own);
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
            Some(active) if let Some(image) = &active.past => {
                let turn = active.own.past.as_ref().and_then(|past| past.turn());
                let layers = turn.as_slice();
                return look(Snapshot { layers, image });
            }
            Some(active) => {
                both = [&active.own.layer, self.turn.layer()];
                &both
            }
        };
        look(Snapshot { layers, image })
    }

    /// Calls `look` with the data as they are, even in a transaction that sees the past.
    pub(crate) fn look_at_present<T>(
        &self,
        image: &Image,
        look: impl FnOnce(Snapshot<'_>) -> T,
    ) -> T {
        let layers: &[&Layer] = &[self.turn.layer()];
        look(Snapshot { layers, image })
    }

    /// What is changed and not committed takes, in bytes, about.
    #[inline]
    pub(crate) fn uncommitted_bytes(&self) -> usize {
        let active = self.active.as_ref().map_or(0, |active| active.own.size());
        self.turn.layer().bytes() + self.transactions.bytes() + active
    }

    /// Whether the transaction, if there is one, may change more.
    ///
    /// # Errors
    ///
    /// `ErrorCode::MEMORY_ISSUE` if it may not, `ErrorCode::TRANSACTION_CONFLICT` if it sees the
    /// past: it is aborted then.
    #[inline]
    pub(crate) fn check_room(&self) -> Result<(), Error> {
        match &self.active {
            Some(active) => self.transactions.check_room(&active.own),
            None => Ok(()),
        }
    }

    /// Changes a key of a primary index: in the transaction, or else in the turn.
    #[inline]
    pub(crate) fn put(&mut self, space: u32, key: Key, change: Change) {
        if let Some(active) = &mut self.active {
            return active.own.put(space, key, change);
        }
        self.put_in_turn(space, key, change);
    }

    /// Changes a key of a primary index in the turn, even inside a transaction.
    #[inline]
    pub(crate) fn put_in_turn(&mut self, space: u32, key: Key, change: Change) {
        if !self.transactions.is_empty() {
            self.note(space, PRIMARY, &key);
        }
        self.turn.set(space, key, change);
    }

    /// An empty list of changes that are to be made together.
    pub(crate) fn take_list(&mut self) -> Vec<IndexChange> {
        std::mem::take(&mut self.spare)
    }

    /// Changes keys of several indexes of a space together: in the transaction, or else in the
    /// turn. Keeps the list for the next ones.
    pub(crate) fn put_together(&mut self, space: u32, mut changes: Vec<IndexChange>) {
        if self.active.is_none() && !self.transactions.is_empty() {
            for own in &changes {
                self.note(space, own.index, &own.key);
            }
        }
        for IndexChange { index, key, change } in changes.drain(..) {
            match &mut self.active {
                Some(active) if index == PRIMARY => active.own.put(space, key, change),
                Some(active) => active.own.put_secondary(space, index, key, change),
                None => self.set(space, index, key, change),
            }
        }
        if changes.capacity() <= INDEX_CHANGES_KEPT_MAX {
            self.spare = changes;
        }
    }

    fn set(&mut self, space: u32, index: u32, key: Key, change: Change) {
        if index == PRIMARY {
            self.turn.set(space, key, change);
        } else {
            self.turn.set_secondary(space, index, key, change);
        }
    }

    /// A key is about to be changed, by somebody else than the transactions that are open.
    fn note(&mut self, space: u32, index: u32, key: &Key) {
        let (image, turn, cached) = (&self.image, &mut self.turn, &mut self.past);
        let mut past = |holder: &Arc<Holder>| {
            let position = turn.position();
            let known = cached.as_ref().filter(|(known, _)| *known == position);
            if let Some(known) = known.and_then(|(_, past)| past.upgrade()) {
                return Some(known);
            }
            let is_empty = turn.is_empty();
            if !is_empty {
                if !turn.may_be_copied() {
                    return None;
                }
                holder.check(turn.layer().bytes()).ok()?;
                turn.note_copy();
            }
            let version = image.read().clone();
            let schema_version = version.schema_version;
            let past = Arc::new(Past::new(
                image.keep(version),
                schema_version,
                (!is_empty).then(|| turn.layer().clone()),
                position.0,
                holder.clone(),
            ));
            *cached = Some((position, Arc::downgrade(&past)));
            Some(past)
        };
        self.transactions.note(space, index, key, &mut past);
    }

    /// Changes a row of a system space in every index, with the indexes that were built for it.
    pub(crate) fn put_definition(
        &mut self,
        space: u32,
        changes: Vec<IndexChange>,
        built: Vec<Built>,
    ) {
        self.turn.keep_built(built);
        for IndexChange { index, key, change } in changes {
            self.set(space, index, key, change);
        }
    }

    /// A change of definitions is complete: aborts the transactions that have seen what it changes.
    pub(crate) fn end_ddl(&mut self) {
        self.turn.end_ddl();
        self.transactions.note_definitions(self.turn.layer());
    }

    /// Remembers what the transaction has seen, if there is one. What it sees of the past does not
    /// change any more.
    #[inline]
    pub(crate) fn saw(&self, add: impl FnOnce(&mut Reads)) {
        if let Some(Active { own, past: None }) = &self.active {
            add(&mut own.reads.borrow_mut());
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
    /// of it. `check_writable` is asked about what it changed, if it changed anything.
    ///
    /// # Errors
    ///
    /// `ErrorCode::TRANSACTION_CONFLICT` if the transaction was aborted, and those of
    /// `check_writable`.
    pub(crate) fn commit(
        &mut self,
        id: TransactionId,
        check_writable: impl FnOnce(&Layer) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let taken = self.transactions.take(id);
        self.transactions.forget(id);
        let mut own = taken?;
        self.transactions.discard(&mut own);
        if own.layer.is_empty() {
            return Ok(());
        }
        check_writable(&own.layer)?;
        if !self.transactions.is_empty() {
            for ((space, index), changes) in own.layer.all() {
                changes.keys().for_each(|key| self.note(space, index, key));
            }
        }
        for ((space, index), changes) in own.layer.take() {
            for (key, change) in changes {
                self.set(space, index, key, change);
            }
        }
        Ok(())
    }

    /// Takes out a little of what transactions that are over have seen.
    pub(crate) fn tidy(&mut self) {
        self.transactions.tidy();
    }

    /// The turn's changes and the indexes built for them, to be applied to the image.
    pub(crate) fn take_turn(&mut self) -> (&mut Layer, Vec<Built>) {
        self.turn.take()
    }

    /// Forgets the turn, and aborts the transactions that have seen any of it.
    pub(crate) fn discard_turn(&mut self) -> Garbage {
        let (number, _) = self.turn.position();
        self.transactions.note_all(self.turn.layer(), number);
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
