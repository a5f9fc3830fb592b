//! What clients have seen where replicas answer SELECTs, and whether they see it again.
//!
//! ```text
//!   a write is done ─▶ its place ─▶ its client is told ──────┐
//!   a SELECT is answered as of a place ─▶ its client is told ┴▶ seen: the next SELECT is of no
//!                                                              place before that
//! ```

use std::collections::BTreeMap;
use std::time::Instant;

use super::fates::Fates;
use crate::simulation::asked::What;
use crate::simulation::client::Told;
use crate::upstream::ReadFrom;

/// How much was done, by who did it.
pub(super) type Vclock = [u64; 3];

/// How much that is: one has more than another one has if it is later.
fn place(vclock: &Vclock) -> u64 {
    vclock.iter().sum()
}

#[derive(Debug, Clone, Copy)]
struct SentRead {
    at: Instant,
    /// The place that its client had seen.
    seen: u64,
    /// No replica is to answer it.
    is_of_primary: bool,
}

/// What was read and written, and by whom it was seen.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// All that was done.
    pub(super) done: Vclock,
    /// Somebody takes changes: others may be behind.
    pub(super) may_lag: bool,
    /// Where SELECTs are answered of who has not said it, if replicas answer any.
    by_default: Option<ReadFrom>,
    /// By key.
    sent: BTreeMap<u64, SentRead>,
    /// As of which place reads were answered, and where writes stand, by key.
    read_at: BTreeMap<u64, u64>,
    written_at: BTreeMap<u64, u64>,
    /// By connection, what its client has seen.
    seen: BTreeMap<u64, u64>,
    /// What connections have asked for last, and what they were told last that they have.
    wanted: BTreeMap<u64, ReadFrom>,
    told: BTreeMap<u64, ReadFrom>,
    /// SELECTs that came to who requests did not go to.
    pub(super) by_replicas: usize,
}

impl Reads {
    pub(super) fn new(by_default: Option<ReadFrom>) -> Self {
        Self {
            by_default,
            ..Self::default()
        }
    }

    /// Whether connections may say who answers their SELECTs.
    pub(super) fn are_shared(&self) -> bool {
        self.by_default.is_some()
    }

    /// A connection came in where replicas answer.
    pub(super) fn came_in(&mut self, connection: u64) {
        self.wanted.insert(connection, ReadFrom::Replica);
    }

    /// A connection asks for what it wants.
    pub(super) fn want(&mut self, connection: u64, read_from: ReadFrom) {
        self.wanted.insert(connection, read_from);
    }

    /// Whether no replica is to answer what a connection sends now. What it has asked for counts
    /// when it is told so.
    fn is_of_primary(&self, connection: u64) -> bool {
        let Some(by_default) = self.by_default else {
            return true;
        };
        let told = || self.told.get(&connection).copied();
        let own = match self.wanted.get(&connection) {
            None => by_default,
            Some(ReadFrom::Replica) => ReadFrom::Replica,
            Some(ReadFrom::Primary) => told().unwrap_or(ReadFrom::Replica),
        };
        own == ReadFrom::Primary
    }

    /// A client sends a SELECT.
    pub(super) fn note(&mut self, connection: u64, key: u64, at: Instant) {
        let sent = SentRead {
            at,
            seen: self.seen.get(&connection).copied().unwrap_or(0),
            is_of_primary: self.is_of_primary(connection),
        };
        self.sent.insert(key, sent);
    }

    /// A client is told.
    pub(super) fn on_told(&mut self, connection: u64, what: What, told: Told) {
        let place = match what {
            _ if told != Told::Done => return,
            What::Read(key) => self.read_at.get(&key),
            What::Write(key) | What::Steps(key) => self.written_at.get(&key),
            What::ReadFrom(own) => {
                self.told.insert(connection, own);
                return;
            }
            _ => return,
        };
        let seen = self.seen.entry(connection).or_default();
        *seen = place.copied().unwrap_or(0).max(*seen);
    }
}

impl Fates {
    /// A SELECT has come to an upstream that has so much, and takes changes or not.
    pub(super) fn on_read(
        &mut self,
        (upstream, is_writable): (usize, bool),
        applied: &Vclock,
        key: u64,
    ) {
        let place = place(applied);
        self.reads.read_at.insert(key, place);
        let Some(sent) = self.reads.sent.get(&key).copied() else {
            return;
        };
        let was_meant = self.was_meant(upstream, sent.at);
        self.reads.by_replicas += usize::from(!was_meant);
        if !was_meant && sent.is_of_primary {
            let fault = format!("{upstream} reads key {key}, where no request goes");
            self.ledger.fault(fault);
        }
        // Where all that are in use take no changes, one of them is asked: what it lacks, nobody
        // has who could be.
        let is_last_resort = was_meant && !is_writable;
        if place < sent.seen && !is_last_resort {
            let seen = sent.seen;
            let fault = format!("{upstream} reads key {key} at {place}, and {seen} was seen");
            self.ledger.fault(fault);
        }
    }

    /// An upstream has done these writes.
    pub(super) fn on_done(&mut self, upstream: usize, keys: &[u64]) {
        for key in keys {
            self.reads.done[upstream] += 1;
            let place = place(&self.reads.done);
            self.reads.written_at.insert(*key, place);
        }
    }
}
