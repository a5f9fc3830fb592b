//! Tx's turn: claim, execute, commit once, release the replies.
//!
//! ```text
//!   completed ─┐
//!   jobs ──────┼─▶ execute … execute ─▶ commit ─▶ publish the catalogue ─▶ one message per arbiter
//!   batches ───┘        │
//!                       └ CommitFirst: commit, then this request again, first of a new turn
//! ```
//!
//! A turn ends after a number of requests, of reply bytes, or after a time, whichever comes first. On
//! its way per request nothing is allocated, logged or timed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use actix::Recipient;
use vestibule_wire::Error;
use vestibule_wire::ErrorCode;
use vestibule_wire::reply::{self, HEADER_SIZE, ReplyHeader};
use vestibule_wire::request::{self, Body};

use super::claim::Claims;
use super::completion::Completion;
use super::context::AsyncContext;
use super::messages::{Batch, Completed, Entry, Replies, ReplyHead};
use crate::engine::{Caller, Engine, Outcome, Reply, Request, Ticket, TransactionId};
use crate::limits::{TURN_CLOCK_EVERY, TURN_REPLY_BYTES_MAX, TURN_REQUESTS_MAX, TURN_TIME_MAX};
use crate::procedures::{Call, Procedure, Procedures};
use crate::serving::{ServingCell, Solos, State};
use crate::shared::Shared;

/// Work on the engine asked for by an async procedure; what it returns is told the turn's outcome.
pub(crate) type Job<E> = Box<dyn FnOnce(&mut E) -> Settle>;
pub(crate) type Settle = Box<dyn FnOnce(Result<(), Error>)>;

/// Where async procedures leave their jobs.
pub(crate) struct Jobs<E> {
    queue: RefCell<VecDeque<Job<E>>>,
    turn: RefCell<Option<Waker>>,
}

impl<E> Default for Jobs<E> {
    fn default() -> Self {
        Self {
            queue: RefCell::default(),
            turn: RefCell::default(),
        }
    }
}

impl<E> Jobs<E> {
    pub(crate) fn push(&self, job: Job<E>) {
        self.queue.borrow_mut().push_back(job);
        if let Some(turn) = self.turn.borrow().as_ref() {
            turn.wake_by_ref();
        }
    }

    pub(crate) fn set_waker(&self, waker: &Waker) {
        let mut turn = self.turn.borrow_mut();
        if !turn.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *turn = Some(waker.clone());
        }
    }
}

/// A session arbiter as Tx sees it.
pub(crate) struct Port {
    claims: Arc<Claims>,
    lane: Recipient<Replies>,
    callers: Vec<Option<Caller>>,
    out: Replies,
    /// Heads of `out` before this one are committed: a failing commit does not touch them.
    committed: usize,
    spare: Vec<Replies>,
}

impl Port {
    pub(crate) fn new(claims: Arc<Claims>, lane: Recipient<Replies>) -> Self {
        Self {
            claims,
            lane,
            callers: Vec::new(),
            out: Replies::default(),
            committed: 0,
            spare: Vec::new(),
        }
    }

    fn introduce(&mut self, session: u32, caller: Caller) {
        let index = session as usize;
        if self.callers.len() <= index {
            self.callers.resize(index + 1, None);
        }
        self.callers[index] = Some(caller);
    }

    fn end_reply(&mut self, entry: &Entry, start: usize) {
        reply::finish(&mut self.out.bytes, start);
        let end = self.out.bytes.len();
        self.out.heads.push(ReplyHead {
            id: entry.id,
            sync: entry.sync,
            end,
        });
    }

    /// Where the replies begin that are not committed yet.
    fn uncommitted_start(&self) -> usize {
        self.committed
            .checked_sub(1)
            .map_or(0, |last| self.out.heads[last].end)
    }

    /// After a commit that changed the catalogue: its replies tell the new version.
    fn patch_uncommitted(&mut self, schema_version: u64) {
        let mut start = self.uncommitted_start();
        for head in &self.out.heads[self.committed..] {
            reply::patch_schema_version(&mut self.out.bytes[start..head.end], schema_version);
            start = head.end;
        }
    }

