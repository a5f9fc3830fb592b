//! The option that names the file with all others.

use std::path::PathBuf;

use clap::Args;

/// The name of the option in clap.
pub(crate) const CONFIG: &str = "config";

/// Where options are read from.
#[derive(Debug, Clone, Args)]
pub(crate) struct FileArgs {
    /// File to read options from, in TOML; none is read unless it is named. A variable of the
    /// environment goes before what stands there, and an option of the command line before both.
    #[arg(long = CONFIG, id = CONFIG, env = "VESTIBULE_CONFIG", value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
}
