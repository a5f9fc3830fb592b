//! Settings of the engines of one factory: replaced while one of them serves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vestibule_actors::engine::DataMemory;

use crate::durability::checkpoint::CheckpointPlan;
use crate::options::EngineSettings;

/// What engines go by, one after the other.
#[derive(Debug)]
pub(super) struct LiveSettings {
    /// The bound on the memory of data, and how much of it is used: what others are told.
    memory: Arc<DataMemory>,
    checkpoints: CheckpointPlan,
    /// Held by who replaces them, or asks for all of them.
    whole: Mutex<()>,
}

impl LiveSettings {
    pub(super) fn new(settings: EngineSettings) -> Arc<Self> {
        Arc::new(Self {
            memory: Arc::new(DataMemory::new(settings.memory_max)),
            checkpoints: CheckpointPlan::new(settings.checkpoints),
            whole: Mutex::default(),
        })
    }

    fn hold(&self) -> MutexGuard<'_, ()> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self) -> EngineSettings {
        let _whole = self.hold();
        EngineSettings::default()
            .memory_max(self.memory.max())
            .checkpoints(self.checkpoints.options())
    }

    pub(super) fn set(&self, settings: EngineSettings) {
        let _whole = self.hold();
        self.memory.set_max(settings.memory_max);
        self.checkpoints.set_options(settings.checkpoints);
    }

    pub(super) fn memory(&self) -> &Arc<DataMemory> {
        &self.memory
    }

    pub(super) fn checkpoints(&self) -> &CheckpointPlan {
        &self.checkpoints
    }
}
