//! What may be replaced while the runtime runs.

use std::time::Duration;

use super::connections::{ConnectionLimits, TimeLimits};
use super::fault::ConfigError;
use super::grace::Grace;
use super::logins::LoginLimits;
use super::solo::{HoldLimits, SoloPolicy};
use super::who::Administrators;
use crate::limits::{TX_STALL_AFTER_DEFAULT, WAIT_TIMEOUT_DEFAULT};
use crate::settable::settable;

settable! {
    /// The part of a [`Config`](super::Config) that may be replaced while the runtime runs, by
    /// [`RuntimeHandle::reconfigure`](crate::RuntimeHandle::reconfigure). What replaces them holds
    /// from the next use on: of a time limit for the next request, say.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Settings {
        /// How many connections there may be.
        pub connection_limits: ConnectionLimits,
        /// What happens in solo to connections that are there already.
        pub solo_policy: SoloPolicy,
        /// What happens in solo to requests of connections that came during it. `Close` greets
        /// them, says why and closes.
        pub solo_policy_new: SoloPolicy,
        /// Bounds of [`SoloPolicy::Hold`].
        pub hold: HoldLimits,
        /// Who may use the control procedures.
        pub administrators: Administrators,
        /// Tx counts as stalled, and the state becomes `Solo`, when requests wait for it and it has
        /// made no progress for so long; 0 never. It need not be exact: the watchdog looks a few
        /// times per period.
        pub tx_stall_after: Duration,
        /// How long connections may take.
        pub time_limits: TimeLimits,
        /// How wrong logins are slowed down.
        pub login_limits: LoginLimits,
        /// After how long a request that needs Tx is answered with 78 if it has no reply by then, 0
        /// never. A connection can set its own: `vestibule.set('request_timeout', seconds)`.
        pub request_timeout: Duration,
        /// After how long a request is answered with 78 that waits for something else than Tx: a
        /// lock, the one before it in its stream, an asynchronous procedure, a credit; 0 never.
        pub wait_timeout: Duration,
        /// After how long a transaction is aborted, with a request of it running or not, 0 never.
        /// BEGIN can ask for less. Until it ends, its statements get 231.
        pub transaction_timeout: Duration,
        /// How long a stop or a demotion lets run what runs, unless it is told otherwise.
        pub shutdown_grace_period: Grace,
        /// How long a stop is announced, with everything still served, before it begins.
        pub lameduck: Duration,
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connection_limits: ConnectionLimits::default(),
            solo_policy: SoloPolicy::default(),
            solo_policy_new: SoloPolicy::default(),
            hold: HoldLimits::default(),
            administrators: Administrators::default(),
            tx_stall_after: TX_STALL_AFTER_DEFAULT,
            time_limits: TimeLimits::default(),
            login_limits: LoginLimits::default(),
            request_timeout: Duration::ZERO,
            wait_timeout: WAIT_TIMEOUT_DEFAULT,
            transaction_timeout: Duration::ZERO,
            shutdown_grace_period: Grace::default(),
            lameduck: Duration::ZERO,
        }
    }
}

impl Settings {
    /// Whether a runtime can go by them. Who gives it some is told by itself.
    ///
    /// # Errors
    ///
    /// The first field that cannot be what it is.
    pub fn check(&self) -> Result<(), ConfigError> {
        match self.shutdown_grace_period {
            Grace::Auto { min, max } if min > max => Err(ConfigError::GraceBounds { min, max }),
            _ => Ok(()),
        }
    }

    pub(crate) fn may_hold(&self) -> bool {
        [self.solo_policy, self.solo_policy_new].contains(&SoloPolicy::Hold)
    }

    /// The bounds as `vestibule.show('limits')` lists them, by name. Times are in milliseconds, 0
    /// for never. `grace` is what the grace period of a stop is now; `None` for ever.
    pub(crate) fn shown_limits(&self, grace: Option<Duration>) -> [(&'static str, u64); 17] {
        let ms = |time: Duration| time.as_millis() as u64;
        let (times, hold) = (&self.time_limits, &self.hold);
        [
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
            (
                "login_failures_free",
                self.login_limits.failures_free.into(),
            ),
            ("login_delay_max_ms", ms(self.login_limits.delay_max)),
            ("request_timeout_ms", ms(self.request_timeout)),
            ("wait_timeout_ms", ms(self.wait_timeout)),
            ("transaction_timeout_ms", ms(self.transaction_timeout)),
            ("hold_requests_max", hold.requests_max as u64),
            ("hold_bytes_max", hold.bytes_max as u64),
            ("hold_time_max_ms", ms(hold.time_max)),
        ]
    }
}
