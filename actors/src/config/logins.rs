//! How wrong logins are slowed down.

use std::time::Duration;

use crate::limits::{LOGIN_DELAY_MAX_DEFAULT, LOGIN_FAILURES_FREE_DEFAULT};
use crate::settable::settable;

settable! {
    /// How wrong logins from an address are slowed down: of IPv6 a network of 64 bits is one
    /// address. Those from this machine never are.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct LoginLimits {
        /// Wrong logins that are answered at once. Behind them the answer waits for 100 ms, and for
        /// each more twice as long.
        pub failures_free: u32,
        /// How long it waits at most; 0 has nobody wait.
        pub delay_max: Duration,
    }
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self {
            failures_free: LOGIN_FAILURES_FREE_DEFAULT,
            delay_max: LOGIN_DELAY_MAX_DEFAULT,
        }
    }
}
