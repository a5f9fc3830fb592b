//! Every bound of this package.

use std::time::Duration;

/// Most requests of one connection that are sent and not answered, unless configured otherwise.
/// Those beyond wait in the order in which they came.
///
/// Half of what vestibule takes from one connection (2048), so that what is sent is also read.
pub const IN_FLIGHT_MAX_DEFAULT: usize = 1024;

/// Most bytes of requests that wait to be written to one connection, unless configured otherwise:
/// of those up to 16 KiB, and again of larger ones, so that small ones do not wait for the room
/// that large ones take. One larger request is taken when no other large one waits.
pub const QUEUED_BYTES_MAX_DEFAULT: usize = 16 << 20;

/// Longest reply that is accepted unless configured otherwise, in bytes. A longer one ends the
/// connection.
pub const REPLY_SIZE_MAX_DEFAULT: usize = 256 << 20;

/// Bytes that are written at once when many requests wait, if the socket takes as many.
pub(crate) const WRITE_BATCH_SIZE: usize = 64 << 10;

/// Bytes of a request, or a piece of one, that is written without being copied to others.
pub(crate) const COPIED_PIECE_MAX: usize = 32 << 10;

/// Room that is made for reads, in bytes.
pub(crate) const READ_SIZE: usize = 64 << 10;

/// Room that a read has at least, in bytes.
pub(crate) const READ_SIZE_MIN: usize = 16 << 10;

/// Fewest bytes of a piece of a reply in chunks whose rest is read straight to the reply.
pub(crate) const STRAIGHT_READ_MIN: usize = 32 << 10;

/// Bytes that are read behind a piece that was read so: the head of the next, which is read so too.
pub(crate) const HEAD_READ_SIZE: usize = 4 << 10;

/// Bytes of replies in chunks that a server may send before they are admitted (256 KiB).
///
/// With [`CHUNK_CREDIT`] it is also what one transfer gets through in a round trip.
pub(crate) const CHUNK_WINDOW: usize = 256 << 10;

/// Replies in chunks that are under way at once.
pub(crate) const CHUNK_MESSAGES_MAX: usize = 64;

/// How many bytes of a reply in chunks are admitted ahead of what has come, at most (2 MiB): a
/// quarter at first. With less, a transfer on this machine waits for its credit.
pub(crate) const CHUNK_CREDIT: usize = 2 << 20;

/// Bytes that TLS takes ahead of what the kernel takes: a record.
#[cfg(feature = "tls")]
pub(crate) const TLS_UNSENT_MAX: usize = 16 << 10;

/// How long a connection that is left may take to send its last bytes.
pub(crate) const GOODBYE_TIME_MAX: Duration = Duration::from_secs(1);

/// Most of what a server offers to hold of requests in chunks that is used: bytes, and messages.
pub(crate) const CHUNK_WINDOW_SENT_MAX: usize = 16 << 20;
/// See [`CHUNK_WINDOW_SENT_MAX`].
pub(crate) const CHUNK_MESSAGES_SENT_MAX: usize = 4096;

/// Most bytes of credit that wait for a server that sends and does not read. Beyond, the connection
/// is given up.
pub(crate) const ANSWERS_SIZE_MAX: usize = 1 << 20;

/// Longest URL of a server, in bytes.
pub const URL_SIZE_MAX: usize = 4096;

/// How long it may take to connect, to be greeted and to log in, unless configured otherwise.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// How long a request may take, waits for the connection and repetitions included, unless
/// configured otherwise.
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How long nothing may be received before a ping asks whether the server is there, unless
/// configured otherwise.
pub const PING_INTERVAL_DEFAULT: Duration = Duration::from_secs(10);

/// How long nothing may be received after such a ping before the connection is given up, unless
/// configured otherwise.
pub const PING_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// The first wait before a connection is made again. Each that fails doubles it.
pub const BACKOFF_MIN_DEFAULT: Duration = Duration::from_millis(50);

/// The longest wait before a connection is made again, unless the server asks for a longer one.
pub const BACKOFF_MAX_DEFAULT: Duration = Duration::from_secs(5);

/// How long a connection has to last to count as good: the next wait is the first one again.
pub(crate) const CONNECTION_GOOD_AFTER: Duration = Duration::from_secs(1);

/// Longest wait that a server may ask for, by `retry_after`.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// The wait before a request that was refused without a hint is sent again.
pub const RETRY_AFTER_DEFAULT: Duration = Duration::from_millis(100);

/// How long requests that surely did not run are repeated, unless configured otherwise.
pub const RETRY_WITHIN_DEFAULT: Duration = Duration::from_secs(5);

/// How often a request whose definitions were out of date looks them up again.
pub(crate) const SCHEMA_RETRIES_MAX: usize = 8;

/// Most names of spaces and indexes that a connection remembers. Beyond, all are forgotten.
pub(crate) const SCHEMA_ENTRIES_MAX: usize = 4096;

/// Most keys that are watched over one connection.
pub const WATCHES_MAX: usize = 1024;

/// Most pushes of one request that wait to be taken. One more fails the request.
pub const PUSHES_MAX: usize = 1024;

/// Tuples of a page, unless asked otherwise.
pub const PAGE_SIZE_DEFAULT: usize = 1000;

/// Most instances of a pool.
pub const POOL_MEMBERS_MAX: usize = 256;

/// How often an instance that tells no events is asked for its role, unless configured otherwise.
pub const ROLE_INTERVAL_DEFAULT: Duration = Duration::from_secs(1);

const _: () = assert!(READ_SIZE_MIN <= READ_SIZE);
const _: () = assert!(WRITE_BATCH_SIZE <= QUEUED_BYTES_MAX_DEFAULT);
const _: () = assert!(BACKOFF_MIN_DEFAULT.as_millis() < BACKOFF_MAX_DEFAULT.as_millis());
