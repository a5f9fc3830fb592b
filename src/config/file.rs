//! A file of options: TOML, whose keys are known and whose values are those that flags take.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::Command;
use clap::error::{ContextKind, ContextValue};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::config::options::{FileOption, Kind, TABLES, nearest};
use crate::config::problem::{LineFault, Problem};

/// Most bytes of a file of options. The template has some 20,000.
const SIZE_MAX: u64 = 1 << 20;

/// A file, as it was read.
#[derive(Debug)]
pub(super) struct File {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Where each of its lines ends.
    ends: Vec<usize>,
    /// What is in it.
    text: String,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, Problem> {
        match read_bounded(path) {
            Ok(text) => Ok(Self::of(path, text)),
            Err(fault) => Err(Problem::Unreadable(path.to_owned(), fault.to_string())),
        }
    }

    /// Reads it once more.
    ///
    /// # Errors
    ///
    /// The same, and that it can be read only once: of a pipe there would be nothing, and one with
    /// a name would be waited for.
    pub(super) fn read_again(path: &Path) -> Result<Self, Problem> {
        match is_lasting(path) {
            true => Self::read(path),
            false => {
                let text = "it is no regular file, and was read at the start: restart the server";
                Err(Problem::Unreadable(path.to_owned(), text.to_owned()))
            }
        }
    }

    fn of(path: &Path, text: String) -> Self {
        let bytes = text.bytes().enumerate();
        let ends = bytes.filter(|(_, byte)| *byte == b'\n');
        Self {
            path: path.to_owned(),
            ends: ends.map(|(at, _)| at).collect(),
            text,
        }
    }

    /// The values that are in it, each of which its option takes.
    ///
    /// # Errors
    ///
    /// All lines that are wrong.
    pub(super) fn values(&self, options: &[FileOption]) -> Result<Vec<Given>, Problem> {
        let problem = |faults| Problem::Lines(self.path.clone(), faults);
        let table = DeTable::parse(&self.text).map_err(|fault| {
            let at = fault.span().map_or(0, |span| span.start);
            problem(vec![LineFault {
                line: self.line(at),
                text: fault.message().to_owned(),
            }])
        })?;
        let mut found = Found {
            file: self,
            options,
            given: Vec::new(),
            faults: Vec::new(),
        };
        found.add_table(None, table.get_ref());
        found.faults.sort_by_key(|fault| fault.line);
        match found.faults.is_empty() {
            true => Ok(found.given),
            false => Err(problem(found.faults)),
        }
    }

    fn line(&self, at: usize) -> usize {
        1 + self.ends.partition_point(|end| *end < at)
    }
}

/// Whether a file can be read again: one that is not there may come back.
pub(super) fn is_lasting(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |own| own.is_file())
}

/// The text of a file that is no larger than [`SIZE_MAX`].
fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = fs::File::open(path)?
        .take(SIZE_MAX + 1)
        .read_to_string(&mut text)?;
    if read as u64 > SIZE_MAX {
        return Err(io::Error::other(format!(
            "it is larger than {SIZE_MAX} bytes"
        )));
    }
    Ok(text)
}

/// What a file says of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    /// The option.
    pub(super) id: String,
    /// The line of its key.
    pub(super) line: usize,
    /// Values of it as a flag takes them; one, unless it is a list.
    pub(super) values: Vec<String>,
}

/// What was found in a file so far.
struct Found<'a> {
    file: &'a File,
    options: &'a [FileOption],
    given: Vec<Given>,
    faults: Vec<LineFault>,
}

