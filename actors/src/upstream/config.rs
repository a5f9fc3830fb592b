//! What an embedder says of the upstreams of a gateway.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::user_source::UpstreamUsers;
use crate::endpoints::{ListenAddress, is_unix_address};
use crate::limits::{
    BULK_FOR_DEFAULT, CONNECT_TIMEOUT_DEFAULT, FAILOVER_HOLD_DEFAULT, PROBE_INTERVAL_DEFAULT,
    SILENT_AFTER_DEFAULT, UPSTREAMS_MAX,
};
use crate::settable::settable;

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
    fn is_same(&self, other: &Self) -> bool {
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

/// The account of a gateway itself: by it the hashes of its clients' passwords are read.
#[derive(Clone, PartialEq, Eq)]
pub struct GatewayAccount {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl GatewayAccount {
    /// This user, with this password.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }
}

// A password is not for the log.
impl fmt::Debug for GatewayAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GatewayAccount").field(&self.user).finish()
    }
}

/// Whose a connection upstream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkMode {
    /// All clients of one user have one, of each session thread.
    #[default]
    Shared,
    /// Each client has one of its own, which is closed with it: what Tarantool keeps by session is
    /// that client's. [`LINKS_PER_UPSTREAM_MAX`](crate::limits::LINKS_PER_UPSTREAM_MAX) clients of
    /// each session thread have one at a time.
    Pinned,
}

impl LinkMode {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Shared, Self::Pinned];

    /// The name that operators give it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Pinned => "pinned",
        }
    }
}

settable! {
    /// The upstreams of a gateway, and how they are dealt with.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Upstreams {
        /// The instances: one to [`UPSTREAMS_MAX`] of different names. What is written goes to the
        /// one that takes it.
        pub upstreams: Vec<Upstream>,
        /// The gateway's own account. It needs the right to read `_user`; without it nobody but
        /// guest can log in.
        pub account: Option<GatewayAccount>,
        /// By what clients are known.
        pub users: UpstreamUsers,
        /// Whose connections upstream are.
        pub mode: LinkMode,
        /// The version that clients are greeted with: major, minor, patch. `None` tells the lowest
        /// of the upstreams, as far as they are known.
        pub server_version: Option<(u32, u32, u32)>,
        /// After how long an upstream that owes an answer, and says nothing, is given up for now.
        pub silent_after: Duration,
        /// How often each is asked how it is.
        pub probe_interval: Duration,
        /// How long a connection may take to be made, greeted and logged in.
        pub connect_timeout: Duration,
        /// How long requests are held when the upstream that they went to is gone, or takes no
        /// changes any more, until another one does; then the solo policy decides. Zero: not at
        /// all, and nothing is sent twice.
        pub failover_hold: Duration,
        /// How old a change may be that a SELECT does not see, because a replica answers it. Zero:
        /// no replica answers any.
        pub staleness_max: Duration,
        /// For how long a client goes over a second connection of its user after a request or a
        /// reply of [`BULK_BYTES_MIN`](crate::limits::BULK_BYTES_MIN) and more, so that others do
        /// not wait behind the next one. Zero: there is no second one.
        pub bulk_for: Duration,
        /// Procedures that may be called twice: a CALL of one of these is sent again when nobody
        /// knows whether it has happened.
        pub retry_calls: HashSet<String>,
    }
}

impl Default for Upstreams {
    fn default() -> Self {
        Self {
            upstreams: Vec::new(),
            account: None,
            users: UpstreamUsers::Ask,
            mode: LinkMode::Shared,
            server_version: None,
            silent_after: SILENT_AFTER_DEFAULT,
            probe_interval: PROBE_INTERVAL_DEFAULT,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            failover_hold: FAILOVER_HOLD_DEFAULT,
            staleness_max: Duration::ZERO,
            bulk_for: BULK_FOR_DEFAULT,
            retry_calls: HashSet::new(),
        }
    }
}

