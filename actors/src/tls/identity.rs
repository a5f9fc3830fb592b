//! The identity in use.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_rustls::rustls::ServerConfig;

use super::files::{Loaded, Stamp, TlsError, TlsFiles};
use crate::limits::CERTIFICATE_WARNING;

/// Who a server is by TLS 1.2 and 1.3, and what its handshakes came to. Cheap to clone; all clones
/// are one. The files are read when it is made, and again by [`reload`](Self::reload); a runtime
/// looks at them once a minute.
#[derive(Clone)]
pub struct TlsIdentity(Arc<Kept>);

struct Kept {
    current: Mutex<InUse>,
    /// By what handshakes came to.
    counts: [AtomicU64; HandshakeResult::ALL.len()],
    /// Somebody for whom there is no slot is told so at present.
    is_rejecting: AtomicBool,
}

#[derive(Clone)]
struct InUse {
    files: TlsFiles,
    loaded: Loaded,
    /// The files when they were looked at last.
    seen: Vec<Option<Stamp>>,
}

/// What a handshake came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandshakeResult {
    Ok,
    Failed,
    /// The handshake took longer than it may.
    Timeout,
    /// The handshake stood still while others waited for its place.
    CrowdedOut,
    /// There was no slot, and somebody else was being told so.
    Rejected,
}

impl HandshakeResult {
    const ALL: [Self; 5] = [
        Self::Ok,
        Self::Failed,
        Self::Timeout,
        Self::CrowdedOut,
        Self::Rejected,
    ];

    /// As metrics and the log tell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::CrowdedOut => "crowded_out",
            Self::Rejected => "rejected",
        }
    }
}

/// Somebody without a slot is told so, until this is dropped.
pub(crate) struct Rejecting(Arc<Kept>);

impl Drop for Rejecting {
    fn drop(&mut self) {
        self.0.is_rejecting.store(false, Ordering::Release);
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity")
            .field("files", &self.current().files)
            .finish_non_exhaustive()
    }
}

impl TlsIdentity {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// One of them cannot be read, others may use the key, it is encrypted, or they do not fit each
    /// other.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let seen = files.stamp();
        let loaded = files.load()?;
        let own = Self(Arc::new(Kept {
            current: Mutex::new(InUse {
                files,
                loaded,
                seen,
            }),
            counts: Default::default(),
            is_rejecting: AtomicBool::new(false),
        }));
        own.tell_ends();
        Ok(own)
    }

    /// Reads the files again; who comes from now on sees what stands there. Tickets that were given
    /// out count no more.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); then nothing changes.
    pub fn reload(&self) -> Result<(), TlsError> {
        let files = self.current().files.clone();
        let seen = files.stamp();
        let loaded = files.load();
        let mut current = self.current();
        current.seen = seen;
        current.loaded = loaded?;
        drop(current);
        self.tell_ends();
        Ok(())
    }

    /// Reads the files again if they are others than when they were looked at last; whether they
    /// were. Reads files: for a thread that may wait for a disk.
    ///
    /// # Errors
    ///
    /// As [`reload`](Self::reload), once for each time that they have changed.
    pub fn reload_changed(&self) -> Result<bool, TlsError> {
        let (files, seen) = {
            let current = self.current();
            (current.files.clone(), current.seen.clone())
        };
        if seen == files.stamp() {
            return Ok(false);
        }
        self.reload().map(|()| true)
    }

    /// Goes on as another one that was loaded, with its files; what handshakes came to is still
    /// counted here.
    pub fn become_as(&self, other: &Self) {
        let next = other.current().clone();
        *self.current() = next;
    }

    /// When the first certificate of each file ends: that of the chain, and that of the clients'.
    #[must_use]
    pub fn ends(&self) -> Vec<(PathBuf, SystemTime)> {
        let current = self.current();
        let ends = current.loaded.ends.iter();
        ends.map(|(file, end)| (file.clone(), UNIX_EPOCH + Duration::from_secs(*end)))
            .collect()
    }

    /// How many handshakes there were since the identity was made, by what they came to.
    #[must_use]
    pub fn handshakes(&self) -> BTreeMap<&'static str, u64> {
        let of = |result: HandshakeResult| {
            let count = self.0.counts[result as usize].load(Ordering::Relaxed);
            (result.name(), count)
        };
        HandshakeResult::ALL.map(of).into()
    }

    /// What a handshake that begins now goes by.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.current().loaded.server.clone()
    }

    pub(crate) fn count(&self, result: HandshakeResult) {
        self.0.counts[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether somebody without a slot may be told so: one at a time, on the spare descriptor.
    pub(crate) fn begin_rejecting(&self) -> Option<Rejecting> {
        let was_there = self.0.is_rejecting.swap(true, Ordering::AcqRel);
        (!was_there).then(|| Rejecting(self.0.clone()))
    }

    fn current(&self) -> MutexGuard<'_, InUse> {
        // What is in it is replaced whole.
        self.0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
