//! How long the states lasted.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::serialized::in_seconds;
use crate::serving::{SoloCounts, State};
use crate::shared::Shared;

/// How long a state has lasted in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StateTime {
    /// Which one.
    pub state: State,
    /// Since the start, until now if it is the present one. Serialized in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub lasted: Duration,
}

impl StateTime {
    /// Every state, and how often solo was declared.
    pub(super) fn all(shared: &Shared, now: Instant) -> (Vec<Self>, SoloCounts) {
        let (lasted, solos) = shared.serving.history(now);
        let states = State::ALL.into_iter().zip(lasted);
        let states = states.map(|(state, lasted)| Self { state, lasted });
        (states.collect(), solos)
    }
}
