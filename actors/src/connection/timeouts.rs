//! How long a connection may take: a pure machine that the worker's tick looks at now and then.
//!
//! ```text
//!   what the session tells (a flag, no clock)      what a look does
//!   bytes arrived, a frame was taken, ─────────▶   compares with its stamps; overdue:
//!   bytes were written                             half a frame, replies unread, idle, half-closed
//! ```
//!
//! The stamps are those of looks, so a limit may be exceeded by the time between two of them, and
//! is never cut short.

use std::time::{Duration, Instant};

use crate::config::TimeLimits;
use crate::limits::{READ_SIZE, TIME_LOOK_MAX, TIME_LOOK_MIN, TIME_LOOKS_PER_LIMIT};

/// What a connection has done since the last look, and since when it has not.
#[derive(Debug)]
pub(crate) struct ConnectionTimeouts {
    /// Bytes arrived.
    pub(crate) has_read: bool,
    /// A whole frame was taken.
    pub(crate) has_taken: bool,
    /// When it began.
    since: Instant,
    /// When something was last under way.
    active: Instant,
    /// Since when the frame that is not complete has not grown by much, and its size then.
    half: Option<(Instant, usize)>,
    /// Since when replies have waited.
    unread: Option<Instant>,
    /// Since when nothing was answered to a client that has closed its half.
    half_closed: Option<Instant>,
}

/// What a look sees of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observation {
    /// Bytes of a frame that is not complete; 0 if there is none, or if it is the server that does
    /// not take it.
    pub(crate) half: usize,
    /// A user has logged in.
    pub(crate) has_logged_in: bool,
    /// Bytes of replies went out since the last look.
    pub(crate) has_written: bool,
    /// Replies wait for the client.
    pub(crate) has_output: bool,
    /// A request of it is under way.
    pub(crate) is_busy: bool,
    /// The client has closed its half.
    pub(crate) has_ended: bool,
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeoutKind {
    HalfFrame,
    Authentication,
    Unread,
    Idle,
    HalfClosed,
}

impl TimeoutKind {
    /// For the log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::HalfFrame => "a request was not sent to its end",
            Self::Authentication => "nobody logged in",
            Self::Unread => "replies were not read",
            Self::Idle => "idle",
            Self::HalfClosed => "its client has left, and what it asked is not answered",
        }
    }
}

impl ConnectionTimeouts {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            has_read: false,
            has_taken: false,
            since: now,
            active: now,
            half: None,
            unread: None,
            half_closed: None,
        }
    }

    /// Since when replies have waited for the client, as of the last look.
    pub(crate) fn unread_since(&self) -> Option<Instant> {
        self.unread
    }

    /// The server itself stood still: the time of what waited meanwhile begins again.
    pub(crate) fn reset(&mut self, now: Instant) {
        self.since = now;
        self.active = now;
        self.half = self.half.map(|(_, size)| (now, size));
        self.unread = self.unread.map(|_| now);
        self.half_closed = self.half_closed.map(|_| now);
    }

    /// One look.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        observation: Observation,
        limits: &TimeLimits,
    ) -> Option<TimeoutKind> {
        let has_read = std::mem::take(&mut self.has_read);
        let has_taken = std::mem::take(&mut self.has_taken);
        if has_read || observation.has_written || observation.is_busy || observation.has_output {
            self.active = now;
        }
        self.half = match self.half {
            _ if observation.half == 0 => None,
            // One byte now and then is no progress, a slow line is.
            Some((since, size)) if !has_taken && observation.half < size + READ_SIZE => {
                Some((since, size))
            }
            _ => Some((now, observation.half)),
        };
        self.unread = match self.unread {
            _ if !observation.has_output => None,
            Some(since) if !observation.has_written => Some(since),
            _ => Some(now),
        };
        self.half_closed = match self.half_closed {
            // Replies that wait are the client's matter, and have a limit of their own.
            _ if !observation.has_ended || observation.has_output => None,
            Some(since) if !has_read && !has_taken && !observation.has_written => Some(since),
            _ => Some(now),
        };
        let is_over = |since: Option<Instant>, limit: Duration| {
            !limit.is_zero()
                && since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
        };
        if is_over(self.half.map(|(since, _)| since), limits.half_frame) {
            Some(TimeoutKind::HalfFrame)
        } else if !observation.has_logged_in && is_over(Some(self.since), limits.authentication) {
            Some(TimeoutKind::Authentication)
        } else if is_over(self.unread, limits.unread) {
            Some(TimeoutKind::Unread)
        } else if is_over(Some(self.active), limits.idle) {
            Some(TimeoutKind::Idle)
        } else if is_over(self.half_closed, limits.half_closed) {
            Some(TimeoutKind::HalfClosed)
        } else {
            None
        }
    }
}

