//! `--mode broadcast`: how fast a change of state reaches every connection.
//!
//! Every connection watches `box.status`; a change of the serving state sends all of them an event.
//! What is measured includes the writes of the server, one for each socket, and the reads of this
//! generator, which shares the machine with it: `event_p50_ms` is reached when half of that is done.

use std::time::{Duration, Instant};

use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{write_array_len, write_map_len, write_str, write_uint};

use super::super::control::{Control, Target};
use super::super::request::{call_body, frame};
use super::super::{BenchArgs, BenchError};
use super::crowd::Crowd;
use super::summary::{Summary, quantile};

const EVENT: u32 = 76;
/// The watched key. In solo its status is not the one of assist.
const WATCHED: &str = "box.status";

/// Turns solo on and off for as long as asked, and waits for all events each time.
pub(super) fn run(args: &BenchArgs) -> Result<Summary, BenchError> {
    let target = Target::of(args)?;
    let mut control = Control::open(&target)?;
    let server = control.server();
    let mut crowd = Crowd::open(target.addr, args.connections)?;
    crowd.greetings(Instant::now())?;
    let watch = watch();
    crowd.send(&watch)?;
    crowd.frames("waiting for the first event", Instant::now(), |code| {
        code == EVENT
    })?;
    let mut medians = Vec::new();
    let mut lasts = Vec::new();
    let mut answers = Vec::new();
    let began = Instant::now();
    let mut is_solo = false;
    // The acknowledgements of the last event are read before the next change, which is not measured.
    while is_solo || began.elapsed() < args.seconds {
        crowd.send(&watch)?;
        control.request(RequestType::Ping, &[], "pinging")?;
        is_solo = !is_solo;
        let procedure = match is_solo {
            true => "vestibule.solo",
            false => "vestibule.assist",
        };
        let body = call_body(procedure, |arguments| write_array_len(arguments, 0));
        let changed = Instant::now();
        control.request(RequestType::Call, &body, procedure)?;
        answers.push(changed.elapsed());
        let times = crowd.frames("waiting for the events", changed, |code| code == EVENT)?;
        medians.push(quantile(&times, 0.5));
        lasts.push(quantile(&times, 1.0));
    }
    for times in [&mut medians, &mut lasts, &mut answers] {
        times.sort_unstable();
    }
    let of = |times: &[Duration]| quantile(times, 0.5);
    let mut summary = Summary::new("broadcast", server, &target.addr);
    summary.count("connections", u64::from(args.connections));
    summary.count("changes", lasts.len() as u64);
    summary.milliseconds("answer_ms", of(&answers));
    summary.milliseconds("event_p50_ms", of(&medians));
    summary.milliseconds("last_event_ms", of(&lasts));
    summary.milliseconds("last_event_max_ms", quantile(&lasts, 1.0));
    Ok(summary)
}

/// WATCH is also the acknowledgement of an event: without it no other comes.
fn watch() -> Vec<u8> {
    let mut body = Vec::new();
    write_map_len(&mut body, 1);
    write_uint(&mut body, keys::EVENT_KEY);
    write_str(&mut body, WATCHED);
    frame(RequestType::Watch, 1, &body)
}
