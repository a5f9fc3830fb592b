//! What makes data survive: the journal, checkpoints, and the way back from them.
//!
//! | module | what |
//! |---|---|
//! | `storage` | files, so that tests can let them fail |
//! | `record` | a turn as bytes |
//! | `journal` | records on disk |
//! | `checkpoint` | all rows on disk |
//! | `recovery` | from a directory to an image |

pub(crate) mod checkpoint;
pub mod journal;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod storage;
