//! What is seen of the upstreams, on any thread.
//!
//! ```text
//!   scout ── when it has heard or looked ──────▶ report ───┐
//!   links ── as they go, each thread its own ──▶ counters ─┴▶ show, metrics, page
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use vestibule_wire::Uuid;

use super::scout::{Condition, ElectionTerm};
use crate::counting::counter::OwnCounter;
use crate::counting::durations::{DurationCounts, DurationHistogram};

/// What is seen of all upstreams of a gateway.
#[derive(Debug)]
pub(crate) struct GatewaySight {
    upstreams: Vec<UpstreamSight>,
    /// By session thread, requests that wait for an upstream or for a link.
    held: Vec<Arc<HeldCounters>>,
    /// How often requests began to be held, because the upstream that they went to was lost.
    pub(crate) holds: AtomicU64,
    /// Questions to upstreams for users.
    pub(crate) user_lookups: LookupCounts,
    /// Questions for the catalog that came while none served, and whether what an upstream had
    /// answered to them before was kept.
    pub(crate) catalog_lookups: LookupCounts,
}

/// Requests that wait in one session thread for an upstream or for a link. On cache lines of its
/// own, as [`LinkCounters`] are.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct HeldCounters {
    /// How many there are.
    pub(crate) count: OwnCounter,
    /// How long those waited that do not any more, whatever became of them.
    pub(crate) waited: DurationCounts,
}

impl HeldCounters {
    /// One that waited since then does not any more.
    pub(super) fn count_waited(&self, since: Instant, now: Instant) {
        self.waited.add(now.saturating_duration_since(since));
    }
}

/// Look-ups, by what came of them, of all threads: there are few.
#[derive(Debug, Default)]
pub(crate) struct LookupCounts {
    answered: AtomicU64,
    failed: AtomicU64,
}

impl LookupCounts {
    /// One more.
    pub(crate) fn add(&self, is_answered: bool) {
        let own = if is_answered {
            &self.answered
        } else {
            &self.failed
        };
        own.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were answered, and how many were not.
    pub(crate) fn get(&self) -> (u64, u64) {
        let [answered, failed] = [&self.answered, &self.failed];
        (
            answered.load(Ordering::Relaxed),
            failed.load(Ordering::Relaxed),
        )
    }
}

/// What is seen of one of them.
#[derive(Debug)]
pub(crate) struct UpstreamSight {
    report: Mutex<ScoutReport>,
    /// What keeps it from answering SELECTs as a replica, if it is to: for people.
    unread: Mutex<Option<String>>,
    /// How far it is behind the one that takes changes, if it is read-only.
    lag: Mutex<Option<Duration>>,
    /// How often requests came to go there that had gone to another one.
    pub(crate) failovers: AtomicU64,
    /// By session thread.
    links: Vec<Arc<LinkCounters>>,
}

/// What its scout tells of an upstream.
#[derive(Debug, Clone)]
pub(crate) struct ScoutReport {
    pub(crate) condition: Condition,
    /// Since when that is so.
    pub(crate) since: Instant,
    /// What is wrong with it, if anything is: for people.
    pub(crate) trouble: Option<String>,
    /// What it has greeted with last.
    pub(crate) version: Option<(u32, u32, u32)>,
    /// The last election that it has told of.
    pub(crate) term: ElectionTerm,
    /// Which instance it has said to be.
    pub(crate) instance: Option<Uuid>,
    /// How often its scout has come to a greeting.
    pub(crate) connects: u64,
    /// How often it was asked how it is.
    pub(crate) probes: u64,
}

/// What the links of one session thread do at one upstream. On cache lines of its own: each thread
/// writes its own at every request.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct LinkCounters {
    /// Links that there are, those that come about and those that end included.
    pub(crate) links: OwnCounter,
    /// How many were begun.
    pub(crate) opened: OwnCounter,
    /// How often something was read: a sign of life.
    pub(crate) reads: OwnCounter,
    /// Requests that were sent and are not answered.
    pub(crate) in_flight: OwnCounter,
    /// Of these, calls, EVAL and SQL.
    pub(crate) calls: OwnCounter,
    /// Requests that wait in these links, as it was told at the end of each one's last turn.
    pub(crate) queued: OwnCounter,
    /// Bytes of their bodies.
    pub(crate) queued_bytes: OwnCounter,
    /// Requests that were sent.
    pub(crate) sent: OwnCounter,
    /// Of these, SELECTs that it has as a replica.
    pub(crate) replica_reads: OwnCounter,
    /// How often a client came to go over a link for bulk.
    pub(crate) bulk_moves: OwnCounter,
    /// Requests that had been sent there and were to be sent once more.
    pub(crate) retried: OwnCounter,
    /// Requests of which nobody knows what became of them, for their link has ended.
    pub(crate) unknown: OwnCounter,
}

impl GatewaySight {
    /// Of this number of upstreams, by this number of session threads.
    pub(super) fn new(upstreams: usize, threads: usize, now: Instant) -> Self {
        Self {
            upstreams: (0..upstreams)
                .map(|_| UpstreamSight::new(threads, now))
                .collect(),
            held: (0..threads).map(|_| Arc::default()).collect(),
            holds: AtomicU64::new(0),
            user_lookups: LookupCounts::default(),
            catalog_lookups: LookupCounts::default(),
        }
    }

