//! How long a request and a transaction may take: the rules, pure. Zero means for ever.
//!
//! ```text
//!   request      own setting of the connection, else the configured one    over: 78
//!   transaction  the smaller of the configured one and BEGIN's             over: 231 until it ends
//!   in one       the one that is over first
//!   wait         the configured one, for what has Tx do nothing            over: 78
//! ```

use std::time::{Duration, Instant};

use vestibule_wire::{Error, ErrorCode};

/// Whose time a request's deadline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The request's own time.
    Request,
    /// The time of the request's transaction.
    Transaction,
    /// The time that a request may wait for something else than Tx.
    Wait,
}

/// What a request is answered that has waited too long for something else than Tx.
pub(crate) fn waited_too_long() -> Error {
    let text = "Timeout exceeded: waited for a lock, a procedure, a credit or a request before it";
    Error::new(ErrorCode::TIMEOUT, text)
}

/// The smaller of two timeouts.
pub(crate) fn smaller(one: Duration, other: Duration) -> Duration {
    match (one.is_zero(), other.is_zero()) {
        (true, _) => other,
        (_, true) => one,
        _ => one.min(other),
    }
}

/// When a timeout that begins now is over.
pub(crate) fn after(now: Instant, timeout: Duration) -> Option<Instant> {
    if timeout.is_zero() {
        return None;
    }
    // What the clock cannot tell is never over.
    now.checked_add(timeout)
}

/// A connection's own timeout takes the place of the configured one.
pub(crate) fn effective(configured: Duration, own: Option<Duration>) -> Duration {
    own.unwrap_or(configured)
}

/// Until when a request may take that arrives now, and why then.
pub(crate) fn request_deadline(
    now: Instant,
    timeout: Duration,
    transaction: Option<Instant>,
) -> Option<(Instant, Limit)> {
    let request = after(now, timeout);
    match (request, transaction) {
        (Some(request), Some(transaction)) if request < transaction => {
            Some((request, Limit::Request))
        }
        (_, Some(transaction)) => Some((transaction, Limit::Transaction)),
        (Some(request), None) => Some((request, Limit::Request)),
        (None, None) => None,
    }
}

/// Until when a request is held that arrived then, and why then: its own time or that of its
/// transaction, if one of them is over first, else that of holding (no limit is told).
pub(crate) fn held_deadline(
    since: Instant,
    time_max: Duration,
    own: Option<(Instant, Limit)>,
) -> Option<(Instant, Option<Limit>)> {
    let held = since.checked_add(time_max);
    match own {
        Some((at, limit)) if held.is_none_or(|held| at <= held) => Some((at, Some(limit))),
        _ => held.map(|at| (at, None)),
    }
}

/// Until when a transaction that begins now may take. `asked`: BEGIN's timeout in seconds.
pub(crate) fn transaction_deadline(
    now: Instant,
    configured: Duration,
    asked: Option<f64>,
) -> Option<Instant> {
    let asked = asked.map_or(Duration::ZERO, |seconds| {
        // More than the clock can tell, as connectors send for "infinite", is for ever.
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
    });
    after(now, smaller(configured, asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    /// TS-09: the minimum in which zero is infinite.
    #[test]
    fn zero_is_infinite_in_the_smaller_of_two() {
        let rows = [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 2, 1), (2, 1, 1)];
        for (one, other, wanted) in rows {
            assert_eq!(smaller(ms(one), ms(other)), ms(wanted), "{one} {other}");
        }
    }

    #[test]
    fn a_held_request_takes_no_longer_than_it_would_take_elsewhere() {
        let since = Instant::now();
        let own = |time, limit| Some((since + ms(time), limit));
        let at = |time, limit| Some((since + ms(time), limit));
        let deadline = |own| held_deadline(since, ms(100), own);
        assert_eq!(deadline(None), at(100, None));
        for limit in [Limit::Request, Limit::Transaction] {
            assert_eq!(deadline(own(99, limit)), at(99, Some(limit)));
            assert_eq!(deadline(own(100, limit)), at(100, Some(limit)));
            assert_eq!(deadline(own(101, limit)), at(100, None));
        }
    }

    /// TS-10: a connection's own timeout takes the place of the configured one; a transaction caps
    /// both.
    #[test]
    fn a_request_takes_its_own_time_but_not_more_than_its_transaction() {
        const CONFIGURED: u64 = 30_000;
        let (request, transaction) = (Limit::Request, Limit::Transaction);
        let rows = [
            (None, None, Some((30_000, request))),
            (None, Some(30_000), Some((30_000, transaction))),
            (Some(0), None, None),
            (Some(3), None, Some((3, request))),
            (Some(40_000), None, Some((40_000, request))),
            (Some(0), Some(30_000), Some((30_000, transaction))),
            (Some(3), Some(30_000), Some((3, request))),
            (Some(40_000), Some(30_000), Some((30_000, transaction))),
        ];
        let now = Instant::now();
        for (own, left, wanted) in rows {
            let transaction = left.map(|left| now + ms(left));
            let timeout = effective(ms(CONFIGURED), own.map(ms));
            let deadline = request_deadline(now, timeout, transaction);
            let wanted = wanted.map(|(after, limit)| (now + ms(after), limit));
            assert_eq!(deadline, wanted, "{own:?} {left:?}");
        }
    }

    #[test]
    fn a_transaction_takes_the_smaller_of_what_is_configured_and_what_begin_asks_for() {
        let now = Instant::now();
        let at = |time| Some(now + ms(time));
        assert_eq!(transaction_deadline(now, ms(0), None), None);
        assert_eq!(transaction_deadline(now, ms(500), None), at(500));
        assert_eq!(transaction_deadline(now, ms(0), Some(0.25)), at(250));
        assert_eq!(transaction_deadline(now, ms(500), Some(0.25)), at(250));
        assert_eq!(transaction_deadline(now, ms(500), Some(9.0)), at(500));
        // Tarantool's "infinite" is 500 years or more.
        assert_eq!(transaction_deadline(now, ms(500), Some(1e300)), at(500));
        assert_eq!(transaction_deadline(now, ms(0), Some(1e300)), None);
    }
}
