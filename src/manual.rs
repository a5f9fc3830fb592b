//! What comes with a package and is made from the command line: completions of shells, and manual
//! pages. The command line is handed in, so that nothing here knows what is in it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// Writes the completions of a shell.
///
/// # Errors
///
/// The output cannot be written.
pub(crate) fn completions(mut command: Command, shell: Shell) -> io::Result<()> {
    let name = command.get_name().to_owned();
    // In memory first: what makes them panics if a pipe is closed.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    io::stdout().write_all(&text)
}

/// Writes the page of a command, told by its names.
///
/// # Errors
///
/// There is no such command, or the output cannot be written.
pub(crate) fn page(command: Command, names: &[String]) -> io::Result<()> {
    let whole = built(command);
    let mut found = &whole;
    for name in names {
        found = found.find_subcommand(name).ok_or_else(|| {
            let text = format!("there is no command '{}'", names.join(" "));
            io::Error::new(io::ErrorKind::NotFound, text)
        })?;
    }
    io::stdout().write_all(&rendered(found)?)
}

/// Writes the pages of a command and of all below it into a directory.
///
/// # Errors
///
/// A file cannot be written.
pub(crate) fn pages(command: Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    write_all(&built(command), directory)
}

/// Writes the help of a command and of all below it, in Markdown. Options of a server have a
/// chapter of their own, docs/configuration.md.
///
/// # Errors
///
/// The output cannot be written.
pub(crate) fn chapter(command: Command) -> io::Result<()> {
    let mut text = String::new();
    add_help(&mut built(command), &mut text);
    io::stdout().write_all(text.as_bytes())
}

fn add_help(command: &mut Command, text: &mut String) {
    let usage = command.render_usage().to_string();
    // With blanks between the names, which may have hyphens of their own.
    let name = command
        .get_bin_name()
        .map_or_else(|| page_name(command), ToOwned::to_owned);
    let help = match takes_options_of_a_server(command) {
        true => format!(
            "{}\n\n{usage}\n\nOptions: see configuration.md.",
            command
                .get_about()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        false => command.render_long_help().to_string(),
    };
    *text += &format!("\n## {name}\n\n```text\n{}\n```\n", trimmed(&help));
    let inner = command.get_subcommands_mut();
    inner
        .filter(|own| !own.is_hide_set())
        .for_each(|own| add_help(own, text));
}

fn takes_options_of_a_server(command: &Command) -> bool {
    command.get_arguments().any(|own| own.get_id() == "listen")
}

/// Without spaces at the ends of lines, which some editors take away.
fn trimmed(help: &str) -> String {
    let lines: Vec<_> = help.trim().lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// With the names that its pages have (`vestibule-ctl-drain`), and without the commands `help`.
fn built(command: Command) -> Command {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    command
}

fn write_all(command: &Command, directory: &Path) -> io::Result<()> {
    let file = directory.join(format!("{}.1", page_name(command)));
    fs::write(file, rendered(command)?)?;
    let mut inner = command.get_subcommands().filter(|own| !own.is_hide_set());
    inner.try_for_each(|own| write_all(own, directory))
}

fn page_name(command: &Command) -> String {
    let name = command.get_display_name().unwrap_or(command.get_name());
    name.to_owned()
}

fn rendered(command: &Command) -> io::Result<Vec<u8>> {
    let named = command.clone().name(page_name(command));
    let mut page = Vec::new();
    Man::new(named).manual("vestibule").render(&mut page)?;
    Ok(page)
}
