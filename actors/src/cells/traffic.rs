//! What the threads of sessions count of their traffic, for those who look from other threads.
//!
//! ```text
//!   0 ───────────────────────────────────────────────────────────────── COUNTERS
//!   │ bytes, … │ type × path │ error codes │ ends │ logins │ fates │
//!        └ per second ┘ by type
//! ```
//!
//! Each worker has counters of its own and is the only one that adds to them.

use std::time::Instant;

use serde::Serialize;
use vestibule_wire::ErrorCode;
use vestibule_wire::keys::RequestType;

use crate::counting::counter::OwnCounter;
use crate::counting::durations::DurationCounts;

/// Types with numbers below this have counters of their own, and so have those with the numbers
/// from `HIGH_TYPES` on; the first counter is for all others.
const LOW_TYPES: usize = 17;
const HIGH_TYPES: usize = RequestType::Ping as usize;
/// Counters by request type.
const TYPES: usize = LOW_TYPES + RequestType::WatchOnce as usize + 1 - HIGH_TYPES;

/// Counters of something else than requests that are told per second as well.
const OTHERS_RATED: usize = 5;
/// How many numbers are told per second: those, and requests by type.
pub(crate) const RATED: usize = OTHERS_RATED + TYPES;

const PATHS: usize = OTHERS_RATED;
const ERROR_CODES: usize = PATHS + TYPES * RequestPath::ALL.len();
const CLOSED: usize = ERROR_CODES + CODES_COUNTED.len() + 1;
/// How many reasons there are for which a connection ends.
pub(crate) const CLOSE_REASONS: usize = 10;
const LOGINS: usize = CLOSED + CLOSE_REASONS;
const FATES: usize = LOGINS + LoginResult::ALL.len();
const COUNTERS: usize = FATES + 4;

/// Where a request went when it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RequestPath {
    /// To Tx.
    Tx,
    /// Read from the view, on the session thread.
    View,
    /// Answered by its session.
    Local,
    /// Refused by its session.
    Refused,
}

impl RequestPath {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Tx, Self::View, Self::Local, Self::Refused];

    /// As it is serialized.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tx => "tx",
            Self::View => "view",
            Self::Local => "local",
            Self::Refused => "refused",
        }
    }
}

/// What became of an attempt to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LoginResult {
    /// The login succeeded.
    Ok,
    /// The login was answered with an error.
    Failed,
    /// The login has to wait, because others were wrong before it; it is counted again when it is
    /// answered.
    Delayed,
}

impl LoginResult {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Failed, Self::Delayed];

    /// As it is serialized.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Delayed => "delayed",
        }
    }
}

/// Errors that have a counter of their own: what operators look for. All others share one.
pub(crate) const CODES_COUNTED: [ErrorCode; 25] = [
    ErrorCode::ILLEGAL_PARAMS,
    ErrorCode::MEMORY_ISSUE,
    ErrorCode::TUPLE_FOUND,
    ErrorCode::UNSUPPORTED,
    ErrorCode::READONLY,
    ErrorCode::INVALID_MSGPACK,
    ErrorCode::FIELD_TYPE,
    ErrorCode::PROC,
    ErrorCode::NO_SUCH_PROC,
    ErrorCode::NO_SUCH_SPACE,
    ErrorCode::WAL_IO,
    ErrorCode::ACCESS_DENIED,
    ErrorCode::NO_SUCH_USER,
    ErrorCode::CREDS_MISMATCH,
    ErrorCode::UNKNOWN_REQUEST_TYPE,
    ErrorCode::MISSING_REQUEST_FIELD,
    ErrorCode::TIMEOUT,
    ErrorCode::TRANSACTION_CONFLICT,
    ErrorCode::WRONG_SCHEMA_VERSION,
    ErrorCode::TUPLE_TOO_LARGE,
    ErrorCode::SYSTEM,
    ErrorCode::LOADING,
    ErrorCode::TRANSACTION_TIMEOUT,
    ErrorCode::FOREIGN_KEY_INTEGRITY,
    ErrorCode::SHUTDOWN,
];

/// A type of requests, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CountedType(usize);

impl CountedType {
    /// Requests that are no requests, and those that are not counted by type.
    pub(crate) const OTHER: Self = Self(0);

