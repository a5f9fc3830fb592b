//! What all scouts know, and what follows from it: where requests go, and the serving state.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use vestibule_wire::Uuid;
use vestibule_wire::ballot::Ballot;
use vestibule_wire::greeting::Greeting;

use super::warned::Lasting;
use crate::shared::Shared;
use crate::throttle::Throttle;
use crate::upstream::{
    CatalogDigest, Condition, Decision, Destination, ElectionTerm, Failover, GatewayCell,
    HAS_ID_SINCE, Incarnation, InstanceIdentity, ProbePace, ReplicaVerdict, Replicas, Scout,
    ScoutReport, UpstreamDrain, count_writable,
};

/// What is known of one upstream.
struct KnownUpstream {
    scout: Scout,
    /// How often it was connected to.
    run: u64,
    /// How often it was asked how it is.
    probes: u64,
    /// Why code of it has declared solo, if it has.
    solo: Option<String>,
    version: Option<(u32, u32, u32)>,
    /// The upstream's number of its catalog, as it was told last.
    schema_version: u64,
    /// Which instance it has said to be, by its greeting.
    instance: Option<Uuid>,
    /// With which other one the log has had it last as one instance, and as which.
    told_same: Option<(usize, Uuid)>,
    /// What keeps it from answering SELECTs as a replica.
    unread: Lasting<ReplicaVerdict>,
}

/// What all scouts know.
pub(super) struct ScoutBoard {
    pub(super) shared: Arc<Shared>,
    pub(super) gateway: Arc<GatewayCell>,
    known: RefCell<Vec<KnownUpstream>>,
    failover: RefCell<Failover>,
    pace: RefCell<ProbePace>,
    /// What each has of what the one has that takes changes; and who may answer SELECTs.
    replicas: RefCell<Replicas>,
    /// Wakes who ends holds when one begins.
    pub(super) held: Notify,
    /// Wakes the scouts when they are to make haste: they ask and connect at once.
    pub(super) hurried: Notify,
    /// One of them has served since the start.
    has_served: Cell<bool>,
    /// The one that requests went to last.
    target_last: Cell<Option<usize>>,
    /// The one that requests go to takes no changes.
    is_read_only: Cell<bool>,
    /// Two say that they take changes.
    split: RefCell<Throttle>,
}

impl KnownUpstream {
    /// As others see it.
    fn report(&self, now: Instant) -> ScoutReport {
        ScoutReport {
            condition: self.scout.condition(),
            since: now,
            trouble: self.scout.trouble(now),
            version: self.version,
            term: self.scout.term(),
            instance: self.instance,
            connects: self.run,
            probes: self.probes,
        }
    }
}

