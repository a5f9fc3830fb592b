//! `vestibule bench`: a load generator for any IPROTO server, and a null server to compare with.
//!
//! ```text
//!  args ──▶ space (find or create, preload) ──▶ load ──▶ meter ──▶ report
//!             │ client: blocking, one request    │ stream: non-blocking, many in flight
//!             ▼                                  ▼
//!           the server under test, or `null_server`: a thread that answers everything at once
//! ```
//!
//! The generator shares the machine with the server, so it is one thread that pays per batch and
//! not per request: one read, one write and one look at the clock for all that a connection has
//! ready. What it costs itself is measured and printed with the result.
//!
//! From the ground floor up:
//!
//! | module | what |
//! |---|---|
//! | `error` | why a measurement could not be made |
//! | `args` | the command line |
//! | `cpu` | the processor time of the generator itself |
//! | `process` | what the system tells of the server's process |
//! | `reply` | replies, as far as they are looked into |
//! | `requests` | requests, built once and patched in place |
//! | `transport` | TCP, unix sockets and TLS, blocking and not |
//! | `stream` | a non-blocking stream of frames, with what was left over |
//! | `client` | a blocking client: opening connections, preparing a measurement |
//! | `space` | the space of the measurement, found or created and filled |
//! | `meter` | what a run has counted |
//! | `json` | an object for scripts, with the figures that all modes have |
//! | `null_server` | the least that a server can do for a request: `--floor` |
//! | `load` | the closed loop, every connection with its requests in flight |
//! | `bulk` | large values, and what shares their connections: `--op bulk` |
//! | `report` | the result of a run, for people and for scripts |
//! | [`connections`] | the other modes: what connections cost, changes of state, storms |

mod args;
mod bulk;
mod client;
pub mod connections;
mod cpu;
mod error;
mod json;
mod load;
mod meter;
mod null_server;
mod process;
mod reply;
mod report;
mod requests;
mod space;
mod stream;
mod transport;

use std::io::{Write, stdout};

pub use args::{BenchArgs, Beside, Direction, Mode, Op, Switch};
pub use bulk::{Arrived, Incoming};
pub use client::AGREED;
pub use error::BenchError;
pub use requests::Requests;
pub use transport::Target;

/// Runs one measurement and prints its result on the standard output.
///
/// # Errors
///
/// When the server cannot be reached, breaks the protocol or closes a connection, and when the
/// space cannot be prepared. Requests that are answered by an error are counted, not returned.
pub fn run(args: &BenchArgs) -> Result<(), BenchError> {
    let text = if args.mode == Mode::Load && args.op == Op::Bulk {
        let outcome = bulk::run(args)?;
        if args.json {
            outcome.json()
        } else {
            outcome.text()
        }
    } else if args.mode == Mode::Load {
        let outcome = load::run(args)?;
        if args.json {
            report::json(&outcome)
        } else {
            report::text(&outcome)
        }
    } else {
        let summary = connections::run(args)?;
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
