//! The state and all numbers: for scrapers, for programs, and for people.

use serde::Serialize;
use vestibule_actors::monitoring::{DescriptorInfo, InstanceInfo, Metrics, ServerStatus};

use crate::door::{Answer, Door, Question};
use crate::numbers::{Format, Seen, write};
use crate::process::ProcessNumbers;

/// `/metrics`
pub(crate) fn metrics(door: &Door, question: &Question) -> Answer {
    let format = Format::of_accept(question.accept.as_deref().unwrap_or(""));
    let text = write(door.look(), format, door.config.tarantool_metrics);
    Answer::new(200, format.content_type(), text)
}

/// What `/status.json` tells.
#[derive(Serialize)]
struct Status {
    name: String,
    version: String,
    status: ServerStatus,
    instance: InstanceInfo,
    metrics: Metrics,
    descriptors: Vec<DescriptorInfo>,
    process: ProcessNumbers,
}

/// `/status.json`
pub(crate) fn json(door: &Door, _: &Question) -> Answer {
    let seen = door.look();
    Answer::json(&Status {
        name: seen.alias,
        version: seen.version,
        status: door.observed.status(),
        instance: door.observed.instance(),
        metrics: seen.metrics,
        descriptors: seen.descriptors,
        process: seen.process,
    })
}

/// `/status.txt`
pub(crate) fn text(door: &Door, _: &Question) -> Answer {
    let (seen, status) = (door.look(), door.observed.status());
    let mut text = String::new();
    for (name, value) in rows(&seen, &status) {
        text.push_str(&format!("{name:<13} {value}\n"));
    }
    if let Some(fault) = status.fault {
        text.push_str(&format!("{:<13} {fault}\n", "FAULT"));
    }
    Answer::text(200, text)
}

/// What people are told, line by line.
fn rows(seen: &Seen, status: &ServerStatus) -> Vec<(&'static str, String)> {
    let metrics = &seen.metrics;
    let reason = match status.reason.is_empty() {
        true => String::new(),
        false => format!(": {}", status.reason),
    };
    let progress = status.progress.map(|own| format!(", {:.0} %", own * 100.0));
    let progress = progress.unwrap_or_default();
    let stalled = if metrics.tx.is_stalled {
        ", STALLED"
    } else {
        ""
    };
    let requests = metrics.traffic.all_requests();
    let (in_all, per_second) = (requests.total, requests.per_second);
    let (in_flight, queued) = (status.in_flight, status.queued);
    let (held, rejected) = (metrics.requests.held, metrics.turned_away);
    let (busy, restarts) = (metrics.tx.busy.as_secs_f64(), metrics.tx.restarts);
    let mut rows = vec![
        ("name", format!("{}, version {}", seen.alias, seen.version)),
        ("state", format!("{}{reason}{progress}", status.state)),
        ("role", status.role.to_string()),
        ("up", format!("{} s", metrics.uptime.as_secs())),
        (
            "connections",
            format!("{}, {rejected} rejected", status.connections),
        ),
        ("requests", format!("{in_all}, {per_second:.0} per second")),
        (
            "under way",
            format!("{in_flight}, {queued} of them queued; {held} held"),
        ),
        ("transactions", format!("{} open", metrics.transactions)),
        (
            "Tx",
            format!("busy for {busy:.1} s in all, {restarts} restarts{stalled}"),
        ),
    ];
    if let Some(data) = metrics.data_memory {
        rows.push(("data", format!("{} bytes", data.used_bytes)));
    }
    rows
}
