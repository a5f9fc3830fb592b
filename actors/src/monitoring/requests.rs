//! Requests by type and path, what they were answered, and how long they took.
//!
//! ```text
//!   tx      read ─▶ forwarded ─▶ … ─▶ its reply is back on the session thread   all are timed
//!   others  read ─▶ answered ─▶ end of the session's turn                       one turn in a few
//! ```

use std::collections::BTreeMap;

use serde::Serialize;
use vestibule_wire::ErrorCode;
use vestibule_wire::keys::RequestType;

use super::metrics::counted_by_all;
use crate::cells::traffic::{CODES_COUNTED, CountedType, Counter, RequestPath};
use crate::counting::durations::DurationHistogram;
use crate::shared::Shared;

/// Where requests went, what they were answered, and how long they took.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RequestMetrics {
    /// Requests by type and path, since the start. One that is held is counted when it is known
    /// what becomes of it; one whose connection ends before that is not.
    pub counts: Vec<RequestCount>,
    /// Replies that told an error, since the start, by its code.
    pub errors: Vec<ErrorCount>,
    /// How long requests took, by path: of [`Tx`](RequestPath::Tx), all that were forwarded, from
    /// the read that brought them until their replies were back on the session thread, or until
    /// they were answered without it. Of the other paths one request in about sixteen is looked at:
    /// from the read that brought it until the end of the turn of its session in which it was
    /// answered.
    pub durations: BTreeMap<RequestPath, DurationHistogram>,
    /// Requests that are held until solo ends.
    pub held: usize,
    /// Forwarded requests that were taken back before Tx began them, since the start.
    pub revoked: u64,
    /// Forwarded requests of which the client was told that their outcome is unknown, since the
    /// start.
    pub outcome_unknown: u64,
}

/// How many requests of a type went a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestCount {
    /// The type, in small letters; `other` for what is no type.
    pub request: &'static str,
    /// The path.
    pub path: RequestPath,
    /// How many, since the start.
    pub count: u64,
}

/// How many replies told an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ErrorCount {
    /// The code; `None` for all that have no counter of their own.
    #[serde(skip)]
    pub code: Option<ErrorCode>,
    /// The code's name, as the constants have it; `other` for those without a counter.
    pub name: &'static str,
    /// How many, since the start.
    pub count: u64,
}

/// The name of what has none of its own.
const OTHER: &str = "other";

/// The name that requests of a type are told under. CALL has two types.
fn name_of(counted: CountedType) -> &'static str {
    let Some(own) = counted.request_type() else {
        return OTHER;
    };
    match own {
        RequestType::Auth => "auth",
        RequestType::Begin => "begin",
        RequestType::Call | RequestType::Call16 => "call",
        RequestType::Commit => "commit",
        RequestType::Delete => "delete",
        RequestType::Eval => "eval",
        RequestType::Execute => "execute",
        RequestType::Id => "id",
        RequestType::Insert => "insert",
        RequestType::Ping => "ping",
        RequestType::Prepare => "prepare",
        RequestType::Replace => "replace",
        RequestType::Rollback => "rollback",
        RequestType::Select => "select",
        RequestType::Unwatch => "unwatch",
        RequestType::Update => "update",
        RequestType::Upsert => "upsert",
        RequestType::Watch => "watch",
        RequestType::WatchOnce => "watch_once",
    }
}

impl RequestMetrics {
    pub(super) fn of(shared: &Shared) -> Self {
        let sum = |counter| counted_by_all(shared, counter);
        let mut counts = BTreeMap::<_, u64>::new();
        for counted in CountedType::all() {
            for path in RequestPath::ALL {
                *counts.entry((name_of(counted), path)).or_default() += sum(counted.on(path));
            }
        }
        let count = |((request, path), count)| RequestCount {
            request,
            path,
            count,
        };
        let error = |code: Option<ErrorCode>, counter| ErrorCount {
            code,
            name: code.and_then(code_name).unwrap_or(OTHER),
            count: sum(counter),
        };
        let errors = CODES_COUNTED.map(|code| error(Some(code), Counter::error(code)));
        let durations = |path| {
            let workers = shared.counters.iter();
            let workers = workers.map(|own| own.traffic.durations(path).histogram());
            let sum = workers.fold(DurationHistogram::default(), |sum, own| sum.and(&own));
            (path, sum)
        };
        // In this order: what is released was held before.
        let released = sum(Counter::RELEASED);
        Self {
            counts: counts.into_iter().map(count).collect(),
            errors: errors
                .into_iter()
                .chain([error(None, Counter::OTHER_ERRORS)])
                .collect(),
            durations: RequestPath::ALL.map(durations).into(),
            held: sum(Counter::HELD).saturating_sub(released) as usize,
            revoked: sum(Counter::REVOKED),
            outcome_unknown: sum(Counter::OUTCOME_UNKNOWN),
        }
    }
}

fn code_name(code: ErrorCode) -> Option<&'static str> {
    let known = ErrorCode::ALL.iter().find(|(own, _)| *own == code);
    known.map(|(_, name)| *name)
}
