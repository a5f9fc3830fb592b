//! Files that are in use, and are read again while they are.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::pem::{Stamp, TlsError};
use crate::limits::CERTIFICATE_WARNING;

/// Files that something is made of.
pub(super) trait Source: Clone {
    /// What is made of them.
    type Made: Clone;

    /// The files.
    fn paths(&self) -> Vec<&Path>;

    /// Reads and checks all of them.
    fn load(&self) -> Result<Loaded<Self::Made>, TlsError>;
}

/// What is made of files.
#[derive(Clone)]
pub(super) struct Loaded<M> {
    pub(super) made: M,
    /// When the first certificate of each file ends, in seconds since 1970.
    pub(super) ends: Vec<(PathBuf, u64)>,
}

/// Files in use. What does not fit changes nothing.
pub(super) struct Followed<S: Source>(Mutex<InUse<S>>);

#[derive(Clone)]
struct InUse<S: Source> {
    files: S,
    loaded: Loaded<S::Made>,
    /// The files when they were looked at last.
    seen: Vec<Option<Stamp>>,
}

fn stamps(files: &impl Source) -> Vec<Option<Stamp>> {
    files.paths().into_iter().map(Stamp::of).collect()
}

impl<S: Source> Followed<S> {
    /// Reads the files.
    pub(super) fn load(files: S) -> Result<Self, TlsError> {
        let seen = stamps(&files);
        let loaded = files.load()?;
        let own = Self(Mutex::new(InUse {
            files,
            loaded,
            seen,
        }));
        own.tell_ends();
        Ok(own)
    }

    /// Reads them again.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let files = self.files();
        let seen = stamps(&files);
        let loaded = files.load();
        let mut current = self.current();
        current.seen = seen;
        current.loaded = loaded?;
        drop(current);
        self.tell_ends();
        Ok(())
    }

    /// Reads them again if they are others than when they were looked at last; whether they were.
    pub(super) fn reload_changed(&self) -> Result<bool, TlsError> {
        let current = self.current();
        let (files, seen) = (current.files.clone(), current.seen.clone());
        drop(current);
        if seen == stamps(&files) {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    /// Goes on as another one that was loaded, with its files.
    pub(super) fn become_as(&self, other: &Self) {
        let next = other.current().clone();
        *self.current() = next;
    }

    /// What is made of them, as of now.
    pub(super) fn made(&self) -> S::Made {
        self.current().loaded.made.clone()
    }

    pub(super) fn files(&self) -> S {
        self.current().files.clone()
    }

    /// When the first certificate of each file ends.
    pub(super) fn ends(&self) -> Vec<(PathBuf, SystemTime)> {
        let current = self.current();
        let ends = current.loaded.ends.iter();
        ends.map(|(file, end)| (file.clone(), UNIX_EPOCH + Duration::from_secs(*end)))
            .collect()
    }

    fn current(&self) -> MutexGuard<'_, InUse<S>> {
        // What is in it is replaced whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Warns of what has ended or soon will.
    fn tell_ends(&self) {
        let now = SystemTime::now();
        for (file, end) in self.ends() {
            let file = file.display();
            match end.duration_since(now) {
                Err(_) => log::warn!("{file}: a certificate there has ended"),
                Ok(left) if left < CERTIFICATE_WARNING => {
                    log::warn!(
                        "{file}: a certificate there ends in {} days",
                        left.as_secs() / 86_400
                    );
                }
                Ok(_) => {}
            }
        }
    }
}
