//! How a client behaves: time limits, bounds, repetitions.

use std::time::Duration;

use crate::address::{Credentials, Target};
use crate::error::{Error, ErrorKind};
use crate::limits::{
    BACKOFF_MAX_DEFAULT, BACKOFF_MIN_DEFAULT, CONNECT_TIMEOUT_DEFAULT, IN_FLIGHT_MAX_DEFAULT,
    PING_INTERVAL_DEFAULT, PING_TIMEOUT_DEFAULT, QUEUED_BYTES_MAX_DEFAULT, REPLY_SIZE_MAX_DEFAULT,
    REQUEST_TIMEOUT_DEFAULT, RETRY_WITHIN_DEFAULT, ROLE_INTERVAL_DEFAULT,
};
#[cfg(feature = "tls")]
use crate::tls::TlsOptions;

/// Whether a request that surely did not run is sent again: one that was lost before it was sent,
/// or that a busy, loading or stopping server refused, or, in a pool, one that needs the primary
/// and found a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    pub(crate) within: Duration,
}

impl Retry {
    /// No request is sent twice.
    #[must_use]
    pub const fn never() -> Self {
        Self {
            within: Duration::ZERO,
        }
    }

    /// Repetitions begin within this time of the first attempt, and within the request's own time
    /// limit. If the server asks to be left alone for longer, its refusal is the answer at once.
    #[must_use]
    pub const fn within(time: Duration) -> Self {
        Self { within: time }
    }

    pub(crate) fn is_never(self) -> bool {
        self.within.is_zero()
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::within(RETRY_WITHIN_DEFAULT)
    }
}

/// How clients behave. Made by the builders of `Client` and `Pool`.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) credentials: Option<Credentials>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) ping_interval: Option<Duration>,
    pub(crate) ping_timeout: Duration,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) in_flight_max: usize,
    pub(crate) queued_bytes_max: usize,
    pub(crate) reply_size_max: usize,
    pub(crate) chunks: bool,
    pub(crate) retry: Retry,
    pub(crate) fail_fast: bool,
    pub(crate) leave_on_shutdown: bool,
    pub(crate) role_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            credentials: None,
            #[cfg(feature = "tls")]
            tls: None,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            request_timeout: Some(REQUEST_TIMEOUT_DEFAULT),
            ping_interval: Some(PING_INTERVAL_DEFAULT),
            ping_timeout: PING_TIMEOUT_DEFAULT,
            backoff_min: BACKOFF_MIN_DEFAULT,
            backoff_max: BACKOFF_MAX_DEFAULT,
            in_flight_max: IN_FLIGHT_MAX_DEFAULT,
            queued_bytes_max: QUEUED_BYTES_MAX_DEFAULT,
            reply_size_max: REPLY_SIZE_MAX_DEFAULT,
            chunks: true,
            retry: Retry::default(),
            fail_fast: false,
            leave_on_shutdown: true,
            role_interval: ROLE_INTERVAL_DEFAULT,
        }
    }
}

impl Options {
    /// The server at this URL, if it is one that can be connected to as these options say.
    pub(crate) fn target(&self, url: &str) -> Result<Target, Error> {
        let target: Target = url.parse().map_err(|fault| {
            let text = format!("no URL of a server: {fault}");
            Error::not_sent(ErrorKind::Connection, text).with_source(fault)
        })?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            tls.name_at(&target.address)?;
        }
        Ok(target)
    }
}

/// Setters that the builders of a client and of a pool share.
macro_rules! option_setters {
    () => {
        /// Logs in as this user. A user in a URL comes first.
        #[must_use]
        pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
            self.options.credentials = Some($crate::address::Credentials {
                user: user.into(),
                password: password.into(),
            });
            self
        }

        /// Connects by TLS, and not without it.
        #[cfg(feature = "tls")]
        #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
        #[must_use]
        pub fn tls(mut self, tls: $crate::tls::TlsOptions) -> Self {
            self.options.tls = Some(tls);
            self
        }

        /// How long it may take to connect (TLS included), and again to be greeted and to log in.
        #[must_use]
        pub fn connect_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.options.connect_timeout = timeout;
            self
        }

        /// How long a request may take, waits for the connection and repetitions included, if it
        /// says nothing else. `None`: for ever.
        #[must_use]
        pub fn request_timeout(mut self, timeout: Option<std::time::Duration>) -> Self {
            self.options.request_timeout = timeout;
            self
        }

        /// How long nothing may be received before a ping is sent, and how long after it before
        /// the connection is given up. Whatever is received counts as life.
        #[must_use]
        pub fn ping(
            mut self,
            interval: Option<std::time::Duration>,
            timeout: std::time::Duration,
        ) -> Self {
            self.options.ping_interval = interval;
            self.options.ping_timeout = timeout;
            self
        }

        /// The first and the longest wait before a connection is made again.
        #[must_use]
        pub fn backoff(mut self, min: std::time::Duration, max: std::time::Duration) -> Self {
            self.options.backoff_min = min;
            self.options.backoff_max = max;
            self
        }

        /// Most requests of one connection that are sent and not answered; at least 1.
        #[must_use]
        pub fn in_flight_max(mut self, requests: usize) -> Self {
            self.options.in_flight_max = requests.max(1);
            self
        }

        /// Most bytes of requests that wait to be written to one connection; at least 1. Those up
        /// to 16 KiB and larger ones are counted apart: small ones do not wait for the room that
        /// large ones take.
        #[must_use]
        pub fn queued_bytes_max(mut self, bytes: usize) -> Self {
            self.options.queued_bytes_max = bytes.clamp(1, u32::MAX as usize);
            self
        }

        /// Longest reply that is accepted, in bytes. A longer one fails its request if it comes in
        /// [chunks](Self::chunks), else it ends the connection.
        #[must_use]
        pub fn reply_size_max(mut self, bytes: usize) -> Self {
            self.options.reply_size_max = bytes;
            self
        }

        /// Whether requests and replies above 16 KiB are sent in chunks, between which others pass
        /// them, if the server can do that; `true` unless told otherwise.
        #[must_use]
        pub fn chunks(mut self, chunks: bool) -> Self {
            self.options.chunks = chunks;
            self
        }

        /// What becomes of requests that surely did not run, if they say nothing else.
        #[must_use]
        pub fn retry(mut self, retry: $crate::options::Retry) -> Self {
            self.options.retry = retry;
            self
        }

        /// Requests fail at once while there is no connection, instead of waiting for one.
        #[must_use]
        pub fn fail_fast(mut self, fail_fast: bool) -> Self {
            self.options.fail_fast = fail_fast;
            self
        }

        /// Whether the connection is left when the server announces its stop (`box.shutdown`);
        /// `true` unless told otherwise. Those who watch the stop itself stay until it is over.
        #[must_use]
        pub fn leave_on_shutdown(mut self, leave: bool) -> Self {
            self.options.leave_on_shutdown = leave;
            self
        }
    };
}
pub(crate) use option_setters;
