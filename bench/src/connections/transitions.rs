//! `--mode transitions`: demotions with random grace periods, while clients do all they can to
//! hold them up.
//!
//! ```text
//!   vestibule.demote({grace = g}) ─▶ answer: how long after g?
//!         ▲                                      ▼
//!         └── a moment ◀── answer ◀── vestibule.promote()
//! ```

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use vestibule_wire::msgpack::{write_array_len, write_f64, write_map_len, write_str};

use super::disturbance::{Disturbance, pause};
use super::summary::{Summary, quantile};
use crate::args::BenchArgs;
use crate::client::{BlockingClient, Endpoint};
use crate::error::BenchError;
use crate::meter::Meter;
use crate::requests::call;
use crate::space;

/// Longest time between a promotion and the next demotion.
const MOMENT_MAX: Duration = Duration::from_millis(50);
/// What is promised: how long after its grace period a transition ends at the latest.
const SLACK: Duration = Duration::from_millis(50);

/// Makes all transitions, under load.
pub(super) fn run(args: &BenchArgs) -> Result<Summary, BenchError> {
    let endpoint = Endpoint::of(args)?;
    let mut client = BlockingClient::open(&endpoint)?;
    let server = client.server();
    let space = space::find_or_create(&mut client, &args.space)?;
    space::preload(&mut client, space, args.keys)?;
    let disturbance = Disturbance {
        endpoint: &endpoint,
        space,
        keys: args.keys,
        block: args.block.as_deref(),
    };
    let is_over = AtomicBool::new(false);
    let began = Instant::now();
    let times = thread::scope(|scope| {
        disturbance.make(scope, args.connections, &is_over);
        let times = transitions(args, &mut client);
        is_over.store(true, Relaxed);
        times
    });
    Ok(times?.summary(server, &endpoint, began.elapsed()))
}

#[derive(Default)]
struct TransitionTimes {
    /// How long each demotion took, its grace period included.
    demotions: Vec<Duration>,
    /// How long after their grace periods demotions ended that used all of it.
    late: Vec<Duration>,
    /// How long the others took.
    early: Vec<Duration>,
    promotions: Vec<Duration>,
}

fn transitions(
    args: &BenchArgs,
    client: &mut BlockingClient,
) -> Result<TransitionTimes, BenchError> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut upto = |most: Duration| most.mul_f64(random.f64());
    let mut times = TransitionTimes::default();
    for _ in 0..args.count {
        pause(upto(MOMENT_MAX));
        let grace = upto(args.grace_max);
        let mut options = Vec::new();
        write_array_len(&mut options, 1);
        write_map_len(&mut options, 1);
        write_str(&mut options, "grace");
        write_f64(&mut options, grace.as_secs_f64());
        let began = Instant::now();
        client.request(&call("vestibule.demote", &options), "demoting")?;
        let took = began.elapsed();
        times.demotions.push(took);
        match took.checked_sub(grace) {
            Some(late) => times.late.push(late),
            None => times.early.push(took),
        }
        let began = Instant::now();
        client.request(&call("vestibule.promote", &[0x90]), "promoting")?;
        times.promotions.push(began.elapsed());
    }
    Ok(times)
}

impl TransitionTimes {
    fn summary(mut self, server: String, endpoint: &Endpoint, elapsed: Duration) -> Summary {
        for times in [&mut self.late, &mut self.early, &mut self.promotions] {
            times.sort_unstable();
        }
        let beyond = self.late.iter().filter(|late| **late > SLACK).count();
        let figures = Meter::of(&self.demotions).finish(elapsed);
        let mut summary = Summary::new("transitions", server, &endpoint.target, figures);
        summary.count("ended_early", self.early.len() as u64);
        summary.milliseconds("early_p50_ms", quantile(&self.early, 0.5));
        summary.count("ended_by_deadline", self.late.len() as u64);
        summary.milliseconds("after_deadline_p50_ms", quantile(&self.late, 0.5));
        summary.milliseconds("after_deadline_p99_ms", quantile(&self.late, 0.99));
        summary.milliseconds("after_deadline_max_ms", quantile(&self.late, 1.0));
        summary.count("beyond_50_ms", beyond as u64);
        summary.milliseconds("promotion_p99_ms", quantile(&self.promotions, 0.99));
        summary
    }
}
