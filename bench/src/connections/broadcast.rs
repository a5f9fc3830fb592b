//! `--mode broadcast`: how fast a change of state reaches every connection.
//!
//! ```text
//!   idle connections ─▶ vestibule.solo, vestibule.assist, … ─▶ vestibule.show('threads')
//!   the same, watching ─▶ vestibule.solo, … ─▶ the last event has arrived here
//! ```
//!
//! The first part asks the server how long it took until the last session had heard of the change.
//! The second sees it from outside: an event for everybody, so it includes a write of the server
//! for each socket and a read of this generator, which shares the machine with it.

use std::time::{Duration, Instant};

use vestibule_wire::events;
use vestibule_wire::keys::CODE_EVENT;
use vestibule_wire::msgpack::{Kind, Reader, write_array_len, write_str};
use vestibule_wire::request::Body;

use super::clients::Clients;
use super::summary::{Summary, quantile};
use crate::args::BenchArgs;
use crate::client::{BlockingClient, Endpoint};
use crate::error::BenchError;
use crate::meter::Meter;
use crate::requests::{call, frame};

/// The watched key. In solo its status is not the one of assist.
const WATCHED: &str = events::STATUS;
const SHOW: &str = "vestibule.show";

/// Turns solo on and off, half of the time without watchers and half of it with.
pub(super) fn run(args: &BenchArgs) -> Result<Summary, BenchError> {
    let endpoint = Endpoint::of(args)?;
    let mut client = BlockingClient::open(&endpoint)?;
    let server = client.server();
    let mut clients = Clients::open(
        endpoint.target.plain_tcp("--mode broadcast")?,
        args.connections,
    )?;
    clients.greetings(Instant::now())?;
    let mut idle = BroadcastTimes::default();
    each_change(&mut client, args.seconds / 2, |client, procedure| {
        idle.change(client, procedure).map(drop)
    })?;
    let watch = watch();
    clients.send(&watch)?;
    let is_event = |code| code == CODE_EVENT;
    clients.frames("waiting for the first event", Instant::now(), is_event)?;
    let (mut watched, mut medians, mut lasts) = (BroadcastTimes::default(), Vec::new(), Vec::new());
    let mut events = Meter::of(&[]);
    each_change(&mut client, args.seconds / 2, |client, procedure| {
        // The acknowledgements of the last event are read before the change, which is not measured.
        clients.send(&watch)?;
        client.request(&Body::Ping, "pinging")?;
        let changed = watched.change(client, procedure)?;
        let times = clients.frames("waiting for the events", changed, is_event)?;
        events.served_elsewhere(&times);
        medians.push(quantile(&times, 0.5));
        lasts.push(quantile(&times, 1.0));
        Ok(())
    })?;
    medians.sort_unstable();
    lasts.sort_unstable();
    let (idle, watched) = (idle.sorted(), watched.sorted());
    let figures = events.finish(lasts.iter().sum());
    let mut summary = Summary::new("broadcast", server, &endpoint.target, figures);
    summary.count("connections", u64::from(args.connections));
    summary.count("changes", (idle.reached.len() + lasts.len()) as u64);
    summary.milliseconds("answer_ms", quantile(&idle.answers, 0.5));
    summary.milliseconds("reached_ms", quantile(&idle.reached, 0.5));
    summary.milliseconds("reached_max_ms", quantile(&idle.reached, 1.0));
    summary.milliseconds("watchers_reached_ms", quantile(&watched.reached, 0.5));
    summary.milliseconds("event_p50_ms", quantile(&medians, 0.5));
    summary.milliseconds("last_event_ms", quantile(&lasts, 0.5));
    summary.milliseconds("last_event_max_ms", quantile(&lasts, 1.0));
    Ok(summary)
}

/// Calls with `vestibule.solo` and `vestibule.assist` in turn; ends in assist.
fn each_change(
    client: &mut BlockingClient,
    time: Duration,
    mut change: impl FnMut(&mut BlockingClient, &str) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    let began = Instant::now();
    while began.elapsed() < time {
        change(client, "vestibule.solo")?;
        change(client, "vestibule.assist")?;
    }
    Ok(())
}

/// What was measured of some changes.
#[derive(Default)]
struct BroadcastTimes {
    /// Until the change was answered.
    answers: Vec<Duration>,
    /// Until the last session had heard of it, says the server.
    reached: Vec<Duration>,
}

impl BroadcastTimes {
    /// Makes one change; tells when.
    fn change(
        &mut self,
        client: &mut BlockingClient,
        procedure: &str,
    ) -> Result<Instant, BenchError> {
        let changed = Instant::now();
        client.request(&call(procedure, &[0x90]), procedure)?;
        self.answers.push(changed.elapsed());
        self.reached.push(reached(client)?);
        Ok(changed)
    }

    fn sorted(mut self) -> Self {
        self.answers.sort_unstable();
        self.reached.sort_unstable();
        self
    }
}

/// Asks until every session thread has heard of the last change, and how long the slowest took.
fn reached(client: &mut BlockingClient) -> Result<Duration, BenchError> {
    let mut what = Vec::new();
    write_array_len(&mut what, 1);
    write_str(&mut what, "threads");
    loop {
        let rows = client.request(&call(SHOW, &what), SHOW)?;
        let threads = threads(&rows)
            .ok_or_else(|| BenchError::Protocol(format!("{SHOW} tells nothing of threads")))?;
        let newest = threads.iter().map(|(epoch, _)| *epoch).max();
        if threads.iter().all(|(epoch, _)| Some(*epoch) == newest) {
            let slowest = threads.into_iter().map(|(_, took_us)| took_us).max();
            return Ok(Duration::from_micros(slowest.unwrap_or_default()));
        }
    }
}

/// Epoch and microseconds of every thread.
fn threads(rows: &[u8]) -> Option<Vec<(u64, u64)>> {
    let mut reader = Reader::new(rows);
    let mut count = reader.read_array_len().ok()?;
    if reader.peek() == Ok(Kind::Array) {
        count = reader.read_array_len().ok()?;
    }
    (0..count).map(|_| thread(&mut reader)).collect()
}

fn thread(reader: &mut Reader<'_>) -> Option<(u64, u64)> {
    let (mut epoch, mut took_us) = (None, None);
    for _ in 0..reader.read_map_len().ok()? {
        match reader.read_str().ok()? {
            "epoch" => epoch = Some(reader.read_uint().ok()?),
            "reached_us" => took_us = Some(reader.read_uint().ok()?),
            _ => drop(reader.skip().ok()?),
        }
    }
    Some((epoch?, took_us?))
}

/// WATCH is also the acknowledgement of an event: without it no other comes.
fn watch() -> Vec<u8> {
    frame(&Body::Watch(WATCHED))
}