    /// The type with this number.
    #[inline]
    pub(crate) fn of_code(code: u64) -> Self {
        let high = code.wrapping_sub(HIGH_TYPES as u64);
        if code < LOW_TYPES as u64 {
            Self(code as usize)
        } else if high < (TYPES - LOW_TYPES) as u64 {
            Self(LOW_TYPES + high as usize)
        } else {
            Self::OTHER
        }
    }

    /// The type that it is, if it is one that a client may send.
    pub(crate) fn request_type(self) -> Option<RequestType> {
        let code = match self.0.checked_sub(LOW_TYPES) {
            None => self.0,
            Some(high) => HIGH_TYPES + high,
        };
        RequestType::from_code(code as u64)
    }

    /// All types: the sum is all requests.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..TYPES).map(Self)
    }

    /// The requests of this type that went a path.
    #[inline]
    pub(crate) fn on(self, path: RequestPath) -> Counter {
        Counter(PATHS + self.0 * RequestPath::ALL.len() + path as usize)
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counter(usize);

impl Counter {
    /// Bytes that clients have sent.
    pub(crate) const RECEIVED: Self = Self(0);
    /// Bytes that were sent to clients.
    pub(crate) const SENT: Self = Self(1);
    /// Connections that were taken in.
    pub(crate) const CONNECTIONS: Self = Self(2);
    /// Replies that tell an error.
    pub(crate) const ERRORS: Self = Self(3);
    /// Streams in which a transaction was begun.
    pub(crate) const STREAMS: Self = Self(4);
    /// Forwarded requests that were taken back before Tx began them.
    pub(crate) const REVOKED: Self = Self(FATES);
    /// Forwarded requests of whose outcome the client was told that it is unknown.
    pub(crate) const OUTCOME_UNKNOWN: Self = Self(FATES + 1);
    /// Requests that were held until solo ends, or for as long as that may take.
    pub(crate) const HELD: Self = Self(FATES + 2);
    /// Held requests that are not held any more.
    pub(crate) const RELEASED: Self = Self(FATES + 3);

    /// Replies that tell this error, or one of those that have no counter of their own.
    pub(crate) fn error(code: ErrorCode) -> Self {
        let own = CODES_COUNTED.iter().position(|own| *own == code);
        own.map_or(Self::OTHER_ERRORS, |at| Self(ERROR_CODES + at))
    }

    /// Replies that tell an error without a counter of its own.
    pub(crate) const OTHER_ERRORS: Self = Self(ERROR_CODES + CODES_COUNTED.len());

    /// Connections that ended for the reason with this number.
    pub(crate) fn closed(reason: usize) -> Self {
        Self(CLOSED + reason.min(CLOSE_REASONS - 1))
    }

    /// Logins.
    pub(crate) fn login(result: LoginResult) -> Self {
        Self(LOGINS + result as usize)
    }
}

/// Since the start of the runtime, and per second in the last few of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) total: u64,
    /// Thousandths per second.
    pub(crate) rate: u64,
}

impl Counted {
    /// Both of them together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            rate: self.rate + other.rate,
        }
    }
}

/// The counters of one worker. They have cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct TrafficCounts {
    totals: [OwnCounter; COUNTERS],
    rates: [OwnCounter; RATED],
    durations: [DurationCounts; RequestPath::ALL.len()],
}

impl TrafficCounts {
    pub(crate) fn new() -> Self {
        Self {
            totals: std::array::from_fn(|_| OwnCounter::default()),
            rates: std::array::from_fn(|_| OwnCounter::default()),
            durations: std::array::from_fn(|_| DurationCounts::default()),
        }
    }

    /// Adds to it. For the thread alone whose counters they are.
    #[inline]
    pub(crate) fn add(&self, counter: Counter, more: u64) {
        self.totals[counter.0].add(more);
    }

    /// One more. For the thread alone whose counters they are.
    #[inline]
    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// How long the requests of a path took. For the thread alone whose counters they are.
    #[inline]
    pub(crate) fn durations(&self, path: RequestPath) -> &DurationCounts {
        &self.durations[path as usize]
    }

    /// A reply tells this error.
    pub(crate) fn count_error(&self, code: ErrorCode) {
        self.count(Counter::ERRORS);
        self.count(Counter::error(code));
    }

    /// A forwarded request, there since then, is answered without Tx: `was_started`, with its
    /// outcome unknown.
    pub(crate) fn count_cut_off(&self, was_started: bool, since: Instant, now: Instant) {
        self.count(match was_started {
            true => Counter::OUTCOME_UNKNOWN,
            false => Counter::REVOKED,
        });
        let took = now.saturating_duration_since(since);
        self.durations(RequestPath::Tx).add(took);
    }

