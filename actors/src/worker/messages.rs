//! What a session arbiter is told, and the handle that others hold.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use actix::{Addr, Message, Recipient};
use serde::Serialize;
use vestibule_wire::Error;
use vestibule_wire::reply::write_value;

use super::actor::Worker;
use crate::acceptor::Place;
use crate::supervisor::TransitionOutcome;
use crate::tx::TxHandle;
use crate::tx::messages::Replies;

/// A connection on its way to its session thread. A `std` stream travels: the tokio stream is made on
/// the arbiter whose reactor will own it.
#[derive(Debug)]
pub(crate) struct IncomingConnection {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    // Last: it is given back when the socket is closed.
    pub(crate) place: Place,
}

/// Connections that the Acceptor has for this arbiter.
#[derive(Debug)]
pub(crate) struct Accepted(pub(crate) Vec<IncomingConnection>);

impl Message for Accepted {
    type Result = ();
}

/// The serving state or an event changed, at this time: look at the cells.
#[derive(Debug)]
pub(crate) struct StateChanged(pub(crate) Instant);

impl Message for StateChanged {
    type Result = ();
}

/// There is a Tx to forward to.
#[derive(Debug)]
pub(crate) struct TxReady(pub(crate) TxHandle);

impl Message for TxReady {
    type Result = ();
}

/// Tx died: what it had begun will never be answered by it.
#[derive(Debug)]
pub(crate) struct TxLost {
    /// Told to clients whose requests had begun.
    pub(crate) reason: String,
}

impl Message for TxLost {
    type Result = ();
}

/// A transition begins: the cell tells the new state. Tell what is to be waited for, and when it is over.
#[derive(Debug)]
pub(crate) struct Quiesce {
    pub(crate) serial: u64,
    pub(crate) is_stop: bool,
}

impl Message for Quiesce {
    type Result = ();
}

/// The deadline of a transition: answer everybody that it concerns. Of a stop, flush what can be flushed
/// and close.
#[derive(Debug)]
pub(crate) struct Kill {
    pub(crate) serial: u64,
    pub(crate) is_stop: bool,
}

impl Message for Kill {
    type Result = ();
}

/// A transition that a client of this arbiter waits for is over.
#[derive(Debug)]
pub(crate) struct TransitionOver {
    pub(crate) origin: Origin,
    pub(crate) outcome: TransitionOutcome,
}

impl Message for TransitionOver {
    type Result = ();
}

/// What a survey asks of every arbiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FanOut {
    Connections,
    Requests,
    Kill(Target),
}

/// What is to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) connection: u64,
    /// Only requests with this sync, and not the connection.
    pub(crate) sync: Option<u64>,
}

/// Who asked for something that takes a while, and waits for the reply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) worker: usize,
    pub(crate) session: u32,
    pub(crate) connection: u64,
    pub(crate) sync: u64,
    pub(crate) wrap_results: bool,
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
    /// Whose place it has: `client`, `administrator`, or `probation`.
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

/// Rows of any survey.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Row {
    Connection(ConnectionRow),
    Request(RequestRow),
    Killed(KilledRow),
}

/// A survey on its way through the arbiters. The last one to add its part has it delivered.
#[derive(Debug)]
pub(crate) struct Gather {
    pub(crate) survey: FanOut,
    pub(crate) origin: Origin,
    left: AtomicUsize,
    rows: Mutex<Vec<Row>>,
}

impl Gather {
    pub(crate) fn new(survey: FanOut, origin: Origin, workers: usize) -> Self {
        Self {
            survey,
            origin,
            left: AtomicUsize::new(workers),
            rows: Mutex::default(),
        }
    }

    /// Adds one arbiter's part; true if it was the last.
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
        if !matches!(self.survey, FanOut::Kill(_)) {
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

/// One arbiter's turn to add to a survey.
#[derive(Debug)]
pub(crate) struct Contribute(pub(crate) Arc<Gather>);

impl Message for Contribute {
    type Result = ();
}

/// A survey that is complete, back at the arbiter that it came from.
#[derive(Debug)]
pub(crate) struct Gathered(pub(crate) Arc<Gather>);

impl Message for Gathered {
    type Result = ();
}

/// How others reach a session arbiter.
#[derive(Debug, Clone)]
pub(crate) struct WorkerHandle(Addr<Worker>);

impl WorkerHandle {
    pub(crate) fn new(address: Addr<Worker>) -> Self {
        Self(address)
    }

    pub(crate) fn accepted(&self, connections: Vec<IncomingConnection>) {
        self.0.do_send(Accepted(connections));
    }

    pub(crate) fn state_changed(&self) {
        self.0.do_send(StateChanged(crate::clock::now()));
    }

    pub(crate) fn tx_ready(&self, tx: TxHandle) {
        self.0.do_send(TxReady(tx));
    }

    pub(crate) fn tx_lost(&self, reason: String) {
        self.0.do_send(TxLost { reason });
    }

    pub(crate) fn quiesce(&self, serial: u64, is_stop: bool) {
        self.0.do_send(Quiesce { serial, is_stop });
    }

    pub(crate) fn kill(&self, serial: u64, is_stop: bool) {
        self.0.do_send(Kill { serial, is_stop });
    }

    pub(crate) fn transition_over(&self, origin: Origin, outcome: TransitionOutcome) {
        self.0.do_send(TransitionOver { origin, outcome });
    }

    pub(crate) fn survey(&self, survey: Arc<Gather>) {
        self.0.do_send(Contribute(survey));
    }

    pub(crate) fn survey_done(&self, survey: Arc<Gather>) {
        self.0.do_send(Gathered(survey));
    }

    /// Where Tx sends this arbiter's replies.
    pub(crate) fn replies(&self) -> Recipient<Replies> {
        self.0.clone().recipient()
    }
}
