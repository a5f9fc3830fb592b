//! What a session knows about its connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::Waker;
use std::time::{Duration, Instant};

use vestibule_wire::events;
use vestibule_wire::greeting::SALT_SIZE;

use super::orphaned::OrphanedTransactions;
use super::output::Output;
use super::timeouts::{self, ConnectionTimeouts};
use crate::admission::Class;
use crate::config::SoloPolicy;
use crate::engine::{Caller, Scan};
use crate::limits::{
    CONNECTION_BYTES_MAX, CONNECTION_REQUESTS_MAX, INBOX_WAITING_MAX, RESERVE_REQUESTS_MAX,
};
use crate::memory::MemoryCharge;
use crate::resources::credits::Grant;
use crate::resources::in_flight::{Effect, InFlightRequest};
use crate::resources::transactions::{OpenTransaction, OpenTransactions};
use crate::session::transport::{Transport, is_read_closed};
use crate::session::watch::Watches;
use crate::shared::Shared;
use crate::slots::ConnectionSlot;

/// One connection, shared by its session and the worker that hands it replies.
pub(crate) struct ConnectionCell {
    /// Its number in the worker.
    pub(crate) index: u32,
    /// Its number in the runtime.
    pub(crate) connection: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) since: Instant,
    /// Epoch of the serving state at its accept: in the same solo it counts as a new connection.
    pub(crate) epoch: u64,
    pub(crate) state: RefCell<ConnectionState>,
    /// Wakes the session's task.
    pub(crate) waker: RefCell<Option<Waker>>,
    /// On the worker's list of those with replies to flush.
    pub(crate) is_dirty: Cell<bool>,
    /// Last: it is given back when the socket is closed.
    pub(crate) slot: ConnectionSlot,
}

impl ConnectionCell {
    /// What happens to its requests while Tx is deaf.
    pub(crate) fn solo_policy(&self, shared: &Shared) -> SoloPolicy {
        let policy = if self.epoch == shared.cell.load().epoch {
            shared.config.solo_policy_new
        } else {
            shared.config.solo_policy
        };
        let is_rejected = policy == SoloPolicy::Reject;
        if is_rejected && self.slot.is_clients() && shared.slots.are_crowded() {
            // Whoever cannot be served now makes room for others.
            return SoloPolicy::Close;
        }
        policy
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn set_waker(&self, waker: &Waker) {
        let mut own = self.waker.borrow_mut();
        if !own.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *own = Some(waker.clone());
        }
    }
}

/// How far the end of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Not at all.
    No,
    /// When what is written has been sent; nothing more is read.
    AfterFlush,
    /// At once.
    Now,
}

/// Everything of a session that changes.
pub(crate) struct ConnectionState {
    pub(crate) stream: Transport,
    /// Bytes that were read and not taken yet: a frame's beginning, or what waits for a credit.
    pub(crate) inbox: Vec<u8>,
    pub(crate) output: Output,
    pub(crate) closing: Closing,
    /// Taking frames stopped for want of a credit; the worker resumes it.
    pub(crate) is_stalled: bool,
    /// It is the arbiter's credits that it waits for, not its own.
    pub(crate) is_on_stop_list: bool,
    /// The request for which it waits is small enough for the reserve.
    pub(crate) fits_reserve: bool,
    /// Credits that the arbiter holds for it after a wait.
    pub(crate) grant: Grant,
    /// What its buffers are charged.
    pub(crate) charge: MemoryCharge,
    /// Reading stopped because all connections together hold too much; the worker's tick resumes it.
    pub(crate) is_parked: bool,
    /// A user has logged in.
    pub(crate) has_logged_in: bool,
    /// Reading stopped until the client has taken its replies; whoever empties the output resumes it.
    pub(crate) is_waiting_for_reader: bool,
    /// It is not read now and on the worker's list of such: its end is looked for there.
    pub(crate) is_deaf: bool,
    /// A SELECT on the view that takes several steps: what comes after it waits.
    pub(crate) scan: Option<Box<ParkedScan>>,
    /// Transitions whose end its client waits for.
    pub(crate) transitions: usize,
    /// Waits for the reply of `vestibule.show`, one at a time: it may be large.
    pub(crate) is_surveying: bool,
    /// Requests kept until solo ends.
    pub(crate) held: Option<Box<Held>>,
    pub(crate) salt: [u8; SALT_SIZE],
    /// Who Tx and the view are told is asking.
    pub(crate) caller: Caller,
    pub(crate) watches: Option<Box<Watches>>,
    /// Version of the events that the watches have seen.
    pub(crate) events_seen: u64,
    /// Streams with an open transaction.
    pub(crate) transactions: OpenTransactions,
    /// Streams whose transaction died with its Tx.
    pub(crate) orphaned: OrphanedTransactions,
    /// How long its requests may take, if it has said so; zero: for ever.
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) counts: InFlight,
    pub(crate) timeouts: ConnectionTimeouts,
    /// The Tx that knows this session, by generation; 0 for none: it must be told of the departure.
    pub(crate) introduced_to: u64,
    /// Tx has to be told, with the next request, who is calling.
    pub(crate) must_introduce: bool,
}

/// Requests of one connection that are forwarded and not answered.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct InFlight {
    pub(crate) all: usize,
    pub(crate) bytes: usize,
    pub(crate) writes: usize,
    pub(crate) calls: usize,
}

impl InFlight {
    pub(crate) fn add(&mut self, class: Class, bytes: usize) {
        self.all += 1;
        self.bytes += bytes;
        match class {
            Class::Write => self.writes += 1,
            Class::Call => self.calls += 1,
            _ => {}
        }
    }

