//! `--mode idle`: what a connection that does nothing costs the server's memory.

use std::time::{Duration, Instant};

use super::clients::Clients;
use super::summary::{Summary, quantile};
use crate::args::BenchArgs;
use crate::client::{BlockingClient, Endpoint};
use crate::error::BenchError;
use crate::meter::Meter;
use crate::process::Process;
use crate::requests::KeyedTemplate;

/// A server may tidy up a moment after it has answered.
const SETTLE_MAX: Duration = Duration::from_secs(2);
const SETTLE_STEP: Duration = Duration::from_millis(50);

/// Opens the connections, then pings once on each, and looks at the memory before and after.
pub(super) fn run(args: &BenchArgs) -> Result<Summary, BenchError> {
    let process = args.pid.map(Process::new).ok_or_else(|| {
        BenchError::Usage("--mode idle needs --pid, the process number of the server".to_owned())
    })?;
    let endpoint = Endpoint::of(args)?;
    let server = BlockingClient::open(&endpoint)?.server();
    let before = settled(process)?;
    let mut clients = Clients::open(endpoint.target.plain_tcp("--mode idle")?, args.connections)?;
    clients.greetings(Instant::now())?;
    let greeted = settled(process)?;
    let mut ping = Vec::new();
    KeyedTemplate::ping().append(&mut ping, 1, 0);
    let asked = Instant::now();
    clients.send(&ping)?;
    let times = clients.frames("waiting for the pings", asked, |code| code == 0)?;
    let pinged = settled(process)?;
    let of_each = |after: u64| after.saturating_sub(before) as f64 / f64::from(args.connections);
    let figures = Meter::of(&times).finish(quantile(&times, 1.0));
    let mut summary = Summary::new("idle", server, &endpoint.target, figures);
    summary.count("connections", u64::from(args.connections));
    summary.count("resident_before_bytes", before);
    summary.add("greeted_bytes_each", of_each(greeted), 0);
    summary.add("pinged_bytes_each", of_each(pinged), 0);
    Ok(summary)
}

/// The resident memory when it no longer shrinks.
#[expect(
    clippy::disallowed_methods,
    reason = "between two looks at another process"
)]
fn settled(process: Process) -> Result<u64, BenchError> {
    let began = Instant::now();
    let mut last = process.resident_bytes()?;
    loop {
        std::thread::sleep(SETTLE_STEP);
        let now = process.resident_bytes()?;
        if now >= last || began.elapsed() > SETTLE_MAX {
            return Ok(now);
        }
        last = now;
    }
}
