//! Where requests go while upstreams change places. Pure, with `now` passed in.
//!
//! ```text
//!                     one takes changes
//!   Nowhere ─────────────────────────────▶ To ◀──────────────── one takes changes
//!      ▲                                    │                         │
//!      ├── it says nothing any more ────────┤                         │
//!      │                                    └── lost, read-only: ──▶ Held{until}
//!      └──────────────────── time is over ────── a typed sign ────────┘
//! ```
//!
//! Silence may last, and who asks is told at once; a typed sign says that another one is about to
//! take its place, or that it is about to come back itself.

use std::time::{Duration, Instant};

use super::choose::choose;
use super::scout::{Condition, ElectionTerm};

/// More than any fail-over takes: what is longer is this.
const HOLD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Where requests go, as it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// To this one.
    To(usize),
    /// Nowhere yet: the one that takes over soon gets them.
    Held,
    /// Nowhere.
    Nowhere,
}

/// What is decided one after another.
#[derive(Debug)]
pub(crate) struct Failover {
    /// For how long requests are held.
    hold: Duration,
    decision: Decision,
    /// Until when, while they are.
    until: Option<Instant>,
    /// The upstream that requests went to last.
    last: Option<usize>,
    /// The one that operators prefer.
    preferred: Option<usize>,
    /// Whether that took changes.
    was_writable: bool,
}

impl Failover {
    /// Nothing is known yet. With a time of zero nothing is ever held.
    pub(crate) fn new(hold: Duration) -> Self {
        Self {
            hold: hold.min(HOLD_MAX),
            decision: Decision::Nowhere,
            until: None,
            last: None,
            preferred: None,
            was_writable: false,
        }
    }

    /// Has this one go before others that take changes, but for the one that requests went to last.
    pub(crate) fn preferring(self, preferred: Option<usize>) -> Self {
        Self { preferred, ..self }
    }

