//! Telling sessions of a change of the serving state or of events: some in each step, so that what
//! comes meanwhile waits for one step and not for all sessions.
//!
//! ```text
//!   Changed ─▶ a lap: looks at a session, and tells it if the change concerns it
//! ```

use std::time::Instant;

use super::actor::Worker;
use crate::serving::DrainTarget;
use crate::session::messages::{EventsChanged, ServingChanged};

impl Worker {
    /// Sessions are to be told that something has changed: the state, if it is given.
    pub(super) fn begin_lap(&self, change: Option<(u64, Instant)>) {
        let mut lap = self.lap.get();
        lap.begin(self.sessions.numbers(), change);
        self.lap.set(lap);
    }

    /// Tells some of those that are left. True if that were all.
    pub(super) fn tell_some(&self) -> bool {
        let mut lap = self.lap.get();
        let events = &self.cell.shared.events;
        let board = events.board();
        let version = events.version();
        let serving = self.cell.shared.serving.load();
        let is_demoting = serving.drain_target == Some(DrainTarget::Replica);
        let looks_at_held = !serving.state.traits().answers_alone || is_demoting;
        for session in lap.step() {
            let Some(session) = self.sessions.get(session) else {
                continue;
            };
            let mut own = session.state.borrow_mut();
            // Few watch what has changed: the others are not woken for it. But all who watch
            // anything are told of a stop.
            if own.awaits_events(version)
                && (serving.is_stop_announced() || own.is_owed_events(version, &board))
            {
                self.sessions.tell(&session, EventsChanged);
            }
            // Each looks once at what had arrived before a stop.
            let is_behind = serving.is_stopping() && !own.has_caught_up();
            if looks_at_held && own.has_held() || is_behind || own.is_closed_by_stop(serving) {
                self.sessions.tell(&session, ServingChanged);
            }
        }
        if let Some((epoch, since)) = lap.take_known() {
            self.measure_reach(epoch, since);
        }
        self.lap.set(lap);
        !lap.is_under_way()
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
