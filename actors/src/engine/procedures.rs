//! What CALL reaches: functions by name, with or without the engine, at once or asynchronously.
//!
//! ```text
//!   CALL 'name' ─▶ exact name? ─▶ family by prefix? ─▶ 33 no such procedure
//!                     │
//!                     ├ closure: runs inside Tx's turn, committed with it
//!                     └ async: runs between Tx's turns; may sleep, await, be cancelled
//! ```
//!
//! What a server does of its own accord, every so often, stands here too: [`Procedures::every`].
//! Arguments and results go through serde; a struct becomes a map with its field names.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use futures::future::LocalBoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_wire::Error;
use vestibule_wire::reply;

use super::Engine;
use super::arguments::parse_args;
use super::async_context::AsyncContext;
use super::local::{LocalCall, LocalProcedure, LocalProcedures};
use super::procedure_call::Procedure;
use super::request::Outcome;
use super::wrapper::EngineWrapper;

pub use super::procedure_call::{ProcedureCall, ReadOnlyCall};
pub use super::request::Audience;

/// What the names of the runtime's own procedures begin with: those that sessions answer, and those
/// that it registers here.
pub const RUNTIME_PREFIX: &str = "vestibule.";
/// The runtime's procedure that takes a lock, or waits for it.
pub const LOCK: &str = "vestibule.lock";

pub(crate) type TickWork<E> = Box<dyn Fn(&mut E, Instant) -> Result<(), Error> + Send + Sync>;

/// What is done every so often.
pub(crate) struct Tick<E> {
    pub(crate) period: Duration,
    pub(crate) work: TickWork<E>,
}

/// The procedures of a runtime, by name. A name may be registered once, and may not be that of a
/// control procedure: [`start`](crate::start) refuses both.
pub struct Procedures<E> {
    exact: HashMap<String, Procedure<E>>,
    families: Vec<(String, Procedure<E>)>,
    ticks: Vec<Tick<E>>,
    locals: LocalProcedures,
    /// The first name that was registered when it was there already.
    twice: Option<String>,
}

impl<E> fmt::Debug for Procedures<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Procedures")
            .field("names", &self.names())
            .finish()
    }
}

impl<E> Default for Procedures<E> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            families: Vec::new(),
            ticks: Vec::new(),
            locals: LocalProcedures::new(),
            twice: None,
        }
    }
}

