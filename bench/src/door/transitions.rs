//! `--mode transitions`: demotions with random grace periods, while clients do all they can to hold them up.
//!
//! ```text
//!   vestibule.demote({grace = g}) ─▶ answer: how long after g? ─▶ vestibule.promote() ─▶ a moment ─▶ again
//! ```

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use vestibule_wire::keys::RequestType;
use vestibule_wire::msgpack::{write_array_len, write_f64, write_map_len, write_str};

use super::super::control::{Control, Target};
use super::super::request::{Random, call_body};
use super::super::space;
use super::super::{BenchArgs, BenchError};
use super::summary::{Summary, quantile};
use super::trouble::{Trouble, pause};

/// Longest time between a promotion and the next demotion.
const MOMENT_MAX: Duration = Duration::from_millis(50);
/// What is promised: a transition ends so long after its grace period at the latest.
const SLACK: Duration = Duration::from_millis(50);

/// Makes all transitions, under load.
pub(super) fn run(args: &BenchArgs) -> Result<Summary, BenchError> {
    let target = Target::of(args)?;
    let mut control = Control::open(&target)?;
    let server = control.server();
    let space = space::find_or_create(&mut control, &args.space)?;
    space::preload(&mut control, space, args.keys)?;
    let trouble = Trouble {
        target: &target,
        space,
        keys: args.keys,
        block: args.block.as_deref(),
    };
    let is_over = AtomicBool::new(false);
    let times = thread::scope(|scope| {
        trouble.make(scope, args.connections, &is_over);
        let times = transitions(args, &mut control);
        is_over.store(true, Relaxed);
        times
    });
    Ok(times?.summary(server, &target))
}

#[derive(Default)]
struct Times {
    /// How long after their grace periods demotions ended that used all of it.
    late: Vec<Duration>,
    /// How long the others took.
    early: Vec<Duration>,
    promotions: Vec<Duration>,
}

fn transitions(args: &BenchArgs, control: &mut Control) -> Result<Times, BenchError> {
    let mut random = Random::new(1);
    let mut upto = |most: Duration| most.mul_f64(random.next() as f64 / u64::MAX as f64);
    let mut times = Times::default();
    for _ in 0..args.count {
        pause(upto(MOMENT_MAX));
        let grace = upto(args.grace_max);
        let body = call_body("vestibule.demote", |arguments| {
            write_array_len(arguments, 1);
            write_map_len(arguments, 1);
            write_str(arguments, "grace");
            write_f64(arguments, grace.as_secs_f64());
        });
        let began = Instant::now();
        control.request(RequestType::Call, &body, "demoting")?;
        let took = began.elapsed();
        match took.checked_sub(grace) {
            Some(late) => times.late.push(late),
            None => times.early.push(took),
        }
        let body = call_body("vestibule.promote", |arguments| {
            write_array_len(arguments, 0)
        });
        let began = Instant::now();
        control.request(RequestType::Call, &body, "promoting")?;
        times.promotions.push(began.elapsed());
    }
    Ok(times)
}

impl Times {
    fn summary(mut self, server: String, target: &Target) -> Summary {
        for times in [&mut self.late, &mut self.early, &mut self.promotions] {
            times.sort_unstable();
        }
        let beyond = self.late.iter().filter(|late| **late > SLACK).count();
        let mut summary = Summary::new("transitions", server, &target.addr);
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
