//! The upstreams of a gateway and its links to them: `vestibule.show('upstreams')`, `('links')` and
//! `('pins')`.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::counting::durations::DurationHistogram;
use crate::serialized::{in_seconds, in_seconds_or_nil};
use crate::shared::Shared;
use crate::upstream::{Condition, GatewayCell, LinkCounters, UpstreamSight};

/// An upstream, as `vestibule.show('upstreams')` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UpstreamInfo {
    /// What people call it.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// How it is.
    pub state: UpstreamState,
    /// How long it has been so. Serialized in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub age: Duration,
    /// Whether it takes changes of data: not known of one that does not serve.
    pub is_writable: Option<bool>,
    /// Whether requests go there.
    pub is_target: bool,
    /// The last election of its replica set that it has told of: those that elect their leaders
    /// count them, since 2.10.
    pub term: Option<u64>,
    /// What is wrong with it, if anything is.
    pub trouble: Option<String>,
    /// What keeps it from answering SELECTs, if it is read-only and replicas may answer.
    pub unread: Option<String>,
    /// How far it is behind the one that takes changes, if it is read-only: no finer than both are
    /// asked how they are. Serialized in seconds.
    #[serde(serialize_with = "in_seconds_or_nil")]
    pub lag: Option<Duration>,
    /// Which instance it has said to be last, by its UUID.
    pub instance: Option<String>,
    /// Another upstream that is the same instance, if one is: both are connected to.
    pub same_as: Option<String>,
    /// The version that it has greeted with last.
    pub version: Option<String>,
    /// Requests that were sent there and are not answered, of clients and of transactions that are
    /// rolled back.
    pub in_flight: u64,
    /// How many of them there may be.
    pub in_flight_max: u64,
    /// Of those in flight, calls, EVAL and SQL.
    pub calls: u64,
    /// Requests that wait for it in links: those are not ready, it has enough to do, or does not
    /// read.
    pub queued: u64,
    /// Bytes of their bodies.
    pub queued_bytes: u64,
    /// Links: connections for requests.
    pub links: u64,
    /// How many were begun since the start.
    pub links_opened: u64,
    /// Requests that were sent there since the start.
    pub sent: u64,
    /// Of those that were sent, SELECTs that it was sent as a replica.
    pub replica_reads: u64,
    /// How often a client came to go over a link for bulk, because of large requests or replies.
    pub bulk_moves: u64,
    /// Requests since the start that had been sent there, and were to be sent once more.
    pub retried: u64,
    /// Requests since the start of which nobody knows what became of them, for their link has
    /// ended.
    pub unknown: u64,
    /// How often requests came to go there that had gone to another one.
    pub failovers: u64,
    /// How often its scout was greeted: by more than one, it was lost meanwhile.
    pub connects: u64,
    /// How often it was asked how it is.
    pub probes: u64,
}

/// How an upstream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum UpstreamState {
    /// The upstream cannot be connected to, or its connection has ended.
    Absent,
    /// The upstream has not all its data.
    Loading,
    /// The upstream takes changes of data, or reads only.
    Serving,
    /// The upstream owes an answer, and says nothing.
    Silent,
    /// Operators drain it: what is open there may come to its end.
    Leaving,
    /// Operators have drained it.
    Drained,
}

impl UpstreamState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Absent,
        Self::Loading,
        Self::Serving,
        Self::Silent,
        Self::Leaving,
        Self::Drained,
    ];

    /// As operators see it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Loading => "loading",
            Self::Serving => "serving",
            Self::Silent => "silent",
            Self::Leaving => "leaving",
            Self::Drained => "drained",
        }
    }
}

impl From<Condition> for UpstreamState {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::Absent => Self::Absent,
            Condition::Loading => Self::Loading,
            Condition::Serving { .. } => Self::Serving,
            Condition::Silent => Self::Silent,
            Condition::Leaving => Self::Leaving,
            Condition::Drained => Self::Drained,
        }
    }
}

impl UpstreamInfo {
    /// All of a gateway, in the order in which they are configured; none without one.
    pub(crate) fn all(shared: &Shared, now: Instant) -> Vec<Self> {
        let gateway = shared.gateway.as_deref();
        gateway.map_or_else(Vec::new, |own| Self::of(own, now))
    }

    fn of(gateway: &GatewayCell, now: Instant) -> Vec<Self> {
        let target = gateway.target().map(|own| own.upstream);
        let seen = gateway.config.upstreams.iter();
        let seen = seen.zip(gateway.sight.upstreams()).enumerate();
        let row = seen.map(|(index, (upstream, sight))| {
            let report = sight.report();
            let version = report.version;
            let version = version.map(|(major, minor, patch)| format!("{major}.{minor}.{patch}"));
            let condition = report.condition;
            Self {
                name: upstream.name.clone(),
                address: upstream.address.to_string(),
                state: condition.into(),
                age: now.saturating_duration_since(report.since),
                is_writable: (condition.is_serving()).then(|| condition.is_writable()),
                is_target: target == Some(index),
                term: report.term,
                trouble: report.trouble,
                unread: sight.unread(),
                lag: sight.lag(),
                instance: report.instance.map(|own| own.to_string()),
                same_as: same_as(gateway, index).map(|own| gateway.upstream(own).name.clone()),
                version,
                in_flight: sight.sum(|own| &own.in_flight),
                in_flight_max: gateway.config.requests_max as u64,
                calls: sight.sum(|own| &own.calls),
                queued: sight.sum(|own| &own.queued),
                queued_bytes: sight.sum(|own| &own.queued_bytes),
                links: sight.sum(|own| &own.links),
                links_opened: sight.sum(|own| &own.opened),
                sent: sight.sum(|own| &own.sent),
                replica_reads: sight.sum(|own| &own.replica_reads),
                bulk_moves: sight.sum(|own| &own.bulk_moves),
                retried: sight.sum(|own| &own.retried),
                unknown: sight.sum(|own: &LinkCounters| &own.unknown),
                failovers: sight.failovers.load(Ordering::Relaxed),
                connects: report.connects,
                probes: report.probes,
            }
        });
        row.collect()
    }
}

