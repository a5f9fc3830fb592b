//! Streams: one request of a stream runs at a time, and a transaction belongs to one stream.
//!
//! ```text
//!   deferred request of a stream ─▶ running ── complete ─▶ those that waited, in order
//!   connection gone ─▶ is_gone ── nothing runs or waits any more ─▶ rolled back, forgotten
//!   BEGIN ─▶ open ── abort ─▶ aborted: every statement gets its error ── COMMIT, ROLLBACK ─▶ over
//!     └ is not done ────────▶ the same, and BEGIN may take its place
//! ```
//!
//! Pure: what the engine has to be told is returned.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use vestibule_wire::{Error, ErrorCode};

use super::callers::Client;
use super::deadlines::{Deadlines, TimerId};
use super::reply_account::ReplyAccount;
use crate::engine::{Caller, Ticket, TransactionId};
use crate::messages::tx::{AbortedTransaction, BatchEntry, RequestOrigin};
use crate::quotas::{Charge, WaitCharge};
use crate::serving::Admitted;

/// A stream of a connection; 0: requests outside of streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamKey {
    pub(super) connection: u64,
    pub(super) stream: u64,
}

/// A request that waits: for the one that runs in its stream, or for room for its reply.
pub(super) struct WaitingRequest {
    pub(super) worker: usize,
    pub(super) entry: BatchEntry,
    pub(super) body: Vec<u8>,
    /// Kept here: by the time it runs, its session's number may have another owner.
    pub(super) caller: Arc<Caller>,
    /// The same of its replies.
    pub(super) replies: Rc<ReplyAccount>,
    /// Given back when it is executed. None: it keeps its credit.
    pub(super) charge: Option<WaitCharge>,
    /// Answered already, for it might not wait: a BEGIN, which keeps its place for that.
    pub(super) is_refused: bool,
}

impl WaitingRequest {
    /// A copy of one that is in a batch.
    pub(super) fn new(
        worker: usize,
        entry: &BatchEntry,
        body: &[u8],
        client: &Client,
        charge: Option<WaitCharge>,
    ) -> Self {
        Self {
            worker,
            entry: *entry,
            body: body.to_vec(),
            caller: client.caller.clone(),
            replies: client.replies.clone(),
            charge,
            is_refused: false,
        }
    }

    pub(super) fn key(&self) -> StreamKey {
        StreamKey {
            connection: self.caller.connection,
            stream: self.entry.stream,
        }
    }
}

/// A transaction that its client has not ended.
#[derive(Debug)]
pub(super) struct Transaction {
    /// The engine's handle; it means nothing to the engine once the transaction is aborted.
    pub(super) id: TransactionId,
    /// Under which epoch its BEGIN was admitted, and whether it may change data, whatever becomes
    /// of the role.
    pub(super) admitted: Admitted,
    /// When its BEGIN was executed.
    pub(super) begun: Instant,
    /// The runtime has rolled it back: what every statement gets until its client ends it.
    pub(super) aborted: Option<Box<Error>>,
    /// The transaction's client takes it for ended: BEGIN may take its place.
    pub(super) is_over: bool,
    /// Deadline of the transaction, while it lives.
    timer: Option<TimerId>,
    begun_by: Beginner,
    /// Given back with it. None: its BEGIN was not done, and the engine has never heard of it.
    charge: Option<Charge>,
}

/// Who began a transaction: the worker, and what the worker is told if it is aborted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginner {
    pub(super) worker: usize,
    pub(super) if_aborted: AbortedTransaction,
}

/// What is left to do when a transaction was aborted.
pub(super) struct Aborted {
    /// To be rolled back in the engine.
    pub(super) id: TransactionId,
    /// Whose session is to be told, and what.
    pub(super) begun_by: Beginner,
    /// The deferred request that runs in the stream.
    pub(super) running: Option<Ticket>,
}

impl Transaction {
    /// The engine's handle, if the engine still has it.
    pub(super) fn live(&self) -> Option<TransactionId> {
        self.aborted.is_none().then_some(self.id)
    }

