//! Options of `vestibule serve`, and the configuration that they make.
//!
//! An option is a field of [`ServeArgs`] and a line in [`ServeArgs::config`] or
//! [`ServeArgs::engine_options`]; its default is that of the field there, a constant in the
//! `limits` of that package. The test below holds that both are the same.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use clap::{Args, value_parser};
use vestibule_actors::Config;
use vestibule_actors::config::{
    Administrators, ConnectionLimits, Grace, HoldLimits, SoloPolicy, TimeLimits,
};
use vestibule_actors::limits::{
    ADMIN_AUTHENTICATION_TIMEOUT_DEFAULT, CONNECTIONS_MEMORY_MAX_DEFAULT, GRACE_AUTO_MAX_DEFAULT,
    GRACE_AUTO_MIN_DEFAULT, GRACE_DEFAULT, HALF_CLOSED_TIMEOUT_DEFAULT, HALF_FRAME_TIMEOUT_DEFAULT,
    HOLD_BYTES_MAX_DEFAULT, HOLD_REQUESTS_MAX_DEFAULT, HOLD_TIME_MAX_DEFAULT, SESSION_THREADS_MAX,
    TX_STALL_AFTER_DEFAULT, UNREAD_TIMEOUT_DEFAULT,
};
use vestibule_actors::serving::Role;
use vestibule_engine::limits::{
    CHECKPOINT_COUNT_DEFAULT, CHECKPOINT_INTERVAL_DEFAULT, CHECKPOINT_JOURNAL_SIZE_DEFAULT,
    JOURNAL_SYNC_PERIOD_DEFAULT, TUPLE_SIZE_MAX_DEFAULT,
};
use vestibule_engine::{CheckpointOptions, EngineOptions, GuestRights, JournalSync};
use vestibule_wire::limits::{PACKET_SIZE_MAX, PACKET_SIZE_MAX_DEFAULT};

use crate::cli::choices::{
    described_guest, described_journal_sync, described_solo_policy, grace, one_of,
};
use crate::cli::data::DATA_DIR_DEFAULT;
use crate::cli::log::LogArgs;
use crate::cli::quotas::QuotaArgs;
use crate::cli::values::{address, duration, time_text};

