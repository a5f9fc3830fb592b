//! What monitoring is told: read from a version of the image and from what journal and checkpoints
//! count, on the thread that asks.

use std::sync::Arc;

use vestibule_actors::engine::{
    CheckpointNumbers, EngineNumbers, IndexNumbers, JournalNumbers, SpaceNumbers, Statistics,
};
use vestibule_actors::limits::ENGINE_SPACES_TOLD_MAX;

use crate::durability::checkpoint::CheckpointWatch;
use crate::durability::journal::JournalCounts;
use crate::model::index::IndexDef;
use crate::schema::system::is_system;
use crate::store::image::{Image, Space};
use crate::store::shared_image::SharedImage;

/// A window on the engine, for threads that are not Tx's.
pub(super) struct EngineWindow {
    pub(super) image: SharedImage,
    pub(super) journal: Option<Arc<JournalCounts>>,
    pub(super) checkpoints: Option<CheckpointWatch>,
}

impl Statistics for EngineWindow {
    fn numbers(&self) -> EngineNumbers {
        let mut numbers = EngineNumbers::default();
        // Poisoned means that Tx died while it applied a turn: half of it may be there.
        let image = self.image.read_whole().map(|image| image.clone());
        if let Ok(image) = image {
            tell_spaces(&image, &mut numbers);
        }
        numbers.journal = self.journal.as_deref().map(journal);
        numbers.checkpoints = self.checkpoints.as_ref().map(checkpoints);
        numbers
    }
}

fn tell_spaces(image: &Image, numbers: &mut EngineNumbers) {
    let data = image.data_bytes();
    numbers.data_bytes = data as u64;
    numbers.index_bytes = image.bytes().saturating_sub(data) as u64;
    let mut spaces: Vec<_> = image
        .spaces()
        .filter(|own| !is_system(own.def.id))
        .collect();
    // The same ones each time.
    spaces.sort_unstable_by_key(|own| own.def.id);
    numbers.spaces_left_out = spaces.len().saturating_sub(ENGINE_SPACES_TOLD_MAX);
    spaces.truncate(ENGINE_SPACES_TOLD_MAX);
    numbers.spaces = spaces.into_iter().map(space).collect();
}

fn space(space: &Space) -> SpaceNumbers {
    let index = |def: &IndexDef| {
        let mut numbers = IndexNumbers::default();
        numbers.name = def.name.to_string();
        numbers.bytes = space
            .tree(def.id)
            .map_or(0, |tree| tree.tally().nodes as u64);
        numbers
    };
    let mut numbers = SpaceNumbers::default();
    numbers.name = space.def.name.to_string();
    numbers.rows = space.rows.len() as u64;
    numbers.tuple_bytes = space.rows.tally().contents as u64;
    numbers.bytes = space.bytes() as u64;
    numbers.indexes = space.def.indexes().map(index).collect();
    numbers
}

fn journal(counts: &JournalCounts) -> JournalNumbers {
    let mut numbers = JournalNumbers::default();
    numbers.written_bytes = counts.written();
    numbers.size_bytes = counts.size();
    numbers.syncs = counts.syncs.histogram();
    numbers
}

fn checkpoints(watch: &CheckpointWatch) -> CheckpointNumbers {
    let status = watch.status();
    let mut numbers = CheckpointNumbers::default();
    if let Some((at, took)) = status.made_at {
        numbers.last_success = Some(at);
        numbers.last_duration = Some(took);
    }
    numbers.failures = status.failures;
    numbers.failure = status.failure;
    numbers.journal_bytes = status.journal_bytes;
    numbers
}
