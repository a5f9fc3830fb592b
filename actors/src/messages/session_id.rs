//! How a session is named.

/// Names a session within its worker. The pair is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SessionId {
    /// The session's number in its worker: another session has it later.
    pub(crate) index: u32,
    /// The number of its connection in the runtime, which is never used again.
    pub(crate) connection: u64,
}