    /// Whether its BEGIN was not done.
    pub(super) fn is_unbegun(&self) -> bool {
        self.charge.is_none()
    }
}

/// What Tx knows of one stream.
#[derive(Default)]
struct StreamState {
    transaction: Option<Transaction>,
    /// Deferred: later requests of the stream wait for it.
    running: Option<Ticket>,
    waiting: VecDeque<WaitingRequest>,
    /// The connection is gone: what it sent still runs, what it left open is rolled back then.
    is_gone: bool,
}

impl StreamState {
    fn live(&self) -> Option<&Transaction> {
        let transaction = self.transaction.as_ref();
        transaction.filter(|own| own.aborted.is_none())
    }
}

/// The streams in which something is open, runs or waits.
pub(super) struct Streams {
    streams: BTreeMap<StreamKey, StreamState>,
    /// Waited in their streams, and may run now, before anything that came later.
    resumed: VecDeque<WaitingRequest>,
    /// Of the transactions that live.
    deadlines: Deadlines<StreamKey>,
    /// The number of the last transaction.
    last: u64,
    /// How many streams belong to connections that are gone.
    gone: usize,
    /// Transactions that one connection may have open.
    per_connection_max: usize,
    /// Where transactions began in this turn.
    begun: Vec<StreamKey>,
    /// Whose transactions had statements in this turn.
    touched: Vec<StreamKey>,
}

impl Streams {
    pub(super) fn new(per_connection_max: usize, now: Instant) -> Self {
        Self {
            per_connection_max,
            streams: BTreeMap::new(),
            resumed: VecDeque::new(),
            deadlines: Deadlines::new(now),
            last: 0,
            gone: 0,
            begun: Vec::new(),
            touched: Vec::new(),
        }
    }

    /// The transaction of a stream, also one that is aborted.
    #[inline]
    pub(super) fn transaction(&self, key: StreamKey) -> Option<&Transaction> {
        if key.stream == 0 {
            return None;
        }
        self.streams.get(&key)?.transaction.as_ref()
    }

    /// Whether the transaction of a stream is the one that this BEGIN has begun.
    pub(super) fn is_begun_by(&self, key: StreamKey, begin: RequestOrigin) -> bool {
        self.transaction(key).is_some_and(|own| {
            own.begun_by.worker == begin.worker && own.begun_by.if_aborted.begin == begin.id
        })
    }

    /// A transaction that a call began in, if it still lives.
    ///
    /// # Errors
    ///
    /// Why it was aborted, or [`ErrorCode::SYSTEM`] if it is over.
    pub(super) fn still_open(
        &self,
        key: StreamKey,
        id: TransactionId,
    ) -> Result<&Transaction, Error> {
        let open = self.transaction(key).filter(|own| own.id == id);
        let over = || Error::new(ErrorCode::SYSTEM, "The transaction of this call is over");
        let open = open.ok_or_else(over)?;
        match &open.aborted {
            Some(error) => Err((**error).clone()),
            None => Ok(open),
        }
    }

    /// A handle for the next transaction.
    pub(super) fn next_id(&mut self) -> TransactionId {
        self.last += 1;
        TransactionId(self.last)
    }

    /// A transaction begins in a stream.
    pub(super) fn begin(
        &mut self,
        key: StreamKey,
        id: TransactionId,
        admitted: Admitted,
        begun_by: Beginner,
        (now, deadline): (Instant, Option<Instant>),
        charge: Charge,
    ) {
        let timer = deadline.map(|at| self.deadlines.set(key, at));
        let transaction = Transaction {
            id,
            admitted,
            begun: now,
            aborted: None,
            is_over: false,
            timer,
            begun_by,
            charge: Some(charge),
        };
        let stream = self.streams.entry(key).or_default();
        stream.transaction = Some(transaction);
        self.begun.push(key);
    }

