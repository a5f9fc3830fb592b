//! What an embedder says of the upstreams of a gateway.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::address::Upstream;
use super::credits::RequestBounds;
use super::user_source::UpstreamUsers;
use crate::endpoints::ListenAddress;
use crate::limits::{
    BULK_FOR_DEFAULT, CONNECT_TIMEOUT_DEFAULT, FAILOVER_HOLD_DEFAULT, PROBE_INTERVAL_DEFAULT,
    SILENT_AFTER_DEFAULT, UPSTREAM_REQUESTS_DEFAULT, UPSTREAM_REQUESTS_MAX, UPSTREAM_REQUESTS_MIN,
    UPSTREAMS_MAX,
};
use crate::settable::settable;

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

/// Where SELECTs of a connection are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadFrom {
    /// By the upstream that takes changes.
    Primary,
    /// By one that does not, where that has all that the connection has seen, and by the one that
    /// takes changes elsewhere.
    #[default]
    Replica,
}

impl ReadFrom {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Replica];

    /// The name that operators and clients give it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }

    /// The one of a name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.name() == name)
    }
}

/// What a client is told of whose request nobody knows what became, for the connection to its
/// upstream has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLost {
    /// Error 115 with the field `outcome` = `unknown`; the connection stays.
    #[default]
    Error,
    /// Nothing: its connection is closed, as the upstream's own would be.
    Close,
}

