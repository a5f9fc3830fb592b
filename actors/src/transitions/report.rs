//! How far a transition has come: its phases, what workers tell, and how it went.

use std::time::Duration;

use super::counts::Counts;
use crate::admission::Class;

/// Time spent in each phase, in its order.
pub(crate) type PhaseTimes = [Duration; 5];

/// What a worker waits for when it has seen the new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct WaitedFor {
    pub(crate) requests: Counts,
    pub(crate) transactions: usize,
}

impl WaitedFor {
    pub(super) fn merge(&mut self, other: &Self) {
        self.requests.merge(&other.requests);
        self.transactions += other.transactions;
    }
}

/// What a worker cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CutOffCounts {
    /// Taken back: they were never begun.
    pub(crate) revoked: Counts,
    /// Begun: their clients were told that the outcome is unknown.
    pub(crate) killed: Counts,
    /// Of both, those that came after the worker had told what it waits for.
    pub(crate) joined: Counts,
    /// Transactions that were open.
    pub(crate) transactions: usize,
    /// Transactions whose end was begun: nobody knows what became of them.
    pub(crate) unknown_transactions: usize,
    /// Of both, those that were begun after the worker had told what it waits for.
    pub(crate) joined_transactions: usize,
    /// Connections whose replies were thrown away, because their clients did not read them, or who
    /// had sent something before a stop that was not even read. Of a thread that had nothing left
    /// to wait for, replies are none of it.
    pub(crate) unread: usize,
}

impl CutOffCounts {
    /// One of its requests was waited for, or joined later.
    pub(crate) fn joins(&mut self, class: Class, is_waited_for: bool) {
        if !is_waited_for {
            self.joined.add(class);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.revoked.merge(&other.revoked);
        self.killed.merge(&other.killed);
        self.joined.merge(&other.joined);
        self.transactions += other.transactions;
        self.unknown_transactions += other.unknown_transactions;
        self.joined_transactions += other.joined_transactions;
        self.unread += other.unread;
    }
}

/// How a transition went.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TransitionReport {
    pub(crate) times: PhaseTimes,
    pub(crate) waiting: WaitedFor,
    pub(crate) cut_off: CutOffCounts,
    /// What was waited for of which nobody knows here how it ended: that of workers which were left
    /// behind, or of a transition that a stop took over.
    pub(crate) left: WaitedFor,
    /// A stop came in between.
    pub(crate) is_superseded: bool,
    /// Workers that did not answer their clients in time.
    pub(crate) workers_left: Vec<usize>,
    /// Of a stop: whether Tx closed its engine in time.
    pub(crate) tx_stopped: bool,
}

impl TransitionReport {
    pub(crate) fn took(&self) -> Duration {
        self.times.iter().sum()
    }
}
