//! The door's sockets.
//!
//! ```text
//!   unix: somebody answers there? ─ yes ─▶ refused
//!           └ no, or nobody ─▶ bound beside it ─▶ mode set ─▶ renamed: there is no moment with
//!                              another mode, and none without a socket
//! ```
//!
//! A path that is no socket is never touched. At the end the file is removed if it is still ours.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::request::Peer;
use crate::address::HttpAddress;
use crate::limits::SEND_BUFFER_SIZE;

/// A socket that listens.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, OwnSocket),
}

/// A connection that was accepted.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// Listens there, at once. For the thread whose reactor it is to be of.
    ///
    /// # Errors
    ///
    /// The system refuses it, or somebody else listens there.
    pub(super) fn bind(address: &HttpAddress, unix_mode: u32) -> io::Result<Self> {
        match address {
            HttpAddress::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                // Those that are accepted have it from it.
                SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_SIZE)?;
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(TcpListener::from_std(listener)?))
            }
            HttpAddress::Unix(path) => {
                let (listener, own) = OwnSocket::bind(path, unix_mode)?;
                SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_SIZE)?;
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(UnixListener::from_std(listener)?, own))
            }
        }
    }

    /// Where it listens, with the port that the system picked.
    ///
    /// # Errors
    ///
    /// The system does not tell.
    pub(super) fn address(&self) -> io::Result<HttpAddress> {
        match self {
            Self::Tcp(own) => Ok(HttpAddress::Tcp(own.local_addr()?)),
            Self::Unix(_, own) => Ok(HttpAddress::Unix(own.path.clone())),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(own) => {
                let (stream, peer) = own.accept().await?;
                Ok((Stream::Tcp(stream), Peer::Address(peer.ip())))
            }
            Self::Unix(own, _) => {
                let (stream, _) = own.accept().await?;
                Ok((Stream::Unix(stream), Peer::Unix))
            }
        }
    }
}

/// The file of a unix socket, removed when this is dropped, if it is still the same.
pub(super) struct OwnSocket {
    path: PathBuf,
    /// Device and number of the file.
    identity: (u64, u64),
}

impl OwnSocket {
    fn bind(path: &Path, mode: u32) -> io::Result<(std::os::unix::net::UnixListener, Self)> {
        check_free(path)?;
        let beside = beside(path)?;
        // What an attempt before may have left.
        remove_if_there(&beside)?;
        let listener = std::os::unix::net::UnixListener::bind(&beside)?;
        let placed = fs::set_permissions(&beside, fs::Permissions::from_mode(mode))
            .and_then(|()| identity(&beside))
            .and_then(|identity| fs::rename(&beside, path).map(|()| identity));
        match placed {
            Ok(identity) => {
                let path = path.to_owned();
                Ok((listener, Self { path, identity }))
            }
            Err(error) => {
                let _ = fs::remove_file(&beside);
                Err(error)
            }
        }
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|own| own == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Refuses a path at which there is something that is not a socket, or a socket that answers.
fn check_free(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        let text = format!(
            "there is something else than a socket at {}",
            path.display()
        );
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        // Left by one that is gone.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("somebody listens on {}", path.display()),
        )),
    }
}

/// Where a socket is made before it gets its name.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name();
    let name = name.ok_or_else(|| io::Error::other("the path of a socket ends with a name"))?;
    let mut own = name.to_owned();
    own.push(format!(".{}.new", std::process::id()));
    Ok(path.with_file_name(own))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    /// A directory of its own, removed in the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let own = format!("vestibule-http-{}-{name}", std::process::id());
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

    #[test]
    fn a_socket_has_its_mode_from_the_beginning_and_is_gone_in_the_end() {
        let directory = Directory::new("mode");
        let path = directory.0.join("own.sock");
        let (_listener, own) = OwnSocket::bind(&path, 0o600).expect("it is free");
        let mode = fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        assert_eq!(fs::read_dir(&directory.0).expect("it is there").count(), 1);
        drop(own);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_one_that_answers_is_not() {
        let directory = Directory::new("stale");
        let path = directory.0.join("own.sock");
        drop(UnixListener::bind(&path).expect("it is free"));
        assert!(path.exists(), "it is left by one that is gone");
        let (_listener, own) = OwnSocket::bind(&path, 0o660).expect("nobody answers");
        let second = OwnSocket::bind(&path, 0o660).err().expect("it is taken");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
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
        let refused = OwnSocket::bind(&path, 0o660).err().expect("it is a file");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("it is there"), b"precious");
    }
}
