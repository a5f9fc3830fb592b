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
//! ```
//! use vestibule_actors::actix_rt::System;
//! use vestibule_actors::{Config, start};
//! use vestibule_engine::{
//!     CallData, Definitions, EmbeddedEngine, EngineOptions, SpaceDefinition, procedures,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = vestibule_engine::testing::TestData::new();
//! # let directory = directory.directory();
//! // What connectors call of Tarantool's, and a procedure of one's own: all of it or nothing.
//! let own = procedures::standard().atomic("visit", |call| {
//!     let (user,): (u64,) = call.parse()?;
//!     let mut data = call.data();
//!     let mut visits = data.space::<(u64, u64)>("visits");
//!     let count = visits.get(&user)?.map_or(1, |(_, count)| count + 1);
//!     visits.replace(&(user, count))?;
//!     call.reply.value(&count)
//! });
//! System::new().block_on(async {
//!     let engine = EmbeddedEngine::factory(EngineOptions::new(directory));
//!     let runtime = start(Config::default(), engine, own)?;
//!     // Made at the first start, and held against what is there at later ones.
//!     let visits = SpaceDefinition::new("visits").field("user", "unsigned");
//!     let visits = visits.field("count", "unsigned").index("primary", &["user"]);
//!     Definitions::new().space(visits).establish(&runtime).await?;
//!     // As clients do on their connections, with a user's rights.
//!     let (count,): (u64,) = runtime.call("admin", "visit", &(7,)).await?;
//!     assert_eq!(count, 1);
//!     runtime.stop(None).await;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! Procedures of an embedder reach data as Rust types by [`CallData::data`], work that it does from
//! elsewhere by [`EmbeddedEngine::data`], or [`EmbeddedEngine::reader`] if it changes nothing.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `tarantool-files` (by default) | `offline::TarantoolData`: the files of Tarantool are read |
//! | `collations` | secondary indexes with `unicode`, `unicode_ci`, …: ICU4X and its tables |
//! | `testing` | `testing`: a directory for a test, a disk that fails when it is told to |
//!
//! # The inside
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
//! | `reader`, `data` | data for Rust: tuples as types, to look at and to change |
//! | `definitions` | what an embedder's data look like, made at the first start |
//! | `procedures` | what CALL reaches |
//! | `testing` | the engine in tests: a feature of its own |
//! | `fuzzing` | what fuzz targets call; there only when they are built |

mod access;
mod data;
mod ddl;
mod decimal;
mod definitions;
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
mod reader;
mod schema;
mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod transaction;

pub use data::{CallData, Data, SpaceData};
pub use definitions::{Definitions, DefinitionsError, HasData, SpaceDefinition};
pub use engine::{EmbeddedEngine, EmbeddedFactory};
pub use reader::{DataReader, SpaceReader};
/// The operations of UPDATE and UPSERT, for engines of one's own: from the bytes of a tuple to the
/// bytes of the next one.
pub mod update {
    pub use crate::query::update::{update_tuple, upsert_tuple};
}

pub use options::{
    AdminPassword, CheckpointOptions, EngineOptions, EngineSettings, GuestRights, JournalSync,
    OptionsError,
};

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
