//! The options that a file may set: those of a server, as clap has them.
//!
//! One rule makes all names: the path in the file, joined by `-`, is the flag; joined by `_`, in
//! capitals, behind `VESTIBULE_`, the variable. Which options stand in a table follows from
//! [`TABLES`].

use std::any::TypeId;
use std::time::Duration;

use clap::{Arg, ArgAction, Command};
use vestibule_actors::config::Grace;

use crate::cli::values::{Size, duration, size};
use crate::config::taken::{Taken, taken};

/// Tables of the file: an option whose name begins with one of these words and `_` stands there.
pub(super) const TABLES: [&str; 9] = [
    "tls",
    "connections",
    "login",
    "solo",
    "hold",
    "journal",
    "checkpoint",
    "shutdown",
    "http",
];

/// Options that are no configuration: what is asked of this one call.
const NOT_IN_FILES: [&str; 3] = ["config", "help", "version"];

/// How near a name has to be to be told, as clap has it.
const NEAR: f64 = 0.7;

/// How an option stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `true` or `false`.
    Switch,
    /// An integer.
    Number,
    /// An integer, or a string with a unit.
    Size,
    /// A string with a unit, or 0.
    Time,
    /// A string.
    Text,
}

impl Kind {
    /// What a fault calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Switch => "true or false",
            Self::Number => "a number",
            Self::Size => "a size, such as \"64MiB\" or a number of bytes",
            Self::Time => "a time, such as \"500ms\"",
            Self::Text => "a string",
        }
    }
}

/// An option that a file may set.
#[derive(Debug, Clone)]
pub(super) struct FileOption {
    /// The option of the command line.
    pub(super) arg: Arg,
}

impl FileOption {
    /// The name that everything is made from, with `_` between its words.
    pub(super) fn id(&self) -> &str {
        self.arg.get_id().as_str()
    }

    /// The table that it stands in; none at the top.
    pub(super) fn table(&self) -> Option<&'static str> {
        let mut tables = TABLES.into_iter();
        tables.find(|table| self.in_table(table).is_some())
    }

    /// The key within its table.
    pub(super) fn key(&self) -> &str {
        let within = self.table().and_then(|table| self.in_table(table));
        within.unwrap_or(self.id())
    }

    fn in_table(&self, table: &str) -> Option<&str> {
        self.id().strip_prefix(table)?.strip_prefix('_')
    }

    /// Table and key, with a point between them.
    pub(super) fn path(&self) -> String {
        match self.table() {
            Some(table) => format!("{table}.{}", self.key()),
            None => self.id().to_owned(),
        }
    }

    /// The flag of the command line.
    pub(super) fn flag(&self) -> String {
        format!("--{}", self.id().replace('_', "-"))
    }

    /// The variable of the environment.
    pub(super) fn variable(&self) -> String {
        format!("VESTIBULE_{}", self.id().to_uppercase())
    }

    /// When another value of it is taken.
    pub(super) fn taken(&self) -> Taken {
        taken(self.id())
    }

    /// Whether two lists of values are the same, however they are written.
    pub(super) fn is_same(&self, one: &[String], other: &[String]) -> bool {
        let same = |(one, other): (&String, &String)| {
            one == other
                || match self.kind() {
                    Kind::Size => size(one).is_ok() && size(one) == size(other),
                    Kind::Time => duration(one).is_ok() && duration(one) == duration(other),
                    Kind::Switch | Kind::Number | Kind::Text => false,
                }
        };
        one.len() == other.len() && one.iter().zip(other).all(same)
    }

    /// How one value of it is written.
    pub(super) fn kind(&self) -> Kind {
        let value = self.arg.get_value_parser().type_id();
        let is_one_of = |types: &[TypeId]| types.iter().any(|one| value == *one);
        if is_one_of(&[TypeId::of::<bool>()]) {
            Kind::Switch
        } else if is_one_of(&[TypeId::of::<Size>()]) {
            Kind::Size
        } else if is_one_of(&[TypeId::of::<Duration>(), TypeId::of::<Grace>()]) {
            Kind::Time
        } else if is_one_of(&[
            TypeId::of::<u8>(),
            TypeId::of::<u16>(),
            TypeId::of::<u32>(),
            TypeId::of::<u64>(),
            TypeId::of::<usize>(),
        ]) {
            Kind::Number
        } else {
            Kind::Text
        }
    }

    /// Whether it has any number of values.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.arg.get_action(), ArgAction::Append)
    }

    /// The values that it has unless it is given.
    pub(super) fn defaults(&self) -> Vec<String> {
        let values = self.arg.get_default_values().iter();
        values
            .map(|own| own.to_string_lossy().into_owned())
            .collect()
    }

    /// What stands for a value in help.
    pub(super) fn value_name(&self) -> &str {
        let names = self.arg.get_value_names().unwrap_or_default();
        names.first().map_or("VALUE", |name| name.as_str())
    }

    /// What it does, in sentences.
    pub(super) fn help(&self) -> String {
        let help = self.arg.get_long_help().or_else(|| self.arg.get_help());
        let text = help.map(ToString::to_string).unwrap_or_default();
        // Clap takes the last point of a short help.
        match text.chars().last() {
            Some('.') | None => text,
            Some(_) => text + ".",
        }
    }

    /// What it is listed below.
    pub(super) fn heading(&self) -> &str {
        self.arg.get_help_heading().unwrap_or("The process")
    }

    /// The words that it chooses from, if it does, each with what it does.
    pub(super) fn choices(&self) -> Vec<(String, String)> {
        let choices = match self.kind() {
            Kind::Switch => Vec::new(),
            _ => self.arg.get_possible_values(),
        };
        let told = choices.iter().map(|choice| {
            let help = choice.get_help().map(ToString::to_string);
            (choice.get_name().to_owned(), help.unwrap_or_default())
        });
        told.collect()
    }
}

