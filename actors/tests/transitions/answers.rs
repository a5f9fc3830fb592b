//! What clients are told of transitions and of the state.

use serde::Deserialize;
use vestibule_actors::testing::{Frame, Peer};

use super::NO_ARGS;

/// What `vestibule.demote` and `vestibule.promote` answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    pub(crate) result: String,
    pub(crate) role: String,
    pub(crate) transition: Option<Record>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) result: String,
    pub(crate) took: f64,
    pub(crate) phases: Phases,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Phases {
    pub(crate) announce: f64,
    pub(crate) quiesce: f64,
    pub(crate) grace: f64,
    pub(crate) abort: f64,
    pub(crate) settle: f64,
}

pub(crate) fn told(frame: &Frame) -> Told {
    assert_eq!(frame.code, 0, "{:?}", frame.error_text());
    frame.data::<Vec<Told>>().remove(0)
}

#[derive(Debug, Deserialize)]
pub(crate) struct Shown {
    pub(crate) state: String,
    pub(crate) role: String,
    pub(crate) wanted: String,
    pub(crate) transition: Option<UnderWay>,
    pub(crate) grace_period: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct UnderWay {
    pub(crate) to: String,
    pub(crate) phase: String,
    pub(crate) requested_by: String,
    pub(crate) left: Option<f64>,
}

pub(crate) fn state(peer: &mut Peer) -> Shown {
    let frame = peer.call("vestibule.state", NO_ARGS);
    frame.data::<Vec<Shown>>().remove(0)
}
