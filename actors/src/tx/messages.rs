//! What Tx is told and what it answers, and the handle that others hold.
//!
//! Data crosses threads in batches: one message per session arbiter and tick, whatever the number of
//! requests. The buffers of a batch go back and forth, so that nothing is allocated on the way.

use std::collections::VecDeque;

use actix::{Message, Recipient};
use vestibule_wire::Error;
use vestibule_wire::keys::RequestType;

use super::claim::RequestId;
use super::fence::Admitted;
use crate::engine::{Caller, Ticket};

/// The requests that one session arbiter gathered in one tick.
#[derive(Debug, Default)]
pub struct Batch {
    /// Which session arbiter.
    pub worker: usize,
    /// Callers that Tx has not heard of, or that logged in anew, each before a certain entry.
    pub caller_updates: VecDeque<CallerUpdate>,
    /// The requests, in the order of their arrival.
    pub entries: Vec<Entry>,
    /// Their bodies.
    pub bytes: Vec<u8>,
    /// What sessions gave up on since the last batch: before everything else that Tx does.
    pub cancels: Vec<Cancel>,
    /// Connections that are gone: after the entries. Number of the session and of the connection.
    pub disconnects: Vec<(u32, u64)>,
    /// A used [`Replies`] on its way back, for its buffers.
    pub recycled: Option<Replies>,
}

impl Message for Batch {
    type Result = ();
}

impl Batch {
    /// Whether there is anything to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.disconnects.is_empty() && self.cancels.is_empty()
    }

    /// Empties it, keeping the buffers.
    pub fn clear(&mut self) {
        self.caller_updates.clear();
        self.entries.clear();
        self.bytes.clear();
        self.cancels.clear();
        self.disconnects.clear();
    }
}

/// Who calls under a session's number from some entry of a batch on.
#[derive(Debug, Clone)]
pub struct CallerUpdate {
    /// The first entry that this caller sent.
    pub before: usize,
    /// The session's number in its arbiter.
    pub session: u32,
    /// The caller.
    pub caller: Caller,
}

/// A request that its session has answered although Tx had begun it, or whose transaction is to end.
#[derive(Debug, Clone)]
pub struct Cancel {
    /// The request. If Tx still has it, it stops what can be stopped.
    pub id: RequestId,
    /// Its connection.
    pub connection: u64,
    /// Its stream, 0 for none.
    pub stream: u64,
    /// What becomes of the transaction of the stream.
    pub transaction: Fate,
}

/// What becomes of a transaction when one of its requests is given up on.
#[derive(Debug, Clone)]
pub enum Fate {
    /// Nothing.
    Untouched,
    /// Aborted: statements get this error until ROLLBACK.
    Aborted(Error),
    /// Its BEGIN or its end was given up on, so its client takes it for over: aborted, and the next
    /// BEGIN takes its place. What was sent before that must not run outside of it: it gets this error.
    Ended(Error),
}

/// One request in a batch.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The word by which it is claimed or revoked.
    pub id: RequestId,
    /// The session's number in its arbiter.
    pub session: u32,
    /// What it asks for.
    pub request: RequestType,
    /// Its sync, for the reply's header.
    pub sync: u64,
    /// Its stream, 0 for none.
    pub stream: u64,
    /// Under which epoch it was admitted, and whether it may change data.
    pub admitted: Admitted,
    /// Where its body starts in the batch.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
}

/// The replies of one turn to one session arbiter.
#[derive(Debug, Default)]
pub struct Replies {
    /// Which replies, in the order of their bytes.
    pub heads: Vec<ReplyHead>,
    /// Whole frames, ready for the socket.
    pub bytes: Vec<u8>,
    /// Transactions that Tx aborted by itself: their sessions do not hear of it otherwise.
    pub aborted: Vec<AbortedTransaction>,
    /// Batches that are done, for their buffers.
    pub spent: Vec<Batch>,
}

/// A transaction that Tx aborted without a request of its client.
#[derive(Debug, Clone, Copy)]
pub struct AbortedTransaction {
    /// The session's number in its arbiter.
    pub session: u32,
    /// Its connection.
    pub connection: u64,
    /// Its stream.
    pub stream: u64,
    /// Its BEGIN, by which it differs from the next one of its stream.
    pub begin: RequestId,
}

impl Message for Replies {
    type Result = ();
}

/// One reply among [`Replies`].
#[derive(Debug, Clone, Copy)]
pub struct ReplyHead {
    /// Which request it answers.
    pub id: RequestId,
    /// The request's sync.
    pub sync: u64,
    /// Where its bytes end; they start where the one before ends.
    pub end: usize,
}

/// A deferred request is complete.
#[derive(Debug)]
pub struct Completed {
    /// Which.
    pub ticket: Ticket,
    /// The reply's body, or the error.
    pub result: Result<Vec<u8>, Error>,
}

impl Message for Completed {
    type Result = ();
}

/// Tx is to close its engine and stop.
#[derive(Debug)]
pub struct Stop;

impl Message for Stop {
    type Result = ();
}

/// What Tx is told from the side, between two turns.
#[derive(Debug)]
pub enum Control {
    /// The fence was raised: what is too old to be written is to be aborted.
    HeedFence,
    /// Close reservations that are idle, and others when they become idle; let nobody reserve.
    CloseIdleReservations,
    /// Close all reservations; let nobody reserve.
    CloseAllReservations,
    /// Reservations may be had again.
    ReopenReservations,
}

impl Message for Control {
    type Result = ();
}

/// Tx is to show that it hears: the progress mark moves.
#[derive(Debug)]
pub struct Probe;

impl Message for Probe {
    type Result = ();
}

/// How others reach Tx. Serving state never goes this way: it would queue behind data.
#[derive(Debug, Clone)]
pub struct TxHandle {
    batches: Recipient<Batch>,
    control: Recipient<Control>,
    probe: Recipient<Probe>,
    stop: Recipient<Stop>,
    /// Which Tx, counted from 1: what an earlier one left behind is recognised by it.
    pub(crate) generation: u64,
}

impl TxHandle {
    pub(crate) fn new(
        batches: Recipient<Batch>,
        control: Recipient<Control>,
        probe: Recipient<Probe>,
        stop: Recipient<Stop>,
        generation: u64,
    ) -> Self {
        Self {
            batches,
            control,
            probe,
            stop,
            generation,
        }
    }

    /// Hands over a batch. Room in the mailbox is not asked for: admission is by credits, taken before
    /// the batch was built (an actix mailbox does not hold senders back).
    pub(crate) fn submit(&self, batch: Batch) {
        self.batches.do_send(batch);
    }

    /// Tells Tx something from the side. Nobody waits for it: Tx may be deaf for long.
    pub(crate) fn control(&self, control: Control) {
        self.control.do_send(control);
    }

    /// Asks Tx for a sign that it hears. The watchdog asks once and waits for the mark to move.
    pub(crate) fn probe(&self) {
        self.probe.do_send(Probe);
    }

    /// Asks Tx to stop when it has done what it has.
    pub(crate) fn stop(&self) {
        self.stop.do_send(Stop);
    }
}
