//! Where a connection comes from, and what that alone says of it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

use tokio::net::UnixStream;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerAddress {
    /// An address of the network.
    Network(SocketAddr),
    /// A unix socket: a process of this machine, whose user the kernel tells.
    Unix(UnixPeer),
    /// This machine, and nothing more is known: a pipe. As good as loopback.
    Local,
}

/// What the kernel tells of the process at the other end of a unix socket, as it was when that
/// connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct UnixPeer {
    /// The number of its user; `None` as long as nobody has asked, or if it is not told.
    pub user: Option<u32>,
    /// The number of the process.
    pub process: Option<i32>,
}

impl UnixPeer {
    /// Who is at the other end.
    pub(crate) fn of(stream: &UnixStream) -> Self {
        match stream.peer_cred() {
            Ok(told) => Self {
                user: Some(told.uid()),
                process: told.pid(),
            },
            Err(fault) => {
                log::debug!("a peer of a unix socket is not told: {fault}");
                Self::default()
            }
        }
    }

    /// Whether it is run by root or by the user who runs this process: neither is kept from
    /// anything here by more than manners.
    fn is_operator(self, own: Option<u32>) -> bool {
        self.user.is_some_and(|user| user == 0 || Some(user) == own)
    }
}

impl PeerAddress {
    /// The address as which it counts; that of loopback for what has none.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        match self {
            Self::Network(address) => address.ip().to_canonical(),
            Self::Unix(_) | Self::Local => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// Whether it may administer without having logged in, where no users were named for that: from
    /// a loopback address, or by a unix socket as root or as the user who runs this process.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        match self {
            Self::Network(_) | Self::Local => self.ip().is_loopback(),
            Self::Unix(peer) => peer.is_operator(own_user()),
        }
    }

    /// Asks who is at the other end of a unix socket, if nobody has.
    pub(crate) fn ask(&mut self, stream: &UnixStream) {
        if let Self::Unix(peer @ UnixPeer { user: None, .. }) = self {
            *peer = UnixPeer::of(stream);
        }
    }

    /// The same, or nobody has asked yet who it is.
    pub(crate) fn may_be_operator(&self) -> bool {
        let is_open = matches!(self, Self::Unix(peer) if peer.user.is_none());
        is_open || self.is_operator()
    }

    /// As Tarantool tells it, which names no process.
    pub(crate) fn address_text(&self) -> String {
        match self {
            Self::Network(address) => address.to_string(),
            Self::Unix(_) | Self::Local => UNIX.to_owned(),
        }
    }
}

/// How Tarantool calls the other end of a unix socket.
const UNIX: &str = "unix/:(socket)";

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => address.fmt(f),
            Self::Unix(UnixPeer { user, process }) => {
                f.write_str(UNIX)?;
                if let Some(user) = user {
                    write!(f, " user {user}")?;
                }
                if let Some(process) = process {
                    write!(f, " process {process}")?;
                }
                Ok(())
            }
            Self::Local => f.write_str(UNIX),
        }
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Network(address)
    }
}

/// The user who runs this process, as others are told it, if anybody tells; for a thread with a
/// reactor.
fn own_user() -> Option<u32> {
    static OWN: OnceLock<Option<u32>> = OnceLock::new();
    *OWN.get_or_init(|| {
        let (one, _other) = UnixStream::pair().ok()?;
        UnixPeer::of(&one).user
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_counts_by_its_address_however_it_is_written() {
        let told = |address: &str| {
            let peer = PeerAddress::from(address.parse::<SocketAddr>().unwrap());
            (peer.ip().to_string(), peer.to_string())
        };
        let expected = ("192.0.2.1".to_owned(), "192.0.2.1:5".to_owned());
        assert_eq!(told("192.0.2.1:5"), expected);
        assert_eq!(told("[::ffff:192.0.2.1]:5").0, "192.0.2.1");
        assert!(PeerAddress::Local.ip().is_loopback());
        assert_eq!(PeerAddress::Local.to_string(), "unix/:(socket)");
    }

    #[test]
    fn root_and_the_own_user_administer_by_a_unix_socket_and_nobody_else() {
        let of = |user| UnixPeer {
            user,
            process: Some(77),
        };
        for (user, own, expected) in [
            (Some(0), Some(1000), true),
            (Some(1000), Some(1000), true),
            (Some(1001), Some(1000), false),
            (Some(1000), None, false),
            (None, Some(1000), false),
            (None, None, false),
        ] {
            assert_eq!(of(user).is_operator(own), expected, "{user:?} of {own:?}");
        }
        let peer = PeerAddress::Unix(of(Some(1001)));
        assert!(peer.ip().is_loopback(), "a guest is served there");
        assert_eq!(peer.to_string(), "unix/:(socket) user 1001 process 77");
        assert_eq!(peer.address_text(), "unix/:(socket)");
    }

    #[test]
    fn the_kernel_tells_who_is_at_the_other_end() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (one, _other) = UnixStream::pair().unwrap();
            let peer = UnixPeer::of(&one);
            assert_eq!(peer.user, own_user());
            assert_eq!(peer.process, i32::try_from(std::process::id()).ok());
            assert!(PeerAddress::Unix(peer).is_operator());
        });
    }
}
