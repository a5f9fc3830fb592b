//! IPROTO as bytes: what travels between a Tarantool connector and a server, and nothing else.
//!
//! ```text
//!  server:  bytes in ──▶ frame ──▶ header ──▶ request     borrowed from the bytes, nothing copied
//!           bytes out ◀── reply ◀── error                 appended to one buffer, length last
//!
//!  client:  bytes out ◀── client ◀── request              the same bodies, written
//!           bytes in ──▶ reply ──▶ error                  the same errors, read
//! ```
//!
//! A request on its way, and its reply on the way back:
//!
//! ```
//! use vestibule_wire::client::{ReplyFrame, RequestHeader};
//! use vestibule_wire::frame::read_prefix;
//! use vestibule_wire::header::read_header;
//! use vestibule_wire::keys::RequestType;
//! use vestibule_wire::limits::PACKET_SIZE_MAX_DEFAULT;
//! use vestibule_wire::msgpack::Reader;
//! use vestibule_wire::reply::{ReplyHeader, Rows};
//! use vestibule_wire::request::{Body, IdOrName, Store, decode};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A client writes bytes.
//! let replace = Body::Replace(Store { space: IdOrName::Id(512), tuple: &[0x92, 7, 0xa1, b'a'] });
//! let mut sent = Vec::new();
//! RequestHeader::with_sync(1).write(&mut sent, &replace);
//!
//! // A server reads them where they are, and appends what it answers.
//! let prefix = read_prefix(&sent, PACKET_SIZE_MAX_DEFAULT)?.expect("all of it has come");
//! let (header, body) = read_header(&sent[prefix.size..prefix.frame_size()]).expect("a header");
//! let request = RequestType::from_code(header.request_type).expect("one that clients may send");
//! let Body::Replace(stored) = decode(request, body)? else {
//!     unreachable!("it is what was sent");
//! };
//! let mut answered = Vec::new();
//! ReplyHeader { sync: header.sync, schema_version: 1 }.write(&mut answered, |out| {
//!     Rows::begin(out).push(stored.tuple);
//!     Ok(())
//! })?;
//!
//! // The client finds the tuple in the reply.
//! let reply = ReplyFrame::read(&answered, 16 << 20)?.expect("all of it has come");
//! let mut data = Reader::new(reply.data().expect("it is no error"));
//! assert_eq!((data.read_array_len()?, data.skip()?), (1, stored.tuple));
//! # Ok(())
//! # }
//! ```
//!
//! No socket, no clock, no thread: every function here maps bytes to values or values to bytes, so
//! that it can be tested exhaustively and used by both ends of a connection.
//!
//! From the ground floor up; each module uses only those above it in the table:
//!
//! | module | what |
//! |---|---|
//! | `limits` | every bound of this package |
//! | `keys` | the numbers of the protocol: keys, request types, reply codes |
//! | `events` | keys of the events that clients watch |
//! | `msgpack` | the reader and writers all of this is made of |
//! | `uuid` | the name of an instance, and a value in tuples |
//! | `features` | protocol version and feature bits of `IPROTO_ID` |
//! | `error` | codes, texts and the error stack with fields |
//! | `greeting` | the 128 bytes that a server sends first |
//! | `auth` | chap-sha1: the proof of a password, and its check |
//! | `frame` | where a request ends: the length prefix and its bounds |
//! | `header` | request type, sync, stream, schema version |
//! | `growing` | a buffer for a large message, which grows without a pause |
//! | `groups` | how message groups share a connection: whose turn it is, and chunks |
//! | `request` | bodies, read in place and written |
//! | `reply` | replies and events, written in Tarantool's fixed layout and read |
//! | `client` | the client's half: requests to send, replies received, the login |
//! | `ballot` | what an instance says of itself, without a login |

pub mod auth;
pub mod ballot;
pub mod client;
pub mod error;
pub mod events;
pub mod features;
pub mod frame;
pub mod greeting;
pub mod groups;
pub mod growing;
pub mod header;
pub mod keys;
pub mod limits;
pub mod msgpack;
pub mod reply;
pub mod request;
mod uuid;

pub use error::{Error, ErrorCode};
pub use uuid::{ParseUuidError, Uuid};
