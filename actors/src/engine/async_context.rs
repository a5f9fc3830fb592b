//! What an async procedure may use: the engine, one step at a time.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::LocalBoxFuture;
use serde::Serialize;
use tokio::sync::oneshot;
use vestibule_wire::reply::write_serialized;
use vestibule_wire::{Error, ErrorCode};

use super::completion::CancelToken;
use super::push::Pusher;
use super::request::{Caller, TransactionId};
use super::solo::SoloGuard;
use super::wrapper::EngineWrapper;

/// Work on the engine that an async procedure asks for. It gets the engine, or the reason why it
/// may not have it; what it returns is told the turn's outcome.
pub(crate) type EngineStep<E> = Box<dyn FnOnce(Result<&mut E, Error>) -> OnCommit>;

/// What a step does with the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepKind {
    /// Looks at it.
    Reads,
    /// May change it.
    Changes,
}

/// Told whether the turn was committed.
pub(crate) type OnCommit = Box<dyn FnOnce(Result<(), Error>)>;

/// Where the steps of one call go: into Tx's next turn.
pub(crate) trait Steps<E> {
    /// Has the step run.
    fn push(&self, kind: StepKind, step: EngineStep<E>);
    /// Where the pushes of the call go.
    fn pusher(&self) -> &Pusher;
    /// Sets an event.
    fn broadcast(&self, key: &str, value: Vec<u8>) -> Result<(), Error>;
    /// Declares solo.
    fn solo(&self, reason: String) -> SoloGuard;
    /// What time it is.
    fn now(&self) -> Instant;
    /// Ends when it is this time.
    fn sleep_until(&self, time: Instant) -> LocalBoxFuture<'static, ()>;
    /// Whether a transition is announced or under way.
    fn is_draining(&self) -> bool;
    /// Ends when that is so.
    fn draining(&self) -> LocalBoxFuture<'static, ()>;
}

/// Steps on an inner engine, which are steps on what is around it.
struct InnerSteps<W>(Box<dyn Steps<W>>);

impl<W: EngineWrapper> Steps<W::Inner> for InnerSteps<W> {
    fn push(&self, kind: StepKind, step: EngineStep<W::Inner>) {
        let step = Box::new(|engine: Result<&mut W, Error>| step(engine.map(W::inner_mut)));
        self.0.push(kind, step);
    }

    fn pusher(&self) -> &Pusher {
        self.0.pusher()
    }

    fn broadcast(&self, key: &str, value: Vec<u8>) -> Result<(), Error> {
        self.0.broadcast(key, value)
    }

    fn solo(&self, reason: String) -> SoloGuard {
        self.0.solo(reason)
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep_until(&self, time: Instant) -> LocalBoxFuture<'static, ()> {
        self.0.sleep_until(time)
    }

    fn is_draining(&self) -> bool {
        self.0.is_draining()
    }

    fn draining(&self) -> LocalBoxFuture<'static, ()> {
        self.0.draining()
    }
}

/// Given to an async procedure. It lives on Tx's arbiter and cannot leave it.
pub struct AsyncContext<E> {
    caller: Arc<Caller>,
    transaction: Option<TransactionId>,
    token: CancelToken,
    steps: Box<dyn Steps<E>>,
}

impl<E> fmt::Debug for AsyncContext<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncContext")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

impl<W: EngineWrapper> AsyncContext<W> {
    /// The same for a procedure that knows the inner engine only.
    pub(super) fn into_inner(self) -> AsyncContext<W::Inner> {
        AsyncContext {
            caller: self.caller,
            transaction: self.transaction,
            token: self.token,
            steps: Box::new(InnerSteps(self.steps)),
        }
    }
}

