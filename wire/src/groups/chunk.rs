//! The frames of chunks: the pieces of a large message, and what is said about them.
//!
//! ```text
//!  DATA, first  ce <length> 84 00cd4001 f0 <number> f1 <group> 0a <stream>
//!                           82 f2 <total> f3 <piece>
//!  DATA         ce <length> 82 00cd4001 f0 <number> 81 f3 <piece>
//!  CREDIT       ce <length> 82 00cd4002 f0 <number> 81 f4 <limit>
//!  RESET, STOP  ce <length> 82 00cd4003 f0 <number> <error body>
//! ```
//!
//! They have the outer form of every frame of the protocol, so that a proxy that passes frames on
//! need not know them, and every number its full width and its place, so that they are recognized
//! by comparing bytes. Keys above 0x7f are written as `cc f0`, and so on. The whole of the format
//! is in `docs/protocol.md`.
//!
//! A message counts its direction's messages that were cut, from 1, and is named by that count.
//! The pieces of a message are those of its frame without the length prefix.

use super::group::Group;
use crate::error::Error;
use crate::frame::PREFIX_SIZE;
use crate::limits::CHUNK_PAYLOAD_MAX;
use crate::msgpack::Reader;

/// What a frame says about a message that is cut.
#[derive(Debug, Clone, PartialEq)]
pub enum Chunk<'a> {
    /// The next piece of a message.
    Data {
        /// The message.
        number: u32,
        /// What its first piece tells.
        first: Option<First>,
        /// The bytes; only a first piece may be empty.
        piece: &'a [u8],
    },
    /// The receiver takes the message's bytes up to this limit, counted from its first.
    Credit {
        /// The message.
        number: u32,
        /// How many of its bytes may be sent in all.
        limit: u32,
    },
    /// The sender gives the message up; the bytes are an error body, or an empty map.
    Reset {
        /// The message.
        number: u32,
        /// Why.
        error: &'a [u8],
    },
    /// The receiver will not take the message. Its sender answers with a reset, unless it has sent
    /// all of it.
    Stop {
        /// The message.
        number: u32,
        /// Why.
        error: &'a [u8],
    },
}

/// What the first piece of a message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// The group it belongs to.
    pub group: Group,
    /// Bytes of the whole message.
    pub total: u32,
}

/// A frame of the chunks' types that is not as it must be. The connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunk frame is malformed")]
pub struct MalformedChunk;

/// Bytes of the longest head of a frame, before a piece or an error.
pub const HEAD_SIZE_MAX: usize = 48;

/// Bytes of the longest frame of a chunk.
pub const FRAME_SIZE_MAX: usize = HEAD_SIZE_MAX + CHUNK_PAYLOAD_MAX;

/// The beginning of a chunk's frame, up to the piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    bytes: [u8; HEAD_SIZE_MAX],
    size: u8,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            bytes: [0; HEAD_SIZE_MAX],
            size: 0,
        }
    }
}

impl Head {
    fn push(&mut self, bytes: &[u8]) -> &mut Self {
        let at = usize::from(self.size);
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.size += bytes.len() as u8;
        self
    }

    /// Fills in the length of the frame, whose rest has `rest` bytes.
    fn finish(mut self, rest: usize) -> Self {
        let length = (usize::from(self.size) - PREFIX_SIZE + rest) as u32;
        self.bytes[1..PREFIX_SIZE].copy_from_slice(&length.to_be_bytes());
        self
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.size)]
    }
}

const DATA: u8 = 1;
const CREDIT: u8 = 2;
const RESET: u8 = 3;
const STOP: u8 = 4;

/// Where in a frame's content the type is, and all but its last byte.
const TYPE_AT: usize = 1;
const TYPE: [u8; 3] = [0x00, 0xcd, 0x40];
const NUMBER_KEY: [u8; 3] = [0xcc, 0xf0, 0xce];
const GROUP_KEY: [u8; 2] = [0xcc, 0xf1];
const STREAM_KEY: [u8; 2] = [0x0a, 0xcf];
const TOTAL_KEY: [u8; 3] = [0xcc, 0xf2, 0xce];
const PIECE_KEY: [u8; 3] = [0xcc, 0xf3, 0xc6];
const LIMIT_KEY: [u8; 3] = [0xcc, 0xf4, 0xce];

