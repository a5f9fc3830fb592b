//! How a client is made.

use crate::client::Client;
use crate::error::Error;
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
    /// [`Target`](crate::Target) for the forms of the URL.
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
    /// The URL is not that of a server, or, with TLS, of one whose name is not known.
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime.
    pub fn open(self) -> Result<Client, Error> {
        let target = self.options.target(&self.url)?;
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
