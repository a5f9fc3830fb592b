//! `vestibule.show(what)`: one array of maps.
//!
//! Something new to show is a row of [`SHOWN`] and the function that the row names.

use std::sync::atomic::Ordering;

use serde::Serialize;
use vestibule_wire::Error;
use vestibule_wire::reply::write_value;

use super::args::text_argument;
use super::call::{Answer, ControlCall, RunControl};
use crate::limits;
use crate::messages::FanOut;
use crate::shared::{Shared, WorkerCounters};

/// What can be shown. The usage lists them in this order.
const SHOWN: [(&str, RunControl); 7] = [
    ("connections", |_, _| {
        Ok(Answer::FanOut(FanOut::Connections))
    }),
    ("requests", |_, _| Ok(Answer::FanOut(FanOut::Requests))),
    ("reservations", |call, body| {
        let rows = call.shared.reservations.rows(call.now);
        write(&rows, body)
    }),
    ("transitions", |call, body| {
        write(&call.shared.transitions.rows(), body)
    }),
    ("limits", |call, body| write(&limit_rows(call.shared), body)),
    ("descriptors", |call, body| {
        write(&descriptor_rows(call.shared), body)
    }),
    ("threads", |call, body| {
        write(&thread_rows(call.shared), body)
    }),
];

/// `vestibule.show(what)`.
pub(super) fn show(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    let what = text_argument(call.procedure.name, call.args)?;
    match SHOWN.iter().find(|(name, _)| Some(*name) == what) {
        Some((_, run)) => run(call, body),
        None => Err(usage(call.procedure.name)),
    }
}

fn usage(procedure: &str) -> Error {
    let names = SHOWN.map(|(name, _)| format!("'{name}'")).join("|");
    Error::illegal_params(format!("Usage: {procedure}({names})"))
}

fn write(rows: &impl Serialize, body: &mut Vec<u8>) -> Result<Answer, Error> {
    write_value(body, rows)?;
    Ok(Answer::Written)
}

/// One row of `vestibule.show('limits')`.
#[derive(Debug, Serialize)]
struct LimitRow {
    name: &'static str,
    value: u64,
    /// How much of it is in use now; nil where that is not counted in one place.
    used: Option<u64>,
}

/// The bounds that matter to operators, as they are configured.
fn limit_rows(shared: &Shared) -> Vec<LimitRow> {
    let config = &shared.config;
    let times = &config.time_limits;
    let (slots, memory) = (&shared.slots, config.connection_limits.memory_max);
    let used = [
        (
            "connections_max",
            slots.budget.clients as u64,
            Some(slots.taken().clients as u64),
        ),
        (
            "connections_memory_max_bytes",
            memory as u64,
            Some(shared.memory.used() as u64),
        ),
    ];
    [
        ("session_threads", config.session_thread_count() as u64),
        ("packet_size_max_bytes", config.packet_size_max),
        (
            "shutdown_grace_period_ms",
            shared
                .resolve_grace(config.shutdown_grace_period)
                .map_or(u64::MAX, |period| period.as_millis() as u64),
        ),
        ("lameduck_ms", config.lameduck.as_millis() as u64),
        (
            "tx_stall_after_ms",
            config.tx_stall_after.as_millis() as u64,
        ),
        ("half_frame_timeout_ms", times.half_frame.as_millis() as u64),
        (
            "authentication_timeout_ms",
            times.authentication.as_millis() as u64,
        ),
        ("unread_timeout_ms", times.unread.as_millis() as u64),
        ("idle_timeout_ms", times.idle.as_millis() as u64),
        (
            "request_timeout_ms",
            config.request_timeout.as_millis() as u64,
        ),
        (
            "transaction_timeout_ms",
            config.transaction_timeout.as_millis() as u64,
        ),
        ("hold_requests_max", config.hold.requests_max as u64),
        ("hold_bytes_max", config.hold.bytes_max as u64),
        ("hold_time_max_ms", config.hold.time_max.as_millis() as u64),
        (
            "connection_requests_max",
            limits::CONNECTION_REQUESTS_MAX as u64,
        ),
        ("connection_bytes_max", limits::CONNECTION_BYTES_MAX as u64),
        (
            "session_thread_requests_max",
            limits::WORKER_REQUESTS_MAX as u64,
        ),
        (
            "session_thread_requests_reserve",
            limits::WORKER_RESERVE as u64,
        ),
        ("session_thread_bytes_max", limits::WORKER_BYTES_MAX as u64),
        ("output_pause_bytes", limits::OUTPUT_PAUSE as u64),
        ("output_max_bytes", limits::OUTPUT_MAX as u64),
        ("turn_requests_max", limits::TURN_REQUESTS_MAX as u64),
        (
            "watches_per_connection_max",
            limits::WATCHES_PER_CONNECTION_MAX as u64,
        ),
        (
            "reservations_per_connection_max",
            limits::RESERVATIONS_PER_CONNECTION_MAX as u64,
        ),
    ]
    .map(|(name, value)| (name, value, None))
    .into_iter()
    .chain(used)
    .map(|(name, value, used)| LimitRow { name, value, used })
    .collect()
}

