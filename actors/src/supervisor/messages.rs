//! What the Supervisor is told, and the handle that others hold.

use std::time::Duration;

use actix::{Addr, Message};

use super::actor::Supervisor;
use crate::serving::State;

/// What happened to a Tx, named by its generation.
#[derive(Debug)]
pub(crate) enum TxEvent {
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
    /// The state in which it was asked for.
    pub(crate) from: State,
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

    pub(crate) fn begin_drain(&self, drain: BeginDrain) {
        self.0.do_send(drain);
    }

    pub(crate) fn lane_drained(&self, lane: usize) {
        self.0.do_send(LaneDrained(lane));
    }
}
