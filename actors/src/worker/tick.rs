//! What a worker looks at now and then, because nothing else would wake it for that.
//!
//! ```text
//!   every 100 ms ─┬▶ connections that take too long             (timeouts)
//!                 ├▶ provisional slots of administrators that nobody uses
//!                 ├▶ connections that are not read: has the client left? is there memory again?
//!                 ├▶ requests that wait in links: is there memory again? are they wanted?
//!                 ├▶ connections that hold what others wait for, and take no replies
//!                 ├▶ who waits for a credit and could have one of the reserve
//!                 ├▶ who has waited for a credit too long
//!                 ├▶ how much there was per second  (once a second)
//!                 └▶ requests in Tx's queue, in solo: their sessions may want them back by now
//! ```

use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use super::actor::Worker;
use crate::config::TimeLimits;
use crate::connection::cell::ConnectionCell;
use crate::connection::intake::Closing;
use crate::connection::state::ConnectionState;
use crate::connection::timeouts::check_period;
use crate::hooks::CloseReason;
use crate::limits::{
    ADMIN_SLOT_TIME_MIN, HALF_CLOSED_CROWDED_MAX, SHORTAGE_TIME_MAX, TIME_LOOKS_PER_LIMIT,
};
use crate::memory::give_way;
use crate::messages::SessionId;
use crate::resources::credits::{Grant, Pool, credit_share};
use crate::segments::Held;
use crate::session::messages::{Close, ExpireStalled, SlotRevoked};
use crate::timeouts::after;

impl Worker {
    /// Answers what has waited too long.
    pub(crate) fn tick(&self, now: Instant) {
        let shared = &self.cell.shared;
        shared.counters[self.cell.index]
            .pulse
            .beat(shared.since_start(now));
        self.follow_settings();
        self.check_timeouts(now);
        self.revoke_slots(now);
        self.poll_paused();
        if let Some(links) = &self.links {
            links.look_at_memory();
            links.drop_unwanted();
        }
        self.close_stuck(now);
        self.resume_light();
        self.expire_stalled(now);
        self.tell_rates(now);
        self.cell.shared.memory.segments().trim(now);
        self.cell.state.borrow_mut().buffers.trim(now);
        let is_solo = self.cell.shared.serving.load().state.traits().answers_alone;
        if is_solo && self.cell.state.borrow().settings.may_hold() {
            self.revoke_in_solo(now);
        }
    }

    /// Takes over the settings as they are now. Where they were replaced, so is what
    /// follows from them: when connections are looked at, and who may lose a slot.
    fn follow_settings(&self) {
        let (version, limits) = {
            let mut state = self.cell.state.borrow_mut();
            state.settings.refresh(&self.cell.shared.settings);
            (state.settings.version(), state.settings.time_limits)
        };
        if self.settings_seen.replace(version) == version {
            return;
        }
        self.next_look.set(None);
        let may_lose_it = |own: &Rc<ConnectionCell>| {
            let probation = own.slot.probation(limits.admin_authentication);
            probation.is_some()
        };
        let sessions = self.sessions.iter().filter(may_lose_it);
        *self.provisional.borrow_mut() = sessions.map(|own| own.id).collect();
    }

    /// Lets go on who has next to nothing on its way, waits behind others, and found the reserve
    /// used up.
    fn resume_light(&self) {
        Pool::ALL
            .into_iter()
            .for_each(|pool| self.resume_light_of(pool));
    }

    fn resume_light_of(&self, pool: Pool) {
        let mut state = self.cell.state.borrow_mut();
        if state.credit_queues[pool].is_empty() {
            return;
        }
        let has_reserve = [false, true].map(|is_guest| state.has_reserve(pool, is_guest));
        let need_not_wait = |index| {
            self.sessions.get(index).is_none_or(|own| {
                // Those that do not wait any more have left a stale entry.
                own.state.borrow().needs_no_queue(pool, has_reserve)
            })
        };
        let sessions = state.credit_queues[pool].take_out(need_not_wait);
        for session in sessions
            .into_iter()
            .filter_map(|index| self.sessions.get(index))
        {
            if session.state.borrow_mut().on_credit(pool, Grant::default()) {
                session.wake();
            }
        }
    }

    /// Has those go on that have waited for a credit too long: what is there is refused.
    fn expire_stalled(&self, now: Instant) {
        let state = self.cell.state.borrow();
        let timeout = state.settings.wait_timeout;
        let queues = Pool::ALL.map(|pool| &state.credit_queues[pool]);
        let waiting = queues.into_iter().flat_map(|own| own.iter());
        for session in waiting.filter_map(|index| self.sessions.get(index)) {
            let since = session.state.borrow().stalled_since();
            if since.is_some_and(|since| after(since, timeout).is_some_and(|end| now >= end)) {
                self.sessions.tell(&session, ExpireStalled);
            }
        }
    }

