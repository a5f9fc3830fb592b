//! What a worker is told, and the handle that others hold.

use std::time::Instant;

use actix::{Actor, Addr, Context, Handler, Message, Recipient};
use vestibule_wire::Error;

#[cfg(feature = "testing")]
use super::LookAround;
use super::LooksAround;
use super::gather::{Contribute, Contribution, Gathered};
use super::reply_to::ReplyTo;
use crate::cells::claims::RequestId;
use crate::incoming::{IncomingStream, Origin};
use crate::messages::post::Post as _;
use crate::messages::tx::{Push, Replies, TxHandle};
use crate::reload::ReloadAnswer;
use crate::slots::ConnectionSlot;
use crate::tls::TlsIdentity;
use crate::transitions::{TransitionOutcome, TransitionScope};

/// A connection on its way to its worker.
#[derive(Debug)]
pub(crate) struct IncomingConnection {
    pub(crate) stream: IncomingStream,
    /// What it has to agree on first.
    pub(crate) tls: Option<TlsIdentity>,
    pub(crate) origin: Origin,
    // Last: it is given back when the socket is closed.
    pub(crate) slot: ConnectionSlot,
}

/// Connections that the Acceptor has for this worker.
#[derive(Debug)]
pub(crate) struct Accepted(pub(crate) Vec<IncomingConnection>);

impl Message for Accepted {
    type Result = ();
}

/// Somebody has found no slot at an administrators' listener.
#[derive(Debug)]
pub(crate) struct AdminSlotWanted;

impl Message for AdminSlotWanted {
    type Result = ();
}

/// The serving state or an event changed, at this time: look at the cells.
#[derive(Debug)]
pub(crate) struct Changed(pub(crate) Instant);

impl Message for Changed {
    type Result = ();
}

/// There is a Tx to forward to.
#[derive(Debug)]
pub(crate) struct TxReady(pub(crate) TxHandle);

impl Message for TxReady {
    type Result = ();
}

/// Tx died: what it had begun will never be answered by it.
#[derive(Debug)]
pub(crate) struct TxLost {
    /// Told to clients whose requests had begun.
    pub(crate) reason: String,
}

impl Message for TxLost {
    type Result = ();
}

/// A link to an upstream has ended, or could not be had: what was to go over it, and what went, is
/// not answered by it any more.
#[derive(Debug)]
pub(crate) struct LinkOver {
    /// Requests that were not sent, and never will be.
    pub(crate) unsent: Vec<RequestId>,
    /// Requests that were sent.
    pub(crate) sent: Vec<RequestId>,
    /// What clients of those that were not sent are told.
    pub(crate) error: Error,
    /// Why the outcome of those that were is unknown.
    pub(crate) reason: String,
}

impl Message for LinkOver {
    type Result = ();
}

/// A transition begins: the cell tells the new state. Tell what is to be waited for, and when it is
/// over.
#[derive(Debug)]
pub(crate) struct Quiesce {
    pub(crate) serial: u64,
    pub(crate) scope: TransitionScope,
}

impl Message for Quiesce {
    type Result = ();
}

/// The deadline of a transition, or in a stop the end of Tx: answer everybody that it concerns. Of
/// a stop, flush what can be flushed and close.
#[derive(Debug)]
pub(crate) struct CutOff {
    pub(crate) serial: u64,
    pub(crate) scope: TransitionScope,
}

impl Message for CutOff {
    type Result = ();
}

/// A stop that a client of this worker asked for has begun, or is refused.
#[derive(Debug)]
pub(crate) struct TransitionStarted {
    pub(crate) reply_to: ReplyTo,
}

impl Message for TransitionStarted {
    type Result = ();
}

/// A transition that a client of this worker waits for is over.
#[derive(Debug)]
pub(crate) struct TransitionOver {
    pub(crate) reply_to: ReplyTo,
    pub(crate) outcome: TransitionOutcome,
}

impl Message for TransitionOver {
    type Result = ();
}

/// The embedder has loaded its configuration again, or not, for a client of this worker.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub(crate) reply_to: ReplyTo,
    pub(crate) answer: ReloadAnswer,
}

impl Message for Reloaded {
    type Result = ();
}

