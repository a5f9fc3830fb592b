//! How wrong logins are slowed down.

use std::time::Duration;

use clap::Args;
use vestibule_actors::Config;
use vestibule_actors::config::LoginLimits;
use vestibule_actors::limits::{LOGIN_DELAY_MAX_DEFAULT, LOGIN_FAILURES_FREE_DEFAULT};

use crate::cli::values::{duration, time_text};

/// How wrong logins are slowed down.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logins")]
pub(crate) struct LoginArgs {
    /// Wrong logins from one address (of IPv6, a network of 64 bits is one) that are answered at
    /// once. The answer to the next one waits for 100 ms, to each that follows twice as long.
    /// Logins from this machine never wait.
    #[arg(
        long,
        env = "VESTIBULE_LOGIN_FAILURES_FREE",
        value_name = "N",
        default_value_t = LOGIN_FAILURES_FREE_DEFAULT
    )]
    pub(crate) login_failures_free: u32,
    /// How long the answer to a wrong login waits at most; 0 has nobody wait.
    #[arg(
        long,
        env = "VESTIBULE_LOGIN_DELAY_MAX",
        value_name = "TIME",
        default_value = time_text(LOGIN_DELAY_MAX_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) login_delay_max: Duration,
}

impl LoginArgs {
    pub(super) fn add_to(&self, config: Config) -> Config {
        config.login_limits(
            LoginLimits::default()
                .failures_free(self.login_failures_free)
                .delay_max(self.login_delay_max),
        )
    }
}
