//! The read side of a connection: whether its next frame is taken, and whether its bytes are read.
//! Pure.
//!
//! ```text
//!          ┌─ its own bound is reached, ─▶ OwnCredit ──── a reply brings it below ─────────┐
//!          │  or what replicas answer is under way                                        │
//!          ├─ its worker has no credit ──▶ SharedCredit ─ a credit, a reply and the ───────┤
//!   Open ──┤            of its pool                       reserve, or its last call's      ├▶ Open
//!          ├─ no memory for its reply ──▶ ReplyMemory ── the worker's list finds some ─────┤
//!          ├─ a login after wrong ones ─▶ Login ──────── its time has come ────────────────┤
//!          └─ another actor replies ─────▶ Gather ─────── its reply ───────────────────────┘
//!
//!   any of these ── close ──▶ Closing(AfterFlush) ── close ──▶ Closing(Now)
//! ```
//!
//! Only in `Open` is a frame taken, and every wait begins with a frame: so there is one wait at a
//! time, and closing ends it. Some things come on top of that: they can begin in any wait, or
//! others can begin beside them.
//!
//! * **memory**: all connections together hold too much, and this one more than its share. It is
//!   not read; frames that are here already are taken.
//! * **a full output**: the client does not take its replies. No frame is taken, and SELECTs of
//!   several steps do not go on.
//! * **SELECTs of several steps** are under way. The next frame waits for the last step of all;
//!   those of other streams may pass them.
//! * **the end of the input**: the client sends no more, although it may listen still. Nothing is
//!   read; frames that are here are taken, and when all of them are answered the connection ends.
//!   Replies in chunks that it owes credit for keep it no longer than those under way elsewhere.
//!
//! Of a connection that ends when what is written has been sent, credit for that is read and taken
//! still, if its client takes chunks; all else that comes is dropped.
//!
//! Of a client that takes chunks, pings and credit among what waits are taken in most of these
//! waits all the same.
//!
//! While no frame may be taken, a little is still read ([`INBOX_WAITING_MAX`]), so that the end of
//! most connections is noticed at once. A connection of which nothing is read is on its worker's
//! list, which looks for the ends of those.

use super::counts::InFlightCounts;
use crate::limits::INBOX_WAITING_MAX;
use crate::resources::credits::{Need, Pool};

/// How far the end of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Closing {
    /// When what is written has been sent; nothing more is read but the credit for it.
    AfterFlush,
    /// At once.
    Now,
}

/// What the next frame waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Wait {
    /// Nothing: it is taken as soon as it is here.
    #[default]
    Open,
    /// A reply: as many requests of this connection are in flight as there may be, or replicas
    /// answer some that were sent before it.
    OwnCredit,
    /// A credit of those that all connections of the worker share: it is in the worker's queue.
    SharedCredit(Need),
    /// Memory for a reply of any size.
    ReplyMemory,
    /// The time for a login, after wrong ones.
    Login,
    /// The reply of a control procedure that another actor tells, one at a time: it may be large.
    Gather,
    /// For ever.
    Closing(Closing),
}

/// The read side of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Intake {
    wait: Wait,
    /// The connection is not read for want of memory; the worker's tick ends that.
    is_memory_paused: bool,
    /// A reply is not made, or not gone on with, for want of memory; the worker's tick ends that.
    is_reply_short: bool,
    /// The output was full when the connection was to be read: emptying it wakes the session.
    is_output_awaited: bool,
    /// The connection is on the worker's list of connections that are not read.
    is_listed: bool,
    /// The client has closed its half: there is no more to read.
    has_ended: bool,
    /// SELECTs of several steps are under way.
    is_scanning: bool,
}

impl Intake {
    /// Whether the next frame may be taken now.
    #[inline]
    pub(crate) fn may_take_frame(self, is_output_full: bool) -> bool {
        self.is_open(is_output_full) && !self.is_scanning
    }

    fn is_open(self, is_output_full: bool) -> bool {
        self.wait == Wait::Open && !is_output_full
    }

    /// Whether frames may be taken that may pass the SELECTs of several steps: none while a reply
    /// waits for memory, which would be one of theirs.
    pub(crate) fn may_pass_scan(self, is_output_full: bool) -> bool {
        self.is_open(is_output_full) && self.is_scanning && !self.is_reply_short
    }

