//! What is remembered of a transition.

use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::counts::Counts;
use super::report::{PhaseTimes, TransitionReport};
use crate::serialized::{in_seconds, in_seconds_or_nil, in_unix_seconds};
use crate::serving::StateOrRole;

/// How a stop went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StopReport {
    /// Requests that were under way when the deadline came, or that Tx did not hear any more:
    /// their clients were told that the outcome is unknown, or that they were not begun. Clients
    /// whose replies were thrown away count too.
    pub killed: usize,
    /// Transactions that were open then, and are rolled back.
    pub aborted_transactions: usize,
    /// Whether Tx closed its engine in time. If not, its thread is left behind: exit the process.
    pub tx_stopped: bool,
    /// How long it took. Serialized in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub took: Duration,
    /// Why the runtime stopped by itself, if it did: the engine failed to start, or died too often.
    pub failure: Option<String>,
}

/// How far a recorded transition has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordedResult {
    /// The transition is under way.
    UnderWay,
    /// The transition is done.
    Done,
    /// A stop took it over.
    Superseded,
}

impl RecordedResult {
    /// As it stands in the list of transitions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnderWay => "under way",
            Self::Done => "done",
            Self::Superseded => "superseded",
        }
    }
}

impl Serialize for RecordedResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One transition, as `vestibule.show('transitions')` shows it. A change of state that is over at
/// once (assist, solo, loading) has no times and no counts. Times are serialized in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TransitionRecord {
    /// Counted from 1.
    pub id: u64,
    /// State, role, or use of an upstream before.
    pub from: StateOrRole,
    /// State, role, or use of an upstream after.
    pub to: StateOrRole,
    /// The name of the upstream that it is about, if it is about one.
    pub upstream: Option<String>,
    /// What caused it.
    pub reason: String,
    /// Who asked for it.
    pub requested_by: String,
    /// How far it has come.
    pub result: RecordedResult,
    /// When it began. Serialized as Unix time.
    #[serde(serialize_with = "in_unix_seconds")]
    pub started: SystemTime,
    /// How long it took: the sum of its phases.
    #[serde(serialize_with = "in_seconds")]
    pub took: Duration,
    /// What was given for what ran; nil if it was for ever.
    #[serde(serialize_with = "in_seconds_or_nil")]
    pub grace: Option<Duration>,
    /// How long each phase was.
    pub phases: Phases,
    /// What was under way when it began, of the kind that it waits for.
    pub waited_for: Counts,
    /// Transactions that were open then.
    pub waited_for_transactions: usize,
    /// Requests that came later, in transactions that it waits for (or of clients that a stop still
    /// serves), and were cut off. So always, class by class: what was waited for and what joined is
    /// what finished, was revoked, was killed and was left.
    pub joined: Counts,
    /// Of the requests waited for, those that came to their end in time.
    pub finished: Counts,
    /// Taken back before they were begun: at the deadline, or when the Tx of a stop had closed.
    pub revoked: Counts,
    /// Begun and cut off then: their clients were told that the outcome is unknown.
    pub killed: Counts,
    /// Requests of which nobody tells here how they ended: their session thread did not tell in
    /// time, or a stop took over and has them in its own record.
    pub left: Counts,
    /// Transactions that were begun later and were cut off. So always: those waited for and these
    /// are those that finished, were aborted, are of unknown outcome and were left.
    pub joined_transactions: usize,
    /// Of the transactions waited for, those that came to their end in time.
    pub finished_transactions: usize,
    /// Transactions aborted at the deadline.
    pub aborted_transactions: usize,
    /// Transactions whose COMMIT or ROLLBACK was cut off with its outcome unknown.
    pub unknown_transactions: usize,
    /// Transactions as `left` has requests.
    pub left_transactions: usize,
    /// Connections whose replies were thrown away at the deadline of a stop, because their clients
    /// did not read them, and those who had sent something before it that was not even read.
    pub unread_connections: usize,
    /// How many clients were told that the outcome of their request is unknown.
    pub outcome_unknown: usize,
    /// A write to the journal was under way at the deadline: it may be on the disk or not.
    pub write_under_way: bool,
    /// Who did not come to an end in time: `tx`, `session thread N`.
    pub left_behind: Vec<String>,
}

