//! What a request was admitted for: it outlives the serving state that admitted it.

use super::state::Serving;

/// Under which epoch a request was admitted, and whether it may change data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admitted(u64);

impl Admitted {
    /// Of the serving state that the request was admitted under.
    pub(crate) fn under(serving: Serving) -> Self {
        Self(serving.epoch << 1 | u64::from(!serving.is_writable()))
    }

    pub(crate) fn epoch(self) -> u64 {
        self.0 >> 1
    }

    pub(crate) fn is_read_only(self) -> bool {
        self.0 & 1 == 1
    }
}
