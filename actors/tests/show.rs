//! `vestibule.show('limits')`: which bounds operators see, and how.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vestibule_actors::testing::{Harness, Script, config};
use vestibule_actors::wire::reply::write_value;

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    name: String,
    value: u64,
    used: Option<u64>,
}

/// The bounds of a server with two session threads and 7 s for Tx that is otherwise as it comes, in
/// their order.
const FIXED: [(&str, u64); 40] = [
    ("session_threads", 2),
    ("packet_size_max_bytes", 64 << 20),
    ("transactions_per_connection_max", 256),
    ("shutdown_grace_period_ms", 3_000),
    ("lameduck_ms", 0),
    ("tx_stall_after_ms", 7_000),
    ("half_frame_timeout_ms", 60_000),
    ("authentication_timeout_ms", 0),
    ("admin_authentication_timeout_ms", 5_000),
    ("unread_timeout_ms", 60_000),
    ("idle_timeout_ms", 0),
    ("half_closed_timeout_ms", 60_000),
    ("login_failures_free", 5),
    ("login_delay_max_ms", 5_000),
    ("request_timeout_ms", 0),
    ("wait_timeout_ms", 60_000),
    ("transaction_timeout_ms", 0),
    ("hold_requests_max", 1024),
    ("hold_bytes_max", 1 << 20),
    ("hold_time_max_ms", 5_000),
    ("connection_requests_max", 2048),
    ("connection_bytes_max", 16 << 20),
    ("session_thread_requests_max", 16 << 10),
    ("session_thread_requests_reserve", 1024),
    ("session_thread_requests_users_reserve", 256),
    ("session_thread_requests_admin_reserve", 64),
    ("session_thread_bytes_max", 256 << 20),
    ("output_pause_bytes", 1 << 20),
    ("output_max_bytes", 256 << 20),
    ("connection_reply_bytes_max", 4 << 20),
    ("turn_requests_max", 4096),
    ("jobs_max", 1024),
    ("turn_jobs_max", 64),
    ("watches_per_connection_max", 128),
    ("events_max", 1024),
    ("event_value_max_bytes", 16 << 10),
    ("events_max_bytes", 4 << 20),
    ("push_max_bytes", 1 << 20),
    ("transition_waits_per_connection_max", 16),
    ("reservations_per_connection_max", 256),
];

/// What all connections share, and how much there is of it.
const QUOTAS: [(&str, u64); 4] = [
    ("transactions", 4096),
    ("reservations", 64 << 10),
    ("waits", 16 << 10),
    ("wait_bytes", 64 << 20),
];

#[test]
fn limits_are_shown_by_name_with_their_value_and_what_is_used() {
    let config = config()
        .session_threads(2)
        .tx_stall_after(Duration::from_secs(7));
    let harness = Harness::start_with(config, Script::default());
    let mut operator = harness.connect();
    let reply = operator.show("limits");
    let (rows,): (Vec<Row>,) = reply.data();
    let (fixed, counted) = rows.split_at(FIXED.len());
    for (row, (name, value)) in fixed.iter().zip(FIXED) {
        assert_eq!((&*row.name, row.value, row.used), (name, value, None));
    }
    let [connections, of_one, memory, quotas @ ..] = counted else {
        panic!("three rows are counted: {counted:?}");
    };
    assert_eq!(connections.name, "connections_max");
    assert_eq!(connections.used, Some(1));
    assert_eq!(of_one.name, "connections_per_address_max");
    assert_eq!(of_one.used, Some(1));
    assert_eq!(memory.name, "connections_memory_max_bytes");
    assert_eq!(memory.value, 1 << 30);
    assert!(memory.used.is_some(), "it is counted");
    let shown = quotas.iter().map(|row| (&*row.name, row.value));
    let expected = QUOTAS.iter().flat_map(|(what, all)| {
        let names = [
            "max",
            "reserve",
            "per_user_max",
            "per_address_max",
            "per_user_and_address_max",
        ];
        let values = [*all, all / 16, all / 2, all / 2, all / 4];
        names
            .into_iter()
            .zip(values)
            .map(move |(bound, value)| (format!("{what}_{bound}"), value))
    });
    assert!(
        shown.eq(expected
            .collect::<Vec<_>>()
            .iter()
            .map(|(name, value)| (&**name, *value)))
    );
    assert_eq!((quotas[0].used, quotas[1].used), (Some(0), None));
    let mut body = Vec::new();
    write_value(&mut body, &rows).expect("rows are values");
    assert_eq!(reply.body, body, "maps in the order of their fields");
}
