//! The control procedures that ask for transitions: drain, demote, promote, and the drain of an
//! upstream.

use std::time::Duration;

use vestibule_wire::Error;

use super::args::{Times, upstream_arguments};
use super::call::{Answer, ControlCall};
use crate::limits::TRANSITION_WAIT_DEFAULT;
use crate::serving::{Role, UpstreamUse};
use crate::transitions::{AskedTimes, TransitionRequest, TransitionTarget};

/// `vestibule.drain({timeout = seconds, lameduck = seconds})`: answered with the new state, as soon
/// as the stop has begun. What the client sends meanwhile waits for the answer. If a stop is under
/// way already, times that are given here shorten it, and longer ones change nothing: the answer
/// tells what is left.
pub(super) fn drain(call: &ControlCall<'_>, _body: &mut Vec<u8>) -> Result<Answer, Error> {
    let times = read_times(call, ["timeout", "lameduck"])?;
    let configured = call.shared.settings.load().lameduck;
    Ok(Answer::AtStart(TransitionRequest {
        lameduck: times.get("lameduck").unwrap_or(configured),
        asked: AskedTimes {
            lameduck: times.get("lameduck").is_some(),
            grace: times.get("timeout").is_some(),
        },
        wait: Duration::ZERO,
        ..request(call, TransitionTarget::Stopped, times.get("timeout"))
    }))
}

/// `vestibule.demote({grace = seconds, timeout = seconds})`: answered when the server is a replica,
/// or cannot become one. The timeout is for other transitions that are under way.
pub(super) fn demote(call: &ControlCall<'_>, _body: &mut Vec<u8>) -> Result<Answer, Error> {
    let times = read_times(call, ["grace", "timeout"])?;
    let target = TransitionTarget::Role(Role::Replica);
    Ok(Answer::AtEnd(TransitionRequest {
        wait: times.get("timeout").unwrap_or(TRANSITION_WAIT_DEFAULT),
        ..request(call, target, times.get("grace"))
    }))
}

/// `vestibule.promote({timeout = seconds})`: as [`demote`], the other way round.
pub(super) fn promote(call: &ControlCall<'_>, _body: &mut Vec<u8>) -> Result<Answer, Error> {
    let times = read_times(call, ["timeout"])?;
    let target = TransitionTarget::Role(Role::Primary);
    Ok(Answer::AtEnd(TransitionRequest {
        wait: times.get("timeout").unwrap_or(TRANSITION_WAIT_DEFAULT),
        ..request(call, target, None)
    }))
}

/// `vestibule.drain_upstream(name [, {timeout = seconds}])`: answered when nothing is under way at
/// that upstream of a gateway any more; what is after the time is cut off. Requests go there again
/// after [`restore_upstream`].
pub(super) fn drain_upstream(call: &ControlCall<'_>, _body: &mut Vec<u8>) -> Result<Answer, Error> {
    let (name, times) = upstream_arguments(call.args).ok_or_else(|| call.procedure.usage())?;
    let times = Times::read(&times, ["timeout"]).ok_or_else(|| call.procedure.usage())?;
    let target = TransitionTarget::Upstream(find(call, name)?, UpstreamUse::Drained);
    Ok(Answer::AtEnd(request(call, target, times.get("timeout"))))
}

/// `vestibule.restore_upstream(name [, {timeout = seconds}])`: requests may go there again. The
/// timeout is for other transitions that are under way, such as the drain of that upstream.
pub(super) fn restore_upstream(
    call: &ControlCall<'_>,
    _body: &mut Vec<u8>,
) -> Result<Answer, Error> {
    let (name, times) = upstream_arguments(call.args).ok_or_else(|| call.procedure.usage())?;
    let times = Times::read(&times, ["timeout"]).ok_or_else(|| call.procedure.usage())?;
    let target = TransitionTarget::Upstream(find(call, name)?, UpstreamUse::Used);
    Ok(Answer::AtEnd(TransitionRequest {
        wait: times.get("timeout").unwrap_or(TRANSITION_WAIT_DEFAULT),
        ..request(call, target, None)
    }))
}

/// The number of an upstream.
pub(super) fn find(call: &ControlCall<'_>, name: &str) -> Result<usize, Error> {
    let gateway = call.shared.gateway.as_ref();
    let found = gateway.and_then(|own| own.find_upstream(name));
    found.ok_or_else(|| Error::illegal_params(format!("There is no upstream '{name}'")))
}

fn read_times<const N: usize>(
    call: &ControlCall<'_>,
    names: [&'static str; N],
) -> Result<Times<N>, Error> {
    Times::read(call.args, names).ok_or_else(|| call.procedure.usage())
}

/// What is asked for, but for the times that not every target has.
fn request(
    call: &ControlCall<'_>,
    target: TransitionTarget,
    grace: Option<Duration>,
) -> TransitionRequest {
    TransitionRequest {
        target,
        lameduck: Duration::ZERO,
        grace: call.shared.grace_or_default(grace),
        asked: AskedTimes::default(),
        wait: TRANSITION_WAIT_DEFAULT,
        reason: call.procedure.name.to_owned(),
        requested_by: call.requested_by(),
    }
}