/// The first other upstream that has said to be the same instance.
fn same_as(gateway: &GatewayCell, index: usize) -> Option<usize> {
    let said = |own: &UpstreamSight| {
        let report = own.report();
        let is_there = report.condition != Condition::Absent;
        report.instance.filter(|_| is_there)
    };
    let all = gateway.sight.upstreams();
    let own = said(&all[index])?;
    (0..all.len()).find(|other| *other != index && said(&all[*other]) == Some(own))
}

/// What is counted of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GatewayMetrics {
    /// The upstreams, in the order in which they are configured.
    pub upstreams: Vec<UpstreamInfo>,
    /// Requests that wait for an upstream to take over, or for a link.
    pub held: u64,
    /// How often requests began to be held since the start, because the upstream that they went to
    /// was lost.
    pub holds: u64,
    /// How long those waited that do not any more, whatever became of them.
    pub waited: DurationHistogram,
    /// Questions to upstreams for users since the start that were answered.
    pub user_lookups_answered: u64,
    /// Questions for users that were not: the upstream was lost, or does not let them be read.
    pub user_lookups_failed: u64,
    /// Questions for the catalog since the start that came while no upstream served, and were
    /// answered by what one had answered before.
    pub catalog_lookups_answered: u64,
    /// Such questions for which nothing was kept.
    pub catalog_lookups_failed: u64,
}

impl GatewayMetrics {
    /// Of a gateway.
    pub(super) fn of(shared: &Shared, now: Instant) -> Option<Self> {
        let gateway = shared.gateway.as_deref()?;
        let sight = &gateway.sight;
        let (user_lookups_answered, user_lookups_failed) = sight.user_lookups.get();
        let (catalog_lookups_answered, catalog_lookups_failed) = sight.catalog_lookups.get();
        Some(Self {
            upstreams: UpstreamInfo::of(gateway, now),
            held: sight.held(),
            holds: sight.holds.load(Ordering::Relaxed),
            waited: sight.waited(),
            user_lookups_answered,
            user_lookups_failed,
            catalog_lookups_answered,
            catalog_lookups_failed,
        })
    }
}

/// A connection for requests of one user, as `vestibule.show('links')` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LinkInfo {
    /// The name of its upstream.
    pub upstream: String,
    /// As whom it is logged in there.
    pub user: String,
    /// What its clients have told by ID that they can read, of what changes how replies are
    /// written.
    pub features: Vec<u64>,
    /// The session thread that it is of.
    pub thread: usize,
    /// Whether it is for clients with large requests or replies, so that the others of their user
    /// do not wait behind these.
    pub is_bulk: bool,
    /// How far it has come.
    pub state: LinkState,
    /// Requests that were sent and are not answered.
    pub in_flight: usize,
    /// Requests that are not sent: it is not ready, the upstream has enough to do, or does not
    /// read.
    pub queued: usize,
    /// Streams in which a transaction may be open.
    pub transactions: usize,
    /// Statements that are prepared there, for clients who hold them.
    pub statements: usize,
    /// Bytes that the kernel has not taken.
    pub unsent_bytes: usize,
    /// How long ago it was begun. Serialized in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub age: Duration,
}

/// A client that has connections upstream of its own, as `vestibule.show('pins')` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PinInfo {
    /// The number of the client's connection, as `vestibule.show('connections')` tells it.
    pub connection: u64,
    /// As whom it is logged in.
    pub user: String,
    /// Why that is so.
    pub reason: PinReason,
    /// The name of the upstream that it is connected to, if it has asked anything there.
    pub upstream: Option<String>,
    /// The session thread that it is of.
    pub thread: usize,
    /// For how long it has been so; with `--mode pinned`, for how long it has this connection.
    /// Serialized in seconds.
    #[serde(serialize_with = "in_seconds_or_nil")]
    pub age: Option<Duration>,
}

/// Why a client has connections upstream of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PinReason {
    /// All clients have: [`LinkMode::Pinned`](crate::LinkMode::Pinned).
    Mode,
    /// The client has set something in its session.
    Settings,
}

/// How far a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LinkState {
    /// The link is connected, greeted and logged in.
    Connecting,
    /// Requests go over it.
    Ready,
    /// Nothing new goes over it: it is closed when it has nothing to do.
    Ending,
}
