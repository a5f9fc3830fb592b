//! Transactions that are lost: of how many a connection is told.

/// COMMITs of one connection that may have happened, and that it is told so of if it asks again.
pub(crate) const UNKNOWN_COMMITS_MAX: usize = 256;
/// Streams of one connection that are told of a transaction whose BEGIN was not done, until it is
/// ended there: as many as have a transaction open by default. Of more the oldest is forgotten.
pub(crate) const UNBEGUN_TRANSACTIONS_MAX: usize = 256;