/// Time between two looks; `None` if there are no limits: then nobody looks.
pub(crate) fn check_period(limits: &TimeLimits) -> Option<Duration> {
    let TimeLimits {
        half_frame,
        authentication,
        // Of a slot, which the worker's tick looks at.
        admin_authentication: _,
        unread,
        idle,
        half_closed,
    } = *limits;
    [half_frame, authentication, unread, idle, half_closed]
        .into_iter()
        .filter(|limit| !limit.is_zero())
        .min()
        .map(|limit| (limit / TIME_LOOKS_PER_LIMIT).clamp(TIME_LOOK_MIN, TIME_LOOK_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);
    const QUIET: Observation = Observation {
        half: 0,
        has_logged_in: true,
        has_written: false,
        has_output: false,
        is_busy: false,
        has_ended: false,
    };

    #[test]
    fn who_never_logs_in_is_let_go_whatever_else_it_does() {
        let limits = TimeLimits {
            authentication: LIMIT,
            ..limits(0, 0, 0)
        };
        let busy = Observation {
            has_logged_in: false,
            has_written: true,
            is_busy: true,
            ..QUIET
        };
        assert_eq!(
            watch(&limits, 100, |_, _| busy),
            Some((60, TimeoutKind::Authentication))
        );
        let late = |second, _: &mut ConnectionTimeouts| Observation {
            has_logged_in: second >= 60,
            ..busy
        };
        assert_eq!(watch(&limits, 100, late), None);
    }

    fn limits(half_frame: u32, unread: u32, idle: u32) -> TimeLimits {
        TimeLimits {
            authentication: Duration::ZERO,
            admin_authentication: Duration::ZERO,
            half_frame: LIMIT * half_frame,
            unread: LIMIT * unread,
            idle: LIMIT * idle,
            half_closed: Duration::ZERO,
        }
    }

    /// Looks every second until it is overdue or the time is over; tells when.
    fn watch(
        limits: &TimeLimits,
        seconds: u64,
        mut world: impl FnMut(u64, &mut ConnectionTimeouts) -> Observation,
    ) -> Option<(u64, TimeoutKind)> {
        let begin = Instant::now();
        let mut timeouts = ConnectionTimeouts::new(begin);
        (1..=seconds).find_map(|second| {
            let observation = world(second, &mut timeouts);
            let now = begin + Duration::from_secs(second);
            timeouts
                .check(now, observation, limits)
                .map(|overdue| (second, overdue))
        })
    }

    #[test]
    fn a_byte_now_and_then_does_not_keep_half_a_frame_alive() {
        let overdue = watch(&limits(1, 1, 1), 1000, |second, timeouts| {
            timeouts.has_read = true;
            Observation {
                half: second as usize,
                ..QUIET
            }
        });
        assert_eq!(overdue, Some((61, TimeoutKind::HalfFrame)));
    }

    #[test]
    fn a_large_frame_on_a_slow_line_may_take_its_time() {
        let overdue = watch(&limits(1, 0, 0), 1000, |second, timeouts| {
            timeouts.has_read = true;
            Observation {
                half: second as usize * READ_SIZE / 30,
                ..QUIET
            }
        });
        assert_eq!(overdue, None);
    }

    #[test]
    fn every_frame_has_a_time_of_its_own() {
        let overdue = watch(&limits(1, 0, 0), 1000, |second, timeouts| {
            timeouts.has_taken = second % 50 == 0;
            Observation { half: 3, ..QUIET }
        });
        assert_eq!(overdue, None);
    }

    #[test]
    fn replies_that_nobody_reads_are_waited_for_so_long_and_any_that_is_read_counts() {
        let output = Observation {
            has_output: true,
            is_busy: true,
            ..QUIET
        };
        let unread = watch(&limits(1, 1, 1), 1000, |_, _| output);
        assert_eq!(unread, Some((61, TimeoutKind::Unread)));
        let slow = watch(&limits(1, 1, 1), 1000, |second, _| Observation {
            has_written: second % 50 == 0,
            ..output
        });
        assert_eq!(slow, None);
    }

    #[test]
    fn idle_begins_when_the_last_request_ended() {
        let overdue = watch(&limits(0, 0, 1), 1000, |second, _| Observation {
            is_busy: second <= 500,
            ..QUIET
        });
        assert_eq!(overdue, Some((560, TimeoutKind::Idle)));
        let pings = watch(&limits(0, 0, 1), 1000, |second, timeouts| {
            timeouts.has_read = second % 50 == 0;
            QUIET
        });
        assert_eq!(pings, None);
    }

    #[test]
    fn a_client_that_sends_no_more_is_waited_for_as_long_as_something_is_answered() {
        let limits = TimeLimits {
            half_closed: LIMIT,
            ..limits(0, 0, 0)
        };
        let ended = Observation {
            is_busy: true,
            has_ended: true,
            ..QUIET
        };
        let kind = TimeoutKind::HalfClosed;
        assert_eq!(watch(&limits, 1000, |_, _| ended), Some((61, kind)));
        let answered = |second, _: &mut ConnectionTimeouts| Observation {
            has_written: second % 50 == 0,
            ..ended
        };
        assert_eq!(watch(&limits, 1000, answered), None);
        let slow_reader = |_, _: &mut ConnectionTimeouts| Observation {
            has_output: true,
            ..ended
        };
        assert_eq!(watch(&limits, 1000, slow_reader), None);
        let listening = |_, _: &mut ConnectionTimeouts| Observation {
            is_busy: true,
            ..QUIET
        };
        assert_eq!(watch(&limits, 1000, listening), None);
    }

    #[test]
    fn nobody_pays_for_a_server_that_stood_still() {
        let begin = Instant::now();
        let waiting = Observation {
            half: 1,
            has_output: true,
            ..QUIET
        };
        for observation in [waiting, QUIET] {
            let mut timeouts = ConnectionTimeouts::new(begin);
            assert_eq!(timeouts.check(begin, observation, &limits(1, 1, 1)), None);
            let later = begin + LIMIT * 100;
            timeouts.reset(later);
            assert_eq!(timeouts.check(later, observation, &limits(1, 1, 1)), None);
            let overdue = timeouts.check(later + LIMIT, observation, &limits(1, 1, 1));
            assert!(overdue.is_some(), "it counts from then on");
        }
    }

    #[test]
    fn zero_is_no_limit() {
        let half = Observation {
            half: 1,
            has_output: true,
            ..QUIET
        };
        for observation in [half, QUIET] {
            assert_eq!(watch(&limits(0, 0, 0), 10_000, |_, _| observation), None);
        }
        assert_eq!(check_period(&limits(0, 0, 0)), None);
    }

    #[test]
    fn looks_are_bounded_whatever_the_limits() {
        for limit in [Duration::from_nanos(1), LIMIT, Duration::MAX] {
            let limits = TimeLimits {
                authentication: Duration::ZERO,
                admin_authentication: Duration::ZERO,
                idle: limit,
                ..limits(0, 0, 0)
            };
            let period = check_period(&limits).expect("there is a limit");
            assert!((TIME_LOOK_MIN..=TIME_LOOK_MAX).contains(&period));
        }
    }
}
