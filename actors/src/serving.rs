//! The serving state: one shared cell that everyone reads and nobody waits for.
//!
//! ```text
//!   Supervisor, Tx's guards, operators ──store──▶ cell ──load──▶ every session, on every request
//!                                            └── nudge ──▶ one message per session arbiter
//!
//!            recovered           guard, operator, watchdog
//!   Loading ──────────▶ Assist ◀────────────────────▶ Solo
//!      │                  │        last reason gone    │
//!      └──────────────────┴───────── drain ────────────┴──▶ Draining ──▶ Stopped
//! ```
//!
//! A session that acts on the old value for one turn is correct by design: what it forwarded meanwhile
//! is revoked by the nudge if Tx has not begun it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use vestibule_wire::error::Field;
use vestibule_wire::{Error, ErrorCode};

use crate::engine::Progress;
use crate::limits::{RETRY_AFTER_DEFAULT, RETRY_AFTER_MAX, RETRY_AFTER_MIN};

/// What the network side may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// The engine is recovering: nothing may be read that is not complete.
    Loading = 0,
    /// Normal: sessions forward to Tx.
    Assist = 1,
    /// Tx is deaf: the network side answers alone.
    Solo = 2,
    /// A stop is under way: what runs may finish, nothing new begins.
    Draining = 3,
    /// Nothing is served.
    Stopped = 4,
}

impl State {
    /// Every state, for tests over the whole product.
    pub const ALL: [Self; 5] = [
        Self::Loading,
        Self::Assist,
        Self::Solo,
        Self::Draining,
        Self::Stopped,
    ];

    /// As it stands in `vestibule.state()` and in error fields.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Assist => "assist",
            Self::Solo => "solo",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether data may be changed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Role {
    /// Reads and writes.
    #[default]
    Primary = 0,
    /// Reads.
    Replica = 1,
}

impl Role {
    /// Both roles, for tests over the whole product.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Replica];

    /// As it stands in `vestibule.state()`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

/// State, role and epoch as one atomic load gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serving {
    /// What the network side may do.
    pub state: State,
    /// Whether data may be changed.
    pub role: Role,
    /// Grows with every change of state or role.
    pub epoch: u64,
}

impl Serving {
    const fn pack(self) -> u64 {
        self.epoch << 8 | (self.role as u64) << 4 | self.state as u64
    }

    const fn unpack(packed: u64) -> Self {
        let state = match packed & 0x0f {
            0 => State::Loading,
            1 => State::Assist,
            2 => State::Solo,
            3 => State::Draining,
            _ => State::Stopped,
        };
        let role = if packed >> 4 & 0x0f == 0 {
            Role::Primary
        } else {
            Role::Replica
        };
        Self {
            state,
            role,
            epoch: packed >> 8,
        }
    }
}

/// What stands behind the state, for people and error fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    /// The state it explains.
    pub serving: Serving,
    /// Why it is not `Assist`; empty if it is.
    pub reason: String,
    /// How far what is waited for has come, if that is known.
    pub progress: Option<Progress>,
    /// How long the state has been so.
    pub since: Duration,
    /// When a client should come back.
    pub retry_after: Duration,
}

/// Who declared a reason for solo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Declarer {
    Guard(u64),
    Operator,
    Watchdog,
}

/// What the state is but for the reasons for solo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Loading,
    Ready,
    Draining,
    Stopped,
}

struct Details {
    base: Base,
    role: Role,
    reason: String,
    /// Solos nest: assist returns when the last one is gone. The newest is the one that is told.
    solos: Vec<Solo>,
    progress: Option<Progress>,
    /// When the state was entered.
    since: Instant,
    /// When what progress measures began.
    progress_since: Instant,
    guards: u64,
}

struct Solo {
    by: Declarer,
    reason: String,
    progress: Option<Progress>,
    since: Instant,
}

/// The shared cell. One exists per runtime.
pub struct ServingCell {
    packed: AtomicU64,
    details: Mutex<Details>,
    nudge: OnceLock<Box<dyn Fn() + Send + Sync>>,
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
    pub fn new(role: Role, now: Instant) -> Arc<Self> {
        let serving = Serving {
            state: State::Loading,
            role,
            epoch: 1,
        };
        Arc::new(Self {
            packed: AtomicU64::new(serving.pack()),
            details: Mutex::new(Details {
                base: Base::Loading,
                role,
                reason: "starting".to_owned(),
                solos: Vec::new(),
                progress: None,
                since: now,
                progress_since: now,
                guards: 0,
            }),
            nudge: OnceLock::new(),
        })
    }

