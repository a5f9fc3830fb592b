//! The sessions of a worker, by their numbers.

use std::rc::{Rc, Weak};

use slab::Slab;

use crate::connection::cell::ConnectionCell;

/// All of them, each by its connection, which is the session's own and ends with it. The number of a
/// session that has ended is used again when the worker has heard of it.
#[derive(Default)]
pub(super) struct Sessions {
    connections: Slab<Weak<ConnectionCell>>,
}

impl Sessions {
    /// Starts a session under the next free number.
    pub(super) fn start<E>(
        &mut self,
        start: impl FnOnce(u32) -> Result<Weak<ConnectionCell>, E>,
    ) -> Result<Weak<ConnectionCell>, E> {
        let entry = self.connections.vacant_entry();
        let connection = start(entry.key() as u32)?;
        entry.insert(connection.clone());
        Ok(connection)
    }

    /// The session of this number has ended.
    pub(super) fn remove(&mut self, index: u32) {
        self.connections.try_remove(index as usize);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// The connection of a session that has not ended.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<Rc<ConnectionCell>> {
        self.connections.get(index as usize)?.upgrade()
    }

    /// The same, if the number is not another session's by now.
    #[inline]
    pub(super) fn of(&self, index: u32, connection: u64) -> Option<Rc<ConnectionCell>> {
        self.get(index).filter(|own| own.connection == connection)
    }

    /// The connections of all sessions that have not ended.
    pub(super) fn iter(&self) -> impl Iterator<Item = Rc<ConnectionCell>> {
        self.connections.iter().filter_map(|(_, own)| own.upgrade())
    }
}
