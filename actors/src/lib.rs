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
//! From the ground floor up: each module imports only from those above or beside it.
//!
//! | module | what |
//! |---|---|
//! | `limits`, `seconds`, `timeouts`, `timers`, `clock` | bounds, and rules of time |
//! | `shared_tree` | an ordered set whose copies share their nodes |
//! | `engine` | the seam for embedders: engine, procedures, catalog |
//! | `serving`, `memory`, `cells` | what is read without asking anyone |
//! | `admission`, `config`, `slots` | what is done with a request, and with a connection |
//! | `transitions` | changes of the role and stops, as a pure machine |
//! | `shared` | all cells of one runtime |
//! | `messages`, `peers` | what the actors tell each other, and how they reach each other |
//! | `resources`, `connection` | what the sessions of one thread share, and what each is about |
//! | `admin` | the control procedures |
//! | `session`, `worker`, `tx`, `supervisor`, `acceptor` | the actors |
//! | `runtime` | puts them together |
//! | `testing`, `simulation` | a scripted engine and a raw peer; the actors on a simulated clock |

mod acceptor;
mod admin;
pub mod admission;
mod cells;
mod clock;
pub mod config;
mod connection;
pub mod engine;
pub mod limits;
mod memory;
mod messages;
mod peers;
mod resources;
mod runtime;
pub mod seconds;
pub mod serving;
mod session;
mod shared;
pub mod shared_tree;
#[cfg(test)]
mod simulation;
mod slots;
mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;
mod timeouts;
mod timers;
mod transitions;
mod tx;
mod worker;

pub use config::Config;
pub use engine::catalog;
pub use engine::procedures::{self, Procedures};
pub use runtime::{RuntimeHandle, StartError, start};
pub use transitions::{
    Counts, Phases, StopReport, TransitionOutcome, TransitionRecord, TransitionResult,
};
pub use tx::EngineFactory;
pub use vestibule_wire as wire;