    /// After a commit that failed: every reply of the turn becomes the error.
    fn fail_uncommitted(&mut self, schema_version: u64, error: &Error) {
        let start = self.uncommitted_start();
        self.out.bytes.truncate(start);
        for head in &mut self.out.heads[self.committed..] {
            let header = ReplyHeader {
                sync: head.sync,
                schema_version,
            };
            header.write_error(&mut self.out.bytes, error);
            head.end = self.out.bytes.len();
        }
    }
}

/// A request whose reply comes later.
struct Deferred {
    lane: usize,
    entry: Entry,
    connection: u64,
    wrap_results: bool,
}

/// What Tx knows of one stream of one connection.
#[derive(Default)]
struct Stream {
    transaction: Option<TransactionId>,
    /// Deferred: later requests of the stream wait for it.
    running: Option<Ticket>,
    waiting: VecDeque<(usize, Entry, Vec<u8>)>,
}

/// Everything that lives on Tx's thread.
pub(crate) struct TxCore<E: Engine> {
    engine: E,
    procedures: Arc<Procedures<E>>,
    ports: Vec<Port>,
    batches: VecDeque<(Batch, usize)>,
    completed: VecDeque<Completed>,
    jobs: Rc<Jobs<E>>,
    deferred: HashMap<Ticket, Deferred>,
    streams: BTreeMap<(u64, u64), Stream>,
    tickets: Cell<u64>,
    transactions: u64,
    completions: Recipient<Completed>,
    shared: Arc<Shared>,
    solos: Solos,
    schema_version: u64,
    executed: usize,
    began: Instant,
}

impl<E: Engine> fmt::Debug for TxCore<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxCore")
            .field("batches", &self.batches.len())
            .finish_non_exhaustive()
    }
}

/// Whether the turn goes on.
#[derive(PartialEq, Eq)]
enum Turn {
    Open,
    Full,
}

impl<E: Engine> TxCore<E> {
    pub(crate) fn new(
        engine: E,
        procedures: Arc<Procedures<E>>,
        ports: Vec<Port>,
        completions: Recipient<Completed>,
        shared: Arc<Shared>,
    ) -> Self {
        let solos = Solos::new(shared.cell.clone());
        let mut core = Self {
            engine,
            procedures,
            ports,
            batches: VecDeque::new(),
            completed: VecDeque::new(),
            jobs: Rc::new(Jobs::default()),
            deferred: HashMap::new(),
            streams: BTreeMap::new(),
            tickets: Cell::new(0),
            transactions: 0,
            completions,
            shared,
            solos,
            schema_version: 0,
            executed: 0,
            began: Instant::now(),
        };
        core.publish_catalogue();
        core.shared.publish_view(core.engine.view());
        core
    }

    pub(crate) fn cell(&self) -> &Arc<ServingCell> {
        &self.shared.cell
    }

    pub(crate) fn jobs(&self) -> &Rc<Jobs<E>> {
        &self.jobs
    }

    pub(crate) fn push_batch(&mut self, batch: Batch) {
        self.batches.push_back((batch, 0));
    }

    pub(crate) fn push_completed(&mut self, completed: Completed) {
        self.completed.push_back(completed);
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.batches.is_empty()
            || !self.completed.is_empty()
            || !self.jobs.queue.borrow().is_empty()
    }

    /// One turn. Afterwards there may be [more to do](Self::has_work).
    pub(crate) fn turn(&mut self) {
        self.executed = 0;
        self.began = Instant::now();
        self.finish_completed();
        let settles = self.run_jobs();
        while let Some((batch, next)) = self.batches.pop_front() {
            if self.run_batch(batch, next) == Turn::Full {
                break;
            }
        }
        let outcome = self.commit();
        for settle in settles {
            settle(outcome.clone());
        }
        self.send_replies();
    }

    fn run_jobs(&mut self) -> Vec<Settle> {
        let jobs = std::mem::take(&mut *self.jobs.queue.borrow_mut());
        jobs.into_iter().map(|job| job(&mut self.engine)).collect()
    }

