//! What those who ask for a transition are told.

use serde::Serialize;

use super::record::TransitionRecord;

/// What became of a request for a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum TransitionResult {
    /// The transition is done; or the same was under way, and that is done.
    #[serde(rename = "done")]
    Done,
    /// The role was so already, and nothing was touched.
    #[serde(rename = "unchanged")]
    Unchanged,
    /// Something else that was asked for later, or a stop, came first.
    #[serde(rename = "superseded")]
    Superseded,
    /// Another transition was under way for as long as the caller would wait. So did too many
    /// callers.
    #[serde(rename = "timed out")]
    TimedOut,
}

/// The answer to a request for a transition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TransitionOutcome {
    /// What became of it.
    pub result: TransitionResult,
    /// How it went, if it was carried out.
    pub transition: Option<TransitionRecord>,
}
