//! Transitions as a pure machine: one deadline, handed to every step, and an answer for every caller.
//!
//! ```text
//!   announce ─▶ quiesce ─▶ grace ─▶ kill ─▶ settle ─▶ done ─▶ the one that waits, if any
//!      │           │         │       │        └ Stopped: Tx closes its engine; a role: at once
//!      │           │         │       └ every arbiter has answered its clients, or the slack is over
//!      │           │         └ every arbiter is quiet ─▶ settle;  the deadline ─▶ kill
//!      │           └ every arbiter has seen the new state and told what it waits for
//!      └ the lameduck of a stop
//!
//!   asked for while one is under way:  the same again ─▶ waits for its end, touches nothing
//!                                      another role   ─▶ waits for its turn; the latest wins
//!                                      a stop         ─▶ at once; nothing follows a stop
//! ```
//!
//! A transition ends [`SLACK`] after its deadline at the latest, whatever the arbiters, Tx and the clients
//! do: the machine waits for nobody without a time.

mod machine;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub(crate) use crate::limits::TRANSITION_SLACK as SLACK;
pub(crate) use machine::Machine;

use super::counts::Counts;
use crate::serving::Role;

/// Where a transition leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Stopped,
    Role(Role),
}

impl Target {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Role(role) => role.name(),
        }
    }
}

/// Who waits for an answer. The machine answers each exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CallerId(pub(crate) u64);

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) target: Target,
    /// How long everything is still served before a stop begins.
    pub(crate) lameduck: Duration,
    /// How long what runs may finish; `None` for ever.
    pub(crate) grace: Option<Duration>,
    /// How long the caller waits for another transition that is under way.
    pub(crate) wait: Duration,
    pub(crate) caller: CallerId,
    /// The state or the role in which it was asked for.
    pub(crate) from: &'static str,
    pub(crate) reason: String,
    pub(crate) requested_by: String,
}

/// What a caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is done: this one, or the same that was under way.
    Done,
    /// It was so already.
    Unchanged,
    /// Something that was asked for later came first.
    Superseded,
    /// Another one was under way all the time.
    TimedOut,
}

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// A transition begins: remember it.
    Begin(Box<Order>),
    /// The readiness goes red; everything is still served.
    Announce,
    /// The state becomes `Draining`; of a stop, the listeners close.
    Quiesce,
    /// Nothing older may be written; every arbiter answers its clients now.
    Kill,
    /// Ask Tx to close its engine.
    StopTx,
    /// The new state holds.
    Settle(Target),
    /// Call [`Machine::on_time`] at this time.
    WakeAt(Instant),
    /// The transition is over: complete what is remembered.
    End(Box<Report>),
    /// Tell a caller.
    Answer(CallerId, Verdict),
}

/// What a transition is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Announce,
    Quiesce,
    Grace,
    Kill,
    Settle,
}

impl Phase {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Announce => "announce",
            Self::Quiesce => "quiesce",
            Self::Grace => "grace",
            Self::Kill => "kill",
            Self::Settle => "settle",
        }
    }
}

/// Time spent in each phase, in its order.
pub(crate) type PhaseTimes = [Duration; 5];

/// What an arbiter waits for when it has seen the new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Waiting {
    pub(crate) requests: Counts,
    pub(crate) transactions: usize,
}

impl Waiting {
    fn merge(&mut self, other: &Self) {
        self.requests.merge(&other.requests);
        self.transactions += other.transactions;
    }
}

/// What an arbiter cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Toll {
    /// Taken back: they were never begun.
    pub(crate) revoked: Counts,
    /// Begun: their clients were told that the outcome is unknown.
    pub(crate) killed: Counts,
    /// Transactions that were open.
    pub(crate) transactions: usize,
    /// Connections whose replies were thrown away, because their clients did not read them.
    pub(crate) unread: usize,
}

impl Toll {
    fn merge(&mut self, other: &Self) {
        self.revoked.merge(&other.revoked);
        self.killed.merge(&other.killed);
        self.transactions += other.transactions;
        self.unread += other.unread;
    }
}

/// How a transition went.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    pub(crate) times: PhaseTimes,
    pub(crate) waiting: Waiting,
    pub(crate) toll: Toll,
    /// A stop came in between.
    pub(crate) is_superseded: bool,
    /// Arbiters that did not answer their clients in time.
    pub(crate) workers_left: Vec<usize>,
    /// Of a stop: whether Tx closed its engine in time.
    pub(crate) tx_stopped: bool,
}

impl Report {
    pub(crate) fn took(&self) -> Duration {
        self.times.iter().sum()
    }
}
