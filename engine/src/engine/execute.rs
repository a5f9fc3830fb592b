//! A data request's way, on Tx's thread, inside a turn: from its body to its reply.
//!
//! ```text
//!   space ─▶ may it be written? ─▶ index ─▶ key, tuple ─▶ look through the turn ─▶ change the turn
//! ```

use vestibule_actors::engine::{Outcome, Reply, Request, TransactionId};
use vestibule_wire::Error;
use vestibule_wire::request::{Body, Delete, Store, Update, Upsert};

use super::EmbeddedEngine;
use super::write::{Existing, nothing, push};
use crate::errors;
use crate::model::index::PRIMARY;
use crate::model::space::SpaceDef;
use crate::model::tuple::Tuple;
use crate::query::update::{self, Mode};
use crate::schema::system;
use crate::transaction::workspace::Entered;

impl EmbeddedEngine {
    /// Executes a request with the rights of the effective user, inside the request's transaction:
    /// for procedures, which call it for their callers.
    #[inline]
    pub(crate) fn execute_as_effective_user(
        &mut self,
        request: &Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        if request.transaction.is_none() {
            return self.dispatch(&request.body, reply);
        }
        let entered = self.enter(request.transaction)?;
        let outcome = self.dispatch(&request.body, reply);
        self.leave(entered);
        outcome
    }

    /// Executes what follows in a transaction, if one is given and none is entered already.
    ///
    /// # Errors
    ///
    /// `ErrorCode::TRANSACTION_CONFLICT` if the transaction was aborted.
    pub(crate) fn enter(
        &mut self,
        transaction: Option<TransactionId>,
    ) -> Result<Option<Entered>, Error> {
        self.workspace.enter(transaction)
    }

    /// Ends what [`enter`](Self::enter) began.
    pub(crate) fn leave(&mut self, entered: Option<Entered>) {
        self.workspace.leave(entered);
    }

    #[inline]
    pub(crate) fn dispatch(
        &mut self,
        body: &Body<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        match body {
            Body::Select(select) => self.select(select, reply),
            Body::Insert(store) => self.store(store, Existing::Refuse, reply),
            Body::Replace(store) => self.store(store, Existing::Replace, reply),
            Body::Update(update) => self.update(update, reply),
            Body::Delete(delete) => self.delete(delete, reply),
            Body::Upsert(upsert) => self.upsert(upsert, reply),
            _ => Err(errors::unsupported("this request in the engine")),
        }
    }

    #[inline]
    fn store(
        &mut self,
        store: &Store<'_>,
        existing: Existing,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        let space = self.writable(store.space)?;
        if !space.fills_fields() {
            return self.store_whole(store, existing, reply);
        }
        let space = space.clone();
        let generated = self.generated(&space, store.tuple)?;
        let tuple = generated.as_deref().unwrap_or(store.tuple);
        let filled = space.with_defaults(tuple)?;
        let tuple = filled.as_deref().unwrap_or(tuple);
        self.store_whole(&Store { tuple, ..*store }, existing, reply)
    }

    /// Stores a tuple as one that was stored before: what is nil in it stays so, but for the field
    /// of a sequence.
    pub(crate) fn store_again(
        &mut self,
        store: &Store<'_>,
        existing: Existing,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        let space = self.writable(store.space)?.clone();
        let generated = self.generated(&space, store.tuple)?;
        let tuple = generated.as_deref().unwrap_or(store.tuple);
        self.store_whole(&Store { tuple, ..*store }, existing, reply)
    }

    /// The tuple with the next value of the space's sequence, if it takes one.
    fn generated(&mut self, space: &SpaceDef, tuple: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some(generator) = space.generator else {
            return Ok(None);
        };
        self.check_generator(generator)?;
        self.generate(generator, tuple)
    }

    fn update(&mut self, update: &Update<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        let mut new = self.scratch.take();
        let outcome = self.update_with(update, &mut new, reply);
        self.scratch.put_back(new);
        outcome
    }

    /// Writes the new tuple into `new`, which is empty.
    fn update_with(
        &mut self,
        update: &Update<'_>,
        new: &mut Vec<u8>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        let space = self.writable(update.space)?;
        let Some((key, old)) = self.locate(space, update.index, update.key)? else {
            return nothing(reply);
        };
        let names = |name: &str| space.field_number(name);
        let base = update.index_base;
        update::apply_to(&old, update.ops, base, &names, Mode::Update, new)?;
        let new_key = self.admit(space, new)?;
        if new_key != key {
            self.check_free(space, space.primary()?, &new_key, new)?;
            return Err(errors::primary_key_update(&space.name));
        }
        let space = space.clone();
        let new = Tuple::from(new.as_slice());
        if system::is_system(space.id) {
            return self.store_system(&space, key, Some(new), reply);
        }
        self.change(&space, key, Some(&old), Some(new.clone()))?;
        push(&new, reply)
    }

    fn delete(&mut self, delete: &Delete<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        let space = self.writable(delete.space)?;
        let Some((key, old)) = self.locate(space, delete.index, delete.key)? else {
            return nothing(reply);
        };
        let space = space.clone();
        if system::is_system(space.id) {
            return self.store_system(&space, key, None, reply);
        }
        self.change(&space, key, Some(&old), None)?;
        push(&old, reply)
    }

    fn upsert(&mut self, upsert: &Upsert<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        let mut new = self.scratch.take();
        let outcome = self.upsert_with(upsert, &mut new, reply);
        self.scratch.put_back(new);
        outcome
    }

    /// Writes the new tuple into `new`, which is empty.
    fn upsert_with(
        &mut self,
        upsert: &Upsert<'_>,
        new: &mut Vec<u8>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        let space = self.writable(upsert.space)?;
        let filled = space.with_defaults(upsert.tuple)?;
        let inserted = filled.as_deref().unwrap_or(upsert.tuple);
        let key = self.admit(space, inserted)?;
        self.check_truncated_is_shown(space, &key)?;
        let names = |name: &str| space.field_number(name);
        let base = upsert.index_base;
        let old = self.stored(space.id, PRIMARY, &key);
        let new = match &old {
            None => {
                update::check(upsert.ops, base, &names)?;
                inserted
            }
            Some(old) => {
                update::apply_to(old, upsert.ops, base, &names, Mode::Upsert, new)?;
                if self.admit(space, new)? != key {
                    log::debug!("{}", errors::primary_key_update(&space.name));
                    return nothing(reply);
                }
                new.as_slice()
            }
        };
        let (space, new) = (space.clone(), Tuple::from(new));
        if system::is_system(space.id) {
            let done = self.store_system(&space, key, Some(new), reply)?;
            // UPSERT does not tell what it stored.
            reply.body().clear();
            return if done == Outcome::Done {
                nothing(reply)
            } else {
                Ok(done)
            };
        }
        self.change(&space, key, old.as_ref(), Some(new))?;
        nothing(reply)
    }
}
