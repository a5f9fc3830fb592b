//! The directories that this process has: an operating system's lock does not say whose it is.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::error::{JournalError, fault};

/// A directory, whatever path leads to it.
type Identity = (u64, u64);

/// One entry for each lock: engines of one process that only read may share a directory.
static HELD: Mutex<Vec<Identity>> = Mutex::new(Vec::new());

/// Says that this process has a directory, until it is dropped: after the lock, so that nobody is
/// refused in between without a reason.
#[derive(Debug)]
pub(super) struct HeldDirectory(Identity);

impl Drop for HeldDirectory {
    fn drop(&mut self) {
        let mut held = list();
        if let Some(at) = held.iter().position(|own| *own == self.0) {
            held.swap_remove(at);
        }
    }
}

/// Locks one directory: who tries meanwhile waits until it is known whose it is.
pub(super) struct Taking<'a> {
    held: MutexGuard<'static, Vec<Identity>>,
    directory: &'a Path,
    identity: Option<Identity>,
}

impl<'a> Taking<'a> {
    pub(super) fn begin(directory: &'a Path) -> Self {
        let metadata = std::fs::metadata(directory).ok();
        Self {
            held: list(),
            directory,
            identity: metadata.map(|own| (own.dev(), own.ino())),
        }
    }

    /// What came of a lock on a file, told with the directory that it is about.
    ///
    /// # Errors
    ///
    /// [`JournalError::Locked`], or the operating system refused.
    pub(super) fn told(
        &self,
        locked: Result<(), TryLockError>,
        path: &Path,
    ) -> Result<(), JournalError> {
        locked.map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::Locked {
                directory: self.directory.to_path_buf(),
                by_this_process: self.identity.is_some_and(|own| self.held.contains(&own)),
            },
            TryLockError::Error(error) => fault("lock", path, error),
        })
    }

    /// The directory is locked, by a file that is it or lies in it.
    pub(super) fn done(mut self, directory: &File) -> io::Result<HeldDirectory> {
        let metadata = directory.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        self.held.push(identity);
        Ok(HeldDirectory(identity))
    }
}

fn list() -> MutexGuard<'static, Vec<Identity>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}
