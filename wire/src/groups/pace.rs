//! How much is taken out of the groups ahead of the socket: little, unless it has just taken much.
//!
//! ```text
//!   a flush ─┬ takes as many bytes more as the socket has taken of it, or of the last one
//!            └ ends at a full socket: the next begins with a quarter of what this one wrote
//! ```
//!
//! What is taken out cannot be overtaken any more. A socket that takes a megabyte without a pause
//! has sent it before that matters, and is given much in each system call; one that takes a packet
//! or two at a time gets no more than these, in packet buffers that are small as well. By the same
//! measure the kernel is asked to hold more or less of what it has not sent.

use crate::limits::{
    AHEAD_MAX, AHEAD_MIN, CHUNK_PAYLOAD_MAX, GROUP_QUANTUM, RECORD_MAX, RECORD_SLOW_MAX,
    SLOW_FLUSH_MAX, UNSENT_IN_KERNEL_FAST_MAX, UNSENT_IN_KERNEL_MAX,
};

/// What a socket has shown that it takes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    last: usize,
    /// Whether it was full then.
    was_full: bool,
    /// The kernel was asked to hold as much of it as of a fast one.
    is_fast: bool,
}

impl Pace {
    /// Bytes that may stand ready, when the socket has taken `taken` bytes in this flush.
    #[must_use]
    pub fn ahead(self, taken: usize) -> usize {
        let last = if self.was_full {
            self.last / 4
        } else {
            self.last
        };
        taken.max(last).clamp(AHEAD_MIN, AHEAD_MAX)
    }

    /// Largest piece to take out next, when `ready` bytes stand ready of those that may: a quarter
    /// of what the socket takes, and no less than a quantum, which each group may send in its turn.
    /// `None` if nothing is to be taken out.
    #[must_use]
    pub fn piece(self, taken: usize, ready: usize) -> Option<usize> {
        let ahead = self.ahead(taken);
        let is_due = ready == 0 || ready + GROUP_QUANTUM <= ahead;
        let takes = taken.max(self.last) / 4;
        is_due.then(|| takes.clamp(GROUP_QUANTUM, CHUNK_PAYLOAD_MAX))
    }

    /// Most bytes of a write that the kernel is not to join others with: [`RECORD_MAX`], or
    /// [`RECORD_SLOW_MAX`] for a socket that was full when it had taken little.
    #[must_use]
    pub fn record_max(self) -> usize {
        if self.was_full && self.last <= SLOW_FLUSH_MAX {
            RECORD_SLOW_MAX
        } else {
            RECORD_MAX
        }
    }

    /// Unsent bytes with which the kernel is to take no more from now on (`TCP_NOTSENT_LOWAT`), if
    /// that has changed: [`UNSENT_IN_KERNEL_MAX`] at first. More delays nothing where the socket
    /// takes much in a flush, or not little, if it did so before.
    #[must_use]
    pub fn new_unsent_max(&mut self) -> Option<u32> {
        let least = if self.is_fast {
            AHEAD_MAX / 8
        } else {
            AHEAD_MAX / 2
        };
        let is_fast = self.last >= least;
        let was_fast = std::mem::replace(&mut self.is_fast, is_fast);
        (is_fast != was_fast).then_some(if is_fast {
            UNSENT_IN_KERNEL_FAST_MAX
        } else {
            UNSENT_IN_KERNEL_MAX
        })
    }

    /// A flush has ended before the socket was full, when it had taken this many bytes.
    pub fn on_open(&mut self, taken: usize) {
        self.last = self.last.max(taken);
        self.was_full = false;
    }

    /// A flush has ended at a full socket, which had taken this many bytes before.
    pub fn on_full(&mut self, taken: usize) {
        self.last = taken;
        self.was_full = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_socket_is_given_one_quantum_at_a_time() {
        let mut pace = Pace::default();
        for taken in [0, 3000, AHEAD_MIN, 3 * AHEAD_MIN] {
            pace.on_full(taken);
            assert_eq!(pace.ahead(0), AHEAD_MIN);
            assert_eq!(pace.piece(0, 0), Some(GROUP_QUANTUM));
            assert_eq!(pace.piece(0, 1), None);
            assert_eq!(pace.new_unsent_max(), None);
        }
    }

    #[test]
    fn records_are_small_for_a_socket_that_is_full_when_it_has_taken_little() {
        let mut pace = Pace::default();
        assert_eq!(pace.record_max(), RECORD_MAX);
        for (taken, most) in [
            (AHEAD_MIN, RECORD_SLOW_MAX),
            (SLOW_FLUSH_MAX, RECORD_SLOW_MAX),
            (SLOW_FLUSH_MAX + 1, RECORD_MAX),
            (0, RECORD_SLOW_MAX),
        ] {
            pace.on_full(taken);
            assert_eq!(pace.record_max(), most, "{taken}");
        }
        pace.on_open(AHEAD_MIN);
        assert_eq!(pace.record_max(), RECORD_MAX, "it had room for more");
    }

    #[test]
    fn a_socket_that_was_fast_stays_so_while_it_does_not_take_little() {
        let mut pace = Pace::default();
        let steps = [
            (AHEAD_MAX / 4, None),
            (AHEAD_MAX, Some(UNSENT_IN_KERNEL_FAST_MAX)),
            (AHEAD_MAX / 2, None),
            (AHEAD_MAX / 4, None),
            (AHEAD_MAX / 8 - 1, Some(UNSENT_IN_KERNEL_MAX)),
            (AHEAD_MAX / 4, None),
        ];
        for (taken, told) in steps {
            pace.on_full(taken);
            assert_eq!(pace.new_unsent_max(), told, "{taken}");
            assert_eq!(pace.new_unsent_max(), None, "it is told once");
        }
        pace.on_open(AHEAD_MAX);
        assert_eq!(pace.new_unsent_max(), Some(UNSENT_IN_KERNEL_FAST_MAX));
    }

    #[test]
    fn a_fast_socket_is_given_much_from_the_first_write_of_a_flush_on() {
        let mut pace = Pace::default();
        assert_eq!(pace.ahead(100_000), 100_000);
        pace.on_open(AHEAD_MAX + 1);
        assert_eq!(pace.ahead(0), AHEAD_MAX);
        assert_eq!(pace.piece(0, 0), Some(CHUNK_PAYLOAD_MAX));
        assert_eq!(
            pace.piece(0, AHEAD_MAX - GROUP_QUANTUM),
            Some(CHUNK_PAYLOAD_MAX)
        );
        assert_eq!(pace.piece(0, AHEAD_MAX - GROUP_QUANTUM + 1), None);
        // It was full once: less, until it takes as much again.
        pace.on_full(AHEAD_MAX);
        assert_eq!(pace.ahead(0), AHEAD_MAX / 4);
        assert_eq!(pace.piece(0, 0), Some(CHUNK_PAYLOAD_MAX));
        assert_eq!(pace.ahead(AHEAD_MAX), AHEAD_MAX);
    }
}
