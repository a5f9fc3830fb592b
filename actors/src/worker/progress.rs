//! How far a worker has come with what it does in steps: telling its sessions of a change, and a
//! transition. Pure.

use std::time::Instant;

/// The rounds of a worker from session to session.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lap {
    next: usize,
    /// How many sessions' numbers are left.
    left: usize,
    /// The change of state that it is about, by its epoch, and when that was told.
    change: Option<(u64, Instant)>,
}

impl Lap {
    /// A whole lap over these `numbers` begins from here, for a change of state if it is given.
    pub(super) fn begin(&mut self, numbers: usize, change: Option<(u64, Instant)>) {
        self.left = numbers;
        self.change = change.or(self.change);
    }

    /// Which of the `numbers` is to be looked at now; `None` if all have had their turn.
    pub(super) fn step(&mut self, numbers: usize) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let session = if self.next < numbers { self.next } else { 0 };
        self.next = session + 1;
        Some(session)
    }

    /// Whether no session is left.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The change that the lap was about. It is told once.
    pub(super) fn take_change(&mut self) -> Option<(u64, Instant)> {
        self.change.take()
    }

    /// Whether there is something to do.
    pub(super) fn is_under_way(&self) -> bool {
        !self.is_over() || self.change.is_some()
    }
}

/// A transition that a worker takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InTransition {
    /// The machine's number of it.
    pub(super) serial: u64,
    /// It is a stop; else a demotion.
    pub(super) is_stop: bool,
    /// The Supervisor knows that nothing is left to wait for.
    pub(super) is_quiet: bool,
}