/// Why upstreams cannot be what they are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamsError {
    /// There are none, or more than [`UPSTREAMS_MAX`].
    #[error("there are {0} upstreams, and may be 1 to {max}", max = UPSTREAMS_MAX)]
    Count(usize),
    /// Two have one name.
    #[error("two upstreams are called '{0}'")]
    SameName(String),
    /// Two have one address: changes would go to one instance under two names, and when it is lost
    /// there would be no other one.
    #[error("the upstreams '{0}' and '{1}' have one address")]
    SameAddress(String, String),
    /// One account is to be that of all, and there is none.
    #[error("there is no account that could be the only one")]
    NoAccount,
    /// A time is zero that has to pass.
    #[error("{0} may not be 0")]
    Zero(&'static str),
    /// Replicas are to answer SELECTs, and something keeps them from it.
    #[error("staleness_max needs {0}")]
    NoReplicaReads(&'static str),
}

impl Upstreams {
    /// Whether a gateway can be started with them. [`start_gateway`](crate::start_gateway) asks by
    /// itself.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be.
    pub fn check(&self) -> Result<(), UpstreamsError> {
        let count = self.upstreams.len();
        if count == 0 || count > UPSTREAMS_MAX {
            return Err(UpstreamsError::Count(count));
        }
        let mut names: Vec<&str> = self.upstreams.iter().map(|own| &*own.name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(UpstreamsError::SameName(pair[0].to_owned()));
        }
        if let Some((first, second)) = self.same_address() {
            let [first, second] = [first, second].map(|own| own.name.clone());
            return Err(UpstreamsError::SameAddress(first, second));
        }
        if self.users == UpstreamUsers::One && self.account.is_none() {
            return Err(UpstreamsError::NoAccount);
        }
        let times = [
            ("silent_after", self.silent_after),
            ("probe_interval", self.probe_interval),
            ("connect_timeout", self.connect_timeout),
        ];
        if let Some((name, _)) = times.iter().find(|(_, time)| time.is_zero()) {
            return Err(UpstreamsError::Zero(name));
        }
        let is_missing = |(is_there, what): &(bool, &'static str)| (!is_there).then_some(*what);
        let needed = [
            // What a replica does not answer is sent again, to the one that takes changes.
            (!self.failover_hold.is_zero(), "failover_hold"),
            (self.mode == LinkMode::Shared, "mode shared"),
        ];
        let missing = needed.iter().find_map(is_missing);
        match missing.filter(|_| self.reads_replicas()) {
            Some(what) => Err(UpstreamsError::NoReplicaReads(what)),
            None => Ok(()),
        }
    }

    /// The first two that have one address, by what is said of them: no name is looked up.
    fn same_address(&self) -> Option<(&Upstream, &Upstream)> {
        let mut all = self.upstreams.iter().enumerate();
        all.find_map(|(at, second)| {
            let mut before = self.upstreams[..at].iter();
            let first = before.find(|own| own.address.is_same(&second.address))?;
            Some((first, second))
        })
    }

    /// Whether replicas may answer SELECTs.
    #[inline]
    pub(crate) fn reads_replicas(&self) -> bool {
        !self.staleness_max.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_that_cannot_be_are_refused() {
        let of = |texts: &[&str]| {
            let upstreams = texts.iter().map(|text| text.parse().unwrap()).collect();
            Upstreams::default().upstreams(upstreams)
        };
        assert_eq!(of(&["a=h:1", "b=h:2", "c=g:1"]).check(), Ok(()));
        assert_eq!(of(&[]).check(), Err(UpstreamsError::Count(0)));
        let same = of(&["a=h:1", "b=h:2", "a=h:3"]).check();
        assert_eq!(same, Err(UpstreamsError::SameName("a".to_owned())));
        for [first, second] in [
            ["a=h:1", "b=h:1"],
            ["a=db.example.com:1", "b=DB.Example.com:1"],
            ["a=[::1]:1", "b=[::1]:1"],
            ["a=unix:/run/a.sock", "b=unix:/run/a.sock"],
        ] {
            let told = of(&["c=h:3", first, "d=unix:/run/d.sock", second]).check();
            let expected = UpstreamsError::SameAddress("a".to_owned(), "b".to_owned());
            assert_eq!(told, Err(expected), "{first} {second}");
        }
        let one = of(&["a=h:1"]).users(UpstreamUsers::One);
        assert_eq!(one.check(), Err(UpstreamsError::NoAccount));
        let account = Some(GatewayAccount::new("gateway", "hunter2"));
        assert_eq!(one.account(account).check(), Ok(()));
        let never = of(&["a=h:1"]).silent_after(Duration::ZERO).check();
        assert_eq!(never, Err(UpstreamsError::Zero("silent_after")));
    }

    #[test]
    fn reads_of_replicas_need_what_they_fall_back_on_and_shared_connections() {
        let own = Upstreams::default().upstreams(vec!["a=h:1".parse().unwrap()]);
        let reading = own.clone().staleness_max(Duration::from_secs(1));
        let needs = |what| Err(UpstreamsError::NoReplicaReads(what));
        assert_eq!(own.failover_hold(Duration::ZERO).check(), Ok(()));
        assert_eq!(reading.check(), Ok(()));
        let never = reading.clone().failover_hold(Duration::ZERO);
        assert_eq!(never.check(), needs("failover_hold"));
        assert_eq!(reading.mode(LinkMode::Pinned).check(), needs("mode shared"));
    }

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

    #[test]
    fn a_password_is_not_printed() {
        let text = format!("{:?}", GatewayAccount::new("gateway", "hunter2"));
        assert!(text.contains("gateway") && !text.contains("hunter2"));
    }
}
