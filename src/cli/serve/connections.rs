//! How many connections there may be, and how long they may take.

use std::time::Duration;

use clap::{Args, value_parser};
use vestibule_actors::Config;
use vestibule_actors::config::{ConnectionLimits, TimeLimits};
use vestibule_actors::limits::{
    ADMIN_AUTHENTICATION_TIMEOUT_DEFAULT, CONNECTIONS_MEMORY_MAX_DEFAULT,
    HALF_CLOSED_TIMEOUT_DEFAULT, HALF_FRAME_TIMEOUT_DEFAULT, SESSION_THREADS_MAX,
    UNREAD_TIMEOUT_DEFAULT,
};
use vestibule_wire::limits::{PACKET_SIZE_MAX, PACKET_SIZE_MAX_DEFAULT};

use crate::cli::values::{Size, duration, size, size_text, size_within, time_text};

/// How many connections there may be, and how long they may take.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub(crate) struct ConnectionArgs {
    /// Most connections of clients; 0 takes as many as there are descriptors for (ulimit -n, raised
    /// at the start as far as it goes), and more than that is taken as 0, with a warning. Those
    /// beyond are told error 116 and closed.
    #[arg(
        long,
        env = "VESTIBULE_CONNECTIONS_MAX",
        value_name = "N",
        default_value_t = 0
    )]
    pub(crate) connections_max: usize,
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
    /// Most memory for the buffers of all connections and the replies on their way to them: beyond
    /// half of it, connections with large ones are not read, beyond three quarters, no more replies
    /// are made for them until there is room again, but for one request and one reply per thread,
    /// so that there is an end to it; those that do not read their replies while all of it is used
    /// are closed after a second. At a gateway, where upstreams make the replies, what a connection
    /// with 16 KiB of them to read has sent waits beyond three quarters, and one of 16 KiB or more
    /// for which there is no room is told as error 2, outcome unknown.
    #[arg(
        long,
        env = "VESTIBULE_CONNECTIONS_MEMORY_MAX",
        value_name = "SIZE",
        default_value = size_text(CONNECTIONS_MEMORY_MAX_DEFAULT as u64),
        value_parser = size,
    )]
    pub(crate) connections_memory_max: Size,
    /// Threads that own sockets; 0 takes one less than there are cores, and at least one.
    #[arg(
        long,
        env = "VESTIBULE_SESSION_THREADS",
        value_name = "N",
        default_value_t = 0,
        value_parser = value_parser!(u16).range(..=SESSION_THREADS_MAX as i64),
    )]
    pub(crate) session_threads: u16,
    /// Largest request.
    #[arg(
        long,
        env = "VESTIBULE_PACKET_SIZE_MAX",
        value_name = "SIZE",
        default_value = size_text(PACKET_SIZE_MAX_DEFAULT),
        value_parser = size_within(1024..=PACKET_SIZE_MAX),
    )]
    pub(crate) packet_size_max: Size,
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
}

impl ConnectionArgs {
    pub(super) fn add_to(&self, config: Config) -> Config {
        config
            .connection_limits(
                ConnectionLimits::default()
                    .connections_max(self.connections_max)
                    .per_address_max(self.connections_per_address_max)
                    .memory_max(self.connections_memory_max.in_memory()),
            )
            .session_threads(usize::from(self.session_threads))
            .packet_size_max(self.packet_size_max.bytes())
            .time_limits(
                TimeLimits::default()
                    .half_frame(self.half_frame_timeout)
                    .authentication(self.authentication_timeout)
                    .admin_authentication(self.admin_authentication_timeout)
                    .unread(self.unread_timeout)
                    .idle(self.idle_timeout)
                    .half_closed(self.half_closed_timeout),
            )
    }
}
