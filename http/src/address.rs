//! Where the door listens.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// Where the door listens: an address, or a socket in the file system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpAddress {
    /// An address and a port; port 0 for any that is free.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// A text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no address: HOST:PORT or unix:/PATH ({why})")]
pub struct AddressError {
    text: String,
    why: String,
}

impl FromStr for HttpAddress {
    type Err = AddressError;

    /// Reads `HOST:PORT`, where a name is resolved, or `unix:/PATH`, also as `unix/:/PATH`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: String| AddressError {
            text: text.to_owned(),
            why,
        };
        let path = text.strip_prefix("unix/:").or(text.strip_prefix("unix:"));
        if let Some(path) = path {
            let path = PathBuf::from(path);
            return match path.is_absolute() {
                true => Ok(Self::Unix(path)),
                false => Err(wrong("the path begins with /".to_owned())),
            };
        }
        let mut resolved = text
            .to_socket_addrs()
            .map_err(|error| wrong(error.to_string()))?;
        let first = resolved.next();
        first
            .map(Self::Tcp)
            .ok_or_else(|| wrong("the name has no address".to_owned()))
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for HttpAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_paths_are_read_in_all_their_spellings() {
        let tcp = HttpAddress::Tcp(([127, 0, 0, 1], 8081).into());
        assert_eq!("127.0.0.1:8081".parse(), Ok(tcp.clone()));
        assert_eq!(tcp.to_string(), "127.0.0.1:8081");
        let unix = HttpAddress::Unix("/run/own.sock".into());
        for text in ["unix:/run/own.sock", "unix/:/run/own.sock"] {
            assert_eq!(text.parse(), Ok(unix.clone()), "{text}");
        }
        assert_eq!(unix.to_string(), "unix:/run/own.sock");
        for wrong in [
            "",
            "8081",
            "unix:relative",
            "127.0.0.1",
            "127.0.0.1:http://",
        ] {
            let error = wrong.parse::<HttpAddress>().unwrap_err();
            assert!(
                error.to_string().contains("HOST:PORT or unix:/PATH"),
                "{error}"
            );
        }
    }
}
