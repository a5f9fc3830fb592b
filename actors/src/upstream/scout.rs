//! What is known of one upstream, by what it says and by what it does not.
//!
//! ```text
//!            greeted             not loading
//!   Absent ──────────▶ Loading ─────────────▶ Serving{writable or not}
//!     ▲                   │ owes an answer, and says nothing │   ▲ any byte
//!     │                   └─────────────▶ Silent ◀───────────┘   │
//!     │                                     └────────────────────┘
//!     └──── refused, or its connection has ended: from anywhere
//! ```
//!
//! Every byte is a sign of life, whichever connection it comes over: a probe waits behind all that
//! the upstream has to do, and replies to requests tell meanwhile that it does it. A look that
//! comes late says nothing of the upstream: this thread was kept from reading as well.

use std::time::{Duration, Instant};

use vestibule_wire::ballot::Ballot;

use crate::backoff::Backoff;
use crate::limits::{
    RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN, SCOUT_SILENCE_MAX, SILENCE_PATIENCE_MAX,
};

/// After how many times the bound of silence an upstream that came back is trusted as before.
const TRUST_AFTER: u32 = 60;

/// Which election an upstream knows of, if it tells: each one counts one more, in all of a replica
/// set, and no instance goes back. Since 2.10.
pub(crate) type ElectionTerm = Option<u64>;

/// How an upstream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// There is no connection to it.
    Absent,
    /// The upstream is there, and has not all its data.
    Loading,
    /// The upstream serves, and takes changes of data or not.
    Serving { is_writable: bool },
    /// The upstream owes an answer, and says nothing.
    Silent,
    /// Operators drain it: what is open there may come to its end.
    Leaving,
    /// Operators have drained it.
    Drained,
}

/// How far the drain of an upstream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpstreamDrain {
    /// There is none.
    None,
    UnderWay,
    Done,
}

impl Condition {
    pub(crate) fn is_serving(self) -> bool {
        matches!(self, Self::Serving { .. })
    }

    /// Whether operators have it that requests do not go there.
    pub(crate) fn is_drained(self) -> bool {
        matches!(self, Self::Leaving | Self::Drained)
    }

    pub(crate) fn is_writable(self) -> bool {
        self == Self::Serving { is_writable: true }
    }
}

/// Conditions for tables in tests.
#[cfg(test)]
pub(super) mod in_a_letter {
    use super::Condition;

    pub(crate) const W: Condition = Condition::Serving { is_writable: true };
    pub(crate) const R: Condition = Condition::Serving { is_writable: false };
    pub(crate) const S: Condition = Condition::Silent;
    pub(crate) const D: Condition = Condition::Drained;
    pub(crate) const G: Condition = Condition::Leaving;
    pub(crate) const A: Condition = Condition::Absent;
    pub(crate) const L: Condition = Condition::Loading;
}

/// What one scout knows of its upstream.
#[derive(Debug)]
pub(crate) struct Scout {
    silent_after: Duration,
    /// Zero: never.
    abandon: Duration,
    drain: UpstreamDrain,
    /// Without silence.
    condition: Condition,
    /// Whether it takes changes, by its ballot alone.
    votes_writable: bool,
    /// Since when it takes changes, if it does.
    writable_since: Option<Instant>,
    /// An answer is owed for as long as silence takes, without patience.
    is_overdue: bool,
    is_silent: bool,
    /// Why it is absent.
    trouble: String,
    /// When it was last heard of, over any connection.
    heard: Instant,
    /// When something came over the scout's own.
    heard_itself: Instant,
    /// Since when an answer is owed. It stays when the scout's own connection ends, until the next
    /// greeting: others may owe as much, over connections that are open.
    owed_since: Option<Instant>,
    /// Connected to, and it has not greeted.
    is_greeting_owed: bool,
    /// As far as is known that greeting is all that it owes.
    owes_greeting_alone: bool,
    /// Silent for so long that what is on its way there is given up.
    is_abandoned: bool,
    /// For how many times as long it may be silent.
    patience: u32,
    /// When it last came back from silence.
    back_since: Instant,
    /// When it was last looked at.
    looked: Instant,
    /// After it was lost, until it tells its ballot.
    backoff: Backoff,
    /// What it says beside its ballot of being read-only; `None` if it does not.
    says_read_only: Option<bool>,
    /// The upstream says that it is about to stop.
    is_leaving: bool,
    /// Nothing was found out of it since the start: neither how it is, nor that it cannot be asked.
    is_unknown: bool,
    /// The last election that it has told of. It stays when the connection ends: an instance does
    /// not forget elections. Where it is another one by then, that is told.
    term: ElectionTerm,
}

