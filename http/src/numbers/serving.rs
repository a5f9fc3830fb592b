//! What the network side does: states, connections, requests.

use std::collections::BTreeMap;
use std::time::SystemTime;

use vestibule_actors::monitoring::DescriptorShare;
use vestibule_actors::serving::Role;

use super::family::{Family, Kind, Series, by, by_all, maybe, one};
use super::seen::Seen;

pub(super) const STATE: &[Family] = &[
    Family {
        name: "vestibule_build_info",
        kind: Kind::Gauge,
        labels: &["version"],
        help: "Always 1: the version of the program",
        read: |seen| by([(seen.version.clone(), true)]),
    },
    Family {
        name: "vestibule_state",
        kind: Kind::Gauge,
        labels: &["state"],
        help: "1 for the serving state that there is, 0 for the others",
        read: |seen| {
            let present = seen.metrics.state;
            let states = seen.metrics.states.iter();
            by(states.map(|own| (own.state.name(), own.state == present)))
        },
    },
    Family {
        name: "vestibule_role",
        kind: Kind::Gauge,
        labels: &["role"],
        help: "1 for the role that there is, 0 for the other",
        read: |seen| {
            let present = seen.metrics.role;
            by([Role::Primary, Role::Replica].map(|role| (role.name(), role == present)))
        },
    },
    Family {
        name: "vestibule_epoch",
        kind: Kind::Gauge,
        labels: &[],
        help: "Grows with every change of state or role",
        read: |seen| one(seen.metrics.epoch),
    },
    Family {
        name: "vestibule_state_seconds_total",
        kind: Kind::Counter,
        labels: &["state"],
        help: "How long each state has lasted in all",
        read: |seen| {
            by(seen
                .metrics
                .states
                .iter()
                .map(|own| (own.state.name(), own.lasted)))
        },
    },
    Family {
        name: "vestibule_state_entered_timestamp_seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "When the state or the role was entered that there is, as Unix time",
        read: |seen| one(seen.metrics.since),
    },
    Family {
        name: "vestibule_solo_total",
        kind: Kind::Counter,
        labels: &["cause"],
        help: "How often solo was declared: by what the engine was about to do (guard), by an \
               operator, or because Tx stood still (stall)",
        read: |seen| {
            let solos = seen.metrics.solos;
            by([
                ("guard", solos.guard),
                ("operator", solos.operator),
                ("stall", solos.stall),
            ])
        },
    },
    Family {
        name: "vestibule_progress_ratio",
        kind: Kind::Gauge,
        labels: &[],
        help: "How far what is waited for has come, from 0 to 1; absent if nothing is known",
        read: |seen| maybe(seen.metrics.progress),
    },
    Family {
        name: "vestibule_schema_version",
        kind: Kind::Gauge,
        labels: &[],
        help: "Grows with every change of the definitions of spaces, indexes and users",
        read: |seen| one(seen.metrics.schema_version),
    },
];

/// Slots by the listener that they are of, and one of two numbers.
fn slots(seen: &Seen, own: impl Fn(usize, usize) -> Option<usize>) -> Vec<Series> {
    let max = |share| {
        let row = seen.descriptors.iter().find(|own| own.share == share);
        row.and_then(|own| own.max).unwrap_or(0) as usize
    };
    let (clients, administrators) = (
        own(
            seen.metrics.client_connections,
            max(DescriptorShare::Clients),
        ),
        own(
            seen.metrics.administrator_connections,
            max(DescriptorShare::Administrators),
        ),
    );
    let rows = [("clients", clients), ("administrators", administrators)];
    by(rows
        .into_iter()
        .filter_map(|(label, own)| Some((label, own?))))
}

