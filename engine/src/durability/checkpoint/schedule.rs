//! When a checkpoint is due: no clock, no thread.

use std::time::{Duration, Instant};

use crate::limits::CHECKPOINT_RETRY_PAUSE;

/// What the engine tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Triggers {
    /// Somebody waits for a checkpoint.
    pub(super) is_asked: bool,
    /// The journal since the last checkpoint is as large as it may be, or recovery was
    /// forced.
    pub(super) is_needed: bool,
    /// There is something in the journal since the last checkpoint.
    pub(super) is_changed: bool,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    /// Look again then; `None` if nothing is due unless something changes.
    At(Option<Instant>),
}

#[derive(Debug)]
pub(super) struct Schedule {
    /// `None`: age does not matter.
    interval: Option<Duration>,
    /// When the last checkpoint was made, or the last time that there was nothing to put into one.
    since: Instant,
    /// Nothing is done unasked before this, after a failure.
    not_before: Option<Instant>,
}

impl Schedule {
    pub(super) fn new(interval: Option<Duration>, now: Instant) -> Self {
        Self {
            interval,
            since: now,
            not_before: None,
        }
    }

    /// From now on checkpoints are due at this age.
    pub(super) fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval;
    }

    pub(super) fn due(&mut self, triggers: Triggers, now: Instant) -> Due {
        if triggers.is_asked {
            return Due::Now;
        }
        let mut by_age = self
            .interval
            .and_then(|interval| self.since.checked_add(interval));
        if by_age.is_some_and(|at| at <= now) && !triggers.is_changed {
            self.since = now;
            by_age = self.interval.and_then(|interval| now.checked_add(interval));
        }
        let wanted = if triggers.is_needed {
            Some(now)
        } else {
            by_age
        };
        let at = wanted.map(|at| self.not_before.map_or(at, |earliest| at.max(earliest)));
        match at {
            Some(at) if at <= now => Due::Now,
            at => Due::At(at),
        }
    }

    /// A checkpoint was tried.
    pub(super) fn tried(&mut self, is_made: bool, now: Instant) {
        if is_made {
            self.since = now;
            self.not_before = None;
        } else {
            self.not_before = now.checked_add(CHECKPOINT_RETRY_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const QUIET: Triggers = Triggers {
        is_asked: false,
        is_needed: false,
        is_changed: false,
    };
    const CHANGED: Triggers = Triggers {
        is_changed: true,
        ..QUIET
    };
    const NEEDED: Triggers = Triggers {
        is_needed: true,
        ..CHANGED
    };
    const ASKED: Triggers = Triggers {
        is_asked: true,
        ..QUIET
    };

    #[test]
    fn age_counts_from_the_last_checkpoint_and_only_if_something_changed() {
        let begin = Instant::now();
        let mut schedule = Schedule::new(Some(HOUR), begin);
        assert_eq!(schedule.due(CHANGED, begin), Due::At(Some(begin + HOUR)));
        assert_eq!(schedule.due(CHANGED, begin + HOUR), Due::Now);
        schedule.tried(true, begin + HOUR);
        let next = begin + 2 * HOUR;
        assert_eq!(schedule.due(CHANGED, begin + HOUR), Due::At(Some(next)));
        assert_eq!(schedule.due(QUIET, next), Due::At(Some(next + HOUR)));
        assert_eq!(schedule.due(CHANGED, next), Due::At(Some(next + HOUR)));
    }

    #[test]
    fn another_age_counts_from_the_last_checkpoint_too() {
        let begin = Instant::now();
        let mut schedule = Schedule::new(Some(HOUR), begin);
        schedule.set_interval(Some(2 * HOUR));
        assert_eq!(
            schedule.due(CHANGED, begin + HOUR),
            Due::At(Some(begin + 2 * HOUR))
        );
        schedule.set_interval(Some(HOUR / 2));
        assert_eq!(schedule.due(CHANGED, begin + HOUR), Due::Now);
        schedule.set_interval(None);
        assert_eq!(schedule.due(CHANGED, begin + HOUR), Due::At(None));
    }

    #[test]
    fn without_an_interval_only_size_and_requests_count() {
        let now = Instant::now();
        let mut schedule = Schedule::new(None, now);
        assert_eq!(schedule.due(CHANGED, now + 9 * HOUR), Due::At(None));
        assert_eq!(schedule.due(NEEDED, now), Due::Now);
        assert_eq!(schedule.due(ASKED, now), Due::Now);
    }

    #[test]
    fn after_a_failure_there_is_a_pause_that_requests_do_not_mind() {
        let now = Instant::now();
        let mut schedule = Schedule::new(Some(HOUR), now);
        schedule.tried(false, now);
        let later = now + CHECKPOINT_RETRY_PAUSE;
        assert_eq!(schedule.due(NEEDED, now), Due::At(Some(later)));
        assert_eq!(schedule.due(ASKED, now), Due::Now);
        assert_eq!(schedule.due(NEEDED, later), Due::Now);
        schedule.tried(true, later);
        assert_eq!(schedule.due(NEEDED, later), Due::Now);
    }
}
