//! The command line: every option also as `VESTIBULE_*` in the environment, and those of a server
//! in a file as well (`crate::config`); the command line wins.
//!
//! | file | what it is |
//! |---|---|
//! | `log` | what every command that logs is told of that |
//! | `values` | addresses and times, read from text |
//! | `choices` | options that choose one of some values |
//! | `switch` | options that are on or off |
//! | `file` | the option `--config` |
//! | `config` | what `vestibule config` can do |
//! | `data` | options of `check`, `dump` and `load` |
//! | `ctl` | options of `ctl` |
//! | `probe` | options of `probe` |
//! | `secured` | options of TLS for the commands that connect to servers |
//! | `manual` | options of `completions` and `man` |
//! | `serve` | options of `serve`, and the configuration that they make |
//! | `mod` | the commands, and what their exit codes mean |

mod choices;
pub(crate) mod config;
pub(crate) mod ctl;
pub(crate) mod data;
pub(crate) mod file;
pub(crate) mod log;
pub(crate) mod manual;
pub(crate) mod probe;
pub(crate) mod secured;
pub(crate) mod serve;
mod switch;
pub(crate) mod values;

#[cfg(feature = "bench")]
use std::path::PathBuf;

#[cfg(feature = "bench")]
use clap::Args;
use clap::{Parser, Subcommand};
#[cfg(feature = "bench")]
use vestibule_bench::BenchArgs;

use crate::cli::config::ConfigCommand;
use crate::cli::ctl::CtlArgs;
use crate::cli::data::{CheckArgs, DumpArgs, LoadArgs};
use crate::cli::manual::{CompletionArgs, ManArgs};
use crate::cli::probe::ProbeArgs;
use crate::cli::serve::{HandedOver, ServeArgs};
#[cfg(feature = "bench")]
use crate::secret;

/// Exit code of options that cannot be, as clap has it.
pub(crate) const EXIT_USAGE: u8 = 2;

/// Exit code of a stop that cut something off.
pub(crate) const EXIT_CUT_OFF: u8 = 3;

/// What is shown below the options of a server.
const SERVING_HELP: &str = "\
States: assist, the engine serves; solo, it is busy and the network side answers alone; draining, \
a stop or a change of role is under way; loading, data is being read; stopped.

Exit codes: 0 stopped cleanly; 1 failed; 2 bad usage; 3 stopped, but requests or transactions were \
cut off, or the engine was left behind.";

/// A server that answers while its engine is busy. Speaks IPROTO: any Tarantool connector works.
///
/// Without a command it serves, with the options of `vestibule serve`.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, args_conflicts_with_subcommands = true)]
#[command(after_help = SERVING_HELP)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Options of `serve`, when no command is given.
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

impl Cli {
    /// Tells the options of a server that is to be started where sockets listen that were handed
    /// over.
    pub(crate) fn hand_over(&mut self, sockets: &HandedOver) {
        let serve = match &mut self.command {
            None => &mut self.serve,
            Some(Command::Serve(args)) => args,
            Some(_) => return,
        };
        serve.handed = sockets.clone();
    }

    /// The options of a server, if one is to be started, or its configuration told of.
    pub(crate) fn serving(&self) -> Option<&ServeArgs> {
        match &self.command {
            None => Some(&self.serve),
            Some(
                Command::Serve(args)
                | Command::Config(ConfigCommand::Check(args) | ConfigCommand::Show(args)),
            ) => Some(args),
            Some(_) => None,
        }
    }
}

/// Options of `vestibule bench`.
#[cfg(feature = "bench")]
#[derive(Debug, Args)]
pub(crate) struct BenchCommand {
    /// What is measured, and how.
    #[command(flatten)]
    measured: BenchArgs,
    /// File with the password of that user; others than its owner and group may not read it
    #[arg(
        long,
        env = "VESTIBULE_BENCH_PASSWORD_FILE",
        value_name = "FILE",
        requires = "user"
    )]
    password_file: Option<PathBuf>,
}

#[cfg(feature = "bench")]
impl BenchCommand {
    /// The options, with the password that stands in its file.
    ///
    /// # Errors
    ///
    /// Why the file cannot be used.
    pub(crate) fn with_password(&self) -> Result<BenchArgs, String> {
        let mut args = self.measured.clone();
        let file = self.password_file.as_deref();
        args.password = file.map(secret::read).transpose()?;
        Ok(args)
    }
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve data from a directory (the default).
    #[command(after_help = SERVING_HELP)]
    Serve(Box<ServeArgs>),
    /// Verify a data directory without serving or changing it.
    Check(CheckArgs),
    /// Write the rows of a data directory as JSON lines.
    Dump(DumpArgs),
    /// Read JSON lines back into a data directory.
    Load(LoadArgs),
    /// Tell of the options of a server: what is wrong with them, what they are, what there are.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask a server for its state, or to change it: solo, drain, demote, promote, kill.
    Ctl(Box<CtlArgs>),
    /// Ask a server whether it is live, ready or started, for containers and load balancers.
    Probe(ProbeArgs),
    /// Write the completions of a shell.
    Completions(CompletionArgs),
    /// Write a page of the manual, or all of them.
    Man(ManArgs),
    /// Measure rate and latency of any IPROTO server.
    #[cfg(feature = "bench")]
    Bench(Box<BenchCommand>),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory;
    use vestibule_actors::config::Grace;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_serves_on_loopback() {
        let cli = Cli::try_parse_from(["vestibule"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(
            cli.serve.listening.listen,
            ["127.0.0.1:3301".parse().unwrap()]
        );
        let three_seconds = Grace::Limited(Duration::from_secs(3));
        assert_eq!(cli.serve.stopping.shutdown_grace_period, three_seconds);
    }
}
