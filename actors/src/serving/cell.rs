//! The shared cell: one atomic word that everyone loads, and the details behind a lock.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::solo::{Declarer, Solo, SoloCounts};
use super::status::{Status, retry_after};
use super::transition::{TransitionProgress, TransitionView};
use crate::clock::Clock;
use crate::engine::Progress;
use crate::limits::REASON_SIZE_MAX;
use crate::states::{DrainTarget, Role, Serving, State};

/// What the state is but for the reasons for solo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Loading,
    Ready,
    Draining,
    Stopped,
}

pub(super) struct Details {
    base: Base,
    role: Role,
    drain_target: Option<DrainTarget>,
    transition: TransitionView,
    reason: String,
    /// Solos nest: assist returns when the last one is gone. The newest is the one that is told.
    pub(super) solos: Vec<Solo>,
    progress: Option<Progress>,
    /// When the state was entered.
    since: Instant,
    /// When what progress measures began.
    progress_since: Instant,
    pub(super) guards: u64,
    history: History,
}

/// What there has been.
#[derive(Debug, Clone, Copy)]
struct History {
    /// How long each state lasted, but for the present one.
    lasted: [Duration; State::ALL.len()],
    /// When the present one was entered.
    entered: Instant,
    solos: SoloCounts,
}

/// The shared cell. One exists per runtime.
pub(crate) struct ServingCell {
    bits: AtomicU64,
    details: Mutex<Details>,
    clock: Clock,
    notify: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for ServingCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServingCell")
            .field("serving", &self.load())
            .finish_non_exhaustive()
    }
}

impl ServingCell {
    /// A cell in state `Loading`, epoch 1.
    #[must_use]
    pub(crate) fn new(role: Role, clock: Clock) -> Arc<Self> {
        let now = clock.now();
        let serving = Serving {
            state: State::Loading,
            role,
            drain_target: None,
            epoch: 1,
        };
        Arc::new(Self {
            bits: AtomicU64::new(serving.to_bits()),
            details: Mutex::new(Details {
                base: Base::Loading,
                role,
                drain_target: None,
                transition: TransitionView {
                    under_way: None,
                    wanted: Some(role),
                },
                reason: "starting".to_owned(),
                solos: Vec::new(),
                progress: None,
                since: now,
                progress_since: now,
                guards: 0,
                history: History {
                    lasted: [Duration::ZERO; State::ALL.len()],
                    entered: now,
                    solos: SoloCounts::default(),
                },
            }),
            clock,
            notify: OnceLock::new(),
        })
    }

    /// State, role and epoch.
    #[inline]
    #[must_use]
    pub(crate) fn load(&self) -> Serving {
        Serving::from_bits(self.bits.load(Ordering::Acquire))
    }

    /// By which the runtime's times are told.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// What is called after every change, by the thread that made it: it must not block.
    pub(crate) fn on_change(&self, notify: impl Fn() + Send + Sync + 'static) {
        let _ = self.notify.set(Box::new(notify));
    }

