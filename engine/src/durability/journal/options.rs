//! What is asked of a journal that is opened or read.

use std::path::PathBuf;

use super::error::{JournalError, ReceiverError};
use crate::options::JournalSync;

/// How to open a journal.
#[derive(Debug, Clone)]
pub(crate) struct JournalOptions {
    /// Where its files are; made if missing.
    pub(crate) dir: PathBuf,
    /// When records have to be on the disk.
    pub(crate) sync: JournalSync,
    /// Skip what cannot be read, loudly, rather than refuse to open. The damage stays in its file,
    /// and needs forced recovery each time, until a checkpoint makes the file obsolete.
    pub(crate) force_recovery: bool,
    /// The first record that is wanted: 1, or what a checkpoint does not hold. At least 1.
    pub(crate) from: u64,
    /// The last record that must be there, as far as a checkpoint has seen; 0 without one.
    pub(crate) required_until: u64,
}

/// Takes each record's sequence number and payload, in order. An error ends the recovery.
pub(crate) type Records<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), ReceiverError>;

/// Takes each damage. Returns it to end the recovery, or `Ok` to go on without what cannot be read.
pub(crate) type OnDamage<'a> = &'a mut dyn FnMut(JournalError) -> Result<(), JournalError>;
