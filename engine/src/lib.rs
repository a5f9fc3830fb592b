//! The embedded engine: a single writer's memory image, and a journal that makes it durable.
//!
//! ```text
//!              Tx's thread                                          worker threads
//!   execute ─▶ turn (a layer of changes) ─┐
//!   execute ─▶   later requests see it    │
//!   commit ──────────────────────────────▶ record ─▶ journal
//!                                         └──────▶ image, under the write lock ◀── read view
//! ```
//!
//! Nothing that is not durable is ever in the image, so a failed append has nothing to undo.
//!
//! Procedures of an embedder reach data as Rust types by [`CallData::data`], work that it does from
//! elsewhere by [`EmbeddedEngine::data`].
//!
//! From the ground floor up; a module imports only what stands above it in this table:
//!
//! | module | what |
//! |---|---|
//! | `limits` | bounds |
//! | `decimal`, `print` | decimals, and tuples as text |
//! | `privileges` | sets of rights, and what they are on |
//! | `errors` | texts of errors |
//! | `model` | what data is: keys, fields, tuples, definitions of indexes and spaces |
//! | `schema` | the system spaces: their rows, and definitions made of them |
//! | `access` | users and rights |
//! | `store` | what is held: trees, layers of changes, the image |
//! | `ddl` | what may be written into the system spaces |
//! | `query` | SELECT, UPDATE and UPSERT, the read view, the catalog |
//! | `transaction` | interactive transactions, and what they have seen |
//! | `durability` | the journal, checkpoints and the way back from them |
//! | `options` | how an engine is set up |
//! | `engine` | the parts joined, and a request's way through them |
//! | `offline` | a directory's data without clients: checked, dumped, loaded |
//! | `data` | data for Rust: tuples as types |
//! | `procedures` | what CALL reaches |
//! | `testing` | the engine in tests: a feature of its own |
//! | `fuzzing` | what fuzz targets call; there only when they are built |

mod access;
mod data;
mod ddl;
mod decimal;
mod durability;
mod engine;
mod errors;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod limits;
mod model;
pub mod offline;
mod options;
mod print;
mod privileges;
pub mod procedures;
mod query;
mod schema;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod transaction;

pub use data::{CallData, Data, SpaceData};
pub use engine::{EmbeddedEngine, EmbeddedFactory};
/// The operations of UPDATE and UPSERT, for engines of one's own: from the bytes of a tuple to the
/// bytes of the next one.
pub mod update {
    pub use crate::query::update::{update_tuple, upsert_tuple};
}

pub use options::{CheckpointOptions, EngineOptions, GuestRights, JournalSync, OptionsError};

/// What the server's package shares with this one. No promise is kept for it.
#[doc(hidden)]
pub mod internal {
    pub use crate::durability::storage::private_file;
}

/// The journal, as the commands of a server look at it.
pub mod journal {
    pub use crate::durability::journal::{
        FileReport, JournalError, MARK, STAGING, check_unlocked, has_journal,
    };
}

/// The README's program is compiled as its reader would.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