    // The details stay whole even if a thread panics between two assignments.
    pub(super) fn details(&self) -> MutexGuard<'_, Details> {
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self, now: Instant, edit: impl FnOnce(&mut Details)) {
        {
            let mut details = self.details();
            edit(&mut details);
            let old = self.load();
            let state = details.state();
            let new = Serving {
                state,
                role: details.role,
                drain_target: details.drain_target,
                epoch: old.epoch,
            };
            if new != old {
                let new = Serving {
                    epoch: old.epoch + 1,
                    ..new
                };
                if new.state != old.state || new.role != old.role {
                    details.since = now;
                }
                if new.state != old.state {
                    details.history.leave(old.state, now);
                }
                self.bits.store(new.to_bits(), Ordering::Release);
            }
        }
        self.notify();
    }

    /// Has everybody look who is told of changes.
    pub(crate) fn notify(&self) {
        if let Some(notify) = self.notify.get() {
            notify();
        }
    }

    /// Calls this with the epoch of the next change, while none can come between.
    pub(crate) fn before_next_epoch<R>(&self, act: impl FnOnce(u64) -> R) -> R {
        let _details = self.details();
        act(self.load().epoch + 1)
    }

    /// The engine is loading, for the first time or again.
    pub(crate) fn loading(&self, reason: &str, now: Instant) {
        self.change(now, |details| {
            if matches!(details.base, Base::Loading | Base::Ready) {
                details.base = Base::Loading;
                details.reason = bounded(reason);
                details.progress = None;
                details.progress_since = now;
            }
        });
    }

    /// How far loading has come. Nobody is notified: nothing to act on.
    pub(crate) fn loading_progress(&self, progress: Progress, now: Instant) {
        let mut details = self.details();
        if progress.rows > 0 && details.base == Base::Loading {
            let elapsed = now.saturating_duration_since(details.progress_since);
            let rate = progress.rows as f64 / elapsed.as_secs_f64().max(1e-3);
            let rows = progress.rows;
            details.reason = format!("recovering: {rows} rows, {rate:.0} rows/s");
        }
        details.progress = Some(progress);
    }

    /// The engine is ready: `Assist`, or `Solo` if there is a reason for it.
    pub(crate) fn ready(&self, now: Instant) {
        self.change(now, |details| {
            if details.base == Base::Loading {
                details.base = Base::Ready;
                details.reason.clear();
                details.progress = None;
            }
        });
    }

    /// A stop is announced: everything is still served, but the server is not ready any more.
    pub(crate) fn announce_stop(&self, view: TransitionView, now: Instant) {
        self.change(now, |details| {
            details.transition = view;
            if details.base != Base::Stopped {
                details.drain_target = Some(DrainTarget::Stopped);
            }
        });
    }

    /// A stop begins: what runs may finish, nothing new begins.
    pub(crate) fn draining(&self, reason: &str, view: TransitionView, now: Instant) {
        self.change(now, |details| {
            details.transition = view;
            if details.base != Base::Stopped {
                details.base = Base::Draining;
                details.drain_target = Some(DrainTarget::Stopped);
                details.reason = bounded(reason);
            }
        });
    }

    /// A demotion begins: open transactions may finish, nothing else may change data.
    pub(crate) fn demoting(&self, view: TransitionView, now: Instant) {
        self.change(now, |details| {
            details.transition = view;
            if details.drain_target.is_none() {
                details.drain_target = Some(DrainTarget::Replica);
            }
        });
    }

    /// The stop is done.
    pub(crate) fn stopped(&self, view: TransitionView, now: Instant) {
        self.change(now, |details| {
            details.transition = view;
            details.base = Base::Stopped;
            details.drain_target = Some(DrainTarget::Stopped);
        });
    }

    /// Sets the role: a demotion or promotion is done.
    pub(crate) fn set_role(&self, role: Role, view: TransitionView, now: Instant) {
        self.change(now, |details| {
            details.transition = view;
            details.role = role;
            if details.drain_target == Some(DrainTarget::Replica) {
                details.drain_target = None;
            }
        });
    }

    /// What is told of transitions from now on, in the state that holds already. Nobody is
    /// notified: there is nothing to act on.
    pub(crate) fn show_transition(&self, view: TransitionView) {
        self.details().transition = view;
    }

    /// An operator asks for solo; asking again replaces the reason.
    pub(crate) fn operator_solo(&self, reason: &str, now: Instant) {
        self.change(now, |details| {
            let before = details.solos.len();
            details.solos.retain(|solo| solo.by != Declarer::Operator);
            let is_new = details.solos.len() == before;
            details.history.solos.operator += u64::from(is_new);
            details.push(Declarer::Operator, reason, now);
        });
    }

    /// An operator takes back what it asked for. Other reasons for solo stay.
    pub(crate) fn operator_assist(&self, now: Instant) {
        self.change(now, |details| {
            details.solos.retain(|solo| solo.by != Declarer::Operator)
        });
    }

    /// The watchdog sees that Tx stands still. Another declaration of solo knows more: it is
    /// told.
    pub(crate) fn stalled(&self, now: Instant) {
        self.change(now, |details| {
            let solo = Solo {
                by: Declarer::Watchdog,
                reason: "stalled".to_owned(),
                progress: None,
                since: now,
            };
            details.solos.insert(0, solo);
            details.history.solos.stall += 1;
        });
    }

    /// Tx moves again.
    pub(crate) fn moving(&self, now: Instant) {
        self.change(now, |details| {
            details.solos.retain(|solo| solo.by != Declarer::Watchdog);
        });
    }

    /// No upstream serves, because of this; told again, it replaces what is told, which nobody is
    /// notified of.
    pub(crate) fn upstream_trouble(&self, reason: &str, now: Instant) {
        {
            let mut details = self.details();
            if details.base == Base::Loading {
                details.reason = bounded(reason);
                return;
            }
            let own = |solo: &&mut Solo| solo.by == Declarer::Upstream;
            if let Some(solo) = details.solos.iter_mut().find(own) {
                solo.reason = bounded(reason);
                return;
            }
        }
        self.change(now, |details| {
            details.push(Declarer::Upstream, reason, now);
            details.history.solos.stall += 1;
        });
    }

    /// An upstream serves.
    pub(crate) fn upstream_back(&self, now: Instant) {
        let is_own = |solo: &Solo| solo.by == Declarer::Upstream;
        if self.details().solos.iter().any(is_own) {
            self.change(now, |details| details.solos.retain(|solo| !is_own(solo)));
        }
    }

    /// How long each state has lasted in all, in the order of [`State::ALL`], and how often solo
    /// was declared.
    pub(crate) fn history(&self, now: Instant) -> ([Duration; State::ALL.len()], SoloCounts) {
        let details = self.details();
        let mut history = details.history;
        history.leave(self.load().state, now);
        let guard = details.guards;
        (
            history.lasted,
            SoloCounts {
                guard,
                ..history.solos
            },
        )
    }

    /// Whether the watchdog says that Tx stands still.
    pub(crate) fn is_stalled(&self) -> bool {
        let details = self.details();
        (details.solos.iter()).any(|solo| solo.by == Declarer::Watchdog)
    }

    /// Everything there is to say about the state.
    #[must_use]
    pub(crate) fn status(&self, now: Instant) -> Status {
        let details = self.details();
        let (reason, progress, began) = match (details.base, details.solos.last()) {
            (Base::Ready, Some(solo)) => (solo.reason.as_str(), solo.progress, solo.since),
            (Base::Ready, None) if details.drain_target == Some(DrainTarget::Replica) => {
                ("the server becomes a replica", None, details.since)
            }
            _ => (
                details.reason.as_str(),
                details.progress,
                details.progress_since,
            ),
        };
        let declared_by = match details.base {
            Base::Ready => details.solos.last().map(|solo| solo.by),
            _ => None,
        };
        Status {
            serving: self.load(),
            reason: reason.to_owned(),
            is_of_upstreams: declared_by == Some(Declarer::Upstream),
            progress,
            since: now.saturating_duration_since(details.since),
            retry_after: retry_after(progress, now.saturating_duration_since(began)),
            transition: details
                .transition
                .under_way
                .as_ref()
                .map(|(progress, deadline)| {
                    let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
                    TransitionProgress {
                        left,
                        ..progress.clone()
                    }
                }),
            wanted: details.transition.wanted,
        }
    }
}

impl History {
    fn leave(&mut self, state: State, now: Instant) {
        self.lasted[state as usize] += now.saturating_duration_since(self.entered);
        self.entered = now;
    }
}

impl Details {
    fn state(&self) -> State {
        match self.base {
            Base::Loading => State::Loading,
            Base::Ready if !self.solos.is_empty() => State::Solo,
            Base::Ready if self.drain_target == Some(DrainTarget::Replica) => State::Draining,
            Base::Ready => State::Assist,
            Base::Draining => State::Draining,
            Base::Stopped => State::Stopped,
        }
    }

    pub(super) fn push(&mut self, by: Declarer, reason: &str, now: Instant) {
        self.solos.push(Solo {
            by,
            reason: bounded(reason),
            progress: None,
            since: now,
        });
    }
}

/// As much of a reason as is kept, whole characters.
fn bounded(reason: &str) -> String {
    if reason.len() <= REASON_SIZE_MAX {
        return reason.to_owned();
    }
    let room = REASON_SIZE_MAX - '…'.len_utf8();
    let mut ends = (0..=room).rev();
    let end = ends.find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &reason[..end])
}
