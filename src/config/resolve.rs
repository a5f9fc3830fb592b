//! All layers together, in the order in which they count.
//!
//! What a file says becomes the default of its option, and clap does the rest: what it finds in
//! the environment goes before a default, and what it finds in the arguments before both.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _};
use serde::Serialize;

use crate::cli::serve::{HandedOver, ReadFiles, ServeArgs, SocketUse};
use crate::cli::{self, Cli};
use crate::config::called::renamed;
use crate::config::file::{File, Given, is_lasting};
use crate::config::options::{FileOption, options};
use crate::config::problem::{LineFault, Problem};
use crate::config::taken::Taken;

/// A configuration, with what stands in the files that it names.
#[derive(Debug)]
pub(crate) struct LoadedOptions {
    /// The options.
    pub(crate) settings: Settings,
    /// What stands in the files.
    pub(crate) files: ReadFiles,
}

impl LoadedOptions {
    /// The options of the server.
    pub(crate) fn serving(&self) -> &ServeArgs {
        let args = self.settings.cli.serving();
        args.expect("a configuration is loaded for a server")
    }
}

/// The heading of the options that are about data.
const DATA_HEADING: &str = "Data";

/// The heading of those that are about upstreams, and the one among them that makes a gateway.
const UPSTREAMS_HEADING: &str = "Upstreams";
const UPSTREAM: &str = "upstream";

/// Others that mean nothing where there is no engine.
const NOT_OF_GATEWAYS: [&str; 4] = [
    "guest",
    "admin_password_file",
    "debug_procedures",
    "tx_stall_after",
];

/// What a process is to do, and where it was told.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What it is to do.
    pub(crate) cli: Cli,
    /// The options that a file may set.
    pub(super) options: Vec<FileOption>,
    /// The file, if there is one.
    pub(super) file: Option<PathBuf>,
    matches: ArgMatches,
    /// Lines of the file, by option.
    lines: HashMap<String, usize>,
}

/// An option with what it is, as it is told to those who look at a server. Secrets are in files:
/// what is told of them is where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct OptionRow {
    /// The path in the file.
    option: String,
    values: Vec<String>,
    origin: String,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nobody gave one.
    Default,
    /// A line of the file.
    File(PathBuf, usize),
    /// A variable.
    Environment(String),
    /// A flag.
    Flag(String),
    /// Sockets that were handed over.
    ServiceManager,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::ServiceManager => f.write_str("service manager"),
        }
    }
}

/// The options that are others in the second of two lists of the same ones.
pub(crate) fn changed(before: &[OptionRow], after: &[OptionRow]) -> Vec<String> {
    let both = before.iter().zip(after);
    let changed = both.filter(|(before, after)| before.values != after.values);
    changed.map(|(_, after)| after.option.clone()).collect()
}

impl Settings {
    /// What stands in the files that a server needs; `None` if this is for none.
    ///
    /// # Errors
    ///
    /// The first one that cannot be used, with the place that names it.
    fn read_files(&self) -> Result<Option<ReadFiles>, Problem> {
        let read = self.cli.serving().map(ServeArgs::read_files).transpose();
        read.map_err(|fault| self.problem(fault.option, &fault.text))
    }

    /// Warns if the file cannot be read again by a reload.
    pub(crate) fn warn_of_file(&self) {
        if let Some(path) = self.file.as_ref().filter(|own| !is_lasting(own)) {
            log::warn!(
                "{} is no regular file: it was read once, and a reload will be refused",
                path.display()
            );
        }
    }

    /// All options of a server that was started with others: of those that are taken at a start,
    /// what it was started with.
    pub(crate) fn rows_beside(&self, started: &Self) -> Vec<OptionRow> {
        let row = |option: &FileOption| match option.taken() {
            Taken::OnReload => self.row(option),
            Taken::AtStart => started.row(option),
        };
        self.options.iter().map(row).collect()
    }

    /// The options that are taken at a start, and are others here than a server was started with.
    pub(crate) fn needs_restart(&self, started: &Self) -> Vec<String> {
        let is_other = |option: &&FileOption| {
            let (own, other) = (self.values(option), started.values(option));
            option.taken() == Taken::AtStart && !option.is_same(&own, &other)
        };
        let others = self.options.iter().filter(is_other);
        others.map(FileOption::path).collect()
    }

