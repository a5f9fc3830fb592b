//! Where upstreams are: their names, and their addresses as text.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::endpoints::{ListenAddress, is_unix_address};

/// A Tarantool instance that a gateway stands before.
///
/// ```
/// use vestibule_actors::Upstream;
///
/// let upstream: Upstream = "a=10.0.0.1:3301".parse().unwrap();
/// assert_eq!(upstream, Upstream::new("a", "10.0.0.1", 3301));
/// assert_eq!(upstream.to_string(), "a=10.0.0.1:3301");
///
/// assert_eq!("b=[::1]:3301".parse(), Ok(Upstream::new("b", "::1", 3301)));
/// assert_eq!("c=unix:/run/c.sock".parse(), Ok(Upstream::at_socket("c", "/run/c.sock")));
/// assert!("10.0.0.1:3301".parse::<Upstream>().is_err(), "it has no name");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upstream {
    /// What people call it, in reasons and in the log.
    pub name: String,
    /// Where it listens.
    pub address: UpstreamAddress,
}

/// Where an upstream listens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamAddress {
    /// By TCP, and over TLS if the gateway has it so.
    Tcp {
        /// Name or address. A name is looked up whenever it is connected to.
        host: String,
        /// Port there.
        port: u16,
    },
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl Upstream {
    /// An upstream of this name at this place.
    #[must_use]
    pub fn new(name: &str, host: &str, port: u16) -> Self {
        let host = host.to_owned();
        Self {
            name: name.to_owned(),
            address: UpstreamAddress::Tcp { host, port },
        }
    }

    /// An upstream of this name at a unix socket.
    #[must_use]
    pub fn at_socket(name: &str, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            address: UpstreamAddress::Unix(path.into()),
        }
    }
}

impl UpstreamAddress {
    /// Whether both are written alike. Names of hosts are the same in capitals.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Tcp { host, port },
                Self::Tcp {
                    host: own,
                    port: at,
                },
            ) => port == at && host.eq_ignore_ascii_case(own),
            _ => self == other,
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.address)
    }
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A text that names no upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an upstream is given as NAME=HOST:PORT or NAME=unix:/PATH")]
pub struct UpstreamTextError;

impl FromStr for Upstream {
    type Err = UpstreamTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, address) = parts.ok_or(UpstreamTextError)?;
        let name = name.to_owned();
        let address = address.parse()?;
        Ok(Self { name, address })
    }
}

impl FromStr for UpstreamAddress {
    type Err = UpstreamTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_unix_address(text) {
            return match text.parse() {
                Ok(ListenAddress::Unix(path)) => Ok(Self::Unix(path)),
                _ => Err(UpstreamTextError),
            };
        }
        let read = || {
            let (host, port) = text.rsplit_once(':')?;
            let bracketed = host.strip_prefix('[').and_then(|own| own.strip_suffix(']'));
            let is_host = bracketed.is_some() || !host.contains(':');
            let host = bracketed.unwrap_or(host).to_owned();
            let port = port.parse().ok().filter(|port| *port != 0)?;
            (is_host && !host.is_empty()).then_some(Self::Tcp { host, port })
        };
        read().ok_or(UpstreamTextError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_names_no_upstream_is_refused() {
        for text in [
            "",
            "a",
            "a=",
            "a=h",
            "a=h:",
            "a=h:0",
            "a=:1",
            "=h:1",
            "a=::1:1",
            "a=h:x",
            "a=unix:",
            "a=unix:relative",
            "=unix:/run/a.sock",
        ] {
            assert_eq!(text.parse::<Upstream>(), Err(UpstreamTextError), "{text}");
        }
    }
}