    /// Each of them, in the order in which they are configured.
    pub(crate) fn upstreams(&self) -> &[UpstreamSight] {
        &self.upstreams
    }

    /// For a session thread to tell how many requests wait there, and how long they did.
    pub(crate) fn held_on(&self, thread: usize) -> &Arc<HeldCounters> {
        &self.held[thread]
    }

    /// How many requests wait for an upstream or for a link.
    pub(crate) fn held(&self) -> u64 {
        self.held.iter().map(|own| own.count.get()).sum()
    }

    /// How long requests waited that do not any more.
    pub(crate) fn waited(&self) -> DurationHistogram {
        let threads = self.held.iter().map(|own| own.waited.histogram());
        threads.fold(DurationHistogram::default(), |sum, own| sum.and(&own))
    }
}

/// What is behind it is replaced as a whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl UpstreamSight {
    fn new(threads: usize, now: Instant) -> Self {
        Self {
            report: Mutex::new(ScoutReport {
                condition: Condition::Absent,
                since: now,
                trouble: None,
                version: None,
                term: None,
                instance: None,
                connects: 0,
                probes: 0,
            }),
            unread: Mutex::default(),
            lag: Mutex::default(),
            failovers: AtomicU64::new(0),
            links: (0..threads).map(|_| Arc::default()).collect(),
        }
    }

    /// What its scout has told last.
    pub(crate) fn report(&self) -> ScoutReport {
        lock(&self.report).clone()
    }

    /// What keeps it from answering SELECTs as a replica, if it is to.
    pub(crate) fn unread(&self) -> Option<String> {
        lock(&self.unread).clone()
    }

    /// Something keeps it from answering SELECTs as a replica, or nothing does.
    pub(crate) fn tell_unread(&self, why: Option<&str>) {
        let mut own = lock(&self.unread);
        if own.as_deref() != why {
            *own = why.map(str::to_owned);
        }
    }

    /// How far it is behind the one that takes changes, as far as that is known.
    pub(crate) fn lag(&self) -> Option<Duration> {
        *lock(&self.lag)
    }

    /// By so much it is behind the one that takes changes.
    pub(crate) fn tell_lag(&self, lag: Option<Duration>) {
        *lock(&self.lag) = lag;
    }

    /// The scout tells how its upstream is.
    pub(crate) fn tell(&self, report: ScoutReport) {
        let mut own = lock(&self.report);
        let since = match own.condition == report.condition {
            true => own.since,
            false => report.since,
        };
        *own = ScoutReport { since, ..report };
    }

    /// For a session thread to count in.
    pub(crate) fn links_on(&self, thread: usize) -> &Arc<LinkCounters> {
        &self.links[thread]
    }

    /// What all session threads have counted together.
    pub(crate) fn sum(&self, of: impl Fn(&LinkCounters) -> &OwnCounter) -> u64 {
        self.links.iter().map(|own| of(own).get()).sum()
    }

    /// How often its links have read something.
    pub(crate) fn reads(&self) -> u64 {
        self.sum(|own| &own.reads)
    }

    /// Requests came to go there that had gone to another one.
    pub(crate) fn on_failover(&self) {
        self.failovers.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_lasts_from_when_it_was_told_first() {
        let begin = Instant::now();
        let own = GatewaySight::new(1, 2, begin);
        let upstream = &own.upstreams()[0];
        for (at, condition, expected) in [
            (1, Condition::Absent, 0),
            (2, Condition::Silent, 2),
            (3, Condition::Silent, 2),
            (4, Condition::Loading, 4),
        ] {
            let at = Duration::from_secs(at);
            upstream.tell(ScoutReport {
                condition,
                since: begin + at,
                ..upstream.report()
            });
            let since = upstream.report().since - begin;
            assert_eq!(since, Duration::from_secs(expected), "{condition:?}");
        }
    }

    #[test]
    fn threads_count_by_themselves_and_are_told_together() {
        let own = GatewaySight::new(2, 2, Instant::now());
        let [first, second] = own.upstreams() else {
            panic!("there are two")
        };
        first.links_on(0).sent.add(2);
        first.links_on(1).sent.add(3);
        second.links_on(1).sent.add(10);
        assert_eq!(
            (first.sum(|own| &own.sent), second.sum(|own| &own.sent)),
            (5, 10)
        );
        own.held_on(0).count.set(4);
        own.held_on(1).count.set(1);
        assert_eq!(own.held(), 5);
        for (thread, seconds) in [(0, 1), (1, 2)] {
            let waited = Duration::from_secs(seconds);
            own.held_on(thread).waited.add(waited);
        }
        let waited = own.waited();
        assert_eq!((waited.count(), waited.sum), (2, Duration::from_secs(3)));
        for is_answered in [true, true, false] {
            own.user_lookups.add(is_answered);
        }
        assert_eq!(own.user_lookups.get(), (2, 1));
        assert_eq!(own.catalog_lookups.get(), (0, 0));
    }
}
