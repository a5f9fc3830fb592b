//! Streams, whose requests run in order, and transactions, which are rolled back when dropped.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use vestibule_wire::features::Feature;
use vestibule_wire::request::{Begin as BeginBody, Body};

use crate::client::Client;
use crate::error::Error;
use crate::link::{Holder, Pin, lacks};
use crate::operation::{Action, Identifier};
use crate::options::Retry;
use crate::request::{BoxFuture, Request, Route, StreamState, within};
use crate::space::Space;
use crate::sql::SqlReply;

/// What a transaction sees of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Isolation {
    /// As the server is configured.
    #[default]
    Default,
    /// What others have committed, durable or not yet.
    ReadCommitted,
    /// What others have committed and is durable.
    ReadConfirmed,
    /// One of the two: the first if the transaction writes, else the second.
    BestEffort,
    /// The newest that is durable anywhere.
    Linearizable,
}

/// Requests that run in their order, on one connection: lost with it.
///
/// Several may be under way at once, of any number of tasks: they are sent in the order in which
/// they were first polled. One that is repeated, as [`Retry`] allows, stands behind those that were
/// sent meanwhile.
#[derive(Debug, Clone)]
pub struct Stream {
    client: Client,
}

/// A transaction, not begun yet: await it.
#[must_use = "a transaction begins when it is awaited"]
#[derive(Debug)]
pub struct Begin {
    client: Client,
    isolation: Isolation,
    lifetime: Option<Duration>,
    timeout: Option<Duration>,
    retry: Retry,
}

/// An open transaction. Dropped, it is rolled back. If the connection is lost before COMMIT was
/// sent, nothing of it is left.
#[derive(Debug)]
pub struct Transaction {
    client: Client,
    holder: Arc<Holder>,
    pin: Pin,
    state: Arc<StreamState>,
    is_finished: bool,
}

impl Client {
    /// A stream of its own on a connection that is there, or waited for.
    ///
    /// # Errors
    ///
    /// There is no connection in time, or the server has no streams.
    pub async fn stream(&self) -> Result<Stream, Error> {
        let opened = async {
            let (holder, pin) = self.open_stream(Feature::Streams).await?;
            let route = Route::Stream(holder, pin, Arc::default());
            Ok(Stream {
                client: Client::new(route),
            })
        };
        self.route.in_time(opened).await
    }

    async fn open_stream(&self, needed: Feature) -> Result<(Arc<Holder>, Pin), Error> {
        let holder = self.route.holder().await?;
        let session = holder.0.wait_up().await?;
        if !session.has(needed) {
            return Err(lacks(&session, needed));
        }
        let pin = Pin {
            epoch: session.epoch,
            stream_id: holder.0.next_stream(),
        };
        Ok((holder, pin))
    }

    /// A transaction. Within a stream or transaction it is one beside it.
    pub fn begin(&self) -> Begin {
        let options = self.route.options();
        Begin {
            isolation: Isolation::Default,
            lifetime: None,
            timeout: options.request_timeout,
            retry: options.retry,
            client: self.clone(),
        }
    }
}

impl Stream {
    /// Everything that a client can ask, in this stream.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A space, in this stream.
    #[must_use]
    pub fn space<T>(&self, space: impl Into<Identifier>) -> Space<T> {
        self.client.space(space)
    }

    /// Calls a procedure in this stream: see [`Client::call`].
    pub fn call<R: DeserializeOwned>(
        &self,
        procedure: &str,
        arguments: impl Serialize,
    ) -> Request<R> {
        self.client.call(procedure, arguments)
    }
}

impl Begin {
    /// What it sees of others.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// How long it may be open: then the server aborts it.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// How long it may take to begin.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Repetitions of its own, if it surely has not begun.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    async fn run(self) -> Result<Transaction, Error> {
        let began = Instant::now();
        loop {
            let error = match self.attempt(began).await {
                Ok(transaction) => return Ok(transaction),
                Err(error) => error,
            };
            let (route, elapsed) = (&self.client.route, began.elapsed());
            let wait = route.wait(self.retry, &error, elapsed, false);
            let is_in_time =
                |wait: &Duration| self.timeout.is_none_or(|own| elapsed + *wait <= own);
            let Some(wait) = wait.filter(is_in_time) else {
                return Err(error);
            };
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, began: Instant) -> Result<Transaction, Error> {
        let left = || Some(self.timeout?.saturating_sub(began.elapsed()));
        let opened = self.client.open_stream(Feature::Transactions);
        let (holder, pin) = within(left(), opened).await?;
        // From here on it is rolled back when it is dropped, begun or not.
        let transaction = Transaction::new(holder, pin);
        let body = BeginBody {
            timeout: self.lifetime.map(|time| time.as_secs_f64()),
            isolation: self.isolation as u64,
        };
        let mut request = transaction
            .request(Action::Begin(body))
            .retry(Retry::never());
        if let Some(left) = left() {
            request = request.timeout(left);
        }
        request.await?;
        Ok(transaction)
    }
}

impl IntoFuture for Begin {
    type Output = Result<Transaction, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Transaction {
    fn new(holder: Arc<Holder>, pin: Pin) -> Self {
        holder.0.begin(pin);
        let state = Arc::<StreamState>::default();
        Self {
            client: Client::new(Route::Stream(Arc::clone(&holder), pin, Arc::clone(&state))),
            holder,
            pin,
            state,
            is_finished: false,
        }
    }

    fn request(&self, action: Action) -> Request<()> {
        self.client.request(Ok(action.into()), |_| Ok(()))
    }

    /// A space, in this transaction.
    #[must_use]
    pub fn space<T>(&self, space: impl Into<Identifier>) -> Space<T> {
        self.client.space(space)
    }

    /// Calls a procedure in this transaction: see [`Client::call`].
    pub fn call<R: DeserializeOwned>(
        &self,
        procedure: &str,
        arguments: impl Serialize,
    ) -> Request<R> {
        self.client.call(procedure, arguments)
    }

    /// Runs Lua code in this transaction: see [`Client::eval`].
    pub fn eval<R: DeserializeOwned>(
        &self,
        expression: &str,
        arguments: impl Serialize,
    ) -> Request<R> {
        self.client.eval(expression, arguments)
    }

    /// Runs a statement of SQL in this transaction: see [`Client::execute`].
    pub fn execute<T: DeserializeOwned>(
        &self,
        statement: &str,
        values: impl Serialize,
    ) -> Request<SqlReply<T>> {
        self.client.execute(statement, values)
    }

    /// Commits.
    ///
    /// # Errors
    ///
    /// Of [`Outcome::Unknown`](crate::Outcome::Unknown) it may be committed; of any other it is
    /// not.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.request(Action::Commit).await?;
        self.finish();
        Ok(())
    }

    /// Rolls back, and waits for that.
    ///
    /// # Errors
    ///
    /// No reply came. It is rolled back all the same, by its stream or by the end of its
    /// connection.
    pub async fn rollback(mut self) -> Result<(), Error> {
        self.request(Action::Rollback).await?;
        self.finish();
        Ok(())
    }

    fn finish(&mut self) {
        self.is_finished = true;
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.state.end();
        let rollback = (!self.is_finished).then_some(&Body::Rollback);
        self.holder.0.end(self.pin, rollback);
    }
}