impl<E: 'static> AsyncContext<E> {
    pub(crate) fn new(
        caller: Arc<Caller>,
        transaction: Option<TransactionId>,
        token: CancelToken,
        steps: Box<dyn Steps<E>>,
    ) -> Self {
        Self {
            caller,
            transaction,
            token,
            steps,
        }
    }

    /// Whether the call was cancelled. No procedure has to look: it is dropped where it waits.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Tells the client something before the reply, as soon as it has read enough of what waits for
    /// it: see [`Pusher`].
    ///
    /// # Errors
    ///
    /// Those of [`Pusher::push_when_read`].
    pub async fn push<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Error> {
        self.pusher().push_when_read(value).await
    }

    /// The means to tell the client something before the reply, without waiting or from other
    /// threads.
    #[must_use]
    pub fn pusher(&self) -> &Pusher {
        self.steps.pusher()
    }

    /// Sets an event of one's own at once, as [`Events::set`](crate::Events::set) does.
    ///
    /// # Errors
    ///
    /// Those of [`Events::set`](crate::Events::set).
    pub fn broadcast<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), Error> {
        let mut bytes = Vec::new();
        write_serialized(&mut bytes, value)?;
        self.steps.broadcast(key, bytes)
    }

    /// Declares that Tx is held up for as long as the guard lives: sessions answer alone, and tell
    /// this reason. For steps that take long, or that must not be mixed with what others ask. The
    /// procedure's own steps run on, and change data if its call may: see
    /// [`Reply::solo`](super::Reply::solo).
    #[must_use = "the state returns to assist when the guard is dropped"]
    pub fn solo(&self, reason: impl Into<String>) -> SoloGuard {
        self.steps.solo(reason.into())
    }

    /// What time it is, by the clock that the runtime goes by: the system's monotonic one, which
    /// tests wind (`testing::TestServer::wind`).
    #[must_use]
    pub fn now(&self) -> Instant {
        self.steps.now()
    }

    /// Waits for this time, by that clock.
    ///
    /// ```
    /// use std::time::Duration;
    /// use vestibule_actors::testing::{RequestBuilder, Script, TestServer};
    ///
    /// let procedures = Script::procedures().async_function("nap", async |(): (), context| {
    ///     let began = context.now();
    ///     context.sleep(Duration::from_secs(30)).await;
    ///     Ok((context.now() - began).as_secs())
    /// });
    /// let script = Script::default();
    /// let server = TestServer::of(move || Ok(script.engine()), procedures);
    /// let mut peer = server.connect();
    /// peer.send(&RequestBuilder::call(1, "nap", &[0x90]));
    /// server.wait_until("it is under way", || server.handle().in_flight() == 1);
    /// // Half a minute later, without waiting for it.
    /// server.wind(Duration::from_secs(30));
    /// assert!((30..60).contains(&peer.receive().value::<u64>()));
    /// ```
    pub async fn sleep(&self, time: Duration) {
        match self.now().checked_add(time) {
            Some(until) => self.steps.sleep_until(until).await,
            // What the clock cannot tell never comes.
            None => std::future::pending().await,
        }
    }

    /// Whether a stop is announced or has begun, or a demotion is under way: what can be left for
    /// later should be, since what is not done at the deadline is cut off.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.steps.is_draining()
    }

    /// Ends when [`is_draining`](Self::is_draining) is true, for a procedure that waits.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use vestibule_actors::Procedures;
    /// use vestibule_actors::engine::Engine;
    ///
    /// /// Waits for as long as its client wants, or until the server wants to stop.
    /// fn procedures<E: Engine>() -> Procedures<E> {
    ///     Procedures::default().async_function("wait", |(seconds,): (u64,), context| async move {
    ///         let time = Duration::from_secs(seconds);
    ///         let waited = actix_rt::time::timeout(time, context.draining()).await;
    ///         Ok(if waited.is_ok() { "the server stops" } else { "done" })
    ///     })
    /// }
    /// # let _ = procedures::<vestibule_actors::testing::ScriptedEngine>();
    /// ```
    pub async fn draining(&self) {
        self.steps.draining().await;
    }

    /// Who called.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The transaction of the stream that called, if there is one: what the procedure changes
    /// belongs to it.
    #[must_use]
    pub fn transaction(&self) -> Option<TransactionId> {
        self.transaction
    }

    /// Runs a step on the engine in Tx's next turn and waits until that turn is committed. Between
    /// two steps other requests run. Inside of a transaction it is refused, since what it changes
    /// would not be a part of that: see [`engine_in_transaction`](Self::engine_in_transaction). On
    /// a replica it is refused as well, unless the engine
    /// [refuses changes itself](super::RefusedBy::Engine): see [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// The step's own error, or the commit's; [`ErrorCode::UNSUPPORTED`] inside of a transaction;
    /// [`ErrorCode::READONLY`] on a replica, or if a transition came between that the call is too
    /// old for; [`ErrorCode::SYSTEM`] if Tx is gone. A call that was cancelled gets no further
    /// step.
    pub async fn engine<R: 'static>(
        &self,
        step: impl FnOnce(&mut E) -> Result<R, Error> + 'static,
    ) -> Result<R, Error> {
        self.check_outside()?;
        self.run(StepKind::Changes, step).await
    }

    /// As [`engine`](Self::engine), for procedures that may be called inside of a transaction: the
    /// step is told which one it is, and has the engine do its work there.
    ///
    /// # Errors
    ///
    /// As those of [`engine`](Self::engine), but for the transaction; why the transaction was
    /// aborted, if it was.
    pub async fn engine_in_transaction<R: 'static>(
        &self,
        step: impl FnOnce(&mut E, Option<TransactionId>) -> Result<R, Error> + 'static,
    ) -> Result<R, Error> {
        let transaction = self.transaction;
        let step = move |engine: &mut E| step(engine, transaction);
        self.run(StepKind::Changes, step).await
    }

    /// As [`engine`](Self::engine), for a step that looks at the engine and changes nothing: a
    /// replica runs it.
    ///
    /// ```
    /// use vestibule_actors::testing::{Script, TestServer};
    ///
    /// let procedures = Script::procedures().async_function("count", async |(): (), context| {
    ///     context.read(|engine| Ok(engine.count())).await
    /// });
    /// let script = Script::default();
    /// let server = TestServer::of(move || Ok(script.engine()), procedures);
    /// assert_eq!(server.connect().call_with("count", &()).value::<usize>(), 0);
    /// ```
    ///
    /// # Errors
    ///
    /// As those of [`engine`](Self::engine), but for the replica.
    pub async fn read<R: 'static>(
        &self,
        step: impl FnOnce(&E) -> Result<R, Error> + 'static,
    ) -> Result<R, Error> {
        self.check_outside()?;
        self.run(StepKind::Reads, |engine| step(engine)).await
    }

    /// As [`read`](Self::read), for procedures that may be called inside of a transaction.
    ///
    /// # Errors
    ///
    /// As those of [`engine_in_transaction`](Self::engine_in_transaction), but for the replica.
    pub async fn read_in_transaction<R: 'static>(
        &self,
        step: impl FnOnce(&E, Option<TransactionId>) -> Result<R, Error> + 'static,
    ) -> Result<R, Error> {
        let transaction = self.transaction;
        let step = move |engine: &mut E| step(engine, transaction);
        self.run(StepKind::Reads, step).await
    }

    /// A step without a transaction has no place inside of one.
    fn check_outside(&self) -> Result<(), Error> {
        match self.transaction {
            None => Ok(()),
            Some(_) => Err(Error::unsupported(
                "This procedure, inside of a transaction,",
                "steps outside of it",
            )),
        }
    }

    async fn run<R: 'static>(
        &self,
        kind: StepKind,
        step: impl FnOnce(&mut E) -> Result<R, Error> + 'static,
    ) -> Result<R, Error> {
        let (told, outcome) = oneshot::channel();
        let token = self.token.clone();
        let step = move |engine: Result<&mut E, Error>| -> OnCommit {
            let result = if token.is_cancelled() {
                Err(Error::cancelled())
            } else {
                engine.and_then(step)
            };
            Box::new(move |committed| {
                let _ = told.send(result.and_then(|value| committed.map(|()| value)));
            })
        };
        self.steps.push(kind, Box::new(step));
        outcome
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorCode::SYSTEM, "Tx is gone")))
    }
}
