//! How long transitions let run what runs.

use std::time::Duration;

use crate::limits::{GRACE_AUTO_MAX_DEFAULT, GRACE_AUTO_MIN_DEFAULT, GRACE_DEFAULT};

/// How long a transition lets run what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Grace {
    /// So long; zero means not at all.
    Limited(Duration),
    /// As long as 99 of 100 recent transactions took, within these bounds. While nothing is known,
    /// [`GRACE_UNKNOWN`](crate::limits::GRACE_UNKNOWN) within them.
    Auto {
        /// No shorter than this.
        min: Duration,
        /// No longer than this.
        max: Duration,
    },
    /// Until it ends, however long that is.
    Forever,
}

impl Grace {
    /// [`Auto`](Self::Auto) within the bounds that it has unless others are given.
    pub const AUTO: Self = Self::Auto {
        min: GRACE_AUTO_MIN_DEFAULT,
        max: GRACE_AUTO_MAX_DEFAULT,
    };
}

impl Default for Grace {
    fn default() -> Self {
        Self::Limited(GRACE_DEFAULT)
    }
}
