//! What an engine tells monitoring of itself: spaces, journal, checkpoints.
//!
//! ```text
//!   engine ── once, after recovery ──▶ Statistics ◀── numbers, as often as asked ── any thread
//! ```
//!
//! Tx is not asked: what is told is what the engine leaves where other threads may look, as it does
//! for its read view. So it is told while Tx is blocked, and costs Tx nothing while nobody looks.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::counting::durations::DurationHistogram;
use crate::serialized::{in_seconds_or_nil, in_unix_seconds_or_nil};

/// What an engine tells of itself, to any thread that asks.
pub trait Statistics: Send + Sync + 'static {
    /// How things stand. It may take as long as it takes to go over what is told; a lock that Tx
    /// may want is to be held for a moment only. What only grows is counted from the beginning of
    /// this engine: the runtime adds what the engines before it have counted.
    fn numbers(&self) -> EngineNumbers;
}

/// How things stand with an engine.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct EngineNumbers {
    /// Spaces of users, up to [`ENGINE_SPACES_TOLD_MAX`](crate::limits::ENGINE_SPACES_TOLD_MAX).
    pub spaces: Vec<SpaceNumbers>,
    /// Spaces beyond those that are told.
    pub spaces_left_out: usize,
    /// What tuples take that stand beside the nodes of their indexes, in bytes.
    pub data_bytes: u64,
    /// What indexes take, with their keys and the tuples that stand in them, in bytes.
    pub index_bytes: u64,
    /// The journal, if there is one.
    pub journal: Option<JournalNumbers>,
    /// Checkpoints, if any are made.
    pub checkpoints: Option<CheckpointNumbers>,
}

/// How things stand with a space.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct SpaceNumbers {
    /// The space's name.
    pub name: String,
    /// How many tuples there are.
    pub rows: u64,
    /// Bytes of the tuples themselves.
    pub tuple_bytes: u64,
    /// What the tuples and all indexes take, in bytes.
    pub bytes: u64,
    /// The indexes.
    pub indexes: Vec<IndexNumbers>,
}

/// How things stand with an index.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct IndexNumbers {
    /// The index's name.
    pub name: String,
    /// What its nodes take, in bytes, with the keys and the tuples that stand in them.
    pub bytes: u64,
}

/// How things stand with the journal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct JournalNumbers {
    /// Bytes that were written to it.
    pub written_bytes: u64,
    /// Bytes of its files.
    pub size_bytes: u64,
    /// How long it took to have them on the disk, each time.
    pub syncs: DurationHistogram,
}

/// How things stand with checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct CheckpointNumbers {
    /// When the last one was made; `None` if none was since the start. Serialized as Unix time in
    /// seconds.
    #[serde(serialize_with = "in_unix_seconds_or_nil")]
    pub last_success: Option<SystemTime>,
    /// How long that one took. Serialized in seconds.
    #[serde(serialize_with = "in_seconds_or_nil")]
    pub last_duration: Option<Duration>,
    /// How many could not be made.
    pub failures: u64,
    /// Why the last attempt failed, if it did.
    pub failure: Option<String>,
    /// Bytes in the journal since the last one.
    pub journal_bytes: u64,
}

/// The statistics of the engine in service, and what those before it have counted.
#[derive(Default)]
pub(crate) struct EngineTotals {
    statistics: Option<Arc<dyn Statistics>>,
    before: Grown,
}

/// What only grows.
#[derive(Debug, Clone, Default)]
struct Grown {
    written_bytes: u64,
    syncs: DurationHistogram,
    failures: u64,
}

impl EngineTotals {
    /// Another engine is in service, or none any more.
    pub(crate) fn follow(&mut self, statistics: Option<Arc<dyn Statistics>>) {
        if let Some(last) = self.numbers() {
            let journal = last.journal.unwrap_or_default();
            self.before = Grown {
                written_bytes: journal.written_bytes,
                syncs: journal.syncs,
                failures: last.checkpoints.map_or(0, |own| own.failures),
            };
        }
        self.statistics = statistics;
    }

    /// How things stand, counted from the start of the runtime.
    pub(crate) fn numbers(&self) -> Option<EngineNumbers> {
        let mut numbers = self.statistics.as_ref()?.numbers();
        if let Some(journal) = &mut numbers.journal {
            journal.written_bytes += self.before.written_bytes;
            journal.syncs = std::mem::take(&mut journal.syncs).and(&self.before.syncs);
        }
        if let Some(checkpoints) = &mut numbers.checkpoints {
            checkpoints.failures += self.before.failures;
        }
        Some(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(EngineNumbers);

    impl Statistics for Fixed {
        fn numbers(&self) -> EngineNumbers {
            self.0.clone()
        }
    }

    fn engine(written_bytes: u64, failures: u64) -> Option<Arc<dyn Statistics>> {
        Some(Arc::new(Fixed(EngineNumbers {
            journal: Some(JournalNumbers {
                written_bytes,
                size_bytes: written_bytes,
                ..JournalNumbers::default()
            }),
            checkpoints: Some(CheckpointNumbers {
                failures,
                ..CheckpointNumbers::default()
            }),
            ..EngineNumbers::default()
        })))
    }

    #[test]
    fn what_grows_does_not_fall_when_another_engine_comes() {
        let mut totals = EngineTotals::default();
        assert_eq!(totals.numbers(), None);
        let mut told = Vec::new();
        for (written, failures) in [(100, 1), (5, 0), (7, 2)] {
            totals.follow(engine(written, failures));
            let numbers = totals.numbers().unwrap();
            let journal = numbers.journal.unwrap();
            let failures = numbers.checkpoints.unwrap().failures;
            told.push((journal.written_bytes, journal.size_bytes, failures));
        }
        assert_eq!(told, [(100, 100, 1), (105, 5, 1), (112, 7, 3)]);
    }
}
