//! What Tx is told and what it answers, and the handle that others hold.
//!
//! Data crosses threads in batches: one message per worker and tick, whatever the number of
//! requests. The buffers of a batch go back and forth, so that nothing is allocated on the way, and
//! so does the box that it stands in: mailboxes move what they are given several times.

use std::collections::VecDeque;
use std::sync::Arc;

use actix::{Message, Recipient};
use vestibule_wire::Error;
use vestibule_wire::features::Features;
use vestibule_wire::keys::RequestType;

#[cfg(feature = "testing")]
use super::LookAround;
use super::session_id::SessionId;
use crate::admission::Class;
use crate::cells::claims::{Claims, RequestId};
use crate::engine::{Caller, Completions, Ticket};
use crate::memory::{MemoryCharge, OutputGauge, PushCharge};
use crate::messages::post::Post as _;
use crate::segments::Chain;
use crate::serving::Admitted;
use crate::upstream::ReplicaRead;

/// The requests that one worker gathered in one tick.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Which worker.
    pub(crate) worker: usize,
    /// Callers that Tx has not heard of, or that logged in again, each before a certain entry.
    pub(crate) caller_updates: VecDeque<CallerUpdate>,
    /// Calls in streams and their ends that were given up before they could be sent, each before a
    /// certain entry: for upstreams.
    pub(crate) unsent_steps: VecDeque<UnsentStep>,
    /// The requests, in the order of their arrival.
    pub(crate) entries: Vec<BatchEntry>,
    /// Their bodies, but for those of large ones.
    pub(crate) bytes: Vec<u8>,
    /// Frames of large ones, in the order of the entries.
    pub(crate) large: Vec<LargeRequest>,
    /// What sessions have cancelled since the last batch: before everything else that Tx does.
    pub(crate) cancels: Vec<Cancel>,
    /// Sessions whose connections are gone: after the entries.
    pub(crate) disconnects: Vec<SessionId>,
    /// Connections that have room for replies again, and for which Tx waits.
    pub(crate) roomy: Vec<u64>,
    /// A used [`Replies`] on its way back, for its buffers.
    pub(crate) recycled: Option<Box<Replies>>,
}

impl Message for Batch {
    type Result = ();
}

impl Batch {
    /// Whether there is anything to tell.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.disconnects.is_empty()
            && self.cancels.is_empty()
            && self.roomy.is_empty()
    }

    /// The body of an entry.
    #[inline]
    pub(crate) fn body(&self, index: usize) -> &[u8] {
        let entry = &self.entries[index];
        let bytes = match entry.is_large {
            false => &self.bytes,
            true => &self.large[self.large.partition_point(|own| own.index < index)].frame,
        };
        &bytes[entry.start as usize..entry.end as usize]
    }

    /// Empties it, keeping the buffers; those of large requests too, which go back to where they
    /// came from.
    pub(crate) fn clear(&mut self) {
        self.caller_updates.clear();
        self.unsent_steps.clear();
        self.entries.clear();
        self.bytes.clear();
        self.cancels.clear();
        self.disconnects.clear();
        self.roomy.clear();
    }
}

/// A call or SQL in a stream that may have begun a transaction, if it had been sent; or the COMMIT
/// or ROLLBACK of such a one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnsentStep {
    /// The first entry that may stand behind it.
    pub(crate) before: usize,
    pub(crate) session: SessionId,
    pub(crate) stream: u64,
    pub(crate) is_end: bool,
}

/// Who calls under a session's number from some entry of a batch on.
#[derive(Debug, Clone)]
pub(crate) struct CallerUpdate {
    /// The first entry that this caller sent.
    pub(crate) before: usize,
    /// The session's number in its worker.
    pub(crate) session: u32,
    /// The caller.
    pub(crate) caller: Arc<Caller>,
    /// What waits to be sent on its connection.
    pub(crate) gauge: Arc<OutputGauge>,
    /// What its client can do, of what changes how values are written: for upstreams.
    pub(crate) format: Features,
}

/// A request that its session has answered although Tx had begun it, or whose transaction is to
/// end.
#[derive(Debug, Clone)]
pub(crate) struct Cancel {
    /// The request. If Tx still has it, it stops what can be stopped.
    pub(crate) id: RequestId,
    /// Session of the request.
    pub(crate) session: SessionId,
    /// Stream of the request, 0 for none.
    pub(crate) stream: u64,
    /// BEGIN of the transaction that the request is a part of, if it is. Tx may not have it yet:
    /// this comes before all that waits.
    pub(crate) begin: Option<RequestId>,
    /// What becomes of that transaction.
    pub(crate) transaction: TransactionEffect,
}

