//! What makes engines of one directory, one after the other.

use std::sync::Arc;

use vestibule_actors::EngineFactory;
use vestibule_actors::engine::Fault;

use super::EmbeddedEngine;
use crate::access::generations::UserGenerations;
use crate::durability::storage::Disk;
use crate::options::{EngineOptions, GuestRights};

/// Makes engines of one directory, one after the other: what
/// [`start`](vestibule_actors::start) takes.
#[derive(Debug, Clone)]
pub struct EmbeddedFactory {
    options: EngineOptions,
    generations: UserGenerations,
}

impl EmbeddedEngine {
    /// What makes engines of one directory, one after the other: users are the same to each, so
    /// that connections that outlive an engine stay logged in to the next one.
    #[must_use]
    pub fn factory(options: EngineOptions) -> EmbeddedFactory {
        EmbeddedFactory {
            options,
            generations: UserGenerations::default(),
        }
    }
}

impl EngineFactory<EmbeddedEngine> for EmbeddedFactory {
    fn make(&self) -> Result<EmbeddedEngine, Fault> {
        let (options, generations) = (self.options.clone(), self.generations.clone());
        let storage = Arc::new(Disk);
        Ok(EmbeddedEngine::with_users(options, storage, generations))
    }

    fn check(&self) -> Result<(), Fault> {
        let checked = self.options.check();
        checked.map_err(|fault| format!("bad options of the engine: {fault}").into())
    }

    fn guest_power(&self) -> Option<String> {
        let is_super = self.options.guest == GuestRights::Super;
        is_super.then(|| "EngineOptions::guest is GuestRights::Super".to_owned())
    }
}
