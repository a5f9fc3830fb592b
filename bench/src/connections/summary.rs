//! The result of such a measurement: named figures, for people and for scripts.

use std::fmt::Write;
use std::time::Duration;

use crate::json::Object;
use crate::meter::Figures;

/// What came out.
pub(crate) struct Summary {
    /// The mode's name on the command line.
    mode: &'static str,
    server: String,
    target: String,
    /// What every run tells.
    of_all: Figures,
    figures: Vec<Figure>,
}

/// One number. Its name ends with its unit.
struct Figure {
    name: &'static str,
    value: f64,
    digits: usize,
}

impl Summary {
    /// `of_all` is what was done in this mode, and how long each took.
    pub(super) fn new(
        mode: &'static str,
        server: String,
        target: &impl ToString,
        of_all: Figures,
    ) -> Self {
        Self {
            mode,
            server,
            target: target.to_string(),
            of_all,
            figures: Vec::new(),
        }
    }

    /// Adds a number of something.
    pub(super) fn count(&mut self, name: &'static str, value: u64) {
        self.add(name, value as f64, 0);
    }

    /// Adds a number with a fraction.
    pub(super) fn add(&mut self, name: &'static str, value: f64, digits: usize) {
        self.figures.push(Figure {
            name,
            value,
            digits,
        });
    }

    /// Adds a time.
    pub(super) fn milliseconds(&mut self, name: &'static str, time: Duration) {
        self.add(name, time.as_secs_f64() * 1000.0, 2);
    }

    /// Some lines of text.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("{} on {} at {}\n", self.mode, self.server, self.target);
        for Figure {
            name,
            value,
            digits,
        } in &self.figures
        {
            writeln!(out, "{name:<28} {value:>12.digits$}").expect("a string takes all");
        }
        out
    }

    /// One JSON object on one line.
    pub(crate) fn json(&self) -> String {
        let mut out = Object::new();
        out.text("op", self.mode)
            .figures(&self.of_all)
            .text("mode", self.mode)
            .text("server", &self.server)
            .text("target", &self.target);
        for figure in &self.figures {
            out.number(figure.name, figure.value, figure.digits);
        }
        out.line()
    }
}

/// The value below which a share of the sorted times lies.
pub(super) fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Meter;

    #[test]
    fn figures_are_told_in_both_forms() {
        let figures = Meter::of(&[Duration::from_millis(2)]).finish(Duration::from_secs(1));
        let server = "Tarantool 2.11.0".to_owned();
        let mut summary = Summary::new("accept", server, &"127.0.0.1:1", figures);
        summary.count("connections", 5000);
        summary.milliseconds("last_greeting_ms", Duration::from_micros(12_340));
        assert!(
            summary
                .text()
                .contains("last_greeting_ms                    12.34\n")
        );
        let json = summary.json();
        assert!(
            json.starts_with("{\"op\":\"accept\",\"rate\":1.0,\"p50_us\":200"),
            "{json}"
        );
        let end = "\"target\":\"127.0.0.1:1\",\"connections\":5000,\"last_greeting_ms\":12.34}\n";
        assert!(json.ends_with(end), "{json}");
    }

    #[test]
    fn quantiles_of_few_and_of_no_times() {
        let times: Vec<_> = (1..=5).map(Duration::from_secs).collect();
        assert_eq!(quantile(&times, 0.5), Duration::from_secs(3));
        assert_eq!(quantile(&times, 1.0), Duration::from_secs(5));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }
}
