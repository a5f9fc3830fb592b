//! The client's half of a connection, as bytes: no socket, no clock, like the rest of this package.
//!
//! ```text
//!  greeting (128 bytes)  ──▶ greeting::decode ──▶ version, UUID, salt
//!  login_tuple(password, salt) ──▶ Body::Auth ──┐
//!  Body::Select, Body::Call, … ─────────────────┴─▶ RequestHeader::write ──▶ bytes to send
//!  bytes received ──▶ ReplyFrame::read ──▶ code, sync ──▶ data(), error(), event(), …
//! ```
//!
//! Requests may be sent without waiting. A reply is told to its request by the sync, which the
//! client chooses; the order of replies is the server's. What stands in a body is told by the same
//! types that the server decodes requests into, so that one can be made from the other.
//!
//! ```
//! use vestibule_wire::client::{ReplyFrame, RequestHeader};
//! use vestibule_wire::request::{After, Body, IdOrName, IteratorType, Select};
//!
//! let select = Body::Select(Select {
//!     space: IdOrName::Name("accounts"),
//!     index: IdOrName::Id(0),
//!     limit: 100,
//!     offset: 0,
//!     iterator: IteratorType::Eq as u64,
//!     key: &[0x91, 7],
//!     fetch_position: false,
//!     after: After::Start,
//! });
//! let mut to_send = Vec::new();
//! RequestHeader::with_sync(1).write(&mut to_send, &select);
//!
//! # let mut received = Vec::new();
//! # let server = vestibule_wire::reply::ReplyHeader { sync: 1, schema_version: 1 };
//! # server.write_error(&mut received, &vestibule_wire::Error::no_such_space("accounts"));
//! let reply = ReplyFrame::read(&received, 16 << 20)?.expect("the whole reply has come");
//! assert_eq!(reply.sync, 1);
//! assert_eq!(reply.error().unwrap().message(), "Space 'accounts' does not exist");
//! # Ok::<(), vestibule_wire::client::MalformedReply>(())
//! ```

use crate::auth::PasswordKey;
use crate::features::AUTH_TYPE;
use crate::keys;
use crate::msgpack::{write_array_len, write_map_len, write_str, write_str_bytes, write_uint};
use crate::request::Body;

mod header;

pub use self::header::{RequestHeader, SYNC_AT};
pub use crate::greeting::{GREETING_SIZE, Greeting};
pub use crate::reply::{MalformedReply, ReplyFrame};

/// The tuple of an AUTH request by chap-sha1: proof of the password for the salt of the greeting.
#[must_use]
pub fn login_tuple(password: &str, salt: &[u8]) -> Vec<u8> {
    login_tuple_by_key(&PasswordKey::of(password), salt)
}

/// The same by what another login has proven.
#[must_use]
pub fn login_tuple_by_key(key: &PasswordKey, salt: &[u8]) -> Vec<u8> {
    let mut tuple = Vec::new();
    write_array_len(&mut tuple, 2);
    write_str(&mut tuple, AUTH_TYPE);
    write_str_bytes(&mut tuple, &key.scramble(salt));
    tuple
}

/// A statement of SQL, as EXECUTE and PREPARE name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement<'a> {
    /// By its text.
    Text(&'a str),
    /// By the number that PREPARE gave.
    Id(u64),
}

impl Statement<'_> {
    /// Appends the body of an EXECUTE, with values for its placeholders as a MessagePack array.
    pub fn write_execute(self, out: &mut Vec<u8>, bind: &[u8]) {
        write_map_len(out, 2);
        self.write(out);
        write_uint(out, keys::SQL_BIND);
        out.extend_from_slice(bind);
    }

    /// Appends the body of a PREPARE: one by text makes a prepared statement, one by number ends
    /// it.
    pub fn write_prepare(self, out: &mut Vec<u8>) {
        write_map_len(out, 1);
        self.write(out);
    }

    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                write_uint(out, keys::SQL_TEXT);
                write_str(out, text);
            }
            Self::Id(id) => {
                write_uint(out, keys::STMT_ID);
                write_uint(out, id);
            }
        }
    }
}

/// A request that is sent many times: made once, then copied, its sync patched in place.
///
/// What else changes from one to the next must have a fixed width in the body that the template is
/// made of; [`append`](Self::append) gives the bytes to patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    frame: Vec<u8>,
}

