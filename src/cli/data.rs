//! Options of the commands that work on a data directory: `check`, `dump`, `load`.

use std::path::PathBuf;

use clap::Args;
use vestibule_engine::limits::TUPLE_SIZE_MAX_DEFAULT;

use crate::cli::file::FileArgs;
use crate::cli::log::LogArgs;
use crate::cli::switch::Switch as _;
use crate::cli::values::{Size, size, size_text};

/// Where data is unless another directory is given.
pub(crate) const DATA_DIR_DEFAULT: &str = "vestibule-data";

/// Exit code of `check` for a directory that could not be checked.
pub(crate) const EXIT_UNCHECKED: u8 = 2;

/// Options of `vestibule check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  vestibule check --data /var/lib/vestibule
  vestibule check --data backup && echo sound

Nothing is changed, and no server may use the directory meanwhile. A torn tail, what a killed \
server may leave at the end of its journal, is told and is no damage: the next start cuts it.

Exit codes: 0 sound; 1 damaged, each damage on a line; 2 bad usage, or the \
directory cannot be read.")]
pub(crate) struct CheckArgs {
    /// Directory of journal and checkpoints.
    #[arg(long, env = "VESTIBULE_DATA", value_name = "DIR", default_value = DATA_DIR_DEFAULT)]
    pub(crate) data: PathBuf,
    /// Where options are read from.
    #[command(flatten)]
    pub(crate) file: FileArgs,
    /// What is logged.
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Options of `vestibule dump`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  vestibule dump --data /var/lib/vestibule --output backup.jsonl
  vestibule dump --data /var/lib/vestibule | zstd > backup.jsonl.zst
  vestibule dump --space users | jq -c .tuple
  vestibule dump --data damaged --force-recovery --output rescued.jsonl

Definitions come first, users with the hashes of their passwords among them, then the rows of \
every space by its primary key. Values that JSON does not have are objects with a key like \
\"$bin\" (docs/dump.md). Nothing is changed, and no server may use the directory meanwhile. An \
output file appears once it is whole.")]
pub(crate) struct DumpArgs {
    /// Directory of journal and checkpoints.
    #[arg(long, env = "VESTIBULE_DATA", value_name = "DIR", default_value = DATA_DIR_DEFAULT)]
    pub(crate) data: PathBuf,
    /// Only this space and its definition, by name or number.
    #[arg(long, value_name = "SPACE")]
    pub(crate) space: Option<String>,
    /// File to write instead of the standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write what can be read of a damaged directory, rather than nothing.
    #[arg(long, env = "VESTIBULE_FORCE_RECOVERY", switch = false)]
    pub(crate) force_recovery: bool,
    /// Where options are read from.
    #[command(flatten)]
    pub(crate) file: FileArgs,
    /// What is logged.
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Options of `vestibule load`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  vestibule load --data new --input backup.jsonl
  zstdcat backup.jsonl.zst | vestibule load --data new
  vestibule dump --data old --space users | vestibule load --data new --replace
  echo '{\"space\":\"users\",\"tuple\":[1,\"Ada\"]}' | vestibule load --data new
  vestibule load --data new --input /var/lib/tarantool/instance

All of it is loaded, or nothing, however the load ends: at the first bad line it stops, tells \
file, line and reason, and leaves the directory as it was. Rows that are there already are left \
alone. A row whose key another one has is an error, unless --replace is given. No server may use \
the directory meanwhile.

Tarantool's own files, of 2.x and 3.x, are read from the newest snapshot on, and not changed; stop \
that server first. Everything in them that cannot be held is told (docs/dump.md).")]
pub(crate) struct LoadArgs {
    /// Directory of journal and checkpoints; made if it is not there.
    #[arg(long, env = "VESTIBULE_DATA", value_name = "DIR", default_value = DATA_DIR_DEFAULT)]
    pub(crate) data: PathBuf,
    /// File to read instead of the standard input: a dump, or a directory with Tarantool's *.snap
    /// and *.xlog; several of those files may be named.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) input: Vec<PathBuf>,
    /// Let rows take the place of those with the same key, definitions as well.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Largest tuple.
    #[arg(
        long,
        env = "VESTIBULE_TUPLE_SIZE_MAX",
        value_name = "SIZE",
        default_value = size_text(TUPLE_SIZE_MAX_DEFAULT as u64),
        value_parser = size,
    )]
    pub(crate) tuple_size_max: Size,
    /// Where options are read from.
    #[command(flatten)]
    pub(crate) file: FileArgs,
    /// What is logged.
    #[command(flatten)]
    pub(crate) log: LogArgs,
}
