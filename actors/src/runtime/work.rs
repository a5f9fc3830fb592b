//! Work on the engine from outside of Tx: from web handlers, timers, other threads.

use vestibule_wire::Error;

use super::handle::RuntimeHandle;
use crate::admission::Class;
use crate::engine::Engine;
use crate::jobs::EngineError;

impl<E: Engine> RuntimeHandle<E> {
    /// Runs a closure that may change data on the engine, in Tx's next turn, and waits until that
    /// is committed: what it returns then is as durable as what a client is told.
    ///
    /// May be called from any thread and in any executor. It is treated as a client's request:
    /// refused at once while the engine is loading or busy, by a replica, and by a runtime that
    /// stops; waited for by transitions, and cut off at their deadline; fenced off by a demotion.
    /// At most [`JOBS_MAX`](crate::limits::JOBS_MAX) are under way, more wait here. There is no
    /// limit of time: a future that is dropped takes back what Tx has not begun, and leaves alone
    /// what it has. While the closure runs nothing else does: it must be short. A panic in it is
    /// one of Tx.
    ///
    /// ```
    /// # use vestibule_actors::engine::{Engine, Fault, Outcome, Reply, Request};
    /// # use vestibule_actors::wire::Error;
    /// # use vestibule_actors::{EngineError, Procedures, RuntimeHandle};
    /// # use std::collections::HashMap;
    /// # #[derive(Default)]
    /// # struct Visits(HashMap<String, u64>);
    /// # impl Engine for Visits {
    /// #     fn execute(&mut self, _: &Request<'_>, _: &mut Reply<'_>) -> Result<Outcome, Error> {
    /// #         Err(Error::unsupported("This engine", "spaces"))
    /// #     }
    /// #     fn discard_turn(&mut self) -> Result<(), Fault> {
    /// #         Ok(())
    /// #     }
    /// # }
    /// /// A handler of a web server, which has cloned the handle.
    /// async fn visit(runtime: RuntimeHandle<Visits>, page: String) -> (u16, String) {
    ///     let counted = runtime.write(move |visits| {
    ///         let count = visits.0.entry(page).or_default();
    ///         *count += 1;
    ///         Ok(*count)
    ///     });
    ///     match counted.await {
    ///         Ok(count) => (200, count.to_string()),
    ///         // Busy, loading or stopping: nothing has changed, come back later.
    ///         Err(EngineError::Refused(error)) => (503, error.to_string()),
    ///         Err(error) => (500, error.to_string()),
    ///     }
    /// }
    /// # use vestibule_actors::{Config, serving::State, start};
    /// # actix_rt::System::new().block_on(async {
    /// #     let config = Config::default().listen(Vec::new());
    /// #     let runtime = start(config, || Ok(Visits::default()), Procedures::default()).unwrap();
    /// #     assert_eq!(visit(runtime.clone(), "/".to_owned()).await.0, 503);
    /// #     while runtime.serving().state != State::Assist {
    /// #         runtime.changed(runtime.serving()).await;
    /// #     }
    /// #     visit(runtime.clone(), "/".to_owned()).await;
    /// #     assert_eq!(visit(runtime.clone(), "/".to_owned()).await, (200, "2".to_owned()));
    /// #     runtime.stop(None).await;
    /// #     assert_eq!(visit(runtime.clone(), "/".to_owned()).await.0, 503);
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`EngineError::Refused`] with [`ErrorCode::LOADING`], [`ErrorCode::READONLY`] (by a replica,
    /// and by an engine that takes no changes at present) or
    /// [`ErrorCode::SHUTDOWN`]; [`EngineError::Failed`] with the closure's own error or the
    /// commit's; [`EngineError::OutcomeUnknown`] if the closure had begun when Tx died or a
    /// deadline came.
    ///
    /// [`ErrorCode::LOADING`]: crate::wire::ErrorCode::LOADING
    /// [`ErrorCode::READONLY`]: crate::wire::ErrorCode::READONLY
    /// [`ErrorCode::SHUTDOWN`]: crate::wire::ErrorCode::SHUTDOWN
    pub async fn write<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut E) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, EngineError> {
        self.jobs.run(&self.queue, Class::Write, work).await
    }

    /// Runs a closure that looks at the engine and changes nothing: as [`write`](Self::write), but
    /// also on a replica. It sees what the turn has changed so far, and returns once that is
    /// committed.
    ///
    /// ```
    /// use vestibule_actors::testing::Harness;
    /// # actix_rt::System::new().block_on(async {
    /// let harness = Harness::start();
    /// let count = harness.handle().read(|engine| Ok(engine.count())).await?;
    /// assert_eq!(count, 0);
    /// # Ok::<(), vestibule_actors::EngineError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As those of [`write`](Self::write), but for the replica.
    pub async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&E) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, EngineError> {
        let work = |engine: &mut E| work(engine);
        self.jobs.run(&self.queue, Class::Read, work).await
    }
}
