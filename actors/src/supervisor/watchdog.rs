//! The watchdog as a pure machine: notices that Tx stands still although nobody said so.
//!
//! ```text
//!            requests wait, the mark stands                still so after the patience
//!   Quiet ────────────────────────────────▶ Suspicious ───────────────────────────────▶ Stalled
//!     ▲      (Tx is asked for a sign)           │          (solo)                          │
//!     └── the mark moved, nothing waits, ───────┘                                          │
//!     │   another state, this look came late                                               │
//!     └────────────────────────────── the mark moved, or another state (assist) ───────────┘
//! ```
//!
//! A request may wait in Tx's keeping without Tx being deaf (in a stream, behind a procedure that
//! sleeps). So the first suspicion asks Tx for a sign, through its mailbox: a thread that hears moves
//! the mark.
//!
//! A Tx that is always a little slower than the period would go back and forth between the states. So
//! the patience doubles with each stall that follows soon on the one before, up to a bound.

use std::time::{Duration, Instant};

use crate::limits::{
    STALL_CALM_PERIODS, STALL_PATIENCE_MAX, WATCHDOG_LOOK_MAX, WATCHDOG_LOOK_MIN,
    WATCHDOG_LOOKS_PER_PERIOD,
};
use crate::serving::State;

/// What the shell has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// Send Tx a message that moves the mark.
    Probe,
    /// Tx stands still: solo.
    Stalled,
    /// It moves again, or it does not matter any more.
    Over,
}

/// What a look sees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight {
    /// Where Tx's mark stands.
    pub(crate) mark: u64,
    pub(crate) state: State,
    /// Requests wait for Tx.
    pub(crate) is_queued: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Quiet,
    Suspicious(Instant),
    Stalled,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Watchdog {
    period: Duration,
    phase: Phase,
    mark: u64,
    /// The mark has not moved since Tx was asked for a sign.
    has_probed: bool,
    /// How many periods make a stall.
    patience: u32,
    /// When the last stall was over.
    calm_since: Option<Instant>,
    /// When the next look is due.
    due: Instant,
}

impl Watchdog {
    /// `None` for a period of zero: nobody watches.
    pub(crate) fn new(period: Duration, now: Instant) -> Option<Self> {
        let mut watchdog = Self {
            period,
            phase: Phase::Quiet,
            mark: 0,
            has_probed: false,
            patience: 1,
            calm_since: None,
            due: now,
        };
        watchdog.due = now + watchdog.wait();
        (!period.is_zero()).then_some(watchdog)
    }

    /// How long until the next look.
    pub(crate) fn wait(&self) -> Duration {
        if self.phase == Phase::Stalled {
            // Requests are refused meanwhile: assist should not wait for a slow look.
            return WATCHDOG_LOOK_MIN;
        }
        (self.period / WATCHDOG_LOOKS_PER_PERIOD).clamp(WATCHDOG_LOOK_MIN, WATCHDOG_LOOK_MAX)
    }

    /// One look.
    pub(crate) fn look(&mut self, now: Instant, sight: Sight) -> Option<Alarm> {
        let has_moved = sight.mark != self.mark;
        self.mark = sight.mark;
        self.has_probed &= !has_moved;
        // Whoever kept this thread waiting may have kept Tx waiting too.
        let is_late = now.saturating_duration_since(self.due) > self.period / 2;
        let alarm = match self.phase {
            Phase::Stalled if has_moved || !may_stall(sight.state, true) => self.over(now),
            Phase::Stalled => None,
            _ if has_moved || !sight.is_queued || !may_stall(sight.state, false) => {
                self.phase = Phase::Quiet;
                None
            }
            Phase::Suspicious(since) if !is_late => self.suspect(now, since),
            Phase::Quiet | Phase::Suspicious(_) => {
                self.phase = Phase::Suspicious(now);
                let has_probed = std::mem::replace(&mut self.has_probed, true);
                (!has_probed).then_some(Alarm::Probe)
            }
        };
        self.due = now + self.wait();
        alarm
    }

    fn suspect(&mut self, now: Instant, since: Instant) -> Option<Alarm> {
        let is_calm = self.calm_since.is_none_or(|calm_since| {
            let calm = now.saturating_duration_since(calm_since);
            calm >= self.period.saturating_mul(STALL_CALM_PERIODS)
        });
        if is_calm {
            self.patience = 1;
        }
        let stood = now.saturating_duration_since(since);
        if stood < self.period.saturating_mul(self.patience) {
            return None;
        }
        self.phase = Phase::Stalled;
        Some(Alarm::Stalled)
    }

    fn over(&mut self, now: Instant) -> Option<Alarm> {
        self.phase = Phase::Quiet;
        self.calm_since = Some(now);
        self.patience = (self.patience * 2).min(STALL_PATIENCE_MAX);
        Some(Alarm::Over)
    }
}

/// Whether a stall means anything in this state. A solo is one's own or somebody else's, who knows
/// more.
fn may_stall(state: State, is_stalled: bool) -> bool {
    state == State::Assist || state == State::Solo && is_stalled
}

#[cfg(test)]
#[path = "watchdog_tests.rs"]
mod tests;
