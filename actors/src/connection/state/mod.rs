//! Everything of a connection that changes. Its parts are machines of their own; here is how what
//! happens to a connection moves them together. Its fields are seen nowhere else.
//!
//! | file | what |
//! |---|---|
//! | `caller` | who calls, and the events that are watched |
//! | `reading` | reading, and taking frames |
//! | `requests` | in flight, held, scanned, and how long they take |
//! | `transactions` | open, and orphaned by the death of their Tx |

mod caller;
mod reading;
mod requests;
mod transactions;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use vestibule_wire::groups::{Agreement, Group};
use vestibule_wire::reply::{ReplyHeader, wrap_results};
use vestibule_wire::{Error, ErrorCode, limits};

use super::awaited::AwaitedTransitions;
use super::counts::InFlightCounts;
use super::held::HeldRequests;
use super::identity::Identity;
use super::inbox::Inbox;
use super::incoming::Incoming;
use super::intake::Intake;
use super::login::{LoginCheck, LoginWait};
use super::orphaned::OrphanedTransactions;
use super::output::{Flushed, Output};
use super::scan::ParkedScans;
use super::timeouts::ConnectionTimeouts;
use super::transport::Transport;
use super::watches::Watches;
use crate::cells::traffic::{Counter, TrafficCounts};
use crate::engine::Caller;
use crate::hooks::CloseReason;
use crate::incoming::ConnectionBounds;
use crate::limits::{BESIDE_CHUNKS_PART, MEMORY_SMALL, OUTPUT_PAUSE, SEGMENT_SIZE};
use crate::memory::{ConnectionCharge, Holding, OutputGauge};
use crate::resources::credits::{Grant, PerPool};
use crate::resources::transactions::OpenTransactions;
use crate::segments::{Chain, Held};
use crate::shared::Shared;
use crate::upstream::ReadFrom;

/// The header of a reply.
#[inline]
pub(crate) fn header(shared: &Shared, sync: u64) -> ReplyHeader {
    ReplyHeader {
        sync,
        schema_version: shared.schema_version(),
    }
}

/// The state of one connection.
pub(crate) struct ConnectionState {
    stream: Box<dyn Transport>,
    /// What its worker counts.
    traffic: Arc<TrafficCounts>,
    /// Bytes that were read and not taken yet: a frame's beginning, or what waits for a credit.
    inbox: Option<Inbox>,
    /// Requests in chunks, once both ends have agreed to them.
    incoming: Option<Box<Incoming>>,
    output: Output,
    /// Bytes of it that its client may leave: beyond them the connection is closed.
    output_max: usize,
    intake: Intake,
    /// Credits that the worker keeps for its next turn, after a wait.
    grants: PerPool<Grant>,
    /// Why it ends, if that is known.
    close_reason: Option<CloseReason>,
    /// What its buffers are charged.
    charge: ConnectionCharge,
    /// What was sent when memory or credits ran short, and at the last look since.
    sent_before: u64,
    timeouts: ConnectionTimeouts,
    identity: Identity,
    /// A login that waits, whose frame was left.
    login_wait: Option<LoginWait>,
    /// A login that somebody else decides, whose frame was left.
    login: Option<Box<LoginCheck>>,
    counts: InFlightCounts,
    /// How many more of its bursts the view is not told of, for it had no use for one.
    unforeseen: u8,
    /// The last turn was over before the work was.
    is_late: bool,
    /// Until when others go first, for the last turn took much.
    resting: Option<Instant>,
    /// Since when the frame at hand has waited for a credit.
    stalled: Option<Instant>,
    /// SELECTs that take several steps: what comes after them of their streams waits.
    scans: Option<Box<ParkedScans>>,
    /// How often one of them has ended, or the first of some has begun, modulo 2³².
    scan_changes: u32,
    /// Requests kept until solo ends.
    held: Option<Box<HeldRequests>>,
    /// When its worker looks whether the time of something that is held is over.
    look_at: Option<Instant>,
    /// Calls that wait for transitions.
    awaited: Option<Box<AwaitedTransitions>>,
    /// Until when its client is served as ever, once it was told of a stop that it watches for, or
    /// a stop has begun before it has caught up.
    served_until: Option<Instant>,
    /// Whatever had arrived before a stop is taken.
    has_caught_up: bool,
    /// An administrator has used it, or it came in at the administrators' listener.
    is_operators: bool,
    watches: Option<Box<Watches>>,
    /// Version of the events that the watches have seen.
    events_seen: u64,
    /// EVENTs may be owed that there was no room for.
    owes_events: bool,
    /// Streams with an open transaction.
    transactions: OpenTransactions,
    /// Streams whose transaction died with its Tx.
    orphaned: OrphanedTransactions,
    /// How long its requests may take, if it has said so; zero: for ever.
    request_timeout: Option<Duration>,
    /// Where its SELECTs are answered unless it says so itself.
    read_from: ReadFrom,
    /// The settings by which the caller was judged, by their version.
    settings_version: u64,
}

