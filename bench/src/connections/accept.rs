//! `--mode accept`: many connections at once.

use std::time::Instant;

use super::clients::Clients;
use super::summary::{Summary, quantile};
use crate::args::BenchArgs;
use crate::client::{BlockingClient, Endpoint};
use crate::error::BenchError;
use crate::meter::Meter;
use crate::process::Process;

/// Opens all connections at once and waits for all greetings.
pub(super) fn run(args: &BenchArgs) -> Result<Summary, BenchError> {
    let endpoint = Endpoint::of(args)?;
    let server = BlockingClient::open(&endpoint)?.server();
    let process = args.pid.map(Process::new);
    let before = process.map(Process::cpu_time).transpose()?;
    let began = Instant::now();
    let mut clients = Clients::open(
        endpoint.target.plain_tcp("--mode accept")?,
        args.connections,
    )?;
    let opened = began.elapsed();
    let times = clients.greetings(began)?;
    let figures = Meter::of(&times).finish(quantile(&times, 1.0));
    let mut summary = Summary::new("accept", server, &endpoint.target, figures);
    summary.count("connections", u64::from(args.connections));
    summary.milliseconds("opened_ms", opened);
    summary.milliseconds("greeting_p50_ms", quantile(&times, 0.5));
    summary.milliseconds("greeting_p99_ms", quantile(&times, 0.99));
    summary.milliseconds("last_greeting_ms", quantile(&times, 1.0));
    if let (Some(process), Some(before)) = (process, before) {
        summary.milliseconds("server_cpu_ms", process.cpu_time()?.saturating_sub(before));
    }
    Ok(summary)
}
