//! Options of every command that logs: what, and how.

use clap::Args;
use log::LevelFilter;

use crate::cli::choices::{Described, one_of};

/// Crates that log, by the first segment of their targets.
const TARGETS: [&str; 9] = [
    "vestibule",
    "vestibule_actors",
    "vestibule_engine",
    "vestibule_http",
    "vestibule_wire",
    "vestibule_bench",
    "vestibule_client",
    "actix",
    "mio",
];

/// What every command that logs is told of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// What is logged to stderr: a level (off, error, warn, info, debug or trace), or
    /// `target=level` pairs, with commas between; after a `/`, a text that has to be in what is
    /// logged. Targets begin with the name of a crate, such as vestibule_engine; what none of them
    /// is for has the level that stands alone, or is not logged.
    #[arg(
        id = "log",
        long = "log",
        env = "VESTIBULE_LOG",
        value_name = "FILTER",
        default_value = "info",
        value_parser = filter,
    )]
    pub(crate) filter: String,
    /// What a line of the log looks like.
    #[arg(
        id = "log_format",
        long = "log-format",
        env = "VESTIBULE_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = LogFormat::Plain.name(),
        value_parser = one_of(LogFormat::ALL, LogFormat::described),
    )]
    pub(crate) format: LogFormat,
}

/// What a line of the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text for people.
    Plain,
    /// Objects for programs.
    Json,
}

impl LogFormat {
    const ALL: [Self; 2] = [Self::Plain, Self::Json];

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Json => "json",
        }
    }

    fn described(self) -> Described {
        let help = match self {
            Self::Plain => "Time, level, module and text, for people",
            Self::Json => {
                "One object a line with time (RFC 3339, UTC), level, message, pid, module, \
                 thread, and what belongs to the message as keys of their own"
            }
        };
        let name = self.name();
        Described { name, help }
    }
}

/// A filter of which every part is understood. The logger itself leaves out what it does not
/// understand, and takes a level that is misspelled for a target, of which there is nothing to log.
fn filter(text: &str) -> Result<String, String> {
    let (pairs, rest) = text.split_once('/').unwrap_or((text, ""));
    if rest.contains('/') {
        return Err("there is more than one '/'".to_owned());
    }
    for pair in pairs.split(',').map(str::trim) {
        let (target, level) = match pair.split_once('=') {
            Some((target, level)) => (target, Some(level)),
            None if pair.parse::<LevelFilter>().is_ok() => continue,
            None => (pair, None),
        };
        let root = target.split("::").next().unwrap_or_default();
        if !TARGETS.contains(&root) {
            return Err(match level {
                None => format!("'{pair}' is neither a level ({}) nor a target", levels()),
                Some(_) => format!(
                    "'{target}' is no target: those begin with {}",
                    TARGETS.join(", ")
                ),
            });
        }
        if let Some(level) = level
            && level.trim().parse::<LevelFilter>().is_err()
        {
            return Err(format!("'{level}' is no level: {}", levels()));
        }
    }
    Ok(text.to_owned())
}

fn levels() -> String {
    let names: Vec<_> = LevelFilter::iter()
        .map(|level| level.as_str().to_lowercase())
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_of_ours_is_a_target() {
        let manifest: toml::Table = include_str!("../../Cargo.toml").parse().unwrap();
        let packages = manifest["dependencies"].as_table().unwrap().keys();
        for package in packages.filter(|own| own.starts_with("vestibule-")) {
            let target = package.replace('-', "_");
            assert!(TARGETS.contains(&target.as_str()), "{target}");
        }
    }

    #[test]
    fn a_filter_of_which_a_part_is_not_understood_is_refused() {
        for fits in [
            "info",
            "WARN",
            "off",
            "warn,vestibule_engine=debug",
            "vestibule_actors::session=trace, info",
            "vestibule_engine",
            "debug/journal",
        ] {
            assert_eq!(filter(fits).as_deref(), Ok(fits));
        }
        let levels = "off, error, warn, info, debug, trace";
        for (refused, expected) in [
            ("", format!("'' is neither a level ({levels}) nor a target")),
            (
                "inf",
                format!("'inf' is neither a level ({levels}) nor a target"),
            ),
            (
                "info,",
                format!("'' is neither a level ({levels}) nor a target"),
            ),
            ("vestibule=loud", format!("'loud' is no level: {levels}")),
            ("vestibule=", format!("'' is no level: {levels}")),
            (
                "vestibule=warn=info",
                format!("'warn=info' is no level: {levels}"),
            ),
            ("info/a/b", "there is more than one '/'".to_owned()),
        ] {
            assert_eq!(filter(refused), Err(expected), "{refused}");
        }
        let told = filter("info,vestibul=debug").unwrap_err();
        assert!(told.starts_with("'vestibul' is no target: those begin with vestibule, "));
    }
}