    /// The BEGIN of a stream is not done: nothing behind it is, until its client ends what it takes
    /// for a transaction, or begins another one. One that is open there is in its way, and stays.
    pub(super) fn lose_unbegun(
        &mut self,
        key: StreamKey,
        admitted: Admitted,
        begun_by: Beginner,
        (now, error): (Instant, Error),
    ) {
        let open = self.transaction(key);
        let is_in_way = open.is_some_and(|own| !own.is_over);
        if is_in_way || self.has_too_many(key.connection) {
            return;
        }
        let transaction = Transaction {
            id: self.next_id(),
            admitted,
            begun: now,
            aborted: Some(Box::new(error)),
            is_over: true,
            timer: None,
            begun_by,
            charge: None,
        };
        let stream = self.streams.entry(key).or_default();
        stream.transaction = Some(transaction);
    }

    /// The end of a transaction is not done either: of one that was never begun nothing is left.
    pub(super) fn forget_unbegun(&mut self, key: StreamKey) {
        if self.transaction(key).is_some_and(Transaction::is_unbegun) {
            self.take_transaction(key);
        }
    }

    /// Nobody leaves that many behind by accident: the bound counts for more.
    fn has_too_many(&self, connection: u64) -> bool {
        self.of(connection).count() > 2 * self.per_connection_max
    }

    /// Takes the transaction of a stream, which is then at its end.
    pub(super) fn take_transaction(&mut self, key: StreamKey) -> Option<Transaction> {
        let stream = self.streams.get_mut(&key)?;
        let transaction = stream.transaction.take();
        if stream.running.is_none() && stream.waiting.is_empty() && !stream.is_gone {
            self.streams.remove(&key);
        }
        if let Some(timer) = transaction.as_ref().and_then(|own| own.timer) {
            self.deadlines.clear(timer);
        }
        transaction
    }

    /// Marks a transaction as aborted; `None` if there is none that lives.
    pub(super) fn abort(&mut self, key: StreamKey, error: &Error) -> Option<Aborted> {
        let stream = self.streams.get_mut(&key)?;
        let transaction = stream.transaction.as_mut()?;
        let id = transaction.live()?;
        transaction.aborted = Some(Box::new(error.clone()));
        if let Some(timer) = transaction.timer.take() {
            self.deadlines.clear(timer);
        }
        Some(Aborted {
            id,
            begun_by: transaction.begun_by,
            running: stream.running,
        })
    }

    /// The client of an aborted transaction takes it for ended.
    pub(super) fn mark_over(&mut self, key: StreamKey) {
        if self.has_too_many(key.connection) {
            self.take_transaction(key);
            return;
        }
        let stream = self.streams.get_mut(&key);
        if let Some(transaction) = stream.and_then(|own| own.transaction.as_mut()) {
            transaction.is_over = true;
        }
    }

