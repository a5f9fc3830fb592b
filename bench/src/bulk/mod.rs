//! `--op bulk`: large values over connections that small requests share.
//!
//! ```text
//!   groups of transfers ─▶ Sender ─▶ socket ─▶ server
//!   a ping now and then ─┘                       │
//!   meters ◀─ values counted and dropped ◀───────┘
//! ```
//!
//! Every group keeps its transfers in flight; what is beside them is sent at fixed times, whether
//! or not it is answered, so that a long wait counts for all that would have been sent meanwhile.
//! Both ends cut large messages into chunks if the server has them and nobody says `--chunks off`.
//!
//! | module | what |
//! |---|---|
//! | `frame` | requests as they wait to be sent |
//! | `outgoing` | groups, then what is handed to the socket |
//! | `incoming` | replies, whole and in chunks, whose values are dropped |
//! | `link` | one connection with what is in flight on it |
//! | `prepare` | the rows, and what connections are told to do |
//! | `outcome` | the result, for people and for scripts |

mod frame;
mod incoming;
mod link;
mod outcome;
mod outgoing;
mod prepare;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use vestibule_wire::limits::UNSENT_IN_KERNEL_MAX;

use crate::args::{BenchArgs, Switch};
use crate::client::{AGREED, BlockingClient, Endpoint};
use crate::cpu;
use crate::error::BenchError;
use crate::meter::{Figures, Meter};
use crate::process::Process;
use crate::stream::SHARED_BUFFER_SIZE;
pub use incoming::{Arrived, Incoming};
use link::{BulkCounts, Link};
use outcome::Besides;
pub(crate) use outcome::BulkOutcome;
use outgoing::bound_unsent;
use prepare::BulkPlan;

/// Bytes of a transfer, unless `--size` says otherwise.
const SIZE_DEFAULT: u32 = 1_000_000;
/// Time between two requests beside, unless `--beside-every` says otherwise.
const BESIDE_EVERY_DEFAULT: Duration = Duration::from_millis(1);
/// How long a server may take to answer what is in flight at the end; then it is cut off.
const SETTLE_MAX: Duration = Duration::from_millis(500);
const SETTLE_STEP: Duration = Duration::from_millis(2);

/// Prepares the server, then measures.
pub(crate) fn run(args: &BenchArgs) -> Result<BulkOutcome, BenchError> {
    args.check()?;
    let endpoint = Endpoint::of(args)?;
    endpoint.target.plain_tcp("--op bulk")?;
    let mut client = BlockingClient::open(&endpoint)?;
    let server = client.server();
    let plan = BulkPlan::prepare(&mut client, args)?;
    let mut bulk = Bulk::connect(args, &endpoint, &plan)?;
    bulk.run_for(args.warmup_seconds)?;
    let process = args.pid.map(Process::new);
    let server_before = process.map(Process::cpu_time).transpose()?;
    let own_before = cpu::thread_time();
    let moved_before = bulk.moved();
    bulk.counts.transfers.start();
    bulk.counts.beside.start();
    let elapsed = bulk.run_for(args.seconds)?;
    let moved = bulk.moved();
    let own_after = cpu::thread_time();
    let server_cpu = match (process, server_before) {
        (Some(process), Some(before)) => Some(process.cpu_time()?.saturating_sub(before)),
        _ => None,
    };
    let own_cpu = own_before
        .zip(own_after)
        .map(|(before, after)| after.saturating_sub(before));
    let oldest_in_flight = bulk.oldest_in_flight();
    let has_chunks = bulk.has_chunks;
    let (transfers, beside) = bulk.settle(elapsed)?;
    prepare::clear(&mut client, args);
    Ok(BulkOutcome {
        args: args.clone(),
        server,
        target: endpoint.target.to_string(),
        size: plan.size,
        direction: plan.direction,
        groups: plan.groups,
        has_chunks,
        elapsed,
        down_bytes: moved.0 - moved_before.0,
        up_bytes: moved.1 - moved_before.1,
        transfers,
        beside: plan.beside.map(|(what, every)| Besides {
            what,
            every,
            figures: beside,
        }),
        server_cpu,
        own_cpu,
        oldest_in_flight,
    })
}

