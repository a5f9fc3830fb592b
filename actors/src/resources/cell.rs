//! A worker as its sessions know it.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::state::WorkerState;
use crate::peers::Peers;
use crate::shared::Shared;

/// What each session of a worker holds of it, by `Rc`.
pub(crate) struct WorkerCell {
    /// The worker's number in the runtime.
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) state: RefCell<WorkerState>,
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
            state: RefCell::new(state),
        }
    }

    /// Tells everybody how many requests of this worker are in flight.
    pub(crate) fn publish_counts(&self, state: &WorkerState) {
        let counters = &self.shared.counters[self.index];
        counters
            .in_flight
            .store(state.in_flight.len(), Ordering::Relaxed);
    }
}
