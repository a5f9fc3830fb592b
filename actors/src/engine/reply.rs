//! Where the body of a reply goes, and what the runtime offers while a request runs.
//!
//! ```text
//!   engine, procedures ─▶ Reply ─┬─ the body's bytes: written in place
//!                                └─ &mut dyn Context ─┬─ Tx's, for a request of a client
//!                                                     └─ Detached: no client, no runtime
//! ```

use std::time::{Duration, Instant};

use vestibule_wire::reply::{self, Rows};
use vestibule_wire::{Error, ErrorCode};

use super::body::ReplyBody;
use super::completion::{CancelToken, Completion};
use super::push::Pusher;
use super::request::{Outcome, ReservationId};
use super::solo::SoloGuard;

/// What stands behind a [`Reply`]: the runtime, as far as one request may use it.
pub(crate) trait Context {
    /// See [`Reply::solo`].
    fn solo(&self, reason: String) -> SoloGuard;
    /// See [`Reply::now`].
    fn now(&self) -> Instant;
    /// See [`Reply::is_cancelled`].
    fn is_cancelled(&self) -> bool;
    /// See [`Reply::cancel_token`].
    fn cancel_token(&self) -> Option<CancelToken>;
    /// See [`Reply::defer`].
    fn defer(&mut self) -> Result<Completion, Error>;
    /// See [`Reply::reserve`].
    fn reserve(&mut self, kind: &'static str, name: &str) -> Result<ReservationId, Error>;
    /// See [`Reply::take_reservation`].
    fn take_reservation(&mut self, id: ReservationId) -> Result<(), Error>;
    /// See [`Reply::release_reservation`].
    fn release_reservation(&mut self, id: ReservationId) -> bool;
    /// See [`Reply::lock`].
    fn lock(&mut self, name: &str, patience: Duration) -> Result<LockAttempt, Error>;
    /// See [`Reply::unlock`].
    fn unlock(&mut self, name: &str) -> bool;
    /// See [`Reply::pusher`].
    fn pusher(&self) -> Pusher;
    /// See [`Reply::broadcast`].
    fn broadcast(&mut self, key: &str, value: Vec<u8>) -> Result<(), Error>;
}

/// What became of asking for a lock.
pub(crate) enum LockAttempt {
    /// The connection has it.
    Taken,
    /// Another connection has it.
    Refused,
    /// The request is answered when the lock is free, or its patience at an end.
    Waiting,
}

/// The context of a reply without a client: for work that an engine does of its own accord, and for
/// its tests. Nothing can be deferred or reserved, and nobody hears of solo.
#[derive(Debug, Clone, Copy, Default)]
pub struct Detached {
    is_cancelled: bool,
}

impl Detached {
    /// The same for a request that nobody waits for any more.
    #[must_use]
    pub fn cancelled() -> Self {
        Self { is_cancelled: true }
    }
}

impl Context for Detached {
    fn solo(&self, _reason: String) -> SoloGuard {
        SoloGuard::unheard()
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    fn cancel_token(&self) -> Option<CancelToken> {
        None
    }

    fn defer(&mut self) -> Result<Completion, Error> {
        Err(Error::new(ErrorCode::UNSUPPORTED, "cannot be deferred"))
    }

    fn reserve(&mut self, _kind: &'static str, _name: &str) -> Result<ReservationId, Error> {
        Err(no_reservations())
    }

    fn take_reservation(&mut self, _id: ReservationId) -> Result<(), Error> {
        Err(no_reservations())
    }

    fn release_reservation(&mut self, _id: ReservationId) -> bool {
        false
    }

    fn lock(&mut self, _name: &str, _patience: Duration) -> Result<LockAttempt, Error> {
        Err(no_reservations())
    }

    fn unlock(&mut self, _name: &str) -> bool {
        false
    }

    fn pusher(&self) -> Pusher {
        Pusher::unheard()
    }

    fn broadcast(&mut self, _key: &str, _value: Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
}

fn no_reservations() -> Error {
    Error::unsupported("A reply that goes nowhere", "reservations")
}

/// Where the body of a reply goes, and what else the runtime offers while a request runs.
pub struct Reply<'a> {
    body: ReplyBody<'a>,
    context: &'a mut dyn Context,
    /// Rows become one result.
    are_rows_one_result: bool,
}

impl std::fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply")
            .field("body_size", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Reply<'a> {
    #[inline]
    pub(crate) fn new(body: ReplyBody<'a>, context: &'a mut dyn Context) -> Self {
        Self {
            body,
            context,
            are_rows_one_result: false,
        }
    }

    /// A reply that goes nowhere but `out`: for work that no client asked for, and for an engine's
    /// tests.
    #[must_use]
    pub fn detached(out: &'a mut Vec<u8>, context: &'a mut Detached) -> Self {
        Self::new(ReplyBody::contiguous(out), context)
    }

    /// The same reply, for somebody who wants one of his own; [`note_lent`](Self::note_lent) goes
    /// after it.
    pub(super) fn lend(&mut self) -> Reply<'_> {
        Reply {
            body: self.body.lend(),
            context: &mut *self.context,
            are_rows_one_result: self.are_rows_one_result,
        }
    }

