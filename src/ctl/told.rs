//! Answers as people read them, and as programs do.
//!
//! For people: one thing a line, lists as tables. Times that are known to be some are told with
//! their units. For programs: one line of JSON, with nothing left out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vestibule_client::Value;
use vestibule_wire::msgpack::Reader;

use super::answers::packed;
use super::link::CtlError;
use crate::cli::ctl::Shown;
use crate::json;
use crate::terminal::one_line;

/// Keys of points in time, in seconds since 1970.
const POINTS_IN_TIME: [&str; 2] = ["since", "started"];

/// Keys of times, in seconds.
const TIMES: [&str; 8] = [
    "age",
    "lag",
    "took",
    "left",
    "grace",
    "grace_period",
    "idle_timeout",
    "retry_after",
];

/// Spaces between two columns.
const GAP: usize = 2;

/// The columns of a table that has too many for a line; none: all of them.
pub(super) fn columns(what: Shown) -> Option<&'static [&'static str]> {
    match what {
        Shown::Transitions => Some(&[
            "id",
            "from",
            "to",
            "upstream",
            "result",
            "started",
            "took",
            "outcome_unknown",
            "aborted_transactions",
            "requested_by",
            "reason",
        ]),
        Shown::Upstreams => Some(&[
            "name",
            "state",
            "is_writable",
            "is_target",
            "age",
            "lag",
            "in_flight",
            "queued",
            "links",
            "failovers",
            "connects",
            "address",
            "trouble",
        ]),
        Shown::Connections
        | Shown::Requests
        | Shown::Reservations
        | Shown::Quotas
        | Shown::Limits
        | Shown::Descriptors
        | Shown::Threads
        | Shown::Links
        | Shown::Pins => None,
    }
}

/// One thing.
pub(super) fn answer(value: &Value, as_json: bool) -> Result<String, CtlError> {
    match value {
        value if as_json => json_line(value),
        Value::Nil => Ok("done\n".to_owned()),
        Value::Map(pairs) => {
            let lines = pairs
                .iter()
                .map(|(key, value)| vec![scalar("", key), scalar(&scalar("", key), value)]);
            Ok(table(&lines.collect::<Vec<_>>()))
        }
        other => Ok(scalar("", other) + "\n"),
    }
}

/// A list, each of it a map.
pub(super) fn rows(
    value: &Value,
    only: Option<&[&str]>,
    as_json: bool,
) -> Result<String, CtlError> {
    let Value::Array(rows) = value else {
        return Err(CtlError::Answer("it is no list".to_owned()));
    };
    if as_json {
        return json_line(value);
    }
    let Some(first) = rows.first() else {
        return Ok("none\n".to_owned());
    };
    let names: Vec<String> = match only {
        Some(names) => names.iter().map(|name| (*name).to_owned()).collect(),
        None => pairs(first).map(|(key, _)| scalar("", key)).collect(),
    };
    let line = |row: &Value| {
        let cell = |name: &String| {
            let found = pairs(row).find(|(key, _)| scalar("", key) == *name);
            found.map_or_else(|| "-".to_owned(), |(_, value)| scalar(name, value))
        };
        names.iter().map(cell).collect::<Vec<_>>()
    };
    let mut lines = vec![names.clone()];
    lines.extend(rows.iter().map(line));
    Ok(table(&lines))
}

fn pairs(row: &Value) -> impl Iterator<Item = &(Value, Value)> {
    let pairs = match row {
        Value::Map(pairs) => pairs.as_slice(),
        _ => &[],
    };
    pairs.iter()
}

fn json_line(value: &Value) -> Result<String, CtlError> {
    let mut line = Vec::new();
    json::write_value(&mut Reader::new(&packed(value)?), &mut line)
        .map_err(|fault| CtlError::Answer(fault.to_string()))?;
    line.push(b'\n');
    String::from_utf8(line).map_err(|fault| CtlError::Answer(fault.to_string()))
}

/// Lines whose cells stand below each other.
fn table(lines: &[Vec<String>]) -> String {
    let count = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..count).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut written = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            written += &format!("{cell:<width$}", width = width + GAP);
        }
        text += written.trim_end();
        text.push('\n');
    }
    text
}

