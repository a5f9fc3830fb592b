//! Requests through session, Tx and the embedded engine on one thread, for callgrind to count; or
//! through session and links to an upstream in memory, that answers all the same.
//!
//! ```text
//!   cost engine|gateway OP DEPTH REQUESTS      benches/cost.py runs it twice, the second time with
//!                                              more requests
//! ```
//!
//! The requests are those of `vestibule bench --op OP`, `DEPTH` of them at a time.

use std::process::ExitCode;

use clap::ValueEnum as _;
use serde::Serialize;
use vestibule_actors::testing::{OneGateway, OneThread, PipePeer, RequestBuilder, config};
use vestibule_bench::{Op, Requests};
use vestibule_engine::procedures;
use vestibule_engine::testing::TestData;
use vestibule_wire::client::ReplyFrame;

/// The number that the first space of a new engine gets.
const SPACE: u32 = 512;
const KEYS: u32 = 1000;

struct Arguments {
    is_gateway: bool,
    op: Op,
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
            op: Op::from_str(op, false).ok()?,
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

/// A runtime in which no timer fires while there is something to do, so that a slow machine counts
/// no more ticks than a fast one.
fn standing_clock() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let built = builder.enable_all().start_paused(true).build();
    built.expect("the system has a descriptor left")
}

async fn run(arguments: &Arguments) {
    if arguments.is_gateway {
        let gateway = OneGateway::start(config()).await;
        ask(&gateway.connect().await, arguments).await;
    } else {
        let data = TestData::new();
        let server = OneThread::start(config(), data.engine(), procedures::standard()).await;
        let peer = server.connect().await;
        prepare(&peer, arguments.op).await;
        ask(&peer, arguments).await;
    }
}

async fn ask(peer: &PipePeer, arguments: &Arguments) {
    let mut requests = Requests::new(arguments.op, SPACE, KEYS);
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
