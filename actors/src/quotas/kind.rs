//! What connections hold of what all of them share.

use std::fmt;

use serde::Serialize;

/// What is held. Displayed and serialized by the name that its limits begin with in
/// [`RuntimeHandle::limits`](crate::RuntimeHandle::limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QuotaKind {
    /// Open transactions.
    Transactions,
    /// Reservations, locks among them.
    Reservations,
    /// Requests that wait for something else than Tx.
    Waits,
    /// Bytes of such requests that Tx keeps meanwhile.
    WaitBytes,
}

impl QuotaKind {
    /// The name: `transactions`, `reservations`, `waits` or `wait_bytes`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Transactions => "transactions",
            Self::Reservations => "reservations",
            Self::Waits => "waits",
            Self::WaitBytes => "wait_bytes",
        }
    }

    /// As clients are told of too many.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Transactions => "open transactions",
            Self::Reservations => "reservations",
            Self::Waits => "waiting requests",
            Self::WaitBytes => "bytes of waiting requests",
        }
    }
}

impl fmt::Display for QuotaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
