//! A disk that nobody waits for: what the engine's tests look at outlives no power failure anyway.
//! What has to be synced when is shown with storages that count or fail; this one fails appends to
//! the journal when it is told to.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::durability::journal;
use crate::durability::storage::{Disk, LogFile, Storage};

/// The file system without its fsyncs.
#[derive(Clone, Default)]
pub(crate) struct TestDisk {
    fails: Arc<Failures>,
}

/// Which appends to the journal fail.
#[derive(Default)]
struct Failures {
    next: AtomicBool,
    all: AtomicBool,
}

impl Failures {
    fn take(&self) -> bool {
        self.next.swap(false, Ordering::Relaxed) || self.all.load(Ordering::Relaxed)
    }
}

struct TestFile {
    file: Arc<dyn LogFile>,
    /// Nothing fails of files that are no journal.
    fails: Option<Arc<Failures>>,
}

impl TestDisk {
    /// Whether the next append to the journal fails, with "told to".
    #[cfg(test)]
    pub(crate) fn set_fails_next_append(&self, fails: bool) {
        self.fails.next.store(fails, Ordering::Relaxed);
    }

    /// Whether appends to the journal fail from now on.
    pub(crate) fn set_fails_appends(&self, fails: bool) {
        self.fails.all.store(fails, Ordering::Relaxed);
    }

    fn file(&self, path: &Path, file: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        let name = path.file_name().and_then(|name| name.to_str());
        let is_journal = name.is_some_and(journal::is_file_name);
        Arc::new(TestFile {
            file,
            fails: is_journal.then(|| self.fails.clone()),
        })
    }
}

impl Storage for TestDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.file(path, Disk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.file(path, Disk.open(path)?))
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

impl LogFile for TestFile {
    fn append(&self, head: &[u8], body: &[u8]) -> io::Result<usize> {
        if self.fails.as_ref().is_some_and(|own| own.take()) {
            return Err(io::Error::other("told to"));
        }
        self.file.append(head, body)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.file.cut(size)
    }
}
