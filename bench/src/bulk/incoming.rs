//! What a connection has received: replies, whole or in chunks. Values are counted and dropped.
//!
//! A generator must be cheaper than the server, so nothing large is kept: of a reply its header.

use vestibule_wire::client::ReplyFrame;
use vestibule_wire::frame::PREFIX_SIZE;
use vestibule_wire::groups::chunk::{Chunk, FRAME_SIZE_MAX, First, Head, PieceBegun};
use vestibule_wire::groups::{Assembly, Received, Receiver};
use vestibule_wire::limits::GROUP_QUANTUM;

use crate::client::AGREED;
use crate::error::BenchError;
use crate::reply;

/// How much of a reply is admitted ahead of what has come, as the client has it.
const CREDIT: usize = 2 * 1024 * 1024;

/// Bytes of a long reply that are enough to read its header.
const HEADER_MAX: usize = 64;

/// The beginning of a reply.
#[derive(Debug, Default)]
pub(super) struct Beginning(Vec<u8>);

impl Assembly for Beginning {
    type Whole = Vec<u8>;

    fn append(&mut self, piece: &[u8], _: usize) {
        let missing = HEADER_MAX.saturating_sub(self.0.len());
        self.0.extend_from_slice(&piece[..piece.len().min(missing)]);
    }

    fn allocated(&self) -> usize {
        self.0.capacity()
    }

    fn whole(self) -> Vec<u8> {
        self.0
    }
}

/// What has come.
#[derive(Debug)]
pub enum Arrived<'a> {
    /// A small reply.
    Reply(ReplyFrame<'a>),
    /// The end of a large one.
    Large {
        /// 0, or that of the error.
        code: u32,
        /// The sync of its request.
        sync: u64,
    },
    /// To be sent to the server.
    Answer(Head),
    /// The server takes more of a request in chunks.
    Credit {
        /// The number of the message.
        number: u32,
        /// How many of its bytes may be sent.
        limit: u32,
    },
}

/// A large reply that is under way.
#[derive(Debug)]
struct Skipped {
    code: u32,
    sync: u64,
    left: usize,
}

/// A piece whose rest has not come.
#[derive(Debug)]
struct HalfPiece {
    number: u32,
    left: usize,
}

/// The replies of one connection that are not whole yet.
#[derive(Debug, Default)]
pub struct Incoming {
    chunks: Option<Receiver<Beginning>>,
    piece: Option<HalfPiece>,
    skipped: Option<Skipped>,
    /// Bytes of replies that have ever come, of those that chunks are made of.
    pub(super) values_read: u64,
}

impl Incoming {
    /// The server may send chunks from now on, which was told [`AGREED`].
    pub fn take_chunks(&mut self) {
        self.chunks = Some(Receiver::assembling(AGREED));
    }

    /// Takes what it can of the bytes, and says how many that are: of what it leaves, less than the
    /// header of a frame or a small reply, more has to come.
    ///
    /// # Errors
    ///
    /// What no server sends that keeps the rules, a value that the server gives up, and what `each`
    /// returns.
    pub fn take(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Arrived<'_>) -> Result<(), BenchError>,
    ) -> Result<usize, BenchError> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            if let Some(skipped) = &mut self.skipped {
                let size = skipped.left.min(rest.len());
                self.values_read += size as u64;
                skipped.left -= size;
                used += size;
                if skipped.left > 0 {
                    return Ok(used);
                }
                let (code, sync) = (skipped.code, skipped.sync);
                self.skipped = None;
                each(Arrived::Large { code, sync })?;
                continue;
            }
            if let Some(HalfPiece { number, left }) = self.piece.take() {
                let (part, _) = rest.split_at(left.min(rest.len()));
                self.piece = (part.len() < left).then(|| HalfPiece {
                    number,
                    left: left - part.len(),
                });
                used += part.len();
                self.data(number, None, part, &mut each)?;
                if self.piece.is_some() {
                    return Ok(used);
                }
                continue;
            }
            let Some([_, length @ ..]) = rest.first_chunk::<PREFIX_SIZE>() else {
                return Ok(used);
            };
            let length = u32::from_be_bytes(*length) as usize;
            if length > FRAME_SIZE_MAX {
                let Some(beginning) = rest.get(PREFIX_SIZE..PREFIX_SIZE + HEADER_MAX) else {
                    return Ok(used);
                };
                let ReplyFrame { code, sync, .. } = ReplyFrame::read_content(beginning)?;
                let left = length;
                self.skipped = Some(Skipped { code, sync, left });
                used += PREFIX_SIZE;
                continue;
            }
            let size = PREFIX_SIZE + length;
            let Some(frame) = rest.get(..size) else {
                return Ok(used + self.begin_piece(&rest[PREFIX_SIZE..], length, &mut each)?);
            };
            used += size;
            if self.chunks.is_some() && Chunk::is_one(&frame[PREFIX_SIZE..]) {
                self.chunk(&frame[PREFIX_SIZE..], &mut each)?;
            } else if let Some(reply) = reply::read(frame)? {
                if length > GROUP_QUANTUM {
                    self.values_read += length as u64;
                }
                each(Arrived::Reply(reply))?;
            }
        }
    }

    /// Takes what has come of a piece, instead of keeping it until the rest is there; how many
    /// bytes of its frame that is.
    fn begin_piece(
        &mut self,
        content: &[u8],
        length: usize,
        each: &mut impl FnMut(Arrived<'_>) -> Result<(), BenchError>,
    ) -> Result<usize, BenchError> {
        let (Some(receiver), Some(begun)) = (&self.chunks, PieceBegun::read(content, length))
        else {
            return Ok(0);
        };
        if !receiver.takes_parts(&begun) {
            return Ok(0);
        }
        let PieceBegun {
            number,
            first,
            size,
            bytes,
        } = begun;
        let left = size - bytes.len();
        self.piece = Some(HalfPiece { number, left });
        self.data(number, first, bytes, each)?;
        Ok(PREFIX_SIZE + content.len())
    }

    fn data(
        &mut self,
        number: u32,
        first: Option<First>,
        piece: &[u8],
        each: &mut impl FnMut(Arrived<'_>) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let Some(receiver) = &mut self.chunks else {
            return Ok(());
        };
        self.values_read += piece.len() as u64;
        match receiver.data(number, first, piece).map_err(broken)? {
            Received::Opened(_) | Received::Piece => {
                let credit = receiver.admit_ahead(number, CREDIT);
                credit.map_or(Ok(()), |credit| each(Arrived::Answer(credit)))
            }
            Received::Complete {
                content, credit, ..
            } => {
                let ReplyFrame { code, sync, .. } = ReplyFrame::read_content(&content)?;
                if let Some(credit) = credit {
                    each(Arrived::Answer(credit))?;
                }
                each(Arrived::Large { code, sync })
            }
            Received::Dropped => Ok(()),
        }
    }

    fn chunk(
        &mut self,
        content: &[u8],
        each: &mut impl FnMut(Arrived<'_>) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        match Chunk::read(content).map_err(broken)? {
            Chunk::Data {
                number,
                first,
                piece,
            } => self.data(number, first, piece, each),
            Chunk::Credit { number, limit } => each(Arrived::Credit { number, limit }),
            Chunk::Reset { error, .. } => Err(given_up("receiving a value", error)),
            Chunk::Stop { error, .. } => Err(given_up("sending a value", error)),
        }
    }
}

