//! How long to wait before the next attempt: exponential, with jitter, never sooner than the server
//! asks for.
//!
//! Randomness and time are handed in.

use std::time::Duration;

use crate::limits::RETRY_AFTER_MAX;

/// A row of waits, each up to twice as long as the one before it.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max: max.max(min),
            failures: 0,
        }
    }

    /// What follows counts from the start again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait. `random` is at least 0 and below 1.
    ///
    /// Between one half and the whole of the present step, so that clients that lost a server
    /// together do not come back together. If the server has said when it wants to be asked again,
    /// not before that, and up to a quarter later.
    pub(crate) fn next(&mut self, random: f64, retry_after: Option<Duration>) -> Duration {
        let doublings = self.failures.min(31);
        let step = self.min.saturating_mul(1 << doublings).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let own = step.mul_f64(0.5 + random / 2.0);
        retry_after.map_or(own, |hint| own.max(spread(hint, random)))
    }
}

/// A hint of the server, bounded, and up to a quarter later.
pub(crate) fn spread(retry_after: Duration, random: f64) -> Duration {
    retry_after.min(RETRY_AFTER_MAX).mul_f64(1.0 + random / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIN: Duration = Duration::from_millis(50);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again_after_success() {
        let mut backoff = Backoff::new(MIN, MAX);
        let waits: Vec<u64> = (0..9)
            .map(|_| backoff.next(0.0, None).as_millis() as u64)
            .collect();
        assert_eq!(waits, [25, 50, 100, 200, 400, 800, 1600, 2500, 2500]);
        backoff.reset();
        assert_eq!(backoff.next(0.0, None), MIN / 2);
    }

    #[test]
    fn a_hint_of_the_server_is_waited_for() {
        let mut backoff = Backoff::new(MIN, MAX);
        let hint = Duration::from_secs(3);
        assert_eq!(backoff.next(0.0, Some(hint)), hint);
        let day = Duration::from_secs(86_400);
        assert_eq!(backoff.next(0.0, Some(day)), RETRY_AFTER_MAX);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_sooner_than_half_its_step_or_the_hint(
            failures in 0..100u32,
            random in 0.0..1.0f64,
            hint_ms in proptest::option::of(0..100_000u64),
        ) {
            let mut backoff = Backoff::new(MIN, MAX);
            backoff.failures = failures;
            let hint = hint_ms.map(Duration::from_millis);
            let wait = backoff.next(random, hint);
            prop_assert!(wait >= MIN / 2);
            prop_assert!(wait >= hint.unwrap_or_default().min(RETRY_AFTER_MAX));
            prop_assert!(wait <= MAX.max(hint.unwrap_or_default().mul_f64(1.25)));
        }
    }
}
