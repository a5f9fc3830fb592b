//! The last transitions, and how many there were of each kind.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use super::record::{RecordedResult, TransitionRecord};
use crate::limits::TRANSITIONS_KEPT_MAX;
use crate::serialized::in_seconds;
use crate::serving::StateOrRole;

/// How many transitions of a kind there were since the start, those under way left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TransitionCount {
    /// State or role after.
    pub to: StateOrRole,
    /// What became of them.
    pub result: RecordedResult,
    /// How many.
    pub count: u64,
    /// How long all of them took together. Serialized in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub took: Duration,
}

/// The last transitions, oldest first, and counts of all.
#[derive(Debug, Default)]
pub(crate) struct TransitionLog(Mutex<Rows>);

#[derive(Debug, Default)]
struct Rows {
    last: u64,
    kept: VecDeque<TransitionRecord>,
    /// By the names of what they led to and of what became of them.
    counts: BTreeMap<(&'static str, &'static str), TransitionCount>,
}

impl Rows {
    fn count(&mut self, record: &TransitionRecord) {
        let (to, result) = (record.to, record.result);
        if result == RecordedResult::UnderWay {
            return;
        }
        let key = (to.name(), result.name());
        let own = self.counts.entry(key).or_insert(TransitionCount {
            to,
            result,
            count: 0,
            took: Duration::ZERO,
        });
        own.count += 1;
        own.took += record.took;
    }
}

impl TransitionLog {
    fn with<R>(&self, edit: impl FnOnce(&mut Rows) -> R) -> R {
        edit(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers a transition under a new number, which it returns.
    pub(crate) fn push(&self, mut record: TransitionRecord) -> u64 {
        self.with(|rows| {
            rows.last += 1;
            record.id = rows.last;
            if rows.kept.len() >= TRANSITIONS_KEPT_MAX {
                rows.kept.pop_front();
            }
            rows.count(&record);
            rows.kept.push_back(record);
            rows.last
        })
    }

    /// Puts a completed record in the place of the one with its number.
    pub(crate) fn replace(&self, record: &TransitionRecord) {
        self.with(|rows| {
            let own = rows.kept.iter_mut().find(|own| own.id == record.id);
            let before = own.map(|own| std::mem::replace(own, record.clone()).result);
            // One that is not kept any more was under way for all that time.
            if before.is_none_or(|before| before == RecordedResult::UnderWay) {
                rows.count(record);
            }
        });
    }

    /// The number of the last one, which is how many there were.
    pub(crate) fn last(&self) -> u64 {
        self.with(|rows| rows.last)
    }

    /// How many there were of each kind.
    pub(crate) fn counts(&self) -> Vec<TransitionCount> {
        self.with(|rows| rows.counts.values().copied().collect())
    }

    pub(crate) fn rows(&self) -> Vec<TransitionRecord> {
        self.with(|rows| rows.kept.iter().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::{Role, State};

    #[test]
    fn each_transition_is_counted_once_when_it_is_over() {
        let log = TransitionLog::default();
        let to_replica = || {
            let (from, to) = (Role::Primary.into(), Role::Replica.into());
            TransitionRecord::begin(from, to, "a test".to_owned(), "a test")
        };
        let mut record = to_replica();
        record.id = log.push(record.clone());
        assert_eq!(log.counts(), []);
        record.grace = None;
        log.replace(&record);
        assert_eq!(log.counts(), []);
        record.result = RecordedResult::Done;
        record.took = Duration::from_secs(2);
        log.replace(&record);
        log.replace(&record);
        let mut late = to_replica();
        late.id = log.push(late.clone());
        let (from, to) = (State::Assist.into(), State::Solo.into());
        for _ in 0..2 * TRANSITIONS_KEPT_MAX {
            log.push(TransitionRecord::at_once(from, to, String::new()));
        }
        late.result = RecordedResult::Superseded;
        log.replace(&late);
        let counts = log.counts().into_iter();
        let counts: Vec<_> = counts
            .map(|own| {
                (
                    own.to.name(),
                    own.result.name(),
                    own.count,
                    own.took.as_secs(),
                )
            })
            .collect();
        let solos = 2 * TRANSITIONS_KEPT_MAX as u64;
        let expected = [
            ("replica", "done", 1, 2),
            ("replica", "superseded", 1, 0),
            ("solo", "done", solos, 0),
        ];
        assert_eq!(counts, expected);
    }
}
