//! The journal: what makes a turn durable before its replies are sent.
//!
//! ```text
//!   turn ─▶ append ─▶ journal-00000000000000000001.log  ┐
//!                     journal-00000000000000000815.log  ┘ rotate: a new file; forget_before: fewer
//!                       header │ record 815 │ record 816 │ …
//!                                length │ CRC32C │ sequence │ payload
//!
//!   open ─▶ every record, in order ─▶ replay          (torn tail: cut; damage before it: refused)
//! ```
//!
//! One record a turn, numbered consecutively from 1, written with one call. What
//! [`Journal::append`] reports as failed is cut away again. A failed fsync is never tried again:
//! the kernel may have dropped what it could not write, so the journal fails until
//! [`Journal::resume`].
//!
//! | module | what |
//! |---|---|
//! | `format` | file headers and records as bytes |
//! | `error` | what may go wrong |
//! | `mark` | which file is the newest, so that its loss is seen |
//! | `options` | what is asked of a journal |
//! | `segment` | a file by its first record |
//! | `file_window` | a part of a file in memory |
//! | `range_sums` | CRC32C of any range of a file, at the price of one |
//! | `replay` | one file, record by record |
//! | `read` | all files of a directory, in order |
//! | `held` | which directories this process has |
//! | `directory` | one process only, and files made and cut |
//! | `inspect` | what was found in one file |
//! | `counts` | what monitoring is told of an open journal |
//! | `writer` | an open journal: records appended, files rotated |
//! | `sync_thread` | fsync at intervals, on a thread of its own |
//! | `staging` | a new journal beside the place where it is used |

mod counts;
mod directory;
mod error;
mod file_window;
mod format;
mod held;
mod inspect;
pub(crate) mod mark;
mod options;
mod range_sums;
mod read;
mod replay;
mod segment;
mod staging;
mod sync_thread;
#[cfg(test)]
mod test_access;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use counts::JournalCounts;
pub use directory::{check_unlocked, has_journal};
pub(crate) use directory::{is_file_name, lock};
pub use error::JournalError;
pub(crate) use format::{RECORD_SIZE_MAX, new_salt};
#[cfg(fuzzing)]
pub(crate) use format::{file_of, first_file};
pub use inspect::FileReport;
pub(crate) use inspect::lock_shared;
pub use mark::MARK;
pub(crate) use options::JournalOptions;
pub(crate) use read::{FoundJournal, check_before, read, read_with, size_from};
pub use staging::STAGING;
pub(crate) use writer::Journal;
