//! Files that are in use, and are read again while they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
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
pub(super) struct Followed<S: Source> {
    current: Mutex<InUse<S>>,
    /// How often files that had changed were refused, and taken.
    renewals: [AtomicU64; 2],
}

#[derive(Clone)]
struct InUse<S: Source> {
    files: S,
    loaded: Loaded<S::Made>,
    /// The files when they were looked at last.
    seen: Vec<Option<Stamp>>,
    /// How often it has become another one.
    replaced: u64,
}

fn stamps(files: &impl Source) -> Vec<Option<Stamp>> {
    files.paths().into_iter().map(Stamp::of).collect()
}

impl<S: Source> Followed<S> {
    /// Reads the files.
    pub(super) fn load(files: S) -> Result<Self, TlsError> {
        let seen = stamps(&files);
        let loaded = files.load()?;
        let own = Self {
            current: Mutex::new(InUse {
                files,
                loaded,
                seen,
                replaced: 0,
            }),
            renewals: Default::default(),
        };
        own.tell_ends();
        Ok(own)
    }

    /// Reads them again.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let (files, replaced) = {
            let current = self.current();
            (current.files.clone(), current.replaced)
        };
        let seen = stamps(&files);
        let loaded = files.load();
        let mut current = self.current();
        if current.replaced != replaced {
            // It goes by what was read later, and maybe elsewhere.
            return Ok(());
        }
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
        let renewed = self.reload();
        self.renewals[usize::from(renewed.is_ok())].fetch_add(1, Ordering::Relaxed);
        renewed.map(|()| true)
    }

    /// How often files that had changed were taken, and how often they did not fit.
    pub(super) fn renewals(&self) -> BTreeMap<&'static str, u64> {
        let [refused, taken] = &self.renewals;
        let of = |name, count: &AtomicU64| (name, count.load(Ordering::Relaxed));
        [of("refused", refused), of("taken", taken)].into()
    }

    /// Goes on as another one that was loaded, with its files. A reload of the files before that is
    /// under way changes nothing any more.
    pub(super) fn become_as(&self, other: &Self) {
        let next = other.current().clone();
        let mut current = self.current();
        let replaced = current.replaced + 1;
        *current = InUse { replaced, ..next };
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
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
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
