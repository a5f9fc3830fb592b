//! What an embedder can set. Every field has a default that serves on loopback.
//!
//! | file | what |
//! |---|---|
//! | `who` | who is served, and as whom |

mod who;

use std::net::SocketAddr;
use std::time::Duration;

use vestibule_wire::Uuid;
use vestibule_wire::limits::{PACKET_SIZE_MAX, PACKET_SIZE_MAX_DEFAULT};

use crate::limits::{
    ADDRESS_SHARE_DEFAULT, ADMIN_AUTHENTICATION_TIMEOUT_DEFAULT, ADMINISTRATORS_DEFAULT,
    CONNECTIONS_MEMORY_MAX_DEFAULT, ENGINE_DESCRIPTORS_DEFAULT, GRACE_AUTO_MAX_DEFAULT,
    GRACE_AUTO_MIN_DEFAULT, GRACE_DEFAULT, HALF_CLOSED_TIMEOUT_DEFAULT, HALF_FRAME_TIMEOUT_DEFAULT,
    HOLD_BYTES_MAX_DEFAULT, HOLD_REQUESTS_MAX_DEFAULT, HOLD_TIME_MAX_DEFAULT,
    RESERVATIONS_MAX_DEFAULT, SESSION_THREADS_MAX, TRANSACTIONS_MAX_DEFAULT,
    TRANSACTIONS_PER_CONNECTION_MAX, TRANSACTIONS_PER_CONNECTION_MAX_DEFAULT,
    TX_STALL_AFTER_DEFAULT, UNREAD_TIMEOUT_DEFAULT, USER_AT_ADDRESS_SHARE_DEFAULT,
    USER_SHARE_DEFAULT, WAIT_TIMEOUT_DEFAULT, WAITS_MAX, WAITS_MAX_DEFAULT,
};
use crate::serving::Role;

pub use who::{Administrators, ExposedGuest};

/// Configuration of a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Addresses to listen on; port 0 lets the system pick one. None is valid: then connections
    /// come only through [`RuntimeHandle::adopt`](crate::RuntimeHandle::adopt).
    pub listen: Vec<SocketAddr>,
    /// Addresses for administrators: their connections have slots of their own
    /// ([`ConnectionLimits::administrators`]), which no client can take. What they may do there is
    /// no different.
    pub admin_listen: Vec<SocketAddr>,
    /// How many connections there may be.
    pub connection_limits: ConnectionLimits,
    /// Threads that own sockets, at most [`SESSION_THREADS_MAX`]; 0 takes one less than there are
    /// cores, at least one.
    pub session_threads: usize,
    /// The instance's UUID, as the greeting and `box.info` tell it; [`Uuid::NIL`] has one made at
    /// random, another one at each start.
    pub instance_uuid: Uuid,
    /// Whether data may be changed at the start.
    pub role: Role,
    /// What happens in solo to connections that are there already.
    pub solo_policy: SoloPolicy,
    /// What happens in solo to requests of connections that came during it. `Close` greets them,
    /// says why and closes.
    pub solo_policy_new: SoloPolicy,
    /// Bounds of [`SoloPolicy::Hold`].
    pub hold: HoldLimits,
    /// Who may use the control procedures.
    pub administrators: Administrators,
    /// Whether a guest who may do everything is served where other machines are.
    pub exposed_guest: ExposedGuest,
    /// Largest request, in bytes; at most
    /// [`PACKET_SIZE_MAX`].
    pub packet_size_max: u64,
    /// Tx counts as stalled, and the state becomes `Solo`, when requests wait for it and it has
    /// made no progress for so long; 0 never. It need not be exact: the watchdog looks a few times
    /// per period.
    pub tx_stall_after: Duration,
    /// How long connections may take.
    pub time_limits: TimeLimits,
    /// After how long a request that needs Tx is answered with 78 if it has no reply by then, 0
    /// never. A connection can set its own: `vestibule.set('request_timeout', seconds)`.
    pub request_timeout: Duration,
    /// After how long a request is answered with 78 that waits for something else than Tx: a lock,
    /// the one before it in its stream, an asynchronous procedure, a credit; 0 never.
    pub wait_timeout: Duration,
    /// How much connections may hold of what all of them share.
    pub quotas: QuotaLimits,
    /// After how long a transaction is aborted, with a request of it running or not, 0 never. BEGIN
    /// can ask for less. Until it ends, its statements get 231.
    pub transaction_timeout: Duration,
    /// How long a stop or a demotion lets run what runs, unless it is told otherwise.
    pub shutdown_grace_period: Grace,
    /// How long a stop is announced, with everything still served, before it begins.
    pub lameduck: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            admin_listen: Vec::new(),
            connection_limits: ConnectionLimits::default(),
            session_threads: 0,
            instance_uuid: Uuid::NIL,
            role: Role::Primary,
            solo_policy: SoloPolicy::default(),
            solo_policy_new: SoloPolicy::default(),
            hold: HoldLimits::default(),
            administrators: Administrators::default(),
            exposed_guest: ExposedGuest::default(),
            packet_size_max: PACKET_SIZE_MAX_DEFAULT,
            tx_stall_after: TX_STALL_AFTER_DEFAULT,
            time_limits: TimeLimits::default(),
            request_timeout: Duration::ZERO,
            wait_timeout: WAIT_TIMEOUT_DEFAULT,
            quotas: QuotaLimits::default(),
            transaction_timeout: Duration::ZERO,
            shutdown_grace_period: Grace::default(),
            lameduck: Duration::ZERO,
        }
    }
}