impl Template {
    /// A template of a request without stream.
    #[must_use]
    pub fn new(body: &Body<'_>) -> Self {
        let mut frame = Vec::new();
        RequestHeader::default().write(&mut frame, body);
        Self { frame }
    }

    /// Bytes of the request.
    #[must_use]
    pub fn size(&self) -> usize {
        self.frame.len()
    }

    /// Appends the request with this sync; returns it.
    #[inline]
    pub fn append<'a>(&self, out: &'a mut Vec<u8>, sync: u32) -> &'a mut [u8] {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let request = &mut out[start..];
        request[SYNC_AT..SYNC_AT + 4].copy_from_slice(&sync.to_be_bytes());
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Uuid;
    use crate::auth::PasswordHash;
    use crate::features::Features;
    use crate::frame::read_prefix;
    use crate::greeting;
    use crate::groups::Agreement;
    use crate::header::{Header, read_header};
    use crate::keys::RequestType;
    use crate::limits::PACKET_SIZE_MAX_DEFAULT;
    use crate::msgpack::Reader;
    use crate::request::{
        After, Auth, Begin, Call, Delete, Eval, Id, IdOrName, Select, Store, Update, Upsert, decode,
    };

    const KEY: &[u8] = &[0x91, 7];
    const TUPLE: &[u8] = &[0x92, 7, 0xa1, b'x'];
    const OPS: &[u8] = &[0x91, 0x93, 0xa1, b'=', 1, 2];

    fn select<'a>(after: After<'a>, fetch_position: bool) -> Body<'a> {
        Body::Select(Select {
            space: IdOrName::Name("s"),
            index: IdOrName::Name("pk"),
            limit: u64::MAX,
            offset: 3,
            iterator: 5,
            key: KEY,
            fetch_position,
            after,
        })
    }

    /// One body of every type, and of every form of it.
    fn bodies() -> Vec<Body<'static>> {
        let (space, index) = (IdOrName::Id(512), IdOrName::Id(1));
        let (key, ops, index_base) = (KEY, OPS, 1);
        let store = Store {
            space,
            tuple: TUPLE,
        };
        let call = |wrap_results| {
            Body::Call(Call {
                name: "f",
                args: &[0x90],
                wrap_results,
            })
        };
        let begin = |timeout, isolation| Body::Begin(Begin { timeout, isolation });
        vec![
            Body::Ping,
            Body::Id(Id {
                version: 6,
                features: Features::NONE.with_code(0).with_code(4),
                chunks: None,
            }),
            Body::Id(Id {
                version: 6,
                features: Features::NONE.with_code(6),
                chunks: Some(Agreement {
                    window: 1 << 20,
                    messages_max: 9,
                }),
            }),
            Body::Auth(Auth {
                user: "u",
                tuple: &[0x90],
            }),
            select(After::Start, false),
            select(After::Position(b"here"), true),
            select(After::Tuple(TUPLE), false),
            Body::Insert(store),
            Body::Replace(store),
            Body::Update(Update {
                space,
                index,
                key,
                ops,
                index_base,
            }),
            Body::Delete(Delete { space, index, key }),
            Body::Upsert(Upsert {
                space,
                tuple: TUPLE,
                ops,
                index_base,
            }),
            call(false),
            call(true),
            Body::Eval(Eval {
                expression: b"return 1",
                args: KEY,
            }),
            Body::Execute,
            Body::Prepare,
            begin(None, 0),
            begin(Some(1.5), 2),
            Body::Commit,
            Body::Rollback,
            Body::Watch("box.status"),
            Body::Unwatch("box.status"),
            Body::WatchOnce("box.status"),
        ]
    }

    /// The frame as the server reads it.
    fn received(bytes: &[u8]) -> (Header, &[u8]) {
        let prefix = read_prefix(bytes, PACKET_SIZE_MAX_DEFAULT)
            .unwrap()
            .unwrap();
        assert_eq!(prefix.frame_size(), bytes.len());
        read_header(&bytes[prefix.size..]).unwrap()
    }

    #[test]
    fn the_server_reads_every_request_as_it_was_meant() {
        for body in bodies() {
            let header = RequestHeader {
                sync: u64::MAX,
                stream_id: 3,
                schema_version: 70_000,
            };
            let mut bytes = Vec::new();
            header.write(&mut bytes, &body);
            let (read, raw) = received(&bytes);
            assert_eq!(read.sync, header.sync);
            assert_eq!(read.stream_id, header.stream_id);
            assert_eq!(read.schema_version, header.schema_version);
            let request_type = RequestType::from_code(read.request_type).unwrap();
            assert_eq!(request_type, body.request_type());
            assert_eq!(decode(request_type, raw), Ok(body));
        }
        let types = |body: &Body<'_>| body.request_type();
        for request_type in RequestType::ALL {
            assert!(bodies().iter().map(types).any(|own| own == *request_type));
        }
    }

    #[test]
    fn a_select_has_the_six_keys_that_connectors_send() {
        let mut bytes = Vec::new();
        let body = Body::Select(Select {
            space: IdOrName::Id(512),
            index: IdOrName::Id(0),
            limit: 1,
            offset: 0,
            iterator: 0,
            key: KEY,
            fetch_position: false,
            after: After::Start,
        });
        body.write(&mut bytes);
        let expected = [
            0x86, 0x10, 0xcd, 2, 0, 0x11, 0, 0x12, 1, 0x13, 0, 0x14, 0, 0x20, 0x91, 7,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_header_without_stream_and_version_has_two_keys() {
        let mut bytes = Vec::new();
        RequestHeader::with_sync(1).write_with(&mut bytes, 200, |out| out.push(0x80));
        let (header, body) = received(&bytes);
        let expected = Header {
            request_type: 200,
            sync: 1,
            ..Header::default()
        };
        assert_eq!((header, body), (expected, &[0x80][..]));
    }

    #[test]
    fn a_body_may_be_sent_from_elsewhere() {
        let header = RequestHeader::with_sync(1 << 40);
        let (mut whole, mut parts) = (vec![1], vec![1]);
        header.write_with(&mut whole, 200, |out| out.extend_from_slice(&[0x81, 1, 2]));
        header.write_before(&mut parts, 200, 3);
        parts.extend_from_slice(&[0x81, 1, 2]);
        assert_eq!(whole, parts);
    }

    #[test]
    fn the_server_accepts_the_login_that_answers_its_greeting() {
        let salt = std::array::from_fn(|at| at as u8 * 7);
        let greeting = greeting::decode(&greeting::encode(&Uuid::NIL, &salt)).unwrap();
        let tuple = login_tuple("secret", &greeting.salt);
        let mut reader = Reader::new(&tuple);
        assert_eq!(reader.read_array_len(), Ok(2));
        assert_eq!(reader.read_str(), Ok("chap-sha1"));
        let scramble = reader.read_str_bytes().unwrap().try_into().unwrap();
        assert!(reader.is_empty());
        assert!(PasswordHash::of("secret").accepts(&salt, scramble));
        let key = PasswordHash::of("secret").recover(&salt, scramble);
        let by_key = key.map(|key| login_tuple_by_key(&key, &greeting.salt));
        assert_eq!(by_key, Some(tuple));
    }

    #[test]
    fn a_statement_is_told_by_text_or_by_number() {
        let written = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            out
        };
        let by_text = Statement::Text("x");
        let by_id = Statement::Id(200);
        assert_eq!(
            written(&|out| by_text.write_execute(out, &[0x91, 1])),
            [0x82, 0x40, 0xa1, b'x', 0x41, 0x91, 1]
        );
        assert_eq!(
            written(&|out| by_id.write_execute(out, &[0x90])),
            [0x82, 0x43, 0xcc, 200, 0x41, 0x90]
        );
        assert_eq!(
            written(&|out| by_id.write_prepare(out)),
            [0x81, 0x43, 0xcc, 200]
        );
    }

    #[test]
    fn a_template_is_patched_where_it_was_appended() {
        let template = Template::new(&Body::Replace(Store {
            space: IdOrName::Id(512),
            tuple: &[0x91, 0xce, 0, 0, 0, 0],
        }));
        let mut out = vec![0xff; 3];
        let request = template.append(&mut out, 9);
        assert_eq!(request.len(), template.size());
        *request.last_chunk_mut().unwrap() = 70_000u32.to_be_bytes();
        let (header, body) = received(&out[3..]);
        assert_eq!(header.sync, 9);
        let Ok(Body::Replace(store)) = decode(RequestType::Replace, body) else {
            panic!("it is a REPLACE")
        };
        assert_eq!(store.tuple, [0x91, 0xce, 0, 1, 0x11, 0x70]);
    }
}
