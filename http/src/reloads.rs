//! What became of the times that the program's configuration was loaded again.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// What became of the reloads of a configuration, for metrics and status: told by
/// [`Sources::reloads`](crate::Sources::reloads).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Reloads {
    /// One is under way.
    pub is_under_way: bool,
    /// How many were taken.
    pub taken: u64,
    /// How many were refused, and changed nothing.
    pub refused: u64,
    /// When the last one was, taken or refused. Serialized as Unix time in seconds.
    #[serde(serialize_with = "in_unix_seconds_or_null")]
    pub last: Option<SystemTime>,
    /// Who wanted the last one.
    pub requested_by: String,
    /// What was wrong with the last one; empty if it was taken.
    pub faults: Vec<String>,
    /// Options that have another value now than the program goes by: it takes them at its start.
    pub needs_restart: Vec<String>,
}

fn in_unix_seconds_or_null<S: Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let since = time.map(|own| own.duration_since(UNIX_EPOCH).unwrap_or_default());
    since.map(|own| own.as_secs_f64()).serialize(serializer)
}
