//! The option `--log` of every command that logs, and the logger it sets up.

use clap::Args;
use log::LevelFilter;

/// Crates that log, by the first segment of their targets.
const TARGETS: [&str; 7] = [
    "vestibule",
    "vestibule_actors",
    "vestibule_engine",
    "vestibule_wire",
    "vestibule_bench",
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
}

impl LogArgs {
    /// Installs the logger of the process, which writes to stderr.
    ///
    /// # Panics
    ///
    /// If there is one already.
    pub(crate) fn install_logger(&self) {
        env_logger::Builder::new()
            .parse_filters(&self.filter)
            .format_timestamp_millis()
            .init();
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
