//! The server around [`vestibule_actors`]: an embedded durable engine, the procedures that connectors
//! call, a command line and a load generator.
//!
//! ```text
//!   main ─▶ cli ─┬▶ server ─▶ vestibule_actors::start(config, engine, procedures)
//!                │               engine/: memory image, journal     procedures/: what CALL reaches
//!                ├▶ tools: check, dump, load
//!                └▶ bench: measures any IPROTO server
//! ```
//!
//! To embed the actors with an engine of your own, use [`vestibule_actors`] alone.

pub mod bench;
pub mod cli;
pub mod descriptors;
pub mod engine;
mod notify;
pub mod procedures;
pub mod server;
pub mod tools;