/// Options of `vestibule serve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on; may be repeated. Port 0 lets the system pick one.
    #[arg(
        long,
        env = "VESTIBULE_LISTEN",
        value_name = "ADDR",
        value_delimiter = ',',
        value_parser = address,
        default_value = "127.0.0.1:3301",
    )]
    pub(crate) listen: Vec<SocketAddr>,
    /// Address for administrators, with connection slots that no client can take; may be repeated.
    /// Without it, when all slots for clients are taken, connections that may be an administrator's
    /// get one of the administrators' slots for 2 s, and keep it if they call `vestibule.*`
    /// meanwhile.
    #[arg(
        long,
        env = "VESTIBULE_ADMIN_LISTEN",
        value_name = "ADDR",
        value_delimiter = ',',
        value_parser = address,
    )]
    pub(crate) admin_listen: Vec<SocketAddr>,
    /// Most connections of clients; 0 takes as many as there are descriptors for (ulimit -n, raised
    /// at the start as far as it goes), and more than that is taken as 0, with a warning. Those
    /// beyond are told error 116 and closed.
    #[arg(
        long,
        env = "VESTIBULE_MAX_CONNECTIONS",
        value_name = "N",
        default_value_t = 0
    )]
    pub(crate) max_connections: usize,
    /// Most connections of clients from one address (of IPv6, a network of 64 bits is one); 0
    /// leaves an eighth of all to other addresses, and does not bound loopback, where proxies are.
    /// Those beyond are told error 116 and closed. Connections to `--admin-listen` do not count.
    #[arg(
        long,
        env = "VESTIBULE_CONNECTIONS_PER_ADDRESS_MAX",
        value_name = "N",
        default_value_t = 0
    )]
    pub(crate) connections_per_address_max: usize,
    /// Most memory for the buffers of all connections and the replies on their way to them, in
    /// bytes: beyond half of it, connections with large ones are not read, beyond three quarters,
    /// no more replies are made for them until there is room again, but for one request and one
    /// reply per thread, so that there is an end to it; those that do not read their replies while
    /// all of it is used are closed after a second.
    #[arg(
        long,
        env = "VESTIBULE_CONNECTIONS_MEMORY_MAX",
        value_name = "BYTES",
        default_value_t = CONNECTIONS_MEMORY_MAX_DEFAULT,
    )]
    pub(crate) connections_memory_max: usize,
    /// Directory of journal and checkpoints; made if it is not there.
    #[arg(long, env = "VESTIBULE_DATA", value_name = "DIR", default_value = DATA_DIR_DEFAULT)]
    pub(crate) data: PathBuf,
    /// When the journal reaches the disk.
    #[arg(
        long,
        env = "VESTIBULE_JOURNAL_SYNC",
        value_name = "WHEN",
        default_value = JournalSync::default().name(),
        value_parser = one_of(JournalSync::ALL, described_journal_sync),
    )]
    pub(crate) journal_sync: JournalSync,
    /// Time between two syncs of `--journal-sync interval`.
    #[arg(
        long,
        env = "VESTIBULE_JOURNAL_SYNC_PERIOD",
        value_name = "TIME",
        default_value = time_text(JOURNAL_SYNC_PERIOD_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) journal_sync_period: Duration,
    /// Size of the journal since the last checkpoint that makes another one due; 0 never.
    #[arg(
        long,
        env = "VESTIBULE_CHECKPOINT_JOURNAL_SIZE",
        value_name = "BYTES",
        default_value_t = CHECKPOINT_JOURNAL_SIZE_DEFAULT,
    )]
    pub(crate) checkpoint_journal_size: u64,
    /// Age of the last checkpoint that makes another one due, if anything changed since; 0 never.
    #[arg(
        long,
        env = "VESTIBULE_CHECKPOINT_INTERVAL",
        value_name = "TIME",
        default_value = time_text(CHECKPOINT_INTERVAL_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) checkpoint_interval: Duration,
    /// Checkpoints to keep, with the journal from the oldest of them on.
    #[arg(
        long,
        env = "VESTIBULE_CHECKPOINT_COUNT",
        value_name = "N",
        default_value_t = CHECKPOINT_COUNT_DEFAULT,
        value_parser = value_parser!(u16).range(1..),
    )]
    pub(crate) checkpoint_count: u16,
    /// Start although files are damaged, leaving out what cannot be read, and make a checkpoint
    /// then. A damaged checkpoint is set aside, and the one before it taken.
    #[arg(long, env = "VESTIBULE_FORCE_RECOVERY", value_parser = BoolishValueParser::new())]
    pub(crate) force_recovery: bool,
    /// Start as a replica: reads only.
    #[arg(long, env = "VESTIBULE_READ_ONLY", value_parser = BoolishValueParser::new())]
    pub(crate) read_only: bool,
    /// Threads that own sockets; 0 takes one less than there are cores.
    #[arg(
        long,
        env = "VESTIBULE_SESSION_THREADS",
        value_name = "N",
        default_value_t = 0,
        value_parser = value_parser!(u16).range(..=SESSION_THREADS_MAX as i64),
    )]
    pub(crate) session_threads: u16,
    /// What happens to requests that need the engine while it is busy.
    #[arg(
        long,
        env = "VESTIBULE_SOLO_POLICY",
        value_name = "POLICY",
        default_value = SoloPolicy::default().name(),
        value_parser = one_of(SoloPolicy::ALL, described_solo_policy),
    )]
    pub(crate) solo_policy: SoloPolicy,
    /// The same for connections that come while the engine is busy: `close` greets them, says why
    /// and closes.
    #[arg(
        long,
        env = "VESTIBULE_SOLO_POLICY_NEW",
        value_name = "POLICY",
        default_value = SoloPolicy::default().name(),
        value_parser = one_of(SoloPolicy::ALL, described_solo_policy),
    )]
    pub(crate) solo_policy_new: SoloPolicy,
    /// Policy `hold`: how long a request is kept.
    #[arg(
        long,
        env = "VESTIBULE_HOLD_TIME_MAX",
        value_name = "TIME",
        default_value = time_text(HOLD_TIME_MAX_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) hold_time_max: Duration,
    /// Policy `hold`: how many requests of a connection are kept.
    #[arg(
        long,
        env = "VESTIBULE_HOLD_REQUESTS_MAX",
        value_name = "N",
        default_value_t = HOLD_REQUESTS_MAX_DEFAULT,
    )]
    pub(crate) hold_requests_max: usize,
    /// Policy `hold`: how many bytes of requests of a connection are kept.
    #[arg(
        long,
        env = "VESTIBULE_HOLD_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = HOLD_BYTES_MAX_DEFAULT,
    )]
    pub(crate) hold_bytes_max: usize,
    /// Largest request, in bytes.
    #[arg(
        long,
        env = "VESTIBULE_PACKET_SIZE_MAX",
        value_name = "BYTES",
        default_value_t = PACKET_SIZE_MAX_DEFAULT,
        value_parser = value_parser!(u64).range(1024..=PACKET_SIZE_MAX),
    )]
    pub(crate) packet_size_max: u64,
    /// Largest tuple, in bytes.
    #[arg(
        long,
        env = "VESTIBULE_TUPLE_SIZE_MAX",
        value_name = "BYTES",
        default_value_t = TUPLE_SIZE_MAX_DEFAULT,
    )]
    pub(crate) tuple_size_max: usize,
    /// Most memory for data, in bytes; 0 for no bound: tuples, keys and nodes of all indexes, and
    /// what is not committed yet. Beyond it, what would grow the data gets error 2; reads, deletes
    /// and updates that do not grow go on. Tarantool's counterpart is `memtx_memory`.
    #[arg(
        long,
        env = "VESTIBULE_MEMORY_MAX",
        value_name = "BYTES",
        default_value_t = 0
    )]
    pub(crate) memory_max: usize,
    /// What a connection that has not logged in (the user `guest`) may do.
    #[arg(
        long,
        env = "VESTIBULE_GUEST",
        value_name = "RIGHTS",
        default_value = GuestRights::default().name(),
        value_parser = one_of(GuestRights::ALL, described_guest),
    )]
    pub(crate) guest: GuestRights,
    /// User who may use the control procedures (`vestibule.*`) from anywhere; may be repeated.
    /// Without it, connections from this machine may.
    #[arg(
        long,
        env = "VESTIBULE_ADMINISTRATOR",
        value_name = "USER",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new(),
    )]
    pub(crate) administrator: Vec<String>,
    /// How long the engine may make no progress, with requests waiting, before they are answered
    /// busy (reason `stalled`); 0 never.
    #[arg(
        long,
        env = "VESTIBULE_TX_STALL_AFTER",
        value_name = "TIME",
        default_value = time_text(TX_STALL_AFTER_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) tx_stall_after: Duration,
    /// How long a request that has begun to arrive may take to come to its end (or to bring another
    /// 64 KiB) before its connection is closed; 0 for ever.
    #[arg(
        long,
        env = "VESTIBULE_HALF_FRAME_TIMEOUT",
        value_name = "TIME",
        default_value = time_text(HALF_FRAME_TIMEOUT_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) half_frame_timeout: Duration,
    /// How long a connection may go without a user logging in before it is closed; 0 for ever. Only
    /// of use where `guest` may do nothing.
    #[arg(
        long,
        env = "VESTIBULE_AUTHENTICATION_TIMEOUT",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration,
    )]
    pub(crate) authentication_timeout: Duration,
    /// The same for connections to an `--admin-listen` address, on which nobody calls `vestibule.*`
    /// either. Such a connection is closed earlier if another one wants its slot.
    #[arg(
        long,
        env = "VESTIBULE_ADMIN_AUTHENTICATION_TIMEOUT",
        value_name = "TIME",
        default_value = time_text(ADMIN_AUTHENTICATION_TIMEOUT_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) admin_authentication_timeout: Duration,
    /// How long replies may wait for a client that reads nothing before its connection is closed; 0
    /// for ever.
    #[arg(
        long,
        env = "VESTIBULE_UNREAD_TIMEOUT",
        value_name = "TIME",
        default_value = time_text(UNREAD_TIMEOUT_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) unread_timeout: Duration,
    /// How long a connection may be silent, with no request of its under way, before it is closed;
    /// 0 for ever.
    #[arg(
        long,
        env = "VESTIBULE_IDLE_TIMEOUT",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration,
    )]
    pub(crate) idle_timeout: Duration,
    /// How long a client that has left, or closed its half, is waited for while nothing that it had
    /// asked is answered, before its connection is closed; 0 for ever.
    #[arg(
        long,
        env = "VESTIBULE_HALF_CLOSED_TIMEOUT",
        value_name = "TIME",
        default_value = time_text(HALF_CLOSED_TIMEOUT_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) half_closed_timeout: Duration,
    /// How long a request may wait for the engine and run there before it is answered "Timeout
    /// exceeded" (78); 0 for ever. A connection sets its own with `vestibule.set('request_timeout',
    /// seconds)`.
    #[arg(
        long,
        env = "VESTIBULE_REQUEST_TIMEOUT",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration,
    )]
    pub(crate) request_timeout: Duration,
    /// How long a transaction may be open, idle or not, before it is aborted (231 until it ends); 0
    /// for ever. BEGIN can ask for less.
    #[arg(
        long,
        env = "VESTIBULE_TRANSACTION_TIMEOUT",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration,
    )]
    pub(crate) transaction_timeout: Duration,
    /// How long a stop or a demotion waits for what is under way: a time; 0 does not wait; `auto`
    /// as long as 99 of 100 recent transactions took; `forever` until it ends.
    #[arg(
        long,
        env = "VESTIBULE_SHUTDOWN_GRACE_PERIOD",
        value_name = "TIME|auto|forever",
        default_value = time_text(GRACE_DEFAULT),
        value_parser = grace,
    )]
    pub(crate) shutdown_grace_period: Grace,
    /// Grace `auto`: no shorter than this.
    #[arg(
        long,
        env = "VESTIBULE_GRACE_AUTO_MIN",
        value_name = "TIME",
        default_value = time_text(GRACE_AUTO_MIN_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) grace_auto_min: Duration,
    /// Grace `auto`: no longer than this.
    #[arg(
        long,
        env = "VESTIBULE_GRACE_AUTO_MAX",
        value_name = "TIME",
        default_value = time_text(GRACE_AUTO_MAX_DEFAULT),
        value_parser = duration,
    )]
    pub(crate) grace_auto_max: Duration,
    /// How long a stop is announced before it begins: everything is still served, but `box.status`
    /// is not `running` any more, and who watches `box.shutdown` is told. Comes before the grace
    /// period.
    #[arg(
        long,
        env = "VESTIBULE_LAMEDUCK",
        value_name = "TIME",
        default_value = "0",
        value_parser = duration,
    )]
    pub(crate) lameduck: Duration,
    /// Add `vestibule.debug.block`, `.sleep` and `.panic`. Never in production.
    #[arg(long, env = "VESTIBULE_DEBUG_PROCEDURES", value_parser = BoolishValueParser::new())]
    pub(crate) debug_procedures: bool,
    /// What connections may hold.
    #[command(flatten)]
    pub(crate) quotas: QuotaArgs,
    /// What is logged.
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