/// What no server that keeps the rules sends.
pub(super) fn broken(error: impl std::error::Error) -> BenchError {
    BenchError::Protocol(error.to_string())
}

/// The server does not go on with a value; it may say why.
fn given_up(doing: &str, body: &[u8]) -> BenchError {
    let (code, text) = match ReplyFrame::error_in(body) {
        Some(error) => (error.code(), error.message().to_owned()),
        None => (vestibule_wire::ErrorCode::UNKNOWN, "no reason".to_owned()),
    };
    BenchError::Refused {
        doing: doing.to_owned(),
        code,
        text,
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::groups::Group;
    use vestibule_wire::groups::chunk;

    use super::*;
    use crate::reply::tests::reply;

    /// What has arrived, when the bytes come in parts of this size.
    fn arrived(bytes: &[u8], part: usize) -> (Vec<String>, u64) {
        let mut incoming = Incoming::default();
        incoming.take_chunks();
        let (mut kept, mut seen) = (Vec::new(), Vec::new());
        for part in bytes.chunks(part) {
            kept.extend_from_slice(part);
            let each = |arrived: Arrived<'_>| {
                seen.push(match arrived {
                    Arrived::Reply(frame) => format!("reply {}", frame.sync),
                    Arrived::Large { sync, .. } => format!("large {sync}"),
                    Arrived::Answer(_) => "credit for it".to_owned(),
                    Arrived::Credit { number, limit } => format!("credit {number} {limit}"),
                });
                Ok(())
            };
            let used = incoming.take(&kept, each).unwrap();
            kept.drain(..used);
        }
        assert!(kept.is_empty());
        (seen, incoming.values_read)
    }

    #[test]
    fn replies_arrive_whole_and_in_chunks_however_the_bytes_are_cut() {
        let large = reply(0, 7, false, &vec![0xc0; 200_000]);
        let whole = reply(0, 10, false, &vec![0xc0; 70_000]);
        let cut = &reply(0, 8, false, &vec![0xc0; 60_000])[PREFIX_SIZE..];
        let first = First {
            group: Group::Read,
            total: cut.len() as u32,
        };
        let (one, rest) = cut.split_at(GROUP_QUANTUM);
        let (two, three) = rest.split_at(30_000);
        let head = |first, piece: &[u8]| chunk::data(1, first, piece.len() as u32);
        let bytes = [
            &large,
            head(Some(first), one).as_bytes(),
            one,
            &reply(0, 9, true, &[0x80]),
            &whole,
            chunk::credit(3, 4096).as_bytes(),
            head(None, two).as_bytes(),
            two,
            head(None, three).as_bytes(),
            three,
        ]
        .concat();
        let expected = [
            "large 7",
            "credit for it",
            "reply 9",
            "reply 10",
            "credit 3 4096",
            "large 8",
        ];
        for part in [1, 100, 4096, 17_000, bytes.len()] {
            let (seen, values) = arrived(&bytes, part);
            assert_eq!(seen, expected, "in parts of {part}");
            let whole = large.len() + whole.len() - 2 * PREFIX_SIZE;
            assert_eq!(values as usize, whole + cut.len(), "in parts of {part}");
        }
    }

    #[test]
    fn damage_and_what_is_given_up_end_the_run() {
        let take = |bytes: &[u8]| {
            let mut incoming = Incoming::default();
            incoming.take_chunks();
            let taken = incoming.take(bytes, |_| Ok(()));
            taken.unwrap_err().to_string()
        };
        let piece = [chunk::data(1, None, 1).as_bytes(), b"x"].concat();
        assert!(take(&piece).contains("not under way"));
        let error = vestibule_wire::Error::no_such_space("s");
        let stopped = take(&chunk::stop(1, Some(&error)));
        assert!(stopped.contains("'s' does not exist"), "{stopped}");
    }
}
