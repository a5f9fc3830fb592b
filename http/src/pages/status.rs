//! The state and all numbers: for scrapers, for programs, and for people.

use std::time::SystemTime;

use serde::Serialize;
use vestibule_actors::monitoring::{
    DescriptorInfo, InstanceInfo, Metrics, ServerStatus, UpstreamInfo,
};

use super::events::Samples;
use crate::door::{Answer, Door, Question};
use crate::numbers::{Format, Seen, write};
use crate::process::ProcessNumbers;
use crate::reloads::Reloads;
use crate::summary::{Alert, Headline, Situation, alerts, time};

/// `/metrics`
pub(crate) fn metrics(door: &Door, question: &Question) -> Answer {
    let format = Format::of_accept(question.accept.as_deref().unwrap_or(""));
    let text = write(door.look(), format, door.settings().tarantool_metrics);
    Answer::new(200, format.content_type(), text)
}

/// What people are told first.
#[derive(Serialize)]
pub(super) struct Brief {
    name: String,
    version: String,
    headline: Headline,
    alerts: Vec<Alert>,
    status: ServerStatus,
    instance: InstanceInfo,
}

impl Brief {
    pub(super) fn of(door: &Door, seen: &Seen) -> Self {
        let (observed, now) = (&door.observed, SystemTime::now());
        let status = observed.status();
        let held = seen.metrics.requests.held;
        let situation = Situation::of(&status, observed.solo_policy(), held, now);
        Self {
            name: seen.alias.clone(),
            version: seen.version.clone(),
            headline: situation.headline(),
            alerts: alerts(&door.facts(seen, &status), now),
            status,
            instance: observed.instance(),
        }
    }
}

/// What `/status.json` tells.
#[derive(Serialize)]
struct Status {
    #[serde(flatten)]
    brief: Brief,
    metrics: Metrics,
    descriptors: Vec<DescriptorInfo>,
    process: ProcessNumbers,
    /// What the charts show, for those who ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Samples>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reloads: Option<Reloads>,
}

/// `/status.json`
pub(crate) fn json(door: &Door, question: &Question) -> Answer {
    let seen = door.look();
    let wants_history = question.query().get("history").is_some();
    Answer::json(&Status {
        brief: Brief::of(door, &seen),
        metrics: seen.metrics,
        descriptors: seen.descriptors,
        process: seen.process,
        history: wants_history.then(|| Samples::of(door)),
        reloads: seen.reloads,
    })
}

/// `/status.txt`
pub(crate) fn text(door: &Door, _: &Question) -> Answer {
    let seen = door.look_at_runtime();
    let brief = Brief::of(door, &seen);
    let mut text = String::new();
    for (name, value) in rows(&seen, &brief) {
        text.push_str(&format!("{name:<13} {value}\n"));
    }
    Answer::text(200, text)
}

/// What people are told, line by line.
fn rows(seen: &Seen, brief: &Brief) -> Vec<(&'static str, String)> {
    let (metrics, status) = (&seen.metrics, &brief.status);
    let requests = metrics.traffic.all_requests();
    let (in_all, per_second) = (requests.total, requests.per_second);
    let (in_flight, queued) = (status.in_flight, status.queued);
    let (held, rejected) = (metrics.requests.held, metrics.turned_away);
    let (busy, restarts) = (metrics.tx.busy.as_secs_f64(), metrics.tx.restarts);
    let stalled = match metrics.tx.is_stalled {
        true => ", STALLED",
        false => "",
    };
    let mut rows = vec![
        ("name", format!("{}, version {}", seen.alias, seen.version)),
        ("state", status.state.to_string()),
        ("", brief.headline.sentence.clone()),
    ];
    let alerts = brief.alerts.iter();
    rows.extend(alerts.map(|own| (own.level.capitals(), own.text.clone())));
    rows.extend([
        ("role", status.role.to_string()),
        ("up", time(metrics.uptime)),
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
    ]);
    if let Some(data) = metrics.data_memory {
        rows.push(("data", format!("{} bytes", data.used_bytes)));
    }
    let gateway = metrics.gateway.iter().flat_map(|own| &own.upstreams);
    rows.extend(gateway.map(|own| ("upstream", upstream(own))));
    rows
}

fn upstream(own: &UpstreamInfo) -> String {
    let changes = match own.is_writable {
        Some(true) => ", takes changes",
        Some(false) => ", read-only",
        None => "",
    };
    let target = if own.is_target {
        ", requests go there"
    } else {
        ""
    };
    let trouble = own.trouble.as_ref().map(|own| format!(": {own}"));
    let unread = own.unread.as_ref();
    let unread = unread.map(|own| format!("; answers no SELECTs as a replica: {own}"));
    let unread = unread.unwrap_or_default();
    let (name, state) = (&own.name, own.state.name());
    let (links, in_flight) = (own.links, own.in_flight);
    let trouble = trouble.unwrap_or_default();
    format!(
        "{name}: {state}{changes}{target}; {links} links, {in_flight} in flight{trouble}{unread}"
    )
}
