//! Work that the embedder asks for, in turns with what clients ask for.

use super::core::{Executor, TxCore};
use super::steps::StepOrigin;
use crate::engine::Engine;
use crate::jobs::{Job, JobTicket, JobWork, Work};
use crate::limits::TURN_JOBS_MAX;

impl<E: Engine> TxCore<E> {
    /// Does the jobs if this is a turn in which they come first; each has every other turn.
    pub(super) fn run_jobs_first(&mut self) -> bool {
        let are_first = self.are_jobs_first;
        self.are_jobs_first = !are_first;
        if are_first {
            self.run_jobs();
        }
        are_first
    }

    /// Does jobs as long as the turn goes on.
    pub(super) fn run_jobs(&mut self) {
        for _ in 0..TURN_JOBS_MAX {
            if self.executor.budget.is_spent() {
                return;
            }
            let Some(job) = self.queue.pop_job() else {
                return;
            };
            let Job { ticket, work } = job;
            match work {
                JobWork::Engine(work) => {
                    if self.executor.engine.must_commit_first() {
                        self.executor.commit(&self.callers);
                        self.executor.send();
                    }
                    self.executor.run_work(ticket, work);
                }
                JobWork::Call(call) => self.run_call(ticket, call),
            }
        }
    }
}

impl<E: Engine> Executor<E> {
    fn run_work(&mut self, ticket: JobTicket, work: Work<E>) {
        let Some(admitted) = ticket.claim() else {
            return;
        };
        self.budget.spend(true);
        self.show_progress();
        let origin = StepOrigin {
            admitted,
            transaction: None,
        };
        let settle = match self.admit_step(origin) {
            Ok(()) => work(Ok(&mut self.engine)),
            Err(error) => work(Err(error)),
        };
        self.output
            .await_commit(Box::new(move |committed| settle(ticket, committed)));
    }
}
