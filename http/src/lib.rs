//! The side door of a vestibule runtime: metrics for Prometheus, probes for those who restart
//! servers or send them clients, and the state for people and programs, over HTTP.
//!
//! ```text
//!   Prometheus, kubelet, curl ──▶ door, a thread of its own ──▶ RuntimeHandle: cells, no questions
//! ```
//!
//! It answers whatever Tx does, changes nothing, and bounds everything that strangers can have it
//! do. [`serve`] opens it.
//!
//! | module | what |
//! |---|---|
//! | `server` | listeners, connections, the way of a request |
//! | `door` | what is asked, what it is answered from, and the answer |
//! | `pages` | what the paths answer |
//! | `history` | the last minutes, sample by sample |
//! | `summary` | how things stand, in words |
//! | `numbers` | the metrics: tables, formats, documentation |
//! | `observed` | a runtime, whatever its engine |
//! | `process` | what the kernel tells of the process |
//! | `answered` | what the door has answered, counted |
//! | `config` | what it is told |
//! | `sources` | what only the program knows |
//! | `reloads` | its configuration, loaded again |
//! | [`limits`] | bounds |

mod answered;
mod config;
mod door;
mod history;
pub mod limits;
mod numbers;
mod observed;
mod pages;
mod process;
mod reloads;
mod server;
mod sources;
mod summary;

pub use config::{HttpConfig, HttpListener, HttpSettings, Token, TokenError};
pub use numbers::metrics_reference;
pub use reloads::Reloads;
pub use server::{HttpControl, HttpError, HttpHandle, serve};
pub use sources::Sources;

/// The program of the README, which is compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
