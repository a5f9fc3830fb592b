//! The command line of `vestibule bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::error::BenchError;

/// Largest transfer, in bytes: half of what a length of 32 bits can tell.
const BULK_SIZE_MAX: i64 = 1 << 31;

/// Most transfers that a connection has in flight in each direction.
const BULK_TRANSFERS_MAX: u64 = 65_536;

/// What to measure and against which server.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// The server to measure, as HOST:PORT or unix:/PATH
    ///
    /// Any IPROTO server will do: vestibule, or Tarantool of any version.
    #[arg(long, required_unless_present = "floor", conflicts_with = "floor")]
    pub addr: Option<String>,

    /// File with the certificates (PEM) that the server's has to lead to: TLS is spoken, with a
    /// whole handshake for each connection
    #[arg(long, value_name = "FILE", conflicts_with = "floor")]
    pub tls_ca: Option<PathBuf>,

    /// Name that the server's certificate has to have, in place of the host
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    pub tls_server_name: Option<String>,

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

    /// Op bulk: how many bytes each transfer has
    #[arg(long, value_name = "BYTES", value_parser = bulk_size())]
    pub size: Option<u32>,

    /// Op bulk: who sends the values
    #[arg(long, value_enum)]
    pub direction: Option<Direction>,

    /// Op bulk: how many groups transfer in each direction, each a stream of its own with --depth
    /// transfers in flight
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub groups: Option<u32>,

    /// Op bulk: small requests that are sent over the same connections meanwhile, and measured
    #[arg(long, value_enum)]
    pub beside: Option<Beside>,

    /// Op bulk: time between two of these, in seconds; they are sent whether or not those before
    /// are answered
    #[arg(long, value_parser = seconds)]
    pub beside_every: Option<Duration>,

    /// Whether to ask for chunks, which op bulk does by itself; a server that has none sends and
    /// gets whole messages
    #[arg(long, value_enum)]
    pub chunks: Option<Switch>,

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

    /// The space that the operations work on; created when missing. Those with a second index have
    /// one of their own, this name and `_second`, and so has bulk, without a journal: `_bulk`
    #[arg(long, default_value = "bench")]
    pub space: String,

    /// How many different keys are used; that many rows are written before measuring
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub keys: u32,

    /// Write no rows before measuring: those of an earlier run with as many keys are there
    #[arg(long)]
    pub filled: bool,

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
    ///
    /// In every mode it has op, rate, p50_us, p99_us, p999_us, max_us and errors.
    #[arg(long)]
    pub json: bool,

    /// The user to log in as; without it the session stays guest
    #[arg(long)]
    pub user: Option<String>,

    /// The password of that user; empty when not given. It is no argument: arguments and
    /// variables are seen by others
    #[arg(skip)]
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
    /// UPDATE of one row by its key: another value for its second field
    Update,
    /// UPSERT of one row that is there, with the same operation
    Upsert,
    /// SELECT of ten rows, from a key upward
    Range,
    /// 90 % select, 10 % replace
    Mixed,
    /// REPLACE of one row in a space that has a second, non-unique index
    ReplaceSecond,
    /// SELECT of one row by that index
    SelectSecond,
    /// Large values: down as rows of up to 1 MB that one SELECT asks for, up in an UPDATE of a row
    /// that is not there, which stores nothing
    Bulk,
}

/// Who sends the values of a bulk transfer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Direction {
    /// The server
    Down,
    /// The client
    Up,
    /// Both at once
    Both,
}

/// The small requests beside a bulk transfer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Beside {
    /// PING
    Ping,
    /// SELECT of one small row, in a stream of its own
    Select,
    /// REPLACE of one small row, in a stream of its own
    Replace,
}

/// On or off.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Switch {
    /// On
    On,
    /// Off
    Off,
}

impl Direction {
    /// The name on the command line and in the result.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Direction::Down => "down",
            Direction::Up => "up",
            Direction::Both => "both",
        }
    }
}

