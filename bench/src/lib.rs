//! `vestibule bench`: a load generator for any IPROTO server, and the floor to compare with.
//!
//! ```text
//!  args ──▶ space (find or create, preload) ──▶ load ──▶ meter ──▶ report
//!             │ control: blocking, one request   │ link: non-blocking, many in flight
//!             ▼                                  ▼
//!           the server under test, or `floor`: a thread that answers every request by a constant
//! ```
//!
//! The other modes measure the [door] itself: accepting, idle connections, changes of state, storms.
//!
//! The generator shares the machine with the server, so it is one thread that pays per batch and
//! not per request: one read, one write and one look at the clock for all that a connection has
//! ready. What it costs itself is measured and printed with the result.

mod args;
mod control;
mod cpu;
pub mod door;
mod error;
mod floor;
mod link;
mod load;
mod meter;
mod reply;
mod report;
mod request;
mod space;

use std::io::{Write, stdout};

pub use args::{BenchArgs, Mode, Op};
pub use error::BenchError;

/// Runs one measurement and prints its result on the standard output.
///
/// # Errors
///
/// When the server cannot be reached, breaks the protocol or closes a connection, and when the
/// space cannot be prepared. Requests that are answered by an error are counted, not returned.
pub fn run(args: &BenchArgs) -> Result<(), BenchError> {
    let text = if args.mode == Mode::Load {
        let outcome = load::run(args)?;
        if args.json {
            report::json(&outcome)
        } else {
            report::text(&outcome)
        }
    } else {
        let summary = door::run(args)?;
        if args.json {
            summary.json()
        } else {
            summary.text()
        }
    };
    stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(BenchError::io("printing the result"))
}
