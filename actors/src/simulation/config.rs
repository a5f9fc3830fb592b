//! Configurations of worlds.

use std::time::Duration;

use super::engine::LARGE_REPLY;
use super::random::Random;
use crate::config::{Config, ConnectionLimits, HoldLimits, Settings, SoloPolicy, TimeLimits};

fn policy(random: &mut Random) -> SoloPolicy {
    match random.below(4) {
        0 => SoloPolicy::Close,
        1 => SoloPolicy::Hold,
        _ => SoloPolicy::Reject,
    }
}

/// Half of the time zero, which is for ever.
fn limit(random: &mut Random, millis: u64) -> Duration {
    Duration::from_millis(millis * random.below(2))
}

/// In half of the worlds a few large replies are all that connections may hold.
fn connection_limits(random: &mut Random) -> ConnectionLimits {
    let mut limits = ConnectionLimits::default();
    if random.below(2) == 0 {
        limits.memory_max = 2 * LARGE_REPLY;
    }
    limits
}

/// Whether it is such a world.
pub(super) fn is_memory_short(settings: &Settings) -> bool {
    settings.connection_limits.memory_max == 2 * LARGE_REPLY
}

/// Times are whole multiples of 10 ms, as exact as deadlines are kept.
pub(super) fn random(random: &mut Random) -> Config {
    let settings = Settings {
        solo_policy: policy(random),
        solo_policy_new: policy(random),
        hold: HoldLimits {
            requests_max: 8,
            bytes_max: 4096,
            time_max: Duration::from_millis(100),
        },
        tx_stall_after: limit(random, 100),
        time_limits: TimeLimits {
            half_frame: Duration::from_millis(900),
            unread: Duration::from_millis(900),
            half_closed: Duration::from_millis(900),
            ..TimeLimits::default()
        },
        request_timeout: limit(random, 150),
        transaction_timeout: limit(random, 250),
        connection_limits: connection_limits(random),
        ..Settings::default()
    };
    Config::default().session_threads(2).settings(settings)
}
