//! The closed loop: every connection keeps `depth` requests in flight.

use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::control::{Control, Target};
use super::floor::Floor;
use super::link::{Link, ReadEnd, SHARED_BUFFER_SIZE};
use super::meter::{Figures, Meter};
use super::reply::{self, Malformed};
use super::request::Requests;
use super::{BenchArgs, BenchError, cpu, space};

/// The mark of a slot without a request in flight.
const IDLE: u64 = u64::MAX;

/// How long a server may take to answer what is in flight at the end; then it is cut off.
const SETTLE_MAX: Duration = Duration::from_millis(500);
const SETTLE_STEP: Duration = Duration::from_millis(2);

/// A finished run: what was asked for and what came out.
pub(super) struct Outcome {
    pub(super) args: BenchArgs,
    pub(super) server: String,
    pub(super) target: String,
    pub(super) space_id: Option<u32>,
    pub(super) seconds: f64,
    pub(super) figures: Figures,
    /// The part of one core that the generator took while measuring.
    pub(super) generator_cpu: Option<f64>,
    /// The age of the oldest request without an answer at the end, in microseconds.
    pub(super) oldest_in_flight_us: f64,
}

/// Prepares the server, then measures.
pub(super) fn run(args: &BenchArgs) -> Result<Outcome, BenchError> {
    args.check()?;
    let floor = if args.floor {
        Some(Floor::start()?)
    } else {
        None
    };
    let target = match &floor {
        Some(floor) => Target::anonymous(floor.addr()),
        None => Target::of(args)?,
    };
    let mut control = Control::open(&target)?;
    let mut space_id = None;
    if args.op.needs_space() && floor.is_none() {
        let id = space::find_or_create(&mut control, &args.space)?;
        space::preload(&mut control, id, args.keys)?;
        space_id = Some(id);
    }
    let server = if floor.is_some() {
        "the floor".to_owned()
    } else {
        control.server()
    };
    drop(control);

    let requests = Requests::new(args.op, space_id.unwrap_or(0), args.keys);
    let mut load = Load::connect(args, &target, requests)?;
    load.run_for(args.warmup_seconds)?;
    load.meter.start();
    let cpu_before = cpu::thread_time();
    let elapsed = load.run_for(args.seconds)?;
    let cpu_after = cpu::thread_time();
    let generator_cpu = cpu_before
        .zip(cpu_after)
        .map(|(before, after)| (after - before).as_secs_f64() / elapsed.as_secs_f64());
    let oldest_in_flight_us = load.oldest_in_flight_us();
    let figures = load.settle(elapsed)?;
    Ok(Outcome {
        args: args.clone(),
        server,
        target: target.addr.to_string(),
        space_id,
        seconds: elapsed.as_secs_f64(),
        oldest_in_flight_us,
        figures,
        generator_cpu,
    })
}

/// A connection with the send times of its requests; the sync of a request is its slot here.
struct Session {
    link: Link,
    sent_at: Vec<u64>,
}

/// All connections and what they share.
struct Load {
    poll: Poll,
    sessions: Vec<Session>,
    requests: Requests,
    /// Whether a freed slot is used again; not any more after the measurement.
    refilling: bool,
    meter: Meter,
    started: Instant,
    shared: Vec<u8>,
    /// Slots freed by the replies of one event, to be filled again by one write.
    freed: Vec<u32>,
    outgoing: Vec<u8>,
}

impl Load {
    /// Opens the connections; nothing is sent yet.
    fn connect(args: &BenchArgs, target: &Target, requests: Requests) -> Result<Self, BenchError> {
        let setup = || BenchError::io("setting up a connection (is `ulimit -n` large enough?)");
        let poll = Poll::new().map_err(setup())?;
        let mut sessions = Vec::with_capacity(args.connections as usize);
        for number in 0..args.connections as usize {
            let stream = Control::open(target)?.into_stream();
            stream.set_nonblocking(true).map_err(setup())?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            // Edges of both kinds, once and for all: no system call to change them later.
            poll.registry()
                .register(
                    &mut stream,
                    Token(number),
                    Interest::READABLE | Interest::WRITABLE,
                )
                .map_err(setup())?;
            let sent_at = vec![IDLE; args.depth as usize];
            sessions.push(Session {
                link: Link::new(stream),
                sent_at,
            });
        }
        let mut load = Load {
            poll,
            sessions,
            requests,
            refilling: true,
            meter: Meter::new(),
            started: Instant::now(),
            shared: vec![0; SHARED_BUFFER_SIZE],
            freed: Vec::with_capacity(args.depth as usize),
            outgoing: Vec::new(),
        };
        for number in 0..load.sessions.len() {
            load.freed.extend(0..args.depth);
            load.refill(number)?;
        }
        Ok(load)
    }

    /// Keeps the load up for a while and gives the time that really passed.
    fn run_for(&mut self, duration: Duration) -> Result<Duration, BenchError> {
        let begin = Instant::now();
        let mut events = Events::with_capacity(1024);
        loop {
            let passed = begin.elapsed();
            let Some(left) = duration.checked_sub(passed).filter(|left| !left.is_zero()) else {
                return Ok(passed);
            };
            match self.poll.poll(&mut events, Some(left)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other.map_err(BenchError::io("waiting for replies"))?,
            }
            for event in &events {
                self.handle(event)?;
            }
        }
    }

    fn handle(&mut self, event: &Event) -> Result<(), BenchError> {
        let number = event.token().0;
        if event.is_writable() {
            self.sessions[number]
                .link
                .flush()
                .map_err(|error| BenchError::io(measuring(number))(error))?;
        }
        if event.is_readable() || event.is_read_closed() {
            self.receive(number, event.is_read_closed())?;
            self.refill(number)?;
        }
        Ok(())
    }

