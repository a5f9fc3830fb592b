//! The command line: every option also as `VESTIBULE_*` in the environment; the command line wins.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::args::{CheckArgs, DumpArgs, LoadArgs};
#[cfg(feature = "bench")]
use vestibule_bench::BenchArgs;

/// A server that answers while its engine is busy. Speaks IPROTO: any Tarantool connector works.
///
/// Without a command it serves, with the options of `vestibule serve`.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Exit codes: 0 stopped cleanly; 1 failed; 2 bad usage; \
    3 stopped, but requests or transactions were cut off, or the engine was left behind.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `serve`, when no command is given.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve data from a directory (the default).
    Serve(Box<ServeArgs>),
    /// Verify a data directory without serving or changing it.
    Check(CheckArgs),
    /// Write the rows of a data directory as JSON lines.
    Dump(DumpArgs),
    /// Read JSON lines back into a data directory.
    Load(LoadArgs),
    /// Measure rate and latency of any IPROTO server.
    #[cfg(feature = "bench")]
    Bench(Box<BenchArgs>),
}

/// What every command that logs is told of it.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// What is logged to stderr: a level, or `target=level` pairs.
    #[arg(
        id = "log",
        long = "log",
        env = "VESTIBULE_LOG",
        value_name = "FILTER",
        default_value = "info"
    )]
    pub filter: String,
}

