//! How a stop and a change of role go.

use std::time::Duration;

use clap::Args;
use vestibule_actors::Config;
use vestibule_actors::config::Grace;
use vestibule_actors::limits::{GRACE_AUTO_MAX_DEFAULT, GRACE_AUTO_MIN_DEFAULT, GRACE_DEFAULT};

use crate::cli::choices::grace;
use crate::cli::values::{duration, time_text};

/// How a stop and a change of role go.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "A stop or a change of role")]
pub(crate) struct StopArgs {
    /// How long a stop or a demotion waits for what is under way: a time; 0 does not wait; `auto`
    /// as long as 99 of 100 recent transactions took; `forever` until it ends.
    #[arg(
        long,
        env = "VESTIBULE_SHUTDOWN_GRACE_PERIOD",
        value_name = "TIME|auto|forever",
        default_value = time_text(GRACE_DEFAULT),
        value_parser = grace,
    )]
    pub(crate) shutdown_grace_period: Grace,
    /// Grace `auto`: no shorter than this.
    #[arg(
        long,
        env = "VESTIBULE_GRACE_AUTO_MIN",
        value_name = "TIME",
        default_value = time_text(GRACE_AUTO_MIN_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) grace_auto_min: Duration,
    /// Grace `auto`: no longer than this.
    #[arg(
        long,
        env = "VESTIBULE_GRACE_AUTO_MAX",
        value_name = "TIME",
        default_value = time_text(GRACE_AUTO_MAX_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) grace_auto_max: Duration,
    /// How long a stop is announced before it begins: everything is still served, but `box.status`
    /// is not `running` any more, and who watches `box.shutdown` is told. Comes before the grace
    /// period.
    #[arg(
        long,
        env = "VESTIBULE_LAMEDUCK",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration,
    )]
    pub(crate) lameduck: Duration,
}

impl StopArgs {
    pub(super) fn add_to(&self, config: Config) -> Config {
        config
            .shutdown_grace_period(self.grace())
            .lameduck(self.lameduck)
    }

    fn grace(&self) -> Grace {
        match self.shutdown_grace_period {
            Grace::Auto { .. } => Grace::Auto {
                min: self.grace_auto_min,
                max: self.grace_auto_max,
            },
            other => other,
        }
    }
}
