//! What is asked for.

use std::time::Duration;

use crate::serving::{Role, State, StateOrRole};

/// Where a transition leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransitionTarget {
    Stopped,
    Role(Role),
}

impl TransitionTarget {
    /// What it leads to, as operators are told.
    pub(crate) const fn leads_to(self) -> StateOrRole {
        match self {
            Self::Stopped => StateOrRole::State(State::Stopped),
            Self::Role(role) => StateOrRole::Role(role),
        }
    }
}

/// Which times the caller of a stop has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AskedTimes {
    pub(crate) lameduck: bool,
    pub(crate) grace: bool,
}

/// A transition that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TransitionRequest {
    pub(crate) target: TransitionTarget,
    /// How long everything is still served before a stop begins.
    pub(crate) lameduck: Duration,
    /// How long what runs may finish; `None` for ever.
    pub(crate) grace: Option<Duration>,
    /// Which of these times its caller has asked for, rather than taken as they are configured:
    /// those shorten a stop that is under way already.
    pub(crate) asked: AskedTimes,
    /// How long the caller waits for another transition that is under way.
    pub(crate) wait: Duration,
    pub(crate) reason: String,
    pub(crate) requested_by: String,
}
