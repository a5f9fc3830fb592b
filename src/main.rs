//! The `vestibule` binary: parses the command line, runs the command, returns its exit code.

use std::process::ExitCode;

use clap::Parser;
use vestibule::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => vestibule::server::serve(&cli.serve).map_err(|fault| fault.to_string()),
        Some(Command::Serve(args)) => {
            vestibule::server::serve(&args).map_err(|fault| fault.to_string())
        }
        Some(Command::Check(args)) => {
            vestibule::server::init_logger(&args.log.filter);
            vestibule::commands::check(&args).map_err(|fault| fault.to_string())
        }
        Some(Command::Dump(args)) => {
            vestibule::server::init_logger(&args.log.filter);
            vestibule::commands::dump(&args).map_err(|fault| fault.to_string())
        }
        Some(Command::Load(args)) => {
            vestibule::server::init_logger(&args.log.filter);
            vestibule::commands::load(&args).map_err(|fault| fault.to_string())
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
