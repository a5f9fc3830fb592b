//! What has to hold in a world of a gateway, whenever upstreams have acted.

use std::time::{Duration, Instant};

use tokio::sync::oneshot::error::TryRecvError;

use super::fates::Fates;
use super::model::UpstreamModel;
use super::world::{GatewayWorld, SLICE};
use crate::limits::{
    CONNECTION_REPLY_BYTES_MAX, SCOUT_LOOK_PERIOD, UPSTREAM_REPLY_LARGE, UPSTREAM_REQUESTS_DEFAULT,
};
use crate::serving::UpstreamUse;
use crate::simulation::asked::What;
use crate::simulation::checks::memory_bound;
use crate::simulation::client::Told;
use crate::simulation::clock;
use crate::transitions::{TransitionResult, TransitionTarget};
use crate::upstream::Destination;

impl GatewayWorld {
    /// Upstreams act, clients read, and all is looked at.
    pub(super) fn look(&mut self, slice: Duration) {
        let now = clock::now();
        self.check_destination(now);
        if !self.runtime.shared.memory.is_scarce() {
            self.fates.sent_beside = 0;
        }
        self.fates.reads.may_lag = self.upstreams.iter().any(UpstreamModel::is_writable);
        for upstream in &mut self.upstreams {
            upstream.act(now, &mut self.fates);
        }
        self.receive(now - slice);
        self.check_abandoned(now);
        self.hear_answers(now);
        self.check_drains(now);
        self.check_bounds(now);
        if let Some(fault) = self.fates.ledger.faults().first() {
            let serving = self.runtime.shared.serving.load();
            panic!("{fault}; {serving:?}, {:?}", self.gateway.destination());
        }
    }

    /// Requests stay where they go as long as that takes changes, others may say that they do: but
    /// for one that leads a later election.
    fn check_destination(&mut self, now: Instant) {
        let destination = self.gateway.destination();
        let set = self.gateway.take_set();
        if let Some(before) = self.fates.target()
            && !matches!(destination, Destination::To(own) if own.upstream == before)
            && self.drains[before].is_used()
        {
            let own = &self.upstreams[before];
            if self.is_led_later(&set, before) {
                self.stats.later_elections += usize::from(own.is_running() && own.is_writable());
            } else if own.is_known_to_be_writable(now) {
                let fault =
                    format!("requests leave {before}, that takes changes, for {destination:?}");
                self.fates.ledger.fault(fault);
            }
        }
        self.check_preferred(&set, now);
        self.fates.look(now, set);
        self.check_leader();
    }

    /// Clients read what has come.
    fn receive(&mut self, last_look: Instant) {
        let closes = self.closes();
        let Fates { ledger, reads, .. } = &mut self.fates;
        let stats = &mut self.stats;
        self.runtime.clients.retain_mut(|client| {
            let (connection, mut is_told) = (client.connection, false);
            let count = |what, told| {
                reads.on_told(connection, what, told);
                is_told |= told == Told::Unknown(115);
                let told_of = match what {
                    What::Commit(_) => &mut stats.commits,
                    What::Rollback(_) => &mut stats.rollbacks,
                    What::Login(_) => &mut stats.logins,
                    What::Setting => &mut stats.settings,
                    _ => &mut stats.told,
                };
                *told_of.entry(told).or_default() += 1;
            };
            let stays = !client.is_reading || client.receive(ledger, count);
            if is_told && closes {
                ledger.fault(format!(
                    "{connection} is told of an outcome, and not closed"
                ));
            }
            stats.closed += usize::from(!stays && closes && client.waiting() > 0);
            stays
        });
        for client in &mut self.runtime.clients {
            client.cut_off.clear();
            if client.is_reading
                && let Some(fault) = client.overdue(last_look)
            {
                ledger.fault(fault);
            }
        }
    }

    /// Every caller of a transition is answered in time.
    fn hear_answers(&mut self, now: Instant) {
        let is_stopped = self.is_stopped();
        let ledger = &mut self.fates.ledger;
        let (drains, upstreams) = (&mut self.drains, &mut self.upstreams);
        let (stats, last_drained) = (&mut self.stats, &mut self.last_drained);
        self.runtime
            .callers
            .retain_mut(|own| match own.answer.try_recv() {
                Ok(outcome) => {
                    ledger.note(|| format!("told {:?} {outcome:?}", own.target));
                    let is_so = matches!(
                        outcome.result,
                        TransitionResult::Done | TransitionResult::Unchanged
                    );
                    if let TransitionTarget::Upstream(upstream, wanted) = own.target {
                        upstreams[upstream].reconsidered(now);
                        if wanted == UpstreamUse::Drained {
                            *last_drained = Some(now);
                        }
                        if is_so {
                            drains[upstream].hear(wanted, own.asked);
                        }
                        if outcome.result == TransitionResult::Done {
                            stats.count_drain(wanted, outcome.transition.as_ref());
                        }
                    }
                    false
                }
                Err(TryRecvError::Empty) if now <= own.due => true,
                Err(TryRecvError::Closed) if is_stopped => false,
                Err(fault) => {
                    ledger.fault(format!("the caller of a transition: {fault}"));
                    false
                }
            });
    }

    /// One that is drained has no connection but that of its scout, and no request goes there.
    fn check_drains(&mut self, now: Instant) {
        let target = self.gateway.target().map(|own| own.upstream);
        for (index, drain) in self.drains.iter().enumerate() {
            if !drain.is_used() && !drain.is_drained() {
                self.fates.leaving_until[index] = Some(now);
            }
            let live = self.upstreams[index].live_connections();
            if drain.is_drained() && (live > 1 || target == Some(index)) {
                let fault = format!("{index} is drained, and has {live} connections: {target:?}");
                self.fates.ledger.fault(fault);
            }
        }
    }

    /// Holds end, memory is bounded, and upstreams have no more to do than they may.
    fn check_bounds(&mut self, now: Instant) {
        let hold = self.gateway.config.failover_hold;
        let late = SCOUT_LOOK_PERIOD + 2 * SLICE;
        let is_drain = |own: &TransitionTarget| {
            matches!(own, TransitionTarget::Upstream(_, UpstreamUse::Drained))
        };
        let mut wanted = self.runtime.callers.iter().map(|own| &own.target);
        let is_draining = wanted.any(is_drain);
        let since = self.fates.held_since();
        let since = since.map(|own| self.last_drained.map_or(own, |other| own.max(other)));
        if let Some(since) = since.filter(|_| !is_draining)
            && now > since + hold + late
        {
            let held = now - since;
            self.fates
                .ledger
                .fault(format!("requests are held for {held:?}, of {hold:?}"));
        }
        let of_each = CONNECTION_REPLY_BYTES_MAX + UPSTREAM_REQUESTS_DEFAULT * UPSTREAM_REPLY_LARGE;
        let settings = self.runtime.settings();
        // Replies that are sent already are taken, and buffers double.
        let beside = 2 * self.fates.sent_beside;
        let most = (memory_bound(&settings) + beside).min(13 * of_each);
        let used = self.runtime.shared.memory.used();
        self.stats.memory = self.stats.memory.max(used);
        if used > most {
            let fault = format!("{used} bytes for connections, of {most} that there may be");
            self.fates.ledger.fault(fault);
        }
        let bounds = self.bounds();
        for upstream in &self.upstreams {
            let (requests, calls) = upstream.unanswered();
            self.stats.busiest = self.stats.busiest.max(requests);
            if requests > bounds.requests || calls > bounds.calls {
                let fault = format!("an upstream has {requests} requests, {calls} of them calls");
                self.fates.ledger.fault(fault);
            }
        }
    }
}
