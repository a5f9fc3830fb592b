//! Bounds of the door.

use std::time::Duration;

/// Descriptors that it takes at most, with its listeners and the reactor of its thread: what an
/// embedder keeps for it (`DescriptorLimits::reserved`).
pub const DESCRIPTORS: usize = 16;
/// What its thread needs of them for itself: its reactor, and a file of `/proc` at a time.
pub(crate) const THREAD_DESCRIPTORS: usize = 4;
/// Addresses that it listens on, at most.
pub const LISTENERS_MAX: usize = 4;

/// Bytes of a request's head, at most.
pub const HEAD_SIZE_MAX: usize = 16 << 10;
/// Headers of a request, at most.
pub(crate) const HEADERS_MAX: usize = 64;
/// How long the head of a request may take.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a connection may last: one request, and its answer.
pub const CONNECTION_TIME_MAX: Duration = Duration::from_secs(15);
/// How long the session threads may take to tell what they alone know.
pub(crate) const GATHER_TIME_MAX: Duration = Duration::from_secs(2);
/// How long it goes on answering those that are connected when it ends.
pub(crate) const CLOSING_TIME_MAX: Duration = Duration::from_millis(500);
/// How long it pauses when the system refuses a connection.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long ago a thread may have been seen to go on, and still counts as alive.
pub const ALIVE_WITHIN: Duration = Duration::from_secs(10);

/// Rows of a list, unless fewer are asked for.
pub const ROWS_MAX: usize = 1000;
/// Bytes of a token, at most.
pub(crate) const TOKEN_SIZE_MAX: usize = 1024;

const _: () = assert!(THREAD_DESCRIPTORS + 2 * LISTENERS_MAX < DESCRIPTORS);
