//! The closed loop: every connection keeps `depth` requests in flight.

use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use vestibule_wire::client::ReplyFrame;

use crate::args::{BenchArgs, Switch};
use crate::client::{AGREED, BlockingClient, Endpoint};
use crate::error::BenchError;
use crate::meter::{Figures, Meter};
use crate::null_server::NullServer;
use crate::requests::Requests;
use crate::stream::{BufferedStream, ReadEnd, SHARED_BUFFER_SIZE};
use crate::transport::Transport;
use crate::{cpu, reply, space};

/// The mark of a slot without a request in flight.
const IDLE: u64 = u64::MAX;

/// How long a server may take to answer what is in flight at the end; then it is cut off.
const SETTLE_MAX: Duration = Duration::from_millis(500);
const SETTLE_STEP: Duration = Duration::from_millis(2);

/// A finished run: what was asked for and what came out.
pub(crate) struct Outcome {
    pub(crate) args: BenchArgs,
    pub(crate) server: String,
    pub(crate) target: String,
    /// What carries the connections.
    pub(crate) transport: &'static str,
    pub(crate) space_id: Option<u32>,
    pub(crate) seconds: f64,
    pub(crate) figures: Figures,
    /// The part of one core that the generator took while measuring.
    pub(crate) generator_cpu: Option<f64>,
    /// The age of the oldest request without an answer at the end, in microseconds.
    pub(crate) oldest_in_flight_us: f64,
}

/// Prepares the server, then measures.
pub(crate) fn run(args: &BenchArgs) -> Result<Outcome, BenchError> {
    args.check()?;
    let null_server = if args.floor {
        Some(NullServer::start()?)
    } else {
        None
    };
    let endpoint = match &null_server {
        Some(server) => Endpoint::anonymous(server.addr()),
        None => Endpoint::of(args)?,
    };
    let mut client = BlockingClient::open(&endpoint)?;
    let mut space_id = None;
    if args.op.needs_space() && null_server.is_none() {
        let id = if args.op.has_second_index() {
            space::find_or_create_indexed(&mut client, &format!("{}_second", args.space))?
        } else {
            space::find_or_create(&mut client, &args.space)?
        };
        if !args.filled {
            space::preload(&mut client, id, args.keys)?;
        }
        space_id = Some(id);
    }
    let server = if null_server.is_some() {
        "the floor".to_owned()
    } else {
        client.server()
    };
    drop(client);

    let requests = Requests::new(args.op, space_id.unwrap_or(0), args.keys);
    let mut load = Load::connect(args, &endpoint, requests)?;
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
        target: endpoint.target.to_string(),
        transport: endpoint.target.transport(),
        space_id,
        seconds: elapsed.as_secs_f64(),
        oldest_in_flight_us,
        figures,
        generator_cpu,
    })
}

/// A connection with the send times of its requests; the sync of a request is its slot here.
struct LoadedConnection {
    stream: BufferedStream<Transport>,
    sent_at: Vec<u64>,
}

/// All connections and what they share.
struct Load {
    poll: Poll,
    connections: Vec<LoadedConnection>,
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
    fn connect(
        args: &BenchArgs,
        endpoint: &Endpoint,
        requests: Requests,
    ) -> Result<Self, BenchError> {
        let setup = || BenchError::io("setting up a connection (is `ulimit -n` large enough?)");
        let poll = Poll::new().map_err(setup())?;
        let mut connections = Vec::with_capacity(args.connections as usize);
        for number in 0..args.connections as usize {
            let mut client = BlockingClient::open(endpoint)?;
            if args.chunks == Some(Switch::On) {
                // No reply here is so long that it is cut: this tells what asking costs.
                client.identify(Some(AGREED))?;
            }
            let mut stream = client.into_transport()?;
            // Edges of both kinds, once and for all: no system call to change them later.
            poll.registry()
                .register(
                    &mut stream,
                    Token(number),
                    Interest::READABLE | Interest::WRITABLE,
                )
                .map_err(setup())?;
            let sent_at = vec![IDLE; args.depth as usize];
            connections.push(LoadedConnection {
                stream: BufferedStream::new(stream),
                sent_at,
            });
        }
        let mut load = Load {
            poll,
            connections,
            requests,
            refilling: true,
            meter: Meter::new(),
            started: Instant::now(),
            shared: vec![0; SHARED_BUFFER_SIZE],
            freed: Vec::with_capacity(args.depth as usize),
            outgoing: Vec::new(),
        };
        for number in 0..load.connections.len() {
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
            self.connections[number]
                .stream
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
        let LoadedConnection { stream, sent_at } = &mut self.connections[number];
        loop {
            let filled = stream
                .fill(&mut self.shared, to_the_end)
                .map_err(|error| BenchError::io(measuring(number))(error))?;
            let now = self.started.elapsed().as_nanos() as u64;
            let bytes = &self.shared[..filled.len];
            let mut used = 0;
            while let Some(reply) = reply::read(&bytes[used..])? {
                used += reply.size;
                if !reply.is_final() {
                    continue;
                }
                let slot = reply.sync as usize;
                let sent = match sent_at.get_mut(slot) {
                    Some(sent) if *sent != IDLE => std::mem::replace(sent, IDLE),
                    _ => return Err(unknown_sync(&reply)),
                };
                match reply.error_code() {
                    None => self.meter.served(now - sent, reply.size),
                    Some(code) => self.meter.refused(code, || reply::error_text(&reply)),
                }
                self.freed.push(slot as u32);
            }
            stream.keep(&bytes[used..]);
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
        let LoadedConnection { stream, sent_at } = &mut self.connections[number];
        let now = self.started.elapsed().as_nanos() as u64;
        self.outgoing.clear();
        for slot in self.freed.drain(..) {
            self.requests.append(&mut self.outgoing, slot);
            sent_at[slot as usize] = now;
        }
        stream
            .send(&self.outgoing)
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
        let sent_at = self
            .connections
            .iter()
            .flat_map(|connection| &connection.sent_at);
        sent_at
            .min()
            .map_or(0.0, |sent| now.saturating_sub(*sent) as f64 / 1000.0)
    }
}

fn measuring(number: usize) -> String {
    format!("measuring over connection {number}")
}

#[cold]
fn unknown_sync(reply: &ReplyFrame<'_>) -> BenchError {
    let (sync, text) = (reply.sync, reply::error_text(reply));
    BenchError::Protocol(format!(
        "a reply to no request in flight, sync {sync} ({text})"
    ))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use clap::Parser;
    use vestibule_wire::{ErrorCode, Uuid, greeting};

    use super::*;
    use crate::reply::tests::reply;

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
            assert_eq!(outcome.figures.mean_reply_bytes, 29.0, "{op}");
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
        assert!(outcome.figures.errors[&ErrorCode::LOADING].count > 0);
    }

    #[test]
    fn a_server_that_closes_ends_the_run() {
        let error = run_with(&format!("--addr {}", scripted(0, 3)))
            .err()
            .unwrap();
        assert!(matches!(error, BenchError::Closed { .. }), "{error}");
    }
}
