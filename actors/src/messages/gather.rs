//! What is asked of every worker, and where the parts of the answer are put together.
//!
//! ```text
//!   session ── one message to each worker ──▶ each adds its part ── the last ──▶ the asking worker
//! ```
//!
//! The embedder may ask as well.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Message, Recipient};
use serde::Serialize;
use tokio::sync::oneshot;
use vestibule_wire::Error;
use vestibule_wire::reply::write_value;

use super::reply_to::ReplyTo;
use crate::messages::post::Post as _;
use crate::monitoring::{ConnectionInfo, Killed, LinkInfo, PinInfo, RequestInfo};

/// What is asked of every worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FanOut {
    /// This many of each worker at most.
    Connections(usize),
    Requests(usize),
    Links(usize),
    Pins(usize),
    Kill(KillTarget),
}

/// What is to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KillTarget {
    pub(crate) connection: u64,
    /// Only requests with this sync, and not the connection.
    pub(crate) sync: Option<u64>,
}

/// Rows of any answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Row {
    Connection(ConnectionInfo),
    Request(RequestInfo),
    Link(LinkInfo),
    Pin(PinInfo),
    Killed(Killed),
}

/// Who gets the answer.
#[derive(Debug)]
enum Asker {
    /// The client of a session, by the session's worker.
    Session(ReplyTo, Recipient<Gathered>),
    Embedder(oneshot::Sender<Vec<Row>>),
}

/// An answer on its way through the workers.
#[derive(Debug)]
pub(crate) struct Gather {
    question: FanOut,
    /// The connection that asks, if one does.
    asking: Option<u64>,
    left: AtomicUsize,
    parts: Mutex<Gathering>,
}

/// What is there of an answer.
#[derive(Debug)]
struct Gathering {
    rows: Vec<Row>,
    /// Taken when the answer is on its way.
    asker: Option<Asker>,
}

impl Gather {
    /// Asks something of a number of workers, for a session: each worker gets one of the
    /// contributions.
    pub(crate) fn start(
        question: FanOut,
        reply_to: ReplyTo,
        answers_to: Recipient<Gathered>,
        workers: usize,
    ) -> impl Iterator<Item = Contribution> {
        let asking = Some(reply_to.session.connection);
        let asker = Asker::Session(reply_to, answers_to);
        Self::contributions(question, asking, asker, workers)
    }

    /// The same for the embedder.
    pub(crate) fn for_embedder(
        question: FanOut,
        answers_to: oneshot::Sender<Vec<Row>>,
        workers: usize,
    ) -> impl Iterator<Item = Contribution> {
        Self::contributions(question, None, Asker::Embedder(answers_to), workers)
    }

    fn contributions(
        question: FanOut,
        asking: Option<u64>,
        asker: Asker,
        workers: usize,
    ) -> impl Iterator<Item = Contribution> {
        let parts = Gathering {
            rows: Vec::new(),
            asker: Some(asker),
        };
        let gather = Arc::new(Self {
            question,
            asking,
            left: AtomicUsize::new(workers),
            parts: Mutex::new(parts),
        });
        std::iter::repeat_n(gather, workers).map(Contribution)
    }

    fn parts(&self) -> MutexGuard<'_, Gathering> {
        // Nothing panics between two changes of them.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last part is there: the answer goes to who asked.
    fn send(&self) {
        let mut parts = self.parts();
        let rows = std::mem::take(&mut parts.rows);
        match parts.asker.take() {
            Some(Asker::Session(reply_to, answers_to)) => answers_to.post(Gathered {
                reply_to,
                question: self.question,
                rows,
            }),
            // It may have lost interest.
            Some(Asker::Embedder(answers_to)) => drop(answers_to.send(rows)),
            None => {}
        }
    }
}

/// What a kill has come to in all.
pub(crate) fn sum_of_killed(rows: &[Row]) -> Killed {
    let mut sum = Killed::default();
    for row in rows {
        if let Row::Killed(own) = row {
            sum.connections += own.connections;
            sum.requests += own.requests;
        }
    }
    sum
}

/// One worker's part of an answer. The last one sends the answer to the worker that it is for. What
/// is dropped adds nothing, so that an answer comes whatever becomes of those who are asked.
#[derive(Debug)]
pub(crate) struct Contribution(Arc<Gather>);

impl Contribution {
    pub(crate) fn question(&self) -> FanOut {
        self.0.question
    }

    /// Whether this connection asks.
    pub(crate) fn is_asked_by(&self, connection: u64) -> bool {
        self.0.asking == Some(connection)
    }

    /// Adds these rows.
    pub(crate) fn give(self, rows: impl IntoIterator<Item = Row>) {
        self.0.parts().rows.extend(rows);
    }
}

impl Drop for Contribution {
    fn drop(&mut self) {
        if self.0.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.send();
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
pub(crate) struct Gathered {
    pub(crate) reply_to: ReplyTo,
    question: FanOut,
    rows: Vec<Row>,
}

impl Message for Gathered {
    type Result = ();
}

impl Gathered {
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
        match self.question {
            FanOut::Kill(_) => write_value(body, &sum_of_killed(&self.rows)),
            FanOut::Connections(_) | FanOut::Requests(_) | FanOut::Links(_) | FanOut::Pins(_) => {
                write_value(body, &self.rows)
            }
        }
    }
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
            self.0.send(gathered.rows.len()).expect("the test listens");
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
        let mut parts = Gather::start(FanOut::Requests(9), reply_to, answers_to, 3);
        let rows = || [Row::Killed(Killed::default())];
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