    /// Whether what is said of data is said to a gateway, which has none, or what is said of
    /// upstreams to a server that has none.
    fn check_gateway(&self) -> Result<(), Problem> {
        let Some(args) = self.cli.serving() else {
            return Ok(());
        };
        let is_of_data =
            |own: &FileOption| own.heading() == DATA_HEADING || NOT_OF_GATEWAYS.contains(&own.id());
        // What says what is so anyway changes nothing, and stands in files that say everything.
        let is_of_upstreams = |own: &FileOption| {
            own.heading() == UPSTREAMS_HEADING
                && own.id() != UPSTREAM
                && !own.is_same(&self.values(own), &own.defaults())
        };
        let mut given = (self.options.iter()).filter(|own| self.origin(own) != Origin::Default);
        let (strange, with, why) = match args.gateway.is_given() {
            true => (
                given.find(|own| is_of_data(own)),
                "not with",
                "a gateway serves no data of its own",
            ),
            false => (
                given.find(|own| is_of_upstreams(own)),
                "only with",
                "this server stands before none, and does nothing with it",
            ),
        };
        strange.map_or(Ok(()), |option| {
            let upstream = self.called(self.option(UPSTREAM), &self.given_by(option));
            Err(self.problem(option.id(), &format!("{with} {upstream}: {why}")))
        })
    }

    /// What cannot be together, of what a server is told.
    fn check_together(&self) -> Result<(), Problem> {
        let checked = self.cli.serving().map_or(Ok(()), ServeArgs::check);
        checked.map_err(|text| Problem::Together(self.in_words_of_user(&text)))
    }

    /// What is wrong, with options called as they were given; those that were not, as the first one
    /// is that was.
    fn in_words_of_user(&self, text: &str) -> String {
        let named = |word: &str| {
            let is_it = |own: &&FileOption| own.id() == word || own.path() == word;
            // Others are words as well.
            let is_name = word.contains('_');
            self.options.iter().find(is_it).filter(|_| is_name)
        };
        let given = text.split(|own: char| !own.is_ascii_alphanumeric() && own != '_');
        let given = given.filter_map(named).map(|own| self.given_by(own));
        let beside = given.into_iter().find(|own| *own != Origin::Default);
        let beside = beside.unwrap_or(Origin::Default);
        renamed(text, |word| Some(self.called(named(word)?, &beside)))
    }

    /// What an option is called: as it was given, or, if it was not, as one beside it.
    fn called(&self, option: &FileOption, beside: &Origin) -> String {
        let given = self.given_by(option);
        let by = match given {
            Origin::Default => beside,
            _ => &given,
        };
        match by {
            Origin::File(..) => format!("'{}'", option.path()),
            Origin::Environment(_) => option.variable(),
            Origin::Flag(_) | Origin::Default | Origin::ServiceManager => option.flag(),
        }
    }

    /// What is wrong with the value of an option, with the place that it comes from.
    fn problem(&self, id: &str, text: &str) -> Problem {
        let option = self.option(id);
        match self.given_by(option) {
            Origin::File(path, line) => {
                let text = format!("'{}': {text}", option.path());
                Problem::Lines(path, vec![LineFault { line, text }])
            }
            // They name it.
            origin @ (Origin::Flag(_) | Origin::Environment(_)) => {
                Problem::Together(format!("{origin}: {text}"))
            }
            origin => Problem::Together(format!("{origin}: '{}': {text}", option.path())),
        }
    }

    /// Where the value of an option comes from.
    pub(super) fn origin(&self, option: &FileOption) -> Origin {
        match self.handed_over(option).is_empty() {
            true => self.given_by(option),
            false => Origin::ServiceManager,
        }
    }

    /// Where the sockets listen that stand for an option.
    fn handed_over(&self, option: &FileOption) -> Vec<String> {
        let serving = self.cli.serving();
        serving.map_or_else(Vec::new, |args| args.handed.instead_of(option.id()))
    }

    /// Refuses options that say something else than sockets that were handed over.
    fn check_handed_over(&self) -> Result<(), Problem> {
        let Some(args) = self.cli.serving() else {
            return Ok(());
        };
        for use_ in SocketUse::ALL {
            let option = self.option(use_.option());
            if self.given_by(option) != Origin::Default {
                let agreed = args.handed.agree(use_, &args.said(use_));
                agreed.map_err(|text| self.problem(use_.option(), &text))?;
            }
        }
        Ok(())
    }

    fn option(&self, id: &str) -> &FileOption {
        let option = self.options.iter().find(|own| own.id() == id);
        option.expect("options are told by their names")
    }