    /// Takes in all replies that have arrived on a connection.
    fn receive(&mut self, number: usize, to_the_end: bool) -> Result<(), BenchError> {
        let Session { link, sent_at } = &mut self.sessions[number];
        loop {
            let filled = link
                .fill(&mut self.shared, to_the_end)
                .map_err(|error| BenchError::io(measuring(number))(error))?;
            let now = self.started.elapsed().as_nanos() as u64;
            let bytes = &self.shared[..filled.len];
            let mut used = 0;
            while let Some(reply) = reply::parse(&bytes[used..])? {
                let frame = &bytes[used..used + reply.size];
                used += reply.size;
                if !reply.is_final() {
                    continue;
                }
                let slot = reply.sync as usize;
                let sent = match sent_at.get_mut(slot) {
                    Some(sent) if *sent != IDLE => std::mem::replace(sent, IDLE),
                    _ => return Err(unknown_sync(reply.sync, frame)),
                };
                match reply.error() {
                    None => self.meter.served(now - sent, reply.size),
                    Some(code) => self.meter.refused(code, || reply::error_text(frame)),
                }
                self.freed.push(slot as u32);
            }
            link.keep(&bytes[used..]);
            match filled.end {
                ReadEnd::More => {}
                ReadEnd::Drained => return Ok(()),
                ReadEnd::Closed => {
                    return Err(BenchError::Closed {
                        doing: measuring(number),
                    });
                }
            }
        }
    }

    /// Sends a request for every freed slot of a connection, all in one write.
    fn refill(&mut self, number: usize) -> Result<(), BenchError> {
        if !self.refilling {
            self.freed.clear();
        }
        if self.freed.is_empty() {
            return Ok(());
        }
        let Session { link, sent_at } = &mut self.sessions[number];
        let now = self.started.elapsed().as_nanos() as u64;
        self.outgoing.clear();
        for slot in self.freed.drain(..) {
            self.requests.append(&mut self.outgoing, slot);
            sent_at[slot as usize] = now;
        }
        link.send(&self.outgoing)
            .map_err(|error| BenchError::io(measuring(number))(error))
    }

    /// Takes the figures, then lets the server finish what it has been asked for: connections
    /// closed with replies under way would make it log errors and slow down the next run.
    fn settle(mut self, elapsed: Duration) -> Result<Figures, BenchError> {
        let figures = std::mem::replace(&mut self.meter, Meter::new()).finish(elapsed);
        self.refilling = false;
        let begin = Instant::now();
        while begin.elapsed() < SETTLE_MAX && self.oldest_in_flight_us() > 0.0 {
            self.run_for(SETTLE_STEP)?;
        }
        Ok(figures)
    }

    fn oldest_in_flight_us(&self) -> f64 {
        let now = self.started.elapsed().as_nanos() as u64;
        let sent_at = self.sessions.iter().flat_map(|session| &session.sent_at);
        sent_at
            .min()
            .map_or(0.0, |sent| now.saturating_sub(*sent) as f64 / 1000.0)
    }
}

fn measuring(number: usize) -> String {
    format!("measuring over connection {number}")
}

#[cold]
fn unknown_sync(sync: u64, frame: &[u8]) -> BenchError {
    let text = reply::error_text(frame);
    BenchError::Protocol(format!(
        "a reply to no request in flight, sync {sync} ({text})"
    ))
}

impl From<Malformed> for BenchError {
    fn from(malformed: Malformed) -> Self {
        BenchError::Protocol(malformed.0.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use clap::Parser;
    use vestibule_wire::{Uuid, greeting};

    use super::super::reply::tests::reply;
    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn run_with(line: &str) -> Result<Outcome, BenchError> {
        // Long enough for some answers on a busy machine.
        let fixed = "bench --seconds 0.5 --warmup-seconds 0 ".split_whitespace();
        run(&Cli::parse_from(fixed.chain(line.split_whitespace())).bench)
    }

    /// Serves connections one by one: a greeting, then `answers` replies of one code, one read
    /// each, then the end.
    fn scripted(code: u32, answers: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream
                    .write_all(&greeting::encode(&Uuid::NIL, &[0; 32]))
                    .unwrap();
                for _ in 0..answers {
                    if stream.read(&mut [0; 1024]).unwrap_or(0) == 0 {
                        break;
                    }
                    stream.write_all(&reply(code, 0, false, &[0x80])).unwrap();
                }
            }
        });
        addr
    }

    #[test]
    fn the_floor_answers_everything() {
        for op in ["ping", "select", "replace", "mixed"] {
            let line = format!("--floor --op {op} --connections 3 --depth 5");
            let outcome = run_with(&line).unwrap();
            assert!(outcome.figures.answered > 0, "{op}");
            assert!(outcome.figures.errors.is_empty(), "{op}");
            assert_eq!(outcome.figures.mean_reply_bytes, 33.0, "{op}");
        }
    }

    #[test]
    fn a_pipeline_deeper_than_the_buffers_goes_through() {
        let outcome = run_with("--floor --op replace --connections 2 --depth 65536").unwrap();
        assert!(outcome.figures.answered > 0);
    }

    #[test]
    fn errors_are_counted_and_not_fatal() {
        let outcome = run_with(&format!("--addr {}", scripted(0x8000 | 116, usize::MAX))).unwrap();
        assert_eq!(outcome.figures.answered, 0);
        assert!(outcome.figures.errors[&116].count > 0);
    }

    #[test]
    fn a_server_that_closes_ends_the_run() {
        let error = run_with(&format!("--addr {}", scripted(0, 3)))
            .err()
            .unwrap();
        assert!(matches!(error, BenchError::Closed { .. }), "{error}");
    }
}
