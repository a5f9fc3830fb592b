//! Requests of a connection: in flight, held, scanned, and how long they take.

use std::time::{Duration, Instant};

use vestibule_wire::events;

use super::ConnectionState;
use crate::admission::Class;
use crate::config::{HoldLimits, TimeLimits};
use crate::connection::awaited::AwaitedTransition;
use crate::connection::counts::InFlightCounts;
use crate::connection::held::{HeldPart, HeldRequest, HeldRequests};
use crate::connection::inbox::Inbox;
use crate::connection::scan::ParkedScan;
use crate::connection::timeouts::{Observation, TimeoutKind};
use crate::limits::{OUTPUT_PAUSE, SHUTDOWN_NOTICE};
use crate::messages::WaitId;
use crate::resources::in_flight::{Credit, InFlightRequest};
use crate::serving::Serving;
use crate::upstream::ReadFrom;

impl ConnectionState {
    /// Requests in flight.
    #[inline]
    pub(crate) fn counts(&self) -> InFlightCounts {
        self.counts
    }

    /// A request is forwarded.
    #[inline]
    pub(crate) fn on_forward(&mut self, class: Class, bytes: usize) {
        self.stalled = None;
        self.counts.add(class, bytes);
    }

    /// The request that is forwarded is a SELECT that a replica may answer.
    pub(crate) fn on_replica_read(&mut self) {
        self.counts.replica_reads += 1;
    }

    /// A request of it has set something in its session upstream: that is its own from here on, and
    /// what it sends behind its SELECTs need not wait for replicas.
    pub(crate) fn on_set(&mut self) {
        self.counts.read_alone();
    }

    /// The request at hand is to wait for the replies to SELECTs that replicas may answer.
    pub(crate) fn on_replica_reads_under_way(&mut self) {
        self.intake.on_replies_awaited();
    }

    /// A request of it is answered or cancelled; true if that lets it go on.
    #[inline]
    pub(crate) fn on_reply(&mut self, request: &InFlightRequest) -> bool {
        if request.credit == Credit::Returned {
            self.counts.end_wait();
        }
        if request.is_replica_read {
            self.counts.replica_reads -= 1;
        }
        self.counts.remove(request.class, request.bytes);
        self.intake.on_reply(self.counts)
    }

    /// A request of it waits for something else than Tx; true if that lets it go on.
    pub(crate) fn on_wait(&mut self) -> bool {
        self.counts.wait();
        self.intake.on_reply(self.counts)
    }

    /// How long its requests may take, if it has said so; zero: for ever.
    #[inline]
    pub(crate) fn request_timeout(&self) -> Option<Duration> {
        self.request_timeout
    }

    pub(crate) fn set_request_timeout(&mut self, timeout: Option<Duration>) {
        self.request_timeout = timeout;
    }

    /// Where its SELECTs are answered as long as it does not say so itself.
    pub(crate) fn begin_reads(&mut self, read_from: ReadFrom) {
        self.read_from = read_from;
        self.set_read_from(None);
    }

    /// Where its SELECTs are answered; `None`: as where it came in. Tells where that is.
    pub(crate) fn set_read_from(&mut self, read_from: Option<ReadFrom>) -> ReadFrom {
        let read_from = read_from.unwrap_or(self.read_from);
        self.counts.read_from(read_from);
        read_from
    }

    /// The procedure at hand is answered by another actor: all workers together, or the Supervisor.
    pub(crate) fn on_gather(&mut self) {
        self.intake.on_gather();
    }

    /// The reply of that other actor is here.
    pub(crate) fn on_gathered(&mut self) {
        self.intake.on_gathered();
    }

    /// A call waits for a transition; `None` if as many do as may.
    pub(crate) fn await_transition(&mut self, call: AwaitedTransition) -> Option<WaitId> {
        let id = self.awaited.get_or_insert_default().add(call)?;
        if call.holds_intake {
            self.intake.on_gather();
        }
        Some(id)
    }

    /// A call that waits for a transition is answered; false if it was before.
    #[must_use]
    pub(crate) fn end_wait(&mut self, id: WaitId) -> bool {
        let ended = self.awaited.as_mut().and_then(|own| own.take(id));
        if ended.is_some_and(|own| own.holds_intake) {
            self.intake.on_gathered();
        }
        ended.is_some()
    }

