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
const SHOWN: [(&str, RunControl); 8] = [
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
    ("quotas", |call, body| {
        let rows = call.shared.quotas.rows();
        write(&rows, body)
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
    name: String,
    value: u64,
    /// How much of it is in use now; nil where that is not counted in one place.
    used: Option<u64>,
}

/// The bounds that matter to operators: configured, fixed, and those of which it is known how much
/// is in use.
fn limit_rows(shared: &Shared) -> Vec<LimitRow> {
    let grace = shared.resolve_grace(shared.config.shutdown_grace_period);
    let configured = shared.config.shown_limits(grace);
    let bounds = configured.iter().chain(limits::SHOWN);
    let bounds = bounds.map(|&(name, value)| (name, value, None));
    let counted = counted_limits(shared)
        .into_iter()
        .map(|(name, value, used)| (name, value, Some(used)));
    let bounds = bounds.chain(counted);
    let bounds = bounds.map(|(name, value, used)| (name.to_owned(), value, used));
    bounds
        .chain(shared.quotas.limits())
        .map(|(name, value, used)| LimitRow { name, value, used })
        .collect()
}

/// Bounds by name and value, with what is in use now.
fn counted_limits(shared: &Shared) -> Vec<(&'static str, u64, u64)> {
    let (slots, memory) = (&shared.slots, &shared.memory);
    let memory_max = shared.config.connection_limits.memory_max;
    let of_one = slots.of_one_address();
    let data = shared.data_memory();
    let data = data.map(|own| ("memory_max_bytes", own.max() as u64, own.used() as u64));
    let counted = [
        (
            "connections_max",
            slots.budget.clients as u64,
            slots.taken().clients as u64,
        ),
        (
            "connections_per_address_max",
            of_one.0 as u64,
            of_one.1 as u64,
        ),
        (
            "connections_memory_max_bytes",
            memory_max as u64,
            memory.used() as u64,
        ),
    ];
    counted.into_iter().chain(data).collect()
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
    /// Connections that found no slot, since the start.
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
    /// From that change until the last of its sessions had heard of it: what was queued is taken
    /// back, what was held is woken, events are handed to the sockets.
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
        let expected = "Usage: vestibule.show('connections'|'requests'|'reservations'|\
                        'transitions'|'quotas'|'limits'|'descriptors'|'threads')";
        assert_eq!(usage("vestibule.show").message(), expected);
    }
}
