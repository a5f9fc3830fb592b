//! Bounds of the door.

use std::time::Duration;

/// Descriptors that it takes at most, with its listeners and the reactor of its thread: what an
/// embedder keeps for it (`DescriptorLimits::reserved`). Half of what connections can have of them
/// is never taken by streams of events, however many look at the page: probes find room.
pub const DESCRIPTORS: usize = 24;
/// What its thread needs of them for itself: its reactor, and a file of `/proc` at a time.
pub(crate) const THREAD_DESCRIPTORS: usize = 4;
/// Addresses that it listens on, at most.
pub const LISTENERS_MAX: usize = 4;

/// Streams of events at a time, at most: open pages.
pub const EVENT_STREAMS_MAX: usize = 8;

/// Bytes that the system keeps for a client that does not read them, of which it makes twice as
/// much: a stream of events whose client is gone without a word is known by them, within about a
/// minute.
pub(crate) const SEND_BUFFER_SIZE: usize = 64 << 10;

/// How often it looks at the runtime, unless it is told otherwise.
pub(crate) const SAMPLE_PERIOD_DEFAULT: Duration = Duration::from_secs(1);
/// How often it may be told to look: more would be work for its thread alone.
pub const SAMPLE_PERIOD_MIN: Duration = Duration::from_millis(10);
/// How seldom: a stream of events that told nothing for [`CONNECTION_TIME_MAX`] would be closed.
pub const SAMPLE_PERIOD_MAX: Duration = Duration::from_secs(10);
/// Samples that are kept: five minutes, at one a second.
pub const SAMPLES_MAX: usize = 300;

/// Bytes of a request's head, at most.
pub const HEAD_SIZE_MAX: usize = 16 << 10;
/// Headers of a request, at most.
pub(crate) const HEADERS_MAX: usize = 64;
/// How long the head of a request may take.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(5);
/// How long it may take to agree on TLS, before the head of a request.
#[cfg(feature = "tls")]
pub(crate) const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a connection may last: one request, and its answer. Streams of events last as long as
/// their client takes something of them within this time.
pub const CONNECTION_TIME_MAX: Duration = Duration::from_secs(15);
/// How long the session threads may take to tell what they alone know.
pub(crate) const GATHER_TIME_MAX: Duration = Duration::from_secs(2);
/// How long it goes on answering those that are connected when it ends.
pub(crate) const CLOSING_TIME_MAX: Duration = Duration::from_millis(500);
/// How long it pauses when the system refuses a connection.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long ago a thread may have been seen to go on, and still counts as alive.
pub const ALIVE_WITHIN: Duration = Duration::from_secs(10);

/// How long before its end a certificate is warned of.
pub const CERTIFICATE_TIME_LEFT: Duration = Duration::from_secs(14 * 24 * 3600);

/// Rows of a list, unless fewer are asked for.
pub const ROWS_MAX: usize = 1000;
/// Bytes of a token, at most.
pub(crate) const TOKEN_SIZE_MAX: usize = 1024;

const _: () = assert!(SAMPLE_PERIOD_MAX.as_secs() < CONNECTION_TIME_MAX.as_secs());
const _: () = assert!(THREAD_DESCRIPTORS + LISTENERS_MAX + 2 * EVENT_STREAMS_MAX <= DESCRIPTORS);
