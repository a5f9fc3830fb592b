//! What is remembered of transitions.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::limits::TRANSITIONS_KEPT_MAX;

/// How a stop went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReport {
    /// Requests that were under way when the deadline came: their clients were told that the outcome
    /// is unknown, or that they were not begun.
    pub killed: usize,
    /// Whether Tx closed its engine in time. If not, its thread is left behind: exit the process.
    pub tx_stopped: bool,
    /// How long it took.
    pub took: Duration,
    /// Why the runtime stopped by itself, if it did: the engine failed to start, or died too often.
    pub failure: Option<String>,
}

/// One transition, as `vestibule.show('transitions')` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TransitionRecord {
    /// Counted from 1.
    pub id: u64,
    /// State before.
    pub from: String,
    /// State after.
    pub to: String,
    /// What caused it.
    pub reason: String,
    /// Who asked for it.
    pub requested_by: String,
    /// Unix time of its beginning, in seconds.
    pub started: f64,
    /// Seconds it took; 0 while it is under way or if it was immediate.
    pub took: f64,
    /// Requests in flight when it began.
    pub waited_for: usize,
    /// Requests cut off at its deadline.
    pub killed: usize,
}

impl TransitionRecord {
    /// A transition that begins now.
    pub(crate) fn now(from: &str, to: &str, reason: String, by: &str, waited_for: usize) -> Self {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            id: 0,
            from: from.to_owned(),
            to: to.to_owned(),
            reason,
            requested_by: by.to_owned(),
            started: unix.as_secs_f64(),
            took: 0.0,
            waited_for,
            killed: 0,
        }
    }
}

/// The last transitions, oldest first.
#[derive(Debug, Default)]
pub(crate) struct TransitionLog {
    rows: Mutex<(u64, VecDeque<TransitionRecord>)>,
}

impl TransitionLog {
    fn with<R>(&self, edit: impl FnOnce(&mut (u64, VecDeque<TransitionRecord>)) -> R) -> R {
        edit(&mut self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers a transition under a new number, which it returns.
    pub(crate) fn push(&self, mut record: TransitionRecord) -> u64 {
        self.with(|(last, rows)| {
            *last += 1;
            record.id = *last;
            if rows.len() >= TRANSITIONS_KEPT_MAX {
                rows.pop_front();
            }
            rows.push_back(record);
            *last
        })
    }

    /// Completes a record.
    pub(crate) fn finish(&self, id: u64, took: Duration, killed: usize) {
        self.with(|(_, rows)| {
            if let Some(record) = rows.iter_mut().find(|record| record.id == id) {
                record.took = took.as_secs_f64();
                record.killed = killed;
            }
        });
    }

    pub(crate) fn rows(&self) -> Vec<TransitionRecord> {
        self.with(|(_, rows)| rows.iter().cloned().collect())
    }
}
