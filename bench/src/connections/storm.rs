//! `--mode storm`: clients that connect, wait for the greeting, ping, leave, and come again.
//!
//! ```text
//!   client ─▶ connect ─▶ greeting? ─▶ PING ─▶ answer? ─▶ close ─▶ wait for the period ─▶ again
//!                            └── not in the time a client waits: close
//! ```
//!
//! It is the load of Tarantool's issues #4910 and #3776: while the server's thread is blocked
//! nobody is greeted, everybody comes again, and every visit leaves a descriptor behind.

use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use vestibule_wire::client::GREETING_SIZE;
use vestibule_wire::msgpack::{write_array_len, write_uint};

use super::summary::Summary;
use crate::args::BenchArgs;
use crate::client::{BlockingClient, Endpoint};
use crate::error::BenchError;
use crate::meter::Meter;
use crate::process::Process;
use crate::reply;
use crate::requests::{KeyedTemplate, call, frame};
use crate::transport::{BlockingStream, Target};

/// What each client does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub target: Target,
    /// How many clients.
    pub clients: u32,
    /// How long a client waits between two visits.
    pub period: Duration,
    /// How long it waits for the greeting, and for the answer.
    pub patience: Duration,
}

/// What became of the visits, while they go on.
#[derive(Debug, Default)]
pub struct Counts {
    visits: AtomicU64,
    greeted: AtomicU64,
    refused: AtomicU64,
    /// From connecting to the answer of the ping, of those that were answered.
    times: Mutex<Vec<Duration>>,
}

impl Counts {
    /// Visits that have begun.
    #[must_use]
    pub fn visits(&self) -> u64 {
        self.visits.load(Relaxed)
    }

    /// Visits that were greeted.
    #[must_use]
    pub fn greeted(&self) -> u64 {
        self.greeted.load(Relaxed)
    }

    /// Visits whose ping was answered.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.times().len() as u64
    }

    /// Visits that got an error in place of the answer.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// The longest time from connecting to the answer of the ping, of those that were answered.
    #[must_use]
    pub fn slowest_answer(&self) -> Duration {
        self.times().iter().max().copied().unwrap_or_default()
    }

    fn times(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Plays the storm until `is_over`; every client is a thread.
pub fn play(plan: &Plan, counts: &Counts, is_over: &AtomicBool) {
    thread::scope(|scope| {
        for _ in 0..plan.clients {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    let began = Instant::now();
                    counts.visits.fetch_add(1, Relaxed);
                    // A visit that fails is one that was not answered: that is what is counted.
                    let _ = visit(plan, counts);
                    pause(plan.period.saturating_sub(began.elapsed()));
                }
            });
        }
    });
}

fn visit(plan: &Plan, counts: &Counts) -> io::Result<()> {
    let began = Instant::now();
    let mut stream = plan.target.connect(plan.patience)?;
    stream.read_exact(&mut [0; GREETING_SIZE])?;
    counts.greeted.fetch_add(1, Relaxed);
    let mut ping = Vec::new();
    KeyedTemplate::ping().append(&mut ping, 1, 0);
    stream.write_all(&ping)?;
    let mut received = Vec::new();
    let refusal = loop {
        let mut chunk = [0; 64];
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            size => received.extend_from_slice(&chunk[..size]),
        }
        if let Some(answer) = reply::read(&received).map_err(io::Error::other)? {
            break answer.error_code();
        }
    };
    if refusal.is_some() {
        // Greeted and told that there is no place for it.
        counts.refused.fetch_add(1, Relaxed);
        return Ok(());
    }
    counts.times().push(began.elapsed());
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the clients' own period")]
fn pause(time: Duration) {
    thread::sleep(time);
}

/// Has the server's thread blocked for a time.
fn block(
    client: BlockingClient,
    procedure: &str,
    time: Duration,
) -> Result<BlockingStream, BenchError> {
    let mut seconds = Vec::new();
    write_array_len(&mut seconds, 1);
    write_uint(&mut seconds, time.as_secs_f64().ceil() as u64);
    let mut stream = client.into_stream();
    stream
        .write_all(&frame(&call(procedure, &seconds)))
        .map_err(BenchError::io(format!("calling {procedure}")))?;
    Ok(stream)
}

/// Plays it for as long as asked, and looks at the server's descriptors.
pub(super) fn run(args: &BenchArgs) -> Result<Summary, BenchError> {
    let endpoint = Endpoint::of(args)?;
    let client = BlockingClient::open(&endpoint)?;
    let server = client.server();
    let process = args.pid.map(Process::new);
    let descriptors = || process.map(Process::descriptors).transpose();
    let before = descriptors()?;
    let plan = Plan {
        target: endpoint.target.clone(),
        clients: args.connections,
        period: args.period,
        patience: args.patience,
    };
    let counts = Counts::default();
    let is_over = AtomicBool::new(false);
    let mut most = before;
    // Kept open until the end: its answer is waited for by nobody.
    let _blocker = args
        .block
        .as_deref()
        .map(|procedure| block(client, procedure, args.seconds))
        .transpose()?;
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| play(&plan, &counts, &is_over));
        while began.elapsed() < args.seconds {
            pause(Duration::from_millis(20));
            most = most.max(descriptors().ok().flatten());
        }
        is_over.store(true, Relaxed);
    });
    let after = descriptors()?;
    let elapsed = began.elapsed();
    let mut answers = Meter::of(&counts.times());
    answers.lost(counts.visits() - counts.answered());
    let figures = answers.finish(elapsed);
    let mut summary = Summary::new("storm", server, &endpoint.target, figures);
    summary.count("clients", u64::from(args.connections));
    summary.count("visits", counts.visits());
    summary.count("greeted", counts.greeted());
    summary.count("answered", counts.answered());
    summary.count("refused", counts.refused());
    summary.milliseconds("slowest_answer_ms", counts.slowest_answer());
    if let (Some(before), Some(most), Some(after)) = (before, most, after) {
        summary.count("descriptors_before", before);
        summary.count("descriptors_most", most);
        summary.count("descriptors_after", after);
    }
    Ok(summary)
}
