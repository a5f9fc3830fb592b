//! Numbers that one thread writes as it goes, and others read.
//!
//! | file | what |
//! |---|---|
//! | `counter` | a number that one thread counts up |
//! | `durations` | how long things took, in buckets |

pub(crate) mod counter;
pub(crate) mod durations;
