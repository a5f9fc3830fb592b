//! Bytes of a server, cut into frames without being copied, and what is to be said of its chunks.
//!
//! Replies in chunks are put together here: what leaves is whole. All are admitted, each a bounded
//! part ahead of what has come, and no longer than a reply may be.

use std::collections::HashMap;

use bytes::{Buf as _, Bytes, BytesMut};
use vestibule_wire::client::{MalformedReply, ReplyFrame};
use vestibule_wire::frame::PREFIX_SIZE;
use vestibule_wire::groups::chunk::{Chunk, First, HEAD_SIZE_MAX, MalformedChunk};
use vestibule_wire::groups::{Agreement, DamagedSequence, Received, Receiver};
use vestibule_wire::keys::CODE_EVENT;
use vestibule_wire::limits::{CHUNK_PAYLOAD_MAX, GROUP_QUANTUM};

use crate::error::ServerError;
use crate::limits::{CHUNK_CREDIT, CHUNK_MESSAGES_MAX, CHUNK_WINDOW, READ_SIZE};

#[cfg(test)]
mod tests;

/// Longest frame of a chunk, without its length.
const CHUNK_SIZE_MAX: usize = HEAD_SIZE_MAX + CHUNK_PAYLOAD_MAX;

/// A reply has told whose it is within this number of bytes.
const REPLY_HEADER_MAX: usize = 1024;

/// What is held of replies in chunks.
pub(crate) const AGREED: Agreement = Agreement {
    window: CHUNK_WINDOW,
    messages_max: CHUNK_MESSAGES_MAX,
};

/// What has come of a server.
#[derive(Debug)]
pub(crate) enum Arrived {
    Reply(Reply),
    /// The server takes this much of a request in chunks.
    Credit {
        number: u32,
        limit: u32,
    },
    /// The server does not take a request in chunks; why, if it says so.
    Stop {
        number: u32,
        error: Option<ServerError>,
    },
    /// A reply that was begun does not come, by the server's will.
    GivenUp {
        sync: u64,
        error: Option<ServerError>,
    },
    /// A reply in chunks is longer than any that is accepted, and was refused.
    TooLong {
        sync: u64,
        size: usize,
    },
}

/// Bytes that no server sends. The connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Reply(#[from] MalformedReply),
    #[error(transparent)]
    Chunk(#[from] MalformedChunk),
    #[error(transparent)]
    Sequence(#[from] DamagedSequence),
}

/// One reply, push or event: its header, and its body as it came.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) code: u32,
    pub(crate) sync: u64,
    pub(crate) schema_version: Option<u64>,
    pub(crate) body: Bytes,
}

impl Reply {
    /// The same as the codec knows it.
    pub(crate) fn frame(&self) -> ReplyFrame<'_> {
        ReplyFrame {
            code: self.code,
            sync: self.sync,
            schema_version: self.schema_version,
            size: self.body.len(),
            body: &self.body,
        }
    }

    /// A part of the body as a value that keeps it.
    pub(crate) fn part(&self, part: &[u8]) -> Bytes {
        self.body.slice_ref(part)
    }

    /// What came without its length.
    fn from_content(content: Vec<u8>) -> Result<Self, MalformedReply> {
        let content = Bytes::from(content);
        let frame = ReplyFrame::read_content(&content)?;
        Ok(Self {
            code: frame.code,
            sync: frame.sync,
            schema_version: frame.schema_version,
            body: content.slice_ref(frame.body),
        })
    }
}

/// Replies in chunks that are not whole.
#[derive(Debug)]
struct Chunks {
    receiver: Receiver,
    /// The wanted ones, by their numbers.
    open: HashMap<u32, Opened>,
    /// One of them has told whose it is since it was asked who is waited for, and how many
    /// requests were given up by then.
    has_told: bool,
    given_up: u64,
}

#[derive(Debug)]
struct Opened {
    /// Whose reply it is, once its header is there.
    sync: Option<u64>,
    /// Nobody has asked for it by its sync.
    is_event: bool,
    total: usize,
}

/// What was received and is not a whole frame yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    bytes: BytesMut,
    size_max: usize,
    /// None unless the server has agreed to them.
    chunks: Option<Chunks>,
    answer: Vec<u8>,
}

