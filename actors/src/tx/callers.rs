//! Who calls: what Tx knows of the sessions of each worker.

use std::rc::Rc;
use std::sync::Arc;

use super::reply_account::ReplyAccount;
use crate::cells::claims::{Claims, RequestId};
use crate::engine::Caller;
use crate::messages::SessionId;
use crate::messages::tx::CallerUpdate;

/// The callers of all workers.
pub(super) struct Callers(Vec<WorkerCallers>);

struct WorkerCallers {
    claims: Arc<Claims>,
    /// By the session's number in its worker.
    clients: Vec<Option<Client>>,
}

/// Who calls from a session, and what the replies take.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) caller: Arc<Caller>,
    pub(super) replies: Rc<ReplyAccount>,
}

impl Callers {
    /// Of workers with these claims; nobody calls yet.
    pub(super) fn new(claims: impl Iterator<Item = Arc<Claims>>) -> Self {
        let worker = |claims| WorkerCallers {
            claims,
            clients: Vec::new(),
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
    pub(super) fn get(&self, worker: usize, session: u32) -> Option<&Client> {
        self.0[worker].clients.get(session as usize)?.as_ref()
    }

    /// From here on, this one calls from a session.
    pub(super) fn set(&mut self, worker: usize, update: CallerUpdate) {
        let CallerUpdate {
            session,
            caller,
            gauge,
            ..
        } = update;
        let clients = &mut self.0[worker].clients;
        let index = session as usize;
        if clients.len() <= index {
            clients.resize(index + 1, None);
        }
        match &mut clients[index] {
            // Somebody else logged in on it.
            Some(own) if own.caller.connection == caller.connection => own.caller = caller,
            client => {
                let replies = ReplyAccount::new(gauge);
                if let Some(gone) = client.replace(Client { caller, replies }) {
                    gone.replies.gauge().close();
                }
            }
        }
    }

    /// Forgets a caller, who reads no replies any more, unless the session's number has a new owner
    /// already.
    pub(super) fn forget(&mut self, worker: usize, session: SessionId) {
        if let Some(client) = self.0[worker].clients.get_mut(session.index as usize)
            && let Some(gone) = client.take_if(|own| own.caller.connection == session.connection)
        {
            gone.replies.gauge().close();
        }
    }

    /// Begins a request; false if it was taken back.
    #[inline]
    #[must_use = "a request that was taken back must not be executed"]
    pub(super) fn claim(&self, worker: usize, id: RequestId) -> bool {
        self.claims(worker).claim(id)
    }
}