/// How others reach a worker. It names no actor, so that every actor may hold it.
#[derive(Debug, Clone)]
pub(crate) struct WorkerHandle {
    accepted: Recipient<Accepted>,
    admin_slot_wanted: Recipient<AdminSlotWanted>,
    changed: Recipient<Changed>,
    tx_ready: Recipient<TxReady>,
    tx_lost: Recipient<TxLost>,
    link_over: Recipient<LinkOver>,
    quiesce: Recipient<Quiesce>,
    cut_off: Recipient<CutOff>,
    transition_started: Recipient<TransitionStarted>,
    transition_over: Recipient<TransitionOver>,
    reloaded: Recipient<Reloaded>,
    contribute: Recipient<Contribute>,
    gathered: Recipient<Gathered>,
    replies: Recipient<Box<Replies>>,
    pushes: Recipient<Push>,
    #[cfg(feature = "testing")]
    look_around: Recipient<LookAround>,
}

impl WorkerHandle {
    pub(crate) fn new<W>(worker: Addr<W>) -> Self
    where
        W: Actor<Context = Context<W>>
            + Handler<Accepted>
            + Handler<AdminSlotWanted>
            + Handler<Changed>
            + Handler<TxReady>
            + Handler<TxLost>
            + Handler<LinkOver>
            + Handler<Quiesce>
            + Handler<CutOff>
            + Handler<TransitionStarted>
            + Handler<TransitionOver>
            + Handler<Reloaded>
            + Handler<Contribute>
            + Handler<Gathered>
            + Handler<Box<Replies>>
            + Handler<Push>
            + LooksAround,
    {
        Self {
            accepted: worker.clone().recipient(),
            admin_slot_wanted: worker.clone().recipient(),
            changed: worker.clone().recipient(),
            tx_ready: worker.clone().recipient(),
            tx_lost: worker.clone().recipient(),
            link_over: worker.clone().recipient(),
            quiesce: worker.clone().recipient(),
            cut_off: worker.clone().recipient(),
            transition_started: worker.clone().recipient(),
            transition_over: worker.clone().recipient(),
            reloaded: worker.clone().recipient(),
            contribute: worker.clone().recipient(),
            gathered: worker.clone().recipient(),
            replies: worker.clone().recipient(),
            #[cfg(feature = "testing")]
            look_around: worker.clone().recipient(),
            pushes: worker.recipient(),
        }
    }

    pub(crate) fn accepted(&self, connections: Vec<IncomingConnection>) {
        self.accepted.post(Accepted(connections));
    }

    /// A slot of the administrators is to be made free, if nobody has logged in on one.
    pub(crate) fn want_admin_slot(&self) {
        self.admin_slot_wanted.post(AdminSlotWanted);
    }

    /// The serving state or an event changed, at this time.
    pub(crate) fn changed(&self, at: Instant) {
        self.changed.post(Changed(at));
    }

    pub(crate) fn tx_ready(&self, tx: TxHandle) {
        self.tx_ready.post(TxReady(tx));
    }

    pub(crate) fn tx_lost(&self, reason: String) {
        self.tx_lost.post(TxLost { reason });
    }

    pub(crate) fn link_over(&self, over: LinkOver) {
        self.link_over.post(over);
    }

    pub(crate) fn quiesce(&self, serial: u64, scope: TransitionScope) {
        self.quiesce.post(Quiesce { serial, scope });
    }

    pub(crate) fn cut_off(&self, serial: u64, scope: TransitionScope) {
        self.cut_off.post(CutOff { serial, scope });
    }

    pub(crate) fn transition_started(&self, reply_to: ReplyTo) {
        self.transition_started.post(TransitionStarted { reply_to });
    }

    pub(crate) fn transition_over(&self, reply_to: ReplyTo, outcome: TransitionOutcome) {
        self.transition_over
            .post(TransitionOver { reply_to, outcome });
    }

    /// Answers a client of this worker who wanted the configuration to be loaded again.
    pub(crate) fn reloaded(&self, reply_to: ReplyTo, answer: ReloadAnswer) {
        self.reloaded.post(Reloaded { reply_to, answer });
    }

    pub(crate) fn contribute(&self, contribution: Contribution) {
        self.contribute.post(Contribute(contribution));
    }

    #[cfg(feature = "testing")]
    pub(crate) fn look_around(&self, look: LookAround) {
        self.look_around.post(look);
    }

    /// Where the answers go for which a session of this worker asked.
    pub(crate) fn gathered(&self) -> Recipient<Gathered> {
        self.gathered.clone()
    }

    /// Where Tx sends what clients of this worker are told before their replies.
    pub(crate) fn pushes(&self) -> Recipient<Push> {
        self.pushes.clone()
    }

    /// Where Tx sends this worker's replies.
    pub(crate) fn replies(&self) -> Recipient<Box<Replies>> {
        self.replies.clone()
    }
}
