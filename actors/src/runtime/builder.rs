//! What a runtime is made of.

use std::fmt;
use std::sync::Arc;

use super::assemble::{Timing, assemble, check};
use super::handle::RuntimeHandle;
use super::start_error::StartError;
use crate::authenticator::Authenticator;
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::procedures::Procedures;
use crate::engine::{Engine, EngineFactory};
use crate::limits::TRANSITION_SLACK;
use crate::shared::Additions;

/// What a runtime is made of: configuration, engine and procedures, which [`start`](crate::start)
/// takes as well, and what an embedder may add to them.
#[must_use = "it has to be started"]
pub struct RuntimeBuilder<E: Engine> {
    config: Config,
    engine: Arc<dyn EngineFactory<E>>,
    procedures: Procedures<E>,
    additions: Additions,
}

impl<E: Engine> fmt::Debug for RuntimeBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeBuilder")
            .field("config", &self.config)
            .field("procedures", &self.procedures)
            .finish_non_exhaustive()
    }
}

impl<E: Engine> RuntimeBuilder<E> {
    /// What every runtime has.
    pub fn new(config: Config, engine: impl EngineFactory<E>, procedures: Procedures<E>) -> Self {
        Self {
            config,
            engine: Arc::new(engine),
            procedures,
            additions: Additions::default(),
        }
    }

    /// Has somebody else decide on logins before the engine's users do: see [`Authenticator`]. Of
    /// several the last one is asked.
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.additions.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Starts it, on a running actix System: see [`start`](crate::start).
    ///
    /// # Errors
    ///
    /// [`StartError`]: a configuration or procedures that cannot be, no System on this thread, a
    /// listener that cannot be opened, too few descriptors. Nothing runs then.
    pub fn start(self) -> Result<RuntimeHandle<E>, StartError> {
        let timing = Timing {
            clock: Clock::SYSTEM,
            role_slack: TRANSITION_SLACK,
        };
        self.start_with_timing(timing)
    }

    /// The same with a timing of its own.
    pub(crate) fn start_with_timing(self, timing: Timing) -> Result<RuntimeHandle<E>, StartError> {
        let Self {
            config,
            engine,
            mut procedures,
            mut additions,
        } = self;
        check(&config, &procedures)?;
        additions.locals = procedures.take_locals();
        assemble(config, timing, engine, procedures, additions)
    }
}