impl ConnectionState {
    /// A connection that begins at `now`.
    pub(crate) fn new(
        stream: Box<dyn Transport>,
        identity: Identity,
        bounds: ConnectionBounds,
        charge: ConnectionCharge,
        transactions: OpenTransactions,
        traffic: Arc<TrafficCounts>,
        now: Instant,
    ) -> Self {
        traffic.count(Counter::CONNECTIONS);
        Self {
            stream,
            traffic,
            inbox: None,
            incoming: None,
            output: Output::new(charge.segments().clone()),
            output_max: bounds.output_bytes,
            intake: Intake::default(),
            grants: PerPool::default(),
            close_reason: None,
            charge,
            sent_before: 0,
            timeouts: ConnectionTimeouts::new(now),
            identity,
            login_wait: None,
            login: None,
            counts: InFlightCounts::up_to(bounds.requests),
            unforeseen: 0,
            is_late: false,
            resting: None,
            stalled: None,
            scans: None,
            scan_changes: 0,
            held: None,
            look_at: None,
            awaited: None,
            served_until: None,
            has_caught_up: false,
            is_operators: false,
            watches: None,
            events_seen: 0,
            owes_events: false,
            transactions,
            orphaned: OrphanedTransactions::default(),
            request_timeout: None,
            read_from: ReadFrom::Replica,
            settings_version: 0,
        }
    }