/// What becomes of a transaction when one of its requests is cancelled.
#[derive(Debug, Clone)]
pub(crate) enum TransactionEffect {
    /// Nothing.
    Untouched,
    /// Aborted: statements get this error until ROLLBACK.
    Aborted(Error),
    /// BEGIN, COMMIT or ROLLBACK of the transaction was cancelled, so its client believes that it
    /// has ended: aborted. Statements that were sent before the next BEGIN fail with this error.
    Ended(Error),
}

/// Names a request among those of all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RequestOrigin {
    pub(crate) worker: usize,
    pub(crate) id: RequestId,
}

/// One request in a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchEntry {
    /// The word by which it is claimed or revoked.
    pub(crate) id: RequestId,
    /// The session's number in its worker.
    pub(crate) session: u32,
    /// What it asks for, as it was sent.
    pub(crate) request: RequestType,
    /// The number of that: for an upstream also one that is not known here.
    pub(crate) code: u16,
    /// What that means: a CALL of `box.begin` in a stream is a BEGIN.
    pub(crate) meaning: RequestType,
    /// The class that it was admitted in.
    pub(crate) class: Class,
    /// Sync of the request, for the reply's header.
    pub(crate) sync: u64,
    /// Stream of the request, 0 for none.
    pub(crate) stream: u64,
    /// Under which epoch it was admitted, and whether it may change data.
    pub(crate) admitted: Admitted,
    /// The version of the catalog that its client knows, if it has told one, and else 0. It was
    /// that of now when the request was taken; an upstream checks its own.
    pub(crate) catalog: u64,
    /// Whether a replica may answer it, where there are upstreams.
    pub(crate) replica_read: ReplicaRead,
    /// Whether it is one of the large ones, and its body is in a frame of its own.
    pub(crate) is_large: bool,
    /// Where its body starts in the batch, or in that frame.
    pub(crate) start: u32,
    /// Where it ends.
    pub(crate) end: u32,
}

impl AbortedTransaction {
    /// The one that a BEGIN from this connection begins, or would have begun.
    pub(crate) fn of(begin: &BatchEntry, connection: u64) -> Self {
        Self {
            session: SessionId {
                index: begin.session,
                connection,
            },
            stream: begin.stream,
            begin: begin.id,
        }
    }
}

impl BatchEntry {
    /// Whether it begins or ends the transaction of a stream.
    pub(crate) fn bounds_transaction(&self) -> bool {
        use RequestType::{Begin, Commit, Rollback};
        self.stream != 0 && matches!(self.meaning, Begin | Commit | Rollback)
    }
}

/// A request that is not copied: the buffer in which its session has gathered it.
#[derive(Debug)]
pub(crate) struct LargeRequest {
    /// Which entry it belongs to.
    pub(crate) index: usize,
    /// The whole frame, or its content.
    pub(crate) frame: Vec<u8>,
}

/// The replies of one turn to one worker.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// Which replies, in the order of their bytes.
    pub(crate) heads: Vec<ReplyHead>,
    /// Whole frames, ready for the socket: the small ones.
    pub(crate) bytes: Vec<u8>,
    /// Whole frames that are large, each in the place of a frame without bytes among the others.
    pub(crate) large: Vec<LargeReply>,
    /// Transactions that Tx aborted by itself: their sessions do not hear of it otherwise.
    pub(crate) aborted: Vec<AbortedTransaction>,
    /// Requests that wait for something else than Tx from now on: they need no credit for that.
    pub(crate) waiting: Vec<(RequestId, WaitKind)>,
    /// Batches that are done, for their buffers.
    pub(crate) spent: Vec<Box<Batch>>,
    /// Which message to its worker this is, counted from 1, whichever Tx sends them.
    pub(crate) number: u64,
    /// For the bytes, until they stand in the outputs of their connections.
    pub(crate) charge: Option<MemoryCharge>,
}

impl Replies {
    /// The bytes that were added since the last head are the reply to this request.
    #[inline]
    pub(crate) fn push_head(&mut self, id: RequestId, sync: u64) {
        let end = self.bytes.len();
        self.heads.push(ReplyHead { id, sync, end });
    }
}

/// What a request that Tx has put aside waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitKind {
    /// Something that may never happen: there is a limit to that.
    Limited,
    /// The client of its connection, who has to read replies.
    Unlimited,
}

