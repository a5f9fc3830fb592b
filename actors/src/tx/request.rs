//! One request of a turn: it waits for its stream, or is claimed and executed.

use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::{self, HEADER_SIZE, ReplyHeader};
use vestibule_wire::request::{self, Body};
use vestibule_wire::{Error, ErrorCode};

use super::core::TxCore;
use super::deferred::Deferred;
use super::execution::Execution;
use super::messages::{BatchEntry, ReplyHead};
use super::request_context::RequestContext;
use super::reservations::Holder;
use super::streams::WaitingRequest;
use crate::cells::claims::Claim;
use crate::engine::{Caller, Engine, Outcome, Reply};

impl<E: Engine> TxCore<E> {
    /// Runs a request, or lets it wait for the one that runs in its stream.
    pub(super) fn run_entry(&mut self, worker: usize, entry: &BatchEntry, body: &[u8]) {
        if entry.stream != 0
            && let Some(caller) = self.caller(worker, entry).cloned()
            && let Some(stream) = self.streams.busy((caller.connection, entry.stream))
        {
            let (entry, body) = (*entry, body.to_vec());
            return stream.waiting.push_back(WaitingRequest {
                worker,
                entry,
                body,
                caller,
            });
        }
        if self.workers[worker].claims.claim(entry.id) {
            self.execute(worker, entry, body, None);
        }
    }

    fn caller(&self, worker: usize, entry: &BatchEntry) -> Option<&Caller> {
        self.workers[worker]
            .callers
            .get(entry.session as usize)?
            .as_ref()
    }

    /// Executes a request that is claimed, for its session's caller or one of its own.
    pub(super) fn execute(
        &mut self,
        worker: usize,
        entry: &BatchEntry,
        body: &[u8],
        mut own_caller: Option<&mut Caller>,
    ) {
        self.executed += 1;
        self.show_progress();
        self.has_called = matches!(entry.request, RequestType::Call | RequestType::Call16);
        match self.attempt_noted(worker, entry, body, own_caller.as_deref_mut()) {
            Ok(Outcome::CommitFirst) => {
                // Its outcome is told to those who were in the turn, before this request, which may be
                // a long one, begins.
                self.commit();
                self.send_replies();
                match self.attempt_noted(worker, entry, body, own_caller) {
                    Ok(Outcome::CommitFirst) => {
                        let text = "The engine asks for a turn of its own again and again";
                        self.reply_error(worker, entry, &Error::new(ErrorCode::SYSTEM, text));
                    }
                    Ok(Outcome::Done | Outcome::Deferred) => {}
                    Err(error) => self.reply_error(worker, entry, &error),
                }
            }
            Ok(Outcome::Done | Outcome::Deferred) => {}
            Err(error) => self.reply_error(worker, entry, &error),
        }
    }

    pub(super) fn reply_error(&mut self, worker: usize, entry: &BatchEntry, error: &Error) {
        let header = ReplyHeader {
            sync: entry.sync,
            schema_version: self.schema_version,
        };
        let link = &mut self.workers[worker];
        header.write_error(&mut link.out.bytes, error);
        let end = link.out.bytes.len();
        link.out.heads.push(ReplyHead {
            id: entry.id,
            sync: entry.sync,
            end,
        });
    }

    /// Runs the request once, and notes what a discarded turn has to know of it.
    fn attempt_noted(
        &mut self,
        worker: usize,
        entry: &BatchEntry,
        body: &[u8],
        own_caller: Option<&mut Caller>,
    ) -> Result<Outcome, Error> {
        let had_writes = self.writes.is_begun();
        let has_own_caller = own_caller.is_some();
        let heads = self.workers[worker].out.heads.len();
        let outcome = self.attempt(worker, entry, body, own_caller);
        if !had_writes && self.writes.is_begun() {
            self.mark_first_write();
            self.workers[worker].first_after_write = heads;
        } else if had_writes && outcome == Ok(Outcome::Done) && !has_own_caller {
            self.writes.note_read(worker, heads, entry, body);
        }
        outcome
    }

    /// Runs the request once. `Done`: its reply is written; otherwise nothing is.
    pub(super) fn attempt(
        &mut self,
        worker: usize,
        entry: &BatchEntry,
        body: &[u8],
        own_caller: Option<&mut Caller>,
    ) -> Result<Outcome, Error> {
        let body = request::decode_checked(entry.request, body)?;
        let link = &mut self.workers[worker];
        let caller = match own_caller {
            Some(caller) => Some(caller),
            None => link
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
        let start = header.begin(&mut link.out.bytes);
        let claim = Claim {
            claims: &link.claims,
            id: entry.id,
        };
        let holder = Holder {
            reservations: &self.reservations,
            list: &self.shared.reservations,
            connection: caller.connection,
            now: self.began,
        };
        let mut context = RequestContext {
            solos: &self.solos,
            claim,
            holder,
            tickets: &self.tickets,
            completions: &self.completions,
            ticket: None,
        };
        let mut execution = Execution {
            engine: &mut self.engine,
            procedures: &self.procedures,
            streams: &mut self.streams,
            transactions: &mut self.transactions,
            admitted: entry.admitted,
            class: entry.class,
            writes: &mut self.writes,
            shared: &self.shared,
            deadlines: &mut self.deadlines,
            timeout: self.shared.config.transaction_timeout,
            now: self.began,
            steps: &self.steps,
            caller,
            locks: &mut self.locks,
            origin: (worker, entry.id),
            session: entry.session,
            holder,
            reply: Reply::new(&mut link.out.bytes, &mut context),
            task: None,
        };
        let outcome = execution.run(body);
        let task = execution.task.take();
        let ticket = context.ticket;
        let used = self.reservations.get_mut().take_current();
        if !matches!(outcome, Ok(Outcome::Deferred)) {
            self.reservations.get_mut().hand_back(&used);
        }
        let connection = caller.connection;
        match outcome {
            Ok(Outcome::Done) => {
                if matches!(body, Body::Call(call) if call.wrap_results) {
                    reply::wrap_results(&mut link.out.bytes, start + HEADER_SIZE);
                }
                link.end_reply(entry, start);
            }
            Ok(Outcome::CommitFirst) | Err(_) => link.out.bytes.truncate(start),
            Ok(Outcome::Deferred) => {
                link.out.bytes.truncate(start);
                let ticket = ticket.ok_or_else(|| {
                    Error::new(ErrorCode::SYSTEM, "Deferred, but nobody will complete it")
                })?;
                let wrap_results = matches!(body, Body::Call(call) if call.wrap_results);
                self.defer(
                    ticket,
                    Deferred {
                        worker,
                        entry: *entry,
                        connection,
                        used,
                        _task: task,
                        is_call: matches!(body, Body::Call(_)),
                        wrap_results,
                        begun: self.began,
                    },
                );
            }
        }
        outcome
    }
}
