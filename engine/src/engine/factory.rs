//! What makes engines of one directory, one after the other.

use std::sync::Arc;

use vestibule_actors::EngineFactory;
use vestibule_actors::engine::Fault;

use super::EmbeddedEngine;
use super::settings::LiveSettings;
use crate::access::generations::UserGenerations;
use crate::durability::storage::Disk;
use crate::options::{EngineOptions, EngineSettings, GuestRights, OptionsError};

/// Makes engines of one directory, one after the other: what
/// [`start`](vestibule_actors::start) takes.
#[derive(Debug, Clone)]
pub struct EmbeddedFactory {
    options: EngineOptions,
    generations: UserGenerations,
    settings: Arc<LiveSettings>,
}

impl EmbeddedFactory {
    /// The settings that hold now.
    #[must_use]
    pub fn settings(&self) -> EngineSettings {
        self.settings.get()
    }

    /// Has the engine that serves go by other settings from now on, and those that come after it:
    /// from any thread. Clones of a factory are the same one.
    ///
    /// A checkpoint that is being made is finished as it was begun. Data that take more than a
    /// bound that is lowered stay, and do not grow.
    ///
    /// ```
    /// use vestibule_engine::{EmbeddedEngine, EngineOptions, OptionsError};
    ///
    /// let engines = EmbeddedEngine::factory(EngineOptions::new("/var/lib/visits"));
    /// // `start(config, engines.clone(), procedures)`, and later on:
    /// let settings = engines.settings().memory_max(4 << 30);
    /// engines.reconfigure(settings)?;
    /// assert_eq!(engines.settings().memory_max, 4 << 30);
    /// # Ok::<(), OptionsError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`OptionsError`]: the first one that cannot be what it is. Nothing is changed then.
    pub fn reconfigure(&self, settings: EngineSettings) -> Result<(), OptionsError> {
        settings.check()?;
        self.settings.set(settings);
        Ok(())
    }
}

impl EmbeddedEngine {
    /// What makes engines of one directory, one after the other: users are the same to each, so
    /// that connections that outlive an engine stay logged in to the next one.
    #[must_use]
    pub fn factory(options: EngineOptions) -> EmbeddedFactory {
        EmbeddedFactory {
            settings: LiveSettings::new(options.settings),
            options,
            generations: UserGenerations::default(),
        }
    }
}

impl EngineFactory<EmbeddedEngine> for EmbeddedFactory {
    fn make(&self) -> Result<EmbeddedEngine, Fault> {
        let (options, generations) = (self.options.clone(), self.generations.clone());
        let storage = Arc::new(Disk);
        let settings = self.settings.clone();
        Ok(EmbeddedEngine::with_settings(
            options,
            storage,
            generations,
            settings,
        ))
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
