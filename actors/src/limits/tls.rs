//! Bounds of TLS.

use std::time::Duration;

/// How long a connection over TLS may take to begin its handshake, and that to its end, without the
/// time in which it waits for a place.
pub const TLS_HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Handshakes of one session thread that are under way at once; others wait for a place.
pub const TLS_HANDSHAKES_MAX: usize = 32;
/// How long a handshake has its place for itself; then one of an address that has many gives it up
/// to one that waits at an address with fewer.
pub const TLS_PLACE_TIME_MIN: Duration = Duration::from_secs(1);
/// How long somebody without a slot is told so over TLS, at most.
pub(crate) const TLS_REJECT_TIME_MAX: Duration = Duration::from_secs(2);
/// Bytes of a connection's replies that are encrypted and not yet in the kernel's hands.
pub(crate) const TLS_UNSENT_MAX: usize = 64 << 10;
/// Bytes that are read of a connection without anything for its session, before others get their
/// turn.
pub(crate) const TLS_EMPTY_READ_MAX: usize = 64 << 10;
/// What a connection over TLS takes besides what waits in it.
pub(crate) const TLS_MEMORY: usize = 8 << 10;
/// Tickets that a client gets, to come back without a whole handshake. The server keeps none.
pub(crate) const TLS_TICKETS: usize = 1;
/// Bytes of a file of certificates, or of a key.
pub(crate) const TLS_FILE_SIZE_MAX: u64 = 1 << 20;
/// How often the files are looked at.
pub const CERTIFICATE_LOOK_PERIOD: Duration = Duration::from_secs(60);
/// How long before its end a certificate is warned of.
pub const CERTIFICATE_WARNING: Duration = Duration::from_secs(14 * 86_400);
