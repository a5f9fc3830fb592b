//! Ways to make Tx misbehave, for demonstrations and tests. Not for a server that matters.

use std::thread;
use std::time::{Duration, Instant};

use vestibule_actors::engine::Outcome;
use vestibule_actors::internal::from_seconds;
use vestibule_actors::procedures::Procedures;
use vestibule_wire::Error;

use super::args::{Args, LuaValue, illegal};
use super::call::{EngineCall, Procedure, no_result};
use crate::engine::EmbeddedEngine;

/// How often a declared block tells how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// Longest time to block or sleep.
const TIME_MAX: Duration = Duration::from_secs(86_400);

/// Procedures that run on Tx's thread, by their names.
const PROCEDURES: [(&str, Procedure); 2] = [
    ("vestibule.debug.block", block),
    ("vestibule.debug.panic", panic),
];
const SLEEP: &str = "vestibule.debug.sleep";

/// Adds `vestibule.debug.*`, all of them for administrators.
#[must_use]
pub fn with_debug(mut procedures: Procedures<EmbeddedEngine>) -> Procedures<EmbeddedEngine> {
    for (name, function) in PROCEDURES {
        procedures = procedures.with_engine(name, move |call: &mut EngineCall<'_>| {
            call.caller.check_administrator(call.name)?;
            function(call)
        });
    }
    procedures.async_function(SLEEP, |(seconds,): (f64,), context| async move {
        context.caller().check_administrator(SLEEP)?;
        actix_rt::time::sleep(duration(seconds)?).await;
        Ok(seconds)
    })
}

fn duration(seconds: f64) -> Result<Duration, Error> {
    from_seconds(seconds, TIME_MAX).ok_or_else(|| {
        let longest = TIME_MAX.as_secs();
        illegal(format_args!(
            "seconds should be a number from 0 to {longest}"
        ))
    })
}

/// `vestibule.debug.panic()`: as if the engine had a fault.
fn panic(_: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    panic!("asked for by vestibule.debug.panic");
}

/// `vestibule.debug.block(seconds [, reason])`: blocks Tx's thread, declared if a reason is given.
#[allow(clippy::disallowed_methods, reason = "to block Tx is what it is for")]
fn block(call: &mut EngineCall<'_>) -> Result<Outcome, Error> {
    let args = Args::read(call.args)?;
    let seconds = args.value(0)?.as_number();
    let whole = duration(seconds.ok_or_else(|| illegal("seconds should be a number"))?)?;
    let reason = match args.value(1)? {
        LuaValue::Nil => None,
        LuaValue::Str(reason) => Some(reason),
        _ => return Err(illegal("reason should be a string")),
    };
    match reason {
        None => thread::sleep(whole),
        Some(reason) => {
            let guard = call.reply.solo(reason);
            let begin = Instant::now();
            loop {
                let done = begin.elapsed().min(whole);
                guard.progress(done.as_millis() as u64, whole.as_millis() as u64);
                if done == whole {
                    break;
                }
                thread::sleep((whole - done).min(PROGRESS_INTERVAL));
            }
        }
    }
    no_result(call)
}
