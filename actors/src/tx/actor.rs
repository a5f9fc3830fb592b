//! The actix shell of Tx: its mailbox fills the turn, its one long-lived item runs it.
//!
//! The item is polled after the mailbox is empty, so everything that arrived meanwhile shares a
//! turn, and with it one journal write.

use std::future::Future as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task;
use std::time::Instant;

use actix::fut::ActorFuture;
use actix::{Actor, ActorContext, AsyncContext as _, Context, Handler, Running};
use actix_rt::time::{Sleep, sleep_until};

use super::core::TxCore;
use crate::clock::Clock;
use crate::engine::procedures::Procedures;
use crate::engine::{Engine, EngineFactory, Fault};
use crate::jobs::Job;
use crate::limits::LOADING_TOLD_EVERY;
#[cfg(feature = "testing")]
use crate::messages::LookAround;
use crate::messages::tx::{Batch, Completed, Control, Probe, Stop, WorkerLink};
use crate::messages::{SupervisorHandle, TxEvent};
use crate::shared::Shared;

/// The actor that owns the engine. Alone on its arbiter: it may block for minutes.
pub(crate) struct Tx<E: Engine> {
    /// None before recovery, after a panic, and after a stop.
    core: Option<Box<TxCore<E>>>,
    parts: Option<Parts<E>>,
    supervisor: SupervisorHandle,
    generation: u64,
    /// The Supervisor was told that it is gone.
    has_left: bool,
    /// Of tests that wind the clock.
    #[cfg(feature = "testing")]
    looks: Vec<LookAround>,
}

/// What the core is made of when the actor starts.
pub(crate) struct Parts<E: Engine> {
    pub(crate) factory: Arc<dyn EngineFactory<E>>,
    pub(crate) procedures: Arc<Procedures<E>>,
    pub(crate) workers: Vec<WorkerLink>,
    pub(crate) shared: Arc<Shared>,
}

impl<E: Engine> Tx<E> {
    pub(crate) fn new(parts: Parts<E>, supervisor: SupervisorHandle, generation: u64) -> Self {
        Self {
            core: None,
            parts: Some(parts),
            supervisor,
            generation,
            has_left: false,
            #[cfg(feature = "testing")]
            looks: Vec::new(),
        }
    }

    fn recover(&mut self, ctx: &mut Context<Self>) -> Result<(), Fault> {
        let Some(parts) = self.parts.take() else {
            return Ok(());
        };
        let shared = parts.shared.clone();
        let mut engine = parts.factory.make()?;
        let mut next = None;
        engine.recover(&mut |progress| {
            let now = shared.clock.now();
            shared.serving.loading_progress(progress, now);
            if next.is_none_or(|next| now >= next) {
                next = now.checked_add(LOADING_TOLD_EVERY);
                shared.tell_loading(progress.share(), now);
            }
        })?;
        // Rights that were changed while it serves end no runtime: see the sessions.
        let is_first = shared.catalog().is_none();
        if is_first {
            let power = || engine.catalog().guest_power();
            shared
                .exposure
                .check_guest(shared.config.exposed_guest, power)?;
        }
        let completions = Arc::new(ctx.address().recipient::<Completed>());
        let core = TxCore::new(
            engine,
            parts.procedures,
            parts.workers,
            completions,
            parts.shared,
        );
        self.core = Some(Box::new(core));
        Ok(())
    }

    /// Everything that is due was looked at, and what had come is executed.
    #[cfg(feature = "testing")]
    fn looked_around(&mut self) {
        if let Some(core) = &self.core
            && !core.has_work()
        {
            let next = core.first_due();
            self.looks.drain(..).for_each(|look| look.done(next));
        }
    }

    /// Closes the engine, and says that it is gone.
    fn leave(&mut self) {
        if self.has_left {
            return;
        }
        self.has_left = true;
        // Dropped here so that the engine has closed its files when the Supervisor hears of it.
        self.core = None;
        self.supervisor.tx_event(TxEvent::Stopped {
            generation: self.generation,
        });
    }

