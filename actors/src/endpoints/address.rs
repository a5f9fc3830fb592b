//! Where a server listens.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use super::unix::check_path;

/// Where a server listens: an address, or a socket in the file system.
///
/// ```
/// use vestibule_actors::ListenAddress;
///
/// let tcp: ListenAddress = "127.0.0.1:3301".parse()?;
/// assert_eq!(tcp.network().map(|own| own.port()), Some(3301));
/// let unix: ListenAddress = "unix:/run/own.sock".parse()?;
/// assert_eq!(unix, "unix/:/run/own.sock".parse()?);
/// assert_eq!(unix.network(), None);
/// # Ok::<(), vestibule_actors::ListenAddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListenAddress {
    /// An address and a port; port 0 for any that is free.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// A listener that a runtime was started with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BoundListener {
    /// Where it listens, with the port that the system picked.
    pub address: ListenAddress,
    /// Whether its connections have the administrators' slots, as those of
    /// [`Config::admin_listen`](crate::Config::admin_listen).
    pub is_for_administrators: bool,
    /// Whether its connections agree on TLS before they are greeted.
    pub is_over_tls: bool,
    /// Whether replicas answer SELECTs of its connections, as those of
    /// [`Upstreams::listen_reads`](crate::Upstreams::listen_reads).
    pub is_for_reads: bool,
}

/// A text is no address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{why} (examples: 127.0.0.1:3301, [::1]:3301, localhost:3301, unix:/run/vestibule/own.sock)"
)]
pub struct ListenAddressError {
    why: String,
}

impl ListenAddress {
    /// The address, if it is one of the network.
    #[must_use]
    pub fn network(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    /// Reads `HOST:PORT`, where a name is resolved, or `unix:/PATH`, also as `unix/:/PATH`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: String| ListenAddressError { why };
        if let Some(path) = unix_path(text) {
            let path = PathBuf::from(path);
            check_path(&path).map_err(|fault| wrong(fault.to_string()))?;
            return Ok(Self::Unix(path));
        }
        let mut resolved = text
            .to_socket_addrs()
            .map_err(|fault| wrong(fault.to_string()))?;
        let first = resolved.next();
        first
            .map(Self::Tcp)
            .ok_or_else(|| wrong("no address has this name".to_owned()))
    }
}

/// What stands behind the word for a unix socket, in both of its spellings.
fn unix_path(text: &str) -> Option<&str> {
    text.strip_prefix("unix/:").or(text.strip_prefix("unix:"))
}

/// Whether a text is meant to be the path of a unix socket.
pub(crate) fn is_unix_address(text: &str) -> bool {
    unix_path(text).is_some()
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl<I: Into<IpAddr>> From<(I, u16)> for ListenAddress {
    fn from(address: (I, u16)) -> Self {
        Self::Tcp(address.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_paths_are_read_in_all_their_spellings() {
        let tcp = ListenAddress::Tcp(([127, 0, 0, 1], 8081).into());
        assert_eq!("127.0.0.1:8081".parse(), Ok(tcp.clone()));
        assert_eq!(tcp.to_string(), "127.0.0.1:8081");
        let unix = ListenAddress::Unix("/run/own.sock".into());
        for text in ["unix:/run/own.sock", "unix/:/run/own.sock"] {
            assert_eq!(text.parse(), Ok(unix.clone()), "{text}");
        }
        assert_eq!(unix.to_string(), "unix:/run/own.sock");
        for wrong in [
            "",
            "8081",
            "unix:relative",
            "unix:",
            "unix:/",
            "unix:/a/..",
            "127.0.0.1",
            "127.0.0.1:http://",
        ] {
            let error = wrong.parse::<ListenAddress>().unwrap_err();
            assert!(error.to_string().contains("unix:/run"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused_with_its_length() {
        let path = format!("unix:/{}", "x".repeat(107));
        let error = path.parse::<ListenAddress>().unwrap_err().to_string();
        assert!(error.starts_with("the path of a unix socket has at most 107 bytes, not 108"));
        assert!(
            format!("unix:/{}", "x".repeat(106))
                .parse::<ListenAddress>()
                .is_ok()
        );
    }
}
