//! Steps on the engine that async procedures ask for: run in Tx's next turn, told its outcome.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use super::streams::StreamKey;
use crate::engine::{EngineStep, Steps, TransactionId};
use crate::serving::Admitted;

/// A step that waits for the next turn.
pub(super) struct QueuedStep<E> {
    /// Of the call.
    pub(super) origin: StepOrigin,
    pub(super) run: EngineStep<E>,
}

/// Which call asks for a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepOrigin {
    /// The call's steps may change data if the call may.
    pub(super) admitted: Admitted,
    /// Inside of which transaction, and the stream that has it.
    pub(super) transaction: Option<(StreamKey, TransactionId)>,
}

/// Where async procedures leave their steps.
pub(crate) struct StepQueue<E> {
    queue: RefCell<VecDeque<QueuedStep<E>>>,
    turn: RefCell<Option<Waker>>,
}

impl<E> Default for StepQueue<E> {
    fn default() -> Self {
        Self {
            queue: RefCell::default(),
            turn: RefCell::default(),
        }
    }
}

impl<E> StepQueue<E> {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    pub(super) fn take(&self) -> VecDeque<QueuedStep<E>> {
        std::mem::take(&mut *self.queue.borrow_mut())
    }

    fn push(&self, step: QueuedStep<E>) {
        self.queue.borrow_mut().push_back(step);
        if let Some(turn) = self.turn.borrow().as_ref() {
            turn.wake_by_ref();
        }
    }

    pub(super) fn set_waker(&self, waker: &Waker) {
        let mut turn = self.turn.borrow_mut();
        if !turn.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *turn = Some(waker.clone());
        }
    }
}

/// The queue as one call sees it.
pub(super) struct CallSteps<E> {
    pub(super) queue: Rc<StepQueue<E>>,
    pub(super) origin: StepOrigin,
}

impl<E> Steps<E> for CallSteps<E> {
    fn push(&self, run: EngineStep<E>) {
        let origin = self.origin;
        self.queue.push(QueuedStep { origin, run });
    }
}