fn begin(kind: u8, pairs: u8, number: u32) -> Head {
    let mut head = Head::default();
    head.push(&[0xce, 0, 0, 0, 0, 0x80 | pairs])
        .push(&TYPE)
        .push(&[kind])
        .push(&NUMBER_KEY)
        .push(&number.to_be_bytes());
    head
}

/// The head of a piece of `size` bytes.
#[must_use]
pub fn data(number: u32, first: Option<First>, size: u32) -> Head {
    let mut head = begin(DATA, if first.is_some() { 4 } else { 2 }, number);
    match first {
        Some(First { group, total }) => head
            .push(&GROUP_KEY)
            .push(&[group.code()])
            .push(&STREAM_KEY)
            .push(&group.stream_id().to_be_bytes())
            .push(&[0x82])
            .push(&TOTAL_KEY)
            .push(&total.to_be_bytes()),
        None => head.push(&[0x81]),
    };
    head.push(&PIECE_KEY).push(&size.to_be_bytes());
    head.finish(size as usize)
}

/// The frame that lets the sender of a message go on.
#[must_use]
pub fn credit(number: u32, limit: u32) -> Head {
    let mut head = begin(CREDIT, 2, number);
    head.push(&[0x81])
        .push(&LIMIT_KEY)
        .push(&limit.to_be_bytes());
    head.finish(0)
}

/// The frame by which a sender gives a message up.
#[must_use]
pub fn reset(number: u32, error: Option<&Error>) -> Vec<u8> {
    with_error(RESET, number, error)
}

/// The frame by which a receiver refuses a message.
#[must_use]
pub fn stop(number: u32, error: Option<&Error>) -> Vec<u8> {
    with_error(STOP, number, error)
}

fn with_error(kind: u8, number: u32, error: Option<&Error>) -> Vec<u8> {
    let mut body = Vec::new();
    match error {
        Some(error) => error.write_body(&mut body),
        None => body.push(0x80),
    }
    let mut frame = begin(kind, 2, number)
        .finish(body.len())
        .as_bytes()
        .to_vec();
    frame.append(&mut body);
    frame
}

impl<'a> Chunk<'a> {
    /// Whether a frame's content, what follows its length, is one of these.
    #[inline]
    #[must_use]
    pub fn is_one(content: &[u8]) -> bool {
        content.get(TYPE_AT..TYPE_AT + TYPE.len()) == Some(&TYPE)
    }

    /// Whether a frame's content is credit or a stop: what a receiver answers to pieces.
    #[must_use]
    pub fn is_answer(content: &[u8]) -> bool {
        let kind = content.get(TYPE_AT + TYPE.len());
        Self::is_one(content) && kind.is_some_and(|kind| matches!(*kind, CREDIT | STOP))
    }

    /// Reads the content of a frame that [is one](Self::is_one).
    ///
    /// # Errors
    /// [`MalformedChunk`] for anything that is not exactly in the form of this module.
    pub fn read(content: &'a [u8]) -> Result<Self, MalformedChunk> {
        let mut rest = ChunkBytes(content);
        let pairs = rest.byte()?;
        rest.expect(&TYPE)?;
        let kind = rest.byte()?;
        rest.expect(&NUMBER_KEY)?;
        let number = rest.u32()?;
        let chunk = match (kind, pairs) {
            (DATA, _) => {
                let first = rest.first(pairs)?;
                let piece = rest.piece()?;
                if piece.is_empty() && first.is_none() {
                    return Err(MalformedChunk);
                }
                Chunk::Data {
                    number,
                    first,
                    piece,
                }
            }
            (CREDIT, 0x82) => {
                rest.expect(&[0x81])?;
                rest.expect(&LIMIT_KEY)?;
                Chunk::Credit {
                    number,
                    limit: rest.u32()?,
                }
            }
            (RESET, 0x82) => Chunk::Reset {
                number,
                error: rest.map()?,
            },
            (STOP, 0x82) => Chunk::Stop {
                number,
                error: rest.map()?,
            },
            _ => return Err(MalformedChunk),
        };
        if rest.0.is_empty() {
            Ok(chunk)
        } else {
            Err(MalformedChunk)
        }
    }
}

