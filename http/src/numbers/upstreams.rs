//! The upstreams of a gateway. Labels are bounded: there are at most
//! [`UPSTREAMS_MAX`](vestibule_actors::limits::UPSTREAMS_MAX).

use vestibule_actors::monitoring::{GatewayMetrics, UpstreamInfo, UpstreamState};

use super::family::{Family, Kind, Series, Value, by, by_all, maybe};
use super::seen::Seen;

fn upstreams(seen: &Seen) -> impl Iterator<Item = &UpstreamInfo> {
    seen.metrics.gateway.iter().flat_map(|own| &own.upstreams)
}

fn by_upstream<V: Into<Value>>(seen: &Seen, number: impl Fn(&UpstreamInfo) -> V) -> Vec<Series> {
    by(upstreams(seen).map(|own| (own.name.clone(), number(own))))
}

fn gateway<V: Into<Value>>(seen: &Seen, value: impl FnOnce(&GatewayMetrics) -> V) -> Vec<Series> {
    maybe(seen.metrics.gateway.as_ref().map(value))
}

/// Look-ups by what came of them: those that were answered, and those that were not.
fn lookups(seen: &Seen, counts: impl FnOnce(&GatewayMetrics) -> [u64; 2]) -> Vec<Series> {
    let counts = seen.metrics.gateway.as_ref().map(counts);
    let results = counts.map(|counts| ["answered", "failed"].into_iter().zip(counts));
    by(results.into_iter().flatten())
}