impl Beside {
    /// The name on the command line and in the result.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Beside::Ping => "ping",
            Beside::Select => "select",
            Beside::Replace => "replace",
        }
    }
}

impl Op {
    /// The name on the command line and in the result.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Op::Ping => "ping",
            Op::Select => "select",
            Op::Replace => "replace",
            Op::Update => "update",
            Op::Upsert => "upsert",
            Op::Range => "range",
            Op::Mixed => "mixed",
            Op::ReplaceSecond => "replace-second",
            Op::SelectSecond => "select-second",
            Op::Bulk => "bulk",
        }
    }

    pub(crate) fn needs_space(self) -> bool {
        !matches!(self, Op::Ping | Op::Bulk)
    }

    /// Whether its space has a second, non-unique index, over the second field.
    #[must_use]
    pub fn has_second_index(self) -> bool {
        matches!(self, Op::ReplaceSecond | Op::SelectSecond)
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
        if self.chunks.is_some() && (self.mode != Mode::Load || self.floor) {
            return Err(BenchError::Usage(
                "--chunks needs --mode load and --addr".to_owned(),
            ));
        }
        self.check_bulk()
    }

    fn check_bulk(&self) -> Result<(), BenchError> {
        let usage = |text: &str| Err(BenchError::Usage(text.to_owned()));
        if self.op != Op::Bulk {
            let given = [
                ("--size", self.size.is_some()),
                ("--direction", self.direction.is_some()),
                ("--groups", self.groups.is_some()),
                ("--beside", self.beside.is_some()),
                ("--beside-every", self.beside_every.is_some()),
            ];
            return match given.iter().find(|(_, is_given)| *is_given) {
                Some((name, _)) => usage(&format!("{name} is for --op bulk alone")),
                None => Ok(()),
            };
        }
        if self.mode != Mode::Load {
            return usage("--op bulk needs --mode load");
        }
        if self.floor {
            return usage("the floor has no values to transfer: --op bulk needs --addr");
        }
        if self.beside_every.is_some() && self.beside.is_none() {
            return usage("--beside-every needs --beside");
        }
        if self.beside_every.is_some_and(|every| every.is_zero()) {
            return usage("--beside-every must be greater than zero");
        }
        let transfers = u64::from(self.groups.unwrap_or(1)) * u64::from(self.depth);
        if transfers > BULK_TRANSFERS_MAX {
            return usage(&format!(
                "--groups times --depth must not exceed {BULK_TRANSFERS_MAX}"
            ));
        }
        Ok(())
    }
}

fn bulk_size() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=BULK_SIZE_MAX)
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
    fn bulk_and_its_arguments_belong_together() {
        let check = |line: &str| {
            let args = parse(&format!("bench --addr localhost:1 {line}")).unwrap();
            args.check().map_err(|error| error.to_string())
        };
        assert_eq!(check("--op bulk"), Ok(()));
        let all =
            "--op bulk --size 9 --direction both --beside ping --beside-every 0.1 --chunks off";
        assert_eq!(check(all), Ok(()));
        for (line, part) in [
            ("--size 9", "--size is for --op bulk"),
            ("--op select --beside ping", "--beside is for --op bulk"),
            ("--mode storm --chunks on", "--mode load"),
            ("--op bulk --mode storm", "--mode load"),
            ("--op bulk --beside-every 1", "needs --beside"),
            (
                "--op bulk --beside ping --beside-every 0",
                "greater than zero",
            ),
            ("--op bulk --groups 1024 --depth 65", "65536"),
        ] {
            let error = check(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
        let floor = parse("bench --floor --op bulk").unwrap();
        assert!(floor.check().is_err());
        for line in [
            "--size 0",
            "--size 2147483649",
            "--direction left",
            "--beside mixed",
        ] {
            assert!(parse(&format!("bench --addr localhost:1 --op bulk {line}")).is_err());
        }
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
