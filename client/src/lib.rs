//! An async client for vestibule and Tarantool: one connection, any number of tasks.
//!
//! ```no_run
//! use std::time::Duration;
//! use serde::{Deserialize, Serialize};
//! use vestibule_client::{Client, Outcome, Update};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! struct User {
//!     id: u64,
//!     name: String,
//!     age: u32,
//! }
//!
//! # async fn example() -> Result<(), vestibule_client::Error> {
//! let client = Client::connect("tarantool://app:secret@db1:3301").await?;
//! let users = client.space::<User>("users");
//! let ada = User { id: 1, name: "Ada".into(), age: 36 };
//! users.insert(&ada).await?;
//! let found: Option<User> = users.get(1).await?;
//! users.update(1, Update::new().add("age", 1)).timeout(Duration::from_millis(200)).await?;
//!
//! let mut adults = users.index("age").select(18..).batch(500).stream();
//! while let Some(user) = adults.try_next().await? {
//!     println!("{}", user.name);
//! }
//! let sum: i64 = client.call("sum", (1, 2)).await?;
//!
//! let transaction = client.begin().await?; // rolled back if it is dropped
//! transaction.space::<User>("users").delete(1).await?;
//! transaction.commit().await?;
//!
//! match users.insert(&ada).await {
//!     Err(error) if error.is_busy() => {
//!         println!("{:?}, again in {:?}", error.reason(), error.retry_after());
//!     }
//!     Err(error) if error.outcome() == Outcome::Unknown => println!("it may have run"),
//!     other => drop(other?),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Whether it ran
//!
//! Every error says what became of its request: [`Outcome::NotSent`], [`Outcome::Refused`] or
//! [`Outcome::Unknown`]. A request of which not every byte was handed to the kernel was not sent;
//! one that the server refused has changed nothing; of the others nobody knows. Only what surely
//! did not run is sent again by itself, as [`Retry`] allows, and when the server asks for it.
//!
//! # Who shares a connection
//!
//! Requests belong to groups: every stream is one, and so are reads, writes and calls outside of
//! streams. Pings and watches go ahead of all. Groups share the connection by bytes, and each keeps
//! its own order; between groups there is none. With a server that has chunks, as vestibule, large
//! requests and replies are cut, so that nobody waits for all of another's:
//! [`ClientBuilder::chunks`].
//!
//! # Tuples
//!
//! A tuple is any type that serde turns into a list: a struct, or a Rust tuple, whose fields are
//! the tuple's in their order. A field that older tuples lack is an `Option` with
//! `#[serde(default)]`; a tuple with more fields than the type is an error when it is read.
//! [`Value`] is any value; [`Decimal`], [`UuidValue`], [`Datetime`] and [`Interval`] are those of
//! Tarantool's extension types.
//!
//! # Servers
//!
//! vestibule, and Tarantool from 2.6 on. What a server lacks is asked for in another way where that
//! can be (names of spaces and indexes, pages), and else is [`ErrorKind::Unsupported`], not sent.
//!
//! # The modules
//!
//! From the ground floor up; each uses only those above it:
//!
//! | module | what |
//! |---|---|
//! | `limits` | every bound of this package |
//! | `address` | where a server listens, read from a URL |
//! | `backoff` | how long to wait before the next attempt |
//! | `error` | what goes wrong, and whether it ran |
//! | `table`, `outgoing`, `incoming` | requests that wait, bytes to send, replies cut from bytes |
//! | `operation` | requests as they are kept until they are sent |
//! | `schema` | numbers of spaces and indexes by their names |
//! | `tls` | whom TLS trusts, with the feature of that name |
//! | `options`, `pack` | how clients behave; values as MessagePack |
//! | `retry`, `sql`, `update`, `values` | what is repeated; SQL, UPDATE, extension types |
//! | `link` | one connection, over all its deaths and returns |
//! | `request` | a request that runs when it is awaited |
//! | `pushes`, `select`, `space` | what procedures send early; ranges and pages; spaces and indexes
//! |
//! | `client` | what can be asked of a server |
//! | `builder`, `stream`, `watcher` | how clients are made; streams, transactions, watched keys |
//! | `pool` | several instances of one database |
//! | `testing` | a scripted server, with the feature of that name |
//!
//! They are pure but for `link`, and what stands above it.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod backoff;
mod builder;
mod client;
mod error;
mod incoming;
pub mod limits;
mod link;
mod operation;
mod options;
mod outgoing;
mod pack;
mod pool;
mod pushes;
mod request;
mod retry;
mod schema;
mod select;
mod space;
mod sql;
mod stream;
mod table;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
#[cfg(feature = "tls")]
mod tls;
mod update;
mod values;
mod watcher;

pub use address::{Address, Credentials, PORT_DEFAULT, ParseTargetError, Target};
pub use builder::ClientBuilder;
pub use client::{Client, ServerInfo};
pub use error::{Error, ErrorKind, Outcome, ServerError};
pub use operation::Identifier;
pub use options::Retry;
pub use pool::{Member, Mode, Pool, PoolBuilder, Role};
pub use pushes::Pushes;
pub use request::Request;
pub use select::{KeyRange, Select, TupleStream};
pub use space::{Index, Space};
pub use sql::{Column, Prepared, SqlReply};
pub use stream::{Begin, Isolation, Stream, Transaction};
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub use tls::{ConnectedTls, TlsOptions};
pub use update::{FieldRef, Update};
pub use values::{Adjust, Datetime, Decimal, Interval, ParseDecimalError, UuidValue, Value};
pub use vestibule_wire::error::{ErrorCode, Field};
pub use vestibule_wire::request::IteratorType;
pub use vestibule_wire::{ParseUuidError, Uuid};
pub use watcher::Watcher;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
