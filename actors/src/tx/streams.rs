//! Streams: one request of a stream runs at a time, and a transaction belongs to one stream.
//!
//! ```text
//!   deferred request of a stream ─▶ running ── complete ─▶ those that waited, in order
//!   connection gone ─▶ is_gone ── nothing runs or waits any more ─▶ rolled back, forgotten
//!   BEGIN ─▶ open ── abort ─▶ aborted: every statement gets its error ── COMMIT, ROLLBACK ─▶ over
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use vestibule_wire::Error;

use super::deadlines::TimerId;
use super::messages::{AbortedTransaction, BatchEntry};
use crate::engine::{Caller, Ticket, TransactionId};
use crate::limits::TRANSACTIONS_PER_CONNECTION_MAX;
use crate::serving::Admitted;

/// A connection and one of its streams.
pub(super) type Key = (u64, u64);

/// A request that waits for the one that runs in its stream.
pub(super) struct WaitingRequest {
    pub(super) worker: usize,
    pub(super) entry: BatchEntry,
    pub(super) body: Vec<u8>,
    /// Kept here: by the time it runs, its session's number may have another owner.
    pub(super) caller: Caller,
}

impl WaitingRequest {
    pub(super) fn key(&self) -> Key {
        (self.caller.connection, self.entry.stream)
    }
}

/// A transaction that its client has not ended.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// The engine's handle; it means nothing to the engine once the transaction is aborted.
    pub(super) id: TransactionId,
    /// Begun on a replica: it changes nothing, whatever becomes of the role.
    pub(crate) is_read_only: bool,
    /// The epoch under which its BEGIN was admitted.
    pub(super) epoch: u64,
    /// When its BEGIN was executed.
    pub(super) begun: Instant,
    /// The runtime has rolled it back: what every statement gets until its client ends it.
    pub(super) aborted: Option<Box<Error>>,
    /// Its deadline, while it lives.
    pub(super) timer: Option<TimerId>,
    /// Its client takes it for ended: BEGIN may take its place.
    pub(super) is_over: bool,
    /// Who began it: the worker, and what that is told if it is aborted.
    pub(super) begun_by: (usize, AbortedTransaction),
}

/// What is left to do when a transaction was aborted.
pub(super) struct Aborted {
    /// To be rolled back in the engine.
    pub(super) id: TransactionId,
    /// Whose session is to be told, and what.
    pub(super) begun_by: (usize, AbortedTransaction),
    pub(super) timer: Option<TimerId>,
    /// The deferred request that runs in the stream.
    pub(super) running: Option<Ticket>,
}

impl Transaction {
    pub(super) fn new(
        id: TransactionId,
        admitted: Admitted,
        begun: Instant,
        timer: Option<TimerId>,
        begun_by: (usize, AbortedTransaction),
    ) -> Self {
        Self {
            id,
            is_read_only: admitted.is_read_only(),
            epoch: admitted.epoch(),
            begun,
            aborted: None,
            timer,
            is_over: false,
            begun_by,
        }
    }

    /// The engine's handle, if the engine still has it.
    pub(super) fn live(&self) -> Option<TransactionId> {
        self.aborted.is_none().then_some(self.id)
    }
}

/// What Tx knows of one stream.
#[derive(Default)]
pub(super) struct StreamState {
    pub(super) transaction: Option<Transaction>,
    /// Deferred: later requests of the stream wait for it.
    pub(super) running: Option<Ticket>,
    pub(super) waiting: VecDeque<WaitingRequest>,
    /// The connection is gone: what it sent still runs, what it left open is rolled back then.
    is_gone: bool,
}

/// The streams in which something is open, runs or waits.
#[derive(Default)]
pub(super) struct Streams {
    streams: BTreeMap<Key, StreamState>,
    gone: usize,
    /// Where transactions began in this turn.
    begun: Vec<Key>,
    /// Whose transactions had statements in this turn.
    touched: Vec<Key>,
}

impl Streams {
    pub(super) fn get(&self, key: Key) -> Option<&StreamState> {
        self.streams.get(&key)
    }

    pub(super) fn entry(&mut self, key: Key) -> &mut StreamState {
        self.streams.entry(key).or_default()
    }

    /// Marks a transaction as aborted; `None` if there is none that lives.
    pub(super) fn abort(&mut self, key: Key, error: &Error) -> Option<Aborted> {
        let stream = self.streams.get_mut(&key)?;
        let transaction = stream.transaction.as_mut()?;
        let id = transaction.live()?;
        transaction.aborted = Some(Box::new(error.clone()));
        Some(Aborted {
            id,
            begun_by: transaction.begun_by,
            timer: transaction.timer.take(),
            running: stream.running,
        })
    }

