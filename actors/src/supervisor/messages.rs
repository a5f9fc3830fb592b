//! What the Supervisor is told, and the handle that others hold.

use std::time::Duration;

use actix::{Addr, Message};

use super::actor::Supervisor;

/// What happened to a Tx, named by its generation.
#[derive(Debug)]
pub(crate) enum TxEvent {
    /// Its engine has recovered.
    Ready { generation: u64 },
    /// Its engine could not start.
    Failed { generation: u64, text: String },
    /// It panicked.
    Died { generation: u64, text: String },
    /// It closed its engine and is gone.
    Stopped { generation: u64 },
}

impl Message for TxEvent {
    type Result = ();
}

/// The runtime is to stop. Asked again, it does nothing: the first deadline holds.
#[derive(Debug)]
pub(crate) struct BeginDrain {
    pub(crate) grace: Option<Duration>,
    pub(crate) reason: String,
    pub(crate) requested_by: String,
}

impl Message for BeginDrain {
    type Result = ();
}

/// A session arbiter has no session left.
#[derive(Debug)]
pub(crate) struct LaneDrained(pub(crate) usize);

impl Message for LaneDrained {
    type Result = ();
}

/// How others reach the Supervisor.
#[derive(Debug, Clone)]
pub(crate) struct SupervisorHandle(Addr<Supervisor>);

impl SupervisorHandle {
    pub(crate) fn new(address: Addr<Supervisor>) -> Self {
        Self(address)
    }

    pub(crate) fn tx_event(&self, event: TxEvent) {
        self.0.do_send(event);
    }

    /// Begins a stop; `grace` of none takes the configured one.
    pub(crate) fn begin_drain(&self, grace: Option<Duration>, reason: &str, by: &str) {
        let (reason, requested_by) = (reason.to_owned(), by.to_owned());
        self.0.do_send(BeginDrain {
            grace,
            reason,
            requested_by,
        });
    }

    pub(crate) fn lane_drained(&self, lane: usize) {
        self.0.do_send(LaneDrained(lane));
    }
}
