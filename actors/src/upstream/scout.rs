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
//! Every byte is a sign of life. A look that comes late says nothing of the upstream: this thread
//! was kept from reading as well.

use std::time::{Duration, Instant};

use vestibule_wire::ballot::Ballot;

use crate::backoff::Backoff;
use crate::limits::{
    RECONNECT_WAIT_MAX, RECONNECT_WAIT_MIN, SCOUT_SILENCE_MAX, SILENCE_PATIENCE_MAX,
};

/// After how many times the bound of silence an upstream that came back is trusted as before.
const TRUST_AFTER: u32 = 60;

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
    drain: UpstreamDrain,
    /// Without silence.
    condition: Condition,
    is_silent: bool,
    /// Why it is absent.
    trouble: String,
    /// When it was last heard of.
    heard: Instant,
    /// Since when an answer is owed.
    owed_since: Option<Instant>,
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
}

impl Scout {
    /// Of an upstream that nothing is known of.
    pub(crate) fn new(silent_after: Duration, now: Instant) -> Self {
        Self {
            silent_after,
            drain: UpstreamDrain::None,
            condition: Condition::Absent,
            is_silent: false,
            trouble: "not reached yet".to_owned(),
            heard: now,
            owed_since: None,
            patience: 1,
            back_since: now,
            looked: now,
            backoff: Backoff::new(RECONNECT_WAIT_MIN, RECONNECT_WAIT_MAX),
            says_read_only: None,
            is_leaving: false,
        }
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

    /// Operators drain it, or use it again.
    pub(crate) fn on_drain(&mut self, drain: UpstreamDrain) {
        self.drain = drain;
    }

    /// The upstream has greeted.
    pub(crate) fn on_greeted(&mut self, now: Instant) {
        self.condition = Condition::Loading;
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

    /// Something has come.
    pub(crate) fn on_heard(&mut self, now: Instant) {
        self.heard = now;
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
    pub(crate) fn on_ballot(&mut self, ballot: &Ballot) {
        // Before it told of other reasons, this was loading; or what is configured, told twice.
        let is_loading = match ballot.is_bootstrapped {
            Some(is_bootstrapped) => !is_bootstrapped,
            None => ballot.is_read_only && !ballot.is_read_only_by_configuration,
        };
        self.condition = if is_loading {
            Condition::Loading
        } else {
            let says_read_only = self.says_read_only.unwrap_or(false);
            let is_writable = ballot.is_writable() && !says_read_only && !self.is_leaving;
            Condition::Serving { is_writable }
        };
        self.backoff.reset();
    }

    /// The upstream is about to stop: requests go to another one, if there is one.
    pub(crate) fn on_leaving(&mut self) {
        self.is_leaving = true;
        if let Condition::Serving { is_writable } = &mut self.condition {
            *is_writable = false;
        }
    }

    /// The upstream has said whether it is read-only, for any reason: older ones do not tell
    /// orphans by their ballots. `None`: it does not say, or not any more.
    pub(crate) fn on_info(&mut self, is_read_only: Option<bool>) {
        self.says_read_only = is_read_only;
        let is_read_only = is_read_only.unwrap_or(false);
        if let Condition::Serving { is_writable } = &mut self.condition {
            *is_writable &= !is_read_only;
        }
    }

    /// The upstream cannot be reached, or its connection has ended. Returns how long it is left
    /// alone; `chance`, from 0 to 1, has scouts of one upstream not come at once.
    pub(crate) fn on_lost(&mut self, trouble: String, chance: f64) -> Duration {
        self.condition = Condition::Absent;
        self.trouble = trouble;
        self.is_silent = false;
        self.owed_since = None;
        // The first time soon: it may be there again at once.
        self.backoff
            .pause()
            .mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    /// Why its connection is given up, if it is: it has been silent for so long that another one
    /// may do better.
    pub(crate) fn given_up(&self, now: Instant) -> Option<String> {
        let silence = now.saturating_duration_since(self.last_sign());
        let limit = SCOUT_SILENCE_MAX.max(self.silent_after.saturating_mul(4));
        let is_over = self.is_silent && silence >= limit;
        is_over.then(|| format!("no answer for {:.1} s", silence.as_secs_f64()))
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
        if self.owed_since.is_some()
            && self.condition != Condition::Absent
            && silence >= self.silent_after.saturating_mul(self.patience)
        {
            self.is_silent = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENT_AFTER: Duration = Duration::from_millis(500);
    const PERIOD: Duration = Duration::from_millis(50);
    const SERVING: Condition = Condition::Serving { is_writable: true };

    struct Model {
        scout: Scout,
        now: Instant,
    }

    impl Model {
        fn serving() -> Self {
            let now = Instant::now();
            let mut scout = Scout::new(SILENT_AFTER, now);
            assert_eq!(scout.condition(), Condition::Absent);
            scout.on_greeted(now);
            assert_eq!(scout.condition(), Condition::Loading);
            scout.on_ballot(&Ballot::default());
            assert_eq!(scout.condition(), SERVING);
            Self { scout, now }
        }

        fn ask(&mut self) {
            self.scout.on_asked(self.now);
        }

        /// Looks as often as it should for so long.
        fn pass(&mut self, time: Duration) {
            let end = self.now + time;
            while self.now < end {
                self.now += PERIOD;
                self.scout.look(self.now, PERIOD);
            }
        }

        fn hear(&mut self) {
            self.scout.on_heard(self.now);
            self.scout.on_all_answered();
        }
    }

    #[test]
    fn who_is_about_to_stop_takes_no_changes_until_it_greets_again() {
        let mut own = Model::serving();
        own.scout.on_leaving();
        for _ in 0..2 {
            let is_writable = false;
            assert_eq!(own.scout.condition(), Condition::Serving { is_writable });
            let trouble = own.scout.trouble(own.now);
            assert_eq!(trouble.as_deref(), Some("about to stop"));
            own.scout.on_ballot(&Ballot::default());
        }
        own.scout.on_greeted(own.now);
        own.scout.on_ballot(&Ballot::default());
        assert_eq!(own.scout.condition(), SERVING);
    }

    #[test]
    fn who_owes_an_answer_and_says_nothing_is_silent_until_any_byte() {
        let mut own = Model::serving();
        own.pass(10 * SILENT_AFTER);
        assert_eq!(own.scout.condition(), SERVING, "nothing is owed");
        own.ask();
        own.pass(SILENT_AFTER - PERIOD);
        assert_eq!(own.scout.condition(), SERVING);
        own.pass(PERIOD);
        assert_eq!(own.scout.condition(), Condition::Silent);
        let trouble = own.scout.trouble(own.now);
        assert_eq!(trouble.as_deref(), Some("no answer for 0.5 s"));
        own.hear();
        assert_eq!(own.scout.condition(), SERVING);
        assert_eq!(own.scout.trouble(own.now), None);
    }

    #[test]
    fn who_is_drained_is_so_whatever_it_says_and_is_as_it_says_afterwards() {
        let mut own = Model::serving();
        for (drain, expected, trouble) in [
            (UpstreamDrain::UnderWay, Condition::Leaving, "being drained"),
            (UpstreamDrain::Done, Condition::Drained, "drained"),
        ] {
            own.scout.on_drain(drain);
            own.scout.on_ballot(&Ballot::default());
            assert_eq!(own.scout.condition(), expected);
            assert_eq!(own.scout.trouble(own.now).as_deref(), Some(trouble));
        }
        own.scout.on_lost("gone".to_owned(), 1.0);
        assert_eq!(own.scout.condition(), Condition::Drained);
        own.scout.on_drain(UpstreamDrain::None);
        assert_eq!(own.scout.condition(), Condition::Absent);
    }

    #[test]
    fn a_connection_that_says_nothing_for_long_is_given_up_and_none_that_owes_nothing() {
        let mut own = Model::serving();
        own.pass(2 * SCOUT_SILENCE_MAX);
        assert_eq!(own.scout.given_up(own.now), None);
        own.ask();
        own.pass(SCOUT_SILENCE_MAX - PERIOD);
        assert_eq!(own.scout.given_up(own.now), None);
        own.pass(PERIOD);
        let trouble = own.scout.given_up(own.now);
        assert_eq!(trouble.as_deref(), Some("no answer for 30.0 s"));
        own.hear();
        assert_eq!(own.scout.given_up(own.now), None);
    }

    #[test]
    fn a_late_look_of_ours_is_not_its_silence() {
        let mut own = Model::serving();
        own.ask();
        own.now += 10 * SILENT_AFTER;
        own.scout.look(own.now, PERIOD);
        assert_eq!(own.scout.condition(), SERVING);
        own.pass(SILENT_AFTER);
        assert_eq!(own.scout.condition(), Condition::Silent);
    }

    #[test]
    fn who_may_be_silent_for_ever_never_is() {
        let now = Instant::now();
        let mut own = Scout::new(Duration::MAX, now);
        own.on_greeted(now);
        own.on_ballot(&Ballot::default());
        own.on_asked(now);
        own.look(now + 1000 * SILENT_AFTER, PERIOD);
        assert_eq!(own.condition(), SERVING);
    }

    #[test]
    fn who_is_silent_again_and_again_is_given_longer_and_trusted_later() {
        let mut own = Model::serving();
        for patience in [1, 2, 4, 8, 8] {
            own.ask();
            own.pass(SILENT_AFTER * patience - PERIOD);
            assert_eq!(own.scout.condition(), SERVING, "{patience}");
            own.pass(PERIOD);
            assert_eq!(own.scout.condition(), Condition::Silent, "{patience}");
            own.hear();
        }
        own.pass(SILENT_AFTER * (TRUST_AFTER + 1));
        own.ask();
        own.pass(SILENT_AFTER);
        assert_eq!(own.scout.condition(), Condition::Silent);
    }

    #[test]
    fn a_lost_one_is_absent_and_left_alone_longer_each_time() {
        let mut own = Model::serving();
        let trouble = || "connection refused".to_owned();
        let first = own.scout.on_lost(trouble(), 1.0);
        assert_eq!(first, RECONNECT_WAIT_MIN);
        assert_eq!(own.scout.condition(), Condition::Absent);
        assert_eq!(own.scout.trouble(own.now), Some(trouble()));
        let waits: Vec<_> = (0..20).map(|_| own.scout.on_lost(trouble(), 1.0)).collect();
        assert_eq!(waits[0], 2 * RECONNECT_WAIT_MIN);
        assert_eq!(waits.last(), Some(&RECONNECT_WAIT_MAX));
        assert_eq!(own.scout.on_lost(trouble(), 0.0), RECONNECT_WAIT_MAX / 2);
        own.scout.on_greeted(own.now);
        own.scout.on_ballot(&Ballot::default());
        assert_eq!(own.scout.on_lost(trouble(), 1.0), RECONNECT_WAIT_MIN);
    }

    #[test]
    fn what_keeps_it_from_writing_is_known_whoever_says_so() {
        let mut own = Model::serving();
        let told = |own: &mut Model, is_read_only, is_bootstrapped| {
            own.scout.on_ballot(&Ballot {
                is_read_only,
                is_bootstrapped,
                ..Ballot::default()
            });
            own.scout.condition()
        };
        let read_only = Condition::Serving { is_writable: false };
        assert_eq!(
            told(&mut own, true, None),
            Condition::Loading,
            "as older ones mean it"
        );
        assert_eq!(told(&mut own, true, Some(true)), read_only);
        own.scout.on_ballot(&Ballot {
            is_read_only_by_configuration: true,
            is_read_only: true,
            ..Ballot::default()
        });
        assert_eq!(own.scout.condition(), read_only, "older ones tell it twice");
        assert_eq!(told(&mut own, true, Some(false)), Condition::Loading);
        assert_eq!(told(&mut own, false, None), SERVING);
        own.scout.on_info(Some(true));
        assert_eq!(own.scout.condition(), read_only, "an orphan");
        own.scout.on_ballot(&Ballot::default());
        assert_eq!(own.scout.condition(), read_only, "until it says otherwise");
        own.scout.on_info(None);
        own.scout.on_ballot(&Ballot::default());
        assert_eq!(own.scout.condition(), SERVING);
    }
}
