//! Requests as ranges of keys and as changes of tuples, and what sessions answer from.
//!
//! | module | what |
//! |---|---|
//! | `scan` | SELECT, from iterator and key to a range |
//! | `update` | operations of UPDATE and UPSERT |
//! | `view` | the read view that sessions scan |
//! | `catalog` | what sessions answer schema requests and AUTH from |

pub(crate) mod catalog;
pub(crate) mod scan;
pub(crate) mod update;
pub(crate) mod view;
