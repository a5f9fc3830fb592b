//! What somebody should look at. Pure.

use std::time::SystemTime;

use serde::Serialize;

use super::words::{percent, time, times};
use crate::limits::CERTIFICATE_TIME_LEFT;

/// How soon somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// At once: something is not done that was promised.
    Serious,
    /// Soon: something is about to be lacking, or has been lost.
    Warning,
    /// Some time: it is as it was told to be, and perhaps not as it was meant.
    Notice,
}

impl Level {
    /// As it stands at the beginning of a line of text.
    pub(crate) fn capitals(self) -> &'static str {
        match self {
            Self::Serious => "SERIOUS",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
        }
    }
}

/// What somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Alert {
    pub(crate) level: Level,
    /// What it is about, in a word that programs can look for.
    pub(crate) about: &'static str,
    /// One sentence.
    pub(crate) text: String,
}

/// How much there is of something, and how much there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) used: u64,
    pub(crate) max: u64,
}

impl Use {
    /// Whether it is over seven eighths.
    fn is_short(self) -> bool {
        self.max > 0 && self.used as u128 * 8 > self.max as u128 * 7
    }

    fn share(self) -> String {
        percent(self.used as f64 / self.max.max(1) as f64)
    }
}

/// The numbers that alerts are made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Facts {
    /// Why the engine takes no changes, if it does not.
    pub(crate) fault: Option<String>,
    /// Which thread has stood still, and for how long.
    pub(crate) stood_still: Option<String>,
    /// Why the last checkpoint could not be made, if it could not.
    pub(crate) checkpoint_failure: Option<String>,
    /// Why the configuration that was last asked for is not in force.
    pub(crate) config_fault: Option<String>,
    /// Options that were changed and wait for a restart.
    pub(crate) needs_restart: Vec<String>,
    /// Certificates, by their names, and when they end.
    pub(crate) certificates: Vec<(String, SystemTime)>,
    /// Places, by whose they are.
    pub(crate) places: Vec<(&'static str, Use)>,
    /// Memory, by what it is for.
    pub(crate) memory: Vec<(&'static str, Use)>,
    /// Upstreams that say that they take changes, where there is more than one.
    pub(crate) split: Vec<String>,
    /// Upstreams that are one instance, in pairs.
    pub(crate) same: Vec<(String, String)>,
    /// The upstream that requests go to.
    pub(crate) target: Option<String>,
    /// How often Tx died and was replaced.
    pub(crate) tx_restarts: u64,
    /// Whether those who have not logged in may do everything.
    pub(crate) guest_may_do_everything: bool,
}

/// What somebody should look at, the most urgent first.
pub(crate) fn alerts(facts: &Facts, now: SystemTime) -> Vec<Alert> {
    let mut alerts = Vec::new();
    let mut add = |level, about, text: String| {
        alerts.push(Alert { level, about, text });
    };
    if let Some(fault) = &facts.fault {
        let text = format!("Changes are refused because of a fault of the journal: {fault}");
        add(Level::Serious, "journal", text);
    }
    if let Some(which) = &facts.stood_still {
        add(
            Level::Serious,
            "thread",
            format!("Part of the server stands still: {which}"),
        );
    }
    if let Some(failure) = &facts.checkpoint_failure {
        let text = format!("The last checkpoint could not be made: {failure}");
        add(Level::Serious, "checkpoint", text);
    }
    if let Some(fault) = &facts.config_fault {
        let text =
            format!("The configuration was not taken, the one before it is in force: {fault}");
        add(Level::Serious, "configuration", text);
    }
    if !facts.split.is_empty() {
        add(Level::Serious, "upstreams", split(facts));
    }
    for (name, end) in &facts.certificates {
        if let Some((level, text)) = certificate(name, *end, now) {
            add(level, "certificate", text);
        }
    }
    for (first, second) in &facts.same {
        add(Level::Warning, "upstreams", same(first, second));
    }
    let short = |own: &&(&str, Use)| own.1.is_short();
    for (whose, places) in facts.places.iter().filter(short) {
        let Use { used, max } = places;
        let text = format!(
            "{} of the places for {whose} are taken: {used} of {max}",
            places.share()
        );
        add(Level::Warning, "places", text);
    }
    for (what, memory) in facts.memory.iter().filter(short) {
        let text = format!("{} of the memory for {what} are taken", memory.share());
        add(Level::Warning, "memory", text);
    }
    if facts.tx_restarts > 0 {
        let count = times(facts.tx_restarts, "time", "times");
        let text = format!("The engine died and was started again {count} since the start");
        add(Level::Warning, "restarts", text);
    }
    if !facts.needs_restart.is_empty() {
        let options = facts.needs_restart.join(", ");
        let text = format!("Options were changed that wait for a restart: {options}");
        add(Level::Notice, "restart", text);
    }
    if facts.guest_may_do_everything {
        let text = "Whoever connects may do everything, without a password: the user 'guest' has \
                    all rights";
        add(Level::Notice, "guest", text.to_owned());
    }
    // Stable: those of a level stay in the order above.
    alerts.sort_by_key(|own| own.level);
    alerts
}

/// Others may write to any of them by another way.
fn split(facts: &Facts) -> String {
    let all = facts.split.join(", ");
    let target = facts.target.iter();
    let target: String = target
        .map(|own| format!("; requests go to {own} alone"))
        .collect();
    format!("More than one upstream says that it takes changes: {all}{target}")
}

fn same(first: &str, second: &str) -> String {
    format!("The upstreams {first} and {second} are one instance: if it is lost, so are both")
}

fn certificate(name: &str, end: SystemTime, now: SystemTime) -> Option<(Level, String)> {
    match end.duration_since(now) {
        Err(_) => Some((Level::Serious, format!("The certificate {name} has ended"))),
        Ok(left) if left <= CERTIFICATE_TIME_LEFT => {
            let text = format!("The certificate {name} ends in {}", time(left));
            Some((Level::Warning, text))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_secs(86400);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * 20_000
    }

    /// Levels and what they are about.
    fn told(facts: &Facts) -> Vec<(Level, &'static str)> {
        let alerts = alerts(facts, now());
        alerts.iter().map(|own| (own.level, own.about)).collect()
    }

    #[test]
    fn nothing_is_told_of_a_server_that_is_well() {
        let full = Use { used: 7, max: 8 };
        let facts = Facts {
            certificates: vec![("a.crt".to_owned(), now() + DAY * 15)],
            places: vec![("clients", full)],
            memory: vec![("data", full), ("nothing", Use { used: 0, max: 0 })],
            ..Facts::default()
        };
        assert_eq!(told(&facts), []);
    }

    #[test]
    fn each_fact_is_told_and_the_most_urgent_first() {
        let short = Use {
            used: 701,
            max: 800,
        };
        let why = || Some("why".to_owned());
        let facts = Facts {
            fault: why(),
            stood_still: why(),
            checkpoint_failure: why(),
            config_fault: why(),
            needs_restart: vec!["listen".to_owned()],
            certificates: vec![
                ("soon.crt".to_owned(), now() + DAY * 14),
                ("over.crt".to_owned(), now() - DAY),
            ],
            places: vec![("clients", short)],
            memory: vec![("data", short)],
            split: vec!["a".to_owned(), "b".to_owned()],
            same: vec![("a".to_owned(), "c".to_owned())],
            target: Some("b".to_owned()),
            tx_restarts: 2,
            guest_may_do_everything: true,
        };
        let expected = [
            (Level::Serious, "journal"),
            (Level::Serious, "thread"),
            (Level::Serious, "checkpoint"),
            (Level::Serious, "configuration"),
            (Level::Serious, "upstreams"),
            (Level::Serious, "certificate"),
            (Level::Warning, "certificate"),
            (Level::Warning, "upstreams"),
            (Level::Warning, "places"),
            (Level::Warning, "memory"),
            (Level::Warning, "restarts"),
            (Level::Notice, "restart"),
            (Level::Notice, "guest"),
        ];
        assert_eq!(told(&facts), expected);
        let texts: Vec<_> = alerts(&facts, now())
            .into_iter()
            .map(|own| own.text)
            .collect();
        assert_eq!(
            texts[4],
            "More than one upstream says that it takes changes: a, b; requests go to b alone"
        );
        assert_eq!(texts[5], "The certificate over.crt has ended");
        assert_eq!(texts[6], "The certificate soon.crt ends in 14 d 0 h");
        assert_eq!(
            texts[7],
            "The upstreams a and c are one instance: if it is lost, so are both"
        );
        assert_eq!(
            texts[8],
            "87 % of the places for clients are taken: 701 of 800"
        );
        assert!(texts[10].contains("2 times"), "{}", texts[10]);
    }

    #[test]
    fn a_bound_is_short_beyond_seven_eighths_however_large_it_is() {
        let half = Use {
            used: u64::MAX / 2,
            max: u64::MAX,
        };
        assert!(!half.is_short());
        assert!(
            Use {
                used: u64::MAX,
                max: u64::MAX
            }
            .is_short()
        );
    }
}
