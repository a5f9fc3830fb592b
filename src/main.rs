//! The server: a command line around [`vestibule_actors`] with the embedded engine of
//! [`vestibule_engine`].
//!
//! ```text
//!   main ─▶ config ─┬▶ serve ─▶ vestibule_actors::start(config, engine, procedures)
//!            (cli)  │               vestibule_engine: memory image, journal, what CALL reaches
//!                   ├▶ commands: check, dump, load
//!                   ├▶ ctl, probe: ask a server that runs
//!                   └▶ vestibule_bench: measures any IPROTO server
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `cli` | options, and what they are made into |
//! | `config` | file, environment and command line together |
//! | `secret` | files with passwords |
//! | `terminal` | text of others, as a terminal may be shown it |
//! | `json` | MessagePack as JSON and back |
//! | `meter` | how far something long is |
//! | `descriptors` | the limit of open files, raised |
//! | `identity` | the UUID of the instance |
//! | `logger` | what is logged, to stderr |
//! | `signals` | what SIGTERM, SIGINT, SIGQUIT, SIGHUP and SIGXFSZ do |
//! | `notify` | what a service manager is told |
//! | `reload` | the configuration, loaded again while the server serves |
//! | `serve` | the server |
//! | `commands` | what works on a data directory while no server does |
//! | `activation` | sockets that a service manager hands over |
//! | `asking` | how one waits who asks a server that runs |
//! | `ctl` | what operates a server that runs |
//! | `probe` | what asks a server's side door |
//! | `manual` | completions and pages of the manual |
//!
//! To embed the actors with an engine of your own, use [`vestibule_actors`] alone.

mod activation;
mod asking;
mod cli;
mod commands;
mod config;
mod ctl;
mod descriptors;
mod identity;
mod json;
mod logger;
mod manual;
mod meter;
mod notify;
mod probe;
mod reload;
mod secret;
mod serve;
mod signals;
mod terminal;

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::activation::Sockets;
use crate::cli::{Cli, Command, EXIT_USAGE};
use crate::config::Settings;

fn main() -> ExitCode {
    // First of all, while there is one thread.
    let sockets = match Sockets::of_process() {
        Ok(sockets) => sockets,
        Err(text) => return refused(&text),
    };
    let settings = match config::of_process(sockets.addresses()) {
        Ok(settings) => settings,
        Err(problem) => return refused(&problem.to_string()),
    };
    run(settings, sockets).unwrap_or_else(|text| {
        eprintln!("vestibule: {text}");
        ExitCode::FAILURE
    })
}

fn refused(text: &str) -> ExitCode {
    for line in text.lines() {
        eprintln!("vestibule: {line}");
    }
    ExitCode::from(EXIT_USAGE)
}

fn run(settings: Settings, sockets: Sockets) -> Result<ExitCode, String> {
    let text = |fault: &dyn std::fmt::Display| fault.to_string();
    match &settings.cli.command {
        None | Some(Command::Serve(_)) => {
            serve::serve(settings, sockets).map_err(|fault| text(&fault))
        }
        Some(Command::Check(args)) => {
            logger::install(&args.log);
            commands::check(args).map_err(|fault| text(&fault))
        }
        Some(Command::Dump(args)) => {
            logger::install(&args.log);
            commands::dump(args).map_err(|fault| text(&fault))
        }
        Some(Command::Load(args)) => {
            logger::install(&args.log);
            commands::load(args).map_err(|fault| text(&fault))
        }
        Some(Command::Config(command)) => config::run(command, &settings)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|fault| text(&fault)),
        Some(Command::Ctl(args)) => Ok(ctl::ctl(args)),
        Some(Command::Probe(args)) => Ok(probe::probe(args)),
        Some(Command::Completions(args)) => {
            written(manual::completions(Cli::command(), args.shell))
        }
        Some(Command::Man(args)) if args.chapter => written(manual::chapter(Cli::command())),
        Some(Command::Man(args)) => written(match &args.output {
            Some(directory) => manual::pages(Cli::command(), directory),
            None => manual::page(Cli::command(), &args.command),
        }),
        #[cfg(feature = "bench")]
        Some(Command::Bench(args)) => vestibule_bench::run(&args.with_password()?)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|fault| text(&fault)),
    }
}

fn written(written: std::io::Result<()>) -> Result<ExitCode, String> {
    let written = written.map(|()| ExitCode::SUCCESS);
    written.map_err(|fault| fault.to_string())
}
