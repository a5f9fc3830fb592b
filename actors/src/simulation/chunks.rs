//! A client's side of messages in chunks: what it cuts, takes piece by piece, stops and gives up.
//!
//! A few pieces are sent at a time, and a few bytes admitted, some of them late, so that kills,
//! transitions and deaths of Tx come in the middle of messages.

use bytes::Bytes;
use vestibule_wire::client::RequestHeader;
use vestibule_wire::features::Features;
use vestibule_wire::frame::PREFIX_SIZE;
use vestibule_wire::groups::chunk::Chunk;
use vestibule_wire::groups::{Agreement, Group, Received, Receiver, Sender};
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::{self, Body, Id};

use super::engine::pattern;
use super::random::Random;
use crate::admission::Class;
use crate::testing::pipe::ClientEnd;

/// Picks at a time.
const PICKS: usize = 3;

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Nothing that is whole.
    Nothing,
    /// A whole frame, which came in chunks.
    Frame(Vec<u8>),
    /// What nobody sends.
    Fault(String),
    /// The reply with this sync is not taken.
    Stopped(u64),
}

/// Messages in chunks, for the stats.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunked {
    /// Replies that became whole.
    pub(super) replies: usize,
    /// Replies that were not taken.
    pub(super) stopped: usize,
    /// Requests that were given up while they were sent.
    pub(super) given_up: usize,
}

/// The messages of one client that takes chunks.
#[derive(Debug)]
pub(super) struct Chunks {
    asked: Agreement,
    sender: Sender<Bytes>,
    receiver: Receiver,
    /// Messages that are under way to it, and are taken.
    taken: Vec<u32>,
    /// Bytes that it admits ahead.
    ahead: usize,
    /// Mostly nothing is admitted.
    is_lazy: bool,
    random: Random,
}

impl Chunks {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let asked = Agreement {
            window: 8 << (10 + random.below(5)),
            messages_max: 1 + random.index(6),
        };
        Self {
            asked,
            sender: Sender::default(),
            receiver: Receiver::new(asked),
            taken: Vec::new(),
            ahead: 8 << (10 + random.below(4)),
            is_lazy: random.once_in(3),
            random,
        }
    }

    /// Whether it mostly admits nothing.
    pub(super) fn is_lazy(&self) -> bool {
        self.is_lazy
    }

    /// An ID that asks for chunks.
    pub(super) fn id_request(&self, sync: u64) -> Vec<u8> {
        let id = Id {
            version: 6,
            features: Features::SUPPORTED,
            chunks: Some(self.asked),
        };
        let mut bytes = Vec::new();
        RequestHeader::with_sync(sync).write(&mut bytes, &Body::Id(id));
        bytes
    }

    /// The server has answered to it: from here on requests are cut. False if it does not agree.
    pub(super) fn agree(&mut self, body: &[u8]) -> bool {
        let Ok(Body::Id(Id {
            chunks: Some(agreed),
            ..
        })) = request::decode(RequestType::Id, body)
        else {
            return false;
        };
        self.sender.cut(agreed);
        true
    }

    /// Sends a request, or what of it goes out now.
    pub(super) fn send(&mut self, end: &ClientEnd, frame: Vec<u8>, sync: u64) {
        let group = group_of(&frame);
        self.sender.push(group, frame.into(), sync);
        self.go_on(end);
    }

    /// Sends some of what waits; whether there was something that might be sent.
    pub(super) fn go_on(&mut self, end: &ClientEnd) -> bool {
        for picked in 0..PICKS {
            let Some(piece) = self.sender.pick_up_to(usize::MAX) else {
                return picked > 0;
            };
            end.send(&[piece.head.as_bytes(), &piece.payload].concat());
        }
        true
    }

    /// Whether a reply is under way to it that it takes.
    pub(super) fn has_taken(&self) -> bool {
        !self.taken.is_empty()
    }

    /// Whether all of it was sent.
    pub(super) fn is_sent(&self) -> bool {
        self.sender.is_empty()
    }

    /// Gives a write up; whether not all of it was sent.
    pub(super) fn give_up(&mut self, sync: u64, stream: u64) -> bool {
        let group = Class::Write.group(stream);
        self.sender.cancel(group, sync, None)
    }

    /// Takes a frame of the chunks' types.
    pub(super) fn take(&mut self, end: &ClientEnd, content: &[u8]) -> Came {
        let Ok(chunk) = Chunk::read(content) else {
            return Came::Fault("a chunk in no form".to_owned());
        };
        match chunk {
            Chunk::Data {
                number,
                first,
                piece,
            } => match self.receiver.data(number, first, piece) {
                Err(fault) => return Came::Fault(fault.to_string()),
                Ok(Received::Complete {
                    content, credit, ..
                }) => {
                    self.taken.retain(|own| *own != number);
                    if let Some(credit) = credit {
                        end.send(credit.as_bytes());
                    }
                    let size = (content.len() as u32).to_be_bytes();
                    return Came::Frame([&[0xce], &size[..], &content].concat());
                }
                Ok(Received::Opened(_)) => {
                    self.taken.push(number);
                    if self.random.once_in(16) {
                        return self.stop(end, number);
                    }
                }
                Ok(Received::Piece | Received::Dropped) => {}
            },
            Chunk::Credit { number, limit } => {
                if self.sender.credit(number, limit).is_err() {
                    return Came::Fault(format!("credit up to {limit} for message {number}"));
                }
            }
            Chunk::Reset { number, .. } => {
                if self.taken.contains(&number) || !self.receiver.reset(number) {
                    return Came::Fault(format!("message {number} is given up by the server"));
                }
            }
            Chunk::Stop { number, .. } => {
                return Came::Fault(format!("message {number} is not taken by the server"));
            }
        }
        Came::Nothing
    }

    /// Does not take a reply, if it knows whose it is.
    fn stop(&mut self, end: &ClientEnd, number: u32) -> Came {
        let begun = self.receiver.begun(number);
        let Some(Ok((header, _))) = begun.map(|bytes| read_header(bytes)) else {
            return Came::Nothing;
        };
        self.taken.retain(|own| *own != number);
        end.send(&self.receiver.stop(number, None).unwrap_or_default());
        Came::Stopped(header.sync)
    }

    /// Admits more of what is under way, of one message after the other.
    pub(super) fn admit(&mut self, end: &ClientEnd) {
        if self.is_lazy && !self.random.once_in(8) {
            return;
        }
        for number in &self.taken {
            if let Some(credit) = self.receiver.admit_ahead(*number, self.ahead) {
                end.send(credit.as_bytes());
            }
        }
    }
}

fn group_of(frame: &[u8]) -> Group {
    let (header, _) = read_header(&frame[PREFIX_SIZE..]).expect("a request of this client");
    let request = RequestType::from_code(header.request_type).expect("one that there is");
    Class::of(request).group(header.stream_id)
}

/// Whether a reply to a SELECT has the bytes that the engine makes for this key.
pub(super) fn is_of_key(body: &[u8], key: u64) -> bool {
    let mut reader = Reader::new(body);
    let read = (|| {
        reader.read_map_len()?;
        reader.read_uint()?;
        reader.read_array_len()?;
        reader.read_array_len()?;
        reader.read_bin()
    })();
    read.is_ok_and(|bytes| bytes == pattern(key, bytes.len()) && reader.rest().is_empty())
}
