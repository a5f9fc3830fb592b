//! The fence: nothing that was admitted before a transition is written after it is reported done.
//!
//! ```text
//!   word:  floor (the oldest epoch that may write) │ a write is under way
//!
//!   Tx, right before the journal                    a transition, at its kill
//!   begin_write(oldest): one compare-and-swap       raise(floor): one compare-and-swap
//!     oldest < floor ─▶ refused: the turn's        ├ no write under way: none of an older epoch
//!     │               writes are discarded         │   will ever begin
//!     └ else the mark is set ─▶ write ─▶ end_write └ a write under way: its outcome is
//!                                                      unknown to those who are answered now
//! ```
//!
//! Both change the same word, so one of them comes first. If the raise does, the write of an older
//! epoch is refused; if the write does, the raise sees its mark. There is no third way, however
//! long Tx stands still between looking at a request and writing it.

use std::sync::atomic::{AtomicU64, Ordering};

const WRITING: u64 = 1;

/// One per runtime. Tx alone begins and ends writes; the Supervisor alone raises it.
#[derive(Debug, Default)]
pub(crate) struct Fence(AtomicU64);

/// The epochs are too old to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fenced;

impl Fence {
    /// The oldest epoch that may write.
    pub(crate) fn floor(&self) -> u64 {
        self.0.load(Ordering::Acquire) >> 1
    }

    /// Tx is about to write what was admitted under `oldest` or later.
    ///
    /// # Errors
    ///
    /// If some of it is too old: then nothing may be written.
    pub(crate) fn begin_write(&self, oldest: u64) -> Result<(), Fenced> {
        let mark = |word: u64| (oldest >= word >> 1).then_some(word | WRITING);
        let marked = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, mark);
        marked.map(drop).map_err(|_| Fenced)
    }

    /// The write is over, well or not.
    pub(crate) fn end_write(&self) {
        self.0.fetch_and(!WRITING, Ordering::AcqRel);
    }

    /// From now on only epochs from `floor` on may write; it never sinks. True if a write is under
    /// way, which may be of an older epoch.
    pub(crate) fn raise(&self, floor: u64) -> bool {
        let raise = |word: u64| Some((word >> 1).max(floor) << 1 | word & WRITING);
        let old = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, raise);
        old.unwrap_or_else(|word| word) & WRITING != 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    /// QL-03: what a kill has ruled out stays so, by its epoch and not by a flag.
    #[test]
    fn what_is_older_than_the_floor_is_not_written() {
        let fence = Fence::default();
        assert_eq!(fence.begin_write(1), Ok(()));
        fence.end_write();
        assert!(!fence.raise(5));
        assert_eq!(fence.begin_write(4), Err(Fenced));
        assert_eq!(fence.begin_write(5), Ok(()));
        fence.end_write();
    }

    #[test]
    fn a_write_under_way_is_seen_and_its_end_leaves_the_floor() {
        let fence = Fence::default();
        assert_eq!(fence.begin_write(1), Ok(()));
        assert!(fence.raise(2));
        fence.end_write();
        assert_eq!(fence.floor(), 2);
        assert!(!fence.raise(1), "it never sinks");
        assert_eq!(fence.floor(), 2);
    }

    /// One step of either side, as the memory sees them: each operation is one step.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum FenceStep {
        Begin(u64),
        End,
        Raise(u64),
    }

    /// Every order in which two sequences of steps can mix.
    fn mixes(tx: &[FenceStep], supervisor: &[FenceStep]) -> Vec<Vec<FenceStep>> {
        let with = |first: FenceStep, rest: Vec<Vec<FenceStep>>| {
            let put = move |mut own: Vec<FenceStep>| {
                own.insert(0, first);
                own
            };
            rest.into_iter().map(put).collect::<Vec<_>>()
        };
        match (tx, supervisor) {
            ([], rest) | (rest, []) => vec![rest.to_vec()],
            ([first, tx_rest @ ..], [other, rest @ ..]) => {
                let mut all = with(*first, mixes(tx_rest, supervisor));
                all.extend(with(*other, mixes(tx, rest)));
                all
            }
        }
    }

    #[test]
    fn in_every_order_an_old_write_is_refused_or_seen_or_over_before_the_report() {
        let tx = [
            FenceStep::Begin(1),
            FenceStep::End,
            FenceStep::Begin(1),
            FenceStep::End,
            FenceStep::Begin(3),
            FenceStep::End,
        ];
        let all = mixes(&tx, &[FenceStep::Raise(2), FenceStep::Raise(3)]);
        assert_eq!(all.len(), 28);
        for mix in all {
            let fence = Fence::default();
            let (mut floor, mut writing, mut excused) = (0, None, false);
            for step in &mix {
                match *step {
                    FenceStep::Begin(epoch) => {
                        let begun = fence.begin_write(epoch).is_ok();
                        assert_eq!(begun, epoch >= floor, "{mix:?}");
                        writing = begun.then_some(epoch);
                        excused = false;
                    }
                    FenceStep::End => {
                        if writing.take().is_some_and(|epoch| epoch < floor) {
                            assert!(excused, "written late, and nobody was told: {mix:?}");
                        }
                        fence.end_write();
                    }
                    FenceStep::Raise(to) => {
                        floor = to;
                        let seen = fence.raise(to);
                        assert_eq!(seen, writing.is_some(), "{mix:?}");
                        excused |= seen;
                    }
                }
            }
        }
    }

    #[test]
    fn between_two_threads_nothing_old_begins_after_the_raise() {
        const FLOOR: u64 = 2;
        for _ in 0..2000 {
            let fence = Arc::new(Fence::default());
            let written = Arc::new(AtomicBool::new(false));
            let tx = thread::spawn({
                let (fence, written) = (fence.clone(), written.clone());
                move || {
                    if fence.begin_write(FLOOR - 1).is_ok() {
                        written.store(true, Ordering::Release);
                        fence.end_write();
                    }
                }
            });
            let is_under_way = fence.raise(FLOOR);
            let was_written = written.load(Ordering::Acquire);
            tx.join().expect("the writing thread does not panic");
            let is_late = written.load(Ordering::Acquire) && !was_written;
            assert!(!is_late || is_under_way);
        }
    }
}
