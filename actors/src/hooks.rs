//! What an embedder is told of connections: when one is opened, and when it has ended and why.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cells::traffic::CLOSE_REASONS;
use crate::endpoints::PeerAddress;
use crate::throttle::Throttle;

/// A connection that has its slot and was greeted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionOpened {
    /// Number of the connection, unique as long as the runtime lives.
    pub connection: u64,
    /// Where it comes from.
    pub peer: PeerAddress,
}

/// A connection that has ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionClosed {
    /// Number of the connection.
    pub connection: u64,
    /// Where it came from.
    pub peer: PeerAddress,
    /// Whose it was in the end: `guest` if nobody has logged in.
    pub user: String,
    /// Why it ended.
    pub reason: CloseReason,
    /// How long it was open.
    pub lasted: Duration,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CloseReason {
    /// The client has closed it, or is gone.
    Client,
    /// One of [`TimeLimits`](crate::config::TimeLimits) was over.
    TimeLimit,
    /// The client did not take its replies, or half a request or reply held what others waited for.
    Shortage,
    /// An operator or the embedder has killed it.
    Killed,
    /// The runtime has stopped, or was about to when it came.
    Stopped,
    /// Tx was busy, and the solo policy is to close.
    Solo,
    /// Nobody logged in on a slot that is kept for administrators.
    NoSlot,
    /// What it sent were no frames.
    Damaged,
    /// The session panicked: a fault of the server.
    Panicked,
    /// Nobody knows what became of a request of its, for its connection to an upstream has ended,
    /// and [`OnLost::Close`](crate::OnLost::Close) is set.
    Lost,
}

impl CloseReason {
    /// Every one.
    pub const ALL: [Self; CLOSE_REASONS] = [
        Self::Client,
        Self::TimeLimit,
        Self::Shortage,
        Self::Killed,
        Self::Stopped,
        Self::Solo,
        Self::NoSlot,
        Self::Damaged,
        Self::Panicked,
        Self::Lost,
    ];

    /// As it is serialized.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::TimeLimit => "time_limit",
            Self::Shortage => "shortage",
            Self::Killed => "killed",
            Self::Stopped => "stopped",
            Self::Solo => "solo",
            Self::NoSlot => "no_slot",
            Self::Damaged => "damaged",
            Self::Panicked => "panicked",
            Self::Lost => "lost",
        }
    }
}

type Hook<T> = Box<dyn Fn(&T) + Send + Sync>;

/// Who is told of connections.
#[derive(Default)]
pub(crate) struct ConnectionHooks {
    opened: Vec<Hook<ConnectionOpened>>,
    closed: Vec<Hook<ConnectionClosed>>,
    panics: Mutex<Throttle>,
}

impl fmt::Debug for ConnectionHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionHooks").finish_non_exhaustive()
    }
}

impl ConnectionHooks {
    pub(crate) fn on_opened(&mut self, hook: impl Fn(&ConnectionOpened) + Send + Sync + 'static) {
        self.opened.push(Box::new(hook));
    }

    pub(crate) fn on_closed(&mut self, hook: impl Fn(&ConnectionClosed) + Send + Sync + 'static) {
        self.closed.push(Box::new(hook));
    }

    pub(crate) fn tell_opened(&self, connection: u64, peer: PeerAddress, now: Instant) {
        if !self.opened.is_empty() {
            let opened = ConnectionOpened { connection, peer };
            self.tell(&self.opened, &opened, now);
        }
    }

    /// `closed` is asked for if somebody is told.
    pub(crate) fn tell_closed(&self, closed: impl FnOnce() -> ConnectionClosed, now: Instant) {
        if !self.closed.is_empty() {
            self.tell(&self.closed, &closed(), now);
        }
    }

    fn tell<T>(&self, hooks: &[Hook<T>], what: &T, now: Instant) {
        for hook in hooks {
            // A panic is the hook's own: the others are told, and the session goes on.
            if catch_unwind(AssertUnwindSafe(|| hook(what))).is_err() {
                let mut panics = self.panics.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(times) = panics.note(now) {
                    log::error!("a hook of connections panicked{times}");
                }
            }
        }
    }
}
