//! Work that is done every so often.

use std::time::Instant;

use super::core::Executor;
use super::steps::StepOrigin;
use crate::engine::Engine;
use crate::engine::procedures::Tick;
use crate::serving::{Admitted, State};

/// When each is due.
pub(super) struct Ticks {
    due: Vec<Option<Instant>>,
    next: Option<Instant>,
}

impl Ticks {
    pub(super) fn new<E>(ticks: &[Tick<E>], now: Instant) -> Self {
        let due: Vec<_> = ticks
            .iter()
            .map(|own| now.checked_add(own.period))
            .collect();
        let next = due.iter().flatten().min().copied();
        Self { due, next }
    }

    /// When one may be due next.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next
    }

    /// The work that is due now, by number; each is due again a period later.
    fn take_due<E>(&mut self, ticks: &[Tick<E>], now: Instant) -> Vec<usize> {
        let mut taken = Vec::new();
        for (number, (due, tick)) in self.due.iter_mut().zip(ticks).enumerate() {
            if due.is_some_and(|at| at <= now) {
                *due = now.checked_add(tick.period);
                taken.push(number);
            }
        }
        self.next = self.due.iter().flatten().min().copied();
        taken
    }
}

impl<E: Engine> Executor<E> {
    /// Does what is due, if data may be changed.
    pub(super) fn run_ticks(&mut self, now: Instant) {
        if self.ticks.next.is_none_or(|at| at > now) {
            return;
        }
        let procedures = self.procedures.clone();
        for number in self.ticks.take_due(procedures.ticks(), now) {
            let serving = self.shared.serving.load();
            let origin = StepOrigin {
                admitted: Admitted::under(serving),
                transaction: None,
            };
            let may_change = serving.is_writable() && serving.state != State::Draining;
            if !may_change || self.admit_step(origin).is_err() {
                continue;
            }
            self.budget.spend(true);
            self.show_progress();
            let done = (procedures.ticks()[number].work)(&mut self.engine, now);
            let tell = |result| {
                if let Err(error) = result {
                    log::warn!("work that is done every so often failed: {error}");
                }
            };
            match done {
                Ok(()) => self.output.await_commit(Box::new(tell)),
                Err(error) => tell(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::procedures::Procedures;
    use crate::serving::{Role, TransitionView};
    use crate::testing::ScriptedEngine;
    use crate::tx::test_fixture::{Fixture, fixture};

    #[test]
    fn what_is_due_is_done_in_a_turn_and_by_a_primary_only() {
        fixture(|mut fixture: Fixture| async move {
            let period = Duration::from_secs(1);
            let tick = |engine: &mut ScriptedEngine, _| {
                engine.put(engine.count() as u64);
                Ok(())
            };
            let procedures = std::sync::Arc::new(Procedures::default().every(period, tick));
            let began = Instant::now();
            let executor = &mut fixture.core.executor;
            executor.ticks = Ticks::new(procedures.ticks(), began);
            executor.procedures = procedures;
            assert_eq!(fixture.core.next_look(), Some(began + period));
            let mut rows_at = |seconds| {
                fixture.core.turn(began + period * seconds);
                fixture.script.rows()
            };
            assert_eq!([0, 1, 2].map(&mut rows_at), [0, 1, 2]);
            let cell = &fixture.shared.serving;
            cell.set_role(Role::Replica, TransitionView::default(), began);
            assert_eq!(rows_at(3), 2);
            cell.set_role(Role::Primary, TransitionView::default(), began);
            assert_eq!([3, 4].map(&mut rows_at), [2, 3]);
        });
    }

    #[test]
    fn what_was_missed_is_not_made_up_for() {
        let now = Instant::now();
        let seconds = |seconds| now + Duration::from_secs(seconds);
        let procedures = Procedures::<()>::default()
            .every(Duration::from_secs(2), |(), _| Ok(()))
            .every(Duration::from_secs(3), |(), _| Ok(()));
        let mut ticks = Ticks::new(procedures.ticks(), now);
        let mut due = |at| ticks.take_due(procedures.ticks(), seconds(at));
        assert!(due(1).is_empty());
        assert_eq!(due(2), [0]);
        assert_eq!(due(20), [0, 1]);
        assert!(due(21).is_empty());
        assert_eq!(due(22), [0]);
        assert_eq!(ticks.next_look(), Some(seconds(23)));
    }
}
