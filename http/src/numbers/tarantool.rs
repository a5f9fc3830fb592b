//! The metrics that Tarantool's own dashboard draws, by its names, where they are true here.
//!
//! Each has the label `alias`, by which the dashboard tells instances apart. What does not exist
//! here (elections, replication, fibers, Lua, vinyl) is absent: a panel without data is better than
//! one that is wrong.

use vestibule_actors::engine::SpaceNumbers;
use vestibule_actors::monitoring::{Count, MemoryUse, RequestPath, TrafficMetrics};
use vestibule_actors::serving::State;

use super::family::{Family, Kind, Series, by, by_all, maybe, one};
use super::inside::{bounded_data, by_index, by_thread, engine, spaces};
use super::seen::Seen;

/// The states of a configuration that the dashboard adds up, and which of them there is.
fn config_states(seen: &Seen) -> [(&'static str, bool); 6] {
    let is_loading = seen.metrics.state == State::Loading;
    let reloads = seen.reloads.as_ref();
    let is_reloading = reloads.is_some_and(|own| own.is_under_way);
    let (warn, error) = config_alerts(seen);
    let present = if is_loading {
        "startup_in_progress"
    } else if is_reloading {
        "reload_in_progress"
    } else if error > 0 {
        "check_errors"
    } else if warn > 0 {
        "check_warnings"
    } else {
        "ready"
    };
    [
        "uninitialized",
        "startup_in_progress",
        "reload_in_progress",
        "check_warnings",
        "check_errors",
        "ready",
    ]
    .map(|state| (state, state == present))
}

/// Options that wait for a restart, and what is wrong with a configuration that was not taken.
fn config_alerts(seen: &Seen) -> (usize, usize) {
    let reloads = seen.reloads.as_ref();
    reloads.map_or((0, 0), |own| (own.needs_restart.len(), own.faults.len()))
}

/// A sum of each thread of sessions.
fn total_by_thread(seen: &Seen, number: impl Fn(&TrafficMetrics) -> Count) -> Vec<Series> {
    let threads = seen.metrics.thread_traffic.iter().enumerate();
    by(threads.map(|(thread, own)| (thread.to_string(), number(own).total)))
}

/// Requests that went to Tx.
fn to_tx(seen: &Seen) -> u64 {
    let counts = seen.metrics.requests.counts.iter();
    let to_tx = counts.filter(|own| own.path == RequestPath::Tx);
    to_tx.map(|own| own.count).sum()
}

fn connections(seen: &Seen) -> usize {
    seen.metrics.client_connections + seen.metrics.administrator_connections
}

fn by_space(seen: &Seen, number: impl Fn(&SpaceNumbers) -> u64) -> Vec<Series> {
    let labels = |own: &SpaceNumbers| [own.name.clone().into(), "memtx".into()];
    by_all(spaces(seen).map(|own| (labels(own), number(own))))
}

const SPACE: &[&str] = &["name", "engine"];

pub(super) const TARANTOOL: &[Family] = &[
    Family {
        name: "tnt_info_uptime",
        kind: Kind::Gauge,
        labels: &[],
        help: "Seconds since the start",
        read: |seen| one(seen.metrics.uptime.as_secs()),
    },
    Family {
        name: "tnt_read_only",
        kind: Kind::Gauge,
        labels: &[],
        help: "1 if data may not be changed, as box.info().ro tells",
        read: |seen| one(seen.metrics.is_read_only),
    },
    Family {
        name: "tnt_schema_needs_upgrade",
        kind: Kind::Gauge,
        labels: &[],
        help: "Always 0",
        read: |_| one(false),
    },
    Family {
        name: "tnt_config_status",
        kind: Kind::Gauge,
        labels: &["status"],
        help: "1 for the status of the configuration that there is",
        read: |seen| by(config_states(seen)),
    },
    Family {
        name: "tnt_config_alerts",
        kind: Kind::Gauge,
        labels: &["level"],
        help: "Options that wait for a restart (warn), and faults of a reload that was refused",
        read: |seen| {
            let (warn, error) = config_alerts(seen);
            by([("warn", warn), ("error", error)])
        },
    },
    Family {
        name: "tnt_net_received_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Bytes that clients have sent",
        read: |seen| one(seen.metrics.traffic.received_bytes.total),
    },
    Family {
        name: "tnt_net_sent_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Bytes that were sent to clients",
        read: |seen| one(seen.metrics.traffic.sent_bytes.total),
    },
    Family {
        name: "tnt_net_connections_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Connections that were taken in",
        read: |seen| one(seen.metrics.traffic.connections.total),
    },
    Family {
        name: "tnt_net_connections_current",
        kind: Kind::Gauge,
        labels: &[],
        help: "Connections that are open",
        read: |seen| one(connections(seen)),
    },
    Family {
        name: "tnt_net_requests_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Requests, wherever they went",
        read: |seen| one(seen.metrics.traffic.all_requests().total),
    },
    Family {
        name: "tnt_net_requests_current",
        kind: Kind::Gauge,
        labels: &[],
        help: "Requests that are forwarded or held, and not answered",
        read: |seen| one(seen.metrics.in_flight + seen.metrics.requests.held),
    },
    Family {
        name: "tnt_net_requests_in_progress_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Requests that went to Tx",
        read: |seen| one(to_tx(seen)),
    },
    Family {
        name: "tnt_net_requests_in_progress_current",
        kind: Kind::Gauge,
        labels: &[],
        help: "Those of them that are not answered",
        read: |seen| one(seen.metrics.in_flight),
    },
    Family {
        name: "tnt_net_per_thread_received_total",
        kind: Kind::Counter,
        labels: &["thread"],
        help: "Bytes that clients have sent, by session thread",
        read: |seen| total_by_thread(seen, |own| own.received_bytes),
    },
    Family {
        name: "tnt_net_per_thread_sent_total",
        kind: Kind::Counter,
        labels: &["thread"],
        help: "Bytes that were sent to clients",
        read: |seen| total_by_thread(seen, |own| own.sent_bytes),
    },
    Family {
        name: "tnt_net_per_thread_connections_total",
        kind: Kind::Counter,
        labels: &["thread"],
        help: "Connections that were taken in",
        read: |seen| total_by_thread(seen, |own| own.connections),
    },
    Family {
        name: "tnt_net_per_thread_connections_current",
        kind: Kind::Gauge,
        labels: &["thread"],
        help: "Connections that are open",
        read: |seen| by_thread(seen, |own| own.connections),
    },
    Family {
        name: "tnt_net_per_thread_requests_total",
        kind: Kind::Counter,
        labels: &["thread"],
        help: "Requests, wherever they went",
        read: |seen| total_by_thread(seen, TrafficMetrics::all_requests),
    },
    Family {
        name: "tnt_net_per_thread_requests_in_progress_current",
        kind: Kind::Gauge,
        labels: &["thread"],
        help: "Requests that went to Tx and are not answered",
        read: |seen| by_thread(seen, |own| own.in_flight),
    },
    Family {
        name: "tnt_stats_op_total",
        kind: Kind::Counter,
        labels: &["operation"],
        help: "Requests by operation, and replies that told an error (error)",
        read: |seen| {
            let traffic = &seen.metrics.traffic;
            let requests = traffic.requests.iter();
            let named = requests.filter(|(name, _)| **name != TrafficMetrics::OTHER);
            let named = named.map(|(name, count)| (name.to_ascii_lowercase(), count.total));
            by(named.chain([("error".to_owned(), traffic.errors.total)]))
        },
    },
    Family {
        name: "tnt_cpu_user_time",
        kind: Kind::Gauge,
        labels: &[],
        help: "Processor time in user mode, in seconds",
        read: |seen| maybe(seen.process.user_seconds),
    },
    Family {
        name: "tnt_cpu_system_time",
        kind: Kind::Gauge,
        labels: &[],
        help: "Processor time in system mode, in seconds",
        read: |seen| maybe(seen.process.system_seconds),
    },
    Family {
        name: "tnt_memory",
        kind: Kind::Gauge,
        labels: &[],
        help: "Memory of the process that is in RAM, in bytes",
        read: |seen| maybe(seen.process.resident_bytes),
    },
    Family {
        name: "tnt_memory_virt",
        kind: Kind::Gauge,
        labels: &[],
        help: "Address space of the process, in bytes",
        read: |seen| maybe(seen.process.virtual_bytes),
    },
    Family {
        name: "tnt_info_memory_net",
        kind: Kind::Gauge,
        labels: &[],
        help: "What the buffers of connections take, in bytes",
        read: |seen| one(seen.metrics.connections_memory.used_bytes),
    },
    Family {
        name: "tnt_info_memory_data",
        kind: Kind::Gauge,
        labels: &[],
        help: "What tuples take that stand beside the nodes of their indexes, in bytes",
        read: |seen| engine(seen, |own| Some(own.data_bytes)),
    },
    Family {
        name: "tnt_info_memory_index",
        kind: Kind::Gauge,
        labels: &[],
        help: "What indexes take, with the tuples that stand in them, in bytes",
        read: |seen| engine(seen, |own| Some(own.index_bytes)),
    },
    Family {
        name: "tnt_slab_items_used",
        kind: Kind::Gauge,
        labels: &[],
        help: "As tnt_info_memory_data: there are no slabs",
        read: |seen| engine(seen, |own| Some(own.data_bytes)),
    },
    Family {
        name: "tnt_slab_arena_used",
        kind: Kind::Gauge,
        labels: &[],
        help: "What tuples and indexes take, in bytes",
        read: |seen| engine(seen, |own| Some(own.data_bytes + own.index_bytes)),
    },
    Family {
        name: "tnt_slab_quota_size",
        kind: Kind::Gauge,
        labels: &[],
        help: "The bound on the memory of data, in bytes; absent with those below if there is none",
        read: |seen| maybe(bounded_data(seen).map(|own| own.max_bytes)),
    },
    Family {
        name: "tnt_slab_quota_used",
        kind: Kind::Gauge,
        labels: &[],
        help: "What data take of it, in bytes",
        read: |seen| maybe(bounded_data(seen).map(|own| own.used_bytes)),
    },
    Family {
        name: "tnt_slab_quota_used_ratio",
        kind: Kind::Gauge,
        labels: &[],
        help: "The same in percent",
        read: |seen| {
            let percent = |own: MemoryUse| own.used_bytes as f64 / own.max_bytes as f64 * 100.0;
            maybe(bounded_data(seen).map(percent))
        },
    },
    Family {
        name: "tnt_ev_loop_time",
        kind: Kind::Gauge,
        labels: &[],
        help: "The longest turn of Tx within the last second, in seconds; the one under way if it \
               is longer by now",
        read: |seen| one(seen.metrics.tx.longest_turn),
    },
    Family {
        name: "tnt_space_len",
        kind: Kind::Gauge,
        labels: SPACE,
        help: "Tuples of each space",
        read: |seen| by_space(seen, |own| own.rows),
    },
    Family {
        name: "tnt_space_bsize",
        kind: Kind::Gauge,
        labels: SPACE,
        help: "Bytes of the tuples themselves",
        read: |seen| by_space(seen, |own| own.tuple_bytes),
    },
    Family {
        name: "tnt_space_total_bsize",
        kind: Kind::Gauge,
        labels: SPACE,
        help: "What the tuples and indexes of each space take, in bytes",
        read: |seen| by_space(seen, |own| own.bytes),
    },
    Family {
        name: "tnt_space_index_bsize",
        kind: Kind::Gauge,
        labels: &["name", "index_name"],
        help: "What the nodes of each index take, in bytes",
        read: by_index,
    },
];
