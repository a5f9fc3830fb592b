//! What a server takes of the allocator for requests and replies that share a connection, once it
//! has seen some: in a process of its own, whose memory is counted, with a client that takes none.

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use vestibule_actors::testing::{Harness, RequestBuilder};
use vestibule_wire::client::{GREETING_SIZE, RequestHeader};
use vestibule_wire::features::Features;
use vestibule_wire::frame::PREFIX_SIZE;
use vestibule_wire::groups::Agreement;
use vestibule_wire::groups::chunk::{self, Chunk};
use vestibule_wire::keys::RequestType;
use vestibule_wire::request::{Body, Id};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LARGE: usize = 3 << 20;
/// Bytes of a segment of a reply, as in the limits of the server.
const SEGMENT_SIZE: usize = 64 << 10;
/// Small requests in a round.
const SMALL: usize = 100;
const ROUNDS: usize = 20;
const TIMES: usize = 5;

/// A client whose memory is there before it begins.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    credit: Vec<u8>,
    /// Bytes that the reply in chunks lacks that is under way.
    left: usize,
}

impl Client {
    fn connect(harness: &Harness, chunks: Option<Agreement>) -> Self {
        let mut stream = TcpStream::connect(harness.address()).expect("the server listens");
        stream.set_nodelay(true).expect("it can be set");
        stream
            .read_exact(&mut [0; GREETING_SIZE])
            .expect("the server greets");
        let mut client = Self {
            stream,
            buffer: vec![0; LARGE + (64 << 10)],
            from: 0,
            to: 0,
            credit: Vec::with_capacity(4096),
            left: 0,
        };
        let id = Id {
            version: 6,
            features: Features::SUPPORTED,
            chunks,
        };
        let mut request = Vec::new();
        RequestHeader::with_sync(1).write(&mut request, &Body::Id(id));
        client.ask(&request, 1);
        client
    }

    /// Sends requests, and takes this number of replies, whose chunks are admitted as they come.
    fn ask(&mut self, requests: &[u8], replies: usize) {
        self.stream.write_all(requests).expect("the server reads");
        let mut taken = 0;
        while taken < replies {
            taken += usize::from(self.take());
        }
    }

    /// Takes a frame: whether it was a reply, or the last of one.
    fn take(&mut self) -> bool {
        let size = loop {
            let frame = &self.buffer[self.from..self.to];
            if let Some([_, length @ ..]) = frame.first_chunk::<PREFIX_SIZE>() {
                let size = PREFIX_SIZE + u32::from_be_bytes(*length) as usize;
                if frame.len() >= size {
                    break size;
                }
            }
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
            let read = self.stream.read(&mut self.buffer[self.to..]);
            self.to += read.expect("the server answers");
        };
        let content = &self.buffer[self.from + PREFIX_SIZE..self.from + size];
        let is_reply = match Chunk::is_one(content) {
            false => true,
            true => {
                let Ok(Chunk::Data {
                    number,
                    first,
                    piece,
                }) = Chunk::read(content)
                else {
                    panic!("a piece");
                };
                if let Some(first) = first {
                    self.left = first.total as usize;
                    self.credit.clear();
                    self.credit
                        .extend_from_slice(chunk::credit(number, first.total).as_bytes());
                    self.stream.write_all(&self.credit).expect("it reads");
                }
                self.left -= piece.len();
                self.left == 0
            }
        };
        self.from += size;
        is_reply
    }
}

/// Allocations for a round of requests in a server that has seen some: the fewest, for its clocks
/// tick beside it.
fn per_round(client: &mut Client, requests: &[u8], replies: usize) -> usize {
    let counted = (0..TIMES).map(|_| {
        let region = Region::new(ALLOCATOR);
        for _ in 0..ROUNDS {
            client.ask(requests, replies);
        }
        let stats = region.change();
        (stats.allocations + stats.reallocations) / ROUNDS
    });
    counted.min().unwrap_or(usize::MAX)
}

#[test]
fn what_shares_a_connection_takes_no_memory_for_each_reply_nor_for_each_chunk() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let row = RequestBuilder::replace_large(1, 5, LARGE as u32);
    assert_eq!(peer.ask(&row).code, 0);
    assert_eq!(peer.ask(&RequestBuilder::replace(2, 7)).code, 0);
    let large = RequestBuilder::select(9, 5).bytes();
    let pings = RequestBuilder::new(RequestType::Ping, 9)
        .bytes()
        .repeat(SMALL);
    let selects = RequestBuilder::select(9, 7).bytes().repeat(SMALL);
    let chunks = Agreement {
        window: 64 << 10,
        messages_max: 4,
    };
    for agreed in [None, Some(chunks)] {
        let mut client = Client::connect(&harness, agreed);
        let mut per_round = |requests: &[u8], replies| per_round(&mut client, requests, replies);
        let alone = [&pings, &selects].map(|small| per_round(small, SMALL));
        let large_alone = per_round(&large, 1);
        let beside =
            [&pings, &selects].map(|small| per_round(&[&large[..], small].concat(), 1 + SMALL));
        let told = format!("{agreed:?}: {alone:?}, {large_alone}, {beside:?}");
        assert!(alone.iter().all(|taken| *taken < SMALL / 10), "{told}");
        // Those that wait behind it stand in one buffer, which grows a few times.
        let most = large_alone + SMALL / 4;
        assert!(beside.iter().all(|taken| *taken < most), "{told}");
        // One for each segment of the reply, in which there are four chunks.
        let segments = LARGE / SEGMENT_SIZE;
        assert!(large_alone < segments + segments / 2, "{told}");
    }
}
