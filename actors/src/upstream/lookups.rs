//! Questions to upstreams for users, of all threads: which are on their way, and when the next may
//! be asked. Pure, with `now` passed in.
//!
//! ```text
//!   a user ─┬ asked for already, and not answered ─▶ waits for that answer
//!           ├ known, and not asked for lately ────▶ asked
//!           └ a stranger ─┬ it is their turn ──────▶ asked
//!                         └ they have asked much ──▶ later
//! ```
//!
//! Strangers are those who may be anybody: whose name is not known, or whose password is not the
//! one that is known. They have a bound for all names together, so that guessing keeps the upstream
//! from nothing, and one for each name, which is the same whether there is such a user or not: how
//! long somebody waits tells nothing of that.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::schema::Incarnation;
use super::sweeping::SweepAt;
use crate::limits::{UPSTREAM_USER_FRESH, UPSTREAM_USER_LOOKUPS_PER_SECOND};

/// How many names are remembered at least before those are looked for that say nothing any more.
const SWEEP_AT_MIN: usize = 64;

/// For how long the turns of strangers that nobody has taken are saved.
const TURNS_SAVED: Duration = Duration::from_secs(1);

/// How soon after one turn of strangers the next is, of all names and of one.
const TURN_OF_ALL: Duration =
    Duration::from_nanos(1_000_000_000 / UPSTREAM_USER_LOOKUPS_PER_SECOND as u64);
const TURN_OF_NAME: Duration = UPSTREAM_USER_FRESH;

/// A question for a user on its way to an upstream. Dropped, it has no answer.
#[derive(Debug)]
pub(crate) struct UserQuestion {
    pub(crate) name: Arc<str>,
    /// Who is asked.
    pub(crate) target: Incarnation,
    /// Since when: an answer knows of all that was so before.
    pub(super) began: Instant,
    is_answered: watch::Sender<bool>,
}

impl UserQuestion {
    /// What is known is the answer from now on.
    pub(super) fn end(self) {
        self.is_answered.send_replace(true);
    }

    /// What becomes of it.
    pub(super) fn answer(&self) -> UserAnswer {
        UserAnswer(self.is_answered.subscribe())
    }
}

/// What becomes of a question.
#[derive(Debug, Clone)]
pub(crate) struct UserAnswer(watch::Receiver<bool>);

impl UserAnswer {
    /// Waits for it. Returns whether there is one.
    pub(crate) async fn comes(mut self) -> bool {
        self.0.wait_for(|is_answered| *is_answered).await.is_ok()
    }

    fn is_on_its_way(&self) -> bool {
        // Who has the question has the sender.
        self.0.has_changed().is_ok()
    }
}

/// What is to be done to have an answer.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// To ask this.
    Ask(UserQuestion),
    /// To wait: it is asked.
    Wait(UserAnswer),
    /// Strangers have asked for too much: nothing before this time.
    NotBefore(Instant),
}

/// Turns that come one after the other, and are saved for a while.
#[derive(Debug, Clone, Copy)]
struct LookupTurns {
    /// When all that were taken would have been due.
    until: Instant,
}

impl LookupTurns {
    /// When the next is.
    fn next(self, now: Instant) -> Instant {
        self.until.max(long_ago(now))
    }

    /// One is taken, if it is there.
    fn take(&mut self, each: Duration, now: Instant) {
        let next = self.next(now);
        if next <= now {
            self.until = next + each;
        }
    }
}

/// Since when turns may be left.
fn long_ago(now: Instant) -> Instant {
    now.checked_sub(TURNS_SAVED).unwrap_or(now)
}

/// The questions for one name.
#[derive(Debug)]
struct NameLookups {
    /// The last one.
    target: Incarnation,
    began: Instant,
    answer: UserAnswer,
    /// For strangers.
    turns: LookupTurns,
    /// When it was asked to which the last answer was that there is no such user.
    none_since: Option<Instant>,
}

impl NameLookups {
    /// Whether it says nothing that would not be so without it.
    fn is_over(&self, now: Instant) -> bool {
        let is_old = now.saturating_duration_since(self.began) >= TURN_OF_NAME + TURNS_SAVED;
        is_old && !self.answer.is_on_its_way()
    }
}

/// The questions for users.
#[derive(Debug)]
pub(super) struct Lookups {
    names: HashMap<Arc<str>, NameLookups>,
    /// For strangers, whatever their names.
    turns: LookupTurns,
    sweep_at: SweepAt,
}

