//! What outlives its turn: deferred requests, and what connections that are gone left behind.

use std::time::Instant;

use actix_rt::task::JoinHandle;
use vestibule_wire::reply::{self, HEADER_SIZE, ReplyHeader};

use super::core::TxCore;
use super::messages::{BatchEntry, Completed};
use crate::engine::{Engine, ReservationId, Ticket};

/// The task of an async procedure. Dropped, it is stopped where it waits: nobody waits for it any more,
/// or its Tx has died, and no step of it would ever run.
pub(super) struct Task(pub(super) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request whose reply comes later.
pub(super) struct Deferred {
    pub(super) worker: usize,
    pub(super) entry: BatchEntry,
    pub(super) connection: u64,
    /// A procedure, not the engine, will complete it.
    pub(super) is_call: bool,
    /// Reservations that it uses.
    pub(super) used: Vec<ReservationId>,
    /// The task that will, for an async procedure; kept only to be dropped.
    pub(super) _task: Option<Task>,
    pub(super) wrap_results: bool,
    /// When the turn began in which it was deferred.
    pub(super) begun: Instant,
}

impl<E: Engine> TxCore<E> {
    pub(super) fn defer(&mut self, ticket: Ticket, deferred: Deferred) {
        if deferred.entry.stream != 0 {
            let key = (deferred.connection, deferred.entry.stream);
            self.streams.entry(key).running = Some(ticket);
        }
        let (worker, id) = (deferred.worker, deferred.entry.id);
        self.workers[worker].claims.defer(id);
        self.tickets_of.insert((worker, id.index), ticket);
        self.deferred.insert(ticket, deferred);
    }

    /// Takes a deferred request out; `None` if it is over already.
    pub(super) fn take_deferred(&mut self, ticket: Ticket) -> Option<Deferred> {
        let deferred = self.deferred.remove(&ticket)?;
        let key = (deferred.worker, deferred.entry.id.index);
        self.reservations.get_mut().hand_back(&deferred.used);
        // Given up on, its word may have a new tenant that is deferred too.
        if self.tickets_of.get(&key) == Some(&ticket) {
            self.tickets_of.remove(&key);
        }
        Some(deferred)
    }

    /// Answers what completed since the last turn, and goes on in its streams.
    pub(super) fn finish_completed(&mut self) {
        for Completed { ticket, result } in std::mem::take(&mut self.completed) {
            let Some(deferred) = self.take_deferred(ticket) else {
                continue;
            };
            let time = self.began.saturating_duration_since(deferred.begun);
            self.shared.recent_durations.add(time);
            let entry = deferred.entry;
            match result {
                Ok(body) => {
                    let header = ReplyHeader {
                        sync: entry.sync,
                        schema_version: self.schema_version,
                    };
                    let link = &mut self.workers[deferred.worker];
                    let start = header.begin(&mut link.out.bytes);
                    link.out.bytes.extend_from_slice(&body);
                    if deferred.wrap_results {
                        reply::wrap_results(&mut link.out.bytes, start + HEADER_SIZE);
                    }
                    link.end_reply(&entry, start);
                }
                Err(error) => self.reply_error(deferred.worker, &entry, &error),
            }
            // Nothing was executed in this turn so far: these replies depend on no commit.
            self.workers[deferred.worker].mark_committed();
            self.resume_stream(ticket, &deferred);
        }
    }

    /// The deferred request is over: what waited for it in its stream may run.
    pub(super) fn resume_stream(&mut self, ticket: Ticket, deferred: &Deferred) {
        if deferred.entry.stream != 0 {
            let key = (deferred.connection, deferred.entry.stream);
            self.resumed.extend(self.streams.resume(key, ticket));
        }
    }

    /// A connection is gone: what it received is executed, what it left open is rolled back.
    pub(super) fn forget(&mut self, worker: usize, session: u32, connection: u64) {
        self.workers[worker].forget(session, connection);
        self.streams.leave(connection);
        self.leave_reservations(connection);
        for (ticket, deferred) in &self.deferred {
            if deferred.connection == connection && !deferred.is_call {
                self.engine.cancel(*ticket);
            }
        }
    }

    /// Rolls back what connections that are gone have left open.
    pub(super) fn reap_streams(&mut self) {
        let resumed = &self.resumed;
        let has_more = |key| resumed.iter().any(|waiting| waiting.key() == key);
        for transaction in self.streams.reap(has_more) {
            self.roll_back(&transaction);
        }
    }
}
