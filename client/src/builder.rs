//! How a client is made.

use crate::address::Target;
use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::link::{Link, open};
use crate::options::{Options, option_setters};
use crate::request::Route;

/// How a client is made: with its address, limits and time limits.
///
/// ```no_run
/// use std::time::Duration;
/// use vestibule_client::{Client, Retry};
///
/// # async fn example() -> Result<(), vestibule_client::Error> {
/// let client = Client::builder("tarantool://db1:3301")
///     .credentials("app", "secret")
///     .request_timeout(Some(Duration::from_secs(2)))
///     .retry(Retry::within(Duration::from_secs(1)))
///     .connect()
///     .await?;
/// # client.ping().await
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    url: String,
    options: Options,
}

impl Client {
    /// Connects and logs in with everything else as it is by default: see
    /// [`Target`] for the forms of the URL.
    ///
    /// # Errors
    ///
    /// As [`ClientBuilder::connect`].
    pub async fn connect(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// A client that is yet to be told how to behave.
    #[must_use]
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(url.into())
    }
}

impl ClientBuilder {
    fn new(url: String) -> Self {
        Self {
            url,
            options: Options::default(),
        }
    }

    option_setters!();

    /// A client that connects in the background: requests wait for it.
    ///
    /// # Errors
    ///
    /// The URL is not that of a server.
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime.
    pub fn open(self) -> Result<Client, Error> {
        let target: Target = self.url.parse().map_err(|fault| {
            let text = format!("no URL of a server: {fault}");
            Error::not_sent(ErrorKind::Connection, text).with_source(fault)
        })?;
        let holder = open(Link::new(target, self.options));
        Ok(Client::new(Route::One(holder)))
    }

    /// A client that is connected and logged in.
    ///
    /// # Errors
    ///
    /// The URL is not that of a server, or the first attempt to connect and log in fails.
    pub async fn connect(self) -> Result<Client, Error> {
        let client = self.open()?;
        client.wait_connected().await?;
        Ok(client)
    }
}
