//! What makes data survive: the journal, checkpoints, and the way back from them.
//!
//! | module | what |
//! |---|---|
//! | `storage` | files, so that tests can let them fail |
//! | `record` | a turn as bytes |
//! | `journal` | records on disk |
//! | `checkpoint` | all rows on disk |
//! | `recovery` | from a directory to an image |
//! | `commit_log` | what Tx writes its turns to |

pub(crate) mod checkpoint;
pub(crate) mod commit_log;
pub(crate) mod journal;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod storage;
