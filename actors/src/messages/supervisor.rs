//! What the Supervisor is told, and the handle that others hold.

use actix::{Actor, Addr, Context, Handler, Message, Recipient};
use tokio::sync::oneshot;

#[cfg(feature = "testing")]
use super::LookAround;
use super::LooksAround;
use super::reply_to::{ReplyTo, WaitId};
use super::session_id::SessionId;
use crate::messages::post::Post as _;
use crate::transitions::{CutOffCounts, TransitionOutcome, TransitionRequest, WaitedFor};

/// What happened to a Tx, named by its generation.
#[derive(Debug)]
pub(crate) enum TxEvent {
    /// The engine has recovered.
    Recovered { generation: u64 },
    /// One more worker sends its requests there from now on.
    Attached { generation: u64 },
    /// The engine of Tx could not start.
    Failed { generation: u64, text: String },
    /// Tx panicked.
    Died { generation: u64, text: String },
    /// Tx is gone, and its engine with it: closed, or dropped with the thread.
    Stopped { generation: u64 },
}

impl Message for TxEvent {
    type Result = ();
}

/// A transition is asked for.
#[derive(Debug)]
pub(crate) struct Submit {
    pub(crate) request: TransitionRequest,
    pub(crate) requester: Requester,
}

impl Message for Submit {
    type Result = ();
}

/// A session's call does not wait for its transition any longer, which goes on.
#[derive(Debug)]
pub(crate) struct Withdraw {
    pub(crate) session: SessionId,
    pub(crate) wait: WaitId,
}

impl Message for Withdraw {
    type Result = ();
}

/// The settings are others.
#[derive(Debug)]
pub(crate) struct Reconfigured;

impl Message for Reconfigured {
    type Result = ();
}

/// Who is told of a transition.
#[derive(Debug)]
pub(crate) enum Requester {
    Nobody,
    /// A session's client, as soon as the transition has begun, or is refused.
    SessionAtStart(ReplyTo),
    /// A session's client, at the end.
    SessionAtEnd(ReplyTo),
    /// At the end.
    Embedder(oneshot::Sender<TransitionOutcome>),
}

/// What a worker tells of itself, most of it in a transition.
#[derive(Debug)]
pub(crate) enum WorkerReport {
    /// The worker has seen the new state.
    Quiesced(WaitedFor),
    /// The worker has nothing left to wait for.
    Quiet,
    /// An administrator of this worker, which may be quiet, has a request under way, or ends one:
    /// until that is answered, and the worker quiet again, a stop is not done. Of whatever
    /// transition is under way.
    Busy,
    /// The worker has answered its clients.
    CutOff(CutOffCounts),
    /// The worker's thread has ended, with its sessions. Of no transition.
    Gone,
}

/// A report, with its worker and the transition by the machine's serial number.
#[derive(Debug)]
pub(crate) struct WorkerReported {
    pub(crate) worker: usize,
    pub(crate) serial: u64,
    pub(crate) report: WorkerReport,
}

impl Message for WorkerReported {
    type Result = ();
}

/// How others reach the Supervisor. It names no actor, so that every actor may hold it.
#[derive(Debug, Clone)]
pub(crate) struct SupervisorHandle {
    tx_events: Recipient<TxEvent>,
    submissions: Recipient<Submit>,
    withdrawals: Recipient<Withdraw>,
    settings: Recipient<Reconfigured>,
    reports: Recipient<WorkerReported>,
    #[cfg(feature = "testing")]
    look_around: Recipient<LookAround>,
}

impl SupervisorHandle {
    pub(crate) fn new<S>(supervisor: Addr<S>) -> Self
    where
        S: Actor<Context = Context<S>>
            + Handler<TxEvent>
            + Handler<Submit>
            + Handler<Withdraw>
            + Handler<Reconfigured>
            + Handler<WorkerReported>
            + LooksAround,
    {
        Self {
            tx_events: supervisor.clone().recipient(),
            submissions: supervisor.clone().recipient(),
            withdrawals: supervisor.clone().recipient(),
            settings: supervisor.clone().recipient(),
            #[cfg(feature = "testing")]
            look_around: supervisor.clone().recipient(),
            reports: supervisor.recipient(),
        }
    }

    pub(crate) fn tx_event(&self, event: TxEvent) {
        self.tx_events.post(event);
    }

    /// Asks for a transition.
    pub(crate) fn submit(&self, request: TransitionRequest, requester: Requester) {
        self.submissions.post(Submit { request, requester });
    }

    /// A session's call does not wait any longer for the transition that it asked for.
    pub(crate) fn withdraw(&self, session: SessionId, wait: WaitId) {
        self.withdrawals.post(Withdraw { session, wait });
    }

    /// The settings are others.
    pub(crate) fn reconfigured(&self) {
        self.settings.post(Reconfigured);
    }

    #[cfg(feature = "testing")]
    pub(crate) fn look_around(&self, look: LookAround) {
        self.look_around.post(look);
    }

    pub(crate) fn report(&self, worker: usize, serial: u64, report: WorkerReport) {
        self.reports.post(WorkerReported {
            worker,
            serial,
            report,
        });
    }
}
