//! What `box.stat()` and `box.stat.net()` tell: how many requests, bytes and connections there
//! were, and how many per second in the last five.

use std::collections::BTreeMap;

use serde::Serialize;
use vestibule_wire::Error;
use vestibule_wire::reply::write_value;

use super::call::{Answer, ControlCall};
use crate::monitoring::{Count, TrafficMetrics};

/// What is counted since the start, as Tarantool shows it.
#[derive(Debug, Serialize)]
struct StatRow {
    total: u64,
    /// Per second, of the last five.
    rps: u64,
    /// How many there are now, of what comes and goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<u64>,
}

impl StatRow {
    fn now(self, current: usize) -> Self {
        Self {
            current: Some(current as u64),
            ..self
        }
    }
}

impl From<Count> for StatRow {
    fn from(count: Count) -> Self {
        Self {
            total: count.total,
            rps: count.per_second as u64,
            current: None,
        }
    }
}

/// `box.stat()`.
pub(super) fn stat(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    let mut traffic = TrafficMetrics::of(call.shared);
    // Tarantool has no row for them.
    traffic.requests.remove(TrafficMetrics::OTHER);
    let requests = traffic.requests.into_iter();
    let rows = requests.chain([("ERROR", traffic.errors)]);
    let rows: BTreeMap<_, StatRow> = rows.map(|(name, count)| (name, count.into())).collect();
    write_value(body, &rows)?;
    Ok(Answer::Written)
}

/// `box.stat.net()`.
pub(super) fn net(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    let shared = call.shared;
    let traffic = TrafficMetrics::of(shared);
    let row = StatRow::from;
    let rows = BTreeMap::from([
        (
            "CONNECTIONS",
            row(traffic.connections).now(shared.connection_count()),
        ),
        ("RECEIVED", row(traffic.received_bytes)),
        (
            "REQUESTS",
            row(traffic.all_requests()).now(shared.in_flight_count()),
        ),
        ("SENT", row(traffic.sent_bytes)),
        (
            "STREAMS",
            row(traffic.streams).now(shared.quotas.transactions.used()),
        ),
    ]);
    write_value(body, &rows)?;
    Ok(Answer::Written)
}