    fn run_batch(&mut self, mut batch: Batch, next: usize) -> Turn {
        let lane = batch.lane;
        for (session, caller) in batch.introductions.drain(..) {
            self.ports[lane].introduce(session, caller);
        }
        if let Some(replies) = batch.recycled.take() {
            self.ports[lane].spare.push(replies);
        }
        for index in next..batch.entries.len() {
            if self.is_full(lane) {
                self.batches.push_front((batch, index));
                return Turn::Full;
            }
            let entry = batch.entries[index];
            self.run_entry(
                lane,
                &entry,
                &batch.bytes[entry.start as usize..entry.end as usize],
            );
        }
        for (session, connection) in batch.departures.drain(..) {
            self.forget(lane, session, connection);
        }
        batch.clear();
        self.ports[lane].out.spent.push(batch);
        Turn::Open
    }

    fn is_full(&self, lane: usize) -> bool {
        self.executed >= TURN_REQUESTS_MAX
            || self.ports[lane].out.bytes.len() >= TURN_REPLY_BYTES_MAX
            || (self.executed % TURN_CLOCK_EVERY == TURN_CLOCK_EVERY - 1
                && self.began.elapsed() >= TURN_TIME_MAX)
    }

    /// Runs a request, or lets it wait for the one that runs in its stream.
    fn run_entry(&mut self, lane: usize, entry: &Entry, body: &[u8]) {
        if entry.stream != 0 {
            let connection = self
                .caller(lane, entry)
                .map_or(0, |caller| caller.connection);
            if let Some(stream) = self.streams.get_mut(&(connection, entry.stream))
                && stream.running.is_some()
            {
                stream.waiting.push_back((lane, *entry, body.to_vec()));
                return;
            }
        }
        if self.ports[lane].claims.claim(entry.id) {
            self.execute(lane, entry, body);
        }
    }

    fn caller(&self, lane: usize, entry: &Entry) -> Option<&Caller> {
        self.ports[lane]
            .callers
            .get(entry.session as usize)?
            .as_ref()
    }

    /// Executes a request that is claimed.
    fn execute(&mut self, lane: usize, entry: &Entry, body: &[u8]) {
        self.executed += 1;
        match self.attempt(lane, entry, body) {
            Ok(Outcome::CommitFirst) => {
                // Its outcome is told to those who were in the turn, not to this request.
                let _ = self.commit();
                if matches!(self.attempt(lane, entry, body), Ok(Outcome::CommitFirst)) {
                    let error = Error::new(
                        ErrorCode::SYSTEM,
                        "The engine asks for a turn of its own again and again",
                    );
                    self.reply_error(lane, entry, &error);
                }
            }
            Ok(Outcome::Done | Outcome::Deferred) => {}
            Err(error) => self.reply_error(lane, entry, &error),
        }
    }

    fn reply_error(&mut self, lane: usize, entry: &Entry, error: &Error) {
        let header = ReplyHeader {
            sync: entry.sync,
            schema_version: self.schema_version,
        };
        let port = &mut self.ports[lane];
        header.write_error(&mut port.out.bytes, error);
        let end = port.out.bytes.len();
        port.out.heads.push(ReplyHead {
            id: entry.id,
            sync: entry.sync,
            end,
        });
    }

