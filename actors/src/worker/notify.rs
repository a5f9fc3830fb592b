//! Telling sessions of a change of the serving state or of events: some in each step, so that what
//! comes meanwhile waits for one step and not for all sessions.
//!
//! ```text
//!   Changed ─▶ one lap from where the last one ended: looks at a session, and tells it if the
//!              change concerns it ── 256 sessions ──▶ others run ──▶ the next 256 ─▶ …
//! ```
//!
//! A change during a lap begins a whole lap from where the worker is: so changes that never end
//! leave no session out.

use std::pin::Pin;
use std::task;
use std::time::Instant;

use actix::Context;
use actix::fut::ActorFuture;

use super::state::Worker;
use crate::limits::NOTICES_PER_STEP_MAX;
use crate::session::messages::{EventsChanged, ServingChanged};

/// How far the worker has come.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lap {
    next: usize,
    /// How many sessions' numbers are left.
    left: usize,
    /// The change of state that it is about, by its epoch, and when that was told.
    change: Option<(u64, Instant)>,
}

impl Worker {
    /// Sessions are to be told that something has changed: the state, if it is given.
    pub(super) fn begin_lap(&self, change: Option<(u64, Instant)>) {
        let lap = self.lap.get();
        self.lap.set(Lap {
            left: self.sessions.numbers(),
            change: change.or(lap.change),
            ..lap
        });
    }

    /// Tells some of those that are left. True if that were all.
    fn tell_some(&self) -> bool {
        let mut lap = self.lap.get();
        let version = self.cell.shared.events.version();
        let serving = self.cell.shared.serving.load();
        let dispatches_held = !serving.state.traits().answers_alone;
        let numbers = self.sessions.numbers();
        for _ in 0..lap.left.min(NOTICES_PER_STEP_MAX) {
            lap.next = if lap.next < numbers { lap.next } else { 0 };
            if let Some(session) = self.sessions.get(lap.next as u32) {
                let own = session.state.borrow();
                if own.awaits_events(version) {
                    self.sessions.tell(&session, EventsChanged);
                }
                let is_idle = || serving.is_stopping() && own.is_idle_for_drain();
                if dispatches_held && own.has_held() || is_idle() {
                    self.sessions.tell(&session, ServingChanged);
                }
            }
            lap.next += 1;
            lap.left -= 1;
        }
        if lap.left == 0
            && let Some((epoch, since)) = lap.change.take()
        {
            self.measure_reach(epoch, since);
        }
        self.lap.set(lap);
        lap.left == 0
    }

    /// Tells how long a change took to reach the sessions. The local queue is first come, first
    /// served: when this task runs, the sessions that were told have acted.
    fn measure_reach(&self, epoch: u64, since: Instant) {
        let cell = self.cell.clone();
        actix_rt::spawn(async move {
            let took = cell.shared.clock.now().saturating_duration_since(since);
            cell.shared.counters[cell.index].reached(epoch, took);
        });
    }
}

/// Goes on with a lap, behind those that are ready to run.
pub(super) struct LapLoop;

impl ActorFuture<Worker> for LapLoop {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        worker: &mut Worker,
        _ctx: &mut Context<Worker>,
        cx: &mut task::Context<'_>,
    ) -> task::Poll<()> {
        if worker.lap.get().is_under_way() && !worker.tell_some() {
            cx.waker().wake_by_ref();
        }
        task::Poll::Pending
    }
}

impl Lap {
    fn is_under_way(self) -> bool {
        self.left > 0 || self.change.is_some()
    }
}
