//! What is asked for.

use std::time::Duration;

use crate::serving::{Role, State, StateOrRole, UpstreamUse};

/// Where a transition leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransitionTarget {
    Stopped,
    Role(Role),
    /// Of the upstream of this number.
    Upstream(usize, UpstreamUse),
}

/// What a transition is about, for those who take part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransitionScope {
    /// A stop: everything.
    Everything,
    /// A demotion: what may change data.
    Writers,
    /// What is under way at the upstream of this number.
    Upstream(usize),
}

impl TransitionScope {
    /// Whether all that is under way here has to end.
    pub(crate) fn is_stop(self) -> bool {
        self == Self::Everything
    }
}

impl TransitionTarget {
    /// What it leads to, as operators are told.
    pub(crate) const fn leads_to(self) -> StateOrRole {
        match self {
            Self::Stopped => StateOrRole::State(State::Stopped),
            Self::Role(role) => StateOrRole::Role(role),
            Self::Upstream(_, own) => StateOrRole::Upstream(own),
        }
    }

    /// What it is about.
    pub(crate) const fn scope(self) -> TransitionScope {
        match self {
            Self::Stopped => TransitionScope::Everything,
            Self::Role(_) => TransitionScope::Writers,
            Self::Upstream(upstream, _) => TransitionScope::Upstream(upstream),
        }
    }

    /// Whether both are about the same: of what is wanted of it, the latest wins.
    pub(crate) fn is_about_same(self, other: Self) -> bool {
        self.scope() == other.scope()
    }

    /// Whether nothing has to end for it.
    pub(super) const fn is_at_once(self) -> bool {
        matches!(
            self,
            Self::Role(Role::Primary) | Self::Upstream(_, UpstreamUse::Used)
        )
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