impl Lookups {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            names: HashMap::new(),
            turns: LookupTurns { until: now },
            sweep_at: SweepAt::new(SWEEP_AT_MIN),
        }
    }

    /// A user who is known is to be asked for again, for somebody whose password is the known one;
    /// `None` if there was no answer a moment ago.
    pub(super) fn look_up_known(
        &mut self,
        name: &str,
        target: Incarnation,
        now: Instant,
    ) -> Option<Lookup> {
        let last = self.names.get(name).filter(|own| own.target == target);
        if let Some(last) = last {
            if last.answer.is_on_its_way() {
                return Some(Lookup::Wait(last.answer.clone()));
            }
            if now.saturating_duration_since(last.began) < UPSTREAM_USER_FRESH {
                return None;
            }
        }
        Some(self.ask(name, target, now))
    }

    /// A stranger is to be asked for.
    pub(super) fn look_up_stranger(
        &mut self,
        name: &str,
        target: Incarnation,
        now: Instant,
    ) -> Lookup {
        let last = self.names.get(name);
        let asked = last.filter(|own| own.target == target && own.answer.is_on_its_way());
        if let Some(asked) = asked {
            return Lookup::Wait(asked.answer.clone());
        }
        let next_of_name = last.map_or(now, |own| own.turns.next(now));
        let next = self.turns.next(now).max(next_of_name);
        if next > now {
            return Lookup::NotBefore(next);
        }
        self.turns.take(TURN_OF_ALL, now);
        let asked = self.ask(name, target, now);
        if let Some(own) = self.names.get_mut(name) {
            own.turns.take(TURN_OF_NAME, now);
        }
        asked
    }

    fn ask(&mut self, name: &str, target: Incarnation, now: Instant) -> Lookup {
        // Names that say nothing any more are forgotten.
        let is_kept = |_: &Arc<str>, own: &NameLookups| !own.is_over(now);
        self.sweep_at.sweep(&mut self.names, is_kept);
        let (name, began): (Arc<str>, _) = (name.into(), now);
        let question = UserQuestion {
            name: name.clone(),
            target,
            began,
            is_answered: watch::Sender::new(false),
        };
        let answer = question.answer();
        let own = self.names.entry(name).or_insert_with(|| NameLookups {
            target,
            began,
            answer: answer.clone(),
            turns: LookupTurns {
                until: long_ago(now),
            },
            none_since: None,
        });
        (own.target, own.began, own.answer) = (target, began, answer);
        Lookup::Ask(question)
    }

    /// The answer to this is that there is no such user.
    pub(super) fn note_none(&mut self, question: &UserQuestion) {
        if let Some(own) = self.names.get_mut(&question.name) {
            own.none_since = own.none_since.max(Some(question.began));
        }
    }

    /// Since when it is known that there is no such user, if the last answer was that.
    pub(super) fn none_since(&self, name: &str) -> Option<Instant> {
        self.names.get(name)?.none_since
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const HERE: Incarnation = Incarnation {
        upstream: 0,
        number: 1,
    };
    const THERE: Incarnation = Incarnation {
        upstream: 1,
        number: 1,
    };

    /// Asks for a stranger, who is asked for at once and answered, or told when.
    fn answered(own: &mut Lookups, name: &str, now: Instant) -> Result<(), Instant> {
        match own.look_up_stranger(name, HERE, now) {
            Lookup::Ask(question) => {
                question.end();
                Ok(())
            }
            Lookup::NotBefore(at) => Err(at),
            Lookup::Wait(_) => panic!("it was answered"),
        }
    }

    #[test]
    fn who_waits_is_told_of_an_answer_and_of_one_that_does_not_come() {
        let now = Instant::now();
        let mut own = Lookups::new(now);
        for comes in [true, false] {
            let name = comes.to_string();
            let later = now + TURNS_SAVED;
            let Lookup::Ask(question) = own.look_up_stranger(&name, HERE, later) else {
                panic!("it is their turn");
            };
            let Lookup::Wait(answer) = own.look_up_stranger(&name, HERE, later) else {
                panic!("it is asked");
            };
            assert_eq!(answer.clone().comes().now_or_never(), None);
            match comes {
                true => question.end(),
                false => drop(question),
            }
            assert_eq!(answer.comes().now_or_never(), Some(comes));
            assert_eq!(answered(&mut own, &name, later), Ok(()), "the second turn");
        }
    }

    #[test]
    fn nobody_waits_for_one_that_is_asked_no_more() {
        let now = Instant::now() + TURNS_SAVED;
        let mut own = Lookups::new(now);
        let _silent = own.look_up_known("alice", HERE, now);
        let again = own.look_up_known("alice", HERE, now);
        assert!(matches!(again, Some(Lookup::Wait(_))));
        let elsewhere = own.look_up_known("alice", THERE, now);
        assert!(matches!(elsewhere, Some(Lookup::Ask(_))));
        let elsewhere = own.look_up_stranger("alice", HERE, now);
        assert!(matches!(elsewhere, Lookup::Ask(_)));
    }

    #[test]
    fn strangers_ask_a_few_times_at_once_and_then_one_after_the_other() {
        let begin = Instant::now();
        let mut own = Lookups::new(begin);
        let now = begin + TURNS_SAVED;
        let mut asked = 0;
        let at = loop {
            match answered(&mut own, &format!("user {asked}"), now) {
                Ok(()) => asked += 1,
                Err(at) => break at,
            }
        };
        assert_eq!(asked, UPSTREAM_USER_LOOKUPS_PER_SECOND + 1);
        assert!(at > now && at <= now + TURNS_SAVED);
        assert_eq!(answered(&mut own, "another", at), Ok(()));
        let next = answered(&mut own, "one more", at);
        assert!(matches!(next, Err(next) if next > at));
    }

    #[test]
    fn one_name_is_asked_for_twice_at_once_and_then_once_a_second() {
        const MILLIS: u32 = 10_000;
        let begin = Instant::now();
        let mut own = Lookups::new(begin);
        let at = (0..MILLIS).map(|at| begin + TURNS_SAVED + Duration::from_millis(at.into()));
        let asked = at.filter(|now| match own.look_up_stranger("alice", HERE, *now) {
            Lookup::Ask(question) => {
                question.end();
                true
            }
            _ => false,
        });
        assert_eq!(asked.count(), 1 + MILLIS as usize / 1000);
    }

    #[test]
    fn names_that_say_nothing_any_more_are_forgotten() {
        let mut own = Lookups::new(Instant::now());
        let mut now = Instant::now();
        let silent = own.look_up_known("silent", HERE, now);
        for count in 0..100 * SWEEP_AT_MIN {
            now += TURN_OF_ALL;
            assert_eq!(answered(&mut own, &count.to_string(), now), Ok(()));
        }
        assert!(own.names.len() <= SWEEP_AT_MIN, "{}", own.names.len());
        assert!(own.names.contains_key("silent"), "it is on its way");
        drop(silent);
    }
}