    /// State, role and epoch.
    #[inline]
    #[must_use]
    pub fn load(&self) -> Serving {
        Serving::unpack(self.packed.load(Ordering::Acquire))
    }

    /// What is called after every change, by the thread that made it: it must not block.
    pub(crate) fn on_change(&self, nudge: impl Fn() + Send + Sync + 'static) {
        let _ = self.nudge.set(Box::new(nudge));
    }

    // The details stay whole even if a thread panics between two assignments.
    fn details(&self) -> MutexGuard<'_, Details> {
        self.details.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, now: Instant, edit: impl FnOnce(&mut Details)) {
        {
            let mut details = self.details();
            edit(&mut details);
            let old = self.load();
            let state = details.state();
            if state != old.state || details.role != old.role {
                details.since = now;
                let new = Serving {
                    state,
                    role: details.role,
                    epoch: old.epoch + 1,
                };
                self.packed.store(new.pack(), Ordering::Release);
            }
        }
        if let Some(nudge) = self.nudge.get() {
            nudge();
        }
    }

    /// The engine is loading, anew if it was ready before.
    pub(crate) fn loading(&self, reason: &str, now: Instant) {
        self.change(now, |details| {
            if matches!(details.base, Base::Loading | Base::Ready) {
                details.base = Base::Loading;
                details.reason = reason.to_owned();
                details.progress = None;
                details.progress_since = now;
            }
        });
    }

    /// How far loading has come. No nudge: nothing to act on.
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

    /// A stop begins.
    pub(crate) fn draining(&self, reason: &str, now: Instant) {
        self.change(now, |details| {
            if details.base != Base::Stopped {
                details.base = Base::Draining;
                details.reason = reason.to_owned();
            }
        });
    }

    /// The stop is done.
    pub(crate) fn stopped(&self, now: Instant) {
        self.change(now, |details| details.base = Base::Stopped);
    }

    /// Sets the role.
    pub(crate) fn set_role(&self, role: Role, now: Instant) {
        self.change(now, |details| details.role = role);
    }

    /// An operator asks for solo; asking again replaces the reason.
    pub fn operator_solo(&self, reason: &str, now: Instant) {
        self.change(now, |details| {
            details.solos.retain(|solo| solo.by != Declarer::Operator);
            details.push(Declarer::Operator, reason.to_owned(), now);
        });
    }

    /// An operator takes back what it asked for. Other reasons for solo stay.
    pub fn operator_assist(&self, now: Instant) {
        self.change(now, |details| {
            details.solos.retain(|solo| solo.by != Declarer::Operator)
        });
    }

    /// The watchdog sees that Tx stands still. Whoever else declares solo knows more: theirs is told.
    pub(crate) fn stalled(&self, now: Instant) {
        self.change(now, |details| {
            let solo = Solo {
                by: Declarer::Watchdog,
                reason: "stalled".to_owned(),
                progress: None,
                since: now,
            };
            details.solos.insert(0, solo);
        });
    }

    /// Tx moves again.
    pub(crate) fn moving(&self, now: Instant) {
        self.change(now, |details| {
            details.solos.retain(|solo| solo.by != Declarer::Watchdog);
        });
    }

    /// Everything there is to say about the state.
    #[must_use]
    pub fn situation(&self, now: Instant) -> Situation {
        let details = self.details();
        let (reason, progress, began) = match (details.base, details.solos.last()) {
            (Base::Ready, Some(solo)) => (&solo.reason, solo.progress, solo.since),
            _ => (&details.reason, details.progress, details.progress_since),
        };
        Situation {
            serving: self.load(),
            reason: reason.clone(),
            progress,
            since: now.saturating_duration_since(details.since),
            retry_after: retry_after(progress, now.saturating_duration_since(began)),
        }
    }
}

impl Details {
    fn state(&self) -> State {
        match self.base {
            Base::Loading => State::Loading,
            Base::Ready if self.solos.is_empty() => State::Assist,
            Base::Ready => State::Solo,
            Base::Draining => State::Draining,
            Base::Stopped => State::Stopped,
        }
    }