/// All connections and what they share.
struct Bulk {
    poll: Poll,
    links: Vec<Link>,
    counts: BulkCounts,
    has_chunks: bool,
    shared: Vec<u8>,
}

impl Bulk {
    /// Opens the connections and asks for the first values.
    fn connect(args: &BenchArgs, endpoint: &Endpoint, plan: &BulkPlan) -> Result<Self, BenchError> {
        let setup = || BenchError::io("setting up a connection (is `ulimit -n` large enough?)");
        let asked = (args.chunks != Some(Switch::Off)).then_some(AGREED);
        let poll = Poll::new().map_err(setup())?;
        let mut links = Vec::new();
        let mut has_chunks = true;
        for number in 0..args.connections as usize {
            let mut client = BlockingClient::open(endpoint)?;
            let id = client.identify(asked)?;
            has_chunks &= id.chunks.is_some();
            let stream = client.into_tcp("--op bulk")?;
            stream.set_nonblocking(true).map_err(setup())?;
            bound_unsent(&stream, UNSENT_IN_KERNEL_MAX).map_err(setup())?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut stream, Token(number), interest)
                .map_err(setup())?;
            links.push(Link::new(stream, plan.orders(&id)));
        }
        let now = Instant::now();
        for link in &mut links {
            link.start(now);
        }
        Ok(Self {
            poll,
            links,
            counts: BulkCounts {
                transfers: Meter::new(),
                beside: Meter::new(),
            },
            has_chunks,
            shared: vec![0; SHARED_BUFFER_SIZE],
        })
    }

    /// Keeps the load up for a while and gives the time that really passed.
    fn run_for(&mut self, duration: Duration) -> Result<Duration, BenchError> {
        let begin = Instant::now();
        let mut events = Events::with_capacity(64);
        loop {
            let mut is_busy = false;
            for link in &mut self.links {
                is_busy |= link.work(&mut self.shared, &mut self.counts)?;
            }
            let passed = begin.elapsed();
            let Some(left) = duration.checked_sub(passed).filter(|left| !left.is_zero()) else {
                return Ok(passed);
            };
            let wait = if is_busy {
                Duration::ZERO
            } else {
                self.until_due(left)
            };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other.map_err(BenchError::io("waiting for the server"))?,
            }
            for event in &events {
                let link = &mut self.links[event.token().0];
                link.is_readable |= event.is_readable() || event.is_read_closed();
                link.is_writable |= event.is_writable();
            }
        }
    }

    /// The time until something beside is to be sent, at most `left`.
    fn until_due(&self, left: Duration) -> Duration {
        let due = self.links.iter().filter_map(Link::next_beside).min();
        due.map_or(left, |due| {
            left.min(due.saturating_duration_since(Instant::now()))
        })
    }

    /// Bytes of values that were ever received, and sent.
    fn moved(&self) -> (u64, u64) {
        let each = self.links.iter().map(Link::moved);
        each.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1))
    }

    fn oldest_in_flight(&self) -> Duration {
        let oldest = self.links.iter().filter_map(Link::oldest).min();
        oldest.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Takes the figures, then lets the server finish what it has been asked for.
    fn settle(mut self, elapsed: Duration) -> Result<(Figures, Figures), BenchError> {
        let counts = BulkCounts {
            transfers: Meter::new(),
            beside: Meter::new(),
        };
        let counts = std::mem::replace(&mut self.counts, counts);
        let figures = (
            counts.transfers.finish(elapsed),
            counts.beside.finish(elapsed),
        );
        for link in &mut self.links {
            link.end();
        }
        let begin = Instant::now();
        while begin.elapsed() < SETTLE_MAX && !self.oldest_in_flight().is_zero() {
            self.run_for(SETTLE_STEP)?;
        }
        Ok(figures)
    }
}
