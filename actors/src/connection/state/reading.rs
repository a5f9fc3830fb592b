//! Reading, and taking frames: what moves the intake.

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::ReadBuf;

use super::ConnectionState;
use crate::cells::traffic::Counter;
use crate::clock::Clock;
use crate::connection::inbox::Inbox;
use crate::connection::incoming::Filled;
use crate::connection::intake::Closing;
use crate::connection::transport::poll_read_into;
use crate::hooks::CloseReason;
use crate::limits::{BURSTS_UNFORESEEN, INBOX_CHUNKS_MAX, INBOX_WAITING_MAX};
use crate::resources::credits::{CreditQueue, Grant, Need, PerPool, Pool};

impl ConnectionState {
    /// Reads what the client has sent.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.poll_read(cx, buffer)
    }

    /// Reads more of a large request, straight to where it is gathered, at most `most` bytes, for
    /// which there is room.
    pub(crate) fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        inbox: &mut Inbox,
        most: usize,
        packet_size_max: u64,
    ) -> Poll<io::Result<usize>> {
        let stream = &mut *self.stream;
        inbox.fill(packet_size_max, |bytes| {
            poll_read_into(stream, cx, bytes, most)
        })
    }

    /// Reads more of a piece of a request in chunks, straight to where that is put together.
    pub(crate) fn poll_read_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        let stream = &mut *self.stream;
        let read = |bytes: &mut Vec<u8>, most| poll_read_into(stream, cx, bytes, most);
        match &mut self.incoming {
            Some(incoming) => incoming.fill(read),
            None => Poll::Ready(Ok(Filled::default())),
        }
    }

    /// Bytes that have come of a piece whose rest is read straight to its request.
    pub(crate) fn half_piece(&self) -> Option<usize> {
        self.incoming.as_ref().and_then(|own| own.half_piece())
    }

    /// Whether the view is to hear of the burst that is here.
    #[inline]
    pub(crate) fn takes_foresight(&mut self) -> bool {
        let left = self.unforeseen.checked_sub(1);
        self.unforeseen = left.unwrap_or(0);
        left.is_none()
    }

    /// The view had no use for a burst of it: the next ones are not worth the work. It is counted
    /// here, so that nobody pays for what others send.
    pub(crate) fn rest_from_foreseeing(&mut self) {
        self.unforeseen = BURSTS_UNFORESEEN;
    }

    /// Whether the next frame may be taken now.
    #[inline]
    pub(crate) fn may_take_frame(&self) -> bool {
        self.intake.may_take_frame(self.is_output_full())
    }

    /// Bytes that wait, of those that may. A client that takes chunks may send more requests than
    /// are taken: the credit for what waits stands behind them.
    fn waiting(&self) -> usize {
        let more = match self.incoming {
            Some(_) => INBOX_CHUNKS_MAX - INBOX_WAITING_MAX,
            None => 0,
        };
        self.inbox_size().saturating_sub(more)
    }

    /// Whether bytes may be read now.
    fn may_read(&self) -> bool {
        self.intake.may_read(self.is_output_full(), self.waiting())
            || self.output.needs_credit() && self.intake.may_read_for_credit(self.waiting())
    }

    /// Whether what is read and not taken is kept: it may be taken later, or credit is looked for
    /// in it.
    #[inline]
    pub(crate) fn keeps_input(&self) -> bool {
        self.closing().is_none() || self.is_looking_for_credit()
    }

    /// Whether it ends when what is written has been sent, and credit for that may come.
    pub(crate) fn is_looking_for_credit(&self) -> bool {
        self.incoming.is_some()
            && self.closing() == Some(Closing::AfterFlush)
            && !self.intake.has_ended()
    }

    /// Whether credit for what is left to be sent can not come any more, as the client has closed
    /// its half, and nothing else is done for it: it ends, or all that it has sent is answered or
    /// waits for just that.
    pub(crate) fn is_out_of_credit(&self) -> bool {
        self.intake.has_ended()
            && !self.is_late
            && (self.closing().is_some() || self.is_output_full() && !self.waits_for_others())
    }

    /// Whether bytes may be read now, with this number of connections. `is_exempt`: whatever memory
    /// they take.
    pub(crate) fn prepare_read(
        &mut self,
        is_exempt: bool,
        connections: impl FnOnce() -> usize,
    ) -> bool {
        if self.is_output_full() {
            self.intake.on_output_full();
        }
        self.charge_buffers();
        if !is_exempt && self.is_over_share(connections) {
            self.intake.on_memory_short();
        } else {
            self.intake.on_memory_back();
        }
        self.may_read()
    }

    /// Whether it should not be read for what it holds. Credit for its replies is looked for until
    /// the bound is reached: without it what they take is not given back.
    fn is_over_share(&self, connections: impl FnOnce() -> usize) -> bool {
        let looks_for_credit = self.output.needs_credit()
            && !self.charge.is_over()
            && self.waiting() < INBOX_WAITING_MAX;
        !looks_for_credit && self.charge.is_over_share(connections)
    }

    /// Whether pings may be answered although other requests have to wait, while there is
    /// [room](Self::has_room_for_control) for that.
    pub(crate) fn takes_pings_ahead(&self) -> bool {
        self.intake.takes_pings()
    }

    /// Whether few answers wait.
    pub(crate) fn has_room_for_control(&self) -> bool {
        self.output.has_room_for_control()
    }

    /// The connection could not be read. True if it is to be put on the worker's list of such.
    pub(crate) fn on_unread(&mut self) -> bool {
        self.intake.on_unread()
    }

    /// The worker goes through its list. True if the connection stays on it: it cannot be read
    /// still.
    pub(crate) fn on_list_look(&mut self) -> bool {
        let is_output_full = self.is_output_full();
        self.intake.on_list_look(is_output_full, self.waiting())
    }

    /// Whether reading is paused for want of memory.
    pub(crate) fn is_memory_paused(&self) -> bool {
        self.intake.is_memory_paused()
    }

    /// Whether its buffers take little enough by now that it may be read, with this number of
    /// connections.
    pub(crate) fn is_within_share(&mut self, connections: impl FnOnce() -> usize) -> bool {
        self.charge_buffers();
        !self.is_over_share(connections)
    }

    /// There is memory for it again.
    pub(crate) fn on_memory_back(&mut self) {
        self.intake.on_memory_back();
    }

    /// Whether a frame has begun to arrive, and nothing but its rest is waited for.
    pub(crate) fn needs_rest_of_frame(&self) -> bool {
        let has_begun = self.has_inbox() || self.half_piece().is_some();
        self.may_take_frame() && !self.is_late && has_begun
    }

    /// Whether it comes to no end unless it is read, whatever memory that takes: for the rest of a
    /// frame, or, beyond the bound, for the credit for its replies.
    pub(crate) fn needs_to_be_read(&self) -> bool {
        self.needs_rest_of_frame() || self.charge.is_over() && self.output.needs_credit()
    }

    /// The client has closed its half of the connection.
    pub(crate) fn on_end_of_input(&mut self) {
        self.intake.on_end_of_input();
    }

    /// Whether everything that its client sent before it closed its half is answered: what is
    /// left of its bytes, if anything is, is no whole frame.
    #[inline]
    pub(crate) fn is_answered_to_the_end(&self, packet_size_max: u64) -> bool {
        self.intake.has_ended()
            && !self.is_at_work()
            && !(self.inbox.as_ref()).is_some_and(|own| own.has_frame(packet_size_max))
    }

    /// Whether its turn was over before its work was: it waits for another one.
    #[inline]
    pub(crate) fn is_late(&self) -> bool {
        self.is_late
    }

    /// Whether its last turns took so much that others go first.
    #[inline]
    pub(crate) fn is_resting(&mut self, clock: Clock) -> bool {
        self.resting = self.resting.filter(|until| clock.now() < *until);
        self.resting.is_some()
    }

    /// The turn at hand took much, if this is given: others go first until then.
    #[inline]
    pub(crate) fn rest_until(&mut self, until: Option<Instant>) {
        if until.is_some() {
            self.resting = until;
        }
    }

    #[inline]
    pub(crate) fn set_late(&mut self, is_late: bool) {
        self.is_late = is_late;
    }

    /// Bytes arrived: this many.
    pub(crate) fn on_read(&mut self, bytes: usize) {
        self.traffic.add(Counter::RECEIVED, bytes as u64);
        self.timeouts.has_read = true;
    }

    /// Whole frames were taken.
    pub(crate) fn on_frames_taken(&mut self) {
        self.timeouts.has_taken = true;
    }

    /// How far its end has come; `None`: it is open.
    #[inline]
    pub(crate) fn closing(&self) -> Option<Closing> {
        self.intake.closing()
    }

    /// Ends the connection. Of several reasons the first one is told.
    pub(crate) fn close(&mut self, closing: Closing, reason: CloseReason) {
        self.close_reason.get_or_insert(reason);
        self.intake.close(closing);
    }

    /// Why it ends: its client is gone unless something else was said.
    pub(crate) fn close_reason(&self) -> CloseReason {
        self.close_reason.unwrap_or(CloseReason::Client)
    }

    /// Why it ends, if nothing was said before.
    pub(crate) fn on_end(&mut self, reason: CloseReason) {
        self.close_reason.get_or_insert(reason);
    }

    /// Whether the frame at hand was not taken, because there is no credit for it, no memory
    /// for its reply, or because it is a login that has to wait.
    #[inline]
    pub(crate) fn has_left_frame(&self) -> bool {
        self.intake.has_left_frame()
    }

    /// There is no memory for the reply at hand, or for more of that of a scan. True if the
    /// connection is to be put on the worker's list of those that are not read.
    pub(crate) fn on_reply_short(&mut self, is_scan: bool) -> bool {
        if is_scan {
            self.intake.on_scan_short();
        } else {
            self.intake.on_reply_short();
        }
        self.intake.on_unread()
    }

    /// Whether a reply of it waits for memory.
    pub(crate) fn waits_for_reply_memory(&self) -> bool {
        self.intake.waits_for_reply_memory()
    }

    /// There is memory for the reply that waits.
    pub(crate) fn on_reply_back(&mut self) {
        self.intake.on_reply_back();
    }

    /// Whether the worker may leave it out of its queue for credits of a pool: it does not wait
    /// there any more, or may have one of the reserve, if there is one: for users, and for guest.
    pub(crate) fn needs_no_queue(&self, pool: Pool, has_reserve: [bool; 2]) -> bool {
        !self.intake.waits_for_credit_of(pool)
            || self.intake.may_use_reserve(self.counts)
                && has_reserve[usize::from(self.caller().user.is_guest())]
    }

    /// The worker has credits of a pool for it. False if it does not wait for them: then the grant
    /// is not its.
    pub(crate) fn on_credit(&mut self, pool: Pool, grant: Grant) -> bool {
        let goes_on = self.intake.on_credit(pool);
        if goes_on {
            self.grants[pool] = grant;
        }
        goes_on
    }

    /// There is no credit for the frame at hand. True if the connection joins the worker's queue.
    pub(crate) fn on_no_credit(&mut self, need: Need, now: Instant) -> bool {
        self.stalled.get_or_insert(now);
        self.intake.on_no_credit(self.counts, need)
    }

    /// Since when its next frame has waited for a credit of the worker, if it does.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.stalled
            .filter(|_| self.intake.waits_for_shared_credit())
    }

    /// What waits for a credit of the worker is not to wait any more. False if nothing does.
    pub(crate) fn end_stall(&mut self) -> bool {
        self.stalled = None;
        self.intake.end_stall()
    }

    /// Credits of a pool that the worker keeps for it.
    #[inline]
    pub(crate) fn grant(&self, pool: Pool) -> Grant {
        self.grants[pool]
    }

    /// The connection uses one of the credits that all connections of the worker share.
    #[inline]
    pub(crate) fn use_shared_credit(&mut self, pool: Pool, queues: &mut PerPool<CreditQueue>) {
        queues[pool].take(&mut self.grants[pool]);
    }

    /// The connection's turn is over. True if others wait for what it did not use.
    #[inline]
    pub(crate) fn give_back_grants(&mut self, queues: &mut PerPool<CreditQueue>) -> bool {
        let given = Pool::ALL.map(|pool| queues[pool].give_back(&mut self.grants[pool]));
        given.contains(&true)
    }
}