    /// Whether the client takes bytes again after a flush that it blocked.
    pub(crate) fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(cx)
    }

    /// Whether the client is gone for good. Costs no system call.
    pub(crate) fn is_peer_gone(&self) -> bool {
        self.stream.is_gone()
    }

    /// Whether the client has closed its half, be what came before read or not. Costs no system
    /// call.
    fn has_peer_ended(&self) -> bool {
        self.intake.has_ended() || self.intake.is_listed() && self.stream.is_read_closed()
    }

    /// Whether bytes were read that are not taken.
    #[inline]
    pub(crate) fn has_inbox(&self) -> bool {
        self.inbox.is_some()
    }

    /// Bytes that a large frame lacks with which what was read begins.
    pub(crate) fn lacks_of_frame(&self, packet_size_max: u64) -> Option<usize> {
        self.inbox.as_ref()?.lacks(packet_size_max)
    }

    /// How many bytes were read that are not taken.
    #[inline]
    fn inbox_size(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.len())
    }

    /// The bytes that are not taken, to take frames from or to add to. What is left of them is put
    /// back with [`put_inbox`](Self::put_inbox).
    #[inline]
    pub(crate) fn take_inbox(&mut self) -> Option<Inbox> {
        self.inbox.take()
    }

    /// Keeps bytes that are not taken.
    #[inline]
    pub(crate) fn put_inbox(&mut self, inbox: Inbox) {
        self.inbox = Some(inbox);
    }

    /// Where replies are appended.
    #[inline]
    pub(crate) fn output(&mut self) -> &mut Vec<u8> {
        self.output.buffer()
    }

    /// Where replies of any size are appended, and who gets them.
    pub(crate) fn output_and_caller(&mut self) -> (&mut Output, &Caller) {
        (&mut self.output, self.identity.caller())
    }

    /// Uses a spare buffer for the output if it has none of its own.
    #[inline]
    pub(crate) fn lend_output(&mut self, spare: impl FnOnce() -> Vec<u8>) {
        self.output.lend(spare);
    }

    /// Appends a whole reply.
    #[inline]
    pub(crate) fn append_copy(&mut self, frame: &[u8], group: Group) {
        self.output.append_copy(frame, group);
    }

    /// Appends a whole reply that has segments of its own.
    pub(crate) fn append_chain(&mut self, reply: Chain, group: Group) {
        self.output.append_chain(reply, group);
    }

    /// The client takes chunks, as far as was agreed, and may send such, from now on.
    pub(crate) fn agree_to_chunks(&mut self, agreed: Agreement) {
        if self.incoming.is_none() {
            self.incoming = Some(Box::default());
            self.output.agree(agreed);
            self.stream.bound_unsent(limits::UNSENT_IN_KERNEL_MAX);
        }
    }

    /// The chunks that its client sends, if it may send such.
    #[inline]
    pub(crate) fn incoming(&mut self) -> Option<&mut Incoming> {
        self.incoming.as_deref_mut()
    }

    /// Where its replies wait.
    pub(crate) fn output_queue(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Appends a reply that may be large: the body that `write` writes, or its error.
    /// `wraps_results`: as `CALL_16` returns it.
    pub(crate) fn reply_with(
        &mut self,
        shared: &Shared,
        sync: u64,
        wraps_results: bool,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
    ) {
        let mut reply = Vec::new();
        // A failure is the reply, already written.
        let written = header(shared, sync).write(&mut reply, |out| {
            let start = out.len();
            write(out)?;
            if wraps_results {
                wrap_results(out, start);
            }
            Ok(())
        });
        if let Err(error) = written {
            self.note_error(shared, &error);
        }
        self.append_copy(&reply, Group::Call);
    }

    /// Appends an error.
    pub(crate) fn reply_error(&mut self, shared: &Shared, sync: u64, error: &Error) {
        header(shared, sync).write_error(self.output.buffer(), error);
        self.note_error(shared, error);
    }

    /// A reply is an error.
    fn note_error(&mut self, shared: &Shared, error: &Error) {
        self.traffic.count_error(error.code());
        if error.code() == ErrorCode::ACCESS_DENIED {
            self.audit_denied(shared, error.message());
        }
    }

    /// What its worker counts.
    #[inline]
    pub(crate) fn traffic(&self) -> &TrafficCounts {
        &self.traffic
    }

    /// One more of what its worker counts.
    #[inline]
    pub(crate) fn count(&self, counter: Counter) {
        self.traffic.count(counter);
    }

    /// Whether everything that was written has been sent.
    pub(crate) fn is_flushed(&self) -> bool {
        self.output.is_empty()
    }

    /// Bytes that are written and not sent.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.output.size()
    }

    /// Sends what it can. `give_back` gets the buffer when it is empty.
    pub(crate) fn flush(&mut self, give_back: impl FnOnce(Vec<u8>)) -> io::Result<Flushed> {
        let before = self.output.sent_total();
        let flushed = self.output.flush(self.stream.as_mut(), give_back);
        let sent = self.output.sent_total() - before;
        self.traffic.add(Counter::SENT, sent);
        flushed
    }

    /// Everything is sent. True if the session is to be woken for that.
    pub(crate) fn on_output_empty(&mut self) -> bool {
        self.intake.on_output_empty()
    }

    /// What waits does not hold up other requests any more, or not the SELECTs that were left for
    /// it. True if the session is to be woken.
    pub(crate) fn may_go_on_beside_output(&mut self) -> bool {
        let may_go_on = !self.is_output_full() || self.may_go_on_with_scans();
        may_go_on && self.intake.on_output_empty()
    }

    /// Whether its session has something to do when everything is sent.
    pub(crate) fn awaits_flush(&self) -> bool {
        self.intake.closing().is_some()
            || self.intake.is_output_awaited()
            || self.intake.has_ended()
            || self.owes_events
            || self.is_paused_in_vain()
    }

    /// Whether it is not read for want of memory, and holds next to nothing by now.
    #[inline]
    pub(crate) fn is_paused_in_vain(&self) -> bool {
        self.intake.is_memory_paused() && self.buffer_bytes() < MEMORY_SMALL
    }

    /// Charges what its buffers take now.
    #[inline]
    pub(crate) fn charge_buffers(&mut self) {
        self.charge
            .set(self.held_memory(), self.output.held().total());
    }

    /// What Tx sees of its output.
    pub(crate) fn output_gauge(&self) -> Arc<OutputGauge> {
        self.charge.gauge().clone()
    }

    /// Whether Tx, which waits for it, is to be told that there is room for replies: asked whenever
    /// buffers were charged.
    #[inline]
    pub(crate) fn take_room(&self) -> bool {
        self.charge.gauge().take_room()
    }

    /// Nobody reads its output any more.
    pub(crate) fn close_output(&self) {
        self.charge.gauge().close();
    }

    /// Whether so much waits that no frame should be taken.
    #[inline]
    fn is_output_full(&self) -> bool {
        let size = self.output_in_the_way(0);
        size >= MEMORY_SMALL && (size >= OUTPUT_PAUSE || self.charge.is_scarce())
    }

    /// Bytes that wait for the client, with `begun` of replies that are not complete, but without
    /// those that hold up nobody else.
    #[inline]
    fn output_in_the_way(&self, begun: usize) -> usize {
        let aside = self.output_max / BESIDE_CHUNKS_PART;
        self.output.size_in_the_way(begun, aside)
    }

    /// Whether a reply of any size may be made for it now, or gone on with if `begun` bytes of it
    /// are there, with this number of connections. Charges what there is first.
    pub(crate) fn may_reply(&mut self, begun: Held, connections: impl FnOnce() -> usize) -> bool {
        if begun == Held::default() && !self.charge.is_scarce() {
            return true;
        }
        let output = self.output.held();
        self.charge.set(self.held_memory() + begun, output.total());
        let replies = output + self.scan_held() + begun;
        self.charge.may_reply(replies.total(), connections)
    }

    /// What its buffers take now.
    #[inline]
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.held_memory().total()
    }

    #[inline]
    fn held_memory(&self) -> Held {
        let inbox = self.inbox.as_ref().map_or(0, Inbox::allocated);
        let held = self.held.as_ref().map_or(0, |held| held.bytes());
        let incoming = self.incoming.as_ref().map_or(0, |own| own.allocated());
        let stream = self.stream.held();
        Held::buffers(inbox + held + incoming + stream) + self.output.held() + self.scan_held()
    }

    #[inline]
    fn scan_held(&self) -> Held {
        self.scans
            .as_ref()
            .map_or(Held::default(), |own| own.held())
    }

    /// Whether more replies wait for the client than are kept for it.
    pub(crate) fn has_too_much_output(&self) -> bool {
        self.output.size() > self.output_max
    }

    /// Whether the connection is to be closed because what is short is held by it, and its client
    /// hardly takes anything: asked at the first look since something is short, which decides
    /// nothing, and at each that follows. `has_requests`: it has more than a share of the credits
    /// that are short.
    pub(crate) fn has_to_give_way(
        &mut self,
        is_first: bool,
        has_requests: bool,
        connections: impl FnOnce() -> usize,
    ) -> bool {
        let sent = self.output.sent_total();
        let before = std::mem::replace(&mut self.sent_before, sent);
        let is_stuck = !self.output.is_empty() && sent - before < SEGMENT_SIZE as u64;
        let is_holding = has_requests || self.charge.is_to_give_way(connections);
        !is_first && is_stuck && is_holding
    }

    /// What the connection is charged.
    pub(crate) fn charged_bytes(&self) -> usize {
        self.charge.bytes()
    }

    /// What the connection holds beyond a share while the bound on memory is exceeded, if it holds
    /// that in half a request or in half a reply.
    pub(crate) fn holding(&self, connections: impl FnOnce() -> usize) -> Option<Holding> {
        let is_half = self.needs_rest_of_frame() || self.waits_for_reply_memory();
        let is_holding = is_half && self.charge.is_to_give_way(connections);
        is_holding.then(|| Holding {
            has_ended: self.has_peer_ended(),
            bytes: self.charged_bytes(),
        })
    }
}
