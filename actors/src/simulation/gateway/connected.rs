//! A connection of a simulated upstream: what has come of requests, what is sent later, and what it
//! has left open.

use std::collections::BTreeMap;
use std::time::Instant;

use vestibule_wire::ErrorCode;
use vestibule_wire::frame::{PREFIX_SIZE, read_prefix};
use vestibule_wire::header::{Header, read_header};
use vestibule_wire::keys::RequestType;

use crate::engine::catalog::GUEST;
use crate::testing::pipe::ClientEnd;

/// One of its connections.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) end: ClientEnd,
    pub(super) inbox: Vec<u8>,
    /// Replies by when they are sent.
    pub(super) replies: Vec<(Instant, Late)>,
    /// Keys of open transactions, by streams.
    pub(super) open: BTreeMap<u64, Vec<u64>>,
    /// Whose last event was acknowledged, by keys, and what they were told.
    pub(super) watched: BTreeMap<String, Watcher>,
    /// The sync of what was answered last.
    pub(super) answered: Option<u64>,
    /// Who has logged in.
    pub(super) user: String,
    /// The client whose writes have come over it, if any has.
    pub(super) client: Option<u64>,
    /// The client that has set something for it, if one has.
    pub(super) set_by: Option<u64>,
    pub(super) is_over: bool,
}

#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) sync: u64,
    pub(super) told: Option<Option<Vec<u8>>>,
    pub(super) is_armed: bool,
}

/// What is sent later.
#[derive(Debug)]
pub(super) enum Late {
    Reply(Header, Answer),
    /// The last step of a procedure, and whether it has written.
    Step(Header, bool),
}

impl Late {
    fn header(&self) -> &Header {
        let (Self::Reply(header, _) | Self::Step(header, _)) = self;
        header
    }

    /// Whether a call is answered.
    pub(super) fn is_call(&self) -> bool {
        self.header().request_type == RequestType::Call as u64
    }
}

/// What a request comes to.
#[derive(Debug)]
pub(super) enum Answer {
    Body(Vec<u8>),
    Error(ErrorCode),
}

impl Connected {
    pub(super) fn new(end: ClientEnd) -> Self {
        Self {
            end,
            inbox: Vec::new(),
            replies: Vec::new(),
            open: BTreeMap::new(),
            watched: BTreeMap::new(),
            answered: None,
            user: GUEST.to_owned(),
            client: None,
            set_by: None,
            is_over: false,
        }
    }

    /// The next request that has come whole.
    pub(super) fn next_request(&mut self) -> Option<(Header, Vec<u8>)> {
        let prefix = read_prefix(&self.inbox, u64::MAX).expect("a gateway sends frames")?;
        assert_eq!(prefix.size, PREFIX_SIZE, "lengths have five bytes");
        if self.inbox.len() < prefix.frame_size() {
            return None;
        }
        let frame: Vec<u8> = self.inbox.drain(..prefix.frame_size()).collect();
        let (header, body) = read_header(&frame[PREFIX_SIZE..]).expect("with headers");
        Some((header, body.to_vec()))
    }

    /// When a reply is sent that could be then: those of a stream keep their order.
    pub(super) fn in_order(&self, header: &Header, at: Instant) -> Instant {
        let is_before = |own: &&(Instant, Late)| {
            let other = own.1.header();
            header.stream_id != 0 && other.stream_id == header.stream_id
        };
        let before = self.replies.iter().filter(is_before).map(|own| own.0);
        before.max().map_or(at, |own| own.max(at))
    }

    pub(super) fn watch(&mut self, key: &str, sync: u64) {
        let own = self.watched.entry(key.to_owned()).or_insert(Watcher {
            sync,
            told: None,
            is_armed: false,
        });
        (own.sync, own.is_armed) = (sync, true);
    }
}