impl Found<'_> {
    fn fault(&mut self, at: usize, text: String) {
        let line = self.file.line(at);
        self.faults.push(LineFault { line, text });
    }

    fn add_table(&mut self, name: Option<&str>, table: &DeTable<'_>) {
        for (key, value) in table {
            match (name, value.get_ref()) {
                (None, DeValue::Table(inner)) if TABLES.contains(&&**key.get_ref()) => {
                    self.add_table(Some(key.get_ref()), inner);
                }
                _ => self.add(name, key, value),
            }
        }
    }

    fn add(
        &mut self,
        table: Option<&str>,
        key: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let at = key.span().start;
        let path = match table {
            Some(table) => format!("{table}.{}", key.get_ref()),
            None => key.get_ref().to_string(),
        };
        let Some(option) = self.options.iter().find(|own| own.path() == path) else {
            let what = match value.get_ref() {
                DeValue::Table(_) => "table",
                _ => "option",
            };
            let near = nearest(self.options, &path).map(FileOption::path);
            let hint = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
            return self.fault(at, format!("there is no {what} '{path}'{hint}"));
        };
        let one = std::slice::from_ref(value);
        let values = match value.get_ref() {
            DeValue::Array(values) if option.is_list() => values,
            _ => one,
        };
        let mut taken = Vec::new();
        for value in values {
            match text_of(option, value.get_ref()).and_then(|text| taken_by(option, text)) {
                Ok(text) => taken.push(text),
                Err(text) => self.fault(value.span().start, format!("'{path}' {text}")),
            }
        }
        self.given.push(Given {
            id: option.id().to_owned(),
            line: self.file.line(at),
            values: taken,
        });
    }
}

/// A value as a flag would take it, if it is of the option's kind.
fn text_of(option: &FileOption, value: &DeValue<'_>) -> Result<String, String> {
    let kind = option.kind();
    match (kind, value) {
        (Kind::Switch, DeValue::Boolean(is)) => Ok(is.to_string()),
        (Kind::Number | Kind::Size | Kind::Time, DeValue::Integer(number)) => {
            i128::from_str_radix(number.as_str(), number.radix())
                .map(|number| number.to_string())
                .map_err(|fault| format!("cannot be {}: {fault}", number.as_str()))
        }
        (Kind::Size | Kind::Time | Kind::Text, DeValue::String(text)) => Ok(text.to_string()),
        (_, other) => {
            let list = if option.is_list() {
                "a list, each of it "
            } else {
                ""
            };
            let given = match other.type_str() {
                "array" => "a list",
                "integer" => "a number",
                "float" => "a number with a point",
                "boolean" => "true or false",
                "datetime" => "a date",
                "table" => "a table",
                _ => "a string",
            };
            Err(format!("is {list}{}, and not {given}", kind.name()))
        }
    }
}

/// A value that the option's own parser takes, or what that says.
fn taken_by(option: &FileOption, text: String) -> Result<String, String> {
    let parser = Command::new("file")
        .no_binary_name(true)
        .arg(option.arg.clone());
    match parser.try_get_matches_from([format!("{}={text}", option.flag())]) {
        Ok(_) => Ok(text),
        Err(fault) => Err(format!("cannot be '{text}': {}", told(option, &fault))),
    }
}

