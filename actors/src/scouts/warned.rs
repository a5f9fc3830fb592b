//! What the log says of upstreams that are not reached. Pure, with `now` passed in.

use std::time::Instant;

use crate::throttle::Throttle;

/// What the log has of an upstream that is not reached: each reason once, so that one that is away
/// for long does not fill it.
#[derive(Default)]
pub(super) struct Warned {
    reason: Option<String>,
    throttle: Throttle,
}

impl Warned {
    /// The upstream is not reached for this reason: how often it was not, if the log is to say so.
    pub(super) fn note(&mut self, reason: &str, now: Instant) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::WARNING_PERIOD;

    #[test]
    fn each_reason_is_in_the_log_once_until_the_upstream_is_reached() {
        let (mut own, mut now) = (Warned::default(), Instant::now());
        assert!(!own.is_over(), "nothing was said");
        assert_eq!(own.note("it has closed the connection", now), Some(1));
        // Others come soon, and are not forgotten.
        assert_eq!(own.note("refused", now), None);
        now += WARNING_PERIOD;
        assert_eq!(own.note("refused", now), Some(2));
        now += 100 * WARNING_PERIOD;
        assert_eq!(own.note("refused", now), None);
        assert!(own.is_over() && !own.is_over());
        assert_eq!(own.note("refused", now), Some(1));
    }
}
