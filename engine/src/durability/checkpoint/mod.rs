//! Checkpoints: files with all rows, so that a start need not read the journal from its beginning.
//!
//! ```text
//!   checkpoint-…0450.ckpt   all rows, as of record 449 or a little later
//!   journal-…0450.log       every record from 450 on                 ─▶ together: all there is
//! ```
//!
//! A checkpoint is *fuzzy*: a thread walks through the image in small steps, each under the read
//! lock, while Tx goes on with its turns. No copy of the image is made, by versions of tuples, by
//! `fork` or otherwise, so it takes hardly any memory. Tx waits for one step at most, and at the
//! beginning for a new journal file, which is two short fsyncs. What changes meanwhile is in the
//! journal, and recovery applies it: `scan` tells why that is right.
//!
//! | module | what |
//! |---|---|
//! | `schedule` | when one is due: by size of the journal, by age, on demand |
//! | `plan` | when they are made, for the threads of engines that come one after the other |
//! | `thread` | the thread that makes them |
//! | `task` | one checkpoint from beginning to end, and what becomes of old files |
//! | `scan` | what goes into it |
//! | `format`, `write`, `read` | the file |
//! | `load` | an image from the file |
//! | `error` | what may go wrong |

mod error;
mod format;
mod load;
mod plan;
mod read;
mod scan;
mod schedule;
mod task;
#[cfg(test)]
mod tests;
mod thread;
mod write;

use std::path::{Path, PathBuf};

pub(crate) use error::CheckpointError;
pub(crate) use load::{Loaded, load};
pub(crate) use plan::CheckpointPlan;
pub(crate) use read::list;
pub(crate) use task::{Task, remove_unfinished};
pub(crate) use thread::{Answer, CheckpointWatch, Checkpointer, InProgress, Status};

/// The file of the checkpoint that is gone on from with this record.
pub(crate) fn path(directory: &Path, from: u64) -> PathBuf {
    format::file_name(directory, from)
}

/// Whether a file of this name is a checkpoint.
pub(crate) fn is_file_name(name: &str) -> bool {
    format::parse_file_name(name).is_some()
}
