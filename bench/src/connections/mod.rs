//! Measurements of connections instead of requests: what they cost, and how fast all of them are
//! reached.
//!
//! ```text
//!   accept       N connections at once ─▶ the last greeting
//!   idle         N connections, then a ping on each ─▶ resident memory per connection
//!   broadcast    N watchers ─▶ vestibule.solo ─▶ the last event ─▶ vestibule.assist ─▶ the last
//!   storm        clients that connect, ping and leave, while the server's thread is blocked
//!   transitions  demotions and promotions ─▶ how long after their deadlines they end
//! ```
//!
//! | module | what |
//! |---|---|
//! | `summary` | the result: named figures, for people and for scripts |
//! | `clients` | many connections in one thread |
//! | `disturbance` | clients that hold up a transition |
//! | `accept`, `idle`, `broadcast`, `storm`, `transitions` | the modes above |

mod accept;
mod broadcast;
mod clients;
mod disturbance;
mod idle;
pub mod storm;
mod summary;
mod transitions;

pub(crate) use summary::Summary;

use crate::args::{BenchArgs, Mode};
use crate::error::BenchError;

/// Runs one of the measurements; `Mode::Load` is none of them.
pub(crate) fn run(args: &BenchArgs) -> Result<Summary, BenchError> {
    args.check()?;
    match args.mode {
        Mode::Accept => accept::run(args),
        Mode::Idle => idle::run(args),
        Mode::Broadcast => broadcast::run(args),
        Mode::Storm => storm::run(args),
        Mode::Transitions => transitions::run(args),
        Mode::Load => Err(BenchError::Usage(
            "not a measurement of connections".to_owned(),
        )),
    }
}
