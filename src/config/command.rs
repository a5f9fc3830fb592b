//! `vestibule config`: what is told of a configuration, without serving.

use std::io::{self, Write as _};

use crate::cli::config::ConfigCommand;
use crate::config::options::FileOption;
use crate::config::reference::reference;
use crate::config::resolve::{Origin, Settings};
use crate::config::template::template;
use crate::config::written::{by_table, line};

/// Writes what was asked for to the standard output. That the settings are sound was found when
/// they were resolved.
pub(crate) fn run(command: &ConfigCommand, settings: &Settings) -> io::Result<()> {
    let text = match command {
        ConfigCommand::Check(_) => checked(settings),
        ConfigCommand::Show(_) => shown(settings),
        ConfigCommand::Default => template(&settings.options),
        ConfigCommand::Reference => reference(&settings.options),
    };
    io::stdout().write_all(text.as_bytes())
}

fn checked(settings: &Settings) -> String {
    match &settings.file {
        Some(path) => format!("{} is sound\n", path.display()),
        None => "no file is named, and what is given besides is sound\n".to_owned(),
    }
}

/// All options with what they are, and where it comes from.
fn shown(settings: &Settings) -> String {
    let mut text = String::new();
    for (table, inside) in by_table(&settings.options) {
        if let Some(table) = table {
            text += &format!("\n[{table}]\n");
        }
        let lines: Vec<_> = inside
            .into_iter()
            .map(|own| shown_line(settings, own))
            .collect();
        let width = lines.iter().map(|(line, _)| line.chars().count()).max();
        for (line, origin) in lines {
            text += &format!("{line:width$}  # {origin}\n", width = width.unwrap_or(0));
        }
    }
    text
}

fn shown_line(settings: &Settings, option: &FileOption) -> (String, Origin) {
    let values = settings.values(option);
    // Nothing can be written for what is not there.
    let off = if values.is_empty() && !option.is_list() {
        "#"
    } else {
        ""
    };
    (
        format!("{off}{}", line(option, &values)),
        settings.origin(option),
    )
}
