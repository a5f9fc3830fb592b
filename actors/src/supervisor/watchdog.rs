//! The watchdog as a pure machine: notices that Tx stands still although nobody said so.
//!
//! ```text
//!            requests wait, no heartbeat                      still so after the patience
//!   Quiet ────────────────────────────────▶ Suspicious ───────────────────────────────▶ Stalled
//!     ▲      (Tx is asked for a sign)           │          (solo)                          │
//!     └── a heartbeat, nothing waits, ──────────┘                                          │
//!     │   another state, this check came late                                              │
//!     └────────────────────────────── a heartbeat, or another state (assist) ──────────────┘
//! ```
//!
//! A request may wait in Tx's keeping without Tx being blocked (in a stream, behind a procedure
//! that sleeps). So the first suspicion asks Tx for a sign, through its mailbox: a thread that
//! hears moves the heartbeat.
//!
//! A Tx that is always a little slower than the period would go back and forth between the states.
//! So the patience doubles with each stall that follows soon on the one before, up to a bound.

use std::time::{Duration, Instant};

use crate::limits::{
    STALL_CALM_PERIODS, STALL_PATIENCE_MAX, WATCHDOG_LOOK_MAX, WATCHDOG_LOOK_MIN,
    WATCHDOG_LOOKS_PER_PERIOD,
};

/// What the shell has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// Send Tx a message that moves the heartbeat.
    Probe,
    /// Tx stands still: solo.
    Stalled,
    /// Tx moves again, or its stall does not matter any more.
    Over,
}

/// What a check sees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TxObservation {
    /// Where Tx's heartbeat stands.
    pub(crate) heartbeat: u64,
    /// Requests go to Tx.
    pub(crate) forwards: bool,
    /// The state is solo: one's own, declared for a stall, or somebody else's.
    pub(crate) answers_alone: bool,
    /// Requests wait for Tx.
    pub(crate) is_queued: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WatchdogPhase {
    Quiet,
    Suspicious(Instant),
    Stalled,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Watchdog {
    period: Duration,
    phase: WatchdogPhase,
    heartbeat: u64,
    /// The heartbeat has not moved since Tx was asked for a sign.
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
            phase: WatchdogPhase::Quiet,
            heartbeat: 0,
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
        if self.phase == WatchdogPhase::Stalled {
            // Requests are refused meanwhile: assist should not wait for a slow look.
            return WATCHDOG_LOOK_MIN;
        }
        (self.period / WATCHDOG_LOOKS_PER_PERIOD).clamp(WATCHDOG_LOOK_MIN, WATCHDOG_LOOK_MAX)
    }

    /// Goes by another period from now on, which is not zero.
    pub(crate) fn set_period(&mut self, period: Duration, now: Instant) {
        self.period = period;
        self.due = now + self.wait();
    }

    /// Whether Tx stands still.
    pub(crate) fn is_stalled(&self) -> bool {
        self.phase == WatchdogPhase::Stalled
    }

    /// A test has wound the clock: the look that comes now is not late.
    #[cfg(feature = "testing")]
    pub(super) fn note_wound(&mut self, now: Instant) {
        self.due = self.due.max(now);
    }

    /// One check.
    pub(crate) fn check(&mut self, now: Instant, observation: TxObservation) -> Option<Alarm> {
        let has_moved = observation.heartbeat != self.heartbeat;
        self.heartbeat = observation.heartbeat;
        self.has_probed &= !has_moved;
        // What kept this thread waiting may have kept Tx waiting too.
        let is_late = now.saturating_duration_since(self.due) > self.period / 2;
        let alarm = match self.phase {
            WatchdogPhase::Stalled
                if has_moved || !(observation.forwards || observation.answers_alone) =>
            {
                self.over(now)
            }
            WatchdogPhase::Stalled => None,
            _ if has_moved || !observation.is_queued || !observation.forwards => {
                self.phase = WatchdogPhase::Quiet;
                None
            }
            WatchdogPhase::Suspicious(since) if !is_late => self.suspect(now, since),
            WatchdogPhase::Quiet | WatchdogPhase::Suspicious(_) => {
                self.phase = WatchdogPhase::Suspicious(now);
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
        self.phase = WatchdogPhase::Stalled;
        Some(Alarm::Stalled)
    }

    fn over(&mut self, now: Instant) -> Option<Alarm> {
        self.phase = WatchdogPhase::Quiet;
        self.calm_since = Some(now);
        self.patience = (self.patience * 2).min(STALL_PATIENCE_MAX);
        Some(Alarm::Over)
    }
}

#[cfg(test)]
#[path = "watchdog_tests.rs"]
mod tests;
