//! A file of the journal, as the others know it.

/// A file by its first record.
#[derive(Debug)]
pub(super) struct Segment {
    /// The number of its first record.
    pub(super) first: u64,
    /// In bytes.
    pub(super) size: u64,
}