pub(super) const UPSTREAMS: &[Family] = &[
    Family {
        name: "vestibule_upstream_state",
        kind: Kind::Gauge,
        labels: &["upstream", "state"],
        help: "1 for the state in which an upstream is, 0 for the others",
        read: |seen| {
            let states = upstreams(seen).flat_map(|own| {
                let of_one = |state: UpstreamState| {
                    let labels = [own.name.clone().into(), state.name().into()];
                    (labels, own.state == state)
                };
                UpstreamState::ALL.map(of_one)
            });
            by_all(states)
        },
    },
    Family {
        name: "vestibule_upstream_writable",
        kind: Kind::Gauge,
        labels: &["upstream"],
        help: "1 for an upstream that serves and takes changes of data",
        read: |seen| by_upstream(seen, |own| own.is_writable == Some(true)),
    },
    Family {
        name: "vestibule_upstream_target",
        kind: Kind::Gauge,
        labels: &["upstream"],
        help: "1 for the upstream that requests go to",
        read: |seen| by_upstream(seen, |own| own.is_target),
    },
    Family {
        name: "vestibule_upstream_lag_seconds",
        kind: Kind::Gauge,
        labels: &["upstream"],
        help: "How far a read-only upstream is behind the one that takes changes, no finer than \
               both are asked how they are; absent of others, and unless exactly one takes changes",
        read: |seen| by(upstreams(seen).filter_map(|own| Some((own.name.clone(), own.lag?)))),
    },
    Family {
        name: "vestibule_upstream_requests_in_flight",
        kind: Kind::Gauge,
        labels: &["upstream"],
        help: "Requests that were sent to an upstream and are not answered",
        read: |seen| by_upstream(seen, |own| own.in_flight),
    },
    Family {
        name: "vestibule_upstream_requests_queued",
        kind: Kind::Gauge,
        labels: &["upstream"],
        help: "Requests that wait for an upstream: a connection to it is not ready, or it has \
               enough to do, or does not read",
        read: |seen| by_upstream(seen, |own| own.queued),
    },
    Family {
        name: "vestibule_upstream_queued_bytes",
        kind: Kind::Gauge,
        labels: &["upstream"],
        help: "Bytes of the bodies of requests that wait for an upstream",
        read: |seen| by_upstream(seen, |own| own.queued_bytes),
    },
    Family {
        name: "vestibule_upstream_requests_total",
        kind: Kind::Counter,
        labels: &["upstream"],
        help: "Requests that were sent to an upstream",
        read: |seen| by_upstream(seen, |own| own.sent),
    },
    Family {
        name: "vestibule_upstream_replica_reads_total",
        kind: Kind::Counter,
        labels: &["upstream"],
        help: "SELECTs that were sent to an upstream as a replica, beside the one that requests go \
               to",
        read: |seen| by_upstream(seen, |own| own.replica_reads),
    },
    Family {
        name: "vestibule_upstream_retried_total",
        kind: Kind::Counter,
        labels: &["upstream"],
        help: "Requests that had been sent to an upstream and were to be sent once more, because \
               they were refused or it was lost",
        read: |seen| by_upstream(seen, |own| own.retried),
    },
    Family {
        name: "vestibule_upstream_outcome_unknown_total",
        kind: Kind::Counter,
        labels: &["upstream"],
        help: "Requests whose connection to an upstream has ended, and that may have happened or \
               not",
        read: |seen| by_upstream(seen, |own| own.unknown),
    },
    Family {
        name: "vestibule_upstream_links",
        kind: Kind::Gauge,
        labels: &["upstream"],
        help: "Connections to an upstream for requests",
        read: |seen| by_upstream(seen, |own| own.links),
    },
    Family {
        name: "vestibule_upstream_links_opened_total",
        kind: Kind::Counter,
        labels: &["upstream"],
        help: "Connections to an upstream for requests that were begun",
        read: |seen| by_upstream(seen, |own| own.links_opened),
    },
    Family {
        name: "vestibule_upstream_bulk_moves_total",
        kind: Kind::Counter,
        labels: &["upstream"],
        help: "How often a client came to go over another connection to an upstream, because of \
               large requests or replies",
        read: |seen| by_upstream(seen, |own| own.bulk_moves),
    },
    Family {
        name: "vestibule_upstream_failovers_total",
        kind: Kind::Counter,
        labels: &["upstream"],
        help: "How often requests came to go to an upstream that had gone to another one",
        read: |seen| by_upstream(seen, |own| own.failovers),
    },
    Family {
        name: "vestibule_upstream_connects_total",
        kind: Kind::Counter,
        labels: &["upstream"],
        help: "How often an upstream has greeted its scout: by more than one, it was lost \
               meanwhile",
        read: |seen| by_upstream(seen, |own| own.connects),
    },
    Family {
        name: "vestibule_upstream_probes_total",
        kind: Kind::Counter,
        labels: &["upstream"],
        help: "How often an upstream was asked how it is",
        read: |seen| by_upstream(seen, |own| own.probes),
    },
    Family {
        name: "vestibule_failover_requests_held",
        kind: Kind::Gauge,
        labels: &[],
        help: "Requests that wait for an upstream to take over, or for a connection to one",
        read: |seen| gateway(seen, |own| own.held),
    },
    Family {
        name: "vestibule_failover_holds_total",
        kind: Kind::Counter,
        labels: &[],
        help: "How often requests began to be held because the upstream that they went to was lost",
        read: |seen| gateway(seen, |own| own.holds),
    },
    Family {
        name: "vestibule_failover_wait_duration_seconds",
        kind: Kind::Histogram,
        labels: &[],
        help: "How long requests waited for an upstream to take over, or for a connection to one, \
               whatever became of them",
        read: |seen| gateway(seen, |own| own.waited.clone()),
    },
    Family {
        name: "vestibule_upstream_user_lookups_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "Questions to upstreams for users: answered, or not (failed), because it was lost or \
               does not let its users be read",
        read: |seen| {
            lookups(seen, |own| {
                [own.user_lookups_answered, own.user_lookups_failed]
            })
        },
    },
    Family {
        name: "vestibule_upstream_catalog_lookups_total",
        kind: Kind::Counter,
        labels: &["result"],
        help: "Questions for the catalog that came while no upstream served: answered by what one \
               had answered before, or not (failed), because nothing was kept for them",
        read: |seen| {
            lookups(seen, |own| {
                [own.catalog_lookups_answered, own.catalog_lookups_failed]
            })
        },
    },
];
