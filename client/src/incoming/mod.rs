//! Bytes of a server, cut into frames without being copied, and what is to be said of its chunks.
//!
//! Replies in chunks are put together here: what leaves is whole. All are admitted, each a bounded
//! part ahead of what has come, and no longer than a reply may be. The rest of a large piece is
//! read straight to where its reply is put together.
//!
//! | module | what |
//! |---|---|
//! | `chunks` | replies in chunks, until they are whole |
//! | `tests` | what comes out, for any cuts and damage |

use std::future::poll_fn;
use std::io;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use vestibule_wire::client::{MalformedReply, ReplyFrame};
use vestibule_wire::frame::PREFIX_SIZE;
use vestibule_wire::groups::chunk::{Chunk, FRAME_SIZE_MAX, MalformedChunk, PieceBegun};
use vestibule_wire::groups::{Agreement, DamagedSequence};

use chunks::Chunks;

use crate::error::ServerError;
use crate::limits::{CHUNK_MESSAGES_MAX, CHUNK_WINDOW, HEAD_READ_SIZE, READ_SIZE, READ_SIZE_MIN};

mod chunks;
#[cfg(test)]
mod tests;

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
        self.chunks = Some(Chunks::new());
    }

    /// Reads what comes next to where it belongs; how many bytes.
    pub(crate) async fn read<R: AsyncRead + Unpin>(&mut self, reader: &mut R) -> io::Result<usize> {
        let mut most = usize::MAX;
        if let Some(chunks) = &mut self.chunks {
            if chunks.is_straight() {
                let answer = &mut self.answer;
                return poll_fn(|cx| chunks.poll_fill(cx, reader, answer)).await;
            }
            if chunks.takes_head() {
                most = HEAD_READ_SIZE;
            }
        }
        reader.read_buf(&mut self.buffer().limit(most)).await
    }

    /// Where to read to: with room for the rest of a frame whose length is known. Small replies
    /// share what is left of a buffer: a new one is taken when that is little.
    fn buffer(&mut self) -> &mut BytesMut {
        let missing = self.missing().min(self.size_max);
        let left = self.bytes.capacity() - self.bytes.len();
        if left < missing.max(READ_SIZE_MIN) {
            self.bytes.reserve(missing.max(READ_SIZE));
        }
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
        chunks.stop_unwanted(given_up, wanted, &mut self.answer);
    }

    /// What is to be said of the chunks that have come.
    pub(crate) fn take_answer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.answer)
    }

    /// The next that is whole.
    pub(crate) fn next(&mut self) -> Result<Option<Arrived>, Fault> {
        let size_max = match &self.chunks {
            Some(_) => self.size_max.max(FRAME_SIZE_MAX),
            None => self.size_max,
        };
        loop {
            if let Some(chunks) = &mut self.chunks {
                chunks.take_rest(&mut self.bytes)?;
            }
            let Some(frame) = ReplyFrame::read(&self.bytes, size_max)? else {
                self.begin_piece()?;
                return Ok(None);
            };
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
    }

    /// Takes what has come of a large piece, if its rest is to be read straight to its reply.
    fn begin_piece(&mut self) -> Result<(), Fault> {
        let Some(chunks) = &mut self.chunks else {
            return Ok(());
        };
        let Some(([_, length @ ..], content)) = self.bytes.split_first_chunk::<PREFIX_SIZE>()
        else {
            return Ok(());
        };
        let length = u32::from_be_bytes(*length) as usize;
        if let Some(begun) = PieceBegun::read(content, length)
            && chunks.begin_piece(begun, &mut self.answer)?
        {
            self.bytes.clear();
        }
        Ok(())
    }
}
