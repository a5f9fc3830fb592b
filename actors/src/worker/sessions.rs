//! The sessions of a worker, by their numbers.

use std::rc::{Rc, Weak};

use actix::{Addr, Handler, Message};
use slab::Slab;

use crate::connection::cell::ConnectionCell;
use crate::messages::post::Post as _;
use crate::messages::{ReplyTo, SessionId};
use crate::session::actor::{Session, Started};

/// A session as its worker knows it. Its connection is the session's own and ends with it.
struct KnownSession {
    connection: Weak<ConnectionCell>,
    address: Addr<Session>,
}

/// All of them. The number of a session that has ended is used again when the worker has heard of
/// it.
#[derive(Default)]
pub(super) struct Sessions {
    entries: Slab<KnownSession>,
}

impl Sessions {
    /// Starts a session under the next free number.
    pub(super) fn start<E>(
        &mut self,
        start: impl FnOnce(u32) -> Result<Started, E>,
    ) -> Result<Weak<ConnectionCell>, E> {
        let entry = self.entries.vacant_entry();
        let (connection, address) = start(entry.key() as u32)?;
        entry.insert(KnownSession {
            connection: connection.clone(),
            address,
        });
        Ok(connection)
    }

    /// The session of this number has ended.
    pub(super) fn remove(&mut self, index: u32) {
        self.entries.try_remove(index as usize);
    }

    /// A bound on the numbers in use.
    pub(super) fn numbers(&self) -> u32 {
        self.entries.capacity() as u32
    }

    /// The connection of a session that has not ended.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<Rc<ConnectionCell>> {
        self.entries.get(index as usize)?.connection.upgrade()
    }

    /// The same, unless the number is another session's by now.
    #[inline]
    pub(super) fn of(&self, id: SessionId) -> Option<Rc<ConnectionCell>> {
        self.get(id.index).filter(|own| own.id == id)
    }

    /// The connections of all sessions that have not ended.
    pub(super) fn iter(&self) -> impl Iterator<Item = Rc<ConnectionCell>> {
        self.entries
            .iter()
            .filter_map(|(_, own)| own.connection.upgrade())
    }

    /// Tells a session something. It hears it before it does anything else.
    pub(super) fn tell<M>(&self, connection: &ConnectionCell, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        Session: Handler<M>,
    {
        if let Some(own) = self.entries.get(connection.id.index as usize) {
            own.address.post(message);
        }
    }

    /// Tells the session to which a reply goes, if it has not ended.
    pub(super) fn forward<M>(&self, to: ReplyTo, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        Session: Handler<M>,
    {
        if let Some(connection) = self.of(to.session) {
            self.tell(&connection, message);
        }
    }
}
