//! Probes: what those ask who restart a server, wait for it, or send it clients.
//!
//! | state | `/livez` | `/startupz` | `/readyz` | `/readyz?writes` |
//! |---|---|---|---|---|
//! | loading, for the first time | 200 | 503 | 503 | 503 |
//! | loading again, after a death of Tx | 200 | 200 | 503 | 503 |
//! | assist | 200 | 200 | 200 | 200 |
//! | solo | 200 | 200 | 200 | 503 |
//! | a replica, or on the way to it | 200 | 200 | 200 | 503 |
//! | the journal has failed, or no upstream takes changes | 200 | 200 | 200 | 503 |
//! | a stop is announced, or under way, or done | 200 | 200 | 503 | 503 |
//!
//! Solo fails neither: who is sent elsewhere by a load balancer meets a refused connection there,
//! and here it would be told when to come back. What fails `/livez` is that a session thread or the
//! System's has stood still for ten seconds; with `?tx_stalled=TIME`, also that Tx has been in one
//! turn for that long.

use std::time::Duration;

use vestibule_actors::serving::{DrainTarget, Role, Serving, State};

use crate::door::{Answer, Door, Question};
use crate::summary::stood_still;

/// 200 if there is nothing to say against it, else 503; a sentence in any case.
fn verdict(against: Option<String>, well: &str) -> Answer {
    match against {
        None => Answer::text(200, format!("{well}\n")),
        Some(why) => Answer::text(503, format!("{why}\n")),
    }
}

/// `/livez`
pub(crate) fn live(door: &Door, question: &Question) -> Answer {
    let tx_limit = match question.query().time("tx_stalled") {
        Ok(limit) => limit,
        Err(wrong) => return Answer::text(400, wrong.into_owned()),
    };
    let observed = &door.observed;
    let state = observed.serving().state;
    let dead = stood_still(state, &observed.heartbeats());
    verdict(dead.or_else(|| stalled(door, tx_limit?)), "alive")
}

/// How long Tx has been in one turn, if it has for that long.
fn stalled(door: &Door, limit: Duration) -> Option<String> {
    let turn = door.observed.turn_under_way();
    let turn = turn.filter(|turn| *turn >= limit)?.as_secs_f64();
    Some(format!("Tx has been in one turn for {turn:.1} s"))
}

/// `/startupz`
pub(crate) fn started(door: &Door, _: &Question) -> Answer {
    let loading = || {
        let status = door.observed.status();
        let progress = status.progress.map(|own| format!(", {:.0} %", own * 100.0));
        format!("loading{}: {}", progress.unwrap_or_default(), status.reason)
    };
    let has_started = door.observed.has_started();
    verdict((!has_started).then(loading), "started")
}

/// `/readyz`
pub(crate) fn ready(door: &Door, question: &Question) -> Answer {
    let wants_writes = question.query().get("writes").is_some();
    let (serving, status) = (door.observed.serving(), door.observed.status());
    let is_read_only = door.observed.instance().ro;
    let degraded = takes_no_writes(serving, status.fault.is_some(), is_read_only);
    let against = unready(serving).or(degraded.filter(|_| wants_writes));
    let well = degraded.map_or("ready".to_owned(), |why| format!("ready, degraded: {why}"));
    let against = against.map(|why| match status.reason.as_str() {
        "" => why.to_owned(),
        reason => format!("{why}: {reason}"),
    });
    verdict(against, &well)
}

/// Why no clients are to be sent, if none are.
fn unready(serving: Serving) -> Option<&'static str> {
    match (serving.state, serving.drain_target) {
        (State::Stopped, _) => Some("stopped"),
        (_, Some(DrainTarget::Stopped)) => Some("stopping"),
        (State::Loading, _) => Some("loading"),
        _ => None,
    }
}

/// Why it takes no changes, if it takes none.
fn takes_no_writes(serving: Serving, has_fault: bool, is_read_only: bool) -> Option<&'static str> {
    match (serving.state, serving.role, serving.drain_target) {
        (State::Solo, _, _) => Some("solo: the engine is busy"),
        (_, Role::Replica, _) => Some("a replica"),
        (_, _, Some(DrainTarget::Replica)) => Some("on the way to be a replica"),
        _ if has_fault => Some("the engine takes no changes because of a fault"),
        (State::Assist, _, _) if is_read_only => Some("no upstream takes changes"),
        (State::Assist, _, _) => None,
        _ => Some("not serving"),
    }
}
