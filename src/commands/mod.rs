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
//! The first line has the version of the format; the last one tells that the dump is whole. Lines made
//! by hand need neither.

pub mod args;
mod check;
mod dump;
mod error;
mod json;
mod load;
mod meter;
#[cfg(test)]
mod tests;

pub use check::check;
pub use dump::dump;
pub use error::ToolError;
pub use load::load;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Version of the dumps that are written, and the last one that is read.
const DUMP_VERSION: u32 = 1;

/// Refuses a directory that is not there or has no data: most likely another one was meant.
fn require_data(directory: &Path) -> Result<(), ToolError> {
    match fs::read_dir(directory) {
        Ok(_) if vestibule_engine::offline::has_data(directory) => Ok(()),
        Err(source)
            if !matches!(
                source.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory
            ) =>
        {
            Err(ToolError::Io {
                action: "read",
                name: directory.display().to_string(),
                source,
            })
        }
        _ => Err(ToolError::NoData {
            directory: directory.to_path_buf(),
        }),
    }
}
