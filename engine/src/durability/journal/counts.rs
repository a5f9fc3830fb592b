//! What monitoring is told of an open journal, without its lock: that is held while the disk is
//! waited for.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use vestibule_actors::monitoring::DurationCounts;

use crate::durability::storage::LogFile;

/// The counts of one open journal. The holder of its lock writes them; how long syncs took, the one
/// thread that syncs.
#[derive(Debug, Default)]
pub(crate) struct JournalCounts {
    written: AtomicU64,
    size: AtomicU64,
    pub(crate) syncs: DurationCounts,
}

impl JournalCounts {
    /// Bytes that were appended.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Bytes of all files.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// A record of this size was appended.
    pub(super) fn note_append(&self, bytes: u64) {
        self.written
            .store(self.written() + bytes, Ordering::Relaxed);
        self.set_size(self.size() + bytes);
    }

    pub(super) fn set_size(&self, bytes: u64) {
        self.size.store(bytes, Ordering::Relaxed);
    }

    /// Syncs a file, and counts how long that took.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub(super) fn sync(&self, file: &dyn LogFile) -> io::Result<()> {
        let began = Instant::now();
        let synced = file.sync();
        self.syncs.add(began.elapsed());
        synced
    }
}