impl OnLost {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Error, Self::Close];

    /// The name that operators give it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Close => "close",
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
        /// The name of the upstream that requests go to where several say that they take changes,
        /// of no later election than another one, and nothing has gone to any of these before.
        pub primary: Option<String>,
        /// Requests that one upstream has on its way at most, of all session threads together:
        /// [`UPSTREAM_REQUESTS_MIN`] to [`UPSTREAM_REQUESTS_MAX`]. Each thread has its part, and
        /// [`UPSTREAM_REQUESTS_MIN`] at least.
        pub requests_max: usize,
        /// Of these, calls, EVAL and SQL: fewer than all, of each thread too. `None` for three
        /// quarters.
        pub calls_max: Option<usize>,
        /// The version that clients are greeted with: major, minor, patch. `None` tells the lowest
        /// of the upstreams, as far as they are known.
        pub server_version: Option<(u32, u32, u32)>,
        /// After how long an upstream that owes an answer, and says nothing, is given up for now.
        pub silent_after: Duration,
        /// For how long an upstream may say nothing, although it owes an answer, before its
        /// connections for requests are closed and what is on its way is given up. At least
        /// [`silent_after`](Self::silent_after); zero: never.
        pub silent_abandon: Duration,
        /// How often each is asked how it is.
        pub probe_interval: Duration,
        /// How long a connection may take to be made, greeted and logged in.
        pub connect_timeout: Duration,
        /// How long requests are held when the upstream that they went to is gone, or takes no
        /// changes any more, until another one does; then the solo policy decides. Zero: not at
        /// all, and nothing is sent twice.
        pub failover_hold: Duration,
        /// What clients are told of whose requests nobody knows what became.
        pub lost: OnLost,
        /// How old a change may be that a SELECT does not see, because a replica answers it. Zero:
        /// no replica answers any.
        pub staleness_max: Duration,
        /// For how long a client goes over a second connection of its user after a request or a
        /// reply of [`BULK_BYTES_MIN`](crate::limits::BULK_BYTES_MIN) and more, so that others do
        /// not wait behind the next one. Zero: there is no second one.
        pub bulk_for: Duration,
        /// Where SELECTs of connections are answered that have not said it themselves
        /// (`vestibule.set('read_from', …)`), if replicas may answer any.
        pub read_from: ReadFrom,
        /// Addresses and unix sockets to listen on for connections that are
        /// [`ReadFrom::Replica`], where all others are not.
        pub listen_reads: Vec<ListenAddress>,
        /// Addresses for the same by TLS, as the identity of
        /// [`GatewayBuilder::tls`](crate::GatewayBuilder::tls), without which there are none.
        pub tls_listen_reads: Vec<SocketAddr>,
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
            primary: None,
            requests_max: UPSTREAM_REQUESTS_DEFAULT,
            calls_max: None,
            server_version: None,
            silent_after: SILENT_AFTER_DEFAULT,
            silent_abandon: Duration::ZERO,
            probe_interval: PROBE_INTERVAL_DEFAULT,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            failover_hold: FAILOVER_HOLD_DEFAULT,
            lost: OnLost::default(),
            staleness_max: Duration::ZERO,
            bulk_for: BULK_FOR_DEFAULT,
            read_from: ReadFrom::default(),
            listen_reads: Vec::new(),
            tls_listen_reads: Vec::new(),
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
    /// No upstream is called as the one that requests are to go to.
    #[error("no upstream is called '{0}', as primary says")]
    NoSuchPrimary(String),
    /// An upstream would have more requests on its way than it may, or too few.
    #[error(
        "upstream_requests_max is {0}, and may be {min} to {max}",
        min = UPSTREAM_REQUESTS_MIN,
        max = UPSTREAM_REQUESTS_MAX
    )]
    Requests(usize),
    /// Calls would leave no room for what is none, or there could be none.
    #[error(
        "upstream_calls_max is {calls}, and may be 1 to {max}: fewer than upstream_requests_max",
        max = requests - 1
    )]
    Calls {
        /// How many calls there may be.
        calls: usize,
        /// How many requests.
        requests: usize,
    },
    /// An upstream would be given up before it counts as silent.
    #[error("silent_abandon may not be shorter than silent_after, but for 0")]
    EarlyAbandon,
    /// Replicas are to answer SELECTs, and something keeps them from it.
    #[error("staleness_max needs {0}")]
    NoReplicaReads(&'static str),
    /// Addresses for connections that replicas answer, by the name of their field, need something.
    #[error("{0} needs {1}")]
    NoReadListeners(&'static str, &'static str),
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
        self.check_bounds()?;
        if !self.silent_abandon.is_zero() && self.silent_abandon < self.silent_after {
            return Err(UpstreamsError::EarlyAbandon);
        }
        self.check_reads()
    }

    /// What addresses for connections that replicas answer lack, if anything.
    #[must_use]
    pub fn read_listeners_need(&self) -> Option<&'static str> {
        match self.read_from {
            _ if !self.reads_replicas() => Some("staleness_max"),
            ReadFrom::Replica => Some("read_from primary"),
            ReadFrom::Primary => None,
        }
    }

    /// Whether replicas can answer where they are to.
    fn check_reads(&self) -> Result<(), UpstreamsError> {
        let fields = [
            ("listen_reads", self.listen_reads.is_empty()),
            ("tls_listen_reads", self.tls_listen_reads.is_empty()),
        ];
        let given = fields.iter().find(|(_, is_empty)| !is_empty);
        if let Some(((field, _), needs)) = given.zip(self.read_listeners_need()) {
            return Err(UpstreamsError::NoReadListeners(field, needs));
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

    /// Whether each may have so much to do, and there is one of the name that is to be asked first.
    fn check_bounds(&self) -> Result<(), UpstreamsError> {
        let requests = self.requests_max;
        if !(UPSTREAM_REQUESTS_MIN..=UPSTREAM_REQUESTS_MAX).contains(&requests) {
            return Err(UpstreamsError::Requests(requests));
        }
        let calls = self.request_bounds().calls;
        if !(1..requests).contains(&calls) {
            return Err(UpstreamsError::Calls { calls, requests });
        }
        match &self.primary {
            Some(name) if self.preferred().is_none() => {
                Err(UpstreamsError::NoSuchPrimary(name.clone()))
            }
            _ => Ok(()),
        }
    }

    /// How much each may have to do at a time.
    pub(crate) fn request_bounds(&self) -> RequestBounds {
        let (requests, calls) = (self.requests_max, self.calls_max);
        RequestBounds {
            requests,
            calls: calls.unwrap_or(requests.saturating_mul(3) / 4),
        }
    }

    /// The number of the one that [`primary`](Self::primary) names.
    pub(crate) fn preferred(&self) -> Option<usize> {
        let name = self.primary.as_ref()?;
        self.upstreams.iter().position(|own| own.name == *name)
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
        assert_eq!(
            of(&["a=h:1", "b=h:2"])
                .primary(Some("b".to_owned()))
                .check(),
            Ok(())
        );
        let nobody = of(&["a=h:1"]).primary(Some("b".to_owned())).check();
        assert_eq!(nobody, Err(UpstreamsError::NoSuchPrimary("b".to_owned())));
        let never = of(&["a=h:1"]).silent_after(Duration::ZERO).check();
        assert_eq!(never, Err(UpstreamsError::Zero("silent_after")));
    }

    #[test]
    fn calls_are_fewer_than_all_requests_and_these_no_more_than_may_be() {
        let own = Upstreams::default().upstreams(vec!["a=h:1".parse().unwrap()]);
        let of = |requests, calls| {
            let own = own.clone().requests_max(requests).calls_max(calls);
            own.check().map(|()| own.request_bounds().calls)
        };
        let requests = |own| Err(UpstreamsError::Requests(own));
        let calls = |calls, requests| Err(UpstreamsError::Calls { calls, requests });
        assert_eq!(of(UPSTREAM_REQUESTS_DEFAULT, None), Ok(384));
        assert_eq!(of(2, None), Ok(1));
        assert_eq!(of(UPSTREAM_REQUESTS_MAX, Some(1)), Ok(1));
        assert_eq!(of(1, None), requests(1));
        let too_many = UPSTREAM_REQUESTS_MAX + 1;
        assert_eq!(of(too_many, None), requests(too_many));
        assert_eq!(of(100, Some(99)), Ok(99));
        assert_eq!(of(100, Some(100)), calls(100, 100));
        assert_eq!(of(100, Some(0)), calls(0, 100));
        let told = of(100, Some(100)).unwrap_err().to_string();
        assert_eq!(
            told,
            "upstream_calls_max is 100, and may be 1 to 99: fewer than upstream_requests_max"
        );
    }

    #[test]
    fn an_upstream_is_not_given_up_before_it_counts_as_silent() {
        let own = Upstreams::default().upstreams(vec!["a=h:1".parse().unwrap()]);
        let after = |time| own.clone().silent_abandon(time).check();
        assert_eq!(after(Duration::ZERO), Ok(()));
        assert_eq!(after(SILENT_AFTER_DEFAULT), Ok(()));
        let sooner = SILENT_AFTER_DEFAULT - Duration::from_millis(1);
        assert_eq!(after(sooner), Err(UpstreamsError::EarlyAbandon));
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
    fn addresses_for_reads_are_for_others_than_all() {
        let own = Upstreams::default().upstreams(vec!["a=h:1".parse().unwrap()]);
        let plain = own
            .clone()
            .listen_reads(vec!["127.0.0.1:0".parse().unwrap()]);
        let by_tls = own.tls_listen_reads(vec!["127.0.0.1:0".parse().unwrap()]);
        for (own, field) in [(plain, "listen_reads"), (by_tls, "tls_listen_reads")] {
            let needs = |needs| Err(UpstreamsError::NoReadListeners(field, needs));
            let none = own.clone().read_from(ReadFrom::Primary);
            assert_eq!(none.check(), needs("staleness_max"));
            let reading = own.staleness_max(Duration::from_secs(1));
            assert_eq!(reading.check(), needs("read_from primary"));
            assert_eq!(reading.read_from(ReadFrom::Primary).check(), Ok(()));
        }
    }

    #[test]
    fn a_password_is_not_printed() {
        let text = format!("{:?}", GatewayAccount::new("gateway", "hunter2"));
        assert!(text.contains("gateway") && !text.contains("hunter2"));
    }
}