    /// The totals that there are rates of, in the order that [`set_rates`](Self::set_rates) takes.
    pub(crate) fn rated(&self) -> [u64; RATED] {
        std::array::from_fn(|at| match at.checked_sub(OTHERS_RATED) {
            None => self.totals[at].get(),
            Some(own) => self.requests(CountedType(own)).total,
        })
    }

    /// How many there were per second in the last few, in thousandths.
    pub(crate) fn set_rates(&self, rates: [u64; RATED]) {
        for (own, rate) in self.rates.iter().zip(rates) {
            own.set(rate);
        }
    }

    /// What one counter says.
    pub(crate) fn get(&self, counter: Counter) -> Counted {
        let is_rated = counter.0 < OTHERS_RATED;
        Counted {
            total: self.totals[counter.0].get(),
            rate: if is_rated {
                self.rates[counter.0].get()
            } else {
                0
            },
        }
    }

    /// Requests of a type, whatever their path.
    pub(crate) fn requests(&self, counted: CountedType) -> Counted {
        let by_path = RequestPath::ALL.map(|path| self.totals[counted.on(path).0].get());
        Counted {
            total: by_path.iter().sum(),
            rate: self.rates[OTHERS_RATED + counted.0].get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_a_counter_of_its_own() {
        let traffic = TrafficCounts::new();
        for request_type in RequestType::ALL {
            let counted = CountedType::of_code(*request_type as u64);
            traffic.count(counted.on(RequestPath::Tx));
            traffic.count(counted.on(RequestPath::Refused));
        }
        for request_type in RequestType::ALL {
            let counted = CountedType::of_code(*request_type as u64);
            assert_ne!(counted, CountedType::OTHER);
            assert_eq!(counted.request_type(), Some(*request_type));
            assert_eq!(traffic.requests(counted).total, 2);
        }
        let all = CountedType::all().map(|own| traffic.requests(own).total);
        assert_eq!(all.sum::<u64>(), 2 * RequestType::ALL.len() as u64);
        for code in [0, 17, 63, 78, u64::MAX] {
            assert_eq!(CountedType::of_code(code), CountedType::OTHER, "{code}");
        }
        assert_eq!(CountedType::OTHER.request_type(), None);
    }

    #[test]
    fn no_two_things_share_a_counter() {
        let paths = CountedType::all().flat_map(|own| RequestPath::ALL.map(|path| own.on(path)));
        let errors = CODES_COUNTED.into_iter().map(Counter::error);
        let closed = (0..CLOSE_REASONS).map(Counter::closed);
        let logins = LoginResult::ALL.into_iter().map(Counter::login);
        let others = [
            Counter::RECEIVED,
            Counter::SENT,
            Counter::CONNECTIONS,
            Counter::ERRORS,
            Counter::STREAMS,
            Counter::OTHER_ERRORS,
            Counter::REVOKED,
            Counter::OUTCOME_UNKNOWN,
            Counter::HELD,
            Counter::RELEASED,
        ];
        let all = paths.chain(errors).chain(closed);
        let mut all: Vec<_> = all.chain(logins).chain(others).map(|own| own.0).collect();
        all.sort_unstable();
        assert_eq!(all, (0..COUNTERS).collect::<Vec<_>>());
        assert_eq!(
            Counter::error(ErrorCode::NO_SUCH_ROLE),
            Counter::OTHER_ERRORS
        );
    }

    #[test]
    fn totals_and_rates_are_kept_apart() {
        let traffic = TrafficCounts::new();
        traffic.add(Counter::SENT, 5);
        traffic.add(Counter::SENT, 7);
        let select = CountedType::of_code(RequestType::Select as u64);
        traffic.count(select.on(RequestPath::View));
        traffic.set_rates(traffic.rated().map(|total| total * 100));
        let one = Counted {
            total: 1,
            rate: 100,
        };
        assert_eq!(traffic.requests(select), one);
        let sent = Counted {
            total: 12,
            rate: 1200,
        };
        assert_eq!(traffic.get(Counter::SENT), sent);
        assert_eq!(traffic.get(Counter::RECEIVED), Counted::default());
        assert_eq!(sent.and(sent).total, 24);
    }
}
