//! Bytes of a server, cut into replies without being copied.
//!
//! This is where replies that come in pieces will be put together again: what leaves here is whole.

use bytes::{Buf as _, Bytes, BytesMut};
use vestibule_wire::client::{MalformedReply, ReplyFrame};

use crate::limits::READ_SIZE;

/// Size of the length before every frame.
const LENGTH_SIZE: usize = 5;

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
}

/// What was received and is not a whole frame yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    bytes: BytesMut,
    size_max: usize,
}

impl Incoming {
    pub(crate) fn new(size_max: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            size_max,
        }
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
        let Some([_, length @ ..]) = self.bytes.first_chunk::<LENGTH_SIZE>() else {
            return 0;
        };
        let size = LENGTH_SIZE + u32::from_be_bytes(*length) as usize;
        size.saturating_sub(self.bytes.len())
    }

    /// The next whole frame.
    pub(crate) fn next(&mut self) -> Result<Option<Reply>, MalformedReply> {
        let Some(frame) = ReplyFrame::read(&self.bytes, self.size_max)? else {
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
        let mut body = self.bytes.split_to(size).freeze();
        body.advance(before);
        Ok(Some(Reply {
            code,
            sync,
            schema_version,
            body,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vestibule_wire::Error as ServerError;
    use vestibule_wire::reply::ReplyHeader;

    fn frames(syncs: std::ops::Range<u64>) -> Vec<u8> {
        let mut out = Vec::new();
        for sync in syncs {
            let header = ReplyHeader {
                sync,
                schema_version: 7,
            };
            header.write_error(&mut out, &ServerError::no_such_space(sync));
        }
        out
    }

    #[test]
    fn a_reply_beyond_the_bound_is_an_error() {
        let mut incoming = Incoming::new(10);
        incoming.buffer().extend_from_slice(&frames(1..2));
        assert_eq!(incoming.next().unwrap_err(), MalformedReply::TooLong);
    }

    #[test]
    fn room_is_made_for_the_rest_of_a_long_reply() {
        let mut incoming = Incoming::new(1 << 30);
        incoming.buffer().extend_from_slice(&[0xce, 0, 0x10, 0, 0]);
        assert!(incoming.buffer().capacity() >= 1 << 20);
    }

    proptest! {
        #[test]
        fn whatever_the_cuts_the_same_replies_come_out(
            cuts in prop::collection::vec(1..40usize, 1..60),
        ) {
            let bytes = frames(0..9);
            let mut incoming = Incoming::new(1 << 20);
            let (mut at, mut seen) = (0, 0);
            for cut in cuts.into_iter().chain([bytes.len()]) {
                let end = (at + cut).min(bytes.len());
                incoming.buffer().extend_from_slice(&bytes[at..end]);
                at = end;
                while let Some(reply) = incoming.next().unwrap() {
                    prop_assert_eq!((reply.sync, reply.schema_version), (seen, Some(7)));
                    let error = reply.frame().error().unwrap();
                    prop_assert_eq!(error, ServerError::no_such_space(seen));
                    seen += 1;
                }
            }
            prop_assert_eq!(seen, 9);
        }
    }
}
