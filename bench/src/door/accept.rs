//! `--mode accept`: many connections at once.

use std::time::Instant;

use super::super::control::{Control, Target};
use super::super::{BenchArgs, BenchError};
use super::crowd::Crowd;
use super::process::Process;
use super::summary::{Summary, quantile};

/// Opens all connections at once and waits for all greetings.
pub(super) fn run(args: &BenchArgs) -> Result<Summary, BenchError> {
    let target = Target::of(args)?;
    let server = Control::open(&target)?.server();
    let process = args.pid.map(Process::new);
    let before = process.map(Process::cpu_time).transpose()?;
    let began = Instant::now();
    let mut crowd = Crowd::open(target.addr, args.connections)?;
    let opened = began.elapsed();
    let times = crowd.greetings(began)?;
    let mut summary = Summary::new("accept", server, &target.addr);
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