impl<E: 'static> Procedures<E> {
    /// Registers a plain function: arguments in, one value out. The arguments are a tuple, or a
    /// struct with a field for each, whose names errors tell; `()` takes none. Those at the end
    /// that are `Option`s may be left out, and are `None`, as for nil.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use vestibule_actors::Procedures;
    /// use vestibule_actors::testing::{Script, TestServer};
    /// use vestibule_actors::wire::{Error, ErrorCode};
    ///
    /// #[derive(Deserialize)]
    /// struct Order {
    ///     price: u64,
    ///     count: Option<u64>,
    /// }
    ///
    /// let procedures = Procedures::default().function("total", |order: Order| {
    ///     let total = order.price.checked_mul(order.count.unwrap_or(1));
    ///     total.ok_or_else(|| Error::new(ErrorCode::PROC, "Too much for anybody"))
    /// });
    /// let script = Script::default();
    /// let server = TestServer::of(move || Ok(script.engine()), procedures);
    /// let mut peer = server.connect();
    /// assert_eq!(peer.call_with("total", &(7, 6)).value::<u64>(), 42);
    /// assert_eq!(peer.call_with("total", &(7,)).value::<u64>(), 7);
    /// assert!(peer.call_with("total", &("seven",)).error_mentions("price"));
    /// ```
    #[must_use]
    pub fn function<A, R>(
        mut self,
        name: &str,
        function: impl Fn(A) -> Result<R, Error> + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned,
        R: Serialize,
    {
        let procedure = Procedure::ReadOnly(Box::new(move |call| {
            let value = function(call.parse()?)?;
            call.reply.value(&value)
        }));
        self.add(name, procedure);
        self
    }

    /// Registers a closure that gets the engine to look at, and writes its results itself. It is
    /// called on a replica as well.
    ///
    /// ```
    /// use std::time::Duration;
    /// use vestibule_actors::testing::{Script, TestServer};
    ///
    /// let procedures = Script::procedures()
    ///     .with_engine("store", |call| {
    ///         call.engine.put(7);
    ///         call.reply.value(&true)
    ///     })
    ///     .read_only("count", |call| call.reply.value(&call.engine.count()));
    /// let script = Script::default();
    /// let server = TestServer::of(move || Ok(script.engine()), procedures);
    /// let mut peer = server.connect();
    /// assert!(peer.call_with("store", &()).value::<bool>());
    /// assert!(server.demote(Duration::ZERO).transition.is_some());
    /// // Of a replica it may be asked how many there are, and nothing else.
    /// assert_eq!(peer.call_with("store", &()).error_code(), Some(7));
    /// assert_eq!(peer.call_with("count", &()).value::<usize>(), 1);
    /// ```
    #[must_use]
    pub fn read_only<F>(mut self, name: &str, procedure: F) -> Self
    where
        F: Fn(&mut ReadOnlyCall<'_, E>) -> Result<Outcome, Error> + Send + Sync + 'static,
    {
        self.add(name, Procedure::read_only(procedure));
        self
    }

    /// Registers a closure that gets the engine and writes its results itself. What it has changed
    /// when it returns an error stays changed, and is committed with the turn: check first, then
    /// change, or see [`atomic`](Self::atomic). A replica refuses the call
    /// ([`ErrorCode::READONLY`](vestibule_wire::ErrorCode::READONLY)), unless the engine
    /// [refuses changes itself](super::RefusedBy::Engine), as the embedded one does; for what only
    /// reads there is [`read_only`](Self::read_only).
    ///
    /// ```
    /// use vestibule_actors::testing::{Script, TestServer};
    ///
    /// // The engine of tests stores numbers: each that comes, and how many there are.
    /// let procedures = Script::procedures().with_engine("store", |call| {
    ///     let (first, last): (u64, u64) = call.parse()?;
    ///     (first..=last).for_each(|key| call.engine.put(key));
    ///     call.reply.values(&(call.engine.count(), call.caller.user.name.to_string()))
    /// });
    /// let script = Script::default();
    /// let make = script.clone();
    /// let server = TestServer::of(move || Ok(make.engine()), procedures);
    /// let told = server.connect().call_with("store", &(1, 3));
    /// assert_eq!(told.data::<(usize, String)>(), (3, "guest".to_owned()));
    /// // The reply came with the commit.
    /// assert_eq!(script.keys(), [1, 2, 3]);
    /// ```
    #[must_use]
    pub fn with_engine<F>(mut self, name: &str, procedure: F) -> Self
    where
        F: Fn(&mut ProcedureCall<'_, E>) -> Result<Outcome, Error> + Send + Sync + 'static,
    {
        self.add(name, Procedure::Sync(Box::new(procedure)));
        self
    }

    /// As [`with_engine`](Self::with_engine), for a closure whose changes are made all or not at
    /// all. Called outside of a transaction it gets one of its own, as
    /// [`ProcedureCall::transaction`], in which it has the engine do its work; that is committed
    /// when it succeeds, and rolled back when it returns an error. Called inside of a client's
    /// transaction it works in that one: what it has changed when it fails is the client's to roll
    /// back or to commit. It may not [defer](super::Reply::defer) its answer, and needs an engine
    /// with transactions. On a replica it is as `with_engine`.
    ///
    /// ```
    /// # use vestibule_actors::Procedures;
    /// # use vestibule_actors::engine::{Engine, TransactionId};
    /// # use vestibule_actors::wire::Error;
    /// # trait Accounts {
    /// #     fn add(&mut self, _: Option<TransactionId>, _: &str, _: i64) -> Result<(), Error>;
    /// # }
    /// # fn procedures<E: Engine + Accounts>() -> Procedures<E> {
    /// Procedures::<E>::default().atomic("transfer", |call| {
    ///     let (from, to, amount): (String, String, i64) = call.parse()?;
    ///     call.engine.add(call.transaction, &to, amount)?;
    ///     // If this fails, the first one is undone.
    ///     call.engine.add(call.transaction, &from, -amount)?;
    ///     call.reply.value(&true)
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn atomic<F>(mut self, name: &str, procedure: F) -> Self
    where
        F: Fn(&mut ProcedureCall<'_, E>) -> Result<Outcome, Error> + Send + Sync + 'static,
    {
        self.add(name, Procedure::Atomic(Box::new(procedure)));
        self
    }

    /// Registers a closure for every name with this prefix that is not registered itself; else as
    /// [`with_engine`](Self::with_engine).
    ///
    /// ```
    /// use vestibule_actors::testing::{Script, TestServer};
    ///
    /// let procedures = Script::procedures().family("shop.", |call| {
    ///     let rest = call.name.trim_start_matches("shop.");
    ///     call.reply.value(&rest)
    /// });
    /// let script = Script::default();
    /// let server = TestServer::of(move || Ok(script.engine()), procedures);
    /// let told: String = server.connect().call_with("shop.open", &()).value();
    /// assert_eq!(told, "open");
    /// ```
    #[must_use]
    pub fn family<F>(mut self, prefix: &str, procedure: F) -> Self
    where
        F: Fn(&mut ProcedureCall<'_, E>) -> Result<Outcome, Error> + Send + Sync + 'static,
    {
        if self.families.iter().any(|(own, _)| own == prefix) {
            self.twice.get_or_insert_with(|| format!("{prefix}*"));
        }
        let procedure = Procedure::Sync(Box::new(procedure));
        self.families.push((prefix.to_owned(), procedure));
        self
    }

    /// Registers an `async fn`: arguments and a context in, one value out. It runs on Tx's
    /// arbiter, between turns, so Tx goes on while it waits; blocking in it blocks Tx.
    ///
    /// ```
    /// use vestibule_actors::testing::{Script, TestServer};
    ///
    /// let script = Script::default();
    /// let procedures = Script::procedures().async_function("order", async |(key,), context| {
    ///     // Other requests are executed while it waits for a bank, say.
    ///     actix_rt::task::yield_now().await;
    ///     // Then it has the engine for a moment; it goes on when that is committed.
    ///     let step = context.engine(move |engine| {
    ///         engine.put(key);
    ///         Ok(engine.count())
    ///     });
    ///     step.await
    /// });
    /// let make = script.clone();
    /// let server = TestServer::of(move || Ok(make.engine()), procedures);
    /// assert_eq!(server.connect().call_with("order", &(7,)).value::<usize>(), 1);
    /// assert_eq!(script.keys(), [7]);
    /// ```
    #[must_use]
    pub fn async_function<A, R, F>(
        mut self,
        name: &str,
        function: impl Fn(A, AsyncContext<E>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned,
        R: Serialize,
        F: Future<Output = Result<R, Error>> + 'static,
    {
        let own_name = name.to_owned();
        let start = move |args: &[u8], context: AsyncContext<E>| {
            let running = parse_args(&own_name, args).map(|args| function(args, context));
            let task = async move {
                let value = running?.await?;
                let mut body = Vec::new();
                reply::write_value(&mut body, &value)?;
                Ok(body)
            };
            Box::pin(task) as LocalBoxFuture<'static, _>
        };
        self.add(name, Procedure::Async(Box::new(start)));
        self
    }

    /// Registers a procedure that sessions run, on their own threads, whatever Tx does: while it is
    /// busy, while the engine recovers, on a replica, in a stop. It has no engine; it has the
    /// caller, the serving state, the read view, and what the closure captures: state of your own
    /// beside the engine. Arguments in, one value out, as with [`function`](Self::function).
    ///
    /// `audience` says who may call it: the engine, which grants the right to call others, is not
    /// asked. What it reads is read with the caller's rights, from committed data: neither what the
    /// connection has sent right before nor what its transaction has changed need be there.
    ///
    /// All connections of the thread wait while it runs: it must not block, and what it reads is
    /// bounded by [`LOCAL_READ_STEPS_MAX`](crate::limits::LOCAL_READ_STEPS_MAX). A connection that
    /// calls much gives way to others, and a call that takes long is told to the log. A panic in it
    /// is told to its client ([`ErrorCode::SYSTEM`](vestibule_wire::ErrorCode::SYSTEM)) and to the
    /// log, and ends nothing else.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// use vestibule_actors::procedures::Audience;
    /// use vestibule_actors::testing::{Script, TestServer};
    ///
    /// let asked = Arc::new(AtomicU64::new(0));
    /// let procedures = Script::procedures().local("health", Audience::Everybody, move |call| {
    ///     let times = asked.fetch_add(1, Ordering::Relaxed) + 1;
    ///     Ok((call.serving.state.name(), times))
    /// });
    /// let script = Script::default();
    /// let server = TestServer::of(move || Ok(script.engine()), procedures);
    /// let told: (String, u64) = server.connect().call_with("health", &()).value();
    /// assert_eq!(told, ("assist".to_owned(), 1));
    /// ```
    #[must_use]
    pub fn local<R: Serialize>(
        mut self,
        name: &str,
        audience: Audience,
        procedure: impl Fn(&LocalCall<'_>) -> Result<R, Error> + Send + Sync + 'static,
    ) -> Self {
        let procedure = LocalProcedure::new(audience, procedure);
        let is_twice = self.exact.contains_key(name) | self.locals.contains_key(name);
        self.locals.insert(name.to_owned(), procedure);
        if is_twice {
            self.twice.get_or_insert_with(|| name.to_owned());
        }
        self
    }

    /// Has Tx do this work every `period`, in a turn with its commit: rows that expire, say. The
    /// first time is a period after the engine has recovered. Times that Tx was too busy for are
    /// not made up for. Only a primary does it, and not while it stops; an error is told to the
    /// log.
    ///
    /// The work is told what time it is, by the clock that the runtime goes by. While it runs,
    /// requests wait: do a bounded part of what there is to do, and leave the rest for the next
    /// time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use vestibule_actors::testing::{Script, TestServer};
    ///
    /// let procedures = Script::procedures().every(Duration::from_secs(60), |engine, _now| {
    ///     engine.put(60);
    ///     Ok(())
    /// });
    /// let script = Script::default();
    /// let make = script.clone();
    /// let server = TestServer::of(move || Ok(make.engine()), procedures);
    /// // A minute later, without a minute's wait.
    /// server.wind(Duration::from_secs(60));
    /// assert_eq!(script.keys(), [60]);
    /// ```
    ///
    /// # Panics
    ///
    /// If the period is zero.
    #[must_use]
    pub fn every(
        mut self,
        period: Duration,
        work: impl Fn(&mut E, Instant) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Self {
        assert!(!period.is_zero(), "work without an end");
        let work = Box::new(work);
        self.ticks.push(Tick { period, work });
        self
    }

    /// The same procedures for a [wrapper](EngineWrapper): those that are here already, and the
    /// work that is done every so often, get the inner engine as before; those that are registered
    /// on the result get the wrapper.
    #[must_use]
    pub fn wrapped<W: EngineWrapper<Inner = E>>(self) -> Procedures<W>
    where
        E: Engine,
    {
        let ticks = self.ticks.into_iter().map(|Tick { period, work }| Tick {
            period,
            work: Box::new(move |engine: &mut W, now| work(engine.inner_mut(), now)),
        });
        let exact = self.exact.into_iter();
        let families = self.families.into_iter();
        Procedures {
            exact: exact.map(|(name, one)| (name, one.wrapped())).collect(),
            families: families.map(|(name, one)| (name, one.wrapped())).collect(),
            ticks: ticks.collect(),
            locals: self.locals,
            twice: self.twice,
        }
    }

    fn add(&mut self, name: &str, procedure: Procedure<E>) {
        let is_local = self.locals.contains_key(name);
        if self.exact.insert(name.to_owned(), procedure).is_some() || is_local {
            self.twice.get_or_insert_with(|| name.to_owned());
        }
    }

    pub(crate) fn find(&self, name: &str) -> Result<&Procedure<E>, Error> {
        let family = || {
            let matching = self
                .families
                .iter()
                .filter(|(prefix, _)| name.starts_with(prefix));
            matching
                .max_by_key(|(prefix, _)| prefix.len())
                .map(|(_, procedure)| procedure)
        };
        self.exact
            .get(name)
            .or_else(family)
            .ok_or_else(|| Error::no_such_procedure(name))
    }
}

impl<E> Procedures<E> {
    /// A name that was registered twice: [`start`](crate::start) refuses it.
    pub(crate) fn registered_twice(&self) -> Option<&str> {
        self.twice.as_deref()
    }

    /// Takes out those that sessions run.
    pub(crate) fn take_locals(&mut self) -> LocalProcedures {
        std::mem::take(&mut self.locals)
    }

    pub(crate) fn ticks(&self) -> &[Tick<E>] {
        &self.ticks
    }

    /// Every registered name, sorted; families end in `*`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let families = self.families.iter().map(|(prefix, _)| format!("{prefix}*"));
        let exact = self.exact.keys().chain(self.locals.keys()).cloned();
        let mut names: Vec<_> = exact.chain(families).collect();
        names.sort();
        names
    }
}
