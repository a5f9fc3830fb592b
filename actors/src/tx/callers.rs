//! Who calls: what Tx knows of the sessions of each worker.

use std::sync::Arc;

use crate::cells::claims::{Claims, RequestId};
use crate::engine::Caller;
use crate::messages::SessionId;

/// The callers of all workers.
pub(super) struct Callers(Vec<WorkerCallers>);

struct WorkerCallers {
    claims: Arc<Claims>,
    /// By the session's number in its worker.
    callers: Vec<Option<Arc<Caller>>>,
}

impl Callers {
    /// Of workers with these claims; nobody calls yet.
    pub(super) fn new(claims: impl Iterator<Item = Arc<Claims>>) -> Self {
        let worker = |claims| WorkerCallers {
            claims,
            callers: Vec::new(),
        };
        Self(claims.map(worker).collect())
    }

    /// The words of a worker.
    #[inline]
    pub(super) fn claims(&self, worker: usize) -> &Arc<Claims> {
        &self.0[worker].claims
    }

    /// Who calls from a session.
    #[inline]
    pub(super) fn get(&self, worker: usize, session: u32) -> Option<&Arc<Caller>> {
        self.0[worker].callers.get(session as usize)?.as_ref()
    }

    /// From here on, this one calls from a session.
    pub(super) fn set(&mut self, worker: usize, session: u32, caller: Arc<Caller>) {
        let callers = &mut self.0[worker].callers;
        let index = session as usize;
        if callers.len() <= index {
            callers.resize(index + 1, None);
        }
        callers[index] = Some(caller);
    }

    /// Forgets a caller, unless the session's number has a new owner already.
    pub(super) fn forget(&mut self, worker: usize, session: SessionId) {
        if let Some(caller) = self.0[worker].callers.get_mut(session.index as usize)
            && caller
                .as_ref()
                .is_some_and(|own| own.connection == session.connection)
        {
            *caller = None;
        }
    }

    /// Begins a request; false if it was taken back.
    #[inline]
    #[must_use = "a request that was taken back must not be executed"]
    pub(super) fn claim(&self, worker: usize, id: RequestId) -> bool {
        self.claims(worker).claim(id)
    }
}
