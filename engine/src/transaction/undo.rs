//! The way back to a transaction's savepoints: what its changes have taken the place of.
//!
//! ```text
//!   savepoint ─▶ a change: what was there ─▶ │ … │ ─┬ rolled back: put back, the last one first
//!                                                   └ released: kept as long as another one is set
//! ```

use super::drop_large;
use crate::limits::LAYER_ENTRY_BYTES;
use crate::model::key::Key;
use crate::store::layer::{Change, Layer, tuple_bytes};

/// A place in the log to go back to.
#[derive(Debug)]
#[must_use = "it is to be released, or gone back to"]
pub(crate) struct Savepoint {
    entries: usize,
    /// The transaction had changed nothing.
    was_empty: bool,
}

/// What a change has taken the place of.
#[derive(Debug)]
struct Undo {
    space: u32,
    index: u32,
    key: Key,
    /// What the layer said of the key; `None`: nothing.
    before: Option<Change>,
}

impl Undo {
    fn bytes(&self) -> usize {
        let tuple = self.before.as_ref().map_or(0, tuple_bytes);
        LAYER_ENTRY_BYTES + self.key.heap_bytes() + tuple
    }
}

/// What was changed since the first savepoint that is set.
#[derive(Debug, Default)]
pub(super) struct UndoLog {
    entries: Vec<Undo>,
    /// How many savepoints are set.
    savepoints: usize,
    bytes: usize,
}

impl UndoLog {
    /// What it takes in memory, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets a savepoint.
    pub(super) fn set(&mut self, layer: &Layer) -> Savepoint {
        self.savepoints += 1;
        Savepoint {
            entries: self.entries.len(),
            was_empty: layer.is_empty(),
        }
    }

    /// A key is about to be changed.
    #[inline]
    pub(super) fn note(&mut self, layer: &Layer, space: u32, index: u32, key: &Key) {
        if self.savepoints > 0 {
            self.keep(layer, space, index, key);
        }
    }

    fn keep(&mut self, layer: &Layer, space: u32, index: u32, key: &Key) {
        let undo = Undo {
            space,
            index,
            key: key.clone(),
            before: layer.change_of(space, index, key).cloned(),
        };
        self.bytes += undo.bytes();
        self.entries.push(undo);
    }

    /// What was done since the newest savepoint is kept: by the one before it, if there is one.
    pub(super) fn release(&mut self, _: Savepoint) {
        self.savepoints -= 1;
        if self.savepoints == 0 {
            self.clear();
        }
    }

    /// Undoes what was done since the newest savepoint, which is over then.
    pub(super) fn roll_back(&mut self, savepoint: Savepoint, layer: &mut Layer) {
        for undo in self.entries.drain(savepoint.entries..).rev() {
            self.bytes -= undo.bytes();
            layer.restore(undo.space, undo.index, undo.key, undo.before);
        }
        if savepoint.was_empty {
            layer.note_unchanged();
        }
        self.release(savepoint);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        let (entries, bytes) = (std::mem::take(&mut self.entries), self.bytes);
        *self = Self::default();
        drop_large(entries, bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::layer::Changes;

    #[derive(Debug, Clone)]
    enum Step {
        Set,
        Release,
        RollBack,
        /// Puts or deletes: space, index, key, size of the tuple.
        Change(u32, u32, u64, Option<usize>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let change = (512..515u32, 0..3u32, 0..12u64, prop::option::of(0..80usize));
        prop_oneof![
            2 => Just(Step::Set),
            1 => Just(Step::Release),
            1 => Just(Step::RollBack),
            8 => change.prop_map(|(space, index, key, size)| Step::Change(space, index, key, size)),
        ]
    }

    /// What a layer says, what it takes, and whether it says that it is empty.
    type Told = (Vec<((u32, u32), Changes)>, usize, bool);

    fn told(layer: &Layer) -> Told {
        let all = layer.all().filter(|(_, changes)| !changes.is_empty());
        let mut all: Vec<_> = all.map(|(id, changes)| (id, changes.clone())).collect();
        all.sort_by_key(|(id, _)| *id);
        (all, layer.bytes(), layer.is_empty())
    }

    proptest! {
        /// Against the plainest model: a copy of the layer for each savepoint.
        #[test]
        fn it_leads_back_to_what_was_there(steps in prop::collection::vec(step(), 0..120)) {
            let (mut layer, mut log) = (Layer::default(), UndoLog::default());
            let mut set = Vec::new();
            for step in steps {
                match step {
                    Step::Set => set.push((log.set(&layer), layer.clone())),
                    Step::Release => {
                        if let Some((savepoint, _)) = set.pop() {
                            log.release(savepoint);
                        }
                    }
                    Step::RollBack => {
                        if let Some((savepoint, copy)) = set.pop() {
                            log.roll_back(savepoint, &mut layer);
                            prop_assert_eq!(told(&layer), told(&copy));
                        }
                    }
                    Step::Change(space, index, key, size) => {
                        let key = Key::from_bytes(&key.to_be_bytes());
                        log.note(&layer, space, index, &key);
                        let change = size.map(|size| vec![0; size].into());
                        if index == 0 {
                            layer.set(space, key, change);
                        } else {
                            layer.set_secondary(space, index, key, change);
                        }
                    }
                }
                let bytes: usize = log.entries.iter().map(Undo::bytes).sum();
                prop_assert_eq!(log.bytes(), bytes);
                prop_assert!(!set.is_empty() || log.entries.is_empty());
            }
            while let Some((savepoint, copy)) = set.pop() {
                log.roll_back(savepoint, &mut layer);
                prop_assert_eq!(told(&layer), told(&copy));
            }
            prop_assert_eq!(log.bytes(), 0);
        }
    }
}
