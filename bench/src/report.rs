//! The result of a run, for people and for scripts.

use vestibule_wire::ErrorCode;

use crate::json::Object;
use crate::load::Outcome;
use crate::meter::Figures;

/// Some lines of text.
pub(crate) fn text(outcome: &Outcome) -> String {
    let Outcome { args, figures, .. } = outcome;
    let space = match outcome.space_id {
        Some(id) => format!(", space '{}' ({id}), {} keys", args.space, args.keys),
        None => String::new(),
    };
    let mut out = format!(
        "{} on {} at {} by {}: {} x {} in flight, {:.1} s after {:.1} s of warm-up{space}\n",
        args.op.name(),
        outcome.server,
        outcome.target,
        outcome.transport,
        args.connections,
        args.depth,
        outcome.seconds,
        args.warmup_seconds.as_secs_f64(),
    );
    out += &format!(
        "rate       {:.0} requests/s ({} answered, {:.0} bytes each)\n",
        figures.rate, figures.answered, figures.mean_reply_bytes
    );
    out += &lines(figures);
    out += &format!(
        "unanswered the oldest for {:.1} µs\n",
        outcome.oldest_in_flight_us
    );
    if let Some(share) = outcome.generator_cpu {
        out += &format!("generator  {:.0} % of one core\n", share * 100.0);
    }
    out
}

/// The lines of what every run tells: how long one took, and what was refused.
pub(crate) fn lines(figures: &Figures) -> String {
    let latency = &figures.latency_us;
    let mut out = format!(
        "latency    p50 {:.1} µs, p99 {:.1} µs, p99.9 {:.1} µs, max {:.1} µs\n",
        latency.p50, latency.p99, latency.p999, latency.max
    );
    if figures.errors.is_empty() {
        out += "errors     none\n";
    }
    for (ErrorCode(code), error) in &figures.errors {
        out += &format!(
            "errors     {} of code {code}: {}\n",
            error.count, error.text
        );
    }
    out
}

/// One JSON object on one line.
pub(crate) fn json(outcome: &Outcome) -> String {
    let Outcome { args, figures, .. } = outcome;
    let mut out = Object::new();
    out.text("op", args.op.name())
        .figures(figures)
        .text("server", &outcome.server)
        .text("target", &outcome.target)
        .text("transport", outcome.transport)
        .count("connections", args.connections.into())
        .count("depth", args.depth.into())
        .number("seconds", outcome.seconds, 3)
        .number("warmup_seconds", args.warmup_seconds.as_secs_f64(), 3);
    if outcome.space_id.is_some() {
        out.text("space", &args.space)
            .count("keys", args.keys.into());
    }
    out.number("mean_reply_bytes", figures.mean_reply_bytes, 1)
        .number("oldest_in_flight_us", outcome.oldest_in_flight_us, 1);
    let share = outcome
        .generator_cpu
        .map_or("null".to_owned(), |share| format!("{share:.3}"));
    out.raw("generator_cpu", &share);
    out.line()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::args::BenchArgs;
    use crate::meter::Meter;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn outcome() -> Outcome {
        let mut meter = Meter::new();
        meter.start();
        meter.served(10_000, 33);
        meter.refused(ErrorCode::NO_SUCH_SPACE, || {
            "it is \"loading\"\n".to_owned()
        });
        Outcome {
            args: Cli::parse_from(["bench", "--floor", "--op", "select"]).bench,
            server: "Tarantool 2.6.0".to_owned(),
            target: "127.0.0.1:3301".to_owned(),
            transport: "tcp",
            space_id: Some(512),
            seconds: 1.0,
            figures: meter.finish(Duration::from_secs(1)),
            generator_cpu: Some(0.5),
            oldest_in_flight_us: 1.5,
        }
    }

    #[test]
    fn text_names_all_figures() {
        let text = text(&outcome());
        for part in [
            "select on Tarantool 2.6.0 at 127.0.0.1:3301 by tcp: ",
            "1 x 1 in flight",
            "of code 36",
            "50 %",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn json_is_one_object_on_one_line() {
        let json = json(&outcome());
        assert!(
            json.starts_with("{\"op\":\"select\",\"rate\":1.0,\"p50_us\":10.")
                && json.ends_with("}\n")
        );
        assert_eq!(json.matches('\n').count(), 1);
        for name in ["p99_us", "p999_us", "max_us", "errors"] {
            assert!(json.contains(&format!("\"{name}\":1")), "{name}: {json}");
        }
        let error = "{\"36\":{\"count\":1,\"text\":\"it is \\\"loading\\\"\\u000a\"}}";
        assert!(json.contains(error), "{json}");
        assert!(json.contains("\"generator_cpu\":0.500"));
    }
}
