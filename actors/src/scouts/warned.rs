//! What the log says of upstreams that are not reached, and of what has come to last. Pure, with
//! `now` passed in.

use std::time::Instant;

use crate::limits::UNREAD_REPLICA_AFTER;
use crate::throttle::{Repeats, Throttle};

/// What the log has of an upstream that is not reached: each reason once, so that one that is away
/// for long does not fill it.
#[derive(Default)]
pub(super) struct Warned {
    reason: Option<String>,
    throttle: Throttle,
}

impl Warned {
    /// The upstream is not reached for this reason: how often it was not, if the log is to say so.
    pub(super) fn note(&mut self, reason: &str, now: Instant) -> Option<Repeats> {
        if self.reason.as_deref() == Some(reason) {
            return None;
        }
        let times = self.throttle.note(now)?;
        self.reason = Some(reason.to_owned());
        Some(times)
    }

    /// The upstream is reached: whether the log says that it is not.
    pub(super) fn is_over(&mut self) -> bool {
        self.reason.take().is_some()
    }
}

/// What the log has of something that is so at one moment and not at the next: each change once,
/// when it has lasted for [`UNREAD_REPLICA_AFTER`].
pub(super) struct Lasting<T> {
    seen: Option<T>,
    since: Option<Instant>,
    /// As the log has it.
    told: Option<T>,
}

impl<T> Default for Lasting<T> {
    fn default() -> Self {
        Self {
            seen: None,
            since: None,
            told: None,
        }
    }
}

impl<T: Copy + PartialEq> Lasting<T> {
    /// So it is now: whether the log is to say it.
    pub(super) fn note(&mut self, seen: Option<T>, now: Instant) -> bool {
        let since = self.since.filter(|_| self.seen == seen);
        self.seen = seen;
        let since = *self.since.insert(since.unwrap_or(now));
        let is_due = now.saturating_duration_since(since) >= UNREAD_REPLICA_AFTER;
        let is_new = is_due && self.told != seen;
        if is_new {
            self.told = seen;
        }
        is_new
    }

    /// Nothing can be said of it now: what it was does not go on.
    pub(super) fn interrupt(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::WARNING_PERIOD;

    #[test]
    fn each_reason_is_in_the_log_once_until_the_upstream_is_reached() {
        let (mut own, mut now) = (Warned::default(), Instant::now());
        assert!(!own.is_over(), "nothing was said");
        assert_eq!(
            own.note("it has closed the connection", now),
            Some(Repeats(1))
        );
        // Others come soon, and are not forgotten.
        assert_eq!(own.note("refused", now), None);
        now += WARNING_PERIOD;
        assert_eq!(own.note("refused", now), Some(Repeats(2)));
        now += 100 * WARNING_PERIOD;
        assert_eq!(own.note("refused", now), None);
        assert!(own.is_over() && !own.is_over());
        assert_eq!(own.note("refused", now), Some(Repeats(1)));
    }

    #[test]
    fn what_has_come_to_last_is_in_the_log_once_and_so_is_its_end() {
        let (mut own, begin) = (Lasting::default(), Instant::now());
        let steps = [
            // Nothing was said, so there is no end of it.
            (0, Some(None), false),
            (4, Some(None), false),
            // A moment.
            (5, Some(Some('a')), false),
            (6, Some(None), false),
            (7, Some(Some('a')), false),
            (8, Some(Some('a')), false),
            (9, Some(Some('a')), true),
            (99, Some(Some('a')), false),
            // Another reason.
            (100, Some(Some('b')), false),
            (102, Some(Some('b')), true),
            // Nobody knows: it does not go on meanwhile.
            (103, Some(None), false),
            (104, None, false),
            (200, Some(None), false),
            (202, Some(None), true),
            (204, Some(None), false),
        ];
        for (second, seen, expected) in steps {
            let now = begin + UNREAD_REPLICA_AFTER / 2 * second;
            let told = match seen {
                Some(seen) => own.note(seen, now),
                None => {
                    own.interrupt();
                    false
                }
            };
            assert_eq!(told, expected, "{second}");
        }
    }
}