/// The value of a key, on one line.
fn scalar(key: &str, value: &Value) -> String {
    let number = match value {
        Value::Float(number) => Some(*number),
        Value::Uint(number) => Some(*number as f64),
        _ => None,
    };
    match (number, value) {
        (Some(number), _) if POINTS_IN_TIME.contains(&key) => point_in_time(number),
        (Some(number), _) if TIMES.contains(&key) => format!("{} s", rounded(number)),
        (Some(share), _) if key == "progress" => format!("{:.0} %", share * 100.0),
        (_, Value::Nil) => "-".to_owned(),
        (_, Value::Str(text)) => some(one_line(text)),
        (_, Value::Bool(is_so)) => if *is_so { "yes" } else { "no" }.to_owned(),
        (_, Value::Uint(number)) => number.to_string(),
        (_, Value::Int(number)) => number.to_string(),
        (_, Value::Float(number)) => rounded(*number),
        (_, Value::Uuid(uuid)) => uuid.to_string(),
        (_, Value::Array(values)) => {
            let values: Vec<_> = values.iter().map(|own| scalar("", own)).collect();
            some(values.join(", "))
        }
        (_, Value::Map(pairs)) => {
            let pairs = pairs.iter().map(|(key, value)| {
                let key = scalar("", key);
                format!("{key} {}", scalar(&key, value))
            });
            some(pairs.collect::<Vec<_>>().join(", "))
        }
        (_, other) => one_line(&format!("{other:?}")),
    }
}

fn some(text: String) -> String {
    match text.is_empty() {
        true => "-".to_owned(),
        false => text,
    }
}

/// Three digits behind the point at most.
fn rounded(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn point_in_time(seconds: f64) -> String {
    let since = Duration::try_from_secs_f64(seconds).ok();
    let point = since.and_then(|since| UNIX_EPOCH.checked_add(since));
    let point = point.unwrap_or(UNIX_EPOCH);
    let age = SystemTime::now().duration_since(point).unwrap_or_default();
    let age = Duration::from_secs(age.as_secs());
    format!(
        "{} ({} ago)",
        humantime::format_rfc3339_seconds(point),
        humantime::format_duration(age)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::Str(value.to_owned())
    }

    fn map(pairs: &[(&str, Value)]) -> Value {
        let pairs = pairs.iter().map(|(key, value)| (text(key), value.clone()));
        Value::Map(pairs.collect())
    }

    #[test]
    fn one_thing_is_told_line_by_line_with_units() {
        let transition = map(&[("to", text("replica")), ("left", Value::Float(1.25))]);
        let state = map(&[
            ("state", text("solo")),
            ("reason", text("a\x1b[2J\nb")),
            ("progress", Value::Float(0.2602)),
            ("grace_period", Value::Uint(3)),
            ("fault", Value::Nil),
            ("transition", transition),
        ]);
        let expected = "\
state         solo
reason        a\\u{1b}[2J\\nb
progress      26 %
grace_period  3 s
fault         -
transition    to replica, left 1.25 s
";
        assert_eq!(answer(&state, false).unwrap(), expected);
        let json = answer(&state, true).unwrap();
        assert!(json.starts_with(r#"{"state":"solo","reason":"a\u001b[2J\nb","#));
        assert_eq!(json.lines().count(), 1);
        let began = answer(&map(&[("since", Value::Float(0.0))]), false).unwrap();
        assert!(began.contains("1970-01-01T00:00:00Z ("), "{began}");
    }

    #[test]
    fn lists_are_tables() {
        let row = |name: &str, used| map(&[("name", text(name)), ("used", used)]);
        let list = Value::Array(vec![row("a", Value::Nil), row("longer", Value::Uint(7))]);
        let expected = "name    used\na       -\nlonger  7\n";
        assert_eq!(rows(&list, None, false).unwrap(), expected);
        let expected = "used  other\n-     -\n7     -\n";
        let only = Some(&["used", "other"][..]);
        assert_eq!(rows(&list, only, false).unwrap(), expected);
        assert_eq!(
            rows(&Value::Array(Vec::new()), None, false).unwrap(),
            "none\n"
        );
        assert_eq!(rows(&Value::Array(Vec::new()), None, true).unwrap(), "[]\n");
        assert!(rows(&Value::Nil, None, false).is_err());
    }
}