    /// Goes on behind what was written meanwhile.
    pub(super) fn note_lent(&mut self) {
        self.body.note_lent();
    }

    /// Starts a body of tuples.
    ///
    /// ```
    /// use vestibule_actors::engine::{Detached, Reply};
    ///
    /// let (mut out, mut context) = (Vec::new(), Detached::default());
    /// let mut reply = Reply::detached(&mut out, &mut context);
    /// let mut rows = reply.rows();
    /// rows.push(&[0x92, 1, 0xa1, b'a']); // [1, "a"] in MessagePack
    /// assert_eq!(rows.count(), 1);
    /// rows.finish(None);
    /// # assert_eq!(out.len(), 7 + 4);
    /// ```
    ///
    /// An engine whose rows are shared bytes already need not have large ones copied:
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use vestibule_actors::engine::{Outcome, Reply};
    ///
    /// fn answer(row: &Arc<[u8]>, reply: &mut Reply<'_>) -> Outcome {
    ///     reply.rows().push_shared(row); // May be replaced before it is sent.
    ///     Outcome::Done
    /// }
    /// # use vestibule_actors::engine::Detached;
    /// # let (mut out, mut context) = (Vec::new(), Detached::default());
    /// # answer(&Arc::from([0x91, 1]), &mut Reply::detached(&mut out, &mut context));
    /// # assert!(out.ends_with(&[0x91, 1]));
    /// ```
    #[inline]
    pub fn rows(&mut self) -> Rows<'_, ReplyBody<'a>> {
        if self.are_rows_one_result {
            Rows::begin_result(&mut self.body)
        } else {
            Rows::begin(&mut self.body)
        }
    }

    /// The rows that are written from now on become one result of the CALL, the list of them,
    /// and not a result each.
    pub fn set_rows_are_one_result(&mut self) {
        self.are_rows_one_result = true;
    }

    /// Writes one returned value: `{DATA: [value]}`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::PROC`] for a value that MessagePack cannot hold.
    pub fn value<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<Outcome, Error> {
        reply::write_value(&mut self.body, value).map(|()| Outcome::Done)
    }

    /// Writes several returned values, given as a tuple or sequence: `{DATA: values}`.
    ///
    /// # Errors
    ///
    /// As [`value`](Self::value).
    pub fn values<T: serde::Serialize + ?Sized>(&mut self, values: &T) -> Result<Outcome, Error> {
        reply::write_values(&mut self.body, values).map(|()| Outcome::Done)
    }

    /// The body's bytes, for what the other methods do not cover.
    pub fn body(&mut self) -> &mut ReplyBody<'a> {
        &mut self.body
    }

