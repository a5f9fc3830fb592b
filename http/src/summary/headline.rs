//! The state, in a word and a sentence. Pure.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use vestibule_actors::config::SoloPolicy;
use vestibule_actors::monitoring::ServerStatus;
use vestibule_actors::serving::{Role, State, StateOrRole, TransitionPhase, UpstreamUse};

use super::words::{percent, time, times};

/// The state, in a word and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Headline {
    pub(crate) word: &'static str,
    pub(crate) sentence: String,
}

/// What it is told from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Situation {
    pub(crate) state: State,
    pub(crate) role: Role,
    /// How long it has been so.
    pub(crate) lasted: Duration,
    /// Empty if there is none.
    pub(crate) reason: String,
    pub(crate) progress: Option<f64>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) transition: Option<Transition>,
    /// Why the engine takes no changes, if it does not.
    pub(crate) fault: Option<String>,
    pub(crate) solo_policy: SoloPolicy,
    /// Requests that wait for the end of solo.
    pub(crate) held: usize,
}

/// A transition under way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Transition {
    to: StateOrRole,
    phase: TransitionPhase,
    reason: String,
    /// Until what still runs is cut off; `None` for ever.
    left: Option<Duration>,
}

impl Situation {
    pub(crate) fn of(
        status: &ServerStatus,
        solo_policy: SoloPolicy,
        held: usize,
        now: SystemTime,
    ) -> Self {
        let transition = status.transition.as_ref().map(|own| Transition {
            to: own.to,
            phase: own.phase,
            reason: own.reason.clone(),
            left: own.left,
        });
        Self {
            state: status.state,
            role: status.role,
            lasted: now.duration_since(status.since).unwrap_or_default(),
            reason: status.reason.clone(),
            progress: status.progress,
            retry_after: status.retry_after,
            transition,
            fault: status.fault.clone(),
            solo_policy,
            held,
        }
    }

    pub(crate) fn headline(&self) -> Headline {
        let lasted = time(self.lasted);
        let (word, sentence) = match self.state {
            State::Loading => (
                "Loading",
                format!(
                    "Loading for {lasted}{}. Pings are answered; what needs data is {}.",
                    self.why(),
                    self.told_to_come_back()
                ),
            ),
            State::Solo => ("Solo", self.solo(&lasted)),
            State::Assist => ("Assist", format!("Assist for {lasted}{}", self.assist())),
            State::Draining => (
                "Draining",
                format!("Draining for {lasted}{}", self.draining()),
            ),
            State::Stopped => (
                "Stopped",
                format!("Stopped{}. Nothing is served.", self.why()),
            ),
            // A state that is newer than this sentence.
            other => (other.name(), format!("{other} for {lasted}{}.", self.why())),
        };
        Headline { word, sentence }
    }

    /// The reason and the progress, as far as they are known.
    fn why(&self) -> String {
        let progress = self.progress.map(percent);
        match (self.reason.as_str(), progress) {
            ("", None) => String::new(),
            ("", Some(progress)) => format!(": {progress}"),
            (reason, None) => format!(": {reason}"),
            (reason, Some(progress)) => format!(": {reason}, {progress}"),
        }
    }

    fn told_to_come_back(&self) -> String {
        match self.retry_after {
            Some(after) => format!("refused and told to come back in {}", time(after)),
            None => "refused".to_owned(),
        }
    }

    fn solo(&self, lasted: &str) -> String {
        let held = times(self.held as u64, "waits", "wait");
        let fate = match self.solo_policy {
            SoloPolicy::Hold => format!("held until it is over, as long as may be ({held})"),
            SoloPolicy::Close => format!("{}, and its connection closed", self.told_to_come_back()),
            SoloPolicy::Reject => self.told_to_come_back(),
        };
        format!(
            "Solo for {lasted}{}. Pings, logins and reads from the read view are answered; \
             what needs the engine is {fate}.",
            self.why()
        )
    }

    fn assist(&self) -> String {
        if let Some(own) = &self.transition {
            return match own.phase {
                TransitionPhase::Announce => format!(
                    ". Everything is still served; it is announced that the server {}: {}.",
                    becomes(own.to),
                    own.reason
                ),
                _ => format!(". The server {}: {}.", becomes(own.to), own.reason),
            };
        }
        match (&self.fault, self.role) {
            (Some(fault), _) => {
                format!(". Reads are answered; changes are refused because of a fault: {fault}.")
            }
            (None, Role::Replica) => {
                ". Reads are answered; changes are refused: it is a replica.".to_owned()
            }
            (None, Role::Primary) => ". Everything is served.".to_owned(),
        }
    }

