//! A worker's sessions, and what it knows about all of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use slab::Slab;

use crate::connection::cell::ConnectionCell;
use crate::peers::Peers;
use crate::resources::WorkerState;
use crate::shared::Shared;

/// One worker.
pub(crate) struct WorkerCell {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) sessions: RefCell<Slab<Rc<ConnectionCell>>>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) state: RefCell<WorkerState>,
    /// Sessions with replies to flush.
    pub(crate) dirty: RefCell<Vec<u32>>,
    /// Sessions (and their connections' numbers) that have a provisional administrator's slot.
    pub(crate) provisional: RefCell<Vec<(u32, u64)>>,
    /// The transition under way, as far as it is this arbiter's matter.
    pub(crate) transition: Cell<Option<InTransition>>,
}

/// A transition that this arbiter takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InTransition {
    /// The machine's number of it.
    pub(crate) serial: u64,
    /// It is a stop; else a demotion.
    pub(crate) is_stop: bool,
    /// The Supervisor knows that nothing is left to wait for.
    pub(crate) is_quiet: bool,
}

impl WorkerCell {
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        peers: Arc<Peers>,
        state: WorkerState,
    ) -> Self {
        Self {
            index,
            shared,
            peers,
            sessions: RefCell::default(),
            state: RefCell::new(state),
            dirty: RefCell::default(),
            provisional: RefCell::default(),
            transition: Cell::new(None),
        }
    }

    pub(crate) fn session(&self, index: u32) -> Option<Rc<ConnectionCell>> {
        self.sessions.borrow().get(index as usize).cloned()
    }

    /// Every session, for walks in which sessions may come or go.
    pub(crate) fn all_sessions(&self) -> Vec<Rc<ConnectionCell>> {
        self.sessions
            .borrow()
            .iter()
            .map(|(_, session)| session.clone())
            .collect()
    }

    pub(crate) fn publish_counts(&self, state: &WorkerState) {
        let counters = &self.shared.counters[self.index];
        counters
            .in_flight
            .store(state.in_flight.len(), Ordering::Relaxed);
    }

    /// Puts a session on the list of those to flush.
    pub(crate) fn mark_dirty(&self, session: &ConnectionCell) {
        if !session.is_dirty.replace(true) {
            self.dirty.borrow_mut().push(session.index);
        }
    }
}
