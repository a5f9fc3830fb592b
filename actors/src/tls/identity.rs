//! The identity in use.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use tokio_rustls::rustls::ServerConfig;

use super::files::TlsFiles;
use super::followed::Followed;
use super::pem::TlsError;

/// Who a server is by TLS 1.2 and 1.3, and what its handshakes came to. Cheap to clone; all clones
/// are one. The files are read when it is made, and again by [`reload`](Self::reload); a runtime
/// looks at them once a minute.
#[derive(Clone)]
pub struct TlsIdentity(Arc<Kept>);

struct Kept {
    followed: Followed<TlsFiles>,
    /// By what handshakes came to.
    counts: [AtomicU64; HandshakeResult::ALL.len()],
    /// Somebody for whom there is no slot is told so at present.
    is_rejecting: AtomicBool,
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
            .field("files", &self.0.followed.files())
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
        Ok(Self(Arc::new(Kept {
            followed: Followed::load(files)?,
            counts: Default::default(),
            is_rejecting: AtomicBool::new(false),
        })))
    }

    /// Reads the files again; who comes from now on sees what stands there. Tickets that were given
    /// out count no more.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); then nothing changes.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.0.followed.reload()
    }

    /// Reads the files again if they are others than when they were looked at last; whether they
    /// were. Reads files: for a thread that may wait for a disk.
    ///
    /// # Errors
    ///
    /// As [`reload`](Self::reload), once for each time that they have changed.
    pub fn reload_changed(&self) -> Result<bool, TlsError> {
        self.0.followed.reload_changed()
    }

    /// How often files that had changed were taken (`taken`), and how often they did not fit
    /// (`refused`), by [`reload_changed`](Self::reload_changed).
    #[must_use]
    pub fn renewals(&self) -> BTreeMap<&'static str, u64> {
        self.0.followed.renewals()
    }

    /// Goes on as another one that was loaded, with its files; what handshakes came to is still
    /// counted here.
    pub fn become_as(&self, other: &Self) {
        self.0.followed.become_as(&other.0.followed);
    }

    /// When the first certificate of each file ends: that of the chain, and that of the clients'.
    #[must_use]
    pub fn ends(&self) -> Vec<(PathBuf, SystemTime)> {
        self.0.followed.ends()
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
        self.0.followed.made().of_clients
    }

    /// The same where clients need not show a certificate.
    pub(super) fn server_for_all(&self) -> Arc<ServerConfig> {
        self.0.followed.made().of_all
    }

    pub(crate) fn count(&self, result: HandshakeResult) {
        self.0.counts[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether somebody without a slot may be told so: one at a time, on the spare descriptor.
    pub(crate) fn begin_rejecting(&self) -> Option<Rejecting> {
        let was_there = self.0.is_rejecting.swap(true, Ordering::AcqRel);
        (!was_there).then(|| Rejecting(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::process::Command;
    use std::thread;

    use super::*;

    fn certificate(name: &str) -> Vec<u8> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/tests/certificates");
        fs::read(own.join(name)).expect("it comes with the tests")
    }

    /// A reload that has begun with the files before ends after the identity has become another.
    #[test]
    fn a_reload_that_was_overtaken_does_not_bring_the_files_before_back() {
        let directory = format!("vestibule-identity-{}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        fs::create_dir(&directory).expect("it can be made");
        let files = |name: &str| {
            let paths = ["pem", "key"].map(|own| directory.join(name).with_extension(own));
            fs::write(&paths[0], certificate("server.pem")).expect("it is ours");
            fs::write(&paths[1], certificate("server.key")).expect("it is ours");
            fs::set_permissions(&paths[1], Permissions::from_mode(0o600)).expect("it is ours");
            TlsFiles::new(&paths[0], &paths[1])
        };
        let identity = TlsIdentity::load(files("before")).expect("they fit");
        let next = TlsIdentity::load(files("after")).expect("they fit");
        // To read it takes until somebody writes.
        let pipe = directory.join("before.pem");
        fs::remove_file(&pipe).expect("it is there");
        let made = Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("coreutils has it").success());
        thread::scope(|scope| {
            let reload = scope.spawn(|| identity.reload());
            // Opened once the reload has it open.
            let mut pipe = File::options().write(true).open(&pipe).expect("it is ours");
            identity.become_as(&next);
            pipe.write_all(&certificate("server.pem"))
                .expect("it is read");
            drop(pipe);
            let ended = reload.join().expect("it does not panic");
            ended.expect("they fit");
        });
        assert_eq!(identity.ends()[0].0, directory.join("after.pem"));
        fs::remove_dir_all(directory).expect("it is ours");
    }
}