    fn draining(&self) -> String {
        let Some(own) = &self.transition else {
            return format!("{}.", self.why());
        };
        let reason = &own.reason;
        let what = becomes(own.to);
        let deadline = match own.left {
            Some(left) => format!(" within {}", time(left)),
            None => ", however long it takes".to_owned(),
        };
        let (waited_for, refused) = match own.to {
            StateOrRole::Role(Role::Replica) => ("Changes that run", "new ones are refused"),
            _ => ("What runs", "what is new is refused"),
        };
        match own.phase {
            TransitionPhase::Abort | TransitionPhase::Settle => {
                format!(": the server {what}, {reason}. Time is up: what still ran is cut off.")
            }
            _ => format!(
                ": the server {what}, {reason}. {waited_for} may finish{deadline}; {refused}."
            ),
        }
    }
}

fn becomes(to: StateOrRole) -> String {
    match to {
        StateOrRole::State(State::Stopped) => "stops".to_owned(),
        StateOrRole::Role(Role::Replica) => "becomes a replica".to_owned(),
        StateOrRole::Role(Role::Primary) => "becomes the primary".to_owned(),
        StateOrRole::Upstream(UpstreamUse::Drained) => "drains an upstream".to_owned(),
        StateOrRole::Upstream(UpstreamUse::Used) => "uses an upstream again".to_owned(),
        other => format!("becomes {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn situation(state: State, reason: &str) -> Situation {
        Situation {
            state,
            role: Role::Primary,
            lasted: Duration::from_millis(3200),
            reason: reason.to_owned(),
            progress: None,
            retry_after: None,
            transition: None,
            fault: None,
            solo_policy: SoloPolicy::Reject,
            held: 0,
        }
    }

    fn sentence(own: &Situation) -> String {
        own.headline().sentence
    }

    #[test]
    fn solo_says_why_how_far_and_when_to_come_back() {
        let mut solo = Situation {
            progress: Some(0.269),
            retry_after: Some(Duration::from_millis(3700)),
            ..situation(State::Solo, "building an index")
        };
        assert_eq!(solo.headline().word, "Solo");
        assert_eq!(
            sentence(&solo),
            "Solo for 3.2 s: building an index, 26 %. Pings, logins and reads from the read view \
             are answered; what needs the engine is refused and told to come back in 3.7 s."
        );
        solo.solo_policy = SoloPolicy::Hold;
        solo.held = 1;
        assert!(
            sentence(&solo).ends_with("is held until it is over, as long as may be (1 waits).")
        );
        solo.solo_policy = SoloPolicy::Close;
        assert!(sentence(&solo).ends_with("in 3.7 s, and its connection closed."));
    }

    #[test]
    fn every_state_says_what_is_answered() {
        let mut own = situation(State::Loading, "recovering");
        own.progress = Some(0.4);
        own.retry_after = Some(Duration::from_secs(1));
        assert_eq!(
            sentence(&own),
            "Loading for 3.2 s: recovering, 40 %. Pings are answered; what needs data is refused \
             and told to come back in 1.0 s."
        );
        let mut own = situation(State::Assist, "");
        assert_eq!(sentence(&own), "Assist for 3.2 s. Everything is served.");
        own.role = Role::Replica;
        assert!(sentence(&own).ends_with("changes are refused: it is a replica."));
        own.fault = Some("no space left".to_owned());
        assert!(sentence(&own).contains("because of a fault: no space left."));
        let own = situation(State::Stopped, "a signal");
        assert_eq!(sentence(&own), "Stopped: a signal. Nothing is served.");
        for state in State::ALL {
            let headline = situation(state, "").headline();
            assert!(headline.sentence.starts_with(headline.word), "{headline:?}");
            assert_eq!(headline.word.to_lowercase(), state.name());
        }
    }

    #[test]
    fn transitions_say_where_they_lead_and_how_long_that_may_take() {
        let transition = |to: StateOrRole, phase, left: Option<u64>| {
            Some(Transition {
                to,
                phase,
                reason: "SIGTERM".to_owned(),
                left: left.map(Duration::from_secs),
            })
        };
        let mut own = situation(State::Assist, "");
        own.transition = transition(State::Stopped.into(), TransitionPhase::Announce, Some(9));
        assert!(sentence(&own).contains("it is announced that the server stops: SIGTERM."));
        let mut own = situation(State::Draining, "");
        own.transition = transition(State::Stopped.into(), TransitionPhase::Grace, Some(58));
        assert_eq!(
            sentence(&own),
            "Draining for 3.2 s: the server stops, SIGTERM. What runs may finish within 58 s; \
             what is new is refused."
        );
        own.transition = transition(Role::Replica.into(), TransitionPhase::Grace, None);
        assert!(
            sentence(&own).contains("becomes a replica, SIGTERM. Changes that run may finish,")
        );
        own.transition = transition(State::Stopped.into(), TransitionPhase::Settle, None);
        assert!(sentence(&own).contains("what still ran is cut off"));
    }
}
