//! What is told of the transition under way.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::serialized::in_seconds_or_nil;
use crate::states::{Role, StateOrRole};

/// What is told of transitions, published in one with the state that it explains.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TransitionView {
    /// The transition under way, and when what still runs is cut off.
    pub(crate) under_way: Option<(TransitionProgress, Option<Instant>)>,
    /// The role that is wanted in the end; `None` for a stop.
    pub(crate) wanted: Option<Role>,
}

/// What a transition is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransitionPhase {
    /// The lameduck: everything is still served.
    Announce,
    /// The session threads take the new state in.
    Quiesce,
    /// What runs may finish.
    Grace,
    /// The deadline came: clients are answered.
    Abort,
    /// Tx closes its engine.
    Settle,
}

/// A transition under way, as `vestibule.state()` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TransitionProgress {
    /// Number of the transition, as in the list of transitions.
    pub id: u64,
    /// Where it leads: `stopped`, `replica` or `primary`; `drained` or `used` of an upstream.
    pub to: StateOrRole,
    /// The name of the upstream that it is about, if it is about one.
    pub upstream: Option<String>,
    /// What it is at.
    pub phase: TransitionPhase,
    /// What caused it.
    pub reason: String,
    /// Who asked for it.
    pub requested_by: String,
    /// How long until what still runs is cut off; `None`: it was asked to wait for ever. Serialized
    /// in seconds.
    #[serde(serialize_with = "in_seconds_or_nil")]
    pub left: Option<Duration>,
}
