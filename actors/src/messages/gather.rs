//! What is asked of every worker, and where the parts of the answer are put together.
//!
//! ```text
//!   session ── one message to each worker ──▶ each adds its part ── the last ──▶ the asking worker
//! ```

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::{Message, Recipient};
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
    /// Whose slot it has: `client`, `administrator`, or `provisional`.
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
    /// `queued`, `started` or `deferred` in Tx; `held` until solo ends; `reading` from the view;
    /// `waiting` for a transition; or `flushing`: replies of the connection wait for its client to
    /// read.
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

/// An answer on its way through the workers.
#[derive(Debug)]
pub(crate) struct Gather {
    question: FanOut,
    pub(crate) reply_to: ReplyTo,
    /// The worker of the session that asked.
    answers_to: Recipient<Gathered>,
    left: AtomicUsize,
    rows: Mutex<Vec<Row>>,
}

impl Gather {
    /// Asks something of a number of workers: each gets one of the contributions.
    pub(crate) fn start(
        question: FanOut,
        reply_to: ReplyTo,
        answers_to: Recipient<Gathered>,
        workers: usize,
    ) -> impl Iterator<Item = Contribution> {
        let gather = Arc::new(Self {
            question,
            reply_to,
            answers_to,
            left: AtomicUsize::new(workers),
            rows: Mutex::default(),
        });
        std::iter::repeat_n(gather, workers).map(Contribution)
    }

    /// Whether a session asked for the end of its own connection.
    pub(crate) fn kills_own_connection(&self) -> bool {
        let own = KillTarget {
            connection: self.reply_to.session.connection,
            sync: None,
        };
        self.question == FanOut::Kill(own)
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

/// One worker's part of an answer. The last one sends the answer to the worker that it is for. What
/// is dropped adds nothing, so that an answer comes whatever becomes of those who are asked.
#[derive(Debug)]
pub(crate) struct Contribution(Arc<Gather>);

impl Contribution {
    pub(crate) fn question(&self) -> FanOut {
        self.0.question
    }

    /// Who asks.
    pub(crate) fn reply_to(&self) -> &ReplyTo {
        &self.0.reply_to
    }

    /// Adds these rows.
    pub(crate) fn give(self, rows: impl IntoIterator<Item = Row>) {
        let mut all = self.0.rows.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(rows);
    }
}

impl Drop for Contribution {
    fn drop(&mut self) {
        if self.0.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.answers_to.do_send(Gathered(self.0.clone()));
        }
    }
}

/// The worker's turn to add its part.
#[derive(Debug)]
pub(crate) struct Contribute(pub(crate) Contribution);

impl Message for Contribute {
    type Result = ();
}

/// The answer is complete, and on its way to the session that asked.
#[derive(Debug)]
pub(crate) struct Gathered(pub(crate) Arc<Gather>);

impl Message for Gathered {
    type Result = ();
}

#[cfg(test)]
mod tests {
    use actix::{Actor, Addr, Context, Handler};
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;
    use crate::messages::WaitId;
    use crate::messages::session_id::SessionId;

    /// Passes on the answers that it gets.
    struct Asker(UnboundedSender<usize>);

    impl Actor for Asker {
        type Context = Context<Self>;
    }

    impl Handler<Gathered> for Asker {
        type Result = ();

        fn handle(&mut self, gathered: Gathered, _ctx: &mut Self::Context) {
            let rows = gathered.0.rows.lock().map_or(0, |rows| rows.len());
            self.0.send(rows).expect("the test listens");
        }
    }

    fn asker() -> (Addr<Asker>, UnboundedReceiver<usize>) {
        let (told, answers) = unbounded_channel();
        (Asker(told).start(), answers)
    }

    #[test]
    fn the_answer_comes_once_also_if_some_of_those_asked_are_gone() {
        actix_rt::System::new().block_on(gather_of_three());
    }

    async fn gather_of_three() {
        let (asker, mut answers) = asker();
        let reply_to = ReplyTo {
            worker: 0,
            session: SessionId {
                index: 0,
                connection: 1,
            },
            sync: 1,
            wrap_results: false,
            wait: WaitId::NONE,
        };
        let answers_to = asker.recipient();
        let mut parts = Gather::start(FanOut::Requests, reply_to, answers_to, 3);
        let rows = || [Row::Killed(KilledRow::default())];
        parts.next().expect("of three").give(rows());
        drop(parts.next());
        assert!(answers.try_recv().is_err(), "one is missing");
        parts.next().expect("of three").give(rows());
        assert_eq!(answers.recv().await, Some(2));
        drop(parts);
        actix_rt::task::yield_now().await;
        assert!(answers.try_recv().is_err(), "there is one answer");
    }
}
