//! The logger of the process, to stderr: lines of text, or of JSON.

use std::io::{self, Write};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use env_logger::fmt::Formatter;
use log::kv::{self, Key, Value, VisitSource};
use log::{Log, Metadata, Record};
use serde::Serializer as _;
use serde::ser::SerializeMap;

use crate::cli::log::{LogArgs, LogFormat};
use crate::meter;

/// Keys that every line of JSON begins with; a key-value of one of these names gets `kv_` before
/// it.
const OWN_KEYS: [&str; 6] = ["time", "level", "message", "pid", "module", "thread"];

/// Installs the logger of the process.
///
/// # Panics
///
/// If there is one already.
pub(crate) fn install(args: &LogArgs) {
    replace(args);
    log::set_logger(&LOGGER).expect("there is one logger");
}

/// Has the logger go by other options from its next line on.
pub(crate) fn replace(args: &LogArgs) {
    let logger = make(args);
    let level = logger.filter();
    *LOGGER.write() = Some(logger);
    log::set_max_level(level);
}

fn make(args: &LogArgs) -> env_logger::Logger {
    let mut builder = env_logger::Builder::new();
    builder
        .parse_filters(&args.filter)
        .format_timestamp_millis()
        .format_key_values(|out, pairs| pairs.visit(&mut Texts(out)).map_err(io::Error::other));
    if args.format == LogFormat::Json {
        builder.format(write_json);
    }
    builder.build()
}

/// A logger that may be replaced, and whose lines and a bar do not write over each other.
struct BesideBar(RwLock<Option<env_logger::Logger>>);

static LOGGER: BesideBar = BesideBar(RwLock::new(None));

impl BesideBar {
    fn write(&self) -> RwLockWriteGuard<'_, Option<env_logger::Logger>> {
        // It is replaced whole.
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<env_logger::Logger>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for BesideBar {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let logger = self.read();
        logger.as_ref().is_some_and(|own| own.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        let logger = self.read();
        if let Some(logger) = logger.as_ref().filter(|own| own.matches(record)) {
            meter::beside_bar(|| logger.log(record));
        }
    }

    fn flush(&self) {
        if let Some(logger) = self.read().as_ref() {
            logger.flush();
        }
    }
}

fn write_json(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let now = humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string();
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let mut line = json_line(record, &now, std::process::id(), name)?;
    line.push(b'\n');
    // In one piece: lines of several threads do not mix.
    out.write_all(&line)
}

/// A record as one line of JSON, whatever stands in it.
fn json_line(record: &Record<'_>, now: &str, pid: u32, thread: &str) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut line);
    let mut map = serializer.serialize_map(None)?;
    let level = record.level().as_str().to_lowercase();
    map.serialize_entry(OWN_KEYS[0], now)?;
    map.serialize_entry(OWN_KEYS[1], &level)?;
    map.serialize_entry(OWN_KEYS[2], record.args())?;
    map.serialize_entry(OWN_KEYS[3], &pid)?;
    map.serialize_entry(OWN_KEYS[4], record.target())?;
    map.serialize_entry(OWN_KEYS[5], thread)?;
    let mut pairs = Pairs(&mut map);
    record
        .key_values()
        .visit(&mut pairs)
        .map_err(io::Error::other)?;
    map.end()?;
    Ok(line)
}

/// What writes key-values behind a line of text: no value looks like another line, or another
/// key-value.
struct Texts<'a, W>(&'a mut W);

impl<'kvs, W: Write> VisitSource<'kvs> for Texts<'_, W> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let text = value.to_string();
        let is_plain = |letter: char| {
            letter.is_alphanumeric() || letter.is_ascii_punctuation() && !"\"=".contains(letter)
        };
        let written = if !text.is_empty() && text.chars().all(is_plain) {
            write!(self.0, " {key}={text}")
        } else {
            write!(self.0, " {key}={text:?}")
        };
        written.map_err(|_| kv::Error::msg("a key-value cannot be written"))
    }
}

/// What writes key-values into a map, numbers as numbers.
struct Pairs<'a, M>(&'a mut M);

impl<'kvs, M: SerializeMap> VisitSource<'kvs> for Pairs<'_, M> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let own = OWN_KEYS.contains(&key.as_str());
        let key = format!("{}{key}", if own { "kv_" } else { "" });
        let written = if let Some(number) = value.to_u64() {
            self.0.serialize_entry(&key, &number)
        } else if let Some(number) = value.to_i64() {
            self.0.serialize_entry(&key, &number)
        } else if let Some(is_so) = value.to_bool() {
            self.0.serialize_entry(&key, &is_so)
        } else if let Some(number) = value.to_f64() {
            self.0.serialize_entry(&key, &number)
        } else {
            self.0.serialize_entry(&key, &format_args!("{value}"))
        };
        written.map_err(|_| kv::Error::msg("a key-value cannot be written"))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use log::Level;
    use serde_json::{Value as Json, json};

    use super::*;

    fn line(text: fmt::Arguments<'_>, pairs: &[(&str, Value<'_>)]) -> String {
        let record = Record::builder()
            .level(Level::Warn)
            .target("vestibule_actors::session")
            .args(text)
            .key_values(&pairs)
            .build();
        let line = json_line(&record, "2026-11-26T07:00:00.123Z", 7, "main").unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_record_is_one_line_of_json() {
        let told = line(format_args!("a \"word\"\nand a line"), &[]);
        assert_eq!(
            told,
            "{\"time\":\"2026-11-26T07:00:00.123Z\",\"level\":\"warn\",\
             \"message\":\"a \\\"word\\\"\\nand a line\",\"pid\":7,\
             \"module\":\"vestibule_actors::session\",\"thread\":\"main\"}"
        );
    }

    #[test]
    fn key_values_of_a_line_of_text_look_like_nothing_else() {
        let pairs = [
            ("connection", Value::from(17_u64)),
            ("peer", Value::from("[2001:db8::7]:5555")),
            ("user", Value::from("eve\n[WARN] a=\"b\"")),
            ("none", Value::from("")),
        ];
        let mut out = Vec::new();
        let source: &dyn kv::Source = &pairs.as_slice();
        source.visit(&mut Texts(&mut out)).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            " connection=17 peer=[2001:db8::7]:5555 user=\"eve\\n[WARN] a=\\\"b\\\"\" none=\"\""
        );
    }

    #[test]
    fn key_values_keep_their_types_and_take_no_key_of_the_line() {
        let pairs = [
            ("connection", Value::from(17_u64)),
            ("delta", Value::from(-1)),
            ("share", Value::from(0.5)),
            ("tls", Value::from(true)),
            ("user", Value::from("alice\n")),
            ("pid", Value::from(1_u64)),
        ];
        let told = line(format_args!("told"), &pairs);
        assert_eq!(told.lines().count(), 1);
        let told: Json = serde_json::from_str(&told).unwrap();
        for (key, expected) in [
            ("connection", json!(17)),
            ("delta", json!(-1)),
            ("share", json!(0.5)),
            ("tls", json!(true)),
            ("user", json!("alice\n")),
            ("kv_pid", json!(1)),
            ("pid", json!(7)),
        ] {
            assert_eq!(told[key], expected, "{key}");
        }
    }
}
