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

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::Recipient;
use vestibule_wire::Error;
use vestibule_wire::ErrorCode;
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::{self, HEADER_SIZE, ReplyHeader};
use vestibule_wire::request::{self, Body};

use super::completion::Completion;
use super::execution::Execution;
use super::jobs::{Jobs, Settle};
use super::messages::{Batch, Completed, Entry, ReplyHead};
use super::port::Port;
use super::stream::{Streams, Waiting};
use crate::engine::{Caller, Engine, Outcome, Reply, Ticket};
use crate::limits::{TURN_CLOCK_EVERY, TURN_REPLY_BYTES_MAX, TURN_REQUESTS_MAX, TURN_TIME_MAX};
use crate::procedures::Procedures;
use crate::serving::{Role, ServingCell, Solos, State};
use crate::shared::Shared;

/// A request whose reply comes later.
struct Deferred {
    lane: usize,
    entry: Entry,
    connection: u64,
    /// A procedure, not the engine, will complete it.
    is_call: bool,
    wrap_results: bool,
}

/// Everything that lives on Tx's thread.
pub(crate) struct TxCore<E: Engine> {
    engine: E,
    procedures: Arc<Procedures<E>>,
    ports: Vec<Port>,
    batches: VecDeque<(Batch, usize)>,
    completed: VecDeque<Completed>,
    jobs: Rc<Jobs<E>>,
    /// Jobs of this turn that wait for its commit.
    settles: Vec<Settle>,
    deferred: HashMap<Ticket, Deferred>,
    streams: Streams,
    /// Waited in their streams, and may run now, before anything that came later.
    resumed: VecDeque<Waiting>,
    tickets: Cell<u64>,
    transactions: u64,
    completions: Recipient<Completed>,
    shared: Arc<Shared>,
    solos: Solos,
    schema_version: u64,
    /// The role that the engine was told last.
    role: Option<Role>,
    executed: usize,
    /// The engine takes no changes: the status says so.
    has_fault: bool,
    /// The last request was a CALL.
    has_called: bool,
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
            settles: Vec::new(),
            deferred: HashMap::new(),
            streams: Streams::default(),
            resumed: VecDeque::new(),
            tickets: Cell::new(0),
            transactions: 0,
            completions,
            shared,
            solos,
            schema_version: 0,
            role: None,
            executed: 0,
            has_fault: false,
            has_called: false,
            began: Instant::now(),
        };
        // Whatever the one before it stood still at.
        core.show_progress();
        core.publish_catalogue();
        // What the engine before this one complained of is over.
        core.shared.publish_fault(None);
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

    /// Tells the watchdog that Tx's thread goes on.
    pub(crate) fn show_progress(&self) {
        self.shared.mark.advance();
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.batches.is_empty()
            || !self.completed.is_empty()
            || !self.resumed.is_empty()
            || !self.jobs.is_empty()
    }

    /// One turn. Afterwards there may be [more to do](Self::has_work).
    pub(crate) fn turn(&mut self) {
        self.executed = 0;
        self.has_called = false;
        self.began = Instant::now();
        self.tell_role();
        self.finish_completed();
        self.run_jobs();
        if self.run_resumed() == Turn::Open {
            while let Some((batch, next)) = self.batches.pop_front() {
                if self.run_batch(batch, next) == Turn::Full {
                    break;
                }
            }
        }
        self.reap_streams();
        self.commit();
        self.send_replies();
        self.show_progress();
    }

    fn run_jobs(&mut self) {
        for job in self.jobs.take() {
            self.settles.push(job(&mut self.engine));
        }
    }

    /// Runs what waited in its stream.
    fn run_resumed(&mut self) -> Turn {
        while let Some(waiting) = self.resumed.pop_front() {
            if self.is_full(waiting.lane) {
                self.resumed.push_front(waiting);
                return Turn::Full;
            }
            if let Some(stream) = self.streams.busy(waiting.key()) {
                stream.waiting.push_back(waiting);
                continue;
            }
            let Waiting {
                lane,
                entry,
                body,
                mut caller,
            } = waiting;
            if self.ports[lane].claims.claim(entry.id) {
                self.execute(lane, &entry, &body, Some(&mut caller));
            }
        }
        Turn::Open
    }

    fn tell_role(&mut self) {
        let role = self.shared.cell.load().role;
        if self.role.replace(role) != Some(role) {
            self.engine.set_read_only(role == Role::Replica);
        }
    }

    /// Rolls back what connections that are gone have left open.
    fn reap_streams(&mut self) {
        let resumed = &self.resumed;
        let has_more = |key| resumed.iter().any(|waiting| waiting.key() == key);
        for transaction in self.streams.reap(has_more) {
            self.engine.rollback_transaction(transaction);
        }
    }

    fn run_batch(&mut self, mut batch: Batch, next: usize) -> Turn {
        let lane = batch.lane;
        if let Some(replies) = batch.recycled.take() {
            self.ports[lane].spare.push(replies);
        }
        for index in next..batch.entries.len() {
            if self.is_full(lane) {
                self.batches.push_front((batch, index));
                return Turn::Full;
            }
            while batch
                .introductions
                .front()
                .is_some_and(|own| own.before <= index)
                && let Some(own) = batch.introductions.pop_front()
            {
                self.ports[lane].introduce(own.session, own.caller);
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
            || (self.is_clock_due() && self.began.elapsed() >= TURN_TIME_MAX)
    }

    /// The clock is looked at now and then, and after each procedure: those may take any time.
    fn is_clock_due(&self) -> bool {
        self.has_called || self.executed % TURN_CLOCK_EVERY == TURN_CLOCK_EVERY - 1
    }

    /// Runs a request, or lets it wait for the one that runs in its stream.
    fn run_entry(&mut self, lane: usize, entry: &Entry, body: &[u8]) {
        if entry.stream != 0
            && let Some(caller) = self.caller(lane, entry).cloned()
            && let Some(stream) = self.streams.busy((caller.connection, entry.stream))
        {
            let (entry, body) = (*entry, body.to_vec());
            return stream.waiting.push_back(Waiting {
                lane,
                entry,
                body,
                caller,
            });
        }
        if self.ports[lane].claims.claim(entry.id) {
            self.execute(lane, entry, body, None);
        }
    }

    fn caller(&self, lane: usize, entry: &Entry) -> Option<&Caller> {
        self.ports[lane]
            .callers
            .get(entry.session as usize)?
            .as_ref()
    }

    /// Executes a request that is claimed, for its session's caller or one of its own.
    fn execute(
        &mut self,
        lane: usize,
        entry: &Entry,
        body: &[u8],
        mut own_caller: Option<&mut Caller>,
    ) {
        self.executed += 1;
        self.show_progress();
        self.has_called = matches!(entry.request, RequestType::Call | RequestType::Call16);
        match self.attempt(lane, entry, body, own_caller.as_deref_mut()) {
            Ok(Outcome::CommitFirst) => {
                // Its outcome is told to those who were in the turn, before this request, which may be
                // a long one, begins.
                self.commit();
                self.send_replies();
                match self.attempt(lane, entry, body, own_caller) {
                    Ok(Outcome::CommitFirst) => {
                        let text = "The engine asks for a turn of its own again and again";
                        self.reply_error(lane, entry, &Error::new(ErrorCode::SYSTEM, text));
                    }
                    Ok(Outcome::Done | Outcome::Deferred) => {}
                    Err(error) => self.reply_error(lane, entry, &error),
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
    fn attempt(
        &mut self,
        lane: usize,
        entry: &Entry,
        body: &[u8],
        own_caller: Option<&mut Caller>,
    ) -> Result<Outcome, Error> {
        let body = request::decode_checked(entry.request, body)?;
        let port = &mut self.ports[lane];
        let caller = match own_caller {
            Some(caller) => Some(caller),
            None => port
                .callers
                .get_mut(entry.session as usize)
                .and_then(Option::as_mut),
        };
        let unknown = || Error::new(ErrorCode::SYSTEM, "Unknown session");
        let caller = caller.ok_or_else(unknown)?;
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
                        is_call: matches!(body, Body::Call(_)),
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
            self.streams.entry(key).running = Some(ticket);
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
            self.ports[deferred.lane].settle();
            if entry.stream != 0 {
                self.resumed.extend(
                    self.streams
                        .resume((deferred.connection, entry.stream), ticket),
                );
            }
        }
    }

    /// A connection is gone: what it received is executed, what it left open is rolled back.
    fn forget(&mut self, lane: usize, session: u32, connection: u64) {
        self.ports[lane].forget(session, connection);
        self.streams.leave(connection);
        for (ticket, deferred) in &self.deferred {
            if deferred.connection == connection && !deferred.is_call {
                self.engine.cancel(*ticket);
            }
        }
    }

    /// Commits the turn so far and tells everyone who was in it.
    fn commit(&mut self) {
        let result = self.engine.commit();
        self.settle_begun(result.is_ok());
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
        self.tell_fault(result.is_err());
        for port in &mut self.ports {
            port.settle();
        }
        for settle in self.settles.drain(..) {
            settle(result.clone());
        }
    }

    /// A client whose BEGIN is answered with the turn's error has no transaction.
    fn settle_begun(&mut self, is_committed: bool) {
        for key in self.streams.take_begun() {
            if !is_committed && let Some(transaction) = self.streams.take_transaction(key) {
                self.engine.rollback_transaction(transaction);
            }
        }
    }

    /// Whether the engine takes changes is told when it may have changed.
    fn tell_fault(&mut self, has_failed: bool) {
        if !has_failed && !self.has_fault {
            return;
        }
        let fault = self.engine.fault();
        self.has_fault = fault.is_some();
        self.shared.publish_fault(fault);
    }

    fn publish_catalogue(&mut self) {
        self.schema_version = self.engine.schema_version();
        self.shared
            .publish_catalogue(self.schema_version, self.engine.catalogue());
    }

    fn send_replies(&mut self) {
        for port in &mut self.ports {
            port.send();
        }
    }
}

/// Whether Tx may be restarted in this state: not when the runtime goes down anyway.
pub(crate) fn may_restart(state: State) -> bool {
    !matches!(state, State::Draining | State::Stopped)
}
