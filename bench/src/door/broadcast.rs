//! `--mode broadcast`: how fast a change of state reaches every connection.
//!
//! ```text
//!   idle connections ─▶ vestibule.solo, vestibule.assist, … ─▶ vestibule.show('threads'): reached after …
//!   the same, watching ─▶ vestibule.solo, … ─▶ the last event has arrived here
//! ```
//!
//! The first part asks the server how long it took until the last session had heard of the change. The
//! second sees it from outside: an event for everybody, so it includes a write of the server for each
//! socket and a read of this generator, which shares the machine with it.

use std::time::{Duration, Instant};

use vestibule_wire::events;
use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{
    Kind, Reader, write_array_len, write_map_len, write_str, write_uint,
};

use super::super::control::{Control, Target};
use super::super::reply::body_field;
use super::super::request::{call_body, frame};
use super::super::{BenchArgs, BenchError};
use super::crowd::Crowd;
use super::summary::{Summary, quantile};

const EVENT: u32 = 76;
/// The watched key. In solo its status is not the one of assist.
const WATCHED: &str = events::STATUS;
const SHOW: &str = "vestibule.show";

/// Turns solo on and off, half of the time without watchers and half of it with.
pub(super) fn run(args: &BenchArgs) -> Result<Summary, BenchError> {
    let target = Target::of(args)?;
    let mut control = Control::open(&target)?;
    let server = control.server();
    let mut crowd = Crowd::open(target.addr, args.connections)?;
    crowd.greetings(Instant::now())?;
    let mut idle = Times::default();
    each_change(&mut control, args.seconds / 2, |control, procedure| {
        idle.change(control, procedure).map(drop)
    })?;
    let watch = watch();
    crowd.send(&watch)?;
    let is_event = |code| code == EVENT;
    crowd.frames("waiting for the first event", Instant::now(), is_event)?;
    let (mut watched, mut medians, mut lasts) = (Times::default(), Vec::new(), Vec::new());
    each_change(&mut control, args.seconds / 2, |control, procedure| {
        // The acknowledgements of the last event are read before the change, which is not measured.
        crowd.send(&watch)?;
        control.request(RequestType::Ping, &[], "pinging")?;
        let changed = watched.change(control, procedure)?;
        let times = crowd.frames("waiting for the events", changed, is_event)?;
        medians.push(quantile(&times, 0.5));
        lasts.push(quantile(&times, 1.0));
        Ok(())
    })?;
    medians.sort_unstable();
    lasts.sort_unstable();
    let (idle, watched) = (idle.sorted(), watched.sorted());
    let mut summary = Summary::new("broadcast", server, &target.addr);
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
    control: &mut Control,
    time: Duration,
    mut change: impl FnMut(&mut Control, &str) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    let began = Instant::now();
    while began.elapsed() < time {
        change(control, "vestibule.solo")?;
        change(control, "vestibule.assist")?;
    }
    Ok(())
}

/// What was measured of some changes.
#[derive(Default)]
struct Times {
    /// Until the change was answered.
    answers: Vec<Duration>,
    /// Until the last session had heard of it, says the server.
    reached: Vec<Duration>,
}

impl Times {
    /// Makes one change; tells when.
    fn change(&mut self, control: &mut Control, procedure: &str) -> Result<Instant, BenchError> {
        let body = call_body(procedure, |arguments| write_array_len(arguments, 0));
        let changed = Instant::now();
        control.request(RequestType::Call, &body, procedure)?;
        self.answers.push(changed.elapsed());
        self.reached.push(reached(control)?);
        Ok(changed)
    }

    fn sorted(mut self) -> Self {
        self.answers.sort_unstable();
        self.reached.sort_unstable();
        self
    }
}

/// Asks until every session thread has heard of the last change, and how long the slowest took.
fn reached(control: &mut Control) -> Result<Duration, BenchError> {
    let body = call_body(SHOW, |arguments| {
        write_array_len(arguments, 1);
        write_str(arguments, "threads");
    });
    loop {
        let frame = control.request(RequestType::Call, &body, SHOW)?;
        let threads = threads(&frame)
            .ok_or_else(|| BenchError::Protocol(format!("{SHOW} tells nothing of threads")))?;
        let newest = threads.iter().map(|(epoch, _)| *epoch).max();
        if threads.iter().all(|(epoch, _)| Some(*epoch) == newest) {
            let slowest = threads.into_iter().map(|(_, took_us)| took_us).max();
            return Ok(Duration::from_micros(slowest.unwrap_or_default()));
        }
    }
}

/// Epoch and microseconds of every thread.
fn threads(frame: &[u8]) -> Option<Vec<(u64, u64)>> {
    let mut reader = body_field(frame, keys::DATA)?;
    let mut rows = reader.read_array_len().ok()?;
    if reader.peek() == Ok(Kind::Array) {
        rows = reader.read_array_len().ok()?;
    }
    (0..rows).map(|_| thread(&mut reader)).collect()
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
    let mut body = Vec::new();
    write_map_len(&mut body, 1);
    write_uint(&mut body, keys::EVENT_KEY);
    write_str(&mut body, WATCHED);
    frame(RequestType::Watch, 1, &body)
}