pub(super) const CONNECTIONS: &[Family] = &[
    Family {
        name: "vestibule_connections",
        kind: Kind::Gauge,
        labels: &["listener"],
        help: "Connections that are open, by whose slot they have",
        read: |seen| slots(seen, |taken, _| Some(taken)),
    },
    Family {
        name: "vestibule_connections_max",
        kind: Kind::Gauge,
        labels: &["listener"],
        help: "How many there may be",
        read: |seen| slots(seen, |_, max| Some(max)),
    },
    Family {
        name: "vestibule_connections_opened_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Connections that were taken in",
        read: |seen| one(seen.metrics.traffic.connections.total),
    },
    Family {
        name: "vestibule_connections_closed_total",
        kind: Kind::Counter,
        labels: &["cause"],
        help: "Connections that have ended, by why",
        read: |seen| {
            let closed = seen.metrics.closed_connections.iter();
            by(closed.map(|(reason, count)| (reason.name(), *count)))
        },
    },
    Family {
        name: "vestibule_connections_rejected_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Connections that found no slot",
        read: |seen| one(seen.metrics.turned_away),
    },
    Family {
        name: "vestibule_received_bytes_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Bytes that clients have sent",
        read: |seen| one(seen.metrics.traffic.received_bytes.total),
    },
    Family {
        name: "vestibule_sent_bytes_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Bytes that were sent to clients",
        read: |seen| one(seen.metrics.traffic.sent_bytes.total),
    },
    Family {
        name: "vestibule_buffers_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "What the buffers of all connections take, and the replies on their way to them",
        read: |seen| one(seen.metrics.connections_memory.used_bytes),
    },
    Family {
        name: "vestibule_buffers_max_bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "What they may take",
        read: |seen| one(seen.metrics.connections_memory.max_bytes),
    },
    Family {
        name: "vestibule_logins_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "Logins: accepted (ok), answered with an error (failed), made to wait because of \
               wrong ones before (delayed; counted again when they are answered)",
        read: |seen| {
            let logins = seen.metrics.logins.iter();
            by(logins.map(|(result, count)| (result.name(), *count)))
        },
    },
    Family {
        name: "vestibule_tls_handshakes_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "Handshakes of TLS: agreed on (ok), failed, longer than they may (timeout), stood \
               still while others waited (crowded_out), without a slot and not told why (rejected)",
        read: |seen| {
            let handshakes = seen.metrics.tls.handshakes.iter();
            by(handshakes.map(|(result, count)| (*result, *count)))
        },
    },
    Family {
        name: "vestibule_tls_renewals_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "Files of TLS that had changed: taken, or refused as they do not fit each other",
        read: |seen| {
            let renewals = seen.metrics.tls.renewals.iter();
            by(renewals.map(|(result, count)| (*result, *count)))
        },
    },
    Family {
        name: "vestibule_tls_certificate_not_after_timestamp_seconds",
        kind: Kind::Gauge,
        labels: &["file"],
        help: "When the first certificate in a file ends, by the file's name",
        read: |seen| {
            // Anybody may ask: where it is, is nobody's business. Of two of one name the first.
            let mut ends = BTreeMap::<_, SystemTime>::new();
            for (file, end) in &seen.metrics.tls.ends {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let first = ends.entry(name.into_owned()).or_insert(*end);
                *first = (*first).min(*end);
            }
            by(ends)
        },
    },
];

pub(super) const REQUESTS: &[Family] = &[
    Family {
        name: "vestibule_requests_total",
        kind: Kind::Counter,
        labels: &["request", "path"],
        help: "Requests, by type and by where they went when they were taken: to Tx, read from the \
               view, answered by their session (local), or refused by it",
        read: |seen| {
            let counts = seen.metrics.requests.counts.iter();
            by_all(counts.map(|own| ([own.request.into(), own.path.name().into()], own.count)))
        },
    },
    Family {
        name: "vestibule_request_errors_total",
        kind: Kind::Counter,
        labels: &["code"],
        help: "Replies that told an error, by the name of its code",
        read: |seen| {
            by(seen
                .metrics
                .requests
                .errors
                .iter()
                .map(|own| (own.name, own.count)))
        },
    },
    Family {
        name: "vestibule_request_duration_seconds",
        kind: Kind::Histogram,
        labels: &["path"],
        help: "How long requests took from the read that brought them: all that went to Tx, until \
               their replies were back on the session thread; of the others one turn of a session \
               in sixteen is timed to its end",
        read: |seen| {
            let durations = seen.metrics.requests.durations.iter();
            by(durations.map(|(path, own)| (path.name(), own.clone())))
        },
    },
    Family {
        name: "vestibule_requests_in_flight",
        kind: Kind::Gauge,
        labels: &[],
        help: "Requests of clients that were forwarded to Tx and are not answered",
        read: |seen| one(seen.metrics.in_flight),
    },
    Family {
        name: "vestibule_requests_queued",
        kind: Kind::Gauge,
        labels: &[],
        help: "Those of them that Tx has not begun",
        read: |seen| one(seen.metrics.queued),
    },
    Family {
        name: "vestibule_requests_held",
        kind: Kind::Gauge,
        labels: &[],
        help: "Requests that wait for the end of solo",
        read: |seen| one(seen.metrics.requests.held),
    },
    Family {
        name: "vestibule_requests_revoked_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Forwarded requests that were taken back before Tx began them: they did not happen",
        read: |seen| one(seen.metrics.requests.revoked),
    },
    Family {
        name: "vestibule_outcome_unknown_total",
        kind: Kind::Counter,
        labels: &[],
        help: "Forwarded requests whose client was told that they may have happened or not",
        read: |seen| one(seen.metrics.requests.outcome_unknown),
    },
    Family {
        name: "vestibule_waits",
        kind: Kind::Gauge,
        labels: &[],
        help: "Requests that wait for something else than Tx",
        read: |seen| one(seen.metrics.waits),
    },
    Family {
        name: "vestibule_reservations",
        kind: Kind::Gauge,
        labels: &[],
        help: "What connections hold outside of transactions: locks, cursors",
        read: |seen| one(seen.metrics.reservations),
    },
];
