//! Bounds of listeners and of connections that come in.

use std::time::Duration;

/// Connections accepted before other work of the System arbiter gets its turn.
pub(crate) const ACCEPT_BATCH_MAX: usize = 256;
/// Length of the queue of connections that the kernel completes before they are accepted.
pub(crate) const LISTEN_BACKLOG: i32 = 4096;
/// Silence after which a peer is asked whether it is still there; Tarantool's numbers.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// Time between two questions whether a peer is still there.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// Questions without an answer after which the connection is over.
pub(crate) const KEEPALIVE_PROBES: u32 = 5;

/// Bytes of the path of a unix socket, at most: what the system has room for, with the byte that
/// ends it.
pub(crate) const UNIX_PATH_MAX: usize = if cfg!(any(target_os = "android", target_os = "linux")) {
    107
} else {
    103
};
/// Rights of the files of unix sockets, unless configured otherwise: of the owner and the group.
pub const UNIX_SOCKET_MODE_DEFAULT: u32 = 0o660;
/// All rights that there are.
pub(crate) const UNIX_SOCKET_MODE_MAX: u32 = 0o777;