    /// Whether a ping need not wait, whatever the next frame waits for: not for the end, and not by
    /// who guesses passwords.
    pub(crate) fn takes_pings(self) -> bool {
        !matches!(self.wait, Wait::Login | Wait::Closing(_))
    }

    /// Whether bytes may be read now, with `waiting` of them not taken yet.
    #[inline]
    pub(crate) fn may_read(self, is_output_full: bool, waiting: usize) -> bool {
        !self.is_memory_paused
            && !self.has_ended
            && !matches!(self.wait, Wait::Closing(_))
            && (self.may_take_frame(is_output_full) || waiting < INBOX_WAITING_MAX)
    }

    /// Whether bytes are read still although it ends: for the credit without which what is written
    /// is never sent, with `waiting` of them not taken yet.
    pub(crate) fn may_read_for_credit(self, waiting: usize) -> bool {
        self.wait == Wait::Closing(Closing::AfterFlush)
            && !self.is_memory_paused
            && !self.has_ended
            && waiting < INBOX_WAITING_MAX
    }

    /// Whether its client is to send what is missing of a frame, rather than the server to take it.
    pub(crate) fn is_clients_turn(self, is_output_full: bool) -> bool {
        self.may_take_frame(is_output_full) && !self.is_memory_paused && !self.has_ended
    }

    /// Whether a request that is here waits for its turn or for its reply.
    pub(crate) fn is_busy(self) -> bool {
        self.has_left_frame() || self.is_gathering()
    }

    /// Whether another actor is to reply.
    pub(crate) fn is_gathering(self) -> bool {
        self.wait == Wait::Gather
    }

    /// Whether the frame at hand was not taken: it comes again when its wait is over.
    #[inline]
    pub(crate) fn has_left_frame(self) -> bool {
        matches!(
            self.wait,
            Wait::OwnCredit | Wait::SharedCredit(_) | Wait::ReplyMemory | Wait::Login
        )
    }

    /// Whether a reply waits for memory: that to the frame at hand, or the rest of a SELECT's.
    pub(crate) fn waits_for_reply_memory(self) -> bool {
        self.is_reply_short
    }

    /// There is no memory for the reply to the frame at hand.
    pub(crate) fn on_reply_short(&mut self) {
        self.is_reply_short = true;
        self.enter(Wait::ReplyMemory);
    }

    /// There is no memory for more of the reply to a SELECT of several steps.
    pub(crate) fn on_scan_short(&mut self) {
        self.is_reply_short = true;
    }

    /// There is memory for it.
    pub(crate) fn on_reply_back(&mut self) {
        self.is_reply_short = false;
        self.leave(Wait::ReplyMemory);
    }

    /// Whether it is for a credit of the worker that the next frame waits.
    pub(crate) fn waits_for_shared_credit(self) -> bool {
        matches!(self.wait, Wait::SharedCredit(_))
    }

    /// Whether it is for one of this pool.
    pub(crate) fn waits_for_credit_of(self, pool: Pool) -> bool {
        matches!(self.wait, Wait::SharedCredit(need) if need.pool == pool)
    }

    /// Whether the next frame waits for a credit of the worker, and may have one of the reserve.
    pub(crate) fn may_use_reserve(self, counts: InFlightCounts) -> bool {
        let fits = matches!(self.wait, Wait::SharedCredit(need) if need.fits_reserve);
        fits && counts.is_light()
    }

    /// Whether reading is paused for want of memory.
    pub(crate) fn is_memory_paused(self) -> bool {
        self.is_memory_paused
    }

    /// How far its end has come; `None`: it is open.
    #[inline]
    pub(crate) fn closing(self) -> Option<Closing> {
        match self.wait {
            Wait::Closing(closing) => Some(closing),
            _ => None,
        }
    }

    /// There is no credit for the frame at hand. True if it is one of the worker's that is missing:
    /// then the connection joins the worker's queue.
    pub(crate) fn on_no_credit(&mut self, counts: InFlightCounts, need: Need) -> bool {
        if self.wait != Wait::Open {
            return false;
        }
        // A connection at its own bound waits for its own replies, and not before others.
        self.wait = match counts.has_credit() {
            true => Wait::SharedCredit(need),
            false => Wait::OwnCredit,
        };
        self.waits_for_shared_credit()
    }

    /// The frame at hand is to be behind the replies to what is under way: each has it looked at
    /// again.
    pub(crate) fn on_replies_awaited(&mut self) {
        self.enter(Wait::OwnCredit);
    }