    /// Runs the request once. `Done`: its reply is written; otherwise nothing is.
    fn attempt(&mut self, lane: usize, entry: &Entry, body: &[u8]) -> Result<Outcome, Error> {
        let body = request::decode_checked(entry.request, body)?;
        let port = &mut self.ports[lane];
        let caller = port
            .callers
            .get_mut(entry.session as usize)
            .and_then(Option::as_mut);
        let caller = caller.ok_or_else(|| Error::new(ErrorCode::SYSTEM, "Unknown session"))?;
        caller.stream = entry.stream;
        let header = ReplyHeader {
            sync: entry.sync,
            schema_version: self.schema_version,
        };
        let start = header.begin(&mut port.out.bytes);
        let ticket = Cell::new(None);
        let make_completion = || {
            self.tickets.set(self.tickets.get() + 1);
            ticket.set(Some(Ticket(self.tickets.get())));
            Completion::new(Ticket(self.tickets.get()), self.completions.clone())
        };
        let mut execution = Execution {
            engine: &mut self.engine,
            procedures: &self.procedures,
            streams: &mut self.streams,
            transactions: &mut self.transactions,
            jobs: &self.jobs,
            caller,
            reply: Reply::new(&mut port.out.bytes, &self.solos, &make_completion),
        };
        let outcome = execution.run(body);
        let connection = caller.connection;
        match outcome {
            Ok(Outcome::Done) => {
                if matches!(body, Body::Call(call) if call.wrap_results) {
                    reply::wrap_results(&mut port.out.bytes, start + HEADER_SIZE);
                }
                port.end_reply(entry, start);
            }
            Ok(Outcome::CommitFirst) | Err(_) => port.out.bytes.truncate(start),
            Ok(Outcome::Deferred) => {
                port.out.bytes.truncate(start);
                let ticket = ticket.get().ok_or_else(|| {
                    Error::new(ErrorCode::SYSTEM, "Deferred, but nobody will complete it")
                })?;
                let wrap_results = matches!(body, Body::Call(call) if call.wrap_results);
                self.defer(
                    ticket,
                    Deferred {
                        lane,
                        entry: *entry,
                        connection,
                        wrap_results,
                    },
                );
            }
        }
        outcome
    }

    fn defer(&mut self, ticket: Ticket, deferred: Deferred) {
        if deferred.entry.stream != 0 {
            let key = (deferred.connection, deferred.entry.stream);
            self.streams.entry(key).or_default().running = Some(ticket);
        }
        self.deferred.insert(ticket, deferred);
    }

    /// Answers what completed since the last turn, and goes on in its streams.
    fn finish_completed(&mut self) {
        for Completed { ticket, result } in std::mem::take(&mut self.completed) {
            let Some(deferred) = self.deferred.remove(&ticket) else {
                continue;
            };
            let entry = deferred.entry;
            match result {
                Ok(body) => {
                    let header = ReplyHeader {
                        sync: entry.sync,
                        schema_version: self.schema_version,
                    };
                    let port = &mut self.ports[deferred.lane];
                    let start = header.begin(&mut port.out.bytes);
                    port.out.bytes.extend_from_slice(&body);
                    if deferred.wrap_results {
                        reply::wrap_results(&mut port.out.bytes, start + HEADER_SIZE);
                    }
                    port.end_reply(&entry, start);
                }
                Err(error) => self.reply_error(deferred.lane, &entry, &error),
            }
            // Nothing was executed in this turn so far: these replies depend on no commit.
            self.ports[deferred.lane].committed = self.ports[deferred.lane].out.heads.len();
            if entry.stream != 0 {
                self.resume_stream((deferred.connection, entry.stream), ticket);
            }
        }
    }

