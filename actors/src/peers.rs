//! The actors of one runtime as the others reach them.
//!
//! Made before any actor starts, from mailboxes that nobody reads yet, and handed to each at its
//! start: what is sent meanwhile waits. Of Tx nothing is here: it is replaced when it dies, and the
//! Supervisor tells the workers of the new one.

use std::time::Instant;

use crate::messages::{SupervisorHandle, WorkerHandle};
use crate::shared::WorkerCounters;

/// Handles of the actors that live as long as the runtime.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) supervisor: SupervisorHandle,
    /// By index.
    pub(crate) workers: Vec<WorkerHandle>,
}

impl Peers {
    /// Makes every worker look at the serving cell and at the events, which changed at this time.
    pub(crate) fn notify_workers(&self, at: Instant) {
        for worker in &self.workers {
            worker.changed(at);
        }
    }

    /// Makes every worker look at the events, which changed at this time: but for those that were
    /// told so and have not come to it, so that many changes are not many messages.
    pub(crate) fn notify_of_events(&self, counters: &[WorkerCounters], at: Instant) {
        for (worker, counters) in self.workers.iter().zip(counters) {
            if counters.tell_events() {
                worker.changed(at);
            }
        }
    }
}