    /// Until when requests are held, if they are.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.until
    }

    /// Decides, by how the upstreams are, and of which elections they have told.
    pub(crate) fn decide(
        &mut self,
        conditions: &[Condition],
        terms: &[ElectionTerm],
        now: Instant,
    ) -> Decision {
        let chosen = choose(conditions, terms, self.last, self.preferred);
        let is_writable = chosen.is_some_and(|own| conditions[own].is_writable());
        self.decision = match chosen {
            Some(upstream) if is_writable => Decision::To(upstream),
            // Who is asked knows nothing better than an upstream that is read-only: in time.
            chosen => match self.is_held(conditions, now) {
                true => Decision::Held,
                false => chosen.map_or(Decision::Nowhere, Decision::To),
            },
        };
        match self.decision {
            Decision::To(upstream) => {
                self.last = Some(upstream);
                self.was_writable = is_writable;
                self.until = None;
            }
            Decision::Held => {}
            Decision::Nowhere => self.until = None,
        }
        self.decision
    }

    /// Whether none takes changes, and that is about to change.
    fn is_held(&mut self, conditions: &[Condition], now: Instant) -> bool {
        match (self.decision, self.until, self.last) {
            // What is open on one that is drained may come to its end meanwhile.
            (Decision::Held, Some(until), Some(last)) => {
                now < until || conditions[last] == Condition::Leaving
            }
            (Decision::To(_), _, Some(last)) if self.is_sign(conditions, last) => {
                self.until = Some(now + self.hold);
                !self.hold.is_zero()
            }
            _ => false,
        }
    }

    /// Whether how the upstream is that requests went to is a sign that another one takes its
    /// place, or that it comes back.
    fn is_sign(&self, conditions: &[Condition], last: usize) -> bool {
        match conditions[last] {
            Condition::Silent => false,
            Condition::Absent | Condition::Loading => true,
            Condition::Leaving | Condition::Drained => true,
            // There is nobody else who could.
            Condition::Serving { .. } => self.was_writable && conditions.len() > 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::upstream::scout::in_a_letter::{A, D, G, L, R, S, W};

    const HOLD: Duration = Duration::from_secs(1);

    /// What is decided of these conditions, each 400 ms after the one before.
    fn decisions(hold: Duration, all: &[&[Condition]]) -> Vec<Decision> {
        let (mut own, mut now) = (Failover::new(hold), Instant::now());
        let decide = |conditions: &&[Condition]| {
            now += Duration::from_millis(400);
            own.decide(conditions, &[], now)
        };
        all.iter().map(decide).collect()
    }

    #[test]
    fn a_typed_sign_holds_for_its_time_and_silence_does_not() {
        use Decision::{Held, Nowhere, To};
        for (all, expected) in [
            (
                &[&[W, R][..], &[A, R], &[A, R], &[A, W]][..],
                &[To(0), Held, Held, To(1)][..],
            ),
            (&[&[W, R], &[S, R], &[S, W]], &[To(0), Nowhere, To(1)]),
            (
                &[&[W], &[A], &[L], &[L], &[A], &[W]],
                &[To(0), Held, Held, Held, Nowhere, To(0)],
            ),
            // It does not begin again, nor after silence.
            (
                &[&[W], &[S], &[A], &[S]],
                &[To(0), Nowhere, Nowhere, Nowhere],
            ),
            (&[&[A], &[L], &[S]], &[Nowhere, Nowhere, Nowhere]),
        ] {
            assert_eq!(decisions(HOLD, all), expected, "{all:?}");
        }
    }

    #[test]
    fn requests_are_held_for_as_long_as_the_drain_of_the_one_they_went_to() {
        use Decision::{Held, Nowhere, To};
        let all = &[&[W][..], &[G], &[G], &[G], &[G], &[D], &[W]];
        let expected = [To(0), Held, Held, Held, Held, Nowhere, To(0)];
        assert_eq!(decisions(HOLD, all), expected);
        let all = &[&[W, R][..], &[G, R], &[G, W], &[D, W], &[W, W]];
        let expected = [To(0), Held, To(1), To(1), To(1)];
        assert_eq!(decisions(HOLD, all), expected);
        let never = decisions(Duration::ZERO, &[&[W], &[G], &[D]]);
        assert_eq!(never, [To(0), Nowhere, Nowhere]);
        let other = decisions(HOLD, &[&[W, R], &[W, G], &[W, D]]);
        assert_eq!(other, [To(0); 3]);
    }

    #[test]
    fn those_that_are_all_read_only_are_asked_when_the_time_is_over() {
        use Decision::{Held, To};
        let all = &[&[W, R][..], &[R, R], &[R, R], &[R, R], &[R, R], &[R, W]];
        assert_eq!(
            decisions(HOLD, all),
            [To(0), Held, Held, Held, To(0), To(1)]
        );
        assert_eq!(decisions(HOLD, &[&[R, R]]), [To(0)], "at the start");
        assert_eq!(
            decisions(HOLD, &[&[W], &[R]]),
            [To(0), To(0)],
            "it is alone"
        );
    }

    #[test]
    fn without_a_time_nothing_is_held() {
        let all = &[&[W, R][..], &[A, R], &[W, R], &[R, R]];
        let never = decisions(Duration::ZERO, all);
        use Decision::{Nowhere, To};
        assert_eq!(never, [To(0), Nowhere, To(0), To(0)]);
    }

    proptest! {
        #[test]
        fn no_hold_is_longer_than_its_time_and_nothing_goes_to_who_does_not_serve(
            steps in prop::collection::vec(
                (prop::collection::vec(0..5usize, 3), 0..700u64), 1..60
            )
        ) {
            let (mut own, mut now) = (Failover::new(HOLD), Instant::now());
            let mut held_since: Option<Instant> = None;
            for (conditions, passed) in steps {
                let conditions: Vec<_> = conditions.iter().map(|at| [W, R, S, A, L][*at]).collect();
                now += Duration::from_millis(passed);
                match own.decide(&conditions, &[], now) {
                    Decision::Held => {
                        let since = *held_since.get_or_insert(now);
                        prop_assert!(now - since < HOLD);
                        prop_assert!(!conditions.contains(&W));
                        prop_assert_eq!(own.held_until(), Some(since + HOLD));
                    }
                    Decision::To(upstream) => {
                        held_since = None;
                        prop_assert!(conditions[upstream].is_serving());
                        let is_writable = conditions[upstream] == W;
                        prop_assert!(is_writable || !conditions.contains(&W));
                    }
                    Decision::Nowhere => {
                        held_since = None;
                        prop_assert!(!conditions.contains(&W));
                    }
                }
            }
        }
    }
}
