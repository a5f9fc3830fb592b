//! Replies, for both ends.
//!
//! | module | what |
//! |---|---|
//! | `encode` | replies and events to bytes, in one fixed layout: the server writes |
//! | `rows` | the bodies of those that have rows, and where bodies go |
//! | `pass_on` | replies of another server, with a header of one's own |
//! | `decode` | bytes to replies and events, borrowed from the frame: a client reads |

mod decode;
mod encode;
mod pass_on;
mod rows;

pub use decode::{MalformedReply, ReplyFrame};
pub use encode::{
    HEADER_SIZE, ReplyHeader, error_code, finish, length_of, patch_schema_version,
    schema_version_of, wrap_results, write_data_head, write_event, write_serialized, write_value,
    write_values,
};
pub use rows::{ReplySink, Rows, SINK_HEAD_SIZE};