/// A transaction that Tx aborted without a request of its client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AbortedTransaction {
    /// The session in its worker.
    pub(crate) session: SessionId,
    /// Stream of the transaction.
    pub(crate) stream: u64,
    /// BEGIN of the transaction, by which it differs from the next one of its stream.
    pub(crate) begin: RequestId,
}

impl Message for Replies {
    type Result = ();
}

/// A reply that is larger than a segment.
#[derive(Debug)]
pub(crate) struct LargeReply {
    /// Which head it belongs to.
    pub(crate) head: usize,
    /// The whole frame.
    pub(crate) frame: Chain,
}

/// One reply among [`Replies`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyHead {
    /// Which request it answers.
    pub(crate) id: RequestId,
    /// The request's sync.
    pub(crate) sync: u64,
    /// Where its bytes end; they start where the one before ends. A large reply has none here.
    pub(crate) end: usize,
}

/// What the client of a request is told before its reply.
#[derive(Debug)]
pub(crate) struct Push {
    /// Of which request: if that is over, nobody is told.
    pub(crate) id: RequestId,
    /// A whole frame.
    pub(crate) frame: Vec<u8>,
    /// For its bytes, until they stand in the connection's output; none for what an upstream sent,
    /// which is delivered before more of it is read.
    pub(crate) charge: Option<PushCharge>,
}

impl Message for Push {
    type Result = ();
}

/// A deferred request is complete.
#[derive(Debug)]
pub(crate) struct Completed {
    /// Which.
    pub(crate) ticket: Ticket,
    /// The reply's body, or the error.
    pub(crate) result: Result<Vec<u8>, Error>,
}

impl Message for Completed {
    type Result = ();
}

impl Completions for Recipient<Completed> {
    fn complete(&self, ticket: Ticket, result: Result<Vec<u8>, Error>) {
        self.post(Completed { ticket, result });
    }
}

/// Tx is to close its engine and stop.
#[derive(Debug)]
pub(crate) struct Stop;

impl Message for Stop {
    type Result = ();
}

/// What Tx is told from the side, between two turns.
#[derive(Debug)]
pub(crate) enum Control {
    /// The fence was raised: what is too old to be written is to be aborted.
    SyncFence,
    /// Close reservations that are idle, and others when they become idle; let nobody reserve.
    CloseIdleReservations,
    /// Close all reservations; let nobody reserve.
    CloseAllReservations,
    /// Reservations may be had again.
    ReopenReservations,
    /// The clock is wound by hand.
    #[cfg(feature = "testing")]
    LookAround(LookAround),
}

impl Message for Control {
    type Result = ();
}

/// Tx is to show that it hears: the progress mark moves.
#[derive(Debug)]
pub(crate) struct Probe;

impl Message for Probe {
    type Result = ();
}

/// A worker, as Tx is told of it when it starts.
pub(crate) struct WorkerLink {
    pub(crate) claims: Arc<Claims>,
    /// Where its replies go.
    pub(crate) replies: Recipient<Box<Replies>>,
    /// Where pushes to its clients go: to the same mailbox, so that they arrive before the reply.
    pub(crate) pushes: Recipient<Push>,
}

/// How others reach Tx. Serving state never goes this way: it would queue behind data.
#[derive(Debug, Clone)]
pub(crate) struct TxHandle {
    batches: Recipient<Box<Batch>>,
    control: Recipient<Control>,
    probe: Recipient<Probe>,
    stop: Recipient<Stop>,
    /// Which Tx, counted from 1: what an earlier one left behind is recognized by it.
    pub(crate) generation: u64,
}

impl TxHandle {
    pub(crate) fn new(
        batches: Recipient<Box<Batch>>,
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

    /// Hands over a batch. Room in the mailbox is not asked for: admission is by credits, taken
    /// before the batch was built (an actix mailbox does not hold senders back).
    pub(crate) fn submit(&self, batch: Box<Batch>) {
        self.batches.post(batch);
    }

    /// Tells Tx something from the side. Nobody waits for it: Tx may be blocked for long.
    pub(crate) fn control(&self, control: Control) {
        self.control.post(control);
    }

    /// Asks Tx for a sign that it hears. The watchdog asks once and waits for the mark to move.
    pub(crate) fn probe(&self) {
        self.probe.post(Probe);
    }

    /// Asks Tx to stop when it has done what it has.
    pub(crate) fn stop(&self) {
        self.stop.post(Stop);
    }
}
