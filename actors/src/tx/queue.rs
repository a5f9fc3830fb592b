//! What waits for Tx's next turn.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use super::steps::{QueuedStep, StepQueue};
use crate::jobs::Job;
use crate::messages::tx::{Batch, Cancel, Completed};

/// The work of one Tx, in the order in which a turn takes it.
pub(super) struct Queue<E> {
    /// Told by workers, with their numbers.
    cancels: Vec<(usize, Cancel)>,
    completed: VecDeque<Completed>,
    steps: Rc<StepQueue<E>>,
    /// Of the embedder.
    jobs: VecDeque<Job<E>>,
    /// With the number of the entry that is next.
    batches: VecDeque<(Box<Batch>, usize)>,
}

impl<E> Queue<E> {
    pub(super) fn new(steps: Rc<StepQueue<E>>) -> Self {
        Self {
            cancels: Vec::new(),
            completed: VecDeque::new(),
            steps,
            jobs: VecDeque::new(),
            batches: VecDeque::new(),
        }
    }

    /// Whether a turn has anything to do.
    pub(super) fn has_work(&self) -> bool {
        !self.batches.is_empty()
            || !self.completed.is_empty()
            || !self.steps.is_empty()
            || !self.jobs.is_empty()
    }

    pub(super) fn batch_count(&self) -> usize {
        self.batches.len()
    }

    pub(super) fn push_batch(&mut self, mut batch: Box<Batch>) {
        let worker = batch.worker;
        let cancels = batch.cancels.drain(..).map(|cancel| (worker, cancel));
        self.cancels.extend(cancels);
        self.batches.push_back((batch, 0));
    }

    pub(super) fn push_completed(&mut self, completed: Completed) {
        self.completed.push_back(completed);
    }

    pub(super) fn push_job(&mut self, job: Job<E>) {
        self.jobs.push_back(job);
    }

    pub(super) fn has_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    pub(super) fn pop_job(&mut self) -> Option<Job<E>> {
        self.jobs.pop_front()
    }

    /// Has the next turn woken when a step is asked for.
    pub(super) fn set_waker(&self, waker: &Waker) {
        self.steps.set_waker(waker);
    }

    pub(super) fn take_cancels(&mut self) -> Vec<(usize, Cancel)> {
        std::mem::take(&mut self.cancels)
    }

    pub(super) fn take_completed(&mut self) -> VecDeque<Completed> {
        std::mem::take(&mut self.completed)
    }

    pub(super) fn take_steps(&mut self) -> VecDeque<QueuedStep<E>> {
        self.steps.take()
    }

    pub(super) fn pop_batch(&mut self) -> Option<(Box<Batch>, usize)> {
        self.batches.pop_front()
    }

    /// The turn is full: it goes on with this entry in the next.
    pub(super) fn put_back_batch(&mut self, batch: Box<Batch>, next: usize) {
        self.batches.push_front((batch, next));
    }
}