    /// Queues what waited in a stream for a request that is now complete, as a batch of its own.
    fn resume_stream(&mut self, key: (u64, u64), ticket: Ticket) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        if stream.running != Some(ticket) {
            return;
        }
        stream.running = None;
        let waiting = std::mem::take(&mut stream.waiting);
        if stream.transaction.is_none() {
            self.streams.remove(&key);
        }
        for (lane, mut entry, bytes) in waiting.into_iter().rev() {
            (entry.start, entry.end) = (0, bytes.len() as u32);
            let batch = Batch {
                lane,
                entries: vec![entry],
                bytes,
                ..Batch::default()
            };
            self.batches.push_front((batch, 0));
        }
    }

    /// A connection is gone: what it received is executed, what it left open is rolled back.
    fn forget(&mut self, lane: usize, session: u32, connection: u64) {
        let callers = &mut self.ports[lane].callers;
        if let Some(caller) = callers.get_mut(session as usize)
            && caller
                .as_ref()
                .is_some_and(|caller| caller.connection == connection)
        {
            *caller = None;
        }
        let own = (connection, 0)..=(connection, u64::MAX);
        let gone: Vec<_> = self.streams.range(own).map(|(key, _)| *key).collect();
        for key in gone {
            if let Some(Stream {
                transaction: Some(id),
                ..
            }) = self.streams.remove(&key)
            {
                self.engine.rollback_transaction(id);
            }
        }
    }

    fn commit(&mut self) -> Result<(), Error> {
        let result = self.engine.commit();
        match &result {
            Ok(()) => {
                if self.engine.schema_version() != self.schema_version {
                    self.publish_catalogue();
                    for port in &mut self.ports {
                        port.patch_uncommitted(self.schema_version);
                    }
                }
            }
            Err(error) => {
                log::error!("a turn failed to commit: {error}");
                for port in &mut self.ports {
                    port.fail_uncommitted(self.schema_version, error);
                }
            }
        }
        for port in &mut self.ports {
            port.committed = port.out.heads.len();
        }
        result
    }

    fn publish_catalogue(&mut self) {
        self.schema_version = self.engine.schema_version();
        self.shared
            .publish_catalogue(self.schema_version, self.engine.catalogue());
    }

    fn send_replies(&mut self) {
        for port in &mut self.ports {
            if port.out.heads.is_empty() && port.out.spent.is_empty() {
                continue;
            }
            let next = port.spare.pop().unwrap_or_default();
            port.committed = 0;
            port.lane.do_send(std::mem::replace(&mut port.out, next));
        }
    }
}

/// One request with everything it may touch.
struct Execution<'a, E: Engine> {
    engine: &'a mut E,
    procedures: &'a Procedures<E>,
    streams: &'a mut BTreeMap<(u64, u64), Stream>,
    transactions: &'a mut u64,
    jobs: &'a Rc<Jobs<E>>,
    caller: &'a Caller,
    reply: Reply<'a>,
}

impl<E: Engine> Execution<'_, E> {
    fn key(&self) -> (u64, u64) {
        (self.caller.connection, self.caller.stream)
    }

    fn transaction(&self) -> Option<TransactionId> {
        if self.caller.stream == 0 {
            return None;
        }
        self.streams
            .get(&self.key())
            .and_then(|stream| stream.transaction)
    }

    fn run(&mut self, body: Body<'_>) -> Result<Outcome, Error> {
        let transaction = self.transaction();
        match body {
            Body::Begin(_) if transaction.is_some() => Err(Error::active_transaction()),
            Body::Begin(options) => {
                *self.transactions += 1;
                let id = TransactionId(*self.transactions);
                self.engine.begin(id, &options)?;
                self.streams.entry(self.key()).or_default().transaction = Some(id);
                Ok(Outcome::Done)
            }
            Body::Commit | Body::Rollback => {
                let Some(id) = transaction else {
                    return Ok(Outcome::Done);
                };
                self.streams.remove(&self.key());
                if matches!(body, Body::Commit) {
                    self.engine.commit_transaction(id)?;
                } else {
                    self.engine.rollback_transaction(id);
                }
                Ok(Outcome::Done)
            }
            Body::Call(call) => self.call(call, transaction),
            body => {
                let request = Request {
                    body,
                    caller: self.caller,
                    transaction,
                };
                self.engine.execute(&request, &mut self.reply)
            }
        }
    }

    fn call(
        &mut self,
        call: request::Call<'_>,
        transaction: Option<TransactionId>,
    ) -> Result<Outcome, Error> {
        match self.procedures.find(call.name)? {
            Procedure::Sync(procedure) => procedure(&mut Call {
                engine: self.engine,
                name: call.name,
                args: call.args,
                caller: self.caller,
                transaction,
                reply: self.reply.reborrow(),
            }),
            Procedure::Async(start) => {
                let completion = self.reply.defer()?;
                let context = AsyncContext::new(self.caller.clone(), self.jobs.clone());
                let running = start(call.args, context);
                actix_rt::spawn(async move { completion.complete_raw(running.await) });
                Ok(Outcome::Deferred)
            }
        }
    }
}

/// Whether Tx may be restarted in this state: not when the runtime goes down anyway.
pub(crate) fn may_restart(state: State) -> bool {
    !matches!(state, State::Draining | State::Stopped)
}
