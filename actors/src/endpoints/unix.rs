//! The files of unix sockets.
//!
//! ```text
//!   somebody answers there? ─ yes ─▶ refused
//!     └ no, or nobody ─▶ made beside it, with its mode ─▶ listened on ─▶ renamed: there is no
//!                        moment with another mode, and none at which nobody answers
//! ```
//!
//! What is no socket is never touched. At the end the file is removed if it is still ours.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::limits::{LISTEN_BACKLOG, UNIX_PATH_MAX};

/// The file of a unix socket that is listened on, removed when this is dropped, if it is still the
/// same.
#[derive(Debug)]
#[must_use = "dropped, it is removed"]
pub struct UnixSocketFile {
    path: PathBuf,
    /// Device and number of the file.
    identity: (u64, u64),
}

/// Bytes of the name beside the path, at most; how often another one is tried.
const BESIDE_NAME_MAX: usize = 12;
const BESIDE_TRIES: usize = 32;

impl UnixSocketFile {
    /// Listens at a path, which the socket gets once it has its mode. A socket that is there is
    /// replaced if nobody answers at it.
    ///
    /// # Errors
    ///
    /// No socket can have such a path; somebody listens there, or there is something else; the
    /// system refuses it.
    pub fn bind(path: &Path, mode: u32) -> io::Result<(UnixListener, Self)> {
        check_path(path)?;
        check_free(path)?;
        let (socket, beside) = bind_beside(path, mode)?;
        let placed = fs::set_permissions(&beside, Permissions::from_mode(mode))
            .and_then(|()| socket.listen(LISTEN_BACKLOG))
            .and_then(|()| identity(&beside))
            .and_then(|identity| fs::rename(&beside, path).map(|()| identity));
        match placed {
            Ok(identity) => {
                let path = path.to_owned();
                Ok((socket.into(), Self { path, identity }))
            }
            Err(error) => {
                let _ = fs::remove_file(&beside);
                Err(error)
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixSocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|own| own == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Refuses a path that no socket can have.
pub(super) fn check_path(path: &Path) -> io::Result<()> {
    let refused = |why: String| Err(io::Error::new(ErrorKind::InvalidInput, why));
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() > UNIX_PATH_MAX {
        return refused(format!(
            "the path of a unix socket has at most {UNIX_PATH_MAX} bytes, not {}",
            bytes.len()
        ));
    }
    if !path.is_absolute() || path.file_name().is_none() || bytes.contains(&0) {
        return refused(format!(
            "the path of a unix socket begins with / and ends with a name, not as '{}'",
            path.display()
        ));
    }
    Ok(())
}

/// Refuses a path at which there is something that is not a socket, or a socket that answers.
fn check_free(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "there is something else than a socket, which is left alone",
        ));
    }
    match UnixStream::connect(path) {
        // Left by one that is gone.
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        _ => Err(io::Error::new(
            ErrorKind::AddrInUse,
            "somebody listens there",
        )),
    }
}

/// A socket with a name of its own in the directory of a path.
fn bind_beside(path: &Path, mode: u32) -> io::Result<(Socket, PathBuf)> {
    let mut last = io::Error::from(ErrorKind::AddrInUse);
    for _ in 0..BESIDE_TRIES {
        let beside = beside(path)?;
        let socket = with_mode(Socket::new(Domain::UNIX, Type::STREAM, None)?, mode)?;
        socket.set_nonblocking(true)?;
        match socket.bind(&SockAddr::unix(&beside)?) {
            Ok(()) => return Ok((socket, beside)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// On Linux the file of a socket has the socket's own mode, but for what the umask takes, and so
/// never more than it is to have. Elsewhere it gets its mode before anybody can connect.
fn with_mode(socket: Socket, mode: u32) -> io::Result<Socket> {
    let socket = File::from(OwnedFd::from(socket));
    if let Err(error) = socket.set_permissions(Permissions::from_mode(mode))
        && cfg!(target_os = "linux")
    {
        return Err(error);
    }
    Ok(OwnedFd::from(socket).into())
}

/// A name in the directory of a path that is no longer than a path may be.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let own = path.file_name().map_or(0, |name| name.len());
    let room = own + UNIX_PATH_MAX - path.as_os_str().len();
    let mut bytes = [0; BESIDE_NAME_MAX];
    let bytes = &mut bytes[..room.clamp(1, BESIDE_NAME_MAX)];
    getrandom::fill(bytes).map_err(|fault| io::Error::other(fault.to_string()))?;
    let letters = bytes.iter().map(|byte| char::from(b'a' + byte % 26));
    let name: String = letters.collect();
    Ok(match bytes.len() {
        1..4 => path.with_file_name(name),
        _ => path.with_file_name(format!(".{}", &name[1..])),
    })
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own, removed in the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let own = format!("vestibule-unix-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(own);
            fs::create_dir(&path).expect("it can be made");
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        let found = fs::metadata(path).expect("it is there");
        found.permissions().mode() & 0o777
    }

    #[test]
    fn a_socket_has_its_mode_from_the_beginning_and_is_gone_in_the_end() {
        let directory = Directory::new("mode");
        let path = directory.0.join("own.sock");
        let (socket, beside) = bind_beside(&path, 0o600).expect("it can be made");
        assert_eq!(mode(&beside), 0o600, "before anything else was done");
        fs::remove_file(&beside).expect("it is there");
        drop(socket);
        for wanted in [0o600, 0o660, 0o777] {
            let (_listener, own) = UnixSocketFile::bind(&path, wanted).expect("it is free");
            assert_eq!(mode(&path), wanted);
            assert!(UnixStream::connect(&path).is_ok());
            assert_eq!(fs::read_dir(&directory.0).expect("it is there").count(), 1);
            drop(own);
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_one_that_answers_is_not() {
        let directory = Directory::new("stale");
        let path = directory.0.join("own.sock");
        drop(UnixListener::bind(&path).expect("it is free"));
        assert!(path.exists(), "it is left by one that is gone");
        let (_listener, own) = UnixSocketFile::bind(&path, 0o660).expect("nobody answers");
        let second = UnixSocketFile::bind(&path, 0o660).expect_err("it is taken");
        assert_eq!(second.kind(), ErrorKind::AddrInUse);
        // Somebody else's by now: it is left.
        fs::remove_file(&path).expect("it is there");
        let _other = UnixListener::bind(&path).expect("it is free");
        drop(own);
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_socket_is_never_touched() {
        let directory = Directory::new("file");
        let path = directory.0.join("own.sock");
        fs::write(&path, "precious").expect("it can be written");
        let refused = UnixSocketFile::bind(&path, 0o660).expect_err("it is a file");
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("it is there"), b"precious");
    }

    #[test]
    fn a_path_may_be_as_long_as_the_system_takes_it_however_short_its_name() {
        let directory = Directory::new("long");
        for name in 1..5 {
            // As long as it may be, to the byte.
            let left = UNIX_PATH_MAX - directory.0.as_os_str().len() - 2 - name;
            let deep = directory.0.join("d".repeat(left));
            fs::create_dir(&deep).expect("it can be made");
            let path = deep.join("s".repeat(name));
            assert_eq!(path.as_os_str().len(), UNIX_PATH_MAX);
            let (_listener, _own) = UnixSocketFile::bind(&path, 0o660).expect("it fits");
            assert!(UnixStream::connect(&path).is_ok());
            let longer = path.with_file_name("s".repeat(name + 1));
            let refused = UnixSocketFile::bind(&longer, 0o660).expect_err("it does not");
            assert!(refused.to_string().contains("at most 107 bytes, not 108"));
        }
    }
}