/// How long each phase of a transition was. Serialized in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Phases {
    /// Everything was still served (the lameduck).
    #[serde(serialize_with = "in_seconds")]
    pub announce: Duration,
    /// Until every session thread had seen the new state.
    #[serde(serialize_with = "in_seconds")]
    pub quiesce: Duration,
    /// What ran could finish.
    #[serde(serialize_with = "in_seconds")]
    pub grace: Duration,
    /// Clients were answered.
    #[serde(serialize_with = "in_seconds")]
    pub abort: Duration,
    /// Tx closed its engine.
    #[serde(serialize_with = "in_seconds")]
    pub settle: Duration,
}

impl From<PhaseTimes> for Phases {
    fn from([announce, quiesce, grace, abort, settle]: PhaseTimes) -> Self {
        Self {
            announce,
            quiesce,
            grace,
            abort,
            settle,
        }
    }
}

impl TransitionRecord {
    /// A transition that begins now.
    pub(crate) fn begin(from: StateOrRole, to: StateOrRole, reason: String, by: &str) -> Self {
        Self {
            id: 0,
            from,
            to,
            upstream: None,
            reason,
            requested_by: by.to_owned(),
            result: RecordedResult::UnderWay,
            started: SystemTime::now(),
            took: Duration::ZERO,
            grace: Some(Duration::ZERO),
            phases: Phases::default(),
            waited_for: Counts::default(),
            waited_for_transactions: 0,
            joined: Counts::default(),
            finished: Counts::default(),
            revoked: Counts::default(),
            killed: Counts::default(),
            left: Counts::default(),
            joined_transactions: 0,
            finished_transactions: 0,
            aborted_transactions: 0,
            unknown_transactions: 0,
            left_transactions: 0,
            unread_connections: 0,
            outcome_unknown: 0,
            write_under_way: false,
            left_behind: Vec::new(),
        }
    }

    /// A change that is over at once.
    pub(crate) fn at_once(from: StateOrRole, to: StateOrRole, reason: String) -> Self {
        Self {
            result: RecordedResult::Done,
            ..Self::begin(from, to, reason, "")
        }
    }

    /// Completes it.
    pub(crate) fn complete(&mut self, report: &TransitionReport) {
        let (waiting, cut_off) = (&report.waiting, &report.cut_off);
        self.result = if report.is_superseded {
            RecordedResult::Superseded
        } else {
            RecordedResult::Done
        };
        self.took = report.took();
        self.phases = report.times.into();
        self.waited_for = waiting.requests;
        self.joined = cut_off.joined;
        self.left = report.left.requests;
        let all = self.waited_for.and(&self.joined);
        let cut = cut_off.revoked.and(&cut_off.killed).and(&self.left);
        self.finished = all.without(&cut);
        self.waited_for_transactions = waiting.transactions;
        self.joined_transactions = cut_off.joined_transactions;
        self.unknown_transactions = cut_off.unknown_transactions;
        self.left_transactions = report.left.transactions;
        let all = waiting.transactions + cut_off.joined_transactions;
        let cut = cut_off.transactions + cut_off.unknown_transactions + report.left.transactions;
        self.finished_transactions = all.saturating_sub(cut);
        self.revoked = cut_off.revoked;
        self.killed = cut_off.killed;
        self.aborted_transactions = cut_off.transactions;
        self.unread_connections = cut_off.unread;
        self.outcome_unknown = cut_off.killed.total();
        let workers = report.workers_left.iter();
        self.left_behind
            .extend(workers.map(|worker| format!("session thread {worker}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::State;
    use crate::transitions::{CutOffCounts, WaitedFor};

    #[test]
    fn a_record_tells_all_that_was_cut_off() {
        let mut record = TransitionRecord::begin(
            State::Assist.into(),
            State::Stopped.into(),
            "drain".to_owned(),
            "test",
        );
        let cut_off = CutOffCounts {
            unread: 2,
            transactions: 1,
            ..CutOffCounts::default()
        };
        record.complete(&TransitionReport {
            times: PhaseTimes::default(),
            waiting: WaitedFor::default(),
            cut_off,
            left: WaitedFor::default(),
            is_superseded: false,
            workers_left: vec![1],
            tx_stopped: true,
        });
        assert_eq!(
            (record.unread_connections, record.aborted_transactions),
            (2, 1)
        );
        assert_eq!(record.left_behind, ["session thread 1"]);
    }
}