    fn remove(&mut self, class: Class, bytes: usize) {
        self.all -= 1;
        self.bytes -= bytes;
        match class {
            Class::Write => self.writes -= 1,
            Class::Call => self.calls -= 1,
            _ => {}
        }
    }

    /// Whether one more may be added.
    pub(crate) fn has_credit(&self) -> bool {
        self.all < CONNECTION_REQUESTS_MAX && self.bytes < CONNECTION_BYTES_MAX
    }

    /// Whether one more may be added by a credit of the reserve.
    pub(crate) fn is_light(&self) -> bool {
        self.all < RESERVE_REQUESTS_MAX
    }
}

/// A stepwise SELECT: the frame it came in, its place, and the reply so far.
pub(crate) struct ParkedScan {
    pub(crate) content: Vec<u8>,
    pub(crate) scan: Scan,
    /// Which view the scan is on.
    pub(crate) view_version: u64,
    pub(crate) reply: Vec<u8>,
    pub(crate) restarts: u32,
    /// When it arrived.
    pub(crate) since: Instant,
}

/// Requests kept by the solo policy `hold`.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) frames: VecDeque<(Instant, Vec<u8>)>,
    pub(crate) bytes: usize,
}

impl ConnectionState {
    /// Whether a drain may close it: nothing of it is under way, and it has not asked to be told.
    pub(crate) fn is_idle_for_drain(&self) -> bool {
        let subscribed = self
            .watches
            .as_ref()
            .is_some_and(|watches| watches.is_watching(events::SHUTDOWN));
        self.counts.all == 0
            && self.transactions.live() == 0
            && self.scan.is_none()
            && self.held.is_none()
            && self.inbox.is_empty()
            && self.transitions == 0
            && !subscribed
    }

    /// What the timeouts of this connection look at.
    pub(crate) fn observation(&mut self) -> timeouts::Observation {
        timeouts::Observation {
            half: if self.is_open() && !self.is_parked {
                self.inbox.len()
            } else {
                0
            },
            has_logged_in: self.has_logged_in,
            has_written: self.output.take_written(),
            has_output: !self.output.is_empty(),
            is_busy: self.counts.all > 0
                || self.scan.is_some()
                || self.held.is_some()
                || self.is_stalled
                || self.transitions > 0
                || self.is_surveying,
        }
    }

    /// A request did not happen: so neither did its effect on the list of open transactions.
    pub(crate) fn undo(&mut self, request: &InFlightRequest) {
        match request.effect {
            Effect::Opened => drop(self.transactions.close(request.stream)),
            Effect::Closed(transaction) => self.transactions.open(transaction),
            Effect::None => {}
        }
    }

    /// A request was begun, and nobody knows what became of it: a transaction that it began or ended is
    /// over for this session. Tx answers what the client asks of it.
    pub(crate) fn outcome_unknown(&mut self, request: &InFlightRequest) {
        if request.effect == Effect::Opened {
            self.transactions.close(request.stream);
        }
    }

    /// Tx died, and every transaction that was open with it.
    pub(crate) fn orphan_transactions(&mut self) {
        for own in self.transactions.take() {
            self.orphaned.add(own.stream, None);
        }
    }

    /// Whether the request for which it waits may have a credit of the reserve.
    pub(crate) fn may_use_reserve(&self) -> bool {
        self.fits_reserve && self.counts.is_light()
    }

    /// A request of it is answered or cancelled; true if that lets it go on.
    pub(crate) fn settle(&mut self, request: &InFlightRequest) -> bool {
        self.counts.remove(request.class, request.bytes);
        // Who waits behind others leaves its entry in their list to the tick.
        let goes_on = self.is_stalled
            && match self.is_on_stop_list {
                true => self.may_use_reserve(),
                false => self.counts.has_credit(),
            };
        if goes_on {
            self.is_stalled = false;
            self.is_on_stop_list = false;
        }
        goes_on
    }

    /// Charges what its buffers take now.
    pub(crate) fn charge_buffers(&mut self) {
        let bytes = self.buffer_bytes();
        self.charge.set(bytes);
    }

    /// What its buffers take now.
    pub(crate) fn buffer_bytes(&self) -> usize {
        let held = self.held.as_ref().map_or(0, |held| held.bytes);
        let scan = self
            .scan
            .as_ref()
            .map_or(0, |scan| scan.content.capacity() + scan.reply.capacity());
        self.inbox.capacity() + self.output.capacity() + held + scan
    }

    /// Whether a frame has begun to arrive, and nothing but its rest is waited for.
    pub(crate) fn needs_rest_of_frame(&self) -> bool {
        self.is_open() && !self.inbox.is_empty()
    }

    /// Whether it is read now. While no frame may be taken, a little is still read, so that the end of
    /// most connections is noticed at once; that of the others the worker's tick looks for.
    pub(crate) fn is_read(&self) -> bool {
        self.closing == Closing::No
            && !self.is_parked
            && (self.is_open() || self.inbox.len() < INBOX_WAITING_MAX)
    }

    /// The open transaction of a stream.
    pub(crate) fn transaction(&self, stream: u64) -> Option<&OpenTransaction> {
        self.transactions.get(stream)
    }

    /// Whether the next frame may be taken now.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.closing == Closing::No
            && self.scan.is_none()
            && !self.is_stalled
            && !self.is_surveying
            && !self.output.is_over_pause()
    }

    /// Whether the client has closed the connection, or its half of it. Costs no system call: the reactor
    /// knows, although what came before the end is not read.
    pub(crate) fn has_peer_left(&self) -> bool {
        is_read_closed(&self.stream)
    }

    pub(crate) fn close(&mut self, closing: Closing) {
        if self.closing != Closing::Now {
            self.closing = closing;
        }
    }
}
