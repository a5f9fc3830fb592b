//! A request that is made, and runs when it is awaited.
//!
//! ```text
//!   Request ──await──▶ choose a connection ──▶ attempt ──▶ reply ──▶ decoded
//!                            ▲                    │
//!                            └──── wait ◀── surely did not run
//! ```

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin as PinBox;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind, Outcome};
use crate::incoming::Reply;
use crate::link::{Asked, Holder, Link, Pin, Tracker, Turns};
use crate::operation::Operation;
use crate::options::{Options, Retry};
use crate::retry::Attempt;

/// A future on the heap.
pub(crate) type BoxFuture<'a, T> = PinBox<Box<dyn Future<Output = T> + Send + 'a>>;

/// What chooses a connection for each attempt: a pool.
pub(crate) trait Choose: fmt::Debug + Send + Sync {
    fn options(&self) -> &Options;

    /// A connection that serves, waited for.
    fn choose(&self) -> BoxFuture<'_, Result<Arc<Holder>, Error>>;

    /// Why there is none.
    fn unavailable(&self) -> Error;
}

/// Where requests go.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    /// Over one connection.
    One(Arc<Holder>),
    /// Over any of several.
    Any(Arc<dyn Choose>),
    /// In a stream, over the connection that it is on.
    Stream(Arc<Holder>, Pin, Arc<StreamState>),
}

/// Whether a stream, or its transaction, is still to be used, and whose turn it is in it.
#[derive(Debug, Default)]
pub(crate) struct StreamState {
    is_over: AtomicBool,
    turns: Turns,
}

impl StreamState {
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

impl Route {
    pub(crate) fn options(&self) -> &Options {
        match self {
            Self::One(holder) | Self::Stream(holder, _, _) => &holder.0.options,
            Self::Any(pool) => pool.options(),
        }
    }

    /// The connection for the next attempt.
    pub(crate) async fn holder(&self) -> Result<Arc<Holder>, Error> {
        match self {
            Self::One(holder) => Ok(Arc::clone(holder)),
            Self::Any(pool) => pool.choose().await,
            Self::Stream(_, _, state) if state.is_over() => Err(Error::not_sent(
                ErrorKind::Closed,
                "the transaction is over",
            )),
            Self::Stream(holder, _, _) => Ok(Arc::clone(holder)),
        }
    }

    /// Runs what is no request of its own within the time limit of requests.
    pub(crate) async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        within(self.options().request_timeout, step).await
    }

    /// How long a request that has failed waits before it is sent again; `None` if it is not.
    pub(crate) fn wait(
        &self,
        retry: Retry,
        error: &Error,
        elapsed: Duration,
        is_pinned: bool,
    ) -> Option<Duration> {
        let attempt = Attempt {
            elapsed,
            is_pooled: matches!(self, Self::Any(_)),
            is_pinned,
            random: fastrand::f64(),
        };
        // Without a connection there is nothing to wait for where nobody waits.
        let is_waiting = !self.options().fail_fast || error.code().is_some();
        retry.wait(error, attempt).filter(|_| is_waiting)
    }

    fn pin(&self) -> Option<(Pin, &Turns)> {
        match self {
            Self::Stream(_, pin, state) => Some((*pin, &state.turns)),
            Self::One(_) | Self::Any(_) => None,
        }
    }
}

/// Runs a step that waits for a connection within a time limit, if there is one.
pub(crate) async fn within<T>(
    limit: Option<Duration>,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(limit) = limit else {
        return step.await;
    };
    match tokio::time::timeout(limit, step).await {
        Ok(result) => result,
        Err(_) => {
            let text = format!("no connection within {limit:?}");
            Err(Error::not_sent(ErrorKind::Timeout, text))
        }
    }
}

/// How the reply is read.
pub(crate) type Decode<R> = fn(&Reply) -> Result<R, Error>;

/// A request, not sent yet: await it. Dropped while it waits, it is taken back if it can be, and
/// else its reply is ignored.
#[must_use = "a request is sent when it is awaited"]
pub struct Request<R> {
    route: Route,
    operation: Result<Operation, Error>,
    decode: Decode<R>,
    timeout: Option<Duration>,
    retry: Retry,
}