impl ScoutBoard {
    pub(super) fn new(shared: Arc<Shared>, gateway: Arc<GatewayCell>) -> Self {
        let now = shared.clock.now();
        let (silent_after, abandon) = (gateway.config.silent_after, gateway.config.silent_abandon);
        let known = |_| KnownUpstream {
            scout: Scout::new(silent_after, now).abandoned_after(abandon),
            run: 0,
            probes: 0,
            solo: None,
            version: None,
            schema_version: 0,
            instance: None,
            told_same: None,
            unread: Lasting::default(),
        };
        let known = gateway.config.upstreams.iter().map(known).collect();
        let failover = Failover::new(gateway.config.failover_hold);
        let failover = RefCell::new(failover.preferring(gateway.config.preferred()));
        let pace = RefCell::new(ProbePace::new(gateway.config.probe_interval));
        Self {
            replicas: RefCell::new(Replicas::new(gateway.config.upstreams.len())),
            shared,
            gateway,
            known: RefCell::new(known),
            failover,
            pace,
            held: Notify::new(),
            hurried: Notify::new(),
            has_served: Cell::new(false),
            target_last: Cell::new(None),
            is_read_only: Cell::new(false),
            split: RefCell::default(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Tells what was found out of an upstream; what follows from it is done.
    pub(super) fn tell<T>(&self, index: usize, tell: impl FnOnce(&mut Scout) -> T) -> T {
        let now = self.now();
        let (told, is_abandoned) = {
            let known = &mut self.known.borrow_mut()[index];
            let told = tell(&mut known.scout);
            self.gateway.sight.upstreams()[index].tell(known.report(now));
            (told, known.scout.is_abandoned())
        };
        // What is given up goes where requests go by then, and none go there again before that is
        // over.
        if !is_abandoned {
            self.abandon(index, false);
        }
        self.decide();
        if is_abandoned {
            self.abandon(index, true);
        }
        told
    }

    /// What is on its way to an upstream is given up, or not any more.
    fn abandon(&self, index: usize, is_abandoned: bool) {
        if self.gateway.set_abandoned(index, is_abandoned) && is_abandoned {
            let name = &self.gateway.upstream(index).name;
            log::warn!("what is on its way to {name} is given up: it is silent");
        }
    }

    /// Operators drain an upstream, or use it again.
    pub(super) fn drain(&self, index: usize, drain: UpstreamDrain) {
        let is_under_way = drain == UpstreamDrain::UnderWay;
        self.gateway.set_leaving(index, is_under_way);
        self.tell(index, |scout| scout.on_drain(drain));
    }

    /// An upstream is asked how it is.
    pub(super) fn on_probe(&self, index: usize) {
        self.known.borrow_mut()[index].probes += 1;
    }

    /// Whether an upstream serves.
    pub(super) fn is_serving(&self, index: usize) -> bool {
        let known = self.known.borrow();
        known[index].scout.condition().is_serving()
    }

    /// Whether what is on its way to an upstream is ever given up.
    pub(super) fn may_abandon(&self, index: usize) -> bool {
        self.known.borrow()[index].scout.may_abandon()
    }

    /// Whether an upstream is absent, and something waits for it that is to be given up.
    pub(super) fn is_waited_for_absent(&self, index: usize) -> bool {
        self.known.borrow()[index].scout.is_waited_for_absent()
    }

    /// Whether requests go to an upstream.
    pub(super) fn is_target(&self, index: usize) -> bool {
        self.gateway
            .target()
            .is_some_and(|own| own.upstream == index)
    }

    /// Tells clients whether the upstream that requests go to takes changes.
    fn tell_read_only(&self, is_read_only: bool) {
        if self.is_read_only.replace(is_read_only) != is_read_only {
            let serving = self.shared.serving.load();
            self.shared.events.set_fault(is_read_only, serving);
            self.shared.serving.notify();
        }
    }

    /// An upstream has greeted.
    pub(super) fn on_greeted(&self, index: usize, greeting: &Greeting) {
        let version = greeting.version;
        let lowest = {
            let mut known = self.known.borrow_mut();
            known[index].run += 1;
            known[index].solo = None;
            known[index].version = Some(version);
            let instance = Some(greeting.instance_uuid).filter(|own| *own != Uuid::NIL);
            let before = std::mem::replace(&mut known[index].instance, instance);
            known[index].schema_version = 0;
            if version < HAS_ID_SINCE || before.is_some_and(|own| Some(own) != instance) {
                // It tells of none, or is another one than before, and may know of none: what the
                // one before has told is no sign that this one was elected.
                known[index].scout.on_term(None);
            }
            known.iter().filter_map(|own| own.version).min()
        };
        if let Some(lowest) = lowest {
            self.gateway.set_version(lowest);
        }
        let (now, run) = (self.now(), self.known.borrow()[index].run);
        self.replicas.borrow_mut().on_greeted(index, run);
        self.tell(index, |scout| scout.on_greeted(now));
        self.warn_of_same(index);
    }

    /// Another upstream that is connected to has said to be the same instance: what is written goes
    /// to one under two names, and when it is lost there is no other one.
    fn warn_of_same(&self, index: usize) {
        let known = &mut *self.known.borrow_mut();
        let is_there = |own: &KnownUpstream| own.scout.condition() != Condition::Absent;
        let instance = known[index].instance;
        let is_same = |own: &KnownUpstream| is_there(own) && own.instance == instance;
        let mut others = known.iter().enumerate().filter(|(own, _)| *own != index);
        let other = others.find(|(_, own)| instance.is_some() && is_same(own));
        let (Some((other, _)), Some(instance)) = (other, instance) else {
            // One that is away for a moment is not told again when it is back.
            return;
        };
        if known[index].told_same != Some((other, instance)) {
            known[index].told_same = Some((other, instance));
            known[other].told_same = Some((index, instance));
            let [first, second] = [other, index].map(|own| &self.gateway.upstream(own).name);
            log::warn!("the upstreams {first} and {second} are one instance: {instance}");
        }
    }

    /// Whether replicas may answer SELECTs.
    fn reads_replicas(&self) -> bool {
        self.gateway.config.reads_replicas()
    }

    /// An upstream has answered how it is, asked at `sent`.
    pub(super) fn on_ballot(&self, index: usize, sent: Instant, ballot: Ballot) {
        let now = self.now();
        self.tell(index, |scout| scout.on_ballot(&ballot, now));
        // What follows from how it is, is known by now: whether it is the one that takes changes.
        (self.replicas.borrow_mut()).on_vclock(index, sent, ballot.vclock);
        self.tell_readable();
    }

    /// An upstream has said which instance it is.
    pub(super) fn on_identity(&self, index: usize, identity: InstanceIdentity) {
        self.replicas.borrow_mut().on_identity(index, identity);
        self.tell_readable();
    }

    /// The catalog of an upstream is read.
    pub(super) fn on_catalog(&self, index: usize, digest: CatalogDigest) {
        self.replicas.borrow_mut().on_catalog(index, digest);
        self.tell_readable();
    }

    /// Whether it is to be asked which instance an upstream is.
    pub(super) fn lacks_identity(&self, index: usize) -> bool {
        self.reads_replicas() && self.replicas.borrow().lacks_identity(index)
    }

    /// Whether the catalog of an upstream is to be read.
    pub(super) fn lacks_catalog(&self, index: usize) -> bool {
        self.reads_replicas() && self.replicas.borrow().lacks_catalog(index)
    }

    /// Tells how far upstreams are behind the one that takes changes, and, if replicas may answer
    /// SELECTs, all threads which of them do.
    fn tell_readable(&self) {
        let conditions = self.conditions();
        let mut own = self.replicas.borrow_mut();
        own.follow(self.gateway.target());
        for (index, upstream) in self.gateway.sight.upstreams().iter().enumerate() {
            upstream.tell_lag(own.lag(index, &conditions));
        }
        if !self.reads_replicas() {
            return;
        }
        self.gateway.set_readable(own.readable(&conditions));
        let now = self.now();
        let mut all = self.known.borrow_mut();
        for (index, known) in all.iter_mut().enumerate() {
            let verdict = own.judge(index, &conditions);
            self.tell_unread(index, &mut known.unread, verdict, now);
        }
    }

    /// Tells what keeps an upstream from answering SELECTs as a replica, if anything does.
    fn tell_unread(
        &self,
        index: usize,
        log: &mut Lasting<ReplicaVerdict>,
        verdict: Option<ReplicaVerdict>,
        now: Instant,
    ) {
        let text = |own: ReplicaVerdict| {
            let writer = &self.gateway.upstream(own.writer).name;
            own.obstacle.map(|own| own.text(writer))
        };
        let why = verdict.and_then(text);
        self.gateway.sight.upstreams()[index].tell_unread(why.as_deref());
        let Some(verdict) = verdict else {
            return log.interrupt();
        };
        let kept = Some(verdict).filter(|own| own.obstacle.is_some());
        if log.note(kept, now) {
            let name = &self.gateway.upstream(index).name;
            match why {
                Some(why) => log::warn!("upstream {name} answers no SELECTs as a replica: {why}"),
                None => log::info!("upstream {name} may answer SELECTs as a replica"),
            }
        }
    }

    /// Of which elections upstreams have told.
    fn terms(&self) -> Vec<ElectionTerm> {
        let known = self.known.borrow();
        known.iter().map(|own| own.scout.term()).collect()
    }

    fn conditions(&self) -> Vec<Condition> {
        let known = self.known.borrow();
        known.iter().map(|own| own.scout.condition()).collect()
    }

    /// The machine of an upstream acknowledges nothing any more.
    pub(super) fn on_vanished(&self, index: usize) {
        let number = self.known.borrow()[index].run;
        self.gateway.vanish(Incarnation {
            upstream: index,
            number,
        });
    }

    /// Code of an upstream declares solo, for this reason, or takes that back.
    pub(super) fn on_solo(&self, index: usize, reason: Option<String>) {
        self.known.borrow_mut()[index].solo = reason;
        self.decide();
    }

    /// An upstream has told its number of its catalog.
    pub(super) fn on_schema_version(&self, index: usize, number: u64) {
        let run = {
            let known = &mut self.known.borrow_mut()[index];
            known.schema_version = number;
            known.run
        };
        self.replicas.borrow_mut().on_number(index, number);
        self.note_schema(Incarnation {
            upstream: index,
            number: run,
        });
    }

    fn note_schema(&self, incarnation: Incarnation) {
        let number = self.known.borrow()[incarnation.upstream].schema_version;
        let tell = |version| self.shared.set_schema_version(version);
        self.gateway.note_schema(incarnation, number, tell);
    }

    /// How often upstreams are asked now.
    pub(super) fn probe_interval(&self) -> Duration {
        self.pace.borrow().probe_interval(self.now())
    }

    /// For how long an upstream that was lost is left alone at most.
    pub(super) fn reconnect_wait_max(&self) -> Duration {
        self.pace.borrow().reconnect_wait_max()
    }

    /// Does what follows from what is known.
    pub(super) fn decide(&self) {
        {
            let known = &mut *self.known.borrow_mut();
            let since = known.iter().filter_map(|own| own.scout.writable_since());
            if let Some(last) = since.max() {
                let all = known.iter_mut();
                all.for_each(|own| own.scout.on_other_writable(last));
            }
        }
        let conditions = self.conditions();
        let now = self.now();
        let writable = count_writable(&conditions);
        let decision = match self.awaited() {
            Some(_) => Decision::Nowhere,
            None => (self.failover.borrow_mut()).decide(&conditions, &self.terms(), now),
        };
        if let Decision::To(upstream) = decision
            && writable > 1
        {
            self.warn_of_split(upstream, now);
        }
        if (self.pace.borrow_mut()).on_decided(decision, writable, now) {
            self.hurried.notify_waiters();
        }
        match decision {
            Decision::To(upstream) => {
                self.tell_read_only(!conditions[upstream].is_writable());
                self.go_to(upstream, conditions[upstream].is_writable(), now);
            }
            Decision::Held => self.hold(now),
            Decision::Nowhere => self.go_nowhere(now),
        }
        self.tell_readable();
    }

    /// Others than the one that requests go to say that they take changes too.
    fn warn_of_split(&self, target: usize, now: Instant) {
        if let Some(times) = self.split.borrow_mut().note(now) {
            log::warn!(
                "more than one upstream says that it takes changes{times}: {}; requests \
                 go to {} alone",
                self.names(Condition::is_writable),
                self.gateway.upstream(target).name
            );
        }
    }

    /// Until when requests are held, if they are.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.failover.borrow().held_until()
    }

    fn hold(&self, now: Instant) {
        if self.gateway.destination() != Destination::Held {
            log::warn!("requests are held: {}", self.trouble(now));
            self.gateway.sight.holds.fetch_add(1, Ordering::Relaxed);
            self.gateway.set_destination(Destination::Held);
            self.held.notify_one();
        }
    }

    fn go_to(&self, upstream: usize, is_writable: bool, now: Instant) {
        let number = self.known.borrow()[upstream].run;
        let target = Incarnation { upstream, number };
        if self.gateway.target() != Some(target) {
            let name = self.gateway.upstream(upstream);
            match is_writable {
                true => log::info!("requests go to {name}"),
                false => log::warn!(
                    "requests go to {name}, which is read-only: no upstream takes changes"
                ),
            }
            let before = self.target_last.replace(Some(upstream));
            if before.is_some_and(|own| own != upstream) {
                self.gateway.sight.upstreams()[upstream].on_failover();
            }
            // Requests that are sent there are checked by its catalog.
            self.gateway.follow_schema(target);
            self.note_schema(target);
            self.gateway.set_destination(Destination::To(target));
        }
        // Where they go is known before anybody is told that they do.
        if !self.has_served.replace(true) {
            self.shared.serving.ready(now);
        }
        let (name, known) = (&self.gateway.upstream(upstream).name, self.known.borrow());
        match &known[upstream].solo {
            None => self.shared.serving.upstream_back(now),
            Some(reason) => {
                let reason = format!("{name}: {reason}");
                self.shared.serving.upstream_trouble(&reason, now);
            }
        }
    }
}

mod told;
