//! What a turn has written and may still write, and its reads that may have to be done again.

use vestibule_wire::{Error, ErrorCode};

use crate::admission::Class;
use crate::engine::{Engine, Procedure, RefusedBy};
use crate::messages::tx::BatchEntry;
use crate::shared::Shared;

/// What may still be written, and what of this turn has to be.
#[derive(Debug, Default)]
pub(super) struct TurnWrites {
    /// The oldest epoch that may write, as of the beginning of the turn.
    floor: u64,
    /// The oldest epoch of what was executed and may have changed data.
    oldest: Option<u64>,
    /// Something that may change no data was executed, and may have changed those of a temporary
    /// space: nothing of it is written, and it is forgotten with the turn.
    may_have_temporary: bool,
    /// What the engine was told last, and who it says refuses changes then.
    told_read_only: Option<(bool, RefusedBy)>,
    /// Reads that came after the first write of the turn, and their bodies one after the other.
    reads: Vec<Read>,
    bodies: Vec<u8>,
}

/// A read that may have seen what is not committed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    pub(super) worker: usize,
    /// Which reply of its worker.
    pub(super) head: usize,
    pub(super) entry: BatchEntry,
    /// Where its body stands among the bodies.
    pub(super) start: usize,
    pub(super) end: usize,
}

impl TurnWrites {
    /// Between two turns: the oldest epoch that may write. True if it is another than before.
    pub(super) fn set_floor(&mut self, floor: u64) -> bool {
        std::mem::replace(&mut self.floor, floor) != floor
    }

    /// Something admitted under this epoch is about to be executed that may change data; false if
    /// it is too old.
    #[inline]
    pub(super) fn admit(&mut self, epoch: u64) -> bool {
        let may_write = epoch >= self.floor;
        if may_write {
            self.oldest = Some(self.oldest.map_or(epoch, |oldest| oldest.min(epoch)));
        }
        may_write
    }

    /// A request is about to be executed: false if it may not change data, or not any more, and
    /// would.
    #[inline]
    pub(super) fn admit_request<E: Engine>(
        &mut self,
        engine: &mut E,
        is_read_only: bool,
        entry: &BatchEntry,
    ) -> bool {
        let is_admitted = if is_read_only {
            self.may_have_temporary |= !matches!(entry.class, Class::Read | Class::Begin);
            entry.class != Class::Write
        } else {
            self.admit(entry.admitted.epoch())
        };
        if is_admitted {
            self.tell(engine, is_read_only);
        }
        is_admitted
    }

    /// Tells the engine whether it may change data, if that changed.
    #[inline]
    pub(super) fn tell<E: Engine>(&mut self, engine: &mut E, is_read_only: bool) {
        if self
            .told_read_only
            .is_none_or(|told| told.0 != is_read_only)
        {
            self.told_read_only = Some((is_read_only, engine.set_read_only(is_read_only)));
        }
    }

    /// Whether the engine was told that nothing may be changed.
    pub(super) fn is_read_only(&self) -> bool {
        self.told_read_only.is_some_and(|told| told.0)
    }

    /// A procedure is about to be called.
    ///
    /// # Errors
    ///
    /// Those of [`check_change`](Self::check_change), if it gets the engine to change it.
    pub(super) fn check_procedure<E>(
        &self,
        procedure: &Procedure<E>,
        shared: &Shared,
    ) -> Result<(), Error> {
        match procedure {
            Procedure::Sync(_) | Procedure::Atomic(_) => self.check_change(shared),
            // An async one asks for the engine step by step.
            Procedure::ReadOnly(_) | Procedure::Async(_) => Ok(()),
        }
    }

    /// What is executed is about to get the engine, to change it.
    ///
    /// # Errors
    ///
    /// `ErrorCode::READONLY` if nothing may be changed, and the engine would not refuse it.
    pub(super) fn check_change(&self, shared: &Shared) -> Result<(), Error> {
        match self.told_read_only {
            Some((true, RefusedBy::Runtime)) => Err(read_only(shared)),
            _ => Ok(()),
        }
    }

    /// A step was executed that may change temporary spaces alone.
    pub(super) fn note_read_only_step(&mut self) {
        self.may_have_temporary = true;
    }

    /// Something of this turn may have changed data.
    pub(super) fn is_begun(&self) -> bool {
        self.oldest.is_some() || self.may_have_temporary
    }

    /// The turn ends: the oldest epoch of what has to be written.
    pub(super) fn take(&mut self) -> Option<u64> {
        self.may_have_temporary = false;
        self.oldest.take()
    }

    /// Remembers a plain read, should it have to be done again.
    pub(super) fn note_read(
        &mut self,
        worker: usize,
        head: usize,
        entry: &BatchEntry,
        body: &[u8],
    ) {
        if entry.class != Class::Read || entry.stream != 0 {
            return;
        }
        let start = self.bodies.len();
        self.bodies.extend_from_slice(body);
        self.reads.push(Read {
            worker,
            head,
            entry: *entry,
            start,
            end: self.bodies.len(),
        });
    }

    /// Takes out the reads, and their bodies.
    pub(super) fn take_reads(&mut self) -> (Vec<Read>, Vec<u8>) {
        let reads = std::mem::take(&mut self.reads);
        (reads, std::mem::take(&mut self.bodies))
    }

    pub(super) fn forget_reads(&mut self) {
        self.reads.clear();
        self.bodies.clear();
    }
}

/// The error for what may not change data, or not any more.
pub(super) fn read_only(shared: &Shared) -> Error {
    let status = shared.serving.status(shared.clock.now());
    status.error(ErrorCode::READONLY)
}