    /// Tells those who look at counters how much there was per second.
    fn tell_rates(&self, now: Instant) {
        let traffic = &self.cell.shared.counters[self.cell.index].traffic;
        let rates = self.rates.borrow_mut().sample(now, || traffic.rated());
        if let Some(rates) = rates {
            traffic.set_rates(rates);
        }
    }

    /// As of the last look at the settings.
    fn time_limits(&self) -> TimeLimits {
        self.cell.state.borrow().settings.time_limits
    }

    /// Closes connections that took longer than they may.
    fn check_timeouts(&self, now: Instant) {
        let limits = self.time_limits();
        let shortest = TimeLimits {
            idle: idle_limit(self.idle_min.get(), limits.idle),
            ..limits
        };
        let Some(period) = check_period(&shortest) else {
            return;
        };
        let due = self.next_look.get().unwrap_or(now);
        if now < due {
            return;
        }
        self.next_look.set(Some(now + period));
        // A look is late when this thread was kept from everything, reading included.
        let is_late = now - due > period * TIME_LOOKS_PER_LIMIT / 2;
        let limits = &TimeLimits {
            half_closed: match self.cell.shared.slots.are_crowded() {
                true => limits.half_closed.min(HALF_CLOSED_CROWDED_MAX),
                false => limits.half_closed,
            },
            ..limits
        };
        for session in self.sessions.iter() {
            let mut own = session.state.borrow_mut();
            let limits = &TimeLimits {
                idle: idle_limit(session.bounds.idle, limits.idle),
                ..*limits
            };
            if let Some(overdue) = own.check_timeouts(now, is_late, limits) {
                log::debug!(
                    "closing the connection from {}: {}",
                    session.peer,
                    overdue.name()
                );
                self.sessions
                    .tell(&session, Close(Closing::Now, CloseReason::TimeLimit));
            }
        }
    }

    /// Looks at the connections that are not read, in the order in which they stopped: closes those
    /// whose clients are gone for good, and lets go on those for which there is memory again.
    fn poll_paused(&self) {
        let mut paused = self.cell.state.borrow_mut().paused.take();
        let has_room = self.cell.shared.memory.has_room();
        self.end_exemption();
        paused.retain(|id| {
            let Some(session) = self.sessions.of(*id) else {
                return false;
            };
            let mut own = session.state.borrow_mut();
            if own.is_peer_gone() {
                self.sessions
                    .tell(&session, Close(Closing::Now, CloseReason::Client));
                return false;
            }
            if own.is_memory_paused() && (has_room || self.may_go_on(&session, &mut own)) {
                own.on_memory_back();
                session.wake();
            }
            if own.waits_for_reply_memory() && self.may_reply(&session, &mut own) {
                own.on_reply_back();
                session.wake();
            }
            own.on_list_look()
        });
        self.cell.state.borrow_mut().paused.put_back(paused);
    }

    /// Whether a connection is read although there is no memory: it holds little by now, or it is
    /// the one that is let through so that its request or its replies come to an end.
    fn may_go_on(&self, session: &ConnectionCell, own: &mut ConnectionState) -> bool {
        if own.is_within_share(|| self.cell.shared.slots.count()) {
            return true;
        }
        let mut state = self.cell.state.borrow_mut();
        own.needs_to_be_read() && state.paused.read.give(session.id)
    }

    /// Whether the reply of a connection is made, or gone on with: there is memory for it, or it is
    /// the one that is let through so that it comes to its end.
    fn may_reply(&self, session: &ConnectionCell, own: &mut ConnectionState) -> bool {
        if own.may_reply(Held::default(), || self.cell.shared.slots.count()) {
            return true;
        }
        let mut state = self.cell.state.borrow_mut();
        state.paused.reply.give(session.id)
    }

    /// Closes the connections that hold what others wait for, when memory or credits have been
    /// short for a while, and that take no replies.
    fn close_stuck(&self, now: Instant) {
        let shared = &self.cell.shared;
        let has_credits = !self.cell.state.borrow().is_short();
        if has_credits && !shared.memory.is_over() {
            return self.shortage.set(None);
        }
        let (since, is_first) = match self.shortage.get() {
            Some(since) => (since, false),
            None => (now, true),
        };
        if !is_first && now - since < SHORTAGE_TIME_MAX {
            return;
        }
        self.shortage.set(Some(now));
        let share = credit_share(self.sessions.iter().count());
        let held = self.cell.state.borrow().held_of_short();
        let (mut closed, mut freed) = (Vec::new(), 0);
        for session in self.sessions.iter() {
            let mut own = session.state.borrow_mut();
            let has_requests = held
                .get(&session.id.connection)
                .is_some_and(|own| *own > share);
            if own.has_to_give_way(is_first, has_requests, || shared.slots.count()) {
                closed.push(session.id);
                freed += own.charged_bytes();
                log::warn!(
                    "closing the connection from {}: it does not take its replies, and others \
                     wait for what they take",
                    session.peer
                );
                self.sessions
                    .tell(&session, Close(Closing::Now, CloseReason::Shortage));
            }
        }
        if !is_first {
            self.close_holders(&closed, freed);
        }
    }

