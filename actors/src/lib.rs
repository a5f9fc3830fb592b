//! The runtime to embed: actix actors that own the sockets in front of one busy thread and speak
//! IPROTO.
//!
//! ```text
//!  socket ─▶ Acceptor ─▶ Session ──────────────▶ Tx ─▶ engine
//!             │           │ frames, admission     │ claim, execute, commit once per turn
//!             │           ├─ answered here: greeting, ping, login, catalog, watches, the read view
//!             │           ├─ refused here: busy, loading, draining
//!             │           ◀───── replies, one message per turn ──┘
//!             ▼           ▼
//!         Supervisor: serving state (one shared cell, read by everyone), Tx's life, the stop
//! ```
//!
//! Data go forward through the picture and back once. Control comes from the side and never queues
//! behind data. [`start`] puts it together on a running actix System, with an [`engine::Engine`] of
//! your own; it installs no logger and no signal handler, and never starts or stops the System.
//!
//! # A server of your own
//!
//! ```
//! use std::collections::HashMap;
//! use std::io;
//!
//! use vestibule_actors::engine::{Engine, Fault, Outcome, Reply, Request};
//! use vestibule_actors::serving::State;
//! use vestibule_actors::wire::Error;
//! use vestibule_actors::{Config, Procedures, start};
//!
//! /// It counts visits by name.
//! #[derive(Default)]
//! struct Visits(HashMap<String, u64>);
//!
//! impl Engine for Visits {
//!     fn execute(&mut self, _: &Request<'_>, _: &mut Reply<'_>) -> Result<Outcome, Error> {
//!         Err(Error::unsupported("This engine", "spaces"))
//!     }
//!
//!     fn discard_turn(&mut self) -> Result<(), Fault> {
//!         Ok(()) // What is counted is counted at once.
//!     }
//! }
//!
//! fn main() -> io::Result<()> {
//!     actix_rt::System::new().block_on(async {
//!         let procedures = Procedures::<Visits>::default()
//!             .function("sum", |(a, b): (i64, i64)| Ok(a + b))
//!             .with_engine("visits", |call| {
//!                 let (name,): (String,) = call.parse()?;
//!                 let count = call.engine.0.entry(name).or_default();
//!                 *count += 1;
//!                 call.reply.value(count)
//!             });
//!         let runtime = start(Config::default(), || Ok(Visits::default()), procedures)?;
//!         println!("listening on {:?}", runtime.addresses());
//!         while runtime.serving().state != State::Assist {
//!             runtime.changed(runtime.serving()).await;
//!         }
//!         // Here it serves, until somebody stops it.
//!         let report = runtime.stop(None).await;
//!         println!("stopped after {:?}", report.took);
//!         Ok(())
//!     })
//! }
//! ```
//!
//! Any Tarantool connector can call `sum` and `visits` now, and gets its greeting, pings and logins
//! answered while a procedure keeps the engine busy.
//!
//! # Threads
//!
//! | thread | what lives there | may block |
//! |---|---|---|
//! | the System's arbiter | Acceptor, Supervisor, what else runs on that System | no |
//! | session threads ([`Config::session_threads`]) | sockets, sessions | no |
//! | Tx's arbiter | the engine, procedures | procedures may, for minutes |
//!
//! A procedure that takes long says so with [`Reply::solo`](engine::Reply::solo): sessions then
//! answer alone, and say why. One that does not is found by [`Config::tx_stall_after`].
//!
//! An engine that is there already, such as the embedded one of `vestibule-engine`, gets state
//! beside it, or somebody who has a say in what is asked of it, by an [`engine::EngineWrapper`].
//!
//! # The engine from elsewhere
//!
//! Web handlers, timers and other threads reach the engine through a clone of the handle:
//! [`RuntimeHandle::write`] and [`read`](RuntimeHandle::read) run a closure in Tx's next turn, and
//! return what it returned once that is committed. [`RuntimeHandle::call`] calls a procedure, with
//! the rights of a user. They are refused, waited for and cut off like clients: see
//! [`EngineError`].
//!
//! # Connections from elsewhere
//!
//! Beside the addresses and unix sockets of [`Config::listen`] a runtime accepts from listeners
//! that are bound already ([`RuntimeBuilder::listener`], or [`RuntimeHandle::listen`] for one that
//! runs: what a service manager hands over), and takes connections that somebody else accepted
//! ([`RuntimeHandle::adopt`]): sockets, and everything that is `AsyncRead + AsyncWrite`, such as
//! pipes.
//!
//! ```
//! use vestibule_actors::{Connection, Listener, RuntimeHandle};
//!
//! # async fn example<E>(runtime: RuntimeHandle<E>) -> Result<(), Box<dyn std::error::Error>> {
//! let inherited = std::net::TcpListener::bind("127.0.0.1:0")?;
//! runtime.listen(Listener::tcp(inherited)?)?;
//!
//! let (_client, server) = std::os::unix::net::UnixStream::pair()?;
//! runtime.adopt(Connection::unix(server)?)?;
//! # Ok(())
//! # }
//! ```
//!
//! One that is adopted may be given less of the runtime than others: [`Connection::bounds`].
//!
//! Where a connection comes from decides what it may do: one from this machine may be an
//! administrator's, by a unix socket one of root and of the user who runs the program
//! ([`PeerAddress::is_operator`]), and a guest who may do everything is refused on one from
//! another machine ([`Config::exposed_guest`]).
//!
//! Logins are decided by the engine's users, and before them by an [`Authenticator`] if
//! [`RuntimeBuilder::authenticator`] was given one: a directory, tokens, a table elsewhere. It may
//! take its time; nobody waits but who logs in.
//!
//! # To be told
//!
//! [`RuntimeBuilder`] takes hooks: [`on_engine_started`](RuntimeBuilder::on_engine_started), with
//! the handle, [`on_connection_opened`](RuntimeBuilder::on_connection_opened) and
//! [`on_connection_closed`](RuntimeBuilder::on_connection_closed), with the reason. Work that is
//! done every so often is [`Procedures::every`].
//!
//! # Stopping
//!
//! [`RuntimeHandle::stop`] refuses what is new, lets what runs end within the grace, and returns a
//! [`StopReport`] that tells what was cut off. Stop the runtime before the System: a System that
//! ends first takes the runtime's threads with it, which the report then calls a failure.
//!
//! With the feature `signals`, `RuntimeHandle::serve_until_signal` is all that a server's `main`
//! waits for.
//!
//! # Before a Tarantool that exists already
//!
//! [`start_gateway`] starts the same without an engine: what clients ask goes on to [`Upstreams`].
//! What else can be given to it, [`GatewayBuilder`] takes.
//!
//! # With actix-web
//!
//! Both live on one System, and handlers reach the engine by the handle. actix-web ends its System
//! 300 ms after a signal, unless `HttpServer::disable_signals` is called: then
//! `RuntimeHandle::serve_until_signal_then` stops the web server first and the runtime after it.
//! This is out of `examples/actix-web/` of the repository, which has the rest of the program; the
//! page is that of the package `vestibule-http`:
//!
//! ```text
//! #[post("/visits/{name}")]
//! async fn add_visit(runtime: Runtime, name: web::Path<String>) -> impl Responder {
//!     let name = name.into_inner();
//!     let count = runtime.write(move |visits| Ok(visits.visit(name))).await;
//!     count.map_or_else(failure, |count| HttpResponse::Ok().body(count.to_string()))
//! }
//!
//! #[actix_web::main]
//! async fn main() -> io::Result<()> {
//!     let [http, iproto, page] = addresses()?;
//!     let mut config = Config::default().listen(vec![iproto.into()]);
//!     // What clients leave to the page.
//!     config.descriptors.reserved = DESCRIPTORS;
//!     let runtime = start(config, || Ok(Visits::default()), procedures())?;
//!     // Closed last, when it is dropped: until then it tells how far a stop is.
//!     let page = HttpConfig::new([page.into()]);
//!     let page = serve(&runtime, page, Sources::new(env!("CARGO_PKG_VERSION")));
//!     let page = page.map_err(io::Error::other)?;
//!     let shared = web::Data::new(runtime.clone());
//!     let app = move || {
//!         let app = App::new().app_data(shared.clone());
//!         app.service(add_visit).service(count_visits)
//!     };
//!     let server = HttpServer::new(app)
//!         // Else actix-web ends the System by itself, and requests under way with it.
//!         .disable_signals()
//!         .bind(http)?;
//!     let server = server.run();
//!     let web = server.handle();
//!     actix_web::rt::spawn(server);
//!     // At a signal: first no HTTP any more, whose handlers need the engine, then the runtime.
//!     let report = runtime.serve_until_signal_then(|| web.stop(true)).await?;
//!     println!(
//!         "stopped: {} requests cut off, failure {:?}",
//!         report.killed, report.failure
//!     );
//!     Ok(())
//! }
//! ```
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `signals` | serving until a signal ends it: signals, order and report in one call |
//! | `testing` | servers, peers, a clock wound by hand, a scripted engine, for integration tests |
//!
//! # The inside
//!
//! From the ground floor up: each module imports only from those above or beside it.
//!
//! | module | what |
//! |---|---|
//! | `limits`, `seconds`, `timeouts`, `timers`, `clock` | bounds, and rules of time |
//! | `throttle`, `backoff` | how often at most something is told, or tried again |
//! | `reactor` | what a task that has much to do lets go first |
//! | `serialized` | how what operators see is serialized |
//! | `settable` | structs of options, set by methods |
//! | `segments` | memory for large replies, and the counter of all that is charged |
//! | `shared_tree` | an ordered set whose copies share their nodes |
//! | `counting` | numbers that one thread writes as it goes, and others read |
//! | `endpoints` | where a server listens, and who comes from where |
//! | `private_file` | files that hold secrets |
//! | `tls` | who the server is by TLS, and which upstreams it trusts |
//! | `states` | the serving states, the roles, and what each means |
//! | `engine` | the seam for embedders: engine, procedures, catalog |
//! | `serving`, `memory`, `cells` | what is read without asking anyone |
//! | `admission`, `config`, `slots` | what is done with a request, and with a connection |
//! | `upstream` | what a gateway knows of the instances that it stands before, pure |
//! | `exposure` | whether guest may be served where other machines are |
//! | `failed_logins` | how long logins wait because others from their address were wrong |
//! | `quotas` | how much of what all share one user or address may hold |
//! | `transitions` | changes of the role and stops, as a pure machine |
//! | `shared` | all cells of one runtime |
//! | `monitoring` | what operators see, as values |
//! | `incoming` | listeners and connections that were made elsewhere |
//! | `audit` | lines of the log about logins, refusals and changes of rights |
//! | `authenticator` | logins that somebody else decides |
//! | `hooks` | what an embedder is told of connections |
//! | `reload` | its configuration, loaded again |
//! | `messages`, `peers` | what the actors tell each other, and how they reach each other |
//! | `jobs` | work on the engine that the embedder asks for |
//! | `resources`, `connection` | what the sessions of one thread share, and what each is about |
//! | `outbound` | how a gateway connects to upstreams |
//! | `links`, `scouts` | its connections: for requests, and to see how upstreams are |
//! | `admin` | the control procedures |
//! | `session`, `worker`, `tx`, `supervisor`, `acceptor` | the actors |
//! | `runtime` | puts them together |
//! | `testing`, `simulation` | a scripted engine and a raw peer; the actors on a simulated clock |