/// One row of `vestibule.show('descriptors')`.
#[derive(Debug, Serialize)]
struct DescriptorRow {
    /// `process` is the whole, of which the others are parts.
    share: &'static str,
    /// Nil if it is not known.
    max: Option<u64>,
    /// Nil if it is not counted.
    taken: Option<u64>,
    /// Connections that found no place, since the start.
    turned_away: Option<u64>,
}

/// Who may have how many descriptors, and how many connections there are.
fn descriptor_rows(shared: &Shared) -> Vec<DescriptorRow> {
    let slots = &shared.slots;
    let (budget, taken) = (&slots.budget, slots.taken());
    let row = |share, max: Option<usize>, taken: Option<usize>| DescriptorRow {
        share,
        max: max.map(|max| max as u64),
        taken: taken.map(|taken| taken as u64),
        turned_away: None,
    };
    vec![
        row("process", budget.limit, None),
        row("runtime", Some(budget.runtime), None),
        row("engine", Some(budget.engine), None),
        row(
            "administrators",
            Some(budget.administrators),
            Some(taken.administrators),
        ),
        DescriptorRow {
            turned_away: Some(slots.rejected()),
            ..row("spare", Some(budget.spare), None)
        },
        row("clients", Some(budget.clients), Some(taken.clients)),
    ]
}

/// One row of `vestibule.show('threads')`.
#[derive(Debug, Serialize)]
struct ThreadRow {
    thread: usize,
    connections: usize,
    in_flight: usize,
    /// Of the last change of state that all its sessions have heard of.
    epoch: u64,
    /// From that change until the last of its sessions had heard of it: what was queued is taken back,
    /// what was held is woken, events are handed to the sockets.
    reached_us: u64,
    /// The longest since the start.
    reached_max_us: u64,
}

/// The session threads, and how fast they hear of changes.
fn thread_rows(shared: &Shared) -> Vec<ThreadRow> {
    let counters = shared.counters.iter().enumerate();
    let row = |(thread, counters): (usize, &WorkerCounters)| {
        let (epoch, reached_us, reached_max_us) = counters.reach();
        ThreadRow {
            thread,
            connections: shared.slots.of_thread(thread),
            in_flight: counters.in_flight.load(Ordering::Relaxed),
            epoch,
            reached_us,
            reached_max_us,
        }
    };
    counters.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_lists_what_can_be_shown() {
        let expected = "Usage: vestibule.show('connections'|'requests'|'reservations'|'transitions'|\
                        'limits'|'descriptors'|'threads')";
        assert_eq!(usage("vestibule.show").message(), expected);
    }
}
