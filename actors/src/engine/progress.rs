//! How an engine's start goes: its progress, and why it fails.

use std::error::Error as StdError;

/// Why an engine cannot start; shown to the operator.
pub type Fault = Box<dyn StdError + Send + Sync>;

/// How much of something long is done, in units of the engine's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Done so far.
    pub done: u64,
    /// In all; 0 if not known.
    pub total: u64,
    /// Rows so far, where that says something: while the engine loads, the reason tells them and
    /// how many there are in a second. 0 if not known.
    pub rows: u64,
}

impl Progress {
    /// So much of so much, rows not told.
    #[must_use]
    pub const fn of(done: u64, total: u64) -> Self {
        Self {
            done,
            total,
            rows: 0,
        }
    }

    /// The share done, 0.0 to 1.0; `None` if the total is not known.
    #[must_use]
    pub fn share(self) -> Option<f64> {
        (self.total > 0).then(|| (self.done as f64 / self.total as f64).min(1.0))
    }
}
