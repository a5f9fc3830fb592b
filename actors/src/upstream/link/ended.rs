//! What comes of what a link had, when it ends.

use crate::cells::claims::RequestId;
use crate::upstream::kept::KeptRequest;
use crate::upstream::streams::{ClientStream, LostStream};

/// What comes of a link that has ended.
#[derive(Debug, Default)]
pub(crate) struct EndedLink {
    /// Requests that were not sent, and those that may be sent twice.
    pub(crate) again: Vec<KeptRequest>,
    /// Requests that were sent, and may not be sent again.
    pub(crate) sent: Vec<RequestId>,
    /// Streams in which a transaction may have been open.
    pub(crate) lost: Vec<LostStream>,
    /// Streams whose COMMIT was sent and not answered.
    pub(crate) committing: Vec<ClientStream>,
}