    /// Takes out calls that are not to wait for their transitions any longer.
    pub(crate) fn take_awaited(
        &mut self,
        is_meant: impl Fn(&AwaitedTransition) -> bool,
    ) -> Vec<(WaitId, AwaitedTransition)> {
        let taken = self.awaited.as_mut().map(|own| own.take_where(is_meant));
        let taken = taken.unwrap_or_default();
        if taken.iter().any(|(_, own)| own.holds_intake) {
            self.intake.on_gathered();
        }
        taken
    }

    /// Calls that wait for transitions.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = &AwaitedTransition> {
        self.awaited.iter().flat_map(|own| own.iter())
    }

    /// Whether there are SELECTs that take several steps.
    pub(crate) fn has_scans(&self) -> bool {
        self.scans.is_some()
    }

    /// The SELECTs that take several steps, from the oldest on.
    pub(crate) fn scans(&self) -> impl Iterator<Item = &ParkedScan> {
        self.scans.iter().flat_map(|own| own.iter())
    }

    /// Whether one more SELECT may take several steps beside others.
    pub(crate) fn has_place_for_scan(&self) -> bool {
        !self.scans.as_ref().is_some_and(|own| own.is_full())
    }

    /// Whether the SELECTs of several steps are left until the client has taken more of what there
    /// is for it. Else the replies of all of them could be made on top of each other, for a client
    /// that takes them as fast as it can.
    fn are_scans_left(&self) -> bool {
        self.scans.is_some() && self.output_in_the_way(0) >= OUTPUT_PAUSE
    }

    /// Whether there are some, and they are not left.
    fn do_scans_go_on(&self) -> bool {
        self.scans.is_some() && !self.are_scans_left()
    }

    /// The same, before they are gone on with. The session is woken when it is over.
    pub(crate) fn has_to_leave_scans(&mut self) -> bool {
        let has_to_wait = self.are_scans_left();
        if has_to_wait {
            self.intake.on_output_full();
        }
        has_to_wait
    }

    /// Whether SELECTs of several steps go on when its session is woken. Others wake it if they
    /// wait for memory or for their turn.
    pub(super) fn may_go_on_with_scans(&self) -> bool {
        let is_woken = self.is_late || self.intake.waits_for_reply_memory();
        !is_woken && self.do_scans_go_on()
    }

    /// Whether it is still to be let through without memory: its SELECTs go on, or, if memory
    /// `is_over` its bound, their replies are to be taken first.
    pub(crate) fn needs_reply_memory(&self, is_over: bool) -> bool {
        self.do_scans_go_on() || is_over && !self.is_flushed()
    }

    /// Takes a SELECT that takes several steps, to go on with it: each in turn, or the oldest if it
    /// is to come to its end first, or if as much waits for the client as is kept for it.
    pub(crate) fn take_scan(&mut self, is_oldest: bool) -> Option<Box<ParkedScan>> {
        let begun = self.scan_held().total();
        let is_oldest = is_oldest
            || self.intake.waits_for_reply_memory()
            || self.charge.is_scarce()
            || self.output_in_the_way(begun) >= OUTPUT_PAUSE;
        let scan = self.scans.as_mut()?.take(is_oldest)?;
        self.on_scan_left();
        Some(scan)
    }

    /// A SELECT that was taken is to go on in a later turn.
    pub(crate) fn put_scan_back(&mut self, scan: Box<ParkedScan>) {
        // It has not ended after all.
        self.scan_changes = self.scan_changes.wrapping_sub(1);
        self.scans.get_or_insert_default().put_back(scan);
        self.intake.on_scan();
    }

    /// A SELECT has begun that is to go on in a later turn.
    pub(crate) fn park_scan(&mut self, scan: Box<ParkedScan>) {
        if !self.has_scans() {
            self.scan_changes = self.scan_changes.wrapping_add(1);
        }
        self.scans.get_or_insert_default().add(scan);
        self.intake.on_scan();
    }

    fn on_scan_left(&mut self) {
        self.scan_changes = self.scan_changes.wrapping_add(1);
        if self.scans.take_if(|own| own.is_empty()).is_some() {
            self.intake.on_scan_over();
        }
    }

    /// How often a SELECT of several steps has ended, or the first of some has begun: then others
    /// may pass than before.
    pub(crate) fn scan_changes(&self) -> u32 {
        self.scan_changes
    }

    /// Whether requests may be taken that pass the SELECTs of several steps.
    pub(crate) fn may_pass_scans(&self) -> bool {
        self.intake.may_pass_scan(self.is_output_full())
    }

    /// Whether a SELECT of several steps is under way in this stream.
    pub(crate) fn has_scan_of(&self, stream: u64) -> bool {
        self.scans
            .as_ref()
            .is_some_and(|own| own.has_stream(stream))
    }

    /// Whether requests are held.
    #[inline]
    pub(crate) fn has_held(&self) -> bool {
        self.held.is_some()
    }

    /// How many requests are held.
    pub(crate) fn held_count(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.len())
    }

    /// Requests that are held, and of what each is a part.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&HeldRequest, HeldPart)> {
        self.held.iter().flat_map(|held| held.iter())
    }

    /// Holds a request; gives it back if that is beyond the limits.
    pub(crate) fn hold(
        &mut self,
        request: HeldRequest,
        limits: HoldLimits,
    ) -> Result<(), HeldRequest> {
        let mut held = self.held.take().unwrap_or_default();
        let kept = held.push(request, limits);
        self.held = Some(held).filter(|own| !own.is_empty());
        kept
    }

    /// A BEGIN is not done, for there is no room to hold it.
    pub(crate) fn refuse_begin(&mut self, begin: &HeldRequest) {
        let held = self.held.as_mut();
        let is_noted = held.is_some_and(|own| own.mark_refused(begin));
        if !is_noted && self.transaction(begin.stream).is_none() {
            self.orphan_begin(begin.stream);
        }
    }

    /// When its worker looks at it again.
    pub(crate) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Has its worker look at it then; returns when it was to before.
    pub(crate) fn set_look(&mut self, at: Option<Instant>) -> Option<Instant> {
        std::mem::replace(&mut self.look_at, at)
    }

    /// Takes what is held, to go through it.
    pub(crate) fn take_held(&mut self) -> Option<Box<HeldRequests>> {
        self.held.take()
    }

    /// Puts back what is held still.
    pub(crate) fn put_held(&mut self, held: Box<HeldRequests>) {
        self.held = Some(held);
    }

    /// Drops a SELECT that takes several steps and has this sync, or any if none is named. Returns
    /// its sync; there may be another one.
    pub(crate) fn cancel_scan(&mut self, sync: Option<u64>) -> Option<u64> {
        let is_meant = |own: &ParkedScan| sync.is_none_or(|sync| sync == own.sync());
        let dropped = self.scans.as_mut()?.drop_first(is_meant)?;
        self.on_scan_left();
        Some(dropped.sync())
    }

    /// An administrator uses it.
    pub(crate) fn on_operated(&mut self) {
        self.is_operators = true;
    }

    /// Whether it has to close in this serving state: a stop has begun, it is idle, and no
    /// administrator's; or the stop is done. The session's turn closes it then; who else changes
    /// what this looks at wakes the session.
    #[inline]
    pub(crate) fn is_closed_by_stop(&self, serving: Serving) -> bool {
        serving.is_stopping() && !self.is_operators && self.is_idle_for_stop()
            || !serving.state.traits().serves
    }

    /// Whether a stop has begun that it takes part in: nothing that takes a while begins on it any
    /// more. Administrators come in during a stop.
    pub(crate) fn is_stopped_by(&self, serving: Serving) -> bool {
        serving.is_stopping() && !self.is_operators
    }

    /// Whether a stop does not wait for it, and does not close it before its end: it is an
    /// administrator's, who may have something to see to, and is idle. Before it has caught up
    /// nobody knows that: what had arrived is executed.
    pub(crate) fn is_idle_operator(&self) -> bool {
        self.is_operators && self.has_caught_up && self.is_flushed() && self.is_idle_for_stop()
    }

    /// Whether nothing of it is under way, and it has not asked to be told of the stop.
    fn is_idle_for_stop(&self) -> bool {
        self.counts.all == 0
            && !self.is_late
            && self.transactions.live() == 0
            && !self.is_at_work()
            && self.inbox.is_none()
            && !self.is_watching_stop()
    }

    /// The serving state under which a request of it is admitted: in a stop, what had arrived
    /// before is served as ever unless it was held, and for a moment after it was told, so is a
    /// client that watches for that.
    #[inline]
    pub(crate) fn served_under(
        &mut self,
        serving: Serving,
        is_held: bool,
        now: Instant,
    ) -> Serving {
        if serving.is_stopping() && (!is_held && self.is_behind(now) || self.is_on_notice(now)) {
            serving.as_announced()
        } else {
            serving
        }
    }

    /// Whether there may be something left that had arrived before a stop: that is so for a moment
    /// at most.
    fn is_behind(&mut self, now: Instant) -> bool {
        !self.has_caught_up && self.is_within_notice(now)
    }

    /// Whether its client is told of the stop right now, or was a moment ago.
    pub(crate) fn is_on_notice(&mut self, now: Instant) -> bool {
        self.is_watching_stop() && self.is_within_notice(now)
    }

    fn is_within_notice(&mut self, now: Instant) -> bool {
        let until = self.served_until.get_or_insert(now + SHUTDOWN_NOTICE);
        now < *until
    }

    /// A stop has begun, and the session has had its turn: whether it has come to the end of what
    /// had arrived before. That is asked until it has.
    pub(crate) fn catch_up(&mut self, packet_size_max: u64) -> bool {
        if !self.has_caught_up {
            let has_frame = |own: &Inbox| own.has_frame(packet_size_max);
            self.has_caught_up = !self.is_late
                && !self.inbox.as_ref().is_some_and(has_frame)
                && (self.intake.has_ended() || !self.stream.has_unread());
        }
        self.has_caught_up
    }

    /// Whether its client has sent what was not read. A system call.
    pub(crate) fn has_unread(&self) -> bool {
        !self.intake.has_ended() && self.stream.has_unread()
    }

    /// Nothing of it is of before the stop: it is new, or has asked for the stop itself.
    pub(crate) fn on_known_stop(&mut self) {
        self.has_caught_up = true;
    }

    /// Whether it has come to the end of what had arrived before a stop.
    pub(crate) fn has_caught_up(&self) -> bool {
        self.has_caught_up
    }

    /// Whether its client has asked to be told of a stop.
    pub(crate) fn is_watching_stop(&self) -> bool {
        let watches = self.watches.as_ref();
        watches.is_some_and(|own| own.is_watching(events::SHUTDOWN))
    }

    /// Whether it has taken longer than it may. `is_late`: nobody could look for long, so that what
    /// waits is given its time again.
    pub(crate) fn check_timeouts(
        &mut self,
        now: Instant,
        is_late: bool,
        limits: &TimeLimits,
    ) -> Option<TimeoutKind> {
        let observation = self.observation();
        if is_late {
            self.timeouts.reset(now);
        }
        self.timeouts.check(now, observation, limits)
    }

    fn observation(&mut self) -> Observation {
        let is_clients_turn = !self.is_late && self.intake.is_clients_turn(self.is_output_full());
        Observation {
            half: if is_clients_turn {
                self.inbox_size() + self.half_piece().unwrap_or(0)
            } else {
                0
            },
            has_logged_in: self.identity.has_logged_in(),
            has_written: self.output.take_written(),
            has_output: !self.output.is_empty(),
            is_busy: self.is_at_work(),
            has_ended: self.has_peer_ended(),
        }
    }

    /// Whether a request of it is under way, or waits for its turn.
    pub(super) fn is_at_work(&self) -> bool {
        self.counts.all > 0
            || self.is_late
            || self.scans.is_some()
            || self.held.is_some()
            || self.intake.is_busy()
            || self.awaited().next().is_some()
    }

    /// Whether a request of it is answered by others, whatever waits for its client.
    pub(super) fn waits_for_others(&self) -> bool {
        self.counts.all > 0
            || self.do_scans_go_on()
            || self.intake.is_gathering()
            || self.awaited().next().is_some()
    }

    /// Since when replies have waited for the client, as of the last check.
    pub(crate) fn unread_since(&self) -> Option<Instant> {
        self.timeouts.unread_since()
    }
}
