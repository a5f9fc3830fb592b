//! Options of the commands that write what comes with a package: completions and manual pages.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Options of `vestibule completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vestibule completions bash > ~/.local/share/bash-completion/completions/vestibule
  vestibule completions zsh > ~/.zfunc/_vestibule
  vestibule completions fish > ~/.config/fish/completions/vestibule.fish")]
pub(crate) struct CompletionArgs {
    /// The shell.
    pub(crate) shell: Shell,
}

/// Options of `vestibule man`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vestibule man | man -l -
  vestibule man ctl drain | man -l -
  vestibule man --output /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The command whose page is written to the standard output; without one, that of vestibule.
    pub(crate) command: Vec<String>,
    /// Directory to write the pages of all commands to.
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(crate) output: Option<PathBuf>,
    /// Write the help of all commands as a chapter of the documentation.
    #[arg(long, hide = true, exclusive = true)]
    pub(crate) chapter: bool,
}
