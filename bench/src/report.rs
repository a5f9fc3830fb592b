//! The result of a run, for people and for scripts.

use std::fmt::Write;

use vestibule_wire::ErrorCode;

use crate::load::Outcome;

/// Some lines of text.
pub(crate) fn text(outcome: &Outcome) -> String {
    let Outcome { args, figures, .. } = outcome;
    let latency = &figures.latency_us;
    let space = match outcome.space_id {
        Some(id) => format!(", space '{}' ({id}), {} keys", args.space, args.keys),
        None => String::new(),
    };
    let mut out = format!(
        "{} on {} at {}: {} x {} in flight, {:.1} s after {:.1} s of warm-up{space}\n",
        args.op.name(),
        outcome.server,
        outcome.target,
        args.connections,
        args.depth,
        outcome.seconds,
        args.warmup_seconds.as_secs_f64(),
    );
    out += &format!(
        "rate       {:.0} requests/s ({} answered, {:.0} bytes each)\n",
        figures.rate, figures.answered, figures.mean_reply_bytes
    );
    out += &format!(
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
    out += &format!(
        "unanswered the oldest for {:.1} µs\n",
        outcome.oldest_in_flight_us
    );
    if let Some(share) = outcome.generator_cpu {
        out += &format!("generator  {:.0} % of one core\n", share * 100.0);
    }
    out
}

/// One JSON object on one line.
pub(crate) fn json(outcome: &Outcome) -> String {
    let Outcome { args, figures, .. } = outcome;
    let latency = &figures.latency_us;
    let errors: Vec<String> = figures
        .errors
        .iter()
        .map(|(ErrorCode(code), error)| {
            format!(
                "\"{code}\":{{\"count\":{},\"text\":{}}}",
                error.count,
                quoted(&error.text)
            )
        })
        .collect();
    let mut out = String::from("{");
    let mut field = |name: &str, value: String| {
        let comma = if name == "op" { "" } else { "," };
        write!(out, "{comma}\"{name}\":{value}").expect("a string takes all");
    };
    field("op", quoted(args.op.name()));
    field("server", quoted(&outcome.server));
    field("target", quoted(&outcome.target));
    field("connections", args.connections.to_string());
    field("depth", args.depth.to_string());
    field("seconds", format!("{:.3}", outcome.seconds));
    field(
        "warmup_seconds",
        format!("{:.3}", args.warmup_seconds.as_secs_f64()),
    );
    if outcome.space_id.is_some() {
        field("space", quoted(&args.space));
        field("keys", args.keys.to_string());
    }
    field("answered", figures.answered.to_string());
    field("rate", format!("{:.1}", figures.rate));
    field(
        "mean_reply_bytes",
        format!("{:.1}", figures.mean_reply_bytes),
    );
    let latency = format!(
        "{{\"mean\":{:.2},\"p50\":{:.2},\"p99\":{:.2},\"p999\":{:.2},\"max\":{:.2}}}",
        latency.mean, latency.p50, latency.p99, latency.p999, latency.max
    );
    field("latency_us", latency);
    field("errors", format!("{{{}}}", errors.join(",")));
    field(
        "oldest_in_flight_us",
        format!("{:.1}", outcome.oldest_in_flight_us),
    );
    let share = outcome
        .generator_cpu
        .map_or("null".to_owned(), |share| format!("{share:.3}"));
    field("generator_cpu", share);
    out += "}\n";
    out
}

pub(crate) fn quoted(text: &str) -> String {
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
            "select on Tarantool 2.6.0",
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
        assert!(json.starts_with("{\"op\":\"select\",\"server\":") && json.ends_with("}\n"));
        assert_eq!(json.matches('\n').count(), 1);
        let error = "\"errors\":{\"36\":{\"count\":1,\"text\":\"it is \\\"loading\\\"\\u000a\"}}";
        assert!(json.contains(error), "{json}");
        assert!(json.contains("\"generator_cpu\":0.500"));
    }
}
