//! The server: a command line around [`vestibule_actors`] with the embedded engine of
//! [`vestibule_engine`].
//!
//! ```text
//!   main ─▶ cli ─┬▶ serve ─▶ vestibule_actors::start(config, engine, procedures)
//!                │               vestibule_engine: memory image, journal, what CALL reaches
//!                ├▶ commands: check, dump, load
//!                └▶ vestibule_bench: measures any IPROTO server
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `cli` | options, and what they are made into |
//! | `descriptors` | the limit of open files, raised |
//! | `identity` | the UUID of the instance |
//! | `signals` | what SIGTERM, SIGINT, SIGQUIT, SIGHUP and SIGXFSZ do |
//! | `notify` | what a service manager is told |
//! | `serve` | the server |
//! | `commands` | what works on a data directory while no server does |
//!
//! To embed the actors with an engine of your own, use [`vestibule_actors`] alone.

mod cli;
mod commands;
mod descriptors;
mod identity;
mod notify;
mod serve;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => serve::serve(&cli.serve).map_err(|fault| fault.to_string()),
        Some(Command::Serve(args)) => serve::serve(&args).map_err(|fault| fault.to_string()),
        Some(Command::Check(args)) => {
            args.log.install_logger();
            commands::check(&args).map_err(|fault| fault.to_string())
        }
        Some(Command::Dump(args)) => {
            args.log.install_logger();
            commands::dump(&args).map_err(|fault| fault.to_string())
        }
        Some(Command::Load(args)) => {
            args.log.install_logger();
            commands::load(&args).map_err(|fault| fault.to_string())
        }
        #[cfg(feature = "bench")]
        Some(Command::Bench(args)) => vestibule_bench::run(&args)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|fault| fault.to_string()),
    };
    outcome.unwrap_or_else(|text| {
        eprintln!("vestibule: {text}");
        ExitCode::FAILURE
    })
}
