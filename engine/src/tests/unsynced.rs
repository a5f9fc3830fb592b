//! A disk that nobody waits for: what the engine's tests look at outlives no power failure anyway. What
//! has to be synced when is shown with storages that count or fail.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::durability::storage::{Disk, LogFile, Storage};

/// The file system without its fsyncs.
pub(super) struct Unsynced;

struct UnsyncedFile(Arc<dyn LogFile>);

impl Storage for Unsynced {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(UnsyncedFile(Disk.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(UnsyncedFile(Disk.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Disk.remove(path)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl LogFile for UnsyncedFile {
    fn append(&self, head: &[u8], body: &[u8]) -> io::Result<usize> {
        self.0.append(head, body)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.0.cut(size)
    }
}