impl Scout {
    /// Of an upstream that nothing is known of.
    pub(crate) fn new(silent_after: Duration, now: Instant) -> Self {
        Self {
            silent_after,
            abandon: Duration::ZERO,
            drain: UpstreamDrain::None,
            condition: Condition::Absent,
            votes_writable: false,
            writable_since: None,
            is_overdue: false,
            is_silent: false,
            trouble: "not reached yet".to_owned(),
            heard: now,
            heard_itself: now,
            owed_since: None,
            is_greeting_owed: false,
            owes_greeting_alone: false,
            is_abandoned: false,
            patience: 1,
            back_since: now,
            looked: now,
            backoff: Backoff::new(RECONNECT_WAIT_MIN, RECONNECT_WAIT_MAX),
            says_read_only: None,
            is_leaving: false,
            is_unknown: true,
            term: None,
        }
    }

    /// Has what is on its way be given up when it has been silent for so long; zero: never.
    pub(crate) fn abandoned_after(self, abandon: Duration) -> Self {
        Self { abandon, ..self }
    }

    /// Whether nothing was found out of it since the start.
    pub(crate) fn is_unknown(&self) -> bool {
        self.is_unknown
    }

    /// How it is.
    pub(crate) fn condition(&self) -> Condition {
        match self.condition {
            _ if self.drain == UpstreamDrain::UnderWay => Condition::Leaving,
            _ if self.drain == UpstreamDrain::Done => Condition::Drained,
            Condition::Absent => Condition::Absent,
            _ if self.is_silent => Condition::Silent,
            condition => condition,
        }
    }

    /// What is wrong with it, if anything is: for people.
    pub(crate) fn trouble(&self, now: Instant) -> Option<String> {
        match self.condition() {
            Condition::Absent => Some(self.trouble.clone()),
            Condition::Loading => Some("loading".to_owned()),
            Condition::Leaving => Some("being drained".to_owned()),
            Condition::Drained => Some("drained".to_owned()),
            Condition::Silent => {
                let silence = now.saturating_duration_since(self.last_sign());
                Some(format!("no answer for {:.1} s", silence.as_secs_f64()))
            }
            Condition::Serving { .. } if self.is_leaving => Some("about to stop".to_owned()),
            Condition::Serving { is_writable: false } => Some("read-only".to_owned()),
            Condition::Serving { is_writable: true } => None,
        }
    }

    /// The last sign of it since when an answer is owed.
    fn last_sign(&self) -> Instant {
        self.owed_since
            .map_or(self.heard, |own| own.max(self.heard))
    }

    /// For how long nothing has come over the scout's own connection, although it is owed.
    fn own_silence(&self, now: Instant) -> Option<Duration> {
        let since = self.owed_since?.max(self.heard_itself);
        Some(now.saturating_duration_since(since))
    }

    /// Operators drain it, or use it again.
    pub(crate) fn on_drain(&mut self, drain: UpstreamDrain) {
        self.drain = drain;
    }

    /// The upstream is connected to, and owes a greeting: so one that is absent is found to be
    /// silent. It may owe answers over connections that are open.
    pub(crate) fn on_connected(&mut self, now: Instant) {
        self.is_greeting_owed = true;
        self.owes_greeting_alone |= self.owed_since.is_none();
        self.on_asked(now);
    }

    /// The connection has come to nothing before a greeting, and not by silence: who closes it, or
    /// cannot be agreed with, owes none.
    pub(crate) fn on_not_greeted(&mut self) {
        if std::mem::take(&mut self.owes_greeting_alone) {
            self.owed_since = None;
        }
    }

    /// The upstream has greeted.
    pub(crate) fn on_greeted(&mut self, now: Instant) {
        self.is_greeting_owed = false;
        self.owes_greeting_alone = false;
        self.condition = Condition::Loading;
        self.writable_since = None;
        self.is_silent = false;
        self.says_read_only = None;
        self.is_leaving = false;
        self.owed_since = None;
        self.on_heard(now);
    }

    /// Something was asked.
    pub(crate) fn on_asked(&mut self, now: Instant) {
        self.owed_since.get_or_insert(now);
    }

    /// Something has come over the scout's own connection.
    pub(crate) fn on_heard(&mut self, now: Instant) {
        self.heard_itself = now;
        self.on_sign(now);
    }

    /// Something has come over whichever connection.
    pub(crate) fn on_sign(&mut self, now: Instant) {
        self.heard = now;
        self.is_overdue = false;
        self.is_abandoned = false;
        if self.condition == Condition::Absent {
            // It came over another connection: of this one no more than a greeting is to come.
            self.owed_since = self.is_greeting_owed.then_some(now);
            self.owes_greeting_alone = self.is_greeting_owed;
        }
        if std::mem::take(&mut self.is_silent) {
            self.patience = (self.patience * 2).min(SILENCE_PATIENCE_MAX);
            self.back_since = now;
        }
    }

    /// Everything that was asked is answered.
    pub(crate) fn on_all_answered(&mut self) {
        self.owed_since = None;
    }

    /// The upstream's ballot has come.
    pub(crate) fn on_ballot(&mut self, ballot: &Ballot, now: Instant) {
        self.is_unknown = false;
        // Before it told of other reasons, this was loading; or what is configured, told twice.
        let is_loading = match ballot.is_bootstrapped {
            Some(is_bootstrapped) => !is_bootstrapped,
            None => ballot.is_read_only && !ballot.is_read_only_by_configuration,
        };
        self.votes_writable = ballot.is_writable() && !is_loading;
        self.condition = match is_loading {
            true => Condition::Loading,
            false => Condition::Serving { is_writable: false },
        };
        self.find_writable(now);
        self.backoff.reset();
    }

