//! The ledger: what is in the journal, what clients were told, and whether the two agree.
//!
//! Every write has a key of its own, so that its fate can be told from the journal.

use std::sync::Arc;
use std::time::Instant;

use super::clock;
use crate::serving::{Role, ServingCell};

/// What a client was told of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not yet, or its connection is closed.
    Nothing,
    /// The write is in the journal.
    Acknowledged,
    /// The write did not happen and never will.
    Refused,
    /// Nobody knows.
    Unknown,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    verdict: Verdict,
    is_committed: bool,
    /// A part of a transaction whose COMMIT was not sent: it must not be in the journal.
    is_open: bool,
}

/// One per world, also seen by the engine.
#[derive(Debug)]
pub(super) struct Ledger {
    cell: Arc<ServingCell>,
    entries: Vec<Entry>,
    /// What is wrong; empty if all is well.
    faults: Vec<String>,
    /// Keys of the journal write that is under way.
    writing: Vec<u64>,
    is_traced: bool,
    begun: Instant,
    /// What happened, mixed into one number: the same seed must give the same.
    pub(super) fingerprint: u64,
    pub(super) committed: u64,
}

impl Ledger {
    pub(super) fn new(cell: Arc<ServingCell>) -> Self {
        Self {
            cell,
            entries: Vec::new(),
            faults: Vec::new(),
            writing: Vec::new(),
            is_traced: std::env::var_os("VESTIBULE_SIMULATION_TRACE").is_some(),
            begun: clock::now(),
            fingerprint: 0xcbf2_9ce4_8422_2325,
            committed: 0,
        }
    }

    /// A key for a new write.
    pub(super) fn key(&mut self, is_open: bool) -> u64 {
        self.entries.push(Entry {
            verdict: Verdict::Nothing,
            is_committed: false,
            is_open,
        });
        self.entries.len() as u64 - 1
    }

    /// How many keys there are.
    pub(super) fn key_count(&self) -> usize {
        self.entries.len()
    }

    /// Writes down what happens, to find the cause of a fault.
    pub(super) fn note(&self, what: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{:?} {}", clock::now() - self.begun, what());
        }
    }

    pub(super) fn fault(&mut self, fault: String) {
        self.note(|| format!("FAULT {fault}"));
        self.faults.push(fault);
    }

    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    pub(super) fn mix(&mut self, value: u64) {
        self.fingerprint = (self.fingerprint ^ value).wrapping_mul(0x0100_0000_01b3);
    }

    /// A journal write begins: from here on it may be on the disk.
    pub(super) fn begin_write(&mut self, keys: &[u64]) {
        self.writing = keys.to_vec();
        let serving = self.cell.load();
        self.note(|| format!("write of {keys:?} begins under {serving:?}"));
        if serving.role == Role::Replica || !serving.state.traits().serves {
            self.fault(format!("keys {keys:?} are written under {serving:?}"));
        }
    }

    /// Keys of the journal write that is under way.
    pub(super) fn writing(&self) -> Vec<u64> {
        self.writing.clone()
    }

    /// The write failed, or its engine died.
    pub(super) fn give_up_write(&mut self) {
        self.writing.clear();
    }

    /// The write is on the disk.
    pub(super) fn end_write(&mut self, keys: &[u64]) {
        self.writing.clear();
        self.note(|| format!("write of {keys:?} ends"));
        for key in keys {
            self.mix(*key);
            self.committed += 1;
            let entry = &mut self.entries[*key as usize];
            let was_committed = std::mem::replace(&mut entry.is_committed, true);
            let entry = *entry;
            if was_committed {
                self.fault(format!("key {key} is executed twice"));
            }
            if entry.verdict == Verdict::Refused {
                self.fault(format!("key {key} was refused and is executed after that"));
            }
            if entry.is_open {
                self.fault(format!("key {key} is written without its COMMIT"));
            }
        }
    }

    /// COMMIT of its transaction is sent.
    pub(super) fn close(&mut self, key: u64) {
        self.entries[key as usize].is_open = false;
    }

    /// A client is told.
    pub(super) fn tell(&mut self, key: u64, verdict: Verdict) {
        self.mix(key << 2 | verdict as u64);
        self.note(|| format!("key {key} is told {verdict:?}"));
        let entry = &mut self.entries[key as usize];
        entry.verdict = verdict;
        let is_committed = entry.is_committed;
        match verdict {
            Verdict::Acknowledged if !is_committed => {
                self.fault(format!("key {key} is acknowledged and not in the journal"));
            }
            Verdict::Refused if is_committed => {
                self.fault(format!(
                    "key {key} is in the journal and refused after that"
                ));
            }
            _ => {}
        }
    }
}