    /// Declares that Tx will be busy from now on: sessions stop waiting for it and answer alone,
    /// with this reason, until the guard is dropped. For work that takes longer than clients wait.
    ///
    /// ```
    /// use vestibule_actors::Procedures;
    /// use vestibule_actors::engine::Engine;
    ///
    /// fn procedures<E: Engine>() -> Procedures<E> {
    ///     Procedures::<E>::default().with_engine("rebuild", |call| {
    ///         let guard = call.reply.solo("rebuilding everything");
    ///         for part in 0..100 {
    ///             if call.reply.is_cancelled() {
    ///                 break; // Nobody waits for it any more.
    ///             }
    ///             // … a hundredth of the work …
    ///             guard.progress(part + 1, 100);
    ///         }
    ///         call.reply.value(&true)
    ///     })
    /// }
    /// # use vestibule_actors::testing::{Script, ScriptedEngine, TestServer};
    /// # let script = Script::default();
    /// # let server = TestServer::of(move || Ok(script.engine()), procedures::<ScriptedEngine>());
    /// # assert!(server.connect().call_with("rebuild", &()).value::<bool>());
    /// ```
    #[must_use = "the state returns to assist when the guard is dropped"]
    pub fn solo(&self, reason: impl Into<String>) -> SoloGuard {
        self.context.solo(reason.into())
    }

