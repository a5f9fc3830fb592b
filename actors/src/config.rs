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
//! | `logins` | how wrong logins are slowed down |
//! | `quotas` | how much connections may hold of what all of them share |
//! | `settings` | what may be replaced while the runtime runs |
//! | `solo` | what is done with requests in solo |
//! | `who` | who is served, and as whom |

mod connections;
mod fault;
mod grace;
mod logins;
mod quotas;
mod settings;
mod solo;
mod who;

use std::net::SocketAddr;
use std::time::Duration;

use vestibule_wire::Uuid;
use vestibule_wire::limits::{PACKET_SIZE_MAX, PACKET_SIZE_MAX_DEFAULT};

use self::fault::in_bounds;
use crate::endpoints::ListenAddress;
use crate::limits::{
    INSTANCE_NAME_MAX, SESSION_THREADS_MAX, UNIX_SOCKET_MODE_DEFAULT, UNIX_SOCKET_MODE_MAX,
};
use crate::serving::Role;
use crate::settable::settable;

pub use connections::{ConnectionLimits, DescriptorLimits, TimeLimits};
pub use fault::ConfigError;
pub use grace::Grace;
pub use logins::LoginLimits;
pub use quotas::{QuotaLimits, Shares};
pub use settings::Settings;
pub use solo::{HoldLimits, SoloPolicy};
pub use who::{Administrators, ExposedGuest};

settable! {
    /// Configuration of a runtime: what is fixed at its start, and [`settings`](Self::settings),
    /// which may be replaced while it runs. Methods of the names of both set them.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Config {
        /// Addresses and unix sockets to listen on; port 0 lets the system pick one. None is valid:
        /// then connections come only through
        /// [`RuntimeHandle::adopt`](crate::RuntimeHandle::adopt).
        pub listen: Vec<ListenAddress>,
        /// Addresses and unix sockets for administrators: their connections have slots of their own
        /// ([`DescriptorLimits::administrators`]), which no client can take. What they may do there
        /// is no different.
        pub admin_listen: Vec<ListenAddress>,
        /// Rights of the files of unix sockets, which they have from the beginning; at most 0o777.
        pub unix_socket_mode: u32,
        /// Who may have how many of the process's descriptors.
        pub descriptors: DescriptorLimits,
        /// Threads that own sockets, at most [`SESSION_THREADS_MAX`]; 0 takes one less than there
        /// are cores, and at least one.
        pub session_threads: usize,
        /// The instance's UUID, as the greeting and `box.info` tell it; [`Uuid::NIL`] has one made
        /// at random, another one at each start.
        pub instance_uuid: Uuid,
        /// What people call the instance, in at most [`INSTANCE_NAME_MAX`] bytes; none if empty.
        /// `box.info` tells it.
        pub instance_name: String,
        /// Whether data may be changed at the start.
        pub role: Role,
        /// Whether a guest who may do everything is served where other machines are.
        pub exposed_guest: ExposedGuest,
        /// Largest request, in bytes; at most
        /// [`PACKET_SIZE_MAX`].
        pub packet_size_max: u64,
        /// How much connections may hold of what all of them share.
        pub quotas: QuotaLimits,
        /// What may be replaced while the runtime runs.
        pub settings: Settings,
    }
}

/// Defines methods of [`Config`] that set its settings.
macro_rules! set_settings {
    ($($field:ident: $value:ty,)+) => {
        impl Config {
            $(
                #[doc = concat!(
                    "Sets [`", stringify!($field), "`](Settings#structfield.", stringify!($field),
                    ") of the [`settings`](Self#structfield.settings)."
                )]
                #[must_use]
                pub fn $field(mut self, $field: $value) -> Self {
                    self.settings.$field = $field;
                    self
                }
            )+
        }
    };
}

set_settings! {
    connection_limits: ConnectionLimits,
    solo_policy: SoloPolicy,
    solo_policy_new: SoloPolicy,
    hold: HoldLimits,
    administrators: Administrators,
    tx_stall_after: Duration,
    time_limits: TimeLimits,
    login_limits: LoginLimits,
    request_timeout: Duration,
    wait_timeout: Duration,
    transaction_timeout: Duration,
    shutdown_grace_period: Grace,
    lameduck: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()],
            admin_listen: Vec::new(),
            unix_socket_mode: UNIX_SOCKET_MODE_DEFAULT,
            descriptors: DescriptorLimits::default(),
            session_threads: 0,
            instance_uuid: Uuid::NIL,
            instance_name: String::new(),
            role: Role::Primary,
            exposed_guest: ExposedGuest::default(),
            packet_size_max: PACKET_SIZE_MAX_DEFAULT,
            quotas: QuotaLimits::default(),
            settings: Settings::default(),
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
        let (mode, all) = (self.unix_socket_mode, UNIX_SOCKET_MODE_MAX);
        in_bounds("unix_socket_mode", mode.into(), 0, all.into())?;
        self.quotas.check()?;
        self.settings.check()
    }

    /// What a runtime goes by from its start to its end, and what may be replaced meanwhile.
    pub(crate) fn split(self) -> (Fixed, Settings) {
        let fixed = Fixed {
            session_threads: self.session_thread_count(),
            instance_uuid: self.instance_uuid,
            instance_name: self.instance_name,
            role: self.role,
            exposed_guest: self.exposed_guest,
            packet_size_max: self.packet_size_max,
            quotas: self.quotas,
        };
        (fixed, self.settings)
    }

    /// The number of session threads that [`session_threads`](Self::session_threads) stands for.
    #[must_use]
    pub fn session_thread_count(&self) -> usize {
        match self.session_threads {
            0 => session_threads_on(std::thread::available_parallelism().map_or(1, usize::from)),
            count => count,
        }
    }
}

/// How many session threads there are on that many cores, if nobody says it: Tx has a core for
/// itself where there is one. With both of two, more reads are answered in a second, and the
/// slowest ones take several times as long.
fn session_threads_on(cores: usize) -> usize {
    cores.saturating_sub(1).clamp(1, SESSION_THREADS_MAX)
}

/// The part of a configuration that holds as long as the runtime does.
#[derive(Debug)]
pub(crate) struct Fixed {
    pub(crate) session_threads: usize,
    pub(crate) instance_uuid: Uuid,
    pub(crate) instance_name: String,
    pub(crate) role: Role,
    pub(crate) exposed_guest: ExposedGuest,
    pub(crate) packet_size_max: u64,
    pub(crate) quotas: QuotaLimits,
}

impl Fixed {
    /// The bounds as `vestibule.show('limits')` lists them, by name.
    pub(crate) fn shown_limits(&self) -> [(&'static str, u64); 3] {
        let transactions = self.quotas.transactions_per_connection_max;
        [
            ("session_threads", self.session_threads as u64),
            ("packet_size_max_bytes", self.packet_size_max),
            ("transactions_per_connection_max", transactions as u64),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tx_has_a_core_for_itself_where_there_is_more_than_one() {
        let found = [0, 1, 2, 3, 4, 32, 300].map(session_threads_on);
        assert_eq!(found, [1, 1, 1, 2, 3, 31, SESSION_THREADS_MAX]);
    }

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
        let config = Config::default().shutdown_grace_period(Grace::Auto { min, max });
        assert_eq!(config.check(), Err(ConfigError::GraceBounds { min, max }));
    }
}
