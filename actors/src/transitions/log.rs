//! The last transitions.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::record::TransitionRecord;
use crate::limits::TRANSITIONS_KEPT_MAX;

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

    /// Puts a completed record in the place of the one with its number.
    pub(crate) fn replace(&self, record: &TransitionRecord) {
        self.with(|(_, rows)| {
            if let Some(own) = rows.iter_mut().find(|own| own.id == record.id) {
                own.clone_from(record);
            }
        });
    }

    /// The number of the last one, which is how many there were.
    pub(crate) fn last(&self) -> u64 {
        self.with(|(last, _)| *last)
    }

    pub(crate) fn rows(&self) -> Vec<TransitionRecord> {
        self.with(|(_, rows)| rows.iter().cloned().collect())
    }
}