/// A field of a [`Config`] has a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number is outside of its bounds.
    #[error("{field} is {value}, and may be {min} to {max}")]
    OutOfBounds {
        /// Name of the field.
        field: &'static str,
        /// What it was set to.
        value: u64,
        /// The least that it may be.
        min: u64,
        /// The most that it may be.
        max: u64,
    },
    /// The shortest automatic grace is longer than the longest.
    #[error("shutdown_grace_period: its shortest, {min:?}, is longer than its longest, {max:?}")]
    GraceBounds {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
}

impl Config {
    /// Whether a runtime can be started with it. [`start`](crate::start) asks by itself.
    ///
    /// # Errors
    ///
    /// The first field that cannot be what it is.
    pub fn check(&self) -> Result<(), ConfigError> {
        in_bounds("packet_size_max", self.packet_size_max, 1, PACKET_SIZE_MAX)?;
        let threads = self.session_threads as u64;
        in_bounds("session_threads", threads, 0, SESSION_THREADS_MAX as u64)?;
        self.quotas.check()?;
        match self.shutdown_grace_period {
            Grace::Auto { min, max } if min > max => Err(ConfigError::GraceBounds { min, max }),
            _ => Ok(()),
        }
    }

    pub(crate) fn may_hold(&self) -> bool {
        [self.solo_policy, self.solo_policy_new].contains(&SoloPolicy::Hold)
    }

    /// The configured bounds as `vestibule.show('limits')` lists them, by name. Times are in
    /// milliseconds, 0 for never. `grace` is what the grace period of a stop is now; `None` for
    /// ever.
    pub(crate) fn shown_limits(&self, grace: Option<Duration>) -> [(&'static str, u64); 18] {
        let ms = |time: Duration| time.as_millis() as u64;
        let (times, hold) = (&self.time_limits, &self.hold);
        [
            ("session_threads", self.session_thread_count() as u64),
            ("packet_size_max_bytes", self.packet_size_max),
            ("shutdown_grace_period_ms", grace.map_or(u64::MAX, ms)),
            ("lameduck_ms", ms(self.lameduck)),
            ("tx_stall_after_ms", ms(self.tx_stall_after)),
            ("half_frame_timeout_ms", ms(times.half_frame)),
            ("authentication_timeout_ms", ms(times.authentication)),
            (
                "admin_authentication_timeout_ms",
                ms(times.admin_authentication),
            ),
            ("unread_timeout_ms", ms(times.unread)),
            ("idle_timeout_ms", ms(times.idle)),
            ("half_closed_timeout_ms", ms(times.half_closed)),
            ("request_timeout_ms", ms(self.request_timeout)),
            ("wait_timeout_ms", ms(self.wait_timeout)),
            ("transaction_timeout_ms", ms(self.transaction_timeout)),
            (
                "transactions_per_connection_max",
                self.quotas.transactions_per_connection_max as u64,
            ),
            ("hold_requests_max", hold.requests_max as u64),
            ("hold_bytes_max", hold.bytes_max as u64),
            ("hold_time_max_ms", ms(hold.time_max)),
        ]
    }

    /// The number of session threads that [`session_threads`](Self::session_threads) stands for.
    #[must_use]
    pub fn session_thread_count(&self) -> usize {
        match self.session_threads {
            0 => std::thread::available_parallelism()
                .map_or(1, |cores| cores.get() - 1)
                .max(1),
            count => count,
        }
    }
}

fn in_bounds(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::OutOfBounds {
        field,
        value,
        min,
        max,
    })
}