fn told(option: &FileOption, fault: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(fault) {
        return source.to_string();
    }
    let choices = option.choices().into_iter();
    let names: Vec<_> = choices.map(|(name, _)| name).collect();
    let near = match fault.get(ContextKind::SuggestedValue) {
        Some(ContextValue::String(near)) => format!("; did you mean '{near}'?"),
        _ => String::new(),
    };
    match names.is_empty() {
        true => "that is no value of it".to_owned(),
        false => format!("it is one of {}{near}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;
    use crate::config::options::options;

    fn values(text: &str) -> Result<Vec<Given>, String> {
        let file = File::of(Path::new("a.toml"), text.to_owned());
        let values = file.values(&options(&Cli::command()));
        values.map_err(|problem| problem.to_string())
    }

    #[test]
    fn values_are_what_flags_take() {
        let text = "\
listen = [
  \"127.0.0.1:1\",
  \"127.0.0.1:2\",
]
read_only = true
idle_timeout = 0
memory_max = 0x100
administrator = \"alice\"
admin_listen = []
[journal]
sync = 'interval'
sync_period = \"5s\"
[connections]
memory_max = \"64MiB\"
max = 1_000
";
        let mut given = values(text).unwrap();
        given.sort_by_key(|own| own.line);
        let told: Vec<_> = given
            .iter()
            .map(|own| (own.line, &*own.id, own.values.join(" ")))
            .collect();
        let expected = [
            (1, "listen", "127.0.0.1:1 127.0.0.1:2"),
            (5, "read_only", "true"),
            (6, "idle_timeout", "0"),
            (7, "memory_max", "256"),
            (8, "administrator", "alice"),
            (9, "admin_listen", ""),
            (11, "journal_sync", "interval"),
            (12, "journal_sync_period", "5s"),
            (14, "connections_memory_max", "64MiB"),
            (15, "connections_max", "1000"),
        ];
        assert_eq!(
            told,
            expected.map(|(line, id, text)| (line, id, text.to_owned()))
        );
        assert_eq!(values("journal = { sync = 'turn' }").unwrap().len(), 1);
        assert_eq!(values("journal.sync = 'turn'").unwrap().len(), 1);
        assert_eq!(values("[journal]\n# nothing\n"), Ok(Vec::new()));
    }

    /// A file as large as one may be, with a fault on each of its lines, takes no minutes.
    #[test]
    fn the_lines_of_a_large_file_are_found_without_reading_it_for_each() {
        let count = SIZE_MAX as usize / 16;
        let text: String = (1..=count)
            .map(|line| format!("a{line:07} = 1\n"))
            .collect();
        let file = File::of(Path::new("a.toml"), text);
        let Err(Problem::Lines(_, faults)) = file.values(&[]) else {
            panic!("each line is wrong");
        };
        let lines = faults.iter().map(|fault| fault.line);
        assert!(lines.eq(1..=count));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, expected) in [
            (
                "\nlisen = []",
                "a.toml:2: there is no option 'lisen'; did you mean 'listen'?",
            ),
            (
                "journal_sync = 'turn'",
                "a.toml:1: there is no option 'journal_sync'; did you mean 'journal.sync'?",
            ),
            (
                "[jurnal]\nsync = 'turn'",
                "a.toml:1: there is no table 'jurnal'; did you mean 'journal.sync'?",
            ),
            (
                "[journal]\nsink = 'turn'",
                "a.toml:2: there is no option 'journal.sink'; did you mean 'journal.sync'?",
            ),
            ("xyzzy = 1", "a.toml:1: there is no option 'xyzzy'"),
            ("config = 'b.toml'", "a.toml:1: there is no option 'config'"),
            ("data = 5", "a.toml:1: 'data' is a string, and not a number"),
            (
                "data = ['a']",
                "a.toml:1: 'data' is a string, and not a list",
            ),
            (
                "read_only = 'yes'",
                "a.toml:1: 'read_only' is true or false, and not a string",
            ),
            (
                "waits_max = '7'",
                "a.toml:1: 'waits_max' is a number, and not a string",
            ),
            (
                "listen = ['127.0.0.1:1',\n 5]",
                "a.toml:2: 'listen' is a list, each of it a string, and not a number",
            ),
            (
                "idle_timeout = 5",
                "a.toml:1: 'idle_timeout' cannot be '5': time unit needed, for example 5sec or \
                 5ms (examples: 500ms, 3s, 2m, 0)",
            ),
            (
                "[journal]\n\nsync = 'trun'",
                "a.toml:3: 'journal.sync' cannot be 'trun': it is one of turn, interval, never; \
                 did you mean 'turn'?",
            ),
            (
                "user_share = 101",
                "a.toml:1: 'user_share' cannot be '101': 101 is not in 1..=100",
            ),
            (
                "log = 'inf'",
                "a.toml:1: 'log' cannot be 'inf': 'inf' is neither a level (off, error, warn, \
                 info, debug, trace) nor a target",
            ),
            (
                "listen = ",
                "a.toml:1: string values must be quoted, expected literal string",
            ),
            (
                "read_only = true\n\nread_only = true",
                "a.toml:3: duplicate key",
            ),
        ] {
            assert_eq!(values(text), Err(expected.to_owned()), "{text}");
        }
        let told = values("one = 1\n[journal]\nsync = 1\n").unwrap_err();
        assert_eq!(told.lines().count(), 2, "all of it at once: {told}");
    }
}