mod acceptor;
mod admin;
mod admission;
pub mod audit;
mod authenticator;
mod backoff;
mod cells;
mod clock;
pub mod config;
mod connection;
mod counting;
mod endpoints;
pub mod engine;
mod exposure;
mod failed_logins;
mod hooks;
mod incoming;
mod jobs;
pub mod limits;
mod links;
mod memory;
mod messages;
pub mod monitoring;
mod outbound;
mod peers;
mod private_file;
mod quotas;
mod reactor;
mod reload;
mod resources;
mod runtime;
mod scouts;
mod seconds;
mod segments;
mod serialized;
pub mod serving;
mod session;
mod settable;
mod shared;
mod shared_tree;
#[cfg(test)]
mod simulation;
mod slots;
mod states;
mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;
mod throttle;
mod timeouts;
mod timers;
mod tls;
mod transitions;
mod tx;
mod upstream;
mod worker;

/// The runtime's own version of it: what a System is that [`start`] runs on.
pub use actix_rt;
pub use authenticator::{Authenticator, Login, LoginDecision, LoginProof};
pub use config::Config;
pub use endpoints::{
    BoundListener, ListenAddress, ListenAddressError, PeerAddress, UnixPeer, UnixSocketFile,
};
pub use engine::EngineFactory;
pub use engine::catalog;
pub use engine::procedures::{self, Procedures};
pub use hooks::{CloseReason, ConnectionClosed, ConnectionOpened};
pub use incoming::{AdoptError, Connection, ConnectionBounds, ListenError, Listener};
pub use jobs::EngineError;
pub use reload::ReloadRequest;
pub use runtime::{
    Gateway, GatewayBuilder, RuntimeBuilder, RuntimeHandle, StartError, Transition, start,
    start_gateway,
};
pub use serving::Events;
#[cfg(feature = "tls")]
pub use tls::{
    AcceptedTls, ServerNameError, TlsError, TlsFile, TlsFiles, TlsIdentity, UpstreamTls,
    UpstreamTlsFiles,
};
pub use transitions::{
    Counts, Phases, RecordedResult, StopReport, TransitionOutcome, TransitionRecord,
    TransitionResult,
};
pub use upstream::{
    GatewayAccount, LinkMode, ListedUsers, OnLost, ReadFrom, Upstream, UpstreamAddress,
    UpstreamTextError, UpstreamUsers, Upstreams, UpstreamsError, UserListError,
};
pub use vestibule_wire as wire;

/// What the other packages of this workspace share with this one. No promise is kept for it.
#[doc(hidden)]
pub mod internal {
    pub use crate::engine::arguments::{key_array, tuple_as};
    pub use crate::private_file::open_private;
    #[cfg(feature = "signals")]
    pub use crate::runtime::EndingSignals;
    pub use crate::seconds::from_seconds;
    pub use crate::settable::settable;
    pub use crate::shared_tree::SharedTree;
}

/// The programs of the READMEs are compiled as their readers would.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../README.md")]
struct Readme;