/// How long a transition lets run what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// So long; zero means not at all.
    Limited(Duration),
    /// As long as 99 of 100 recent transactions took, within these bounds. While nothing is known,
    /// [`GRACE_UNKNOWN`](crate::limits::GRACE_UNKNOWN) within them.
    Auto {
        /// No shorter than this.
        min: Duration,
        /// No longer than this.
        max: Duration,
    },
    /// Until it ends, however long that is.
    Forever,
}

impl Grace {
    /// [`Auto`](Self::Auto) within the bounds that it has unless others are given.
    pub const AUTO: Self = Self::Auto {
        min: GRACE_AUTO_MIN_DEFAULT,
        max: GRACE_AUTO_MAX_DEFAULT,
    };
}

impl Default for Grace {
    fn default() -> Self {
        Self::Limited(GRACE_DEFAULT)
    }
}

/// How many connections there may be, and what of the process's descriptors is kept from them.
///
/// Without a slot a connection is greeted, told error 116 and closed. When the clients' slots are
/// taken, a connection that may be an administrator's gets one of
/// [`administrators`](Self::administrators) for two seconds, and keeps it if it calls a control
/// procedure meanwhile. With [`Config::admin_listen`] those slots are for the connections that come
/// there, and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Descriptors that the process may have (its soft `RLIMIT_NOFILE`); 0 if that is not known:
    /// then connections are bounded by their number only.
    pub descriptors: usize,
    /// Descriptors kept for the engine.
    pub engine_descriptors: usize,
    /// Connections of administrators.
    pub administrators: usize,
    /// Connections of clients; 0 for as many as there are descriptors for, which is the most there
    /// can be: if that is less than this, a start warns.
    pub connections_max: usize,
    /// Connections of clients from one address; of IPv6, a network of 64 bits is one. 0 leaves an
    /// eighth of those of all clients to other addresses, and does not bound what comes from this
    /// machine, loopback and unix sockets: proxies are there. Anything else bounds that too. One
    /// beyond it that may be an administrator's takes one of the administrators' slots.
    pub per_address_max: usize,
    /// What the buffers of all connections and the replies on their way to them may take together,
    /// in bytes. Beyond half of it connections that hold more than a share are not read, beyond
    /// three quarters none of their replies are made, and beyond all of it nobody's but small ones;
    /// one request and one reply of each thread go beyond, so that there is an end to it. A
    /// connection that hardly takes its replies while the bound is exceeded is closed after a
    /// second.
    pub memory_max: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            descriptors: 0,
            engine_descriptors: ENGINE_DESCRIPTORS_DEFAULT,
            administrators: ADMINISTRATORS_DEFAULT,
            connections_max: 0,
            per_address_max: 0,
            memory_max: CONNECTIONS_MEMORY_MAX_DEFAULT,
        }
    }
}

/// How much connections may hold of what all of them share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Transactions that are open at once. An engine may have a bound of its own.
    pub transactions_max: usize,
    /// Transactions that one connection has open, each in a stream of its own; at most
    /// [`TRANSACTIONS_PER_CONNECTION_MAX`].
    pub transactions_per_connection_max: usize,
    /// Reservations (locks, cursors).
    pub reservations_max: usize,
    /// Requests that wait for something else than Tx: a lock, the one before them in their stream,
    /// an asynchronous procedure; at most [`WAITS_MAX`].
    pub waits_max: usize,
    /// How each of these is shared out.
    pub shares: Shares,
}

impl QuotaLimits {
    fn check(&self) -> Result<(), ConfigError> {
        let unbounded = u64::MAX;
        let of_connection = TRANSACTIONS_PER_CONNECTION_MAX as u64;
        let counts = [
            ("transactions_max", self.transactions_max, unbounded),
            (
                "transactions_per_connection_max",
                self.transactions_per_connection_max,
                of_connection,
            ),
            ("reservations_max", self.reservations_max, unbounded),
            ("waits_max", self.waits_max, WAITS_MAX as u64),
        ];
        for (field, value, max) in counts {
            in_bounds(field, value as u64, 1, max)?;
        }
        let percents = [
            ("user_percent", self.shares.user_percent),
            ("address_percent", self.shares.address_percent),
            (
                "user_at_address_percent",
                self.shares.user_at_address_percent,
            ),
        ];
        for (field, value) in percents {
            in_bounds(field, u64::from(value), 1, 100)?;
        }
        Ok(())
    }
}

