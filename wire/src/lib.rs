//! IPROTO as bytes: what travels between a Tarantool connector and a server, and nothing else.
//!
//! ```text
//!  bytes in ──▶ frame ──▶ header ──▶ request          (borrowed from the bytes, nothing is copied)
//!  bytes out ◀── reply ◀── error                      (appended to one buffer, length patched last)
//! ```
//!
//! No socket, no clock, no thread: every function here maps bytes to values or values to bytes, so
//! that it can be tested exhaustively and used by both ends of a connection.
//!
//! | module | what |
//! |---|---|
//! | `greeting` | the 128 bytes that a server sends first |
//! | `uuid` | the name of an instance, and a value in tuples |
//! | `frame` | where a request ends: the length prefix and its bounds |
//! | `header` | request type, sync, stream, schema version |
//! | `request` | bodies, decoded in place |
//! | `reply` | replies, always in Tarantool's own fixed layout |
//! | `error` | codes, texts and the error stack with fields |
//! | `events` | keys of the events that clients watch |
//! | `features` | protocol version and feature bits of `IPROTO_ID` |
//! | `auth` | the chap-sha1 check |
//! | `msgpack` | the reader and writers all of this is made of |

pub mod auth;
pub mod error;
pub mod events;
pub mod features;
pub mod frame;
pub mod greeting;
pub mod header;
pub mod keys;
pub mod limits;
pub mod msgpack;
pub mod reply;
pub mod request;
mod uuid;

pub use error::{Error, ErrorCode};
pub use uuid::{ParseUuidError, Uuid};