    /// Runs `work`; a panic in it ends this Tx but neither the thread nor the connections.
    fn guarded<R>(
        &mut self,
        ctx: &mut Context<Self>,
        work: impl FnOnce(&mut Self, &mut Context<Self>) -> R,
    ) -> Option<R> {
        // The core is dropped after a panic, so nobody sees what state it was left in.
        match catch_unwind(AssertUnwindSafe(|| work(self, ctx))) {
            Ok(value) => Some(value),
            Err(panic) => {
                let core = self.core.take();
                if let Some(core) = &core {
                    core.on_death();
                }
                let _ = catch_unwind(AssertUnwindSafe(|| drop(core)));
                let text = panic_text(panic.as_ref());
                self.supervisor.tx_event(TxEvent::Died {
                    generation: self.generation,
                    text,
                });
                ctx.stop();
                None
            }
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

impl<E: Engine> Actor for Tx<E> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let generation = self.generation;
        match self.guarded(ctx, Self::recover) {
            Some(Ok(())) => {
                self.supervisor.tx_event(TxEvent::Recovered { generation });
                ctx.spawn(TurnLoop::default());
            }
            Some(Err(fault)) => {
                let text = fault.to_string();
                self.supervisor
                    .tx_event(TxEvent::Failed { generation, text });
                ctx.stop();
            }
            None => {}
        }
    }

    fn stopping(&mut self, _ctx: &mut Self::Context) -> Running {
        self.leave();
        Running::Stop
    }
}

impl<E: Engine> Drop for Tx<E> {
    fn drop(&mut self) {
        // Without having been stopped, if its thread ends under it.
        self.leave();
    }
}

impl<E: Engine> Handler<Box<Batch>> for Tx<E> {
    type Result = ();

    fn handle(&mut self, batch: Box<Batch>, _ctx: &mut Self::Context) {
        if let Some(core) = &mut self.core {
            core.push_batch(batch);
        }
    }
}

impl<E: Engine> Handler<Completed> for Tx<E> {
    type Result = ();

    fn handle(&mut self, completed: Completed, _ctx: &mut Self::Context) {
        if let Some(core) = &mut self.core {
            core.push_completed(completed);
        }
    }
}

impl<E: Engine> Handler<Job<E>> for Tx<E> {
    type Result = ();

    fn handle(&mut self, job: Job<E>, _ctx: &mut Self::Context) {
        if let Some(core) = &mut self.core {
            core.push_job(job);
        }
    }
}

impl<E: Engine> Handler<Control> for Tx<E> {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Self::Context) {
        #[cfg(feature = "testing")]
        if let Control::LookAround(look) = control {
            // The turn loop is next.
            return self.looks.push(look);
        }
        self.guarded(ctx, |tx, _| {
            if let Some(core) = &mut tx.core {
                core.control(&control);
            }
        });
    }
}

impl<E: Engine> Handler<Probe> for Tx<E> {
    type Result = ();

    fn handle(&mut self, _probe: Probe, _ctx: &mut Self::Context) {
        if let Some(core) = &self.core {
            core.show_progress();
        }
    }
}

impl<E: Engine> Handler<Stop> for Tx<E> {
    type Result = ();

    fn handle(&mut self, _stop: Stop, ctx: &mut Self::Context) {
        while self.core.as_ref().is_some_and(|core| core.has_work()) {
            self.guarded(ctx, |tx, _| {
                tx.core.as_mut().map(|core| core.turn(core.now()))
            });
        }
        ctx.stop();
    }
}

/// Runs turns as long as there is work, with async procedures between two turns, and when a
/// deadline is over.
#[derive(Default)]
struct TurnLoop {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl TurnLoop {
    /// Has the loop polled at this time at the latest; true if it is over already.
    fn wake_at(&mut self, clock: Clock, time: Instant, cx: &mut task::Context<'_>) -> bool {
        let time = clock.timer(time).into();
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(time)));
        // One that is set to an earlier time is left: it costs less to wake in vain now and then.
        if sleep.deadline() > time || sleep.is_elapsed() {
            sleep.as_mut().reset(time);
        }
        sleep.as_mut().poll(cx).is_ready()
    }
}

impl<E: Engine> ActorFuture<Tx<E>> for TurnLoop {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        tx: &mut Tx<E>,
        ctx: &mut Context<Tx<E>>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<()> {
        let Some(core) = &tx.core else {
            return task::Poll::Ready(());
        };
        core.set_waker(cx.waker());
        let is_due = core.next_look().is_some_and(|at| at <= core.now());
        if core.has_work() || is_due {
            tx.guarded(ctx, |tx, _| {
                tx.core.as_mut().map(|core| core.turn(core.now()))
            });
        }
        if let Some(core) = &mut tx.core {
            core.poll_tasks(cx);
            if core.has_work() {
                cx.waker().wake_by_ref();
            }
        }
        #[cfg(feature = "testing")]
        tx.looked_around();
        if let Some(core) = &tx.core
            && let Some(next) = core.next_look()
            && self.wake_at(core.clock(), next, cx)
        {
            cx.waker().wake_by_ref();
        }
        task::Poll::Pending
    }
}
