//! Async procedures that run: owned by Tx, which polls those that are ready.
//!
//! ```text
//!   CALL ─▶ spawn ─▶ polled after the turn ─┬─ waits: woken alone ─▶ polled after the next turn
//!                                           ├─ returns, panics ─▶ Completed: the next turn answers
//!                                           └─ its guard is dropped ─▶ dropped where it waits
//! ```
//!
//! They die with Tx, and a panic in one of them ends it alone.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::{AbortHandle, Abortable, LocalBoxFuture};
use futures::stream::{FuturesUnordered, Stream as _};
use vestibule_wire::Error;

use crate::engine::{Ticket, unanswered};
use crate::messages::tx::Completed;

/// What an async procedure returns: the reply's body.
type ProcedureFuture = LocalBoxFuture<'static, Result<Vec<u8>, Error>>;

/// The async procedures of one Tx.
#[derive(Default)]
pub(super) struct Tasks(FuturesUnordered<Abortable<Task>>);

/// Stops an async procedure where it waits when it is dropped: nobody waits for it any more.
pub(super) struct TaskGuard(Option<AbortHandle>);

impl TaskGuard {
    /// The procedure is complete: there is nothing to stop.
    pub(super) fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Tasks {
    /// Has a procedure run that answers this ticket.
    pub(super) fn spawn(&mut self, ticket: Ticket, procedure: ProcedureFuture) -> TaskGuard {
        let (handle, registration) = AbortHandle::new_pair();
        let task = Task {
            ticket,
            procedure: Some(procedure),
        };
        self.0.push(Abortable::new(task, registration));
        TaskGuard(Some(handle))
    }

    /// Goes on with those that are ready, until one of them is complete or all wait.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Completed> {
        while !self.0.is_empty() {
            match Pin::new(&mut self.0).poll_next(cx) {
                Poll::Ready(Some(Ok(completed))) => return Some(completed),
                // Stopped by its guard.
                Poll::Ready(Some(Err(_))) => {}
                Poll::Ready(None) | Poll::Pending => return None,
            }
        }
        None
    }
}

/// One async procedure.
struct Task {
    ticket: Ticket,
    /// `None` once it is complete.
    procedure: Option<ProcedureFuture>,
}

impl Future for Task {
    type Output = Completed;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Completed> {
        let ticket = self.ticket;
        let procedure = self.procedure.as_mut();
        // After a panic the procedure is dropped: nobody sees what state it was left in.
        let polled = procedure
            .map(|procedure| catch_unwind(AssertUnwindSafe(|| procedure.as_mut().poll(cx))));
        let result = match polled {
            Some(Ok(Poll::Pending)) => return Poll::Pending,
            Some(Ok(Poll::Ready(result))) => result,
            None | Some(Err(_)) => Err(unanswered()),
        };
        self.end();
        Poll::Ready(Completed { ticket, result })
    }
}

impl Task {
    /// Drops the procedure; a panic in that ends nothing else.
    fn end(&mut self) {
        let procedure = self.procedure.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(procedure)));
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::task::Waker;

    use tokio::sync::oneshot;

    use super::*;

    fn poll(tasks: &mut Tasks) -> Option<(u64, Result<Vec<u8>, Error>)> {
        let completed = tasks.poll(&mut Context::from_waker(Waker::noop()))?;
        Some((completed.ticket.0, completed.result))
    }

    /// Counts how often it is dropped, and panics then if it is to.
    struct Dropped(Rc<Cell<u32>>, bool);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            assert!(!self.1, "a drop that panics");
        }
    }

    #[test]
    fn a_task_is_polled_when_it_is_ready_and_only_then() {
        let mut tasks = Tasks::default();
        let (wakes, polls) = (oneshot::channel(), Rc::new(Cell::new(0)));
        let (waits, counted) = (wakes.1, polls.clone());
        let mut waits = Box::pin(waits);
        let task = std::future::poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            waits.as_mut().poll(cx).map(|_| Ok(vec![7]))
        });
        let waiting = tasks.spawn(Ticket(1), Box::pin(task));
        let ready = tasks.spawn(Ticket(2), Box::pin(async { Ok(vec![8]) }));
        assert_eq!(poll(&mut tasks), Some((2, Ok(vec![8]))));
        ready.release();
        for _ in 0..3 {
            assert_eq!(poll(&mut tasks), None);
        }
        assert_eq!(polls.get(), 1, "nobody woke it");
        wakes.0.send(()).expect("it waits");
        assert_eq!(poll(&mut tasks), Some((1, Ok(vec![7]))));
        waiting.release();
        assert_eq!(poll(&mut tasks), None);
    }

    #[test]
    fn a_panic_ends_one_task_and_its_request_is_answered() {
        let mut tasks = Tasks::default();
        let panics = async { panic!("as the test wants it") };
        let _panics = tasks.spawn(Ticket(1), Box::pin(panics));
        let _other = tasks.spawn(Ticket(2), Box::pin(async { Ok(Vec::new()) }));
        assert_eq!(poll(&mut tasks), Some((1, Err(unanswered()))));
        assert_eq!(poll(&mut tasks), Some((2, Ok(Vec::new()))));
    }

    #[test]
    fn without_its_guard_a_task_is_dropped_where_it_waits() {
        let mut tasks = Tasks::default();
        let drops = Rc::new(Cell::new(0));
        for panics in [false, true] {
            let held = Dropped(drops.clone(), panics);
            let waits = async move {
                std::future::pending::<()>().await;
                drop(held);
                Ok(Vec::new())
            };
            let guard = tasks.spawn(Ticket(1), Box::pin(waits));
            assert_eq!(poll(&mut tasks), None);
            let before = drops.get();
            drop(guard);
            assert_eq!(poll(&mut tasks), None);
            assert_eq!(drops.get(), before + 1);
        }
        assert!(tasks.0.is_empty());
    }
}
