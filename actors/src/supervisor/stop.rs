//! The stop as a pure machine: one deadline, and every step is given what is left of it.
//!
//! ```text
//!   Serving ── begin ──▶ Grace ── all arbiters drained ──▶ Closing ── Tx stopped ──▶ Done
//!                          │                                  │
//!                          └── deadline: close all ──▶        └── deadline + slack ──▶ Done
//! ```

use std::time::{Duration, Instant};

/// How long after the deadline Tx may take to close its engine before it is left behind.
pub(crate) const CLOSE_SLACK: Duration = Duration::from_millis(40);

/// What the shell has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Close the listeners and set the state `Draining`.
    Quiesce,
    /// Answer and close every session.
    CloseAll,
    /// Ask Tx to close its engine.
    StopTx,
    /// Call [`Stop::on_time`] at this time.
    WakeAt(Instant),
    /// Everything is over. Whether Tx stopped.
    Finish { tx_stopped: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Grace,
    Closing,
    Done,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Stop {
    phase: Phase,
    deadline: Option<Instant>,
    /// When Tx is left behind.
    close_by: Option<Instant>,
    lanes: Vec<bool>,
    tx_stopped: bool,
}

impl Stop {
    /// For so many session arbiters.
    pub(crate) fn new(lanes: usize) -> Self {
        Self {
            phase: Phase::Serving,
            deadline: None,
            close_by: None,
            lanes: vec![false; lanes],
            tx_stopped: false,
        }
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.phase != Phase::Serving
    }

    /// Begins; a second time it does nothing.
    pub(crate) fn begin(&mut self, now: Instant, grace: Duration) -> Vec<Action> {
        if self.is_begun() {
            return Vec::new();
        }
        self.phase = Phase::Grace;
        // A grace too long to be added to a clock is no deadline at all.
        self.deadline = now.checked_add(grace);
        let wake = self.deadline.map(Action::WakeAt);
        [Action::Quiesce].into_iter().chain(wake).collect()
    }

    /// A session arbiter has no session left.
    pub(crate) fn lane_drained(&mut self, lane: usize, now: Instant) -> Vec<Action> {
        self.lanes[lane] = true;
        if self.phase == Phase::Grace && self.lanes.iter().all(|drained| *drained) {
            return self.close(now);
        }
        Vec::new()
    }

    /// Tx is gone, asked or not.
    pub(crate) fn tx_stopped(&mut self) -> Vec<Action> {
        self.tx_stopped = true;
        if self.phase != Phase::Closing {
            return Vec::new();
        }
        self.finish()
    }

    /// The time that was asked for is here.
    pub(crate) fn on_time(&mut self, now: Instant) -> Vec<Action> {
        let is_over = |time: Option<Instant>| time.is_some_and(|time| now >= time);
        match self.phase {
            Phase::Grace if is_over(self.deadline) => {
                let mut actions = vec![Action::CloseAll];
                actions.extend(self.close(now));
                actions
            }
            Phase::Closing if is_over(self.close_by) => self.finish(),
            _ => Vec::new(),
        }
    }

    fn close(&mut self, now: Instant) -> Vec<Action> {
        self.phase = Phase::Closing;
        if self.tx_stopped {
            return self.finish();
        }
        // What is left of the grace is Tx's: its engine may have a journal to write out.
        let latest = self.deadline.unwrap_or(now).max(now) + CLOSE_SLACK;
        self.close_by = Some(latest);
        vec![Action::StopTx, Action::WakeAt(latest)]
    }

    fn finish(&mut self) -> Vec<Action> {
        self.phase = Phase::Done;
        vec![Action::Finish {
            tx_stopped: self.tx_stopped,
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(3);

    #[test]
    fn a_quiet_runtime_stops_before_its_deadline() {
        let now = Instant::now();
        let mut stop = Stop::new(2);
        let begun = stop.begin(now, GRACE);
        assert_eq!(begun, [Action::Quiesce, Action::WakeAt(now + GRACE)]);
        assert_eq!(stop.lane_drained(0, now), []);
        let latest = now + GRACE + CLOSE_SLACK;
        assert_eq!(
            stop.lane_drained(1, now),
            [Action::StopTx, Action::WakeAt(latest)]
        );
        assert_eq!(stop.tx_stopped(), [Action::Finish { tx_stopped: true }]);
    }

    #[test]
    fn a_deaf_tx_and_stubborn_clients_cannot_hold_it_up() {
        let now = Instant::now();
        let mut stop = Stop::new(1);
        stop.begin(now, GRACE);
        assert_eq!(stop.on_time(now + GRACE / 2), []);
        let at_deadline = now + GRACE;
        let end = at_deadline + CLOSE_SLACK;
        assert_eq!(
            stop.on_time(at_deadline),
            [Action::CloseAll, Action::StopTx, Action::WakeAt(end)]
        );
        assert_eq!(stop.on_time(end), [Action::Finish { tx_stopped: false }]);
        assert_eq!(stop.tx_stopped(), [], "too late to matter");
    }

    #[test]
    fn asked_twice_it_keeps_its_first_deadline() {
        let now = Instant::now();
        let mut stop = Stop::new(1);
        stop.begin(now, GRACE);
        assert_eq!(stop.begin(now, Duration::ZERO), []);
        assert_eq!(stop.on_time(now), []);
    }

    #[test]
    fn no_grace_closes_at_once() {
        let now = Instant::now();
        let mut stop = Stop::new(1);
        assert_eq!(
            stop.begin(now, Duration::ZERO),
            [Action::Quiesce, Action::WakeAt(now)]
        );
        assert_eq!(stop.on_time(now)[..2], [Action::CloseAll, Action::StopTx]);
    }

    #[test]
    fn a_tx_that_is_gone_already_is_not_waited_for() {
        let now = Instant::now();
        let mut stop = Stop::new(1);
        assert_eq!(stop.tx_stopped(), []);
        stop.begin(now, GRACE);
        assert_eq!(
            stop.lane_drained(0, now),
            [Action::Finish { tx_stopped: true }]
        );
    }
}
