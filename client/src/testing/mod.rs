//! A scripted server for tests of what uses a client: in the same process, on a loopback port, it
//! answers as it is told. There with the feature `testing`.
//!
//! ```
//! use vestibule_client::testing::{Answer, ScriptedServer};
//! use vestibule_client::{Client, ErrorCode};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = ScriptedServer::start(|request| match request.procedure() {
//!     Some("sum") => Answer::value(3),
//!     Some(_) => Answer::error(ErrorCode::PROC, "it failed"),
//!     None => Answer::Usual,
//! })
//! .await?;
//! let client = Client::connect(server.url()).await?;
//! assert_eq!(client.call::<i64>("sum", (1, 2)).await?, 3);
//! assert_eq!(server.received()[0].arguments::<(i64, i64)>(), Some((1, 2)));
//! # Ok(())
//! # }
//! ```
//!
//! | module | what |
//! |---|---|
//! | `script` | requests as they were received, and answers |
//! | `script_output` | the bytes of a connection, in chunks where the client takes them |
//! | `serve` | connections |

mod script;
mod script_output;
mod serve;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use vestibule_wire::features::Features;

pub use script::{Answer, Received};
pub use serve::GivenUp;

use crate::error::ServerError;
use serve::{Script, Shared, accept};

/// A server that answers as it is told. Dropped, it is gone, with its connections.
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: AbortHandle,
}

impl std::fmt::Debug for ScriptedServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ScriptedServer")
            .field(&self.address)
            .finish()
    }
}

impl ScriptedServer {
    /// A server that has all features which the client knows, asked for each request. Requests and
    /// replies above 16 KiB go in chunks, unless the client is told
    /// [otherwise](crate::ClientBuilder::chunks).
    ///
    /// # Errors
    ///
    /// No loopback port can be had.
    pub async fn start(
        script: impl FnMut(&Received) -> Answer + Send + 'static,
    ) -> io::Result<Self> {
        Self::start_with(Features::SUPPORTED, Box::new(script)).await
    }

    /// A server as before Tarantool 2.10: without names, streams, watches and positions.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_old(
        script: impl FnMut(&Received) -> Answer + Send + 'static,
    ) -> io::Result<Self> {
        Self::start_with(Features::NONE, Box::new(script)).await
    }

    async fn start_with(features: Features, script: Box<Script>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            state: Mutex::default(),
            received: watch::Sender::new(0),
            features,
        });
        let listening = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self {
            address,
            shared,
            listening,
        })
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("tarantool://{}", self.address)
    }

    /// What was received, in its order.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.state().received.clone()
    }

    /// Waits until this number of requests were received.
    pub async fn wait_for(&self, requests: usize) {
        let mut received = self.shared.received.subscribe();
        // The sender is in what this holds.
        let _ = received.wait_for(|count| *count >= requests).await;
    }

    /// Sets the value of a key, and tells it to those who watch it.
    ///
    /// # Panics
    ///
    /// If MessagePack cannot hold it.
    pub fn set_event(&self, key: &str, value: impl Serialize) {
        let value = rmp_serde::to_vec_named(&value).expect("the test's own value");
        let mut state = self.shared.state();
        let before = state.events.get(key).map_or(0, |(set, _)| *set);
        let set = before + 1;
        state.events.insert(key.to_owned(), (set, value.clone()));
        for connection in state.connections.values_mut() {
            connection.tell(key, set, Some(&value));
        }
    }

    /// Refuses logins with this error, or takes them again.
    pub fn refuse_logins(&self, error: Option<ServerError>) {
        self.shared.state().login_error = error;
    }

    /// What clients gave up in its middle: with chunks, a server hears of that.
    #[must_use]
    pub fn given_up(&self) -> GivenUp {
        self.shared.state().given_up
    }

    /// Connections that are there.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state().connections.len()
    }

    /// Ends all connections; clients may connect again.
    pub fn drop_connections(&self) {
        for (_, connection) in self.shared.state().connections.drain() {
            connection.task.abort();
        }
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.listening.abort();
        self.drop_connections();
    }
}