    /// A request was answered; `counts` are those without it. True if the connection goes on for
    /// that.
    ///
    /// What waits for a shared credit leaves its entry in the worker's queue, to be skipped there.
    #[inline]
    pub(crate) fn on_reply(&mut self, counts: InFlightCounts) -> bool {
        let goes_on = match self.wait {
            Wait::OwnCredit => counts.has_credit(),
            // Behind its calls no more, it needs another one.
            Wait::SharedCredit(need) if need.is_behind_calls && counts.calls == 0 => true,
            Wait::SharedCredit(_) => self.may_use_reserve(counts),
            _ => false,
        };
        self.open_if(goes_on)
    }

    fn open_if(&mut self, goes_on: bool) -> bool {
        if goes_on {
            self.wait = Wait::Open;
        }
        goes_on
    }

    /// The worker has a credit of this pool for it. False if it does not wait for one.
    pub(crate) fn on_credit(&mut self, pool: Pool) -> bool {
        self.open_if(self.waits_for_credit_of(pool))
    }

    /// Has it wait for a credit of the worker no more. False if it does not.
    pub(crate) fn end_stall(&mut self) -> bool {
        self.open_if(self.waits_for_shared_credit())
    }

    /// Whether a login waits.
    pub(crate) fn waits_for_login(self) -> bool {
        self.wait == Wait::Login
    }

    /// The login at hand has to wait.
    pub(crate) fn on_login_early(&mut self) {
        self.enter(Wait::Login);
    }

    /// The login that had to wait may be looked at.
    pub(crate) fn on_login_due(&mut self) {
        self.leave(Wait::Login);
    }

    /// A SELECT takes several steps.
    pub(crate) fn on_scan(&mut self) {
        self.is_scanning = true;
    }

    /// The last SELECT of several steps is over.
    pub(crate) fn on_scan_over(&mut self) {
        self.is_scanning = false;
    }

    /// The procedure at hand is answered by another actor: all workers together, or the Supervisor.
    pub(crate) fn on_gather(&mut self) {
        self.enter(Wait::Gather);
    }

    /// The reply of that other actor is here.
    pub(crate) fn on_gathered(&mut self) {
        self.leave(Wait::Gather);
    }

    fn enter(&mut self, wait: Wait) {
        if self.wait == Wait::Open {
            self.wait = wait;
        }
    }

    fn leave(&mut self, wait: Wait) {
        if self.wait == wait {
            self.wait = Wait::Open;
        }
    }

    /// The connection is to end; it never ends later than it was to before.
    pub(crate) fn close(&mut self, closing: Closing) {
        self.wait = Wait::Closing(self.closing().map_or(closing, |own| own.max(closing)));
    }

    /// All connections together hold too much, and this one more than its share.
    pub(crate) fn on_memory_short(&mut self) {
        self.is_memory_paused = true;
    }

    /// There is memory for it again.
    pub(crate) fn on_memory_back(&mut self) {
        self.is_memory_paused = false;
    }

    /// The output was full when the connection was to be read.
    pub(crate) fn on_output_full(&mut self) {
        self.is_output_awaited = true;
    }

    /// Whether its session is to be woken when its output is empty.
    #[inline]
    pub(crate) fn is_output_awaited(self) -> bool {
        self.is_output_awaited
    }

    /// The output is empty. True if the connection's session is to be woken for that.
    #[inline]
    pub(crate) fn on_output_empty(&mut self) -> bool {
        std::mem::take(&mut self.is_output_awaited)
    }

    /// The client has closed its half.
    pub(crate) fn on_end_of_input(&mut self) {
        self.has_ended = true;
    }

    /// Whether the client has closed its half, and all that came before was read.
    #[inline]
    pub(crate) fn has_ended(self) -> bool {
        self.has_ended
    }

    /// Whether the connection is one that is not read.
    pub(crate) fn is_listed(self) -> bool {
        self.is_listed
    }

    /// The connection could not be read. True if it is not on the worker's list yet: then it is to
    /// be put there.
    pub(crate) fn on_unread(&mut self) -> bool {
        !std::mem::replace(&mut self.is_listed, true)
    }

    /// The worker goes through its list. True if the connection stays on it: it cannot be read
    /// still.
    pub(crate) fn on_list_look(&mut self, is_output_full: bool, waiting: usize) -> bool {
        self.is_listed = self.is_reply_short || !self.may_read(is_output_full, waiting);
        self.is_listed
    }
}

#[cfg(test)]
mod tests;
