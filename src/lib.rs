//! The server: a command line around [`vestibule_actors`] with the embedded engine of
//! [`vestibule_engine`].
//!
//! ```text
//!   main ─▶ cli ─┬▶ server ─▶ vestibule_actors::start(config, engine, procedures)
//!                │               vestibule_engine: memory image, journal, what CALL reaches
//!                ├▶ commands: check, dump, load
//!                └▶ vestibule_bench: measures any IPROTO server
//! ```
//!
//! To embed the actors with an engine of your own, use [`vestibule_actors`] alone.

pub mod cli;
pub mod commands;
pub mod descriptors;
mod notify;
pub mod server;
