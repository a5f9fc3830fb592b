//! What an embedder can set. Every field has a default that serves on loopback; the methods of the
//! same names set them one after the other, and a start checks them all.
//!
//! ```
//! use std::time::Duration;
//! use vestibule_actors::Config;
//! use vestibule_actors::config::{ConfigError, ConnectionLimits, Grace};
//!
//! let config = Config::default()
//!     .listen(vec!["127.0.0.1:0".parse()?])
//!     .connection_limits(ConnectionLimits::default().connections_max(1000))
//!     .shutdown_grace_period(Grace::AUTO)
//!     .request_timeout(Duration::from_secs(5));
//! config.check()?;
//!
//! let fault = config.packet_size_max(0).check();
//! assert!(matches!(fault, Err(ConfigError::OutOfBounds { field: "packet_size_max", .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | file | what |
//! |---|---|
//! | `connections` | how many connections there may be, and how long they may take |
//! | `fault` | what cannot be |
//! | `grace` | how long transitions let run what runs |
//! | `quotas` | how much connections may hold of what all of them share |
//! | `solo` | what is done with requests in solo |
//! | `who` | who is served, and as whom |

mod connections;
mod fault;
mod grace;
mod quotas;
mod solo;
mod who;

use std::net::SocketAddr;
use std::time::Duration;

use vestibule_wire::Uuid;
use vestibule_wire::limits::{PACKET_SIZE_MAX, PACKET_SIZE_MAX_DEFAULT};

use self::fault::in_bounds;
use crate::limits::{
    INSTANCE_NAME_MAX, SESSION_THREADS_MAX, TX_STALL_AFTER_DEFAULT, WAIT_TIMEOUT_DEFAULT,
};
use crate::serving::Role;
use crate::settable::settable;

pub use connections::{ConnectionLimits, TimeLimits};
pub use fault::ConfigError;
pub use grace::Grace;
pub use quotas::{QuotaLimits, Shares};
pub use solo::{HoldLimits, SoloPolicy};
pub use who::{Administrators, ExposedGuest};

settable! {
    /// Configuration of a runtime.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Config {
        /// Addresses to listen on; port 0 lets the system pick one. None is valid: then connections
        /// come only through [`RuntimeHandle::adopt`](crate::RuntimeHandle::adopt).
        pub listen: Vec<SocketAddr>,
        /// Addresses for administrators: their connections have slots of their own
        /// ([`ConnectionLimits::administrators`]), which no client can take. What they may do there
        /// is no different.
        pub admin_listen: Vec<SocketAddr>,
        /// How many connections there may be.
        pub connection_limits: ConnectionLimits,
        /// Threads that own sockets, at most [`SESSION_THREADS_MAX`]; 0 takes one less than there
        /// are cores, at least one.
        pub session_threads: usize,
        /// The instance's UUID, as the greeting and `box.info` tell it; [`Uuid::NIL`] has one made
        /// at random, another one at each start.
        pub instance_uuid: Uuid,
        /// What people call the instance, in at most [`INSTANCE_NAME_MAX`] bytes; none if empty.
        /// `box.info` tells it.
        pub instance_name: String,
        /// Whether data may be changed at the start.
        pub role: Role,
        /// What happens in solo to connections that are there already.
        pub solo_policy: SoloPolicy,
        /// What happens in solo to requests of connections that came during it. `Close` greets
        /// them, says why and closes.
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
        /// made no progress for so long; 0 never. It need not be exact: the watchdog looks a few
        /// times per period.
        pub tx_stall_after: Duration,
        /// How long connections may take.
        pub time_limits: TimeLimits,
        /// After how long a request that needs Tx is answered with 78 if it has no reply by then, 0
        /// never. A connection can set its own: `vestibule.set('request_timeout', seconds)`.
        pub request_timeout: Duration,
        /// After how long a request is answered with 78 that waits for something else than Tx: a
        /// lock, the one before it in its stream, an asynchronous procedure, a credit; 0 never.
        pub wait_timeout: Duration,
        /// How much connections may hold of what all of them share.
        pub quotas: QuotaLimits,
        /// After how long a transaction is aborted, with a request of it running or not, 0 never.
        /// BEGIN can ask for less. Until it ends, its statements get 231.
        pub transaction_timeout: Duration,
        /// How long a stop or a demotion lets run what runs, unless it is told otherwise.
        pub shutdown_grace_period: Grace,
        /// How long a stop is announced, with everything still served, before it begins.
        pub lameduck: Duration,
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            admin_listen: Vec::new(),
            connection_limits: ConnectionLimits::default(),
            session_threads: 0,
            instance_uuid: Uuid::NIL,
            instance_name: String::new(),
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
        let name = self.instance_name.len() as u64;
        in_bounds("instance_name", name, 0, INSTANCE_NAME_MAX as u64)?;
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
