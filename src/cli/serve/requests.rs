//! How long requests and transactions may take, and how much of what all share one may hold.

use std::time::Duration;

use clap::{Args, value_parser};
use vestibule_actors::Config;
use vestibule_actors::config::{QuotaLimits, Shares};
use vestibule_actors::limits::{
    ADDRESS_SHARE_DEFAULT, RESERVATIONS_MAX_DEFAULT, TRANSACTIONS_MAX_DEFAULT,
    TRANSACTIONS_PER_CONNECTION_MAX, TRANSACTIONS_PER_CONNECTION_MAX_DEFAULT,
    USER_AT_ADDRESS_SHARE_DEFAULT, USER_SHARE_DEFAULT, WAIT_TIMEOUT_DEFAULT, WAITS_MAX,
    WAITS_MAX_DEFAULT,
};
use vestibule_engine::limits::OPEN_TRANSACTIONS_MAX;

use crate::cli::values::{duration, time_text};

/// How long requests and transactions may take, and how much of what all share one may hold.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Requests and transactions")]
pub(crate) struct RequestArgs {
    /// How long a request may wait for the engine and run there before it is answered "Timeout
    /// exceeded" (78); 0 for ever. A connection sets its own with `vestibule.set('request_timeout',
    /// seconds)`.
    #[arg(
        long,
        env = "VESTIBULE_REQUEST_TIMEOUT",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration,
    )]
    pub(crate) request_timeout: Duration,
    /// How long a request may wait for a lock, an asynchronous procedure, a credit or the request
    /// before it in its stream before it is answered "Timeout exceeded" (78); 0 for ever.
    #[arg(
        long,
        env = "VESTIBULE_WAIT_TIMEOUT",
        value_name = "TIME",
        default_value = time_text(WAIT_TIMEOUT_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) wait_timeout: Duration,
    /// How long a transaction may be open, idle or not, before it is aborted (231 until it ends); 0
    /// for ever. BEGIN can ask for less.
    #[arg(
        long,
        env = "VESTIBULE_TRANSACTION_TIMEOUT",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration,
    )]
    pub(crate) transaction_timeout: Duration,
    /// Requests of all connections that wait like that or for room for their replies, without a
    /// credit.
    #[arg(
        long,
        env = "VESTIBULE_WAITS_MAX",
        value_name = "COUNT",
        default_value_t = WAITS_MAX_DEFAULT as u32,
        value_parser = value_parser!(u32).range(1..=WAITS_MAX as i64),
    )]
    pub(crate) waits_max: u32,
    /// Open transactions of all connections.
    #[arg(
        long,
        env = "VESTIBULE_TRANSACTIONS_MAX",
        value_name = "COUNT",
        default_value_t = TRANSACTIONS_MAX_DEFAULT as u32,
        value_parser = value_parser!(u32).range(1..=OPEN_TRANSACTIONS_MAX as i64),
    )]
    pub(crate) transactions_max: u32,
    /// Open transactions of one connection, each in a stream of its own.
    #[arg(
        long,
        env = "VESTIBULE_CONNECTION_TRANSACTIONS_MAX",
        value_name = "COUNT",
        default_value_t = TRANSACTIONS_PER_CONNECTION_MAX_DEFAULT as u32,
        value_parser = value_parser!(u32).range(1..=TRANSACTIONS_PER_CONNECTION_MAX as i64),
    )]
    pub(crate) connection_transactions_max: u32,
    /// Locks and other reservations of all connections.
    #[arg(
        long,
        env = "VESTIBULE_RESERVATIONS_MAX",
        value_name = "COUNT",
        default_value_t = RESERVATIONS_MAX_DEFAULT as u32,
        value_parser = value_parser!(u32).range(1..=1 << 24),
    )]
    pub(crate) reservations_max: u32,
    /// Percent of the requests that wait, of the open transactions and of the reservations that one
    /// user may have; all connections that have not logged in are the one user `guest`. A sixteenth
    /// of each is kept for administrators who have logged in.
    #[arg(
        long,
        env = "VESTIBULE_USER_SHARE",
        value_name = "PERCENT",
        default_value_t = USER_SHARE_DEFAULT,
        value_parser = value_parser!(u8).range(1..=100),
    )]
    pub(crate) user_share: u8,
    /// The same for all connections from one address (of IPv6: from one network of 64 bits).
    #[arg(
        long,
        env = "VESTIBULE_ADDRESS_SHARE",
        value_name = "PERCENT",
        default_value_t = ADDRESS_SHARE_DEFAULT,
        value_parser = value_parser!(u8).range(1..=100),
    )]
    pub(crate) address_share: u8,
    /// The same for the connections of one user from one address.
    #[arg(
        long,
        env = "VESTIBULE_USER_ADDRESS_SHARE",
        value_name = "PERCENT",
        default_value_t = USER_AT_ADDRESS_SHARE_DEFAULT,
        value_parser = value_parser!(u8).range(1..=100),
    )]
    pub(crate) user_address_share: u8,
}

impl RequestArgs {
    pub(super) fn add_to(&self, config: Config) -> Config {
        config
            .request_timeout(self.request_timeout)
            .wait_timeout(self.wait_timeout)
            .transaction_timeout(self.transaction_timeout)
            .quotas(self.quotas())
    }

    fn quotas(&self) -> QuotaLimits {
        QuotaLimits::default()
            .transactions_max(self.transactions_max as usize)
            .transactions_per_connection_max(self.connection_transactions_max as usize)
            .reservations_max(self.reservations_max as usize)
            .waits_max(self.waits_max as usize)
            .shares(
                Shares::default()
                    .user_percent(self.user_share)
                    .address_percent(self.address_share)
                    .user_at_address_percent(self.user_address_share),
            )
    }
}
