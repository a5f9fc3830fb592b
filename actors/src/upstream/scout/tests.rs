//! An upstream that is played by hand.

use super::*;
use crate::limits::{RECONNECT_WAIT_HELD, RECONNECT_WAIT_WITHOUT_PRIMARY};

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
        scout.on_ballot(&Ballot::default(), now);
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

    fn lose(&mut self, wait_max: Duration, chance: f64) -> Duration {
        self.scout.on_lost("gone".to_owned(), wait_max, chance)
    }

    fn hear(&mut self) {
        self.scout.on_heard(self.now);
        self.scout.on_all_answered();
    }
}

#[test]
fn who_is_about_to_stop_takes_no_changes_until_it_greets_again() {
    let mut own = Model::serving();
    own.scout.on_leaving(own.now);
    for _ in 0..2 {
        let is_writable = false;
        assert_eq!(own.scout.condition(), Condition::Serving { is_writable });
        let trouble = own.scout.trouble(own.now);
        assert_eq!(trouble.as_deref(), Some("about to stop"));
        own.scout.on_ballot(&Ballot::default(), own.now);
    }
    own.scout.on_greeted(own.now);
    own.scout.on_ballot(&Ballot::default(), own.now);
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
fn who_answers_requests_is_not_silent_however_long_a_probe_waits_behind_them() {
    let mut own = Model::serving();
    own.ask();
    for _ in 0..20 {
        own.pass(SILENT_AFTER - PERIOD);
        own.scout.on_sign(own.now);
        assert_eq!(own.scout.condition(), SERVING);
    }
    own.pass(SILENT_AFTER);
    assert_eq!(own.scout.condition(), Condition::Silent);
    own.scout.on_sign(own.now);
    assert_eq!(own.scout.condition(), SERVING);
    // Its own connection may be dead all the same.
    while own.scout.given_up(own.now).is_none() {
        assert!(own.scout.own_silence(own.now) < Some(SCOUT_SILENCE_MAX));
        own.pass(PERIOD);
        own.scout.on_sign(own.now);
    }
    assert_eq!(own.scout.condition(), SERVING);
}

#[test]
fn who_is_drained_is_so_whatever_it_says_and_is_as_it_says_afterwards() {
    let mut own = Model::serving();
    for (drain, expected, trouble) in [
        (UpstreamDrain::UnderWay, Condition::Leaving, "being drained"),
        (UpstreamDrain::Done, Condition::Drained, "drained"),
    ] {
        own.scout.on_drain(drain);
        own.scout.on_ballot(&Ballot::default(), own.now);
        assert_eq!(own.scout.condition(), expected);
        assert_eq!(own.scout.trouble(own.now).as_deref(), Some(trouble));
    }
    own.scout
        .on_lost("gone".to_owned(), RECONNECT_WAIT_MAX, 1.0);
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
    own.on_ballot(&Ballot::default(), now);
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
    let first = own.lose(RECONNECT_WAIT_MAX, 1.0);
    assert_eq!(first, RECONNECT_WAIT_MIN);
    assert_eq!(own.scout.condition(), Condition::Absent);
    assert_eq!(own.scout.trouble(own.now).as_deref(), Some("gone"));
    let waits: Vec<_> = (0..20).map(|_| own.lose(RECONNECT_WAIT_MAX, 1.0)).collect();
    assert_eq!(waits[0], 2 * RECONNECT_WAIT_MIN);
    assert_eq!(waits.last(), Some(&RECONNECT_WAIT_MAX));
    assert_eq!(own.lose(RECONNECT_WAIT_MAX, 0.0), RECONNECT_WAIT_MAX / 2);
    let bound = RECONNECT_WAIT_HELD;
    assert_eq!(own.lose(bound, 1.0), bound, "while it is waited for");
    own.scout.on_greeted(own.now);
    own.scout.on_ballot(&Ballot::default(), own.now);
    assert_eq!(own.lose(RECONNECT_WAIT_MAX, 1.0), RECONNECT_WAIT_MIN);
}

#[test]
fn what_keeps_it_from_writing_is_known_whoever_says_so() {
    let mut own = Model::serving();
    let told = |own: &mut Model, is_read_only, is_bootstrapped| {
        let ballot = Ballot {
            is_read_only,
            is_bootstrapped,
            ..Ballot::default()
        };
        own.scout.on_ballot(&ballot, own.now);
        own.scout.condition()
    };
    let read_only = Condition::Serving { is_writable: false };
    assert_eq!(
        told(&mut own, true, None),
        Condition::Loading,
        "as older ones mean it"
    );
    assert_eq!(told(&mut own, true, Some(true)), read_only);
    let ballot = Ballot {
        is_read_only_by_configuration: true,
        is_read_only: true,
        ..Ballot::default()
    };
    own.scout.on_ballot(&ballot, own.now);
    assert_eq!(own.scout.condition(), read_only, "older ones tell it twice");
    assert_eq!(told(&mut own, true, Some(false)), Condition::Loading);
    assert_eq!(told(&mut own, false, None), SERVING);
    own.scout.on_info(Some(true), own.now);
    assert_eq!(own.scout.condition(), read_only, "an orphan");
    own.scout.on_ballot(&Ballot::default(), own.now);
    assert_eq!(own.scout.condition(), read_only, "until it says otherwise");
    own.scout.on_info(Some(false), own.now);
    assert_eq!(own.scout.condition(), SERVING, "as soon as it says so");
    own.scout.on_info(Some(true), own.now);
    own.scout.on_info(None, own.now);
    assert_eq!(own.scout.condition(), SERVING);
    assert_eq!(told(&mut own, true, Some(true)), read_only);
    own.scout.on_info(Some(false), own.now);
    assert_eq!(own.scout.condition(), read_only, "by its ballot");
}

#[test]
fn since_when_it_takes_changes_is_known_while_it_does() {
    let mut own = Model::serving();
    let since = own.now;
    own.pass(PERIOD);
    own.scout.on_ballot(&Ballot::default(), own.now);
    assert_eq!(own.scout.writable_since(), Some(since));
    own.scout.on_info(Some(true), own.now);
    assert_eq!(own.scout.writable_since(), None);
    own.scout.on_info(Some(false), own.now);
    assert_eq!(own.scout.writable_since(), Some(own.now));
    own.scout
        .on_lost("gone".to_owned(), RECONNECT_WAIT_MAX, 1.0);
    assert_eq!(own.scout.writable_since(), None);
}

#[test]
fn who_owes_an_answer_since_another_one_came_to_take_changes_is_given_no_longer() {
    // One that was silent before, and has come back.
    let flapping = || {
        let mut own = Model::serving();
        own.ask();
        own.pass(SILENT_AFTER);
        own.hear();
        own.ask();
        own
    };
    for (is_after, expected) in [(true, Condition::Silent), (false, SERVING)] {
        let mut own = flapping();
        let at = match is_after {
            true => own.now + PERIOD,
            // It has said since then that it takes changes itself.
            false => own.now,
        };
        own.pass(SILENT_AFTER - PERIOD);
        own.scout.on_other_writable(at);
        assert_eq!(own.scout.condition(), SERVING, "it may answer in time");
        own.pass(PERIOD);
        own.scout.on_other_writable(at);
        assert_eq!(own.scout.condition(), expected);
        own.hear();
        own.scout.on_other_writable(at);
        assert_eq!(own.scout.condition(), SERVING);
    }
}

/// An operator may have had it take changes while nobody heard of it.
#[test]
fn whether_it_takes_changes_counts_anew_after_a_silence() {
    let mut own = Model::serving();
    own.ask();
    own.pass(SILENT_AFTER);
    assert_eq!(own.scout.condition(), Condition::Silent);
    assert_eq!(own.scout.writable_since(), None);
    own.scout.on_ballot(&Ballot::default(), own.now);
    own.hear();
    let since = own.now;
    assert_eq!(own.scout.condition(), SERVING);
    assert_eq!(own.scout.writable_since(), Some(since));
    own.pass(SILENT_AFTER);
    own.scout.on_ballot(&Ballot::default(), own.now);
    assert_eq!(own.scout.writable_since(), Some(since), "it was not silent");
}

/// R-7, GW-15: whatever its scouts wait for.
#[test]
fn a_lost_one_is_tried_twenty_times_a_second_at_most() {
    const SECONDS: u32 = 60;
    for wait_max in [
        RECONNECT_WAIT_HELD,
        RECONNECT_WAIT_WITHOUT_PRIMARY,
        RECONNECT_WAIT_MAX,
    ] {
        let mut own = Model::serving();
        let (mut waited, mut tries) = (Duration::ZERO, 0);
        while waited < Duration::from_secs(SECONDS.into()) {
            waited += own.lose(wait_max, 0.0);
            tries += 1;
        }
        // The first pause is shorter.
        assert!(tries <= 20 * SECONDS + 1, "{tries} by {wait_max:?}");
    }
}

#[test]
fn one_that_is_silent_for_long_is_given_up_until_any_byte_and_never_without_a_time_for_that() {
    let mut own = Model::serving();
    let after = 3 * SILENT_AFTER;
    own.scout = own.scout.abandoned_after(after);
    let is_abandoned = |own: &Model| own.scout.is_abandoned();
    own.pass(2 * after);
    assert!(!is_abandoned(&own), "nothing is owed");
    own.ask();
    own.pass(after - PERIOD);
    assert_eq!(own.scout.condition(), Condition::Silent);
    assert!(!is_abandoned(&own));
    own.pass(PERIOD);
    assert!(is_abandoned(&own));
    own.hear();
    assert!(!is_abandoned(&own));
    let mut never = Model::serving();
    never.ask();
    never.pass(2 * after);
    assert_eq!(never.scout.condition(), Condition::Silent);
    assert!(!is_abandoned(&never));
}

#[test]
fn the_end_of_the_scouts_connection_makes_nobody_wait_longer_and_no_shorter() {
    let after = 2 * SCOUT_SILENCE_MAX;
    let mut own = Model::serving();
    own.scout = own.scout.abandoned_after(after);
    assert!(!own.scout.is_waited_for_absent(), "it is there");
    own.ask();
    own.pass(SCOUT_SILENCE_MAX);
    assert!(own.scout.given_up(own.now).is_some());
    own.lose(RECONNECT_WAIT_MAX, 1.0);
    own.pass(after - SCOUT_SILENCE_MAX - PERIOD);
    assert!(own.scout.is_waited_for_absent() && !own.scout.is_abandoned());
    // However often it is tried meanwhile.
    own.lose(RECONNECT_WAIT_MAX, 1.0);
    own.pass(PERIOD);
    assert!(own.scout.is_abandoned());
    own.lose(RECONNECT_WAIT_MAX, 1.0);
    assert!(own.scout.is_abandoned(), "until it greets");
    own.scout.on_greeted(own.now);
    assert!(!own.scout.is_abandoned());
    own.pass(2 * after);
    assert!(!own.scout.is_abandoned(), "nothing is owed");
    // What comes over other connections tells that it lives.
    own.ask();
    own.pass(PERIOD);
    own.lose(RECONNECT_WAIT_MAX, 1.0);
    own.scout.on_sign(own.now);
    own.pass(after);
    assert!(!own.scout.is_abandoned() && !own.scout.is_waited_for_absent());
}

/// Links may be open, and have requests on their way.
#[test]
fn one_that_was_lost_while_it_owed_nothing_is_given_up_when_it_owes_a_greeting_for_so_long() {
    let after = 2 * SCOUT_SILENCE_MAX;
    let mut own = Model::serving();
    own.scout = own.scout.abandoned_after(after);
    own.lose(RECONNECT_WAIT_MAX, 1.0);
    own.pass(2 * after);
    assert!(!own.scout.is_waited_for_absent(), "it is not connected to");
    own.scout.on_connected(own.now);
    own.pass(after - PERIOD);
    assert!(own.scout.is_waited_for_absent() && !own.scout.is_abandoned());
    // What comes over links says that it lives, and it owes the greeting still.
    own.scout.on_sign(own.now);
    own.pass(after - PERIOD);
    assert!(!own.scout.is_abandoned());
    // It is tried again, and that has not made it speak.
    own.lose(RECONNECT_WAIT_MAX, 1.0);
    own.pass(PERIOD);
    assert!(own.scout.is_abandoned());
    own.scout.on_connected(own.now);
    own.pass(PERIOD);
    assert!(own.scout.is_abandoned());
    own.scout.on_greeted(own.now);
    own.pass(2 * after);
    assert!(!own.scout.is_abandoned(), "nothing is owed");
    // One that refuses connections, or closes them, owes nothing.
    own.lose(RECONNECT_WAIT_MAX, 1.0);
    own.scout.on_sign(own.now);
    own.scout.on_connected(own.now);
    own.scout.on_not_greeted();
    own.lose(RECONNECT_WAIT_MAX, 1.0);
    own.pass(2 * after);
    assert!(!own.scout.is_waited_for_absent());
}

#[test]
fn patience_with_one_that_was_silent_often_makes_nobody_wait_longer() {
    let mut own = Model::serving();
    own.scout = own.scout.abandoned_after(2 * SILENT_AFTER);
    while own.scout.patience < SILENCE_PATIENCE_MAX {
        own.ask();
        own.pass(own.scout.patience * SILENT_AFTER);
        own.hear();
        assert!(!own.scout.is_abandoned());
    }
    own.ask();
    own.pass(2 * SILENT_AFTER - PERIOD);
    assert_eq!(own.scout.condition(), SERVING);
    own.pass(PERIOD);
    assert!(own.scout.is_abandoned());
    assert_eq!(own.scout.condition(), Condition::Silent);
}

#[test]
fn what_a_late_look_finds_is_not_given_up() {
    let mut own = Model::serving();
    own.scout = own.scout.abandoned_after(SILENT_AFTER);
    own.ask();
    own.now += 10 * SILENT_AFTER;
    assert!(!own.scout.is_abandoned());
    own.scout.look(own.now, PERIOD);
    assert!(!own.scout.is_abandoned(), "it is not read yet");
    own.pass(SILENT_AFTER);
    assert!(own.scout.is_abandoned());
}

#[test]
fn how_one_is_is_known_by_what_it_says_and_by_what_it_does_not() {
    let now = Instant::now();
    let unknown = || Scout::new(SILENT_AFTER, now);
    let mut own = unknown();
    own.on_greeted(now);
    assert!(own.is_unknown(), "it may take changes, or not");
    own.on_ballot(&Ballot::default(), now);
    assert!(!own.is_unknown());
    let mut own = unknown();
    own.on_lost("refused".to_owned(), SILENT_AFTER, 0.5);
    assert!(!own.is_unknown());
    let mut own = Model {
        scout: unknown(),
        now,
    };
    own.scout.on_greeted(now);
    own.ask();
    own.pass(SILENT_AFTER);
    assert!(!own.scout.is_unknown(), "it says nothing");
}
