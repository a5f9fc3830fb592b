//! How much connections may hold of what all of them share.

use super::fault::{ConfigError, in_bounds};
use crate::limits::{
    ADDRESS_SHARE_DEFAULT, RESERVATIONS_MAX_DEFAULT, TRANSACTIONS_MAX_DEFAULT,
    TRANSACTIONS_PER_CONNECTION_MAX, TRANSACTIONS_PER_CONNECTION_MAX_DEFAULT,
    USER_AT_ADDRESS_SHARE_DEFAULT, USER_SHARE_DEFAULT, WAITS_MAX, WAITS_MAX_DEFAULT,
};
use crate::settable::settable;

settable! {
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
        /// Requests that wait for something else than Tx: a lock, the one before them in their
        /// stream, an asynchronous procedure; at most [`WAITS_MAX`].
        pub waits_max: usize,
        /// How each of these is shared out.
        pub shares: Shares,
    }
}

impl QuotaLimits {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
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

settable! {
    /// How much of what all connections share one of them may hold, in percent, 1 to 100. Beside
    /// that, a sixteenth is kept for administrators who have logged in.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Shares {
        /// All connections of one user. Those that have not logged in are one user, `guest`.
        pub user_percent: u8,
        /// All connections from one address; for IPv6, from one network of 64 bits.
        pub address_percent: u8,
        /// All connections of one user from one address.
        pub user_at_address_percent: u8,
    }
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
