//! What happens while the engine is busy.

use std::time::Duration;

use clap::Args;
use vestibule_actors::Config;
use vestibule_actors::config::{HoldLimits, SoloPolicy};
use vestibule_actors::limits::{
    HOLD_BYTES_MAX_DEFAULT, HOLD_REQUESTS_MAX_DEFAULT, HOLD_TIME_MAX_DEFAULT,
    TX_STALL_AFTER_DEFAULT,
};

use crate::cli::choices::{described_solo_policy, one_of};
use crate::cli::values::{Size, duration, size, size_text, time_text};

/// What happens while the engine is busy.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "A busy engine")]
pub(crate) struct BusyArgs {
    /// How long the engine may make no progress, with requests waiting, before they are answered
    /// busy (reason `stalled`); 0 never.
    #[arg(
        long,
        env = "VESTIBULE_TX_STALL_AFTER",
        value_name = "TIME",
        default_value = time_text(TX_STALL_AFTER_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) tx_stall_after: Duration,
    /// What happens to requests that need the engine while it is busy.
    #[arg(
        long,
        env = "VESTIBULE_SOLO_POLICY",
        value_name = "POLICY",
        default_value = SoloPolicy::default().name(),
        value_parser = one_of(SoloPolicy::ALL, described_solo_policy),
    )]
    pub(crate) solo_policy: SoloPolicy,
    /// The same for connections that come while the engine is busy: `close` greets them, says why
    /// and closes.
    #[arg(
        long,
        env = "VESTIBULE_SOLO_POLICY_NEW",
        value_name = "POLICY",
        default_value = SoloPolicy::default().name(),
        value_parser = one_of(SoloPolicy::ALL, described_solo_policy),
    )]
    pub(crate) solo_policy_new: SoloPolicy,
    /// Policy `hold`: how long a request is kept.
    #[arg(
        long,
        env = "VESTIBULE_HOLD_TIME_MAX",
        value_name = "TIME",
        default_value = time_text(HOLD_TIME_MAX_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) hold_time_max: Duration,
    /// Policy `hold`: how many requests of a connection are kept.
    #[arg(
        long,
        env = "VESTIBULE_HOLD_REQUESTS_MAX",
        value_name = "N",
        default_value_t = HOLD_REQUESTS_MAX_DEFAULT,
    )]
    pub(crate) hold_requests_max: usize,
    /// Policy `hold`: how many bytes of requests of a connection are kept.
    #[arg(
        long,
        env = "VESTIBULE_HOLD_BYTES_MAX",
        value_name = "SIZE",
        default_value = size_text(HOLD_BYTES_MAX_DEFAULT as u64),
        value_parser = size,
    )]
    pub(crate) hold_bytes_max: Size,
}

impl BusyArgs {
    pub(super) fn add_to(&self, config: Config) -> Config {
        config
            .tx_stall_after(self.tx_stall_after)
            .solo_policy(self.solo_policy)
            .solo_policy_new(self.solo_policy_new)
            .hold(
                HoldLimits::default()
                    .requests_max(self.hold_requests_max)
                    .bytes_max(self.hold_bytes_max.in_memory())
                    .time_max(self.hold_time_max),
            )
    }
}
