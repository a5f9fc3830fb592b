//! What makes engines.

use super::wrapper::WrappedFactory;
use super::{Engine, Fault};

/// Makes an engine, on Tx's thread, and another one whenever Tx has to be replaced. Every closure
/// that returns engines is one.
pub trait EngineFactory<E: Engine>: Send + Sync + 'static {
    /// Makes an engine, which has not recovered yet.
    ///
    /// # Errors
    ///
    /// A fault ends the runtime's start.
    fn make(&self) -> Result<E, Fault>;

    /// Whether it can make engines at all, as far as that is known before there is one.
    ///
    /// # Errors
    ///
    /// A fault: [`start`](crate::start) fails with it, and nothing runs.
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// How guest comes to do everything with the engines that it makes, if that is known before
    /// there is one: then [`start`](crate::start) refuses it where other machines are, and not only
    /// the recovery. `None` if it is not known.
    fn guest_power(&self) -> Option<String> {
        None
    }

    /// Makes engines that are made of those that this one makes: see
    /// [`EngineWrapper`](super::EngineWrapper). What is known before there is an engine stays
    /// known.
    fn wrapped<W: Engine>(
        self,
        wrap: impl Fn(E) -> W + Send + Sync + 'static,
    ) -> impl EngineFactory<W>
    where
        Self: Sized,
    {
        WrappedFactory::new(self, wrap)
    }
}

impl<E: Engine, F: Fn() -> Result<E, Fault> + Send + Sync + 'static> EngineFactory<E> for F {
    fn make(&self) -> Result<E, Fault> {
        self()
    }
}