    /// What time it is, by the clock that the runtime goes by: the system's monotonic one, which
    /// tests wind (`testing::TestServer::wind`). Of a reply that is
    /// [detached](Self::detached) it is the system's.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.context.now()
    }

    /// Whether nobody waits for this request any more: its time is over, or it was killed. Its
    /// client has been answered, and what is written here will be dropped. Work that takes long
    /// should look now and then; what it has changed is still committed unless it returns an error.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }

    /// What [`is_cancelled`](Self::is_cancelled) asks, for other threads; `None` if the reply is
    /// [detached](Self::detached).
    #[must_use]
    pub fn cancel_token(&self) -> Option<CancelToken> {
        self.context.cancel_token()
    }

    /// Reserves something of the engine for this connection, beyond this request and any
    /// transaction; `kind` and `name` are what operators see. This request uses it until it is
    /// answered; after that it is idle until a request [takes](Self::take_reservation) it.
    ///
    /// The runtime may close it at any time between two requests, and does when the connection
    /// goes: see [`Engine::close_reservation`](super::Engine::close_reservation).
    ///
    /// ```
    /// use vestibule_actors::engine::ReservationId;
    /// use vestibule_actors::testing::{Script, TestServer};
    ///
    /// let procedures = Script::procedures()
    ///     .read_only("open", |call| {
    ///         // The engine would keep a cursor under it.
    ///         let id = call.reply.reserve("cursor", "all rows")?;
    ///         call.reply.value(&id.0)
    ///     })
    ///     .read_only("close", |call| {
    ///         let (id,): (u64,) = call.parse()?;
    ///         let is_closed = call.reply.release_reservation(ReservationId(id));
    ///         call.reply.value(&is_closed)
    ///     });
    /// let script = Script::default();
    /// let server = TestServer::of(move || Ok(script.engine()), procedures);
    /// let mut peer = server.connect();
    /// let id: u64 = peer.call_with("open", &()).value();
    /// assert_eq!(server.handle().reservations()[0].name, "all rows");
    /// assert!(peer.call_with("close", &(id,)).value::<bool>());
    /// assert!(server.handle().reservations().is_empty());
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorCode::LOADING`] while a transition closes reservations,
    /// [`ErrorCode::ILLEGAL_PARAMS`] beyond the bounds, [`ErrorCode::UNSUPPORTED`] if the reply is
    /// [detached](Self::detached).
    pub fn reserve(&mut self, kind: &'static str, name: &str) -> Result<ReservationId, Error> {
        self.context.reserve(kind, name)
    }

    /// This request uses a reservation of its connection until it is answered.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ILLEGAL_PARAMS`] if it was closed, or is another connection's;
    /// [`ErrorCode::UNSUPPORTED`] if the reply is [detached](Self::detached).
    pub fn take_reservation(&mut self, id: ReservationId) -> Result<(), Error> {
        self.context.take_reservation(id)
    }

    /// Gives a reservation of this connection back; false if it is over already. The engine is not
    /// told.
    pub fn release_reservation(&mut self, id: ReservationId) -> bool {
        self.context.release_reservation(id)
    }

    /// Takes an advisory lock for this connection, and answers: true if the connection has it. If
    /// another one has it, that is waited for as long as `patience`, and the answer is false at its
    /// end.
    pub(crate) fn lock(&mut self, name: &str, patience: Duration) -> Result<Outcome, Error> {
        match self.context.lock(name, patience)? {
            LockAttempt::Taken => self.value(&true),
            LockAttempt::Refused => self.value(&false),
            LockAttempt::Waiting => Ok(Outcome::Deferred),
        }
    }

    /// Gives an advisory lock of this connection back; false if the connection does not have it.
    pub(crate) fn unlock(&mut self, name: &str) -> bool {
        self.context.unlock(name)
    }

    /// Tells the client something before the reply, at once: see [`Pusher::push`].
    ///
    /// ```
    /// use vestibule_actors::testing::{RequestBuilder, Script, TestServer};
    ///
    /// let procedures = Script::procedures().with_engine("count", |call| {
    ///     call.reply.push(&"nearly done")?;
    ///     call.reply.value(&3)
    /// });
    /// let script = Script::default();
    /// let server = TestServer::of(move || Ok(script.engine()), procedures);
    /// let mut peer = server.connect();
    /// peer.send(&RequestBuilder::call(1, "count", &[0x90]));
    /// assert_eq!(peer.receive().value::<String>(), "nearly done");
    /// assert_eq!(peer.receive().value::<u64>(), 3);
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Pusher::push`]. Nothing is pushed, and nobody hears of it, if the reply is
    /// [detached](Self::detached).
    pub fn push<T: serde::Serialize + ?Sized>(&self, value: &T) -> Result<(), Error> {
        self.pusher().push(value)
    }

    /// The means to tell the client something before the reply, to be kept for as long as the
    /// request goes on: for work on other threads.
    #[must_use]
    pub fn pusher(&self) -> Pusher {
        self.context.pusher()
    }

    /// Sets an event of one's own, as [`Events::set`](crate::Events::set) does, once the turn is
    /// committed: who is told of it sees what the request has changed. A request that fails tells
    /// nobody.
    ///
    /// ```
    /// use vestibule_actors::testing::{RequestBuilder, Script, TestServer};
    ///
    /// let procedures = Script::procedures().with_engine("put", |call| {
    ///     call.engine.put(7);
    ///     call.reply.broadcast("count", &call.engine.count())?;
    ///     call.reply.value(&true)
    /// });
    /// let script = Script::default();
    /// let server = TestServer::of(move || Ok(script.engine()), procedures);
    /// let mut peer = server.connect();
    /// assert!(peer.call_with("put", &()).value::<bool>());
    /// assert_eq!(peer.ask(&RequestBuilder::watch_once(1, "count")).value::<usize>(), 1);
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Events::set`](crate::Events::set).
    pub fn broadcast<T: serde::Serialize + ?Sized>(
        &mut self,
        key: &str,
        value: &T,
    ) -> Result<(), Error> {
        let mut bytes = Vec::new();
        reply::write_serialized(&mut bytes, value)?;
        self.context.broadcast(key, bytes)
    }

    /// Takes the means to answer later, from any thread. Return [`Outcome::Deferred`] with it.
    ///
    /// ```
    /// use std::thread;
    /// use vestibule_actors::engine::Outcome;
    /// use vestibule_actors::testing::{Script, TestServer};
    ///
    /// let procedures = Script::procedures().with_engine("digest", |call| {
    ///     let (text,): (String,) = call.parse()?;
    ///     let answer = call.reply.defer()?;
    ///     // Tx goes on meanwhile. Should this thread panic, the client is told so.
    ///     thread::spawn(move || answer.complete(Ok(text.len())));
    ///     Ok(Outcome::Deferred)
    /// });
    /// let script = Script::default();
    /// let server = TestServer::of(move || Ok(script.engine()), procedures);
    /// assert_eq!(server.connect().call_with("digest", &("four",)).value::<usize>(), 4);
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UNSUPPORTED`] if the reply is [detached](Self::detached): nobody would wait.
    pub fn defer(&mut self) -> Result<Completion, Error> {
        self.context.defer()
    }
}
