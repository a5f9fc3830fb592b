//! What a worker knows: its sessions, and what concerns all of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use actix::{Handler, Message};

use super::notify::Lap;
use super::sessions::Sessions;
use crate::connection::cell::ConnectionCell;
use crate::connection::state::ConnectionState;
use crate::peers::Peers;
use crate::resources::in_flight::InFlightTable;
use crate::resources::{WorkerCell, WorkerState};
use crate::session::actor::Session;
use crate::shared::Shared;

/// The actor of one session thread.
pub(crate) struct Worker {
    /// What its sessions share.
    pub(super) cell: Rc<WorkerCell>,
    pub(super) sessions: Sessions,
    /// Sessions with replies to flush.
    pub(super) dirty: RefCell<Vec<u32>>,
    /// Sessions (and their connections' numbers) that have an administrator's slot provisionally.
    pub(super) provisional: RefCell<Vec<(u32, u64)>>,
    /// How far it has come in telling sessions of a change.
    pub(super) lap: Cell<Lap>,
    /// The transition under way, as far as it is this worker's matter.
    pub(super) transition: Cell<Option<InTransition>>,
}

/// A transition that a worker takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InTransition {
    /// The machine's number of it.
    pub(super) serial: u64,
    /// It is a stop; else a demotion.
    pub(super) is_stop: bool,
    /// The Supervisor knows that nothing is left to wait for.
    pub(super) is_quiet: bool,
}

impl Worker {
    pub(crate) fn new(index: usize, shared: Arc<Shared>, peers: Arc<Peers>) -> Self {
        let in_flight =
            InFlightTable::new(shared.counters[index].claims.clone(), shared.clock.now());
        let state = WorkerState::new(in_flight);
        Self {
            cell: Rc::new(WorkerCell::new(index, shared, peers, state)),
            sessions: Sessions::default(),
            dirty: RefCell::default(),
            provisional: RefCell::default(),
            lap: Cell::default(),
            transition: Cell::new(None),
        }
    }

    /// Puts a session on the list of those to flush.
    pub(super) fn mark_dirty(&self, session: &ConnectionCell) {
        if !session.is_dirty.replace(true) {
            self.dirty.borrow_mut().push(session.index);
        }
    }

    /// Tells those sessions something of which this is true.
    pub(super) fn tell_where<M>(
        &self,
        is_meant: impl Fn(&ConnectionState) -> bool,
        message: impl Fn() -> M,
    ) where
        M: Message<Result = ()> + Send + 'static,
        Session: Handler<M>,
    {
        for session in self.sessions.iter() {
            if is_meant(&session.state.borrow()) {
                self.sessions.tell(&session, message());
            }
        }
    }
}