    /// By what the value of an option is given.
    fn given_by(&self, option: &FileOption) -> Origin {
        match innermost(&self.matches).value_source(option.id()) {
            Some(ValueSource::CommandLine) => Origin::Flag(option.flag()),
            Some(ValueSource::EnvVariable) => Origin::Environment(option.variable()),
            _ => match (&self.file, self.lines.get(option.id())) {
                (Some(file), Some(line)) => Origin::File(file.clone(), *line),
                _ => Origin::Default,
            },
        }
    }

    /// All options, each with what it is and where that comes from.
    pub(crate) fn rows(&self) -> Vec<OptionRow> {
        self.options.iter().map(|option| self.row(option)).collect()
    }

    fn row(&self, option: &FileOption) -> OptionRow {
        OptionRow {
            option: option.path(),
            values: self.values(option),
            origin: self.origin(option).to_string(),
        }
    }

    /// The values of an option, as they were given; none if there is none.
    pub(super) fn values(&self, option: &FileOption) -> Vec<String> {
        let handed = self.handed_over(option);
        if !handed.is_empty() {
            return handed;
        }
        let raw = innermost(&self.matches).get_raw(option.id());
        raw.into_iter()
            .flatten()
            .map(|value| value.to_string_lossy().into_owned())
            .collect()
    }
}

/// The settings of this process, from its arguments, its environment, the file they name and the
/// sockets that it was handed. Ends the process where clap does: after help, and if the command
/// line is no usage.
pub(crate) fn of_process(handed: &HandedOver) -> Result<Settings, Problem> {
    let given = Cli::command().try_get_matches_from(arguments());
    let given = given.unwrap_or_else(|fault| fault.exit());
    let (settings, _) = load(&given, File::read, handed)?;
    Ok(settings)
}

/// The configuration as it is now of a server that was started so, with what stands in its files.
pub(crate) fn of_process_again(started: &HandedOver) -> Result<LoadedOptions, Problem> {
    let given = Cli::command().try_get_matches_from(arguments());
    let (settings, files) = load(&given.map_err(refused)?, File::read_again, started)?;
    let none = || Problem::Together("these are no options of a server".to_owned());
    let files = files.ok_or_else(none)?;
    Ok(LoadedOptions { settings, files })
}

fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// The settings that come of what was given, and of the file that is named there, with what stands
/// in the files of a server: all that is refused is refused here, at a start as by a reload.
fn load(
    given: &ArgMatches,
    read: fn(&Path) -> Result<File, Problem>,
    handed: &HandedOver,
) -> Result<(Settings, Option<ReadFiles>), Problem> {
    let file = file_of(given).map(|path| read(&path)).transpose()?;
    let settings = resolve(Cli::command(), &arguments(), file.as_ref(), handed)?;
    settings.check_gateway()?;
    settings.check_handed_over()?;
    let files = settings.read_files()?;
    Ok((settings, files))
}

fn refused(fault: clap::Error) -> Problem {
    Problem::Together(fault.to_string())
}

/// The settings that come of arguments, of the environment that the command was made in, of a file,
/// and of sockets that were handed over.
fn resolve(
    command: Command,
    arguments: &[OsString],
    file: Option<&File>,
    handed: &HandedOver,
) -> Result<Settings, Problem> {
    let options = options(&command);
    let given = match file {
        Some(file) => file.values(&options)?,
        None => Vec::new(),
    };
    let command = given.iter().fold(command, with_default);
    let matches = command.try_get_matches_from(arguments).map_err(refused)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(refused)?;
    cli.hand_over(handed);
    let settings = Settings {
        cli,
        options,
        file: file.map(|file| file.path.clone()),
        matches,
        lines: given.into_iter().map(|own| (own.id, own.line)).collect(),
    };
    settings.check_together()?;
    Ok(settings)
}

/// A command whose default is what a file says, wherever it has the option and reads files.
fn with_default(command: Command, given: &Given) -> Command {
    let has = |id: &str| command.get_arguments().any(|arg| arg.get_id() == id);
    let reads_it = has(cli::file::CONFIG) && has(&given.id);
    let command = command.mut_subcommands(|inner| with_default(inner, given));
    if !reads_it {
        return command;
    }
    command.mut_args(|arg| match arg.get_id() == given.id.as_str() {
        true => arg.default_values(given.values.clone()),
        false => arg,
    })
}

/// The file that was named, if one was.
fn file_of(matches: &ArgMatches) -> Option<PathBuf> {
    let named = innermost(matches).try_get_one::<PathBuf>(cli::file::CONFIG);
    named.ok().flatten().cloned()
}

/// What was given to the command that was asked for.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    match matches.subcommand() {
        Some((_, inner)) => innermost(inner),
        None => matches,
    }
}