impl Default for QuotaLimits {
    fn default() -> Self {
        Self {
            transactions_max: TRANSACTIONS_MAX_DEFAULT,
            transactions_per_connection_max: TRANSACTIONS_PER_CONNECTION_MAX_DEFAULT,
            reservations_max: RESERVATIONS_MAX_DEFAULT,
            waits_max: WAITS_MAX_DEFAULT,
            shares: Shares::default(),
        }
    }
}

/// How much of what all connections share one of them may hold, in percent, 1 to 100. Beside that,
/// a sixteenth is kept for administrators who have logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// All connections of one user. Those that have not logged in are one user, `guest`.
    pub user_percent: u8,
    /// All connections from one address; for IPv6, from one network of 64 bits.
    pub address_percent: u8,
    /// All connections of one user from one address.
    pub user_at_address_percent: u8,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            user_percent: USER_SHARE_DEFAULT,
            address_percent: ADDRESS_SHARE_DEFAULT,
            user_at_address_percent: USER_AT_ADDRESS_SHARE_DEFAULT,
        }
    }
}

/// What is done in solo with a request that needs Tx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SoloPolicy {
    /// Answer busy, keep the connection.
    #[default]
    Reject,
    /// Answer busy, flush, close.
    Close,
    /// Keep the request until solo ends, within [`HoldLimits`]; then, or beyond them, answer busy.
    Hold,
}

impl SoloPolicy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reject, Self::Close, Self::Hold];

    /// The name that operators give it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Close => "close",
            Self::Hold => "hold",
        }
    }
}

/// How much [`SoloPolicy::Hold`] keeps, per connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldLimits {
    /// Requests, at most.
    pub requests_max: usize,
    /// Bytes of requests, at most.
    pub bytes_max: usize,
    /// Each at most so long.
    pub time_max: Duration,
}

impl Default for HoldLimits {
    fn default() -> Self {
        Self {
            requests_max: HOLD_REQUESTS_MAX_DEFAULT,
            bytes_max: HOLD_BYTES_MAX_DEFAULT,
            time_max: HOLD_TIME_MAX_DEFAULT,
        }
    }
}

/// After how long a connection is closed, 0 never. They are looked at a few times per limit, at
/// most once a second: none is cut short, and each may be exceeded by that much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// A request has begun to arrive, and neither its end nor any 64 KiB of it came in this time.
    pub half_frame: Duration,
    /// Nobody has logged in on it. For servers where `guest` may do nothing; otherwise it closes
    /// connections that are well.
    pub authentication: Duration,
    /// On a connection to one of [`Config::admin_listen`] nobody has logged in, and no control
    /// procedure was called by an administrator.
    pub admin_authentication: Duration,
    /// Replies wait, and the client has taken nothing of them in this time.
    pub unread: Duration,
    /// Nothing came from the client in this time, and nothing is under way for it. An open
    /// transaction is nothing under way; a request that runs is.
    pub idle: Duration,
    /// The client has closed the connection, or its half of it, and nothing of what it had sent
    /// before was answered in this time. Until then all of it is executed and answered. At most
    /// [`HALF_CLOSED_CROWDED_MAX`](crate::limits::HALF_CLOSED_CROWDED_MAX) while connections are
    /// scarce.
    pub half_closed: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            half_frame: HALF_FRAME_TIMEOUT_DEFAULT,
            authentication: Duration::ZERO,
            admin_authentication: ADMIN_AUTHENTICATION_TIMEOUT_DEFAULT,
            unread: UNREAD_TIMEOUT_DEFAULT,
            idle: Duration::ZERO,
            half_closed: HALF_CLOSED_TIMEOUT_DEFAULT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_cannot_be_is_refused_by_the_name_of_its_field() {
        assert_eq!(Config::default().check(), Ok(()));
        let told = |config: Config| config.check().map_err(|fault| fault.to_string());
        for packet_size_max in [0, PACKET_SIZE_MAX + 1] {
            let config = Config {
                packet_size_max,
                ..Config::default()
            };
            let text = format!("packet_size_max is {packet_size_max}, and may be 1 to 2147483648");
            assert_eq!(told(config), Err(text));
        }
        let config = Config {
            session_threads: 257,
            ..Config::default()
        };
        let text = "session_threads is 257, and may be 0 to 256";
        assert_eq!(told(config), Err(text.to_owned()));
        let [min, max] = [2, 1].map(Duration::from_secs);
        let config = Config {
            shutdown_grace_period: Grace::Auto { min, max },
            ..Config::default()
        };
        assert_eq!(config.check(), Err(ConfigError::GraceBounds { min, max }));
    }
}
