//! How far something long is.

/// How much of something long is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Done so far, in units of its own: bytes, or rows.
    pub done: u64,
    /// In all, in the same units; 0 if not known.
    pub total: u64,
    /// Rows so far, where that says something; 0 if not known.
    pub rows: u64,
}

impl Progress {
    /// The share done, 0.0 to 1.0; `None` if the total is not known.
    #[must_use]
    pub fn share(self) -> Option<f64> {
        (self.total > 0).then(|| (self.done as f64 / self.total as f64).min(1.0))
    }
}