/// Options of `vestibule serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Address to listen on; may be repeated. Port 0 lets the system pick one.
    #[arg(
        long,
        env = "VESTIBULE_LISTEN",
        value_name = "ADDR",
        value_delimiter = ',',
        value_parser = address,
        default_value = "127.0.0.1:3301"
    )]
    pub listen: Vec<SocketAddr>,
    /// Address for administrators, with places that no client can take; may be repeated. Without it,
    /// when all places for clients are taken, connections that may be an administrator's get one of
    /// the administrators' places for 2 s, and keep it if they call `vestibule.*` meanwhile.
    #[arg(
        long,
        env = "VESTIBULE_ADMIN_LISTEN",
        value_name = "ADDR",
        value_delimiter = ',',
        value_parser = address
    )]
    pub admin_listen: Vec<SocketAddr>,
    /// Most connections of clients; 0 takes as many as there are descriptors for (ulimit -n, raised at
    /// the start as far as it goes). Those beyond are told error 116 and closed.
    #[arg(
        long,
        env = "VESTIBULE_MAX_CONNECTIONS",
        value_name = "N",
        default_value_t = 0
    )]
    pub max_connections: usize,
    /// Most memory for the buffers of all connections together, in bytes: beyond it, those with large
    /// ones are not read until there is room again, but for one request per session thread, so that
    /// there is an end to it; at twice as much, those that do not read their replies are closed.
    #[arg(
        long,
        env = "VESTIBULE_CONNECTIONS_MEMORY_MAX",
        value_name = "BYTES",
        default_value_t = vestibule_actors::limits::CONNECTIONS_MEMORY_MAX_DEFAULT
    )]
    pub connections_memory_max: usize,
    /// Directory of journal and checkpoints; made if it is not there.
    #[arg(
        long,
        env = "VESTIBULE_DATA",
        value_name = "DIR",
        default_value = "vestibule-data"
    )]
    pub data: PathBuf,
    /// When the journal reaches the disk.
    #[arg(
        long,
        env = "VESTIBULE_JOURNAL_SYNC",
        value_name = "WHEN",
        default_value = "turn"
    )]
    pub journal_sync: JournalSyncArg,
    /// Time between two syncs of `--journal-sync interval`.
    #[arg(
        long,
        env = "VESTIBULE_JOURNAL_SYNC_PERIOD",
        value_name = "TIME",
        default_value = "100ms",
        value_parser = duration
    )]
    pub journal_sync_period: Duration,
    /// Size of the journal since the last checkpoint that makes another one due; 0 never.
    #[arg(
        long,
        env = "VESTIBULE_CHECKPOINT_JOURNAL_SIZE",
        value_name = "BYTES",
        default_value_t = 256 << 20
    )]
    pub checkpoint_journal_size: u64,
    /// Age of the last checkpoint that makes another one due, if anything changed since; 0 never.
    #[arg(
        long,
        env = "VESTIBULE_CHECKPOINT_INTERVAL",
        value_name = "TIME",
        default_value = "1h",
        value_parser = duration
    )]
    pub checkpoint_interval: Duration,
    /// Checkpoints to keep, with the journal from the oldest of them on.
    #[arg(
        long,
        env = "VESTIBULE_CHECKPOINT_COUNT",
        value_name = "N",
        default_value_t = 2,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub checkpoint_count: u16,
    /// Start although files are damaged, leaving out what cannot be read, and make a checkpoint then. A
    /// damaged checkpoint is set aside, and the one before it taken.
    #[arg(long, env = "VESTIBULE_FORCE_RECOVERY", value_parser = clap::builder::BoolishValueParser::new())]
    pub force_recovery: bool,
    /// Start as a replica: reads only.
    #[arg(long, env = "VESTIBULE_READ_ONLY", value_parser = clap::builder::BoolishValueParser::new())]
    pub read_only: bool,
    /// Threads that own sockets; 0 takes one less than there are cores.
    #[arg(
        long,
        env = "VESTIBULE_SESSION_THREADS", value_name = "N", default_value_t = 0,
        value_parser = clap::value_parser!(u16).range(..=256))]
    pub session_threads: u16,
    /// What happens to requests that need the engine while it is busy.
    #[arg(
        long,
        env = "VESTIBULE_SOLO_POLICY",
        value_name = "POLICY",
        default_value = "reject"
    )]
    pub solo_policy: SoloPolicyArg,
    /// The same for connections that come while the engine is busy: `close` greets them, says why and
    /// closes.
    #[arg(
        long,
        env = "VESTIBULE_SOLO_POLICY_NEW",
        value_name = "POLICY",
        default_value = "reject"
    )]
    pub solo_policy_new: SoloPolicyArg,
    /// Policy `hold`: how long a request is kept.
    #[arg(
        long,
        env = "VESTIBULE_HOLD_TIME_MAX",
        value_name = "TIME",
        default_value = "5s",
        value_parser = duration
    )]
    pub hold_time_max: Duration,
    /// Policy `hold`: how many requests of a connection are kept.
    #[arg(
        long,
        env = "VESTIBULE_HOLD_REQUESTS_MAX",
        value_name = "N",
        default_value_t = 1024
    )]
    pub hold_requests_max: usize,
    /// Policy `hold`: how many bytes of requests of a connection are kept.
    #[arg(long, env = "VESTIBULE_HOLD_BYTES_MAX", value_name = "BYTES", default_value_t = 1 << 20)]
    pub hold_bytes_max: usize,
    /// Largest request, in bytes.
    #[arg(
        long,
        env = "VESTIBULE_PACKET_SIZE_MAX",
        value_name = "BYTES",
        default_value_t = vestibule_wire::limits::PACKET_SIZE_MAX_DEFAULT,
        value_parser = clap::value_parser!(u64).range(1024..=vestibule_wire::limits::PACKET_SIZE_MAX)
    )]
    pub packet_size_max: u64,
    /// Largest tuple, in bytes.
    #[arg(
        long,
        env = "VESTIBULE_TUPLE_SIZE_MAX",
        value_name = "BYTES",
        default_value_t = vestibule_engine::limits::TUPLE_SIZE_MAX_DEFAULT
    )]
    pub tuple_size_max: usize,
    /// What whoever connects without logging in (the user `guest`) may do.
    #[arg(
        long,
        env = "VESTIBULE_GUEST",
        value_name = "RIGHTS",
        default_value = "super"
    )]
    pub guest: GuestArg,
    /// User who may use the control procedures (`vestibule.*`) from anywhere; may be repeated. Without
    /// it, connections from this machine may.
    #[arg(
        long,
        env = "VESTIBULE_ADMINISTRATOR",
        value_name = "USER",
        value_delimiter = ',', value_parser = clap::builder::NonEmptyStringValueParser::new()
    )]
    pub administrator: Vec<String>,
    /// How long the engine may make no progress, with requests waiting, before they are answered busy
    /// (reason `stalled`); 0 never.
    #[arg(
        long,
        env = "VESTIBULE_TX_STALL_AFTER",
        value_name = "TIME",
        default_value = "500ms",
        value_parser = duration
    )]
    pub tx_stall_after: Duration,
    /// How long a request that has begun to arrive may take to come to its end (or to bring another
    /// 64 KiB) before its connection is closed; 0 for ever.
    #[arg(
        long,
        env = "VESTIBULE_HALF_FRAME_TIMEOUT",
        value_name = "TIME",
        default_value = "60s",
        value_parser = duration
    )]
    pub half_frame_timeout: Duration,
    /// How long a connection may go without a user logging in before it is closed; 0 for ever. Only of
    /// use where `guest` may do nothing.
    #[arg(
        long,
        env = "VESTIBULE_AUTHENTICATION_TIMEOUT",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration
    )]
    pub authentication_timeout: Duration,
    /// How long replies may wait for a client that reads nothing before its connection is closed; 0 for
    /// ever.
    #[arg(
        long,
        env = "VESTIBULE_UNREAD_TIMEOUT",
        value_name = "TIME",
        default_value = "60s",
        value_parser = duration
    )]
    pub unread_timeout: Duration,
    /// How long a connection may be silent, with no request of its under way, before it is closed; 0
    /// for ever.
    #[arg(
        long,
        env = "VESTIBULE_IDLE_TIMEOUT",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration
    )]
    pub idle_timeout: Duration,
    /// How long a request may wait for the engine and run there before it is answered "Timeout exceeded"
    /// (78); 0 for ever. A connection sets its own with `vestibule.set('request_timeout', seconds)`.
    #[arg(
        long,
        env = "VESTIBULE_REQUEST_TIMEOUT",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration
    )]
    pub request_timeout: Duration,
    /// How long a transaction may be open, idle or not, before it is aborted (231 until it ends); 0 for
    /// ever. BEGIN can ask for less.
    #[arg(
        long,
        env = "VESTIBULE_TRANSACTION_TIMEOUT",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration
    )]
    pub transaction_timeout: Duration,
    /// How long a stop or a demotion waits for what is under way: a time; 0 does not wait; `auto` as
    /// long as 99 of 100 recent transactions took; `forever` until it ends.
    #[arg(
        long,
        env = "VESTIBULE_SHUTDOWN_GRACE_PERIOD",
        value_name = "TIME|auto|forever",
        default_value = "3s",
        value_parser = grace
    )]
    pub shutdown_grace_period: GraceArg,
    /// Grace `auto`: no shorter than this.
    #[arg(
        long,
        env = "VESTIBULE_GRACE_AUTO_MIN",
        value_name = "TIME",
        default_value = "500ms",
        value_parser = duration
    )]
    pub grace_auto_min: Duration,
    /// Grace `auto`: no longer than this.
    #[arg(
        long,
        env = "VESTIBULE_GRACE_AUTO_MAX",
        value_name = "TIME",
        default_value = "30s",
        value_parser = duration
    )]
    pub grace_auto_max: Duration,
    /// How long a stop is announced before it begins: everything is still served, but `box.status` is
    /// not `running` any more, and who watches `box.shutdown` is told. Comes before the grace period.
    #[arg(
        long,
        env = "VESTIBULE_LAMEDUCK",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration
    )]
    pub lameduck: Duration,
    /// Add `vestibule.debug.block`, `.sleep` and `.panic`. Never in production.
    #[arg(long, env = "VESTIBULE_DEBUG_PROCEDURES", value_parser = clap::builder::BoolishValueParser::new())]
    pub debug_procedures: bool,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What guest may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GuestArg {
    /// Everything. Only while every address to listen on is a loopback address.
    Super,
    /// What `box.schema.user.grant('guest', …)` grants; at first, nothing on data.
    None,
}