    /// The upstream is about to stop: requests go to another one, if there is one.
    pub(crate) fn on_leaving(&mut self, now: Instant) {
        self.is_leaving = true;
        self.find_writable(now);
    }

    /// The upstream has told of which election it knows; `None`: it does not tell of any.
    pub(crate) fn on_term(&mut self, term: ElectionTerm) {
        self.term = term;
    }

    /// The last election that it has told of.
    pub(crate) fn term(&self) -> ElectionTerm {
        self.term
    }

    /// The upstream has said whether it is read-only, for any reason: older ones do not tell
    /// orphans by their ballots. `None`: it does not say, or not any more.
    pub(crate) fn on_info(&mut self, is_read_only: Option<bool>, now: Instant) {
        self.says_read_only = is_read_only;
        self.find_writable(now);
    }

    /// Finds whether it takes changes, by all that it has said.
    fn find_writable(&mut self, now: Instant) {
        let says_read_only = self.says_read_only.unwrap_or(false);
        let may = self.votes_writable && !says_read_only && !self.is_leaving;
        if let Condition::Serving { is_writable } = &mut self.condition {
            *is_writable = may;
        }
        match self.condition.is_writable() {
            true => self.writable_since = self.writable_since.or(Some(now)),
            false => self.writable_since = None,
        }
    }

    /// Since when it takes changes, if it does.
    pub(crate) fn writable_since(&self) -> Option<Instant> {
        self.writable_since
    }

    /// Another upstream has come to take changes at that time. If this one has said nothing since,
    /// although it owes an answer, it is silent, however long it may be so otherwise.
    pub(crate) fn on_other_writable(&mut self, at: Instant) {
        let is_replaced = self.is_overdue && at > self.heard;
        self.find_silent(is_replaced);
    }

    /// The upstream cannot be reached, or its connection has ended. Returns how long it is left
    /// alone: `wait_max` at most; `chance`, from 0 to 1, has scouts of one upstream not come at
    /// once.
    pub(crate) fn on_lost(&mut self, trouble: String, wait_max: Duration, chance: f64) -> Duration {
        self.condition = Condition::Absent;
        self.is_greeting_owed = false;
        self.is_unknown = false;
        self.writable_since = None;
        self.trouble = trouble;
        self.is_overdue = false;
        self.is_silent = false;
        // The first time soon: it may be there again at once.
        let wait = self.backoff.pause().min(wait_max);
        wait.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    /// Why the scout's connection is given up, if it is: nothing has come over it for so long that
    /// another one may do better.
    pub(crate) fn given_up(&self, now: Instant) -> Option<String> {
        let limit = SCOUT_SILENCE_MAX.max(self.silent_after.saturating_mul(4));
        let silence = self.own_silence(now).filter(|own| *own >= limit)?;
        Some(format!("no answer for {:.1} s", silence.as_secs_f64()))
    }

    /// Whether what is on its way is ever given up.
    pub(crate) fn may_abandon(&self) -> bool {
        !self.abandon.is_zero()
    }

    /// Whether it is absent, owes an answer since before or a greeting, and something is to be
    /// given up for that.
    pub(crate) fn is_waited_for_absent(&self) -> bool {
        let is_absent = self.condition == Condition::Absent;
        is_absent && self.owed_since.is_some() && self.may_abandon()
    }

    /// Looks whether it is silent; `period` is how often that is done.
    pub(crate) fn look(&mut self, now: Instant, period: Duration) {
        let is_late =
            now.saturating_duration_since(self.looked) > 2 * period + self.silent_after / 4;
        self.looked = now;
        let trusted_after = self.silent_after.saturating_mul(TRUST_AFTER);
        if is_late && let Some(owed_since) = &mut self.owed_since {
            // What it sent meanwhile is not read yet.
            *owed_since = now;
        }
        if now.saturating_duration_since(self.back_since) > trusted_after {
            self.patience = 1;
        }
        let silence = now.saturating_duration_since(self.last_sign());
        let owes = self.owed_since.is_some();
        self.is_abandoned = owes && self.may_abandon() && silence >= self.abandon;
        let owes = owes && self.condition != Condition::Absent;
        self.is_overdue = owes && silence >= self.silent_after;
        let patience = self.silent_after.saturating_mul(self.patience);
        // Nothing goes to one that is given up, however patient one is with it.
        self.find_silent(owes && (silence >= patience || self.is_abandoned));
    }

    /// Silent from now on, if so. What it says when it is back may have come about meanwhile:
    /// whether it takes changes counts from then.
    fn find_silent(&mut self, is_silent: bool) {
        if is_silent && !self.is_silent {
            self.is_silent = true;
            self.is_unknown = false;
            self.writable_since = None;
        }
    }

    /// Whether it has been silent for so long that what is on its way there is given up.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.is_abandoned
    }
}

#[cfg(test)]
mod tests;
