//! Probes: what those ask who restart a server, wait for it, or send it clients.
//!
//! | state | `/livez` | `/startupz` | `/readyz` | `/readyz?writes` |
//! |---|---|---|---|---|
//! | loading, for the first time | 200 | 503 | 503 | 503 |
//! | loading again, after a death of Tx | 200 | 200 | 503 | 503 |
//! | assist | 200 | 200 | 200 | 200 |
//! | solo | 200 | 200 | 200 | 503 |
//! | a replica, or on the way to it | 200 | 200 | 200 | 503 |
//! | the journal has failed | 200 | 200 | 200 | 503 |
//! | a stop is announced, or under way, or done | 200 | 200 | 503 | 503 |
//!
//! Solo fails neither: who is sent elsewhere by a load balancer meets a refused connection there,
//! and here it would be told when to come back. What fails `/livez` is that a session thread or the
//! System's has stood still for ten seconds; with `?tx_stalled=TIME`, also that Tx has been in one
//! turn for that long.

use std::time::Duration;

use vestibule_actors::monitoring::Metrics;
use vestibule_actors::serving::{DrainTarget, Role, Serving, State};

use crate::door::{Answer, Door, Question};
use crate::limits::ALIVE_WITHIN;

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
    verdict(dead(&door.observed.metrics(), tx_limit), "alive")
}

fn dead(metrics: &Metrics, tx_limit: Option<Duration>) -> Option<String> {
    if metrics.state == State::Stopped {
        // Its threads have ended, as they were to.
        return None;
    }
    let beats = &metrics.heartbeats;
    let threads = beats.session_threads.iter().enumerate();
    let threads = threads.map(|(thread, age)| (format!("session thread {thread}"), *age));
    let mut all = threads.chain([("the System's thread".to_owned(), beats.system)]);
    if let Some((name, age)) = all.find(|(_, age)| *age > ALIVE_WITHIN) {
        return Some(format!(
            "{name} has stood still for {:.0} s",
            age.as_secs_f64()
        ));
    }
    let stalled = metrics.tx.turn_under_way.zip(tx_limit);
    let (turn, _) = stalled.filter(|(turn, limit)| turn >= limit)?;
    Some(format!(
        "Tx has been in one turn for {:.1} s",
        turn.as_secs_f64()
    ))
}

/// `/startupz`
pub(crate) fn started(door: &Door, _: &Question) -> Answer {
    let metrics = door.observed.metrics();
    let loading = || {
        let progress = metrics
            .progress
            .map(|own| format!(", {:.0} %", own * 100.0));
        let reason = door.observed.status().reason;
        format!("loading{}: {reason}", progress.unwrap_or_default())
    };
    verdict((!metrics.has_started).then(loading), "started")
}

/// `/readyz`
pub(crate) fn ready(door: &Door, question: &Question) -> Answer {
    let wants_writes = question.query().get("writes").is_some();
    let (serving, status) = (door.observed.serving(), door.observed.status());
    let degraded = takes_no_writes(serving, status.fault.is_some());
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
fn takes_no_writes(serving: Serving, has_fault: bool) -> Option<&'static str> {
    match (serving.state, serving.role, serving.drain_target) {
        (State::Solo, _, _) => Some("solo: the engine is busy"),
        (_, Role::Replica, _) => Some("a replica"),
        (_, _, Some(DrainTarget::Replica)) => Some("on the way to be a replica"),
        _ if has_fault => Some("the engine takes no changes because of a fault"),
        (State::Assist, _, _) => None,
        _ => Some("not serving"),
    }
}
