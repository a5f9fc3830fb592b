//! What a request costs a session and its worker, in instructions: to be counted by callgrind.
//!
//! ```text
//!   pipe ─▶ session ─▶ worker ─▶ a Tx that answers at once, on the same thread ─▶ worker ─▶ pipe
//! ```
//!
//! Everything is on one thread, so that two runs count the same within a ten-thousandth. The cost
//! of a request (with the client's part) is the difference of two runs, by which the start cancels
//! out:
//!
//! ```sh
//! for n in 20000 40000; do
//!   VESTIBULE_COST_SHAPE=ping VESTIBULE_COST_REQUESTS=$n valgrind --tool=callgrind \
//!     the-test-binary --exact simulation::cost::requests_are_answered
//! done
//! ```

use std::sync::Arc;

use actix::dev::channel::AddressReceiver;
use actix::{Actor, Context, Handler, Recipient};
use vestibule_wire::Error;
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::{ReplyHeader, Rows};
use vestibule_wire::request::Select;

use crate::cells::claims::Claims;
use crate::clock::Clock;
use crate::config::Config;
use crate::engine::{Caller, ReadView, ReplyBody, Scan, ViewStep};
use crate::messages::tx::TxHandle;
use crate::messages::tx::{Batch, Control, Probe, Replies, Stop};
use crate::supervisor::Supervisor;
use crate::testing::{OneWorker, RequestBuilder, count_frames};

/// Requests that are sent at a time.
const PIPELINE: usize = 64;

/// A Tx that does nothing but answer.
struct EchoTx {
    claims: Arc<Claims>,
    replies: Recipient<Box<Replies>>,
    /// What comes waits for ever.
    is_blocked: bool,
}

impl Actor for EchoTx {
    type Context = Context<Self>;
}

impl Handler<Box<Batch>> for EchoTx {
    type Result = ();

    fn handle(&mut self, mut batch: Box<Batch>, _ctx: &mut Self::Context) {
        if self.is_blocked {
            return;
        }
        let mut replies = batch.recycled.take().unwrap_or_default();
        for entry in &batch.entries {
            assert!(self.claims.claim(entry.id));
            let header = ReplyHeader {
                sync: entry.sync,
                schema_version: 0,
            };
            header.write_empty(&mut replies.bytes);
            replies.push_head(entry.id, entry.sync);
        }
        replies.spent.push(batch);
        self.replies.do_send(replies);
    }
}

impl Handler<Control> for EchoTx {
    type Result = ();

    fn handle(&mut self, _control: Control, _ctx: &mut Self::Context) {}
}

impl Handler<Probe> for EchoTx {
    type Result = ();

    fn handle(&mut self, _probe: Probe, _ctx: &mut Self::Context) {}
}

impl Handler<Stop> for EchoTx {
    type Result = ();

    fn handle(&mut self, _stop: Stop, _ctx: &mut Self::Context) {}
}

/// A view in which every SELECT finds one small row.
#[derive(Debug)]
struct OneRow;

impl ReadView for OneRow {
    fn select(
        &self,
        _select: &Select<'_>,
        _caller: &Caller,
        _scan: &mut Scan,
        body: &mut ReplyBody<'_>,
    ) -> Result<ViewStep, Error> {
        let mut rows = Rows::begin(body);
        rows.push(&[0x92, 1, 0xa4, b'r', b'o', b'w', b'1']);
        rows.finish(None);
        Ok(ViewStep::Done)
    }
}

/// One worker, and Tx, on this thread.
pub(super) fn start(clock: Clock) -> OneWorker {
    start_with(clock, Config::default(), false)
}

/// The same with a configuration, and with a Tx that answers nothing if it is blocked.
pub(super) fn start_with(clock: Clock, config: Config, is_blocked: bool) -> OneWorker {
    start_reporting(clock, config, is_blocked).0
}

/// The same, with what a Supervisor would hear.
pub(super) fn start_reporting(
    clock: Clock,
    config: Config,
    is_blocked: bool,
) -> (OneWorker, AddressReceiver<Supervisor>) {
    let now = clock.now();
    let (own, supervisor) = OneWorker::start(clock, config);
    let handle = &own.peers.workers[0];
    let tx = EchoTx {
        claims: own.shared.counters[0].claims.clone(),
        replies: handle.replies(),
        is_blocked,
    }
    .start();
    let [batches, control] = [tx.clone(), tx.clone()];
    let tx = TxHandle::new(
        batches.recipient(),
        control.recipient(),
        tx.clone().recipient(),
        tx.recipient(),
        1,
    );
    handle.tx_ready(tx);
    own.shared.serving.ready(now);
    own.shared.publish_view(Some(Arc::new(OneRow)));
    (own, supervisor)
}

/// The bytes of a number of requests, and how they are cut: `usize::MAX` for not at all.
fn requests(shape: &str, count: usize) -> (Vec<u8>, usize) {
    let value = |size| vec![7; size];
    let request = |sync: u64| match shape {
        "ping" | "pieces" => RequestBuilder::new(RequestType::Ping, sync).bytes(),
        "replace" => RequestBuilder::replace(sync, sync).bytes(),
        "select" => RequestBuilder::select(sync, sync).bytes(),
        "large" => RequestBuilder::call(sync, "f", &bytes_of(&value(200_000))).bytes(),
        _ => panic!("no such shape"),
    };
    let bytes = (1..=count as u64).flat_map(request).collect();
    match shape {
        // Frames that begin in one read and end in the next.
        "pieces" => (bytes, 101),
        _ => (bytes, usize::MAX),
    }
}

/// Arguments of one binary string.
fn bytes_of(value: &[u8]) -> Vec<u8> {
    let mut args = vec![0x91];
    vestibule_wire::msgpack::write_bin(&mut args, value);
    args
}

async fn run(shape: &str, total: usize) {
    let client = start(Clock::SYSTEM).connect().await;
    let pipeline = if shape == "large" { 4 } else { PIPELINE };
    let (bytes, piece) = requests(shape, pipeline);
    for _ in 0..total / pipeline {
        let mut received = Vec::new();
        for piece in bytes.chunks(piece.min(bytes.len())) {
            client.send(piece);
            if piece.len() < bytes.len() {
                actix_rt::task::yield_now().await;
            }
        }
        while count_frames(&received) < pipeline {
            actix_rt::task::yield_now().await;
            received.append(&mut client.receive());
        }
    }
}

/// With few requests it shows that the shapes are answered; with many, below callgrind, it
/// measures.
#[test]
fn requests_are_answered() {
    let requests = super::number("VESTIBULE_COST_REQUESTS").unwrap_or(128) as usize;
    let shape = std::env::var("VESTIBULE_COST_SHAPE");
    let shapes = match &shape {
        Ok(shape) => vec![shape.as_str()],
        Err(_) => vec!["ping", "pieces", "replace", "select", "large"],
    };
    for shape in shapes {
        actix_rt::System::new().block_on(run(shape, requests));
    }
}