    /// Whether a connection has a transaction open that lives.
    pub(super) fn has_transaction(&self, connection: u64) -> bool {
        let mut own = self.streams.range((connection, 0)..=(connection, u64::MAX));
        own.any(|(_, stream)| {
            let transaction = stream.transaction.as_ref();
            transaction.is_some_and(|own| own.live().is_some())
        })
    }

    /// The client of an aborted transaction takes it for ended.
    pub(super) fn mark_over(&mut self, key: Key) {
        let own = self.streams.range((key.0, 0)..=(key.0, u64::MAX)).count();
        if own > 2 * TRANSACTIONS_PER_CONNECTION_MAX {
            // Nobody leaves so many behind by accident: the bound counts for more.
            self.take_transaction(key);
            return;
        }
        let stream = self.streams.get_mut(&key);
        if let Some(transaction) = stream.and_then(|own| own.transaction.as_mut()) {
            transaction.is_over = true;
        }
    }

    /// The deadline of a transaction has expired.
    pub(super) fn forget_timer(&mut self, key: Key) {
        let stream = self.streams.get_mut(&key);
        if let Some(transaction) = stream.and_then(|own| own.transaction.as_mut()) {
            transaction.timer = None;
        }
    }

    /// Where the transactions are that live and that are wanted.
    pub(super) fn find(&self, wanted: impl Fn(&Transaction) -> bool) -> Vec<Key> {
        let is_wanted = |stream: &StreamState| {
            let transaction = stream.transaction.as_ref();
            transaction.is_some_and(|own| own.live().is_some() && wanted(own))
        };
        let found = self.streams.iter().filter(|(_, own)| is_wanted(own));
        found.map(|(key, _)| *key).collect()
    }

    /// The stream, if a request of it runs.
    pub(super) fn busy(&mut self, key: Key) -> Option<&mut StreamState> {
        self.streams
            .get_mut(&key)
            .filter(|stream| stream.running.is_some())
    }

    /// A transaction began in a stream.
    pub(super) fn note_begin(&mut self, key: Key) {
        self.begun.push(key);
    }

    /// Where transactions began since this was asked last.
    pub(super) fn take_begun(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.begun)
    }

    /// A statement of a transaction is about to be executed.
    pub(super) fn note_statement(&mut self, key: Key) {
        if self.touched.last() != Some(&key) {
            self.touched.push(key);
        }
    }

    /// The turn is committed: what is replied to in it holds.
    pub(super) fn forget_statements(&mut self) {
        self.touched.clear();
    }

    /// Where statements were executed since then.
    pub(super) fn take_statements(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.touched)
    }

    /// Takes the transaction of a stream, which is then at its end.
    pub(super) fn take_transaction(&mut self, key: Key) -> Option<Transaction> {
        let stream = self.streams.get_mut(&key)?;
        let transaction = stream.transaction.take();
        if stream.running.is_none() && stream.waiting.is_empty() && !stream.is_gone {
            self.streams.remove(&key);
        }
        transaction
    }

    /// The deferred request of a stream is complete: hands out what waited for it.
    pub(super) fn resume(&mut self, key: Key, ticket: Ticket) -> VecDeque<WaitingRequest> {
        let Some(stream) = self.streams.get_mut(&key) else {
            return VecDeque::new();
        };
        if stream.running != Some(ticket) {
            return VecDeque::new();
        }
        stream.running = None;
        let waiting = std::mem::take(&mut stream.waiting);
        if stream.transaction.is_none() && !stream.is_gone {
            self.streams.remove(&key);
        }
        waiting
    }

    /// A connection is gone.
    pub(super) fn leave(&mut self, connection: u64) {
        for (_, stream) in self
            .streams
            .range_mut((connection, 0)..=(connection, u64::MAX))
        {
            if !stream.is_gone {
                stream.is_gone = true;
                self.gone += 1;
            }
        }
    }

    /// Takes out streams of gone connections in which nothing runs or waits; returns their
    /// transactions. `has_more` tells of requests that were resumed and have not run yet.
    pub(super) fn reap(&mut self, has_more: impl Fn(Key) -> bool) -> Vec<Transaction> {
        if self.gone == 0 {
            return Vec::new();
        }
        let mut left_open = Vec::new();
        let before = self.streams.len();
        self.streams.retain(|key, stream| {
            let is_over = stream.is_gone
                && stream.running.is_none()
                && stream.waiting.is_empty()
                && !has_more(*key);
            if is_over {
                left_open.extend(stream.transaction.take());
            }
            !is_over
        });
        self.gone -= before - self.streams.len();
        left_open
    }
}
