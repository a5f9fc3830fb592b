//! Where the reply goes of a request that takes a while, and that Tx does not answer.

use super::session_id::SessionId;

/// The client that waits for such a reply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyTo {
    pub(crate) worker: usize,
    pub(crate) session: SessionId,
    pub(crate) sync: u64,
    pub(crate) wrap_results: bool,
    /// The call, if it waits for a transition.
    pub(crate) wait: WaitId,
}

/// Number of a call that waits for a transition, among those of its connection: never used again.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaitId(u64);

impl WaitId {
    /// Of what waits for no transition.
    pub(crate) const NONE: Self = Self(0);

    /// The number of the next one.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
