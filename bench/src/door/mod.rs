//! Measurements of the door instead of the engine: what connections cost, and how fast all of them are
//! reached.
//!
//! ```text
//!   accept     N connections at once ─▶ the last greeting
//!   idle       N connections, then a ping on each ─▶ resident memory of the server per connection
//!   broadcast  N watchers ─▶ vestibule.solo ─▶ the last event ─▶ vestibule.assist ─▶ the last event
//!   storm      clients that connect, ping and leave, while the server's thread is blocked
//!   transitions  demotions and promotions ─▶ how long after their deadlines they end, whatever clients do
//! ```

mod accept;
mod broadcast;
mod crowd;
mod idle;
mod process;
pub mod storm;
mod summary;
mod transitions;
mod trouble;

pub(super) use summary::Summary;

use super::{BenchArgs, BenchError, Mode};

/// Runs one of the measurements; `Mode::Load` is none of them.
pub(super) fn run(args: &BenchArgs) -> Result<Summary, BenchError> {
    args.check()?;
    match args.mode {
        Mode::Accept => accept::run(args),
        Mode::Idle => idle::run(args),
        Mode::Broadcast => broadcast::run(args),
        Mode::Storm => storm::run(args),
        Mode::Transitions => transitions::run(args),
        Mode::Load => Err(BenchError::Usage(
            "not a measurement of the door".to_owned(),
        )),
    }
}
