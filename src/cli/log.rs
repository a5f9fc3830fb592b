//! The option `--log` of every command that logs, and the logger it sets up.

use clap::Args;

/// What every command that logs is told of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// What is logged to stderr: a level, or `target=level` pairs.
    #[arg(
        id = "log",
        long = "log",
        env = "VESTIBULE_LOG",
        value_name = "FILTER",
        default_value = "info"
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
