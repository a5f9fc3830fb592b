//! The server: a command line around [`vestibule_actors`] with the embedded engine of
//! [`vestibule_engine`].
//!
//! ```text
//!   main ─▶ config ─┬▶ serve ─▶ vestibule_actors::start(config, engine, procedures)
//!            (cli)  │               vestibule_engine: memory image, journal, what CALL reaches
//!                   ├▶ commands: check, dump, load
//!                   └▶ vestibule_bench: measures any IPROTO server
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `cli` | options, and what they are made into |
//! | `config` | file, environment and command line together |
//! | `secret` | files with passwords |
//! | `descriptors` | the limit of open files, raised |
//! | `identity` | the UUID of the instance |
//! | `logger` | what is logged, to stderr |
//! | `signals` | what SIGTERM, SIGINT, SIGQUIT, SIGHUP and SIGXFSZ do |
//! | `notify` | what a service manager is told |
//! | `serve` | the server |
//! | `commands` | what works on a data directory while no server does |
//!
//! To embed the actors with an engine of your own, use [`vestibule_actors`] alone.

mod cli;
mod commands;
mod config;
mod descriptors;
mod identity;
mod logger;
mod notify;
mod secret;
mod serve;
mod signals;

use std::process::ExitCode;

use crate::cli::{Command, EXIT_USAGE};
use crate::config::Settings;

fn main() -> ExitCode {
    let settings = match config::of_process() {
        Ok(settings) => settings,
        Err(problem) => {
            for line in problem.to_string().lines() {
                eprintln!("vestibule: {line}");
            }
            return ExitCode::from(EXIT_USAGE);
        }
    };
    run(&settings).unwrap_or_else(|text| {
        eprintln!("vestibule: {text}");
        ExitCode::FAILURE
    })
}

fn run(settings: &Settings) -> Result<ExitCode, String> {
    let text = |fault: &dyn std::fmt::Display| fault.to_string();
    match &settings.cli.command {
        None => serve::serve(&settings.cli.serve, settings.rows()).map_err(|fault| text(&fault)),
        Some(Command::Serve(args)) => {
            serve::serve(args, settings.rows()).map_err(|fault| text(&fault))
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
        Some(Command::Config(command)) => config::run(command, settings)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|fault| text(&fault)),
        #[cfg(feature = "bench")]
        Some(Command::Bench(args)) => vestibule_bench::run(&args.with_password()?)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|fault| text(&fault)),
    }
}
