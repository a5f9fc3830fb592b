//! Steps on the engine that async procedures ask for: run in Tx's next turn, told its outcome.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::Waker;

use vestibule_wire::Error;

use super::fence::Admitted;

/// Work on the engine asked for by an async procedure.
pub(crate) struct Job<E> {
    /// Of the call.
    pub(crate) admitted: Admitted,
    pub(crate) run: Run<E>,
}

/// Runs with the engine, or with the reason why it may not; what it returns is told the turn's outcome.
pub(crate) type Run<E> = Box<dyn FnOnce(Result<&mut E, Error>) -> Settle>;
pub(crate) type Settle = Box<dyn FnOnce(Result<(), Error>)>;

/// Where async procedures leave their jobs.
pub(crate) struct Jobs<E> {
    queue: RefCell<VecDeque<Job<E>>>,
    turn: RefCell<Option<Waker>>,
}

impl<E> Default for Jobs<E> {
    fn default() -> Self {
        Self {
            queue: RefCell::default(),
            turn: RefCell::default(),
        }
    }
}

impl<E> Jobs<E> {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    pub(crate) fn take(&self) -> VecDeque<Job<E>> {
        std::mem::take(&mut *self.queue.borrow_mut())
    }

    pub(crate) fn push(&self, job: Job<E>) {
        self.queue.borrow_mut().push_back(job);
        if let Some(turn) = self.turn.borrow().as_ref() {
            turn.wake_by_ref();
        }
    }

    pub(crate) fn set_waker(&self, waker: &Waker) {
        let mut turn = self.turn.borrow_mut();
        if !turn.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *turn = Some(waker.clone());
        }
    }
}
