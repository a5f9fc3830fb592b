//! Where the reply goes of a request that takes a while, and that Tx does not answer.

use super::session_id::SessionId;

/// The client that waits for such a reply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyTo {
    pub(crate) worker: usize,
    pub(crate) session: SessionId,
    pub(crate) sync: u64,
    pub(crate) wrap_results: bool,
}
