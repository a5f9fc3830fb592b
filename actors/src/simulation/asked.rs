//! What a client has asked, and when it has to be answered at the latest.

use std::time::{Duration, Instant};

use super::clock;
use crate::upstream::ReadFrom;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Something that changes nothing.
    Nothing,
    /// A login of this user.
    Login(&'static str),
    /// For chunks.
    Agreement,
    /// What there is of a key.
    Read(u64),
    /// A write outside of transactions.
    Write(u64),
    /// A setting, which counts for what its client asks from then on.
    Setting,
    /// SELECTs of its connection are to be answered there.
    ReadFrom(ReadFrom),
    /// Something that may never end by itself.
    Unending,
    /// A write in several steps of a procedure.
    Steps(u64),
    Begin(u64),
    /// Of which stream, and its key.
    Statement(u64, u64),
    Commit(u64),
    Rollback(u64),
}

/// A request that has no answer yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) what: What,
    /// When it has to be answered at the latest, if its client reads.
    due: Option<Instant>,
    /// How long that is after the last that its client has done for it.
    within: Option<Duration>,
    /// More of it is to be sent, when there is credit.
    is_unsent: bool,
}

impl Asked {
    /// What was sent now, or begun to be.
    pub(super) fn new(what: What, due: Option<Instant>, is_unsent: bool) -> Self {
        Self {
            what,
            due,
            within: due.map(|own| own - clock::now()),
            is_unsent,
        }
    }

    /// Whenever the answer comes is early enough.
    pub(super) fn wait_for_ever(&mut self) {
        (self.due, self.within) = (None, None);
    }

    /// Whether it should have been answered by now.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due < now)
    }

    /// The client `has_sent` something of what it has to send, of which nothing is left if
    /// `is_sent`; or it `is_late` with its credit, and what it asks for stands behind that.
    pub(super) fn on_look(&mut self, has_sent: bool, is_sent: bool, is_late: bool) {
        if is_late || self.is_unsent && (has_sent || is_sent) {
            self.due = self.within.map(|own| clock::now() + own);
        }
        self.is_unsent &= !is_sent;
    }
}
