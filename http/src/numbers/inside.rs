//! What goes on behind the network side: Tx, transitions, threads, the engine; and the door itself.

use std::collections::BTreeMap;
use std::time::Duration;

use vestibule_actors::engine::{EngineNumbers, JournalNumbers, SpaceNumbers};
use vestibule_actors::monitoring::{DescriptorInfo, MemoryUse, SessionThread};

use super::family::{Family, Kind, Series, Value, by, by_all, maybe, one};
use super::seen::Seen;
use crate::answered::Answered;

pub(super) const TX: &[Family] = &[
    Family {
        name: "vestibule_tx_busy_seconds_total",
        kind: Kind::Counter,
        labels: &[],
        help: "How long all turns of Tx together took, the one under way included",
        read: |seen| one(seen.metrics.tx.busy),
    },
    Family {
        name: "vestibule_tx_turns_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Turns of Tx that have ended",
        read: |seen| one(seen.metrics.tx.turns.count()),
    },
    Family {
        name: "vestibule_tx_turn_duration_seconds",
        kind: Kind::Histogram,
        labels: &[],
        help: "How long turns of Tx took that have ended",
        read: |seen| one(seen.metrics.tx.turns.clone()),
    },
    Family {
        name: "vestibule_tx_stalled",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 while the watchdog says that Tx stands still",
        read: |seen| one(seen.metrics.tx.is_stalled),
    },
    Family {
        name: "vestibule_tx_restarts_total",
        kind: Kind::Counter,
        labels: &[],
        help: "How often Tx was replaced, because it had died",
        read: |seen| one(seen.metrics.tx.restarts),
    },
    Family {
        name: "vestibule_jobs",
        kind: Kind::Gauge,
        labels: &[],
        help: "Jobs of the embedder that are under way",
        read: |seen| one(seen.metrics.jobs),
    },
    Family {
        name: "vestibule_transactions_open",
        kind: Kind::Gauge,
        labels: &[],
        help: "Open transactions of clients",
        read: |seen| one(seen.metrics.transactions),
    },
    Family {
        name: "vestibule_transactions_total",
        kind: Kind::Counter,
        labels: &["end"],
        help: "Transactions of clients, by how they ended",
        read: |seen| {
            let ends = seen.metrics.transaction_ends.iter();
            by(ends.map(|(how, count)| (how.name(), *count)))
        },
    },
];

/// What transitions to each state or role came to.
fn by_target(seen: &Seen) -> BTreeMap<&'static str, Duration> {
    let mut times = BTreeMap::new();
    for own in &seen.metrics.transition_counts {
        *times.entry(own.to.name()).or_default() += own.took;
    }
    times
}

/// A number of each thread of sessions.
pub(super) fn by_thread<V: Into<Value>>(
    seen: &Seen,
    number: impl Fn(&SessionThread) -> V,
) -> Vec<Series> {
    let threads = seen.metrics.threads.iter();
    by(threads.map(|own| (own.thread.to_string(), number(own))))
}

fn by_share(seen: &Seen, number: impl Fn(&DescriptorInfo) -> Option<u64>) -> Vec<Series> {
    let rows = seen.descriptors.iter();
    by(rows.filter_map(|own| Some((own.share.name(), number(own)?))))
}

pub(super) const THREADS: &[Family] = &[
    Family {
        name: "vestibule_transitions_total",
        kind: Kind::Counter,
        labels: &["to", "result"],
        help: "Transitions that are over, and changes of state, by what they led to",
        read: |seen| {
            let counts = seen.metrics.transition_counts.iter();
            by_all(counts.map(|own| ([own.to.name().into(), own.result.name().into()], own.count)))
        },
    },
    Family {
        name: "vestibule_transition_seconds_total",
        kind: Kind::Counter,
        labels: &["to"],
        help: "How long they took together; changes that are over at once take no time",
        read: |seen| by(by_target(seen)),
    },
    Family {
        name: "vestibule_session_thread_reach_seconds",
        kind: Kind::Gauge,
        labels: &["thread"],
        help: "From the last change of state until all sessions of the thread had heard of it",
        read: |seen| by_thread(seen, |own| own.reached),
    },
    Family {
        name: "vestibule_session_thread_reach_max_seconds",
        kind: Kind::Gauge,
        labels: &["thread"],
        help: "The longest of them since the start",
        read: |seen| by_thread(seen, |own| own.reached_max),
    },
    Family {
        name: "vestibule_session_thread_connections",
        kind: Kind::Gauge,
        labels: &["thread"],
        help: "Connections that live on the thread",
        read: |seen| by_thread(seen, |own| own.connections),
    },
    Family {
        name: "vestibule_thread_heartbeat_age_seconds",
        kind: Kind::Gauge,
        labels: &["thread"],
        help: "How long ago a thread was seen to go on: session threads by number, and the one of \
               the System; what lasts 10 s fails the probe of life",
        read: |seen| {
            let beats = &seen.metrics.heartbeats;
            let threads = beats.session_threads.iter().enumerate();
            let threads = threads.map(|(thread, age)| (thread.to_string(), *age));
            by(threads.chain([("system".to_owned(), beats.system)]))
        },
    },
    Family {
        name: "vestibule_descriptors",
        kind: Kind::Gauge,
        labels: &["share"],
        help: "Descriptors that are taken, where that is counted",
        read: |seen| by_share(seen, |own| own.taken),
    },
    Family {
        name: "vestibule_descriptors_max",
        kind: Kind::Gauge,
        labels: &["share"],
        help: "Descriptors that each may have: process is the whole",
        read: |seen| by_share(seen, |own| own.max),
    },
];