    fn push(&mut self, by: Declarer, reason: String, now: Instant) {
        self.solos.push(Solo {
            by,
            reason,
            progress: None,
            since: now,
        });
    }
}

/// What is left at the pace so far; a fixed guess while the pace is not known.
fn retry_after(progress: Option<Progress>, elapsed: Duration) -> Duration {
    let share = progress
        .and_then(Progress::share)
        .filter(|share| *share > 0.01);
    let left = share.map(|share| elapsed.mul_f64((1.0 - share) / share));
    left.unwrap_or(RETRY_AFTER_DEFAULT)
        .clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
}

impl Situation {
    /// The error for a request that is refused with this code because of the state.
    #[must_use]
    pub fn error(&self, code: ErrorCode) -> Error {
        let percent = self
            .progress
            .and_then(Progress::share)
            .map_or(String::new(), |share| {
                format!(" ({:.0} %)", (share * 100.0).floor())
            });
        let retry_after = (self.retry_after.as_secs_f64() * 10.0).round() / 10.0;
        let text = match (code, self.serving.state) {
            (ErrorCode::SHUTDOWN, _) => "Server is shutting down".to_owned(),
            (ErrorCode::READONLY, _) => {
                // Word for word: the npm connector decides on fail-over by this text.
                "Can't modify data on a read-only instance - box.cfg.read_only is true".to_owned()
            }
            (_, State::Loading) => format!(
                "Instance bootstrap hasn't finished yet: {}{percent}, retry after {retry_after} s",
                self.reason
            ),
            _ => format!(
                "Tx is busy: {}{percent}, retry after {retry_after} s",
                self.reason
            ),
        };
        self.error_with_text(code, text)
    }

    /// An error with a text of one's own and the fields that every error of a state carries.
    #[must_use]
    pub fn error_with_text(&self, code: ErrorCode, text: String) -> Error {
        let retry_after = (self.retry_after.as_secs_f64() * 10.0).round() / 10.0;
        let progress = self.progress.and_then(Progress::share).unwrap_or(0.0);
        Error::new(code, text)
            .with_field("state", Field::Str(self.serving.state.name().into()))
            .with_field("reason", Field::Str(self.reason.clone().into()))
            .with_field("progress", Field::Float(progress))
            .with_field("retry_after", Field::Float(retry_after))
            .with_field("epoch", Field::Uint(self.serving.epoch))
    }
}

/// The means to declare solo, for whoever makes Tx busy. Cheap to clone, usable from any thread.
#[derive(Debug, Clone)]
pub struct Solos(Arc<ServingCell>);

impl Solos {
    /// Declares solo on this cell.
    #[must_use]
    pub fn new(cell: Arc<ServingCell>) -> Self {
        Self(cell)
    }

    /// A handle whose declarations nobody hears, for an engine's own tests.
    #[must_use]
    pub fn unheard() -> Self {
        Self(ServingCell::new(Role::Primary, Instant::now()))
    }

    /// Declares solo until the guard is dropped.
    #[must_use = "the state returns to assist when the guard is dropped"]
    pub fn enter(&self, reason: impl Into<String>) -> SoloGuard {
        let now = Instant::now();
        let mut id = 0;
        self.0.change(now, |details| {
            details.guards += 1;
            id = details.guards;
            details.push(Declarer::Guard(id), reason.into(), now);
        });
        SoloGuard {
            cell: self.0.clone(),
            id,
        }
    }
}

/// While it lives, sessions answer without Tx.
#[derive(Debug)]
pub struct SoloGuard {
    cell: Arc<ServingCell>,
    id: u64,
}

impl SoloGuard {
    /// Tells how far the work has come: clients see the share and when to come back.
    pub fn progress(&self, done: u64, total: u64) {
        let mut details = self.cell.details();
        let own = |solo: &&mut Solo| solo.by == Declarer::Guard(self.id);
        if let Some(solo) = details.solos.iter_mut().find(own) {
            solo.progress = Some(Progress {
                done,
                total,
                ..Progress::default()
            });
        }
    }
}

impl Drop for SoloGuard {
    fn drop(&mut self) {
        let own = Declarer::Guard(self.id);
        self.cell.change(Instant::now(), |details| {
            details.solos.retain(|solo| solo.by != own)
        });
    }
}

#[cfg(test)]
#[path = "serving_tests.rs"]
mod tests;
