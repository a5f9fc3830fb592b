//! One JSON object on one line: what scripts read.

use std::fmt::Write;

use crate::meter::Figures;

/// An object, field by field.
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new() -> Self {
        Self(String::new())
    }

    /// Adds a field whose value is JSON already.
    pub(crate) fn raw(&mut self, name: &str, value: &str) -> &mut Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        write!(self.0, "{comma}\"{name}\":{value}").expect("a string takes all");
        self
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.raw(name, &quoted(value))
    }

    pub(crate) fn count(&mut self, name: &str, value: u64) -> &mut Self {
        self.raw(name, &value.to_string())
    }

    /// Adds a number with some digits behind its point.
    pub(crate) fn number(&mut self, name: &str, value: f64, digits: usize) -> &mut Self {
        self.raw(name, &format!("{value:.digits$}"))
    }

    /// Adds what every run tells: how many were done in a second, and how long one took, which is
    /// null if none was.
    pub(crate) fn figures(&mut self, figures: &Figures) -> &mut Self {
        let latency = &figures.latency_us;
        self.number("rate", figures.rate, 1);
        let times = [
            ("p50_us", latency.p50),
            ("p99_us", latency.p99),
            ("p999_us", latency.p999),
            ("max_us", latency.max),
            ("mean_us", latency.mean),
        ];
        for (name, time) in times {
            match figures.answered {
                0 => self.raw(name, "null"),
                _ => self.number(name, time, 2),
            };
        }
        self.count("answered", figures.answered)
            .count("errors", figures.error_count());
        let mut by_code = Self::new();
        for (code, error) in &figures.errors {
            let mut entry = Self::new();
            entry.count("count", error.count).text("text", &error.text);
            by_code.raw(&code.0.to_string(), &entry.braced());
        }
        self.raw("errors_by_code", &by_code.braced())
    }

    /// The object, to stand in another.
    pub(crate) fn braced(&self) -> String {
        format!("{{{}}}", self.0)
    }

    /// The object on a line of its own.
    pub(crate) fn line(&self) -> String {
        self.braced() + "\n"
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if u32::from(control) < 0x20 => {
                out += &format!("\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_answers_there_are_no_times() {
        let figures = |meter: crate::meter::Meter| {
            let mut object = Object::new();
            object.figures(&meter.finish(std::time::Duration::from_secs(1)));
            object.line()
        };
        let mut meter = crate::meter::Meter::new();
        meter.start();
        let none = figures(crate::meter::Meter::new());
        assert!(none.contains("\"p999_us\":null,") && none.contains("\"rate\":0.0,"));
        meter.served(1_000_000, 9);
        assert!(!figures(meter).contains("null"));
    }

    #[test]
    fn texts_are_quoted_and_objects_stand_in_objects() {
        let mut inner = Object::new();
        inner.text("say", "\"a\\b\"\n");
        let mut outer = Object::new();
        outer
            .count("n", 1)
            .number("x", 1.25, 1)
            .raw("inner", &inner.braced());
        let expected = "{\"n\":1,\"x\":1.2,\"inner\":{\"say\":\"\\\"a\\\\b\\\"\\u000a\"}}\n";
        assert_eq!(outer.line(), expected);
        assert_eq!(Object::new().line(), "{}\n");
    }
}
