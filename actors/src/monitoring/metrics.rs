//! Plain numbers for monitoring: counters that the session threads keep anyway, and what there is
//! now.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use vestibule_wire::keys::RequestType;

use super::requests::RequestMetrics;
use super::states::StateTime;
use super::threads::{Heartbeats, SessionThread};
use super::tls::TlsMetrics;
use super::tx::TxMetrics;
use super::upstreams::GatewayMetrics;
use crate::cells::traffic::{Counted, CountedType, Counter, LoginResult};
use crate::cells::tx_counts::TransactionEnd;
use crate::engine::{EngineNumbers, Progress};
use crate::hooks::CloseReason;
use crate::serialized::{in_seconds, in_unix_seconds};
use crate::serving::{Role, SoloCounts, State};
use crate::shared::{Shared, WorkerCounters};
use crate::transitions::TransitionCount;

/// Everything that is counted. Made from cells, by a few locks for a moment and in proportion to
/// the session threads: nothing is asked of them or of Tx, and nothing is counted for it alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Metrics {
    /// Since the start. Serialized in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub uptime: Duration,
    /// What the network side may do.
    pub state: State,
    /// Whether data may be changed.
    pub role: Role,
    /// Grows with every change of both.
    pub epoch: u64,
    /// Whether connection pools are told that it runs.
    pub is_ready: bool,
    /// Whether an engine has recovered since the start.
    pub has_started: bool,
    /// Whether the engine takes no changes, because of a fault.
    pub has_fault: bool,
    /// Whether changes are refused, for whatever reason, as `box.info().ro` tells. Before upstreams
    /// also while there is none that takes them.
    pub is_read_only: bool,
    /// Grows with every change of the definitions.
    pub schema_version: u64,
    /// The number of the journal's last record, if there is a journal.
    pub last_record: Option<u64>,
    /// What came and went.
    pub traffic: TrafficMetrics,
    /// Where requests went, what they were answered, and how long they took.
    pub requests: RequestMetrics,
    /// What Tx does.
    pub tx: TxMetrics,
    /// How transactions ended.
    pub transaction_ends: BTreeMap<TransactionEnd, u64>,
    /// The states, and how long each has lasted in all.
    pub states: Vec<StateTime>,
    /// How often solo was declared.
    pub solos: SoloCounts,
    /// When state or role were entered that there are now. Serialized as Unix time in seconds.
    #[serde(serialize_with = "in_unix_seconds")]
    pub since: SystemTime,
    /// How far what is waited for has come, from 0.0 to 1.0; `None` if nothing is known.
    pub progress: Option<f64>,
    /// Connections that have ended, by the reason.
    pub closed_connections: BTreeMap<CloseReason, u64>,
    /// Logins, by what became of them.
    pub logins: BTreeMap<LoginResult, u64>,
    /// Handshakes and certificates of TLS.
    pub tls: TlsMetrics,
    /// Connections of clients.
    pub client_connections: usize,
    /// Connections with a slot of the administrators'.
    pub administrator_connections: usize,
    /// Connections that found no slot since the start.
    pub turned_away: u64,
    /// Requests that were forwarded, and not begun by Tx.
    pub queued: usize,
    /// Requests of clients that were forwarded, and not answered.
    pub in_flight: usize,
    /// Jobs of the embedder that are under way.
    pub jobs: usize,
    /// Open transactions.
    pub transactions: usize,
    /// Reservations that are held: locks, cursors.
    pub reservations: usize,
    /// Requests that wait for something else than Tx.
    pub waits: usize,
    /// Transitions since the start, changes of state that are over at once included.
    pub transitions: u64,
    /// The same by what they led to, those under way left out.
    pub transition_counts: Vec<TransitionCount>,
    /// What the buffers of all connections take, and the replies on their way to them.
    pub connections_memory: MemoryUse,
    /// What the engine's data take, if it counts that.
    pub data_memory: Option<MemoryUse>,
    /// The session threads.
    pub threads: Vec<SessionThread>,
    /// When they and the System's thread were seen to go on.
    pub heartbeats: Heartbeats,
    /// What came and went on each of them, in their order.
    pub thread_traffic: Vec<TrafficMetrics>,
    /// What the engine tells of itself.
    pub engine: Option<EngineNumbers>,
    /// Of a gateway, its upstreams.
    pub gateway: Option<GatewayMetrics>,
}

/// What came and went since the start.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TrafficMetrics {
    /// Requests by type, with the names that `box.stat()` has, and `OTHER` for all others: so the
    /// sum is all requests. Those of procedures count as CALL.
    pub requests: BTreeMap<&'static str, Count>,
    /// Replies that told an error.
    pub errors: Count,
    /// Connections that were taken in.
    pub connections: Count,
    /// Streams in which a transaction was begun.
    pub streams: Count,
    /// Bytes that clients have sent.
    pub received_bytes: Count,
    /// Bytes that were sent to clients.
    pub sent_bytes: Count,
}

/// Since the start, and per second.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Count {
    /// Since the start. It never falls.
    pub total: u64,
    /// Per second, of the last five.
    pub per_second: f64,
}

impl Count {
    fn of(counted: Counted) -> Self {
        Self {
            total: counted.total,
            per_second: counted.rate as f64 / 1000.0,
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            per_second: self.per_second + other.per_second,
        }
    }
}

/// Memory, of which there may be so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryUse {
    /// In bytes.
    pub used_bytes: usize,
    /// In bytes.
    pub max_bytes: usize,
}

/// The row that requests of a type are in, by its name. CALL has two types.
fn row_of(counted: CountedType) -> &'static str {
    use RequestType::{Call, Call16, Id, Ping, Unwatch, Watch, WatchOnce};
    match counted.request_type() {
        None | Some(Id | Ping | Unwatch | Watch | WatchOnce) => TrafficMetrics::OTHER,
        Some(Call16) => Call.name(),
        Some(own) => own.name(),
    }
}

