//! What requests take beside their work, once a server is in its stride: looks at the clock,
//! lines of the log and messages between actors. They are counted: none is for a request, all are
//! for a turn, or for work as of 64 requests.
//!
//! ```text
//!   PipePeer: rounds of 1, 16, 64 requests ─▶ session, worker ─▶ Tx ─▶ a scripted engine
//!                                               └ clock, log and mailboxes that count ┘
//! ```

use std::cell::Cell;
use std::time::Instant;

use vestibule_wire::keys::RequestType;

use super::lockstep::paused_runtime;
use crate::clock::Clock;
use crate::limits::{SESSION_TURN_WORK_PER_LOOK, VIEW_SELECT_WORK};
use crate::messages::post::posted;
use crate::testing::{OneThread, PipePeer, RequestBuilder, Script, config};

const DEPTHS: [usize; 3] = [1, 16, 64];
const ROUNDS: usize = 64;

/// A request by its number.
type Request = fn(u64) -> RequestBuilder;

/// Of a round of requests that are sent together.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Counts {
    looks: usize,
    lines: usize,
    messages: usize,
}

impl Counts {
    /// Of this thread, since it began.
    fn now() -> Self {
        Self {
            looks: LOOKS.get(),
            lines: LINES.get(),
            messages: posted(),
        }
    }
}

/// The clock of the runtime, which stands, and counts who looks at it.
fn counting() -> Instant {
    LOOKS.set(LOOKS.get() + 1);
    tokio::time::Instant::now().into_std()
}

std::thread_local! {
    static LOOKS: Cell<usize> = const { Cell::new(0) };
    static LINES: Cell<usize> = const { Cell::new(0) };
}

/// A log that counts the lines of each thread, of what servers log without being asked for more.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _record: &log::Record<'_>) {
        LINES.set(LINES.get() + 1);
    }

    fn flush(&self) {}
}

fn ping(sync: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Ping, sync)
}

fn replace(sync: u64) -> RequestBuilder {
    RequestBuilder::replace(sync, sync)
}

fn select(sync: u64) -> RequestBuilder {
    RequestBuilder::select(sync, sync)
}

/// What all rounds of a request take together, after as many that were not counted.
async fn rounds(peer: &PipePeer, request: Request, depth: usize) -> Counts {
    let syncs = 1..=depth as u64;
    let requests: Vec<u8> = syncs.flat_map(|sync| request(sync).bytes()).collect();
    let mut replies = Vec::new();
    let mut before = Counts::now();
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            before = Counts::now();
        }
        peer.send(&requests);
        peer.receive(depth, &mut replies).await;
    }
    let after = Counts::now();
    Counts {
        looks: after.looks - before.looks,
        lines: after.lines - before.lines,
        messages: after.messages - before.messages,
    }
}

/// What rounds of a request take, by the depths.
fn measured(request: Request) -> Vec<Counts> {
    // Other tests, on other threads, have lines of their own.
    let _ = log::set_logger(&Lines);
    log::set_max_level(log::LevelFilter::Info);
    let lines = Counts::now().lines;
    actix_rt::System::with_tokio_rt(paused_runtime).block_on(async {
        let engine = || Ok(Script::default().engine());
        let clock = Clock::of(counting);
        let server = OneThread::start_by(clock, config(), engine, Script::procedures()).await;
        assert!(Counts::now().lines > lines, "a start is logged");
        let peer = server.connect().await;
        let mut all = Vec::new();
        for depth in DEPTHS {
            all.push(rounds(&peer, request, depth).await);
        }
        all
    })
}

/// The looks of a round that one turn of each of its sides takes, and the work of its requests as
/// sessions count it, by request.
const LOOKS_OF: [(Request, usize, usize); 3] = [
    (ping, 3, 1),
    (select, 3, VIEW_SELECT_WORK as usize),
    // A turn of the session, one of Tx, and the one that writes the replies.
    (replace, 6, 1),
];

#[test]
fn the_clock_is_looked_at_for_turns_and_for_much_work_and_not_for_each_request() {
    for (request, turns, work) in LOOKS_OF {
        for (depth, taken) in DEPTHS.into_iter().zip(measured(request)) {
            let most = turns + depth * work / SESSION_TURN_WORK_PER_LOOK as usize;
            assert!(taken.looks <= most * ROUNDS, "{depth} at a time: {taken:?}");
        }
    }
}

#[test]
fn nothing_is_logged_for_a_request() {
    for (request, ..) in LOOKS_OF {
        let taken = measured(request);
        assert!(taken.iter().all(|taken| taken.lines == 0), "{taken:?}");
    }
}

/// A batch to Tx and its replies; reads are answered where they come.
#[test]
fn a_turn_of_writes_takes_two_messages_however_many_they_are_and_reads_take_none() {
    for (request, most) in [(ping as Request, 0), (select, 0), (replace, 2)] {
        let taken = measured(request);
        assert!(
            taken.iter().all(|taken| taken.messages == most * ROUNDS),
            "{taken:?}"
        );
    }
}