/// A piece of which not all bytes have come. What has come of it may be
/// [taken](super::Receiver::data) as if it were a piece of its own, and so may the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceBegun<'a> {
    /// The message.
    pub number: u32,
    /// What its first piece tells.
    pub first: Option<First>,
    /// Bytes of the whole piece.
    pub size: usize,
    /// What has come of them.
    pub bytes: &'a [u8],
}

impl<'a> PieceBegun<'a> {
    /// Reads what has come of a frame's content, which is to have `length` bytes; `None` if that is
    /// no piece, or does not tell yet.
    #[must_use]
    pub fn read(content: &'a [u8], length: usize) -> Option<Self> {
        let mut rest = ChunkBytes(content);
        let pairs = rest.byte().ok()?;
        rest.expect(&TYPE).ok()?;
        rest.expect(&[DATA]).ok()?;
        rest.expect(&NUMBER_KEY).ok()?;
        let number = rest.u32().ok()?;
        let first = rest.first(pairs).ok()?;
        let size = rest.piece_size().ok()?;
        let bytes = rest.0;
        let is_as_long = content.len() - bytes.len() + size == length;
        (is_as_long && bytes.len() < size).then_some(Self {
            number,
            first,
            size,
            bytes,
        })
    }
}

/// What is left of a frame.
struct ChunkBytes<'a>(&'a [u8]);

impl<'a> ChunkBytes<'a> {
    fn take(&mut self, size: usize) -> Result<&'a [u8], MalformedChunk> {
        let (taken, rest) = self.0.split_at_checked(size).ok_or(MalformedChunk)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedChunk> {
        self.take(N)?.try_into().map_err(|_| MalformedChunk)
    }

    fn byte(&mut self) -> Result<u8, MalformedChunk> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, MalformedChunk> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, MalformedChunk> {
        self.array().map(u64::from_be_bytes)
    }

    fn expect(&mut self, bytes: &[u8]) -> Result<(), MalformedChunk> {
        if self.take(bytes.len())? == bytes {
            Ok(())
        } else {
            Err(MalformedChunk)
        }
    }

    /// What stands before a piece in a frame with this number of pairs: what a first one tells.
    fn first(&mut self, pairs: u8) -> Result<Option<First>, MalformedChunk> {
        match pairs {
            0x84 => {
                self.expect(&GROUP_KEY)?;
                let code = self.byte()?;
                self.expect(&STREAM_KEY)?;
                let group = Group::from_code(code, self.u64()?).ok_or(MalformedChunk)?;
                self.expect(&[0x82])?;
                self.expect(&TOTAL_KEY)?;
                let total = self.u32()?;
                Ok(Some(First { group, total }))
            }
            0x82 => {
                self.expect(&[0x81])?;
                Ok(None)
            }
            _ => Err(MalformedChunk),
        }
    }

    /// The size of a piece, whose bytes follow.
    fn piece_size(&mut self) -> Result<usize, MalformedChunk> {
        self.expect(&PIECE_KEY)?;
        let size = self.u32()? as usize;
        if size <= CHUNK_PAYLOAD_MAX {
            Ok(size)
        } else {
            Err(MalformedChunk)
        }
    }

    fn piece(&mut self) -> Result<&'a [u8], MalformedChunk> {
        let size = self.piece_size()?;
        self.take(size)
    }

    /// A map that takes the whole rest.
    fn map(&mut self) -> Result<&'a [u8], MalformedChunk> {
        let mut reader = Reader::new(self.0);
        reader.read_map_len().map_err(|_| MalformedChunk)?;
        let size = Reader::new(self.0)
            .skip_checked()
            .map_err(|_| MalformedChunk)?
            .len();
        self.take(size)
    }
}