/// The options that a file may set, in the order of `--help`.
pub(super) fn options(command: &Command) -> Vec<FileOption> {
    let serve = command.find_subcommand("serve");
    let args = serve.into_iter().flat_map(Command::get_arguments).cloned();
    args.map(|arg| FileOption { arg })
        .filter(|option| !NOT_IN_FILES.contains(&option.id()))
        .collect()
}

/// The option whose path is nearest to one that is none's.
pub(super) fn nearest<'a>(options: &'a [FileOption], path: &str) -> Option<&'a FileOption> {
    let near = options.iter().map(|option| {
        let nearness = strsim::jaro(path, &option.path());
        (nearness, option)
    });
    near.filter(|(nearness, _)| *nearness > NEAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, option)| option)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn one_rule_makes_all_names() {
        for option in options(&Cli::command()) {
            let path = option.path();
            assert_eq!(
                option.flag(),
                format!("--{}", path.replace(['.', '_'], "-"))
            );
            assert_eq!(option.arg.get_long(), option.flag().strip_prefix("--"));
            let variable = format!("VESTIBULE_{}", path.replace('.', "_").to_uppercase());
            assert_eq!(option.variable(), variable);
            assert_eq!(
                option.arg.get_env().and_then(|own| own.to_str()),
                Some(&*variable)
            );
        }
    }

    #[test]
    fn a_table_holds_options_and_is_none_itself() {
        let options = options(&Cli::command());
        let chapter = include_str!("../../docs/configuration.md");
        for table in TABLES {
            assert!(chapter.contains(&format!("`{table}_`")), "{table} is told");
            assert!(
                options.iter().any(|own| own.table() == Some(table)),
                "{table}"
            );
            assert!(options.iter().all(|own| own.id() != table), "{table}");
            let inside = TABLES
                .iter()
                .find(|own| own.starts_with(&format!("{table}_")));
            assert_eq!(inside, None, "an option is in one table");
        }
    }

    #[test]
    fn a_name_that_is_none_has_a_nearest_one() {
        let options = options(&Cli::command());
        let nearest = |path| nearest(&options, path).map(FileOption::path);
        for (path, expected) in [
            ("lisen", "listen"),
            ("journal_sync", "journal.sync"),
            ("journal-sync-period", "journal.sync_period"),
            ("checkpoint.intervall", "checkpoint.interval"),
            ("max_connections", "connections.max"),
        ] {
            assert_eq!(nearest(path).as_deref(), Some(expected), "{path}");
        }
        assert_eq!(nearest("xyzzy"), None);
    }
}