/// When the journal reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum JournalSyncArg {
    /// Before the replies of each turn: acknowledged means on disk.
    Turn,
    /// Every so often: a crash of the machine may lose the last period.
    Interval,
    /// When the system likes: a crash of the process loses nothing, one of the machine may.
    Never,
}

/// What is done while the engine is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SoloPolicyArg {
    /// Answer busy, keep the connection.
    Reject,
    /// Answer busy, close the connection.
    Close,
    /// Keep the request for a while, then answer busy.
    Hold,
}

/// How long a transition waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraceArg {
    /// So long.
    Limited(Duration),
    /// As long as transactions took of late.
    Auto,
    /// Until it ends.
    Forever,
}

/// A duration, `auto` or `forever`.
fn grace(text: &str) -> Result<GraceArg, String> {
    match text {
        "auto" => Ok(GraceArg::Auto),
        "forever" => Ok(GraceArg::Forever),
        time => duration(time).map(GraceArg::Limited),
    }
}

/// `127.0.0.1:3301`, `[::1]:3301`, `localhost:3301`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|fault| {
        format!("{fault} (examples: 127.0.0.1:3301, [::1]:3301, localhost:3301)")
    })?;
    found
        .next()
        .ok_or_else(|| "no address has this name".to_owned())
}

/// `1500ms`, `3s`, `2m`; a bare 0.
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text).map_err(|fault| format!("{fault} (examples: 500ms, 3s, 2m, 0)"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_serves_on_loopback() {
        let cli = Cli::try_parse_from(["vestibule"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.listen, ["127.0.0.1:3301".parse().unwrap()]);
        let three_seconds = GraceArg::Limited(Duration::from_secs(3));
        assert_eq!(cli.serve.shutdown_grace_period, three_seconds);
    }

    #[test]
    fn durations_carry_units() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert!(duration("5").is_err());
        assert!(duration("-1s").is_err());
    }

    #[test]
    fn a_grace_without_end_has_to_be_spelled_out() {
        assert_eq!(grace("0"), Ok(GraceArg::Limited(Duration::ZERO)));
        assert_eq!(grace("auto"), Ok(GraceArg::Auto));
        assert_eq!(grace("forever"), Ok(GraceArg::Forever));
        assert!(grace("").is_err());
        assert!(grace("-1s").is_err());
    }

    #[test]
    fn every_option_can_come_from_the_environment() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        for argument in serve.get_arguments().filter(|own| own.get_id() != "help") {
            let name = argument.get_id().as_str().to_uppercase();
            let variable = argument.get_env().and_then(|own| own.to_str());
            assert_eq!(variable, Some(format!("VESTIBULE_{name}").as_str()));
        }
    }
}
