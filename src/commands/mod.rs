//! What works on a data directory while no server does: `check`, `dump`, `load`.
//!
//! ```text
//!   check ─▶ every file, every row ─▶ report, exit code
//!   dump  ─▶ definitions, then rows ─▶ JSON lines
//!   load  ◀─ JSON lines             ─▶ staged journal ─▶ all of it, or nothing
//! ```
//!
//! A dump is text, one JSON object a line:
//!
//! ```text
//!   {"vestibule_dump":1}
//!   {"space":"_space","tuple":[512,1,"users","memtx",0,{},[]]}
//!   {"space":"_index","tuple":[512,0,"primary","tree",{"unique":true},[[0,"unsigned"]]]}
//!   {"space":"users","tuple":[1,"Ada"]}
//!   {"rows":3}
//! ```
//!
//! The first line has the version of the format; the last one tells that the dump is whole. Lines
//! made by hand need neither.
//!
//! | file | what it is |
//! |---|---|
//! | `error` | why a command could not do its work |
//! | `directory` | whether a directory holds data, and whose it is |
//! | `check`, `dump`, `load` | the commands |

mod check;
mod directory;
mod dump;
mod error;
mod load;
#[cfg(test)]
mod tests;

pub(crate) use check::check;
pub(crate) use directory::refuse_tarantools;
pub(crate) use dump::dump;
pub(crate) use load::load;
