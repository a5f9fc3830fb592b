//! How far a worker has come with what it does in steps: telling its sessions of a change, and a
//! transition. Pure.
//!
//! A lap is the order in which the worker looks at its sessions after a change:
//!
//! ```text
//!   change ─▶ one lap from where the last one ended ── 256 sessions ──▶ others run ─┐
//!                        ▲                 ▲                                        ▼
//!                        │                 └──────────── the next 256 ◀─────────────┤
//!                        └─ a change meanwhile: a whole lap from here ◀─────────────┘
//! ```
//!
//! So changes that never end leave no session out.

use std::time::Instant;

use crate::limits::NOTICES_PER_STEP_MAX;
use crate::transitions::TransitionScope;

/// The rounds of a worker from session to session.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lap {
    next: u32,
    /// The numbers below this are gone through. Higher ones are sessions that came after the
    /// change, and know it.
    numbers: u32,
    /// How many numbers are left.
    left: u32,
    /// The change of state that it is about, by its epoch, and when that was told.
    change: Option<(u64, Instant)>,
}

impl Lap {
    /// Something has changed: the state, if it is given. All the sessions there are, whose numbers
    /// are below `numbers`, are to be looked at from now on.
    pub(super) fn begin(&mut self, numbers: u32, change: Option<(u64, Instant)>) {
        self.numbers = numbers;
        self.left = numbers;
        self.change = change.or(self.change);
    }

    /// The sessions to look at in this step: at most [`NOTICES_PER_STEP_MAX`].
    pub(super) fn step(&mut self) -> impl Iterator<Item = u32> {
        (0..NOTICES_PER_STEP_MAX).map_while(|_| self.advance())
    }

    fn advance(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let session = if self.next < self.numbers {
            self.next
        } else {
            0
        };
        self.next = session + 1;
        Some(session)
    }

    /// Whether there is something to do still.
    pub(super) fn is_under_way(&self) -> bool {
        self.left > 0 || self.change.is_some()
    }

    /// If all sessions have been looked at: the change of state that they know now, told once.
    pub(super) fn take_known(&mut self) -> Option<(u64, Instant)> {
        self.change.take_if(|_| self.left == 0)
    }
}

/// A transition that a worker takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InTransition {
    /// The machine's number of it.
    pub(super) serial: u64,
    /// What it is about.
    pub(super) scope: TransitionScope,
    /// The Supervisor knows that nothing is left to wait for.
    pub(super) is_quiet: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: usize = NOTICES_PER_STEP_MAX;

    /// Sessions by their numbers, each with the last change that it knows.
    struct Model {
        lap: Lap,
        known: Vec<u64>,
        /// Numbers that there is memory for, as of a slab.
        numbers: u32,
        changes: u64,
        since: Instant,
    }

    impl Model {
        fn new(sessions: usize) -> Self {
            Self {
                lap: Lap::default(),
                known: vec![0; sessions],
                numbers: sessions as u32,
                changes: 0,
                since: Instant::now(),
            }
        }

        fn change(&mut self) {
            self.changes += 1;
            self.lap
                .begin(self.numbers, Some((self.changes, self.since)));
        }

        /// A session that comes knows the state that it comes in.
        fn connect(&mut self) {
            self.known.push(self.changes);
            if self.known.len() > self.numbers as usize {
                self.numbers *= 2;
            }
        }

        /// Returns who was looked at, and the change that all know now.
        fn step(&mut self) -> (Vec<u32>, Option<u64>) {
            let told: Vec<u32> = self.lap.step().collect();
            for session in &told {
                if let Some(known) = self.known.get_mut(*session as usize) {
                    *known = self.changes;
                }
            }
            (told, self.lap.take_known().map(|(epoch, _)| epoch))
        }

        /// Goes on to the end of the lap, which is this many steps away at most.
        fn finish(&mut self, steps_max: usize) {
            for _ in 0..steps_max {
                if let (_, Some(known)) = self.step() {
                    assert_eq!(known, self.changes);
                    assert!(!self.lap.is_under_way());
                    return;
                }
            }
            panic!("the lap does not end: {:?}", self.lap);
        }

        fn check_all_know(&self) {
            let left_out = self.known.iter().position(|known| *known != self.changes);
            assert_eq!(left_out, None, "{:?}", self.lap);
        }
    }

    #[test]
    fn a_lap_tells_each_session_once_some_in_each_step() {
        let mut model = Model::new(3 * STEP + 100);
        // The second lap begins where the first one ended, the third as the second.
        for lap in 1..=3 {
            model.change();
            let steps: Vec<_> = (0..4).map(|_| model.step()).collect();
            let sizes: Vec<_> = steps.iter().map(|(told, _)| told.len()).collect();
            assert_eq!(sizes, [STEP, STEP, STEP, 100]);
            let known: Vec<_> = steps.iter().map(|(_, known)| *known).collect();
            assert_eq!(known, [None, None, None, Some(lap)]);
            let mut told: Vec<_> = steps.into_iter().flat_map(|(told, _)| told).collect();
            told.sort_unstable();
            assert!(told.into_iter().eq(0..3 * STEP as u32 + 100));
            assert!(!model.lap.is_under_way());
            assert_eq!(model.step(), (vec![], None));
        }
    }

    #[test]
    fn a_change_during_a_lap_is_told_to_each_session_once_more() {
        for steps_before in 0..=4 {
            let mut model = Model::new(3 * STEP + 100);
            model.change();
            (0..steps_before).for_each(|_| drop(model.step()));
            model.change();
            let mut told = Vec::new();
            while model.lap.is_under_way() {
                told.extend(model.step().0);
            }
            model.check_all_know();
            told.sort_unstable();
            assert!(told.into_iter().eq(0..3 * STEP as u32 + 100));
        }
    }

    #[test]
    fn changes_that_never_end_leave_no_session_out() {
        let mut model = Model::new(3 * STEP + 100);
        let mut told = vec![false; model.known.len()];
        for _ in 0..4 {
            model.change();
            let (step, known) = model.step();
            // There was no whole lap.
            assert_eq!(known, None);
            step.iter().for_each(|own| told[*own as usize] = true);
        }
        assert!(told.iter().all(|told| *told));
    }

    #[test]
    fn sessions_that_come_during_a_lap_take_nobodys_turn() {
        for steps_before in 1..=4 {
            let mut model = Model::new(4 * STEP);
            model.change();
            (0..steps_before).for_each(|_| drop(model.step()));
            // A lap that begins in the middle has to come back to the first numbers.
            model.change();
            let _ = model.step();
            model.connect();
            assert_eq!(model.numbers as usize, 8 * STEP);
            model.finish(3);
            model.check_all_know();
            // The next one goes through the new numbers too.
            model.change();
            model.finish(8);
            model.check_all_know();
        }
    }

    #[test]
    fn a_change_is_known_to_all_also_when_there_is_nobody() {
        let mut model = Model::new(0);
        model.change();
        assert!(model.lap.is_under_way());
        assert_eq!(model.step(), (vec![], Some(1)));
        assert!(!model.lap.is_under_way());
    }

    #[test]
    fn what_is_no_change_of_state_does_not_forget_the_one_that_is_being_told() {
        let mut model = Model::new(STEP + 1);
        model.change();
        assert_eq!(model.step().1, None);
        model.lap.begin(model.numbers, None);
        assert_eq!(model.step().1, None);
        assert_eq!(model.step().1, Some(1));
    }
}
