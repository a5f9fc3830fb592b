//! The command line of `vestibule bench`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::error::BenchError;

/// What to measure and against which server.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// The server to measure, as HOST:PORT
    ///
    /// Any IPROTO server will do: vestibule, or Tarantool of any version.
    #[arg(long, required_unless_present = "floor", conflicts_with = "floor")]
    pub addr: Option<String>,

    /// Measure against the floor instead of a server
    ///
    /// The floor is a thread of this process that looks at the length of a request and answers
    /// a constant, whatever was asked. No server on this machine can do better.
    #[arg(long, conflicts_with = "user")]
    pub floor: bool,

    /// What kind of measurement to make
    #[arg(long, value_enum, default_value_t = Mode::Load)]
    pub mode: Mode,

    /// The request to send
    #[arg(long, value_enum, default_value_t = Op::Ping)]
    pub op: Op,

    /// How many connections to open
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub connections: u32,

    /// How many requests each connection keeps in flight
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub depth: u32,

    /// How long to measure, in seconds (fractions allowed)
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub seconds: Duration,

    /// How long to send the same load before measuring, in seconds
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub warmup_seconds: Duration,

    /// The space that select, replace and mixed work on; created when missing
    #[arg(long, default_value = "bench")]
    pub space: String,

    /// How many different keys are used; that many rows are written before measuring
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub keys: u32,

    /// The server's process number, to look at its memory, descriptors and processor time
    #[arg(long)]
    pub pid: Option<u32>,

    /// Mode storm: time between two visits of a client, in seconds
    #[arg(long, default_value = "0.1", value_parser = seconds)]
    pub period: Duration,

    /// Mode storm: how long a client waits for the greeting, and for the answer, in seconds
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub patience: Duration,

    /// Modes storm and transitions: a procedure that blocks the server's thread for a number of
    /// seconds
    #[arg(long, value_name = "PROCEDURE")]
    pub block: Option<String>,

    /// Mode transitions: how many demotions, each with its promotion
    #[arg(long, default_value_t = 1000)]
    pub count: u32,

    /// Mode transitions: the longest grace period, in seconds; each demotion has one at random
    #[arg(long, default_value = "0.1", value_parser = seconds)]
    pub grace_max: Duration,

    /// Print one JSON object on one line instead of text
    #[arg(long)]
    pub json: bool,

    /// The user to log in as; without it the session stays guest
    #[arg(long)]
    pub user: Option<String>,

    /// The password of that user; empty when not given
    #[arg(long, env = "VESTIBULE_BENCH_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
}

/// The kind of measurement.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Mode {
    /// Closed loop: every connection keeps its requests in flight
    Load,
    /// Opens all connections at once and waits for all greetings
    Accept,
    /// The server's memory for each idle connection, before and after its first ping (needs --pid
    /// of a server that has just started: memory that it kept from others would be used again
    /// unseen)
    Idle,
    /// A change of the serving state, until every connection has its event; vestibule only, as an
    /// administrator
    Broadcast,
    /// Clients that connect, ping and leave, again every --period
    Storm,
    /// Demotions and promotions while all kinds of clients hold them up; vestibule only, as an
    /// administrator
    Transitions,
}

/// The request that is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Op {
    /// PING: the network side alone
    Ping,
    /// SELECT of one row by its key
    Select,
    /// REPLACE of one row of 24 bytes
    Replace,
    /// 90 % select, 10 % replace
    Mixed,
}

impl Op {
    /// The name on the command line and in the result.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Op::Ping => "ping",
            Op::Select => "select",
            Op::Replace => "replace",
            Op::Mixed => "mixed",
        }
    }

    pub(crate) fn needs_space(self) -> bool {
        self != Op::Ping
    }
}

impl BenchArgs {
    /// What clap cannot check by looking at one argument.
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        if self.seconds.is_zero() {
            return Err(BenchError::Usage(
                "--seconds must be greater than zero".to_owned(),
            ));
        }
        if self.patience.is_zero() {
            return Err(BenchError::Usage(
                "--patience must be greater than zero".to_owned(),
            ));
        }
        if self.mode != Mode::Load && self.floor {
            return Err(BenchError::Usage(
                "the floor knows no mode but load".to_owned(),
            ));
        }
        Ok(())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let value: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn parse(line: &str) -> Result<BenchArgs, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.bench)
    }

    #[test]
    fn exactly_one_target() {
        assert!(parse("bench").is_err());
        assert!(parse("bench --floor --addr localhost:1").is_err());
        assert!(parse("bench --floor").is_ok());
        assert!(parse("bench --addr localhost:1").is_ok());
    }

    #[test]
    fn seconds_may_be_fractions_but_not_nothing() {
        let args = parse("bench --floor --seconds 0.25 --warmup-seconds 0").unwrap();
        assert_eq!(args.seconds, Duration::from_millis(250));
        assert!(args.check().is_ok());
        assert!(parse("bench --floor --seconds -1").is_err());
        assert!(parse("bench --floor --seconds 0").unwrap().check().is_err());
    }
}
