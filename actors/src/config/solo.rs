//! What is done with requests in solo.

use std::time::Duration;

use crate::limits::{HOLD_BYTES_MAX_DEFAULT, HOLD_REQUESTS_MAX_DEFAULT, HOLD_TIME_MAX_DEFAULT};
use crate::settable::settable;

/// What is done in solo with a request that needs Tx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SoloPolicy {
    /// Answer busy, keep the connection.
    #[default]
    Reject,
    /// Answer busy, flush, close.
    Close,
    /// Keep the request until solo ends, within [`HoldLimits`]; then, or beyond them, answer busy.
    Hold,
}

impl SoloPolicy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reject, Self::Close, Self::Hold];

    /// The name that operators give it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Close => "close",
            Self::Hold => "hold",
        }
    }
}

settable! {
    /// How much [`SoloPolicy::Hold`] keeps, per connection.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct HoldLimits {
        /// Requests, at most.
        pub requests_max: usize,
        /// Bytes of requests, at most.
        pub bytes_max: usize,
        /// Each at most so long.
        pub time_max: Duration,
    }
}

impl Default for HoldLimits {
    fn default() -> Self {
        Self {
            requests_max: HOLD_REQUESTS_MAX_DEFAULT,
            bytes_max: HOLD_BYTES_MAX_DEFAULT,
            time_max: HOLD_TIME_MAX_DEFAULT,
        }
    }
}