impl ServeArgs {
    /// The configuration of the runtime. Of the process itself, its descriptors and the UUID of the
    /// instance are not known here.
    pub(crate) fn config(&self) -> Config {
        Config::default()
            .listen(self.listen.clone())
            .admin_listen(self.admin_listen.clone())
            .connection_limits(
                ConnectionLimits::default()
                    .connections_max(self.max_connections)
                    .per_address_max(self.connections_per_address_max)
                    .memory_max(self.connections_memory_max),
            )
            .session_threads(usize::from(self.session_threads))
            .role(if self.read_only {
                Role::Replica
            } else {
                Role::Primary
            })
            .solo_policy(self.solo_policy)
            .solo_policy_new(self.solo_policy_new)
            .hold(
                HoldLimits::default()
                    .requests_max(self.hold_requests_max)
                    .bytes_max(self.hold_bytes_max)
                    .time_max(self.hold_time_max),
            )
            .administrators(if self.administrator.is_empty() {
                Administrators::LocalConnections
            } else {
                Administrators::Users(self.administrator.clone())
            })
            .packet_size_max(self.packet_size_max)
            .tx_stall_after(self.tx_stall_after)
            .time_limits(
                TimeLimits::default()
                    .half_frame(self.half_frame_timeout)
                    .authentication(self.authentication_timeout)
                    .admin_authentication(self.admin_authentication_timeout)
                    .unread(self.unread_timeout)
                    .idle(self.idle_timeout)
                    .half_closed(self.half_closed_timeout),
            )
            .request_timeout(self.request_timeout)
            .wait_timeout(self.quotas.wait_timeout)
            .quotas(self.quotas.limits())
            .transaction_timeout(self.transaction_timeout)
            .shutdown_grace_period(self.grace())
            .lameduck(self.lameduck)
    }

    fn grace(&self) -> Grace {
        match self.shutdown_grace_period {
            Grace::Auto { .. } => Grace::Auto {
                min: self.grace_auto_min,
                max: self.grace_auto_max,
            },
            other => other,
        }
    }

    /// The options of the engine.
    pub(crate) fn engine_options(&self) -> EngineOptions {
        EngineOptions::new(&self.data)
            .journal_sync(match self.journal_sync {
                JournalSync::Interval(_) => JournalSync::Interval(self.journal_sync_period),
                other => other,
            })
            .force_recovery(self.force_recovery)
            .checkpoints(
                CheckpointOptions::default()
                    .journal_size_bytes(Some(self.checkpoint_journal_size))
                    .interval(Some(self.checkpoint_interval))
                    .count(usize::from(self.checkpoint_count)),
            )
            .tuple_size_max(self.tuple_size_max)
            .memory_max(self.memory_max)
            .guest(self.guest)
    }

    /// An address that other machines may reach.
    pub(crate) fn exposed(&self) -> Option<&SocketAddr> {
        let mut addresses = self.listen.iter().chain(&self.admin_listen);
        addresses.find(|address| !address.ip().is_loopback())
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