/// A number that the engine tells, if it does.
pub(super) fn engine<V: Into<Value>>(
    seen: &Seen,
    number: impl FnOnce(&EngineNumbers) -> Option<V>,
) -> Vec<Series> {
    maybe(seen.metrics.engine.as_ref().and_then(number))
}

/// The memory of data, if there is a bound on it.
pub(super) fn bounded_data(seen: &Seen) -> Option<MemoryUse> {
    seen.metrics.data_memory.filter(|own| own.max_bytes > 0)
}

fn journal<V: Into<Value>>(seen: &Seen, number: impl FnOnce(&JournalNumbers) -> V) -> Vec<Series> {
    engine(seen, |own| own.journal.as_ref().map(number))
}

fn by_space<V: Into<Value>>(seen: &Seen, number: impl Fn(&SpaceNumbers) -> V) -> Vec<Series> {
    by(spaces(seen).map(|own| (own.name.clone(), number(own))))
}

/// What the nodes of each index take, by space and index.
pub(super) fn by_index(seen: &Seen) -> Vec<Series> {
    let indexes = spaces(seen).flat_map(|own| {
        let labels = |index: &str| [own.name.clone().into(), index.to_owned().into()];
        let indexes = own.indexes.iter();
        indexes.map(move |index| (labels(&index.name), index.bytes))
    });
    by_all(indexes)
}

/// The spaces that the engine tells of.
pub(super) fn spaces(seen: &Seen) -> impl Iterator<Item = &SpaceNumbers> {
    seen.metrics.engine.iter().flat_map(|own| &own.spaces)
}

pub(super) const ENGINE: &[Family] = &[
    Family {
        name: "vestibule_journal_written_bytes_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Bytes that were written to the journal",
        read: |seen| journal(seen, |own| own.written_bytes),
    },
    Family {
        name: "vestibule_journal_size_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Bytes of the journal's files",
        read: |seen| journal(seen, |own| own.size_bytes),
    },
    Family {
        name: "vestibule_journal_sync_duration_seconds",
        kind: Kind::Histogram,
        labels: &[],
        help: "How long it took to have what was written on the disk, each time",
        read: |seen| journal(seen, |own| own.syncs.clone()),
    },
    Family {
        name: "vestibule_journal_failed",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 while the engine takes no changes because of a fault: its journal cannot be \
               written",
        read: |seen| one(seen.metrics.has_fault),
    },
    Family {
        name: "vestibule_journal_last_record",
        kind: Kind::Gauge,
        labels: &[],
        help: "The number of the journal's last record",
        read: |seen| maybe(seen.metrics.last_record),
    },
    Family {
        name: "vestibule_checkpoint_last_success_timestamp_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "When the last checkpoint since the start was made, as Unix time; absent before",
        read: |seen| engine(seen, |own| own.checkpoints.as_ref()?.last_success),
    },
    Family {
        name: "vestibule_checkpoint_last_duration_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "How long that one took",
        read: |seen| engine(seen, |own| own.checkpoints.as_ref()?.last_duration),
    },
    Family {
        name: "vestibule_checkpoint_failures_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Checkpoints that could not be made",
        read: |seen| engine(seen, |own| Some(own.checkpoints.as_ref()?.failures)),
    },
    Family {
        name: "vestibule_checkpoint_journal_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "Bytes in the journal since the last checkpoint",
        read: |seen| engine(seen, |own| Some(own.checkpoints.as_ref()?.journal_bytes)),
    },
    Family {
        name: "vestibule_data_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "What the engine's data take in memory, with what is not committed",
        read: |seen| maybe(seen.metrics.data_memory.map(|own| own.used_bytes)),
    },
    Family {
        name: "vestibule_data_max_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "What they may take; absent if there is no bound",
        read: |seen| maybe(bounded_data(seen).map(|own| own.max_bytes)),
    },
    Family {
        name: "vestibule_space_rows",
        kind: Kind::Gauge,
        labels: &["space"],
        help: "Tuples of each space",
        read: |seen| by_space(seen, |own| own.rows),
    },
    Family {
        name: "vestibule_space_bytes",
        kind: Kind::Gauge,
        labels: &["space"],
        help: "What the tuples and indexes of each space take in memory",
        read: |seen| by_space(seen, |own| own.bytes),
    },
    Family {
        name: "vestibule_index_bytes",
        kind: Kind::Gauge,
        labels: &["space", "index"],
        help: "What the nodes of each index take, with the keys and tuples that stand in them",
        read: by_index,
    },
    Family {
        name: "vestibule_spaces_left_out",
        kind: Kind::Gauge,
        labels: &[],
        help: "Spaces of which nothing is told, because there are more than 1,000",
        read: |seen| engine(seen, |own| Some(own.spaces_left_out)),
    },
];

pub(super) const DOOR: &[Family] = &[
    Family {
        name: "vestibule_http_requests_total",
        kind: Kind::Counter,
        labels: &["path", "code"],
        help: "What this door has answered, by path (other for those that do not exist) and status",
        read: |seen| {
            let answered = seen.answered.iter();
            let labels = |own: &Answered| [own.path.into(), own.status.to_string().into()];
            by_all(answered.map(|own| (labels(own), own.count)))
        },
    },
    Family {
        name: "vestibule_http_event_streams",
        kind: Kind::Gauge,
        labels: &[],
        help: "Streams of events that are open: pages that are looked at",
        read: |seen| one(seen.event_streams),
    },
];
