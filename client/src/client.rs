//! The client: what can be asked of a server.

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_wire::Uuid;
use vestibule_wire::features::Feature;

use crate::error::Error;
use crate::operation::{Action, Identifier, Operation, Sql};
use crate::pack;
use crate::request::{Request, Route};
use crate::space::Space;
use crate::sql::{Prepared, SqlReply};

/// A client of one server, or of a pool of them. Cheap to clone; used by any number of tasks at
/// once, over one connection to each server.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) route: Route,
}

/// What is known of the server at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Major, minor, patch, as the greeting tells.
    pub version: (u32, u32, u32),
    /// The name of the instance.
    pub instance_uuid: Uuid,
    /// Whether it has streams and transactions.
    pub has_transactions: bool,
    /// Whether it tells events to those who watch.
    pub has_watchers: bool,
    /// Whether a SELECT goes on from the position of the last tuple.
    pub has_pagination: bool,
    /// Whether it takes names of spaces and indexes.
    pub has_names: bool,
    /// Whether large requests and replies are sent in chunks: the server can, and the client
    /// [asks](crate::ClientBuilder::chunks).
    pub has_chunks: bool,
}

impl Client {
    pub(crate) fn new(route: Route) -> Self {
        Self { route }
    }

    /// Waits for the first attempt to connect.
    pub(crate) async fn wait_connected(&self) -> Result<(), Error> {
        match &self.route {
            Route::One(holder) | Route::Stream(holder, _, _) => holder.0.first_attempt().await,
            Route::Any(pool) => pool.choose().await.map(drop),
        }
    }

    /// Whether a connection is there and serves. Of a pool, whether requests find one at once is
    /// told by the pool.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match &self.route {
            Route::One(holder) | Route::Stream(holder, _, _) => holder.0.session().is_some(),
            Route::Any(_) => true,
        }
    }

    /// What is known of the server.
    ///
    /// # Errors
    ///
    /// There is no connection within the time limit of requests.
    pub async fn server(&self) -> Result<ServerInfo, Error> {
        let session = async { self.route.holder().await?.0.wait_up().await };
        let session = self.route.in_time(session).await?;
        Ok(ServerInfo {
            version: session.version,
            instance_uuid: session.instance_uuid,
            has_transactions: session.has(Feature::Transactions),
            has_watchers: session.has(Feature::Watchers),
            has_pagination: session.has(Feature::Pagination),
            has_names: session.has(Feature::SpaceAndIndexNames),
            has_chunks: session.chunks.is_some(),
        })
    }

    /// Closes the connection for all clones: what was asked is still answered for a moment, new
    /// requests fail. A pool is closed when its last clone is dropped.
    pub fn close(&self) {
        if let Route::One(holder) | Route::Stream(holder, _, _) = &self.route {
            holder.0.close();
        }
    }

    /// How many requests are sent, or wait to be sent, over the connection; of a pool 0.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        match &self.route {
            Route::One(holder) | Route::Stream(holder, _, _) => holder.0.pending(),
            Route::Any(_) => 0,
        }
    }

    pub(crate) fn request<R>(
        &self,
        operation: Result<Operation, Error>,
        decode: crate::request::Decode<R>,
    ) -> Request<R> {
        Request::new(self.route.clone(), operation, decode)
    }

    /// Asks whether the server is there. Works while it is busy or loading.
    pub fn ping(&self) -> Request<()> {
        self.request(Ok(Action::Ping.into()), |_| Ok(()))
    }

    /// Calls a procedure. The result is the first value that it returns, nil if there is none; for
    /// all of them see [`Request::all`].
    ///
    /// Arguments are a Rust tuple; `()` are none, and a value that is no list is the only one.
    pub fn call<R: DeserializeOwned>(
        &self,
        procedure: &str,
        arguments: impl Serialize,
    ) -> Request<R> {
        let operation = pack::parts(&arguments).map(|args| {
            let name = procedure.to_owned();
            Action::Call { name, args }.into()
        });
        self.request(operation, |reply| pack::first(&reply.frame()))
    }

    /// Runs Lua code on a Tarantool server (vestibule runs none); arguments and result as those of
    /// [`call`](Self::call).
    pub fn eval<R: DeserializeOwned>(
        &self,
        expression: &str,
        arguments: impl Serialize,
    ) -> Request<R> {
        let operation = pack::parts(&arguments).map(|args| {
            let expression = expression.to_owned();
            Action::Eval { expression, args }.into()
        });
        self.request(operation, |reply| pack::first(&reply.frame()))
    }

    /// Runs a statement of SQL on a Tarantool server, with values for its placeholders. Named ones
    /// are maps: `[{":id": 1}]`.
    pub fn execute<T: DeserializeOwned>(
        &self,
        statement: &str,
        values: impl Serialize,
    ) -> Request<SqlReply<T>> {
        let operation = pack::named_parts(&values).map(|bind| {
            let sql = Sql::Text(statement.to_owned());
            Action::Execute { sql, bind }.into()
        });
        self.request(operation, SqlReply::read)
    }

    /// Prepares a statement of SQL on a Tarantool server. It belongs to the connection: after a
    /// reconnect it is to be prepared again.
    pub fn prepare(&self, statement: &str) -> Request<Prepared> {
        let sql = Sql::Text(statement.to_owned());
        self.request(Ok(Action::Prepare(sql).into()), Prepared::read)
    }

    /// Runs a prepared statement.
    pub fn execute_prepared<T: DeserializeOwned>(
        &self,
        statement: &Prepared,
        values: impl Serialize,
    ) -> Request<SqlReply<T>> {
        let id = statement.id;
        let operation = pack::named_parts(&values).map(|bind| {
            let sql = Sql::Id(id);
            Action::Execute { sql, bind }.into()
        });
        self.request(operation, SqlReply::read)
    }

    /// Ends a prepared statement.
    pub fn unprepare(&self, statement: &Prepared) -> Request<()> {
        let sql = Sql::Id(statement.id);
        self.request(Ok(Action::Prepare(sql).into()), |_| Ok(()))
    }

    /// The present value of a key that can be watched; `None` if it has none.
    pub fn watch_once<T: DeserializeOwned>(&self, key: &str) -> Request<Option<T>> {
        let action = Action::WatchOnce(key.to_owned());
        self.request(Ok(action.into()), |reply| pack::first(&reply.frame()))
    }

    /// A space, by name or number, whose tuples are read and written as `T`: a struct, or a Rust
    /// tuple, whose fields are the tuple's in their order.
    #[must_use]
    pub fn space<T>(&self, space: impl Into<Identifier>) -> Space<T> {
        Space::new(self.route.clone(), space.into())
    }
}

impl<R: DeserializeOwned> Request<R> {
    /// All values that a procedure or a piece of Lua returns, in place of the first.
    ///
    /// On a request on data this is the list of tuples.
    pub fn all<T: DeserializeOwned>(self) -> Request<T> {
        self.decoded_by(|reply| pack::data(&reply.frame()))
    }
}
