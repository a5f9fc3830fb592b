//! Steps on the engine that async procedures ask for: run in Tx's next turn, told its outcome.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use futures::future::LocalBoxFuture;
use vestibule_wire::Error;

use super::streams::StreamKey;
use crate::engine::{EngineStep, Pusher, SoloGuard, StepKind, Steps, TransactionId};
use crate::serving::{Admitted, Serving, Solos};
use crate::shared::Shared;

/// A step that waits for the next turn.
pub(super) struct QueuedStep<E> {
    /// Of the call.
    pub(super) origin: StepOrigin,
    pub(super) kind: StepKind,
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
    /// Tx is gone: nobody runs what comes now.
    is_closed: Cell<bool>,
}

impl<E> Default for StepQueue<E> {
    fn default() -> Self {
        Self {
            queue: RefCell::default(),
            turn: RefCell::default(),
            is_closed: Cell::new(false),
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

    /// Tx goes: the steps that wait, and those that still come, are dropped, which their calls are
    /// told. A call can outlive its Tx if it has left its context to another task.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        drop(self.take());
    }

    fn push(&self, step: QueuedStep<E>) {
        if self.is_closed.get() {
            return;
        }
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

/// Whether a stop is announced or has begun, or a demotion is under way.
fn is_draining(serving: Serving) -> bool {
    serving.drain_target.is_some() || !serving.state.traits().serves
}

/// The queue as one call sees it.
pub(super) struct CallSteps<E> {
    pub(super) queue: Rc<StepQueue<E>>,
    pub(super) origin: StepOrigin,
    pub(super) pusher: Pusher,
    pub(super) shared: Arc<Shared>,
}

impl<E> Steps<E> for CallSteps<E> {
    fn push(&self, kind: StepKind, run: EngineStep<E>) {
        let origin = self.origin;
        self.queue.push(QueuedStep { origin, kind, run });
    }

    fn pusher(&self) -> &Pusher {
        &self.pusher
    }

    fn broadcast(&self, key: &str, value: Vec<u8>) -> Result<(), Error> {
        self.shared.events.set_raw(key, value)
    }

    fn solo(&self, reason: String) -> SoloGuard {
        Solos::new(self.shared.serving.clone()).enter(reason)
    }

    fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    fn sleep_until(&self, time: Instant) -> LocalBoxFuture<'static, ()> {
        Box::pin(self.shared.clock.sleep_until(time))
    }

    fn is_draining(&self) -> bool {
        is_draining(self.shared.serving.load())
    }

    fn draining(&self) -> LocalBoxFuture<'static, ()> {
        let mut changes = self.shared.changes.subscribe();
        Box::pin(async move {
            // Without a sender the runtime is gone.
            let _ = changes.wait_for(|now| is_draining(*now)).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::claims::Claim;
    use crate::endpoints::PeerAddress;
    use crate::engine::catalog::User;
    use crate::engine::{AsyncContext, Caller};
    use crate::testing::{RequestBuilder, ScriptedEngine};
    use crate::tx::test_fixture::fixture;

    /// A call that has left its context to another task outlives its Tx.
    #[test]
    fn a_step_that_nobody_runs_any_more_is_told_that_tx_is_gone() {
        fixture(|mut fixture| async move {
            let id = fixture.send(&RequestBuilder::select(1, 1));
            let claims = &fixture.claims;
            let token = Claim { claims, id }.token();
            let queue = fixture.core.executor.steps.clone();
            let context = |queue: &Rc<StepQueue<_>>| {
                let steps = CallSteps {
                    queue: queue.clone(),
                    origin: StepOrigin {
                        admitted: fixture.admitted,
                        transaction: None,
                    },
                    pusher: Pusher::unheard(),
                    shared: fixture.shared.clone(),
                };
                let caller = Caller {
                    peer: PeerAddress::Local,
                    connection: 1,
                    user: User::guest(),
                    is_administrator: false,
                };
                AsyncContext::new(caller.into(), None, token.clone(), Box::new(steps))
            };
            let [before, after] = [context(&queue), context(&queue)];
            let ask = |context: AsyncContext<_>| async move {
                let step = |_: &mut ScriptedEngine| Ok(());
                context
                    .engine(step)
                    .await
                    .map_err(|told: Error| told.to_string())
            };
            let waiting = actix_rt::spawn(ask(before));
            while queue.is_empty() {
                actix_rt::task::yield_now().await;
            }
            drop(fixture.core);
            let gone = Err("Tx is gone (error 115)".to_owned());
            assert_eq!(waiting.await.expect("no panic"), gone);
            assert_eq!(ask(after).await, gone);
        });
    }
}
