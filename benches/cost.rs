//! Requests through session, Tx and the embedded engine on one thread, for callgrind to count; or
//! through session and links to an upstream in memory, that answers all the same.
//!
//! ```text
//!   cost engine|gateway OP DEPTH REQUESTS      benches/cost.py runs it twice, the second time with
//!                                              more requests
//! ```
//!
//! The requests are those of `vestibule bench --op OP`, `DEPTH` of them at a time; or, one at a
//! time, values of 1 MB in a reply (`download`) or in a request (`upload`), which go whole, or in
//! chunks (`download-chunks`, `upload-chunks`; `engine` alone). Of these the client is that of the
//! generator, which keeps no more than a header, and a small piece that has not come as a whole: so
//! next to all that is counted is the server's and the pipe's, which copies each byte once on its
//! way in and once on its way out.

use std::process::ExitCode;

use bytes::Bytes;
use clap::ValueEnum as _;
use serde::Serialize;
use vestibule_actors::testing::{OneGateway, OneThread, PipePeer, RequestBuilder, config};
use vestibule_bench::{AGREED, Arrived, Incoming, Op, Requests};
use vestibule_engine::procedures;
use vestibule_engine::testing::TestData;
use vestibule_wire::client::{ReplyFrame, RequestHeader};
use vestibule_wire::features::{Features, PROTOCOL_VERSION};
use vestibule_wire::groups::{Group, Piece, Sender};
use vestibule_wire::limits::CHUNK_PAYLOAD_MAX;
use vestibule_wire::msgpack::{write_array_len, write_str_bytes, write_uint};
use vestibule_wire::request::{Body, Id, IdOrName, Update};

/// The number that the first space of a new engine gets.
const SPACE: u32 = 512;
const KEYS: u32 = 1000;

/// Bytes of a value, in a request or a reply.
const VALUE_SIZE: usize = 1_000_000;
/// The key of the row that has such a value, and the one of a row that is not there.
const LARGE_KEY: u64 = 1 << 20;
const MISSING_KEY: u64 = LARGE_KEY + 1;

/// What is sent again and again.
#[derive(Clone, Copy)]
enum Work {
    Small(Op),
    Large(LargeWork),
}

/// A value that goes one way or the other.
#[derive(Clone, Copy)]
struct LargeWork {
    is_upload: bool,
    in_chunks: bool,
}

impl Work {
    fn parse(word: &str) -> Option<Self> {
        let (direction, in_chunks) = match word.strip_suffix("-chunks") {
            Some(direction) => (direction, true),
            None => (word, false),
        };
        let is_upload = match direction {
            "download" => false,
            "upload" => true,
            _ => return Op::from_str(word, false).ok().map(Self::Small),
        };
        Some(Self::Large(LargeWork {
            is_upload,
            in_chunks,
        }))
    }

    fn is_small(self) -> bool {
        matches!(self, Self::Small(_))
    }
}

struct Arguments {
    is_gateway: bool,
    work: Work,
    depth: usize,
    requests: usize,
}

impl Arguments {
    fn parse(words: &[String]) -> Option<Self> {
        let [server, op, depth, requests] = words else {
            return None;
        };
        let is_gateway = match server.as_str() {
            "engine" => false,
            "gateway" => true,
            _ => return None,
        };
        Some(Self {
            is_gateway,
            work: Work::parse(op).filter(|work| !is_gateway || work.is_small())?,
            depth: depth.parse().ok().filter(|depth| *depth > 0)?,
            requests: requests.parse().ok()?,
        })
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(arguments) = Arguments::parse(&words) else {
        eprintln!(
            "usage: cost engine|gateway OP DEPTH REQUESTS; benches/cost.py counts what they cost"
        );
        // `cargo bench` runs it without knowing what it wants.
        return match words.as_slice() {
            [only] if only == "--bench" => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        };
    };
    actix_rt::System::with_tokio_rt(standing_clock).block_on(run(&arguments));
    ExitCode::SUCCESS
}

/// A runtime whose clock stands still while there is something to do, so that a slow machine counts
/// no more ticks, and no more rests after long turns, than a fast one.
fn standing_clock() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let built = builder.enable_all().start_paused(true).build();
    built.expect("the system has a descriptor left")
}

async fn run(arguments: &Arguments) {
    match (arguments.work, arguments.is_gateway) {
        (Work::Small(op), true) => {
            let gateway = OneGateway::start(config()).await;
            ask(&gateway.connect().await, op, arguments).await;
        }
        (work, _) => {
            let data = TestData::new();
            let server = OneThread::start(config(), data.engine(), procedures::standard()).await;
            let peer = server.connect().await;
            match work {
                Work::Small(op) => {
                    prepare(&peer, op).await;
                    ask(&peer, op, arguments).await;
                }
                Work::Large(work) => move_values(peer, work, arguments.requests).await,
            }
        }
    }
}

async fn ask(peer: &PipePeer, op: Op, arguments: &Arguments) {
    let mut requests = Requests::new(op, SPACE, KEYS);
    let (mut bytes, mut replies) = (Vec::new(), Vec::new());
    for _ in 0..arguments.requests / arguments.depth {
        bytes.clear();
        for sync in 0..arguments.depth as u32 {
            requests.append(&mut bytes, sync);
        }
        peer.send(&bytes);
        peer.receive(arguments.depth, &mut replies).await;
        assert!(is_answered(&replies), "an error was answered");
    }
}