    /// Closes as many of the connections as are needed that hold what all are short of in half a
    /// request or half a reply, and do not come to an end: but for those that are let through, and
    /// for those that are `closed` already and give back what is `freed`.
    fn close_holders(&self, closed: &[SessionId], freed: usize) {
        let shared = &self.cell.shared;
        let holders = self.sessions.iter().filter_map(|session| {
            let is_left_out = {
                let paused = &self.cell.state.borrow().paused;
                let is_let_through =
                    paused.read.is_for(session.id) || paused.reply.is_for(session.id);
                is_let_through || closed.contains(&session.id)
            };
            let holding = session.state.borrow().holding(|| shared.slots.count());
            let holding = holding.filter(|_| !is_left_out)?;
            Some((session, holding))
        });
        // Each worker its part of it.
        let excess = shared.memory.excess().div_ceil(shared.counters.len());
        let excess = excess.saturating_sub(freed);
        for session in give_way(holders.collect(), excess) {
            log::warn!(
                "closing the connection from {}: it holds half a request or half a reply, and \
                 there is no memory for others",
                session.peer
            );
            self.sessions
                .tell(&session, Close(Closing::Now, CloseReason::Shortage));
        }
    }

    /// An exemption is over when the request that it was for is whole, or its replies have credit
    /// or are within the bound, or the reply is whole and within the bound, or so much waits that
    /// the next one is left.
    fn end_exemption(&self) {
        let mut state = self.cell.state.borrow_mut();
        let is_over = self.cell.shared.memory.is_over();
        state.paused.reply.end_unless(|id| {
            let session = self.sessions.of(*id);
            session.is_some_and(|own| own.state.borrow().needs_reply_memory(is_over))
        });
        state.paused.read.end_unless(|id| {
            let session = self.sessions.of(*id);
            session.is_some_and(|own| own.state.borrow().needs_to_be_read())
        });
    }

    /// Somebody has found no slot at an administrators' listener: closes the oldest connection
    /// there on which nobody has logged in, if it has had its time.
    pub(super) fn free_admin_slot(&self, now: Instant) {
        let is_anonymous = |own: &Rc<ConnectionCell>| own.slot.is_anonymous_admin();
        let sessions = self.sessions.iter().filter(is_anonymous);
        let oldest = sessions.min_by_key(|own| own.since);
        let had_its_time = |own: &Rc<ConnectionCell>| {
            now.saturating_duration_since(own.since) >= ADMIN_SLOT_TIME_MIN
        };
        if let Some(session) = oldest.filter(had_its_time) {
            log::debug!("the slot of {} is for another administrator", session.peer);
            self.sessions.tell(&session, SlotRevoked);
        }
    }

    /// Watches a new connection if its slot is provisional.
    pub(super) fn watch_provisional(&self, connection: &Weak<ConnectionCell>) {
        let connection = connection.upgrade();
        let limit = self.time_limits().admin_authentication;
        if let Some(own) = connection.filter(|own| own.slot.probation(limit).is_some()) {
            self.provisional.borrow_mut().push(own.id);
        }
    }

    /// Who had an administrator's slot and was none gives it back.
    fn revoke_slots(&self, now: Instant) {
        let limit = self.time_limits().admin_authentication;
        let mut provisional = std::mem::take(&mut *self.provisional.borrow_mut());
        provisional.retain(|id| {
            let Some(session) = self.sessions.of(*id) else {
                return false;
            };
            let Some(probation) = session.slot.probation(limit) else {
                return false;
            };
            if now.saturating_duration_since(session.since) < probation {
                return true;
            }
            log::debug!("nobody logged in from {}, to its slot", session.peer);
            self.sessions.tell(&session, SlotRevoked);
            false
        });
        self.provisional.borrow_mut().append(&mut provisional);
    }
}

/// How long a connection with a bound of its own may be silent: no longer than all may.
fn idle_limit(own: Option<Duration>, of_all: Duration) -> Duration {
    match own {
        Some(own) if of_all.is_zero() || own < of_all => own,
        _ => of_all,
    }
}