impl TrafficMetrics {
    /// The name in [`requests`](Self::requests) of the types that have none of their own.
    pub const OTHER: &'static str = "OTHER";

    pub(crate) fn of(shared: &Shared) -> Self {
        Self::of_workers(&shared.counters)
    }

    fn of_workers(workers: &[WorkerCounters]) -> Self {
        let counted = |counter: Counter| {
            let workers = workers.iter();
            let counted = workers.map(|worker| worker.traffic.get(counter));
            Count::of(counted.fold(Counted::default(), Counted::and))
        };
        let mut requests = BTreeMap::<_, Counted>::new();
        for counted in CountedType::all() {
            let row = requests.entry(row_of(counted)).or_default();
            let workers = workers.iter();
            let sum = workers.map(|own| own.traffic.requests(counted));
            *row = sum.fold(*row, Counted::and);
        }
        let rows = requests.into_iter();
        Self {
            requests: rows.map(|(row, sum)| (row, Count::of(sum))).collect(),
            errors: counted(Counter::ERRORS),
            connections: counted(Counter::CONNECTIONS),
            streams: counted(Counter::STREAMS),
            received_bytes: counted(Counter::RECEIVED),
            sent_bytes: counted(Counter::SENT),
        }
    }

    /// Requests of all types.
    #[must_use]
    pub fn all_requests(&self) -> Count {
        let counts = self.requests.values().copied();
        counts.fold(Count::default(), Count::and)
    }
}

impl Metrics {
    pub(crate) fn of(shared: &Shared, now: Instant) -> Self {
        let serving = shared.serving.load();
        let status = shared.serving.status(now);
        let since = SystemTime::now().checked_sub(status.since);
        let (states, solos) = StateTime::all(shared, now);
        let taken = shared.slots.taken();
        let data_memory = shared.data_memory();
        let sum = |counter| counted_by_all(shared, counter);
        let closed = |reason: CloseReason| (reason, sum(Counter::closed(reason as usize)));
        let logins = |result| (result, sum(Counter::login(result)));
        let ends = |how| (how, shared.tx.ends(how));
        Self {
            uptime: now.saturating_duration_since(shared.started),
            state: serving.state,
            role: serving.role,
            epoch: serving.epoch,
            is_ready: serving.is_ready(),
            has_started: shared.engines_started() > 0,
            has_fault: shared.fault().is_some(),
            is_read_only: shared.events.is_read_only(serving),
            schema_version: shared.schema_version(),
            last_record: shared.view().and_then(|view| view.last_record()),
            traffic: TrafficMetrics::of(shared),
            requests: RequestMetrics::of(shared),
            tx: TxMetrics::of(shared, now),
            transaction_ends: TransactionEnd::ALL.into_iter().map(ends).collect(),
            states,
            solos,
            since: since.unwrap_or(SystemTime::UNIX_EPOCH),
            progress: status.progress.and_then(Progress::share),
            closed_connections: CloseReason::ALL.into_iter().map(closed).collect(),
            logins: LoginResult::ALL.into_iter().map(logins).collect(),
            tls: TlsMetrics::of(shared),
            client_connections: taken.clients,
            administrator_connections: taken.administrators,
            turned_away: shared.slots.rejected(),
            queued: shared.queued_count(),
            in_flight: shared.in_flight_count(),
            jobs: shared.jobs.load(Ordering::Relaxed),
            transactions: shared.quotas.transactions.used(),
            reservations: shared.quotas.reservations.used(),
            waits: shared.quotas.waits.used(),
            transitions: shared.transitions.last(),
            transition_counts: shared.transitions.counts(),
            connections_memory: MemoryUse {
                used_bytes: shared.memory.used(),
                max_bytes: shared.memory.max(),
            },
            data_memory: data_memory.map(|own| MemoryUse {
                used_bytes: own.used(),
                max_bytes: own.max(),
            }),
            threads: SessionThread::all(shared),
            heartbeats: Heartbeats::of(shared, now),
            thread_traffic: (shared.counters.chunks(1).map(TrafficMetrics::of_workers)).collect(),
            engine: shared.engine_numbers(),
            gateway: GatewayMetrics::of(shared, now),
        }
    }
}

/// What all workers have counted.
pub(super) fn counted_by_all(shared: &Shared, counter: Counter) -> u64 {
    let workers = shared.counters.iter();
    workers.map(|own| own.traffic.get(counter).total).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;

    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::serving::ServingCell;
    use crate::slots::ConnectionSlots;

    #[test]
    fn metrics_are_read_while_engines_come_and_nobody_waits_for_ever() {
        const ROUNDS: usize = 10_000;
        let config = Config::default();
        let slots = ConnectionSlots::new(&config, &[]).expect("no limit is known");
        let serving = ServingCell::new(Role::Primary, Clock::SYSTEM);
        let shared = Arc::new(Shared::new(config, serving, slots, Vec::new()));
        let (done, is_done) = mpsc::channel();
        let (reader, told) = (shared.clone(), done.clone());
        thread::spawn(move || {
            for _ in 0..ROUNDS {
                Metrics::of(&reader, Instant::now());
            }
            told.send(()).expect("it is waited for");
        });
        thread::spawn(move || {
            for _ in 0..100 * ROUNDS {
                shared.engines.send_modify(|count| *count += 1);
            }
            done.send(()).expect("it is waited for");
        });
        for _ in 0..2 {
            let waited = is_done.recv_timeout(Duration::from_secs(60));
            waited.expect("one holds what the other waits for");
        }
    }
}
