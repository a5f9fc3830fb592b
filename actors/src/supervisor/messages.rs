//! What the Supervisor is told, and the handle that others hold.

use std::time::Duration;

use actix::{Message, Recipient};
use tokio::sync::oneshot;

use super::outcome::TransitionOutcome;
use super::transition::{Target, Toll, Waiting};
use crate::config::Grace;
use crate::messages::ReplyTo;

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

/// A transition is asked for.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) target: Target,
    /// The state or role in which it was asked for.
    pub(crate) from: &'static str,
    /// `None` takes the configured one.
    pub(crate) grace: Option<Grace>,
    /// How long a stop is announced before it begins; `None` takes the configured time.
    pub(crate) lameduck: Option<Duration>,
    /// How long another transition is waited for.
    pub(crate) wait: Duration,
    pub(crate) reason: String,
    pub(crate) requested_by: String,
    pub(crate) asker: Asker,
}

impl Message for Ask {
    type Result = ();
}

/// Who waits for the end of a transition.
#[derive(Debug)]
pub(crate) enum Asker {
    Nobody,
    /// A session's client, through its arbiter.
    Session(ReplyTo),
    Embedder(oneshot::Sender<TransitionOutcome>),
}

/// How far a session arbiter has come in a transition, named by the machine's serial number.
#[derive(Debug)]
pub(crate) struct WorkerReport {
    pub(crate) worker: usize,
    pub(crate) serial: u64,
    pub(crate) news: News,
}

/// What an arbiter tells of itself.
#[derive(Debug)]
pub(crate) enum News {
    /// It has seen the new state.
    Quiesced(Waiting),
    /// It has nothing left to wait for.
    Quiet,
    /// It has answered its clients.
    Killed(Toll),
}

impl Message for WorkerReport {
    type Result = ();
}

/// How others reach the Supervisor.
#[derive(Debug, Clone)]
pub(crate) struct SupervisorHandle {
    tx_events: Recipient<TxEvent>,
    requests: Recipient<Ask>,
    reports: Recipient<WorkerReport>,
}

impl SupervisorHandle {
    pub(crate) fn new(
        tx_events: Recipient<TxEvent>,
        requests: Recipient<Ask>,
        reports: Recipient<WorkerReport>,
    ) -> Self {
        Self {
            tx_events,
            requests,
            reports,
        }
    }

    pub(crate) fn tx_event(&self, event: TxEvent) {
        self.tx_events.do_send(event);
    }

    pub(crate) fn ask(&self, ask: Ask) {
        self.requests.do_send(ask);
    }

    pub(crate) fn worker_report(&self, worker: usize, serial: u64, news: News) {
        self.reports.do_send(WorkerReport {
            worker,
            serial,
            news,
        });
    }
}
