//! How many connections there may be, and how long they may take.

use std::time::Duration;

use crate::limits::{
    ADMIN_AUTHENTICATION_TIMEOUT_DEFAULT, ADMINISTRATORS_DEFAULT, CONNECTIONS_MEMORY_MAX_DEFAULT,
    ENGINE_DESCRIPTORS_DEFAULT, HALF_CLOSED_TIMEOUT_DEFAULT, HALF_FRAME_TIMEOUT_DEFAULT,
    UNREAD_TIMEOUT_DEFAULT,
};
use crate::settable::settable;

settable! {
    /// Who may have how many of the process's descriptors: decided at the start.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct DescriptorLimits {
        /// What the process may have (its soft `RLIMIT_NOFILE`); 0 if that is not known: then
        /// connections are bounded by their number only.
        pub process: usize,
        /// Kept for the engine.
        pub engine: usize,
        /// Kept for what else there is in the process: a door of `vestibule-http`, say.
        pub reserved: usize,
        /// Connections of administrators.
        pub administrators: usize,
    }
}

impl Default for DescriptorLimits {
    fn default() -> Self {
        Self {
            process: 0,
            engine: ENGINE_DESCRIPTORS_DEFAULT,
            reserved: 0,
            administrators: ADMINISTRATORS_DEFAULT,
        }
    }
}

settable! {
    /// How many connections there may be, and what they may take.
    ///
    /// Without a slot a connection is greeted, told error 116 and closed. When the clients' slots
    /// are taken, a connection that may be an administrator's gets one of
    /// [`DescriptorLimits::administrators`] for two seconds, and keeps it if it calls a control
    /// procedure meanwhile. With [`Config::admin_listen`] those slots are for the connections that
    /// come there, and no others. Where there are more than a bound that is lowered, they stay.
    ///
    /// [`Config::admin_listen`]: crate::Config::admin_listen
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ConnectionLimits {
        /// Connections of clients; 0 for as many as there are descriptors for, which is the most
        /// there can be: if that is less than this, the log warns.
        pub connections_max: usize,
        /// Connections of clients from one address; of IPv6, a network of 64 bits is one. 0 leaves
        /// an eighth of those of all clients to other addresses, and does not bound what comes from
        /// this machine, loopback and unix sockets: proxies are there. Anything else bounds that
        /// too. One beyond it that may be an administrator's takes one of the administrators'
        /// slots.
        pub per_address_max: usize,
        /// What the buffers of all connections and the replies on their way to them may take
        /// together, in bytes. Beyond half of it connections that hold more than a share are not
        /// read, beyond three quarters none of their replies are made, and beyond all of it
        /// nobody's but small ones; one request and one reply of each thread go beyond, so that
        /// there is an end to it. A connection that hardly takes its replies while the bound is
        /// exceeded is closed after a second. At a gateway upstreams make the replies: beyond three
        /// quarters, what a connection with 16 KiB of them to read has sent waits, and one of
        /// 16 KiB or more for which there is no room is told as error 2, outcome unknown.
        pub memory_max: usize,
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections_max: 0,
            per_address_max: 0,
            memory_max: CONNECTIONS_MEMORY_MAX_DEFAULT,
        }
    }
}

settable! {
    /// After how long a connection is closed, 0 never. They are looked at a few times per limit, at
    /// most once a second: none is cut short, and each may be exceeded by that much.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct TimeLimits {
        /// A request has begun to arrive, and neither its end nor any 64 KiB of it came in this
        /// time.
        pub half_frame: Duration,
        /// Nobody has logged in on it. For servers where `guest` may do nothing; otherwise it
        /// closes connections that are well.
        pub authentication: Duration,
        /// On a connection to one of [`Config::admin_listen`] nobody has logged in, and no control
        /// procedure was called by an administrator.
        ///
        /// [`Config::admin_listen`]: crate::Config::admin_listen
        pub admin_authentication: Duration,
        /// Replies wait, and the client has taken nothing of them in this time.
        pub unread: Duration,
        /// Nothing came from the client in this time, and nothing is under way for it. An open
        /// transaction is nothing under way; a request that runs is.
        pub idle: Duration,
        /// The client has closed the connection, or its half of it, and nothing of what it had sent
        /// before was answered in this time. Until then all of it is executed and answered. At most
        /// [`HALF_CLOSED_CROWDED_MAX`](crate::limits::HALF_CLOSED_CROWDED_MAX) while connections
        /// are scarce.
        pub half_closed: Duration,
    }
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            half_frame: HALF_FRAME_TIMEOUT_DEFAULT,
            authentication: Duration::ZERO,
            admin_authentication: ADMIN_AUTHENTICATION_TIMEOUT_DEFAULT,
            unread: UNREAD_TIMEOUT_DEFAULT,
            idle: Duration::ZERO,
            half_closed: HALF_CLOSED_TIMEOUT_DEFAULT,
        }
    }
}
