//! Reasons for solo.

use std::time::Instant;

use serde::Serialize;

use crate::engine::Progress;

/// How often solo was declared since the start, by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct SoloCounts {
    /// By what the engine or a procedure of it was about to do.
    pub guard: u64,
    /// By an operator or the embedder.
    pub operator: u64,
    /// By the watchdog, because Tx stood still; in a gateway, because no upstream served.
    pub stall: u64,
}

/// Who declared a reason for solo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declarer {
    Guard(u64),
    Operator,
    Watchdog,
    /// In a gateway: there is nobody to forward to.
    Upstream,
}

/// One reason for solo.
pub(super) struct Solo {
    pub(super) by: Declarer,
    pub(super) reason: String,
    pub(super) progress: Option<Progress>,
    pub(super) since: Instant,
}