impl<R> fmt::Debug for Request<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("operation", &self.operation)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl<R> Request<R> {
    pub(crate) fn new(
        route: Route,
        operation: Result<Operation, Error>,
        decode: Decode<R>,
    ) -> Self {
        let options = route.options();
        let (timeout, retry) = (options.request_timeout, options.retry);
        Self {
            route,
            operation,
            decode,
            timeout,
            retry,
        }
    }

    /// A time limit of its own, waits and repetitions included.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Repetitions of its own, if it surely did not run.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    pub(crate) fn decode(&self) -> Decode<R> {
        self.decode
    }

    /// The same request, its reply read in another way.
    pub(crate) fn decoded_by<T>(self, decode: Decode<T>) -> Request<T> {
        Request {
            route: self.route,
            operation: self.operation,
            decode,
            timeout: self.timeout,
            retry: self.retry,
        }
    }

    async fn run(self) -> Result<R, Error> {
        let reply = self.reply(None).await?;
        (self.decode)(&reply)
    }

    /// The reply, undecoded.
    pub(crate) async fn reply(&self, pushes: Option<&mpsc::Sender<Bytes>>) -> Result<Reply, Error> {
        let operation = self.operation.as_ref().map_err(Clone::clone)?;
        let tracker = Tracker::default();
        let refused = std::sync::Mutex::new(None);
        let attempts = self.attempts(operation, &tracker, &refused, pushes);
        let Some(limit) = self.timeout else {
            return attempts.await;
        };
        if limit.is_zero() {
            // A timer would let it be sent first.
            drop(attempts);
            return Err(self.over(limit, &tracker, None));
        }
        match tokio::time::timeout(limit, attempts).await {
            Ok(result) => result,
            Err(_) => {
                let last = refused.into_inner().unwrap_or_else(|own| own.into_inner());
                Err(self.over(limit, &tracker, last))
            }
        }
    }

    async fn attempts(
        &self,
        operation: &Operation,
        tracker: &Tracker,
        refused: &std::sync::Mutex<Option<Error>>,
        pushes: Option<&mpsc::Sender<Bytes>>,
    ) -> Result<Reply, Error> {
        let began = Instant::now();
        loop {
            let asked = async {
                let holder = self.route.holder().await?;
                let link: &Link = &holder.0;
                link.ask(Asked {
                    operation,
                    pin: self.route.pin(),
                    tracker,
                    pushes,
                })
                .await
            };
            let error = match asked.await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let (elapsed, is_pinned) = (began.elapsed(), self.route.pin().is_some());
            let Some(wait) = self.route.wait(self.retry, &error, elapsed, is_pinned) else {
                return Err(error);
            };
            *refused.lock().unwrap_or_else(|own| own.into_inner()) = Some(error);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
    }

    /// The error of a request whose time is over.
    fn over(&self, limit: Duration, tracker: &Tracker, last: Option<Error>) -> Error {
        if tracker.may_have_run() {
            let text = format!("no reply within {limit:?}");
            return Error::new(ErrorKind::Timeout, Outcome::Unknown, text);
        }
        let last = last.or_else(|| match &self.route {
            Route::One(holder) => holder.0.last_error(),
            Route::Any(pool) => Some(pool.unavailable()),
            Route::Stream(..) => None,
        });
        match last {
            Some(last) => {
                let text = format!("not sent within {limit:?}: {last}");
                let outcome = match last.outcome() {
                    Outcome::Refused if last.kind() == ErrorKind::Server => Outcome::Refused,
                    _ => Outcome::NotSent,
                };
                Error::new(ErrorKind::Timeout, outcome, text).with_source(last)
            }
            None => Error::not_sent(ErrorKind::Timeout, format!("not sent within {limit:?}")),
        }
    }
}

impl<R: Send + 'static> IntoFuture for Request<R> {
    type Output = Result<R, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