impl Incoming {
    pub(crate) fn new(size_max: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            size_max,
            chunks: None,
            answer: Vec::new(),
        }
    }

    /// Takes chunks from now on, as far as was [`AGREED`].
    pub(crate) fn take_chunks(&mut self) {
        self.chunks = Some(Chunks {
            receiver: Receiver::new(AGREED),
            open: HashMap::new(),
            has_told: false,
            given_up: 0,
        });
    }

    /// Where to read to: with room for the rest of a frame whose length is known.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        let room = self
            .missing()
            .clamp(READ_SIZE, self.size_max.max(READ_SIZE));
        self.bytes.reserve(room);
        &mut self.bytes
    }

    /// Bytes that the frame at the start lacks.
    fn missing(&self) -> usize {
        let Some([_, length @ ..]) = self.bytes.first_chunk::<PREFIX_SIZE>() else {
            return 0;
        };
        let size = PREFIX_SIZE + u32::from_be_bytes(*length) as usize;
        size.saturating_sub(self.bytes.len())
    }

    /// Refuses the rest of replies that are under way and that nobody waits for any more. Who is
    /// waited for is asked only if that may have changed: `given_up` counts the requests that were,
    /// or a reply has told whose it is.
    pub(crate) fn stop_unwanted<W: Fn(u64) -> bool>(
        &mut self,
        given_up: u64,
        wanted: impl FnOnce() -> W,
    ) {
        let Some(chunks) = &mut self.chunks else {
            return;
        };
        let are_more = std::mem::replace(&mut chunks.given_up, given_up) != given_up;
        let is_news = std::mem::take(&mut chunks.has_told) || are_more;
        if !is_news || chunks.open.is_empty() {
            return;
        }
        let is_wanted = wanted();
        let (receiver, answer) = (&mut chunks.receiver, &mut self.answer);
        chunks.open.retain(|number, opened| {
            let sync = opened.sync.filter(|_| !opened.is_event);
            let is_wanted = sync.is_none_or(&is_wanted);
            if !is_wanted {
                answer.extend(receiver.stop(*number, None).unwrap_or_default());
            }
            is_wanted
        });
    }

    /// What is to be said of the chunks that have come.
    pub(crate) fn take_answer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.answer)
    }

    /// The next that is whole.
    pub(crate) fn next(&mut self) -> Result<Option<Arrived>, Fault> {
        let size_max = match &self.chunks {
            Some(_) => self.size_max.max(CHUNK_SIZE_MAX),
            None => self.size_max,
        };
        while let Some(frame) = ReplyFrame::read(&self.bytes, size_max)? {
            let ReplyFrame {
                code,
                sync,
                schema_version,
                size,
                body,
            } = frame;
            let before = size - body.len();
            if let Some(chunks) = &mut self.chunks
                && Chunk::is_one(&self.bytes[PREFIX_SIZE..size])
            {
                let frame = self.bytes.split_to(size).freeze();
                let chunk = Chunk::read(&frame[PREFIX_SIZE..])?;
                match chunks.take(chunk, self.size_max, &mut self.answer)? {
                    Some(arrived) => return Ok(Some(arrived)),
                    None => continue,
                }
            }
            if size - PREFIX_SIZE > self.size_max {
                return Err(MalformedReply::TooLong.into());
            }
            let mut body = self.bytes.split_to(size).freeze();
            body.advance(before);
            return Ok(Some(Arrived::Reply(Reply {
                code,
                sync,
                schema_version,
                body,
            })));
        }
        Ok(None)
    }
}

impl Chunks {
    /// Takes what is said of a message that is cut; `answer` grows by what is to be sent back.
    fn take(
        &mut self,
        chunk: Chunk<'_>,
        size_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<Option<Arrived>, Fault> {
        Ok(match chunk {
            Chunk::Data {
                number,
                first,
                piece,
            } => self.data(number, first, piece, size_max, answer)?,
            Chunk::Credit { number, limit } => Some(Arrived::Credit { number, limit }),
            Chunk::Stop { number, error } => Some(Arrived::Stop {
                number,
                error: ReplyFrame::error_in(error),
            }),
            Chunk::Reset { number, error } => {
                self.receiver.reset(number);
                let sync = self.open.remove(&number).and_then(|opened| opened.sync);
                sync.map(|sync| Arrived::GivenUp {
                    sync,
                    error: ReplyFrame::error_in(error),
                })
            }
        })
    }

    fn data(
        &mut self,
        number: u32,
        first: Option<First>,
        piece: &[u8],
        size_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<Option<Arrived>, Fault> {
        match self.receiver.data(number, first, piece)? {
            Received::Opened(First { total, .. }) => {
                let total = total as usize;
                let (sync, is_event) = (None, false);
                self.open.insert(
                    number,
                    Opened {
                        sync,
                        is_event,
                        total,
                    },
                );
                self.went_on(number, size_max, answer)
            }
            Received::Piece => self.went_on(number, size_max, answer),
            Received::Complete {
                content, credit, ..
            } => {
                self.open.remove(&number);
                if let Some(credit) = credit {
                    answer.extend_from_slice(credit.as_bytes());
                }
                let size = content.len();
                let reply = Reply::from_content(content)?;
                let sync = reply.sync;
                Ok(Some(if size > size_max {
                    Arrived::TooLong { sync, size }
                } else {
                    Arrived::Reply(reply)
                }))
            }
            Received::Dropped => Ok(None),
        }
    }

    /// Admits more of a message, or refuses it when its header says whose it is.
    fn went_on(
        &mut self,
        number: u32,
        size_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<Option<Arrived>, Fault> {
        let Some(opened) = self.open.get_mut(&number) else {
            return Ok(None);
        };
        let size = opened.total;
        if opened.sync.is_none() {
            let begun = self.receiver.begun(number).map_or(&[][..], Vec::as_slice);
            match ReplyFrame::read_content(begun) {
                Ok(frame) => {
                    opened.sync = Some(frame.sync);
                    opened.is_event = frame.code == CODE_EVENT;
                    self.has_told = true;
                }
                // The first piece may be as short as its sender likes.
                Err(_) if begun.len() < REPLY_HEADER_MAX => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        let credit = match opened.sync {
            Some(sync) if size > size_max => {
                self.open.remove(&number);
                let stop = self.receiver.stop(number, None);
                answer.extend(stop.unwrap_or_default());
                return Ok(Some(Arrived::TooLong { sync, size }));
            }
            None if size > size_max => self.receiver.admit(number, GROUP_QUANTUM),
            _ => self.receiver.admit_ahead(number, CHUNK_CREDIT),
        };
        if let Some(credit) = credit {
            answer.extend_from_slice(credit.as_bytes());
        }
        Ok(None)
    }
}
