//! What is asked of every worker, and where the parts of the answer are put together.
//!
//! ```text
//!   session ── one message to each worker ──▶ each adds its part ── the last ──▶ the asking worker
//! ```

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use vestibule_wire::Error;
use vestibule_wire::reply::write_value;

use super::reply_to::ReplyTo;

/// What is asked of every worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FanOut {
    Connections,
    Requests,
    Kill(KillTarget),
}

/// What is to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KillTarget {
    pub(crate) connection: u64,
    /// Only requests with this sync, and not the connection.
    pub(crate) sync: Option<u64>,
}

/// One row of `vestibule.show('connections')`.
#[derive(Debug, Serialize)]
pub(crate) struct ConnectionRow {
    pub(crate) connection: u64,
    pub(crate) peer: String,
    pub(crate) user: String,
    pub(crate) thread: usize,
    pub(crate) in_flight: usize,
    pub(crate) transactions: usize,
    pub(crate) held: usize,
    pub(crate) output_bytes: usize,
    /// What all its buffers take.
    pub(crate) memory_bytes: usize,
    /// Whose slot it has: `client`, `administrator`, or `probation`.
    pub(crate) place: &'static str,
    /// Seconds since it was accepted.
    pub(crate) age: f64,
}

/// One row of `vestibule.show('requests')`.
#[derive(Debug, Serialize)]
pub(crate) struct RequestRow {
    pub(crate) connection: u64,
    /// None for replies that wait.
    pub(crate) sync: Option<u64>,
    pub(crate) user: String,
    pub(crate) stream: u64,
    #[serde(rename = "type")]
    pub(crate) request: Option<&'static str>,
    pub(crate) procedure: Option<String>,
    /// `queued`, `started` or `deferred` in Tx; `held` until solo ends; `reading` from the view; or
    /// `flushing`: replies of the connection wait for its client to read.
    pub(crate) state: &'static str,
    /// Seconds since it arrived, or since the replies wait.
    pub(crate) age: Option<f64>,
}

/// What `vestibule.kill` has come to.
#[derive(Debug, Default, Serialize)]
pub(crate) struct KilledRow {
    /// Connections that were closed.
    pub(crate) connections: usize,
    /// Requests that were answered before their time.
    pub(crate) requests: usize,
}

/// Rows of any answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Row {
    Connection(ConnectionRow),
    Request(RequestRow),
    Killed(KilledRow),
}

/// An answer on its way through the workers. The last one to add its part has it delivered.
#[derive(Debug)]
pub(crate) struct Gather {
    pub(crate) question: FanOut,
    pub(crate) reply_to: ReplyTo,
    left: AtomicUsize,
    rows: Mutex<Vec<Row>>,
}

impl Gather {
    pub(crate) fn new(question: FanOut, reply_to: ReplyTo, workers: usize) -> Self {
        Self {
            question,
            reply_to,
            left: AtomicUsize::new(workers),
            rows: Mutex::default(),
        }
    }

    /// Adds one worker's part; true if it was the last.
    pub(crate) fn add(&self, rows: impl Iterator<Item = Row>) -> bool {
        self.rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(rows);
        self.left.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Writes what was told: the rows, or, of a kill, their sum.
    pub(crate) fn write(&self, body: &mut Vec<u8>) -> Result<(), Error> {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        if !matches!(self.question, FanOut::Kill(_)) {
            return write_value(body, &rows);
        }
        let mut sum = KilledRow::default();
        for row in &rows {
            if let Row::Killed(own) = row {
                sum.connections += own.connections;
                sum.requests += own.requests;
            }
        }
        write_value(body, &sum)
    }
}
