//! Options of `vestibule config`.

use clap::Subcommand;

use crate::cli::serve::ServeArgs;

/// What can be asked of a configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check file, environment and options together, as a start does, and do not serve.
    #[command(after_help = "Exit codes: 0 sound; 2 not, each fault with file and line.")]
    Check(Box<ServeArgs>),
    /// Write every option as a start would take it, with where it comes from, as a file.
    Show(Box<ServeArgs>),
    /// Write a file with every option, its help and its default.
    Default,
    /// Write the same as a chapter of the documentation.
    #[command(hide = true)]
    Reference,
}
