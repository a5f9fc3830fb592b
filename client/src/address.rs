//! Where a server listens, and as whom to log in: read from a URL.
//!
//! ```text
//!  tarantool://user:password@host:port     a user without a password logs in with an empty one
//!  user:password@host:port                 the same without a scheme
//!  host:port, host                         as guest; the port is 3301 unless told
//!  unix:/path, unix/:/path, /path          a unix socket; user:password@ may stand before the path
//! ```
//!
//! In users and passwords `%xx` stands for a byte.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::limits::URL_SIZE_MAX;

/// The port if none is told: Tarantool's own.
pub const PORT_DEFAULT: u16 = 3301;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// By TCP.
    Tcp {
        /// A name or an IP address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// By a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Who logs in. The password is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A server's address, and who logs in there: nobody, which is `guest`, if no user is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it listens.
    pub address: Address,
    /// Who logs in.
    pub credentials: Option<Credentials>,
}

/// Why a text is no URL of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseTargetError {
    /// Longer than [`URL_SIZE_MAX`].
    #[error("the URL is too long")]
    TooLong,
    /// Neither `tarantool` nor `unix`.
    #[error("the URL has an unknown scheme: tarantool:// and unix: are known")]
    Scheme,
    /// No host and no path.
    #[error("the URL names no host")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("the port of the URL is no number from 1 to 65535")]
    Port,
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the URL has a percent sign that stands for no character")]
    Escape,
    /// Something stands behind the port.
    #[error("the URL has something behind its port")]
    Rest,
}

impl FromStr for Target {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, ParseTargetError> {
        if text.len() > URL_SIZE_MAX {
            return Err(ParseTargetError::TooLong);
        }
        if let Some(path) = unix_path(text) {
            return unix(None, path);
        }
        let rest = match text.split_once("://") {
            Some(("tarantool", rest)) => rest,
            Some(_) => return Err(ParseTargetError::Scheme),
            None => text,
        };
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login.parse()?), rest),
            None => (None, rest),
        };
        if let Some(path) = unix_path(rest) {
            return unix(credentials, path);
        }
        Ok(Self {
            address: tcp(rest.strip_suffix('/').unwrap_or(rest))?,
            credentials,
        })
    }
}

fn unix_path(text: &str) -> Option<&str> {
    if text.starts_with('/') {
        return Some(text);
    }
    let rest = text
        .strip_prefix("unix/:")
        .or_else(|| text.strip_prefix("unix:"))?;
    Some(rest.strip_prefix("//").unwrap_or(rest))
}

/// A path, before which a login may stand: `unix:user:password@/path`.
fn unix(login: Option<Credentials>, path: &str) -> Result<Target, ParseTargetError> {
    let (credentials, path) = match path.split_once("@/") {
        Some((own, _)) if login.is_none() && !path.starts_with('/') => {
            (Some(own.parse()?), &path[own.len() + 1..])
        }
        _ => (login, path),
    };
    if path.is_empty() || path == "/" {
        return Err(ParseTargetError::Host);
    }
    Ok(Target {
        address: Address::Unix(path.into()),
        credentials,
    })
}

fn tcp(text: &str) -> Result<Address, ParseTargetError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']').ok_or(ParseTargetError::Host)?;
            (
                host,
                behind.strip_prefix(':').filter(|_| !behind.is_empty()),
            )
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(ParseTargetError::Host);
    }
    if host.contains(['/', '?', '#']) {
        return Err(ParseTargetError::Rest);
    }
    let port = match port {
        None => PORT_DEFAULT,
        Some(port) if port.contains(['/', '?', '#']) => return Err(ParseTargetError::Rest),
        Some(port) => port.parse().map_err(|_| ParseTargetError::Port)?,
    };
    if port == 0 {
        return Err(ParseTargetError::Port);
    }
    Ok(Address::Tcp {
        host: host.to_owned(),
        port,
    })
}

impl FromStr for Credentials {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, ParseTargetError> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        Ok(Self {
            user: unescaped(user)?,
            password: unescaped(password)?,
        })
    }
}

fn unescaped(text: &str) -> Result<String, ParseTargetError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.first_chunk::<2>().ok_or(ParseTargetError::Escape)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let pair = digit(digits[0]).zip(digit(digits[1]));
        let (high, low) = pair.ok_or(ParseTargetError::Escape)?;
        bytes.push((high << 4 | low) as u8);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| ParseTargetError::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(text: &str) -> (String, Option<(String, String)>) {
        let target: Target = text
            .parse()
            .unwrap_or_else(|fault| panic!("{text}: {fault}"));
        let login = target.credentials.map(|own| (own.user, own.password));
        (target.address.to_string(), login)
    }

    fn login(user: &str, password: &str) -> Option<(String, String)> {
        Some((user.to_owned(), password.to_owned()))
    }

    #[test]
    fn every_form_is_read() {
        for (text, address, expected) in [
            (
                "tarantool://app:secret@db1:3302",
                "db1:3302",
                login("app", "secret"),
            ),
            ("tarantool://db1", "db1:3301", None),
            ("db1:3302", "db1:3302", None),
            ("app:p@ss:w@db1:3302/", "db1:3302", login("app", "p@ss:w")),
            ("a%40b:%3a%25@h", "h:3301", login("a@b", ":%")),
            ("app@h:1", "h:1", login("app", "")),
            ("tarantool://[::1]:3302", "[::1]:3302", None),
            ("[::1]", "[::1]:3301", None),
            ("unix:/run/t.sock", "unix:/run/t.sock", None),
            ("unix/:/run/t.sock", "unix:/run/t.sock", None),
            ("unix:///run/t.sock", "unix:/run/t.sock", None),
            ("/run/t@x.sock", "unix:/run/t@x.sock", None),
            (
                "app:secret@unix/:/run/t.sock",
                "unix:/run/t.sock",
                login("app", "secret"),
            ),
            (
                "unix:app:secret@/run/t.sock",
                "unix:/run/t.sock",
                login("app", "secret"),
            ),
        ] {
            assert_eq!(target(text), (address.to_owned(), expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_told_apart() {
        let long = "h".repeat(URL_SIZE_MAX + 1);
        for (text, fault) in [
            ("http://h", ParseTargetError::Scheme),
            ("", ParseTargetError::Host),
            (":3301", ParseTargetError::Host),
            ("unix:", ParseTargetError::Host),
            ("[::1", ParseTargetError::Host),
            ("h:0", ParseTargetError::Port),
            ("h:65536", ParseTargetError::Port),
            ("h:", ParseTargetError::Port),
            ("::1", ParseTargetError::Host),
            ("u%4@h", ParseTargetError::Escape),
            ("u%ff@h", ParseTargetError::Escape),
            ("h:1/x", ParseTargetError::Rest),
            (&long, ParseTargetError::TooLong),
        ] {
            assert_eq!(text.parse::<Target>(), Err(fault), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let target: Target = "app:secret@h".parse().unwrap();
        assert!(!format!("{target:?}").contains("secret"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = text.parse::<Target>();
        }

        #[test]
        fn an_address_is_read_back(host in "[a-z0-9.-]{1,20}", port in 1..=u16::MAX) {
            let text = format!("{host}:{port}");
            let target: Target = text.parse().unwrap();
            prop_assert_eq!(target.address, Address::Tcp { host, port });
        }
    }
}
