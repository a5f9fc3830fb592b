//! How often upstreams are asked how they are, and how soon one that was lost is tried again. Pure,
//! with `now` passed in.
//!
//! | requests | asked every | tried again after, at most |
//! |---|---|---|
//! | go to one | `--probe-interval` | [`RECONNECT_WAIT_MAX`] |
//! | the same, another one has just come to take changes too | [`PROBE_INTERVAL_HELD`] | the same |
//! | are held | [`PROBE_INTERVAL_HELD`] | [`RECONNECT_WAIT_HELD`] |
//! | go nowhere | [`PROBE_INTERVAL_WITHOUT_PRIMARY`] | [`RECONNECT_WAIT_WITHOUT_PRIMARY`] |

use std::time::{Duration, Instant};

use super::failover::Decision;
use crate::limits::{
    PROBE_INTERVAL_HELD, PROBE_INTERVAL_WITHOUT_PRIMARY, RECONNECT_WAIT_HELD, RECONNECT_WAIT_MAX,
    RECONNECT_WAIT_WITHOUT_PRIMARY, SPLIT_HURRY,
};

/// How fast scouts go about it.
#[derive(Debug)]
pub(crate) struct ProbePace {
    interval: Duration,
    decision: Decision,
    /// Since when more than one says that it takes changes, if that is so.
    split_since: Option<Instant>,
}

impl ProbePace {
    /// Of a gateway that asks this often while nothing befalls its upstreams. Nothing is known yet.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            decision: Decision::Nowhere,
            split_since: None,
        }
    }

    /// Where requests go is decided, while this many say that they take changes. Returns whether
    /// scouts are to make haste: what they wait for, they wait for no longer.
    pub(crate) fn on_decided(&mut self, decision: Decision, writable: usize, now: Instant) -> bool {
        let before = std::mem::replace(&mut self.decision, decision);
        let is_lost = !matches!(decision, Decision::To(_)) && decision != before;
        let (is_split, was_split) = (writable > 1, self.split_since.is_some());
        if is_split != was_split {
            self.split_since = is_split.then_some(now);
        }
        is_lost || (is_split && !was_split)
    }

    /// How often each is asked.
    pub(crate) fn probe_interval(&self, now: Instant) -> Duration {
        let is_new = |since| now.saturating_duration_since(since) < SPLIT_HURRY;
        let is_hurried = self.split_since.is_some_and(is_new);
        let bound = match self.decision {
            Decision::Held => PROBE_INTERVAL_HELD,
            Decision::To(_) if is_hurried => PROBE_INTERVAL_HELD,
            Decision::To(_) => Duration::MAX,
            Decision::Nowhere => PROBE_INTERVAL_WITHOUT_PRIMARY,
        };
        self.interval.min(bound)
    }

    /// For how long one that was lost is left alone at most.
    pub(crate) fn reconnect_wait_max(&self) -> Duration {
        match self.decision {
            Decision::To(_) => RECONNECT_WAIT_MAX,
            Decision::Held => RECONNECT_WAIT_HELD,
            Decision::Nowhere => RECONNECT_WAIT_WITHOUT_PRIMARY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(200);

    #[test]
    fn the_less_is_known_of_who_takes_changes_the_sooner_it_is_asked() {
        let (mut own, now) = (ProbePace::new(INTERVAL), Instant::now());
        let to = Decision::To(0);
        for (decision, is_hurried, interval, wait) in [
            (to, false, INTERVAL, RECONNECT_WAIT_MAX),
            (
                Decision::Held,
                true,
                PROBE_INTERVAL_HELD,
                RECONNECT_WAIT_HELD,
            ),
            (
                Decision::Held,
                false,
                PROBE_INTERVAL_HELD,
                RECONNECT_WAIT_HELD,
            ),
            (to, false, INTERVAL, RECONNECT_WAIT_MAX),
            (
                Decision::Nowhere,
                true,
                PROBE_INTERVAL_WITHOUT_PRIMARY,
                RECONNECT_WAIT_WITHOUT_PRIMARY,
            ),
        ] {
            assert_eq!(own.on_decided(decision, 1, now), is_hurried, "{decision:?}");
            assert_eq!(own.probe_interval(now), interval, "{decision:?}");
            assert_eq!(own.reconnect_wait_max(), wait, "{decision:?}");
        }
        let mut own = ProbePace::new(PROBE_INTERVAL_HELD / 2);
        own.on_decided(Decision::Held, 0, now);
        assert_eq!(
            own.probe_interval(now),
            PROBE_INTERVAL_HELD / 2,
            "no slower"
        );
    }

    #[test]
    fn while_another_one_has_just_come_to_take_changes_too_all_are_asked_more_often_for_a_while() {
        let (mut own, begin) = (ProbePace::new(INTERVAL), Instant::now());
        let to = Decision::To(0);
        assert!(!own.on_decided(to, 1, begin));
        assert!(own.on_decided(to, 2, begin));
        assert!(!own.on_decided(to, 2, begin + SPLIT_HURRY / 2), "it is so");
        let shortly_before = begin + SPLIT_HURRY - Duration::from_millis(1);
        assert_eq!(own.probe_interval(shortly_before), PROBE_INTERVAL_HELD);
        // Where two take changes by design, they are asked as ever.
        assert_eq!(own.probe_interval(begin + SPLIT_HURRY), INTERVAL);
        assert!(!own.on_decided(to, 1, begin + SPLIT_HURRY));
        assert_eq!(own.probe_interval(begin + SPLIT_HURRY), INTERVAL);
        let again = begin + 2 * SPLIT_HURRY;
        assert!(own.on_decided(to, 2, again));
        assert_eq!(own.probe_interval(again), PROBE_INTERVAL_HELD);
        assert!(!own.on_decided(to, 1, again));
        assert_eq!(own.probe_interval(again), INTERVAL, "one alone again");
    }
}
