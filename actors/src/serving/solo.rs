//! Reasons for solo.

use std::time::Instant;

use crate::engine::Progress;

/// Who declared a reason for solo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declarer {
    Guard(u64),
    Operator,
    Watchdog,
}

/// One reason for solo.
pub(super) struct Solo {
    pub(super) by: Declarer,
    pub(super) reason: String,
    pub(super) progress: Option<Progress>,
    pub(super) since: Instant,
}