/// Moves values, one after the other.
async fn move_values(peer: PipePeer, work: LargeWork, requests: usize) {
    prepare(&peer, Op::Select).await;
    let stored = RequestBuilder::replace_large(1, LARGE_KEY, VALUE_SIZE as u32);
    let mut peer = LargePeer::new(peer);
    if work.in_chunks {
        peer.agree().await;
    }
    peer.exchange(stored.bytes().into()).await;
    let request = match work.is_upload {
        true => upload(),
        false => RequestBuilder::select(1, LARGE_KEY).bytes().into(),
    };
    for _ in 0..requests {
        peer.exchange(request.clone()).await;
    }
}

/// An UPDATE that carries a value to a row that is not there: received and checked as any, it
/// stores nothing.
fn upload() -> Bytes {
    let (mut key, mut ops) = (Vec::new(), Vec::new());
    write_array_len(&mut key, 1);
    write_uint(&mut key, MISSING_KEY);
    write_array_len(&mut ops, 1);
    write_array_len(&mut ops, 3);
    write_str_bytes(&mut ops, b"=");
    write_uint(&mut ops, 2);
    write_str_bytes(&mut ops, &vec![b'v'; VALUE_SIZE]);
    request(&Body::Update(Update {
        space: IdOrName::Id(SPACE),
        index: IdOrName::Id(0),
        key: &key,
        ops: &ops,
        index_base: 1,
    }))
}

fn request(body: &Body<'_>) -> Bytes {
    let mut bytes = Vec::new();
    RequestHeader::with_sync(1).write(&mut bytes, body);
    bytes.into()
}

/// A client of large messages, with one request in flight.
struct LargePeer {
    peer: PipePeer,
    sender: Sender<Bytes>,
    incoming: Incoming,
    /// What has come, and is not looked at.
    kept: Vec<u8>,
}

impl LargePeer {
    fn new(peer: PipePeer) -> Self {
        Self {
            peer,
            sender: Sender::default(),
            incoming: Incoming::default(),
            kept: Vec::new(),
        }
    }

    /// Asks for chunks.
    async fn agree(&mut self) {
        self.peer.send(&request(&Body::Id(Id {
            version: PROTOCOL_VERSION,
            features: Features::SUPPORTED,
            chunks: Some(AGREED),
        })));
        let mut replies = Vec::new();
        self.peer.receive(1, &mut replies).await;
        let reply = ReplyFrame::read(&replies, usize::MAX).expect("a frame");
        let id = reply.and_then(|reply| reply.id()).expect("features");
        self.sender.cut(id.chunks.expect("the server has chunks"));
        self.incoming.take_chunks();
    }

    /// Sends a request, and waits for its reply.
    async fn exchange(&mut self, request: Bytes) {
        self.sender.push(Group::Write, request, 0);
        let mut is_answered = false;
        while !is_answered {
            while let Some(Piece { head, payload }) = self.sender.pick_up_to(CHUNK_PAYLOAD_MAX) {
                self.peer.send(head.as_bytes());
                self.peer.send(&payload);
            }
            let mut received = self.peer.receive_some().await;
            if self.kept.is_empty() {
                self.kept = received;
            } else {
                self.kept.append(&mut received);
            }
            is_answered = self.take();
        }
        self.sender.rest();
    }

    /// Takes what has come, and says what is to be said to it: whether the reply is among it.
    fn take(&mut self) -> bool {
        let mut is_answered = false;
        let (peer, sender) = (&self.peer, &mut self.sender);
        let taken = self.incoming.take(&self.kept, |arrived| {
            match arrived {
                Arrived::Reply(ReplyFrame { code, .. }) | Arrived::Large { code, .. } => {
                    assert_eq!(code, 0, "an error was answered");
                    is_answered = true;
                }
                Arrived::Answer(head) => peer.send(head.as_bytes()),
                Arrived::Credit { number, limit } => {
                    sender.credit(number, limit).expect("credit for a request");
                }
            }
            Ok(())
        });
        self.kept.drain(..taken.expect("what a server sends"));
        is_answered
    }
}

/// Whether the first of these replies is none of an error.
fn is_answered(replies: &[u8]) -> bool {
    let first = ReplyFrame::read(replies, usize::MAX);
    first.is_ok_and(|first| first.is_some_and(|reply| reply.code == 0))
}

/// Makes the space and its rows.
async fn prepare(peer: &PipePeer, op: Op) {
    let call = async |name: &str, args: Vec<u8>| {
        peer.send(&RequestBuilder::call(1, name, &args).bytes());
        peer.receive(1, &mut Vec::new()).await;
    };
    call("box.schema.space.create", args(&("cost",))).await;
    call("box.space.cost:create_index", args(&("primary",))).await;
    if op.has_second_index() {
        let second = Index {
            parts: [(2, "unsigned")],
            unique: false,
        };
        call("box.space.cost:create_index", args(&("second", second))).await;
    }
    let mut rows = Vec::new();
    Requests::append_rows(&mut rows, SPACE, KEYS);
    peer.send(&rows);
    peer.receive(KEYS as usize, &mut Vec::new()).await;
}

#[derive(Serialize)]
struct Index {
    parts: [(u32, &'static str); 1],
    unique: bool,
}

fn args(values: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(values).expect("plain values")
}