    /// Where transactions are whose time is over: they have no deadline any more.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<StreamKey> {
        let due = self.deadlines.expire(now);
        for key in &due {
            let stream = self.streams.get_mut(key);
            if let Some(transaction) = stream.and_then(|own| own.transaction.as_mut()) {
                transaction.timer = None;
            }
        }
        due
    }

    /// When the time of a transaction may be over next.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.deadlines.next_look()
    }

    /// When the first one is due.
    #[cfg(feature = "testing")]
    pub(super) fn first_due(&self) -> Option<Instant> {
        self.deadlines.first_due()
    }

    /// Where the transactions are that live and that are wanted.
    pub(super) fn find(&self, wanted: impl Fn(&Transaction) -> bool) -> Vec<StreamKey> {
        let is_wanted = |stream: &StreamState| stream.live().is_some_and(&wanted);
        let found = self.streams.iter().filter(|(_, own)| is_wanted(own));
        found.map(|(key, _)| *key).collect()
    }

    /// Whether a connection has a transaction open that lives.
    pub(super) fn has_transaction(&self, connection: u64) -> bool {
        self.of(connection).any(|stream| stream.live().is_some())
    }

    fn of(&self, connection: u64) -> impl Iterator<Item = &StreamState> {
        let streams = self.streams.range(all_of(connection));
        streams.map(|(_, stream)| stream)
    }

    /// Whether a request of the stream runs: the next one has to [wait](Self::wait).
    pub(super) fn is_busy(&self, key: StreamKey) -> bool {
        let stream = self.streams.get(&key);
        stream.is_some_and(|own| own.running.is_some())
    }

    /// Keeps a request until the one that runs in its stream is complete.
    pub(super) fn wait(&mut self, request: WaitingRequest) {
        let stream = self.streams.entry(request.key()).or_default();
        stream.waiting.push_back(request);
    }

    /// Keeps the place of a BEGIN that may not wait. Between two of these is one that may.
    pub(super) fn wait_refused(&mut self, begin: WaitingRequest) {
        let stream = self.streams.entry(begin.key()).or_default();
        if stream.waiting.back().is_none_or(|own| !own.is_refused) {
            stream.waiting.push_back(begin);
        }
    }

    /// A request of a stream is deferred: later ones wait for it.
    pub(super) fn run(&mut self, key: StreamKey, ticket: Ticket) {
        if key.stream != 0 {
            self.streams.entry(key).or_default().running = Some(ticket);
        }
    }

    /// The deferred request of a stream is over: what waited for it may run.
    pub(super) fn resume(&mut self, key: StreamKey, ticket: Ticket) {
        let stream = self.streams.get_mut(&key);
        let Some(stream) = stream.filter(|own| own.running == Some(ticket)) else {
            return;
        };
        stream.running = None;
        self.resumed.append(&mut stream.waiting);
        if stream.transaction.is_none() && !stream.is_gone {
            self.streams.remove(&key);
        }
    }

    /// Whether anything that waited may run.
    pub(super) fn has_resumed(&self) -> bool {
        !self.resumed.is_empty()
    }

    /// Takes out the next one that may run.
    pub(super) fn pop_resumed(&mut self) -> Option<WaitingRequest> {
        self.resumed.pop_front()
    }

    /// The turn is full: this one is the first of the next.
    pub(super) fn put_back_resumed(&mut self, request: WaitingRequest) {
        self.resumed.push_front(request);
    }

    /// Where transactions began since this was asked last.
    pub(super) fn take_begun(&mut self) -> Vec<StreamKey> {
        std::mem::take(&mut self.begun)
    }

    /// A statement of a transaction is about to be executed.
    pub(super) fn note_statement(&mut self, key: StreamKey) {
        if self.touched.last() != Some(&key) {
            self.touched.push(key);
        }
    }

    /// The turn is committed: what is replied to in it holds.
    pub(super) fn forget_statements(&mut self) {
        self.touched.clear();
    }

    /// Where statements were executed since then.
    pub(super) fn take_statements(&mut self) -> Vec<StreamKey> {
        std::mem::take(&mut self.touched)
    }

    /// A connection is gone.
    pub(super) fn leave(&mut self, connection: u64) {
        for (_, stream) in self.streams.range_mut(all_of(connection)) {
            if !stream.is_gone {
                stream.is_gone = true;
                self.gone += 1;
            }
        }
    }

    /// Takes out streams of gone connections in which nothing runs or waits, nor has still to run;
    /// returns the handles of their transactions that the engine has. `is_awaited` tells of which
    /// connections requests wait elsewhere.
    pub(super) fn reap(&mut self, is_awaited: impl Fn(u64) -> bool) -> Vec<TransactionId> {
        if self.gone == 0 {
            return Vec::new();
        }
        let mut left_open = Vec::new();
        let before = self.streams.len();
        let (resumed, deadlines) = (&self.resumed, &mut self.deadlines);
        let has_more = |key| resumed.iter().any(|request| request.key() == key);
        self.streams.retain(|key, stream| {
            let is_over = stream.is_gone
                && stream.running.is_none()
                && stream.waiting.is_empty()
                && !has_more(*key)
                && !is_awaited(key.connection);
            if is_over && let Some(transaction) = stream.transaction.take() {
                if let Some(timer) = transaction.timer {
                    deadlines.clear(timer);
                }
                left_open.extend(transaction.live());
            }
            !is_over
        });
        self.gone -= before - self.streams.len();
        left_open
    }
}

/// The keys of all streams of a connection.
fn all_of(connection: u64) -> std::ops::RangeInclusive<StreamKey> {
    let key = |stream| StreamKey { connection, stream };
    key(0)..=key(u64::MAX)
}
