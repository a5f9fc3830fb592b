//! What `box.stat()` and `box.stat.net()` tell: how many requests, bytes and connections there
//! were, and how many per second in the last five.

use std::collections::BTreeMap;

use serde::Serialize;
use vestibule_wire::Error;
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::write_value;

use super::call::{Answer, ControlCall};
use crate::cells::traffic::{Count, Counter};
use crate::shared::Shared;

/// The types that have a row of their own, by the name of the row. CALL has two.
const ROWS: &[(&str, &[RequestType])] = &[
    ("AUTH", &[RequestType::Auth]),
    ("BEGIN", &[RequestType::Begin]),
    ("CALL", &[RequestType::Call, RequestType::Call16]),
    ("COMMIT", &[RequestType::Commit]),
    ("DELETE", &[RequestType::Delete]),
    ("EVAL", &[RequestType::Eval]),
    ("EXECUTE", &[RequestType::Execute]),
    ("INSERT", &[RequestType::Insert]),
    ("PREPARE", &[RequestType::Prepare]),
    ("REPLACE", &[RequestType::Replace]),
    ("ROLLBACK", &[RequestType::Rollback]),
    ("SELECT", &[RequestType::Select]),
    ("UPDATE", &[RequestType::Update]),
    ("UPSERT", &[RequestType::Upsert]),
];

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
    fn of(shared: &Shared, counters: impl IntoIterator<Item = Counter>) -> Self {
        let workers = || shared.counters.iter().map(|worker| &worker.traffic);
        let of_worker = |counter| workers().map(move |own| own.get(counter));
        let counts = counters.into_iter().flat_map(of_worker);
        let Count { total, rate } = counts.fold(Count::default(), Count::and);
        Self {
            total,
            rps: rate / 1000,
            current: None,
        }
    }

    fn now(self, current: usize) -> Self {
        Self {
            current: Some(current as u64),
            ..self
        }
    }
}

/// `box.stat()`.
pub(super) fn stat(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    let shared = call.shared;
    let row = |(name, types): &(&'static str, &[RequestType])| {
        let counters = types.iter().map(|own| Counter::of(*own));
        (*name, StatRow::of(shared, counters))
    };
    let mut rows: BTreeMap<_, _> = ROWS.iter().map(row).collect();
    rows.insert("ERROR", StatRow::of(shared, [Counter::ERRORS]));
    write_value(body, &rows)?;
    Ok(Answer::Written)
}

/// `box.stat.net()`.
pub(super) fn net(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    let shared = call.shared;
    let of = |counter| StatRow::of(shared, [counter]);
    let requests = StatRow::of(shared, Counter::requests());
    let rows = BTreeMap::from([
        (
            "CONNECTIONS",
            of(Counter::CONNECTIONS).now(shared.connection_count()),
        ),
        ("RECEIVED", of(Counter::RECEIVED)),
        ("REQUESTS", requests.now(shared.in_flight_count())),
        ("SENT", of(Counter::SENT)),
        (
            "STREAMS",
            of(Counter::STREAMS).now(shared.quotas.transactions.used()),
        ),
    ]);
    write_value(body, &rows)?;
    Ok(Answer::Written)
}
