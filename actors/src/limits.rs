//! Every bound of this package, with the relations between them checked when it is compiled. Public
//! are the defaults and bounds of the configuration, and what clients and operators meet.

/// Declares bounds, and lists them as [`SHOWN`].
macro_rules! shown {
    ($($(#[$doc:meta])+ $name:literal: $constant:ident = $value:expr;)+) => {
        $($(#[$doc])+ pub const $constant: usize = $value;)+

        /// What `vestibule.show('limits')` lists by these names, besides what is configured.
        pub(crate) const SHOWN: &[(&str, u64)] = &[$(($name, $constant as u64)),+];
    };
}

mod listening;
mod lost;
#[cfg(feature = "tls")]
mod tls;
mod upstream;

use std::time::Duration;

pub use listening::*;
pub(crate) use lost::*;
#[cfg(feature = "tls")]
pub use tls::*;
pub(crate) use upstream::SHOWN as UPSTREAM_SHOWN;
pub use upstream::*;
use vestibule_wire::limits::{AHEAD_MAX, CHUNK_PAYLOAD_MAX};

shown! {
    /// Requests of one connection that are forwarded and not yet answered.
    "connection_requests_max": CONNECTION_REQUESTS_MAX = 2048;
    /// Bytes of requests of one connection that are forwarded and not yet answered. One request is
    /// let through whatever its size.
    "connection_bytes_max": CONNECTION_BYTES_MAX = 16 << 20;
    /// Requests that one worker may have forwarded and not yet answered. Beyond it the worker's
    /// connections are not read; Tarantool's counterpart (`net_msg_max`) is 768 per network thread.
    "session_thread_requests_max": WORKER_REQUESTS_MAX = 16 * 1024;
    /// More of them, for connections with next to nothing in flight: a client that takes all the
    /// others, with calls that sleep for hours, does not stop these.
    "session_thread_requests_reserve": WORKER_RESERVE = 1024;
    /// Of these, kept for users who have logged in: guests leave them alone.
    "session_thread_requests_users_reserve": WORKER_USERS_RESERVE = 256;
    /// And more, for administrators who have logged in, with next to nothing in flight.
    "session_thread_requests_admin_reserve": WORKER_ADMIN_RESERVE = 64;
    /// Bytes of forwarded requests of one worker that are not yet answered.
    "session_thread_bytes_max": WORKER_BYTES_MAX = 256 << 20;
    /// Replies waiting for a slow reader at which its connection is not read any more, in bytes.
    "output_pause_bytes": OUTPUT_PAUSE = 1 << 20;
    /// Replies waiting for a slow reader at which its connection is closed, in bytes.
    "output_max_bytes": OUTPUT_MAX = 256 << 20;
    /// Bytes of replies of one connection, on their way from Tx and waiting for a slow reader, at
    /// which Tx lets its next requests wait. One reply is let through whatever its size.
    "connection_reply_bytes_max": CONNECTION_REPLY_BYTES_MAX = 4 << 20;
    /// Requests that Tx executes before it commits and sends the replies.
    "turn_requests_max": TURN_REQUESTS_MAX = 4096;
    /// Jobs of the embedder that are under way; more of them wait for their turn.
    "jobs_max": JOBS_MAX = 1024;
    /// Jobs of the embedder that Tx does in one turn, besides the requests of clients.
    "turn_jobs_max": TURN_JOBS_MAX = 64;
    /// Keys that one connection may watch.
    "watches_per_connection_max": WATCHES_PER_CONNECTION_MAX = 128;
    /// Keys of events of one's own that have a value.
    "events_max": EVENTS_MAX = 1024;
    /// Size of the value of one of them, as MessagePack.
    "event_value_max_bytes": EVENT_VALUE_SIZE_MAX = 16 << 10;
    /// Keys and values of all of them together, in bytes.
    "events_max_bytes": EVENTS_BYTES_MAX = 4 << 20;
    /// Size of a push, told to a client before its reply, in bytes.
    "push_max_bytes": PUSH_SIZE_MAX = 1 << 20;
    /// Calls of one connection that wait for transitions.
    "transition_waits_per_connection_max": TRANSITION_WAITS_PER_CONNECTION_MAX = 16;
    /// Reservations (locks, cursors) that one connection may hold.
    "reservations_per_connection_max": RESERVATIONS_PER_CONNECTION_MAX = 256;
}

/// Threads that own sockets, at most: more than machines have cores for.
pub const SESSION_THREADS_MAX: usize = 256;

/// Longest name of an instance, in bytes: as long as one of a host may be.
pub const INSTANCE_NAME_MAX: usize = 63;

/// What a client is told when nothing is known about how long it will take.
pub const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);
/// Shortest time after which a client is asked to come back.
pub(crate) const RETRY_AFTER_MIN: Duration = Duration::from_millis(100);
/// Longest time after which a client is asked to come back: it should see progress.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// How many times a request that is refused is admitted again, because the state has changed since
/// the verdict on it.
pub(crate) const ADMISSION_LOOKS_MAX: u32 = 3;

/// Room of an actor's mailbox, in messages: what actix takes by itself. It holds nobody back, since
/// all messages are sent without asking for room; what bounds them are credits.
pub(crate) const MAILBOX_SLOTS: usize = 16;

/// A connection may use the reserve while it has fewer requests in flight than this.
#[doc(hidden)]
pub const RESERVE_REQUESTS_MAX: usize = 4;
/// Largest request that the reserve accepts, in bytes.
pub(crate) const RESERVE_BYTES_MAX: usize = 64 << 10;
/// What the buffers of all connections, and the replies on their way to them, may take together, in
/// bytes. One reply for each thread may go beyond.
pub const CONNECTIONS_MEMORY_MAX_DEFAULT: usize = 1 << 30;
/// Buffers of one connection that are not counted, in bytes.
#[doc(hidden)]
pub const MEMORY_SMALL: usize = 16 << 10;

/// How often Tx looks again at requests that wait for room for their replies, if nobody tells it.
pub(crate) const BACKLOG_LOOK_PERIOD: Duration = Duration::from_millis(20);
/// Requests of those that Tx asks at a look whether they were taken back, or all of one connection.
pub(crate) const BACKLOG_SWEEP_MAX: usize = 4096;
/// How long more memory than the bound may be in use, or all credits be taken, before connections
/// that hold more than a share and do not take their replies are closed. With the tick that finds
/// it, others wait for less than a second.
pub(crate) const SHORTAGE_TIME_MAX: Duration = Duration::from_millis(700);

/// A turn of Tx that is full after fewer requests is followed by turns by user, address and
/// connection; after more, those that wait do not wait long.
pub const TURN_REQUESTS_COSTLY: usize = 1024;
/// Least that [`OUTPUT_MAX`] may be for a connection that is adopted with bounds of its own, in
/// bytes: more than the server makes for a slow reader by itself.
pub const OUTPUT_MAX_LEAST: usize = 8 << 20;
/// Bytes of replies after which Tx ends a turn.
pub(crate) const TURN_REPLY_BYTES_MAX: usize = 4 << 20;
/// Bytes of small replies, which are copied, after which Tx ends a turn.
pub(crate) const TURN_SMALL_BYTES_MAX: usize = 1 << 20;
/// Time after which Tx ends a turn (checked every [`TURN_CLOCK_EVERY`] requests).
pub(crate) const TURN_TIME_MAX: Duration = Duration::from_millis(5);
/// Requests between two looks at the clock within a turn.
pub(crate) const TURN_CLOCK_EVERY: usize = 64;

/// How long Tx may make no progress, with requests waiting, unless configured otherwise.
pub const TX_STALL_AFTER_DEFAULT: Duration = Duration::from_millis(500);
/// How often the watchdog looks at Tx within `tx_stall_after`.
pub(crate) const WATCHDOG_LOOKS_PER_PERIOD: u32 = 5;
/// Shortest time between two looks of the watchdog, and the time between them while Tx stands
/// still.
pub(crate) const WATCHDOG_LOOK_MIN: Duration = Duration::from_millis(10);
/// Longest time between two looks of the watchdog, however long the period is.
pub(crate) const WATCHDOG_LOOK_MAX: Duration = Duration::from_millis(250);
/// Stalls that follow soon on each other need up to this many times `tx_stall_after`.
pub(crate) const STALL_PATIENCE_MAX: u32 = 8;
/// After this many times `tx_stall_after` without a stall, the next one needs it only once again.
pub(crate) const STALL_CALM_PERIODS: u32 = 20;

/// Size of the segments that large replies, and what waits of the others, are kept in, in bytes. Of
/// a reply that is larger no more is copied than rows that are smaller, and those once.
pub(crate) const SEGMENT_SIZE: usize = 64 << 10;
/// Segments that are kept for those who need some next: as much as the largest reply takes.
pub(crate) const SEGMENTS_KEPT_MAX: usize = 2048;
/// Segments that are mapped (a system's default is 65,530 mappings); others are allocated.
pub(crate) const SEGMENTS_MAPPED_MAX: usize = 48 << 10;
/// How often the segments that were not needed meanwhile are given back to the system.
pub(crate) const SEGMENTS_TRIM_PERIOD: Duration = Duration::from_millis(250);
/// Segments that are given back to the system at a time: it takes some microseconds for each.
pub(crate) const SEGMENTS_TRIMMED_MAX: usize = 256;
/// Pieces of memory that one system call writes: heads of chunks and what follows them.
pub(crate) const PARTS_PER_WRITE_MAX: usize = 64;
/// Segments that one system call writes, as bytes.
pub(crate) const SEGMENTS_PER_WRITE_MAX: usize = 8;
/// Bytes of requests in chunks that a connection may send before they are admitted.
pub(crate) const CHUNK_WINDOW: usize = 256 << 10;
/// Requests in chunks that a connection may have under way.
pub(crate) const CHUNK_MESSAGES_MAX: usize = 16;
/// How many bytes of a request in chunks are admitted ahead of what has come, at most: what has
/// come, from a quarter of this on.
pub(crate) const CHUNK_CREDIT: usize = 1 << 20;
/// Most of a window that a client offers, and most messages under way, that are used.
pub(crate) const CHUNK_WINDOW_MAX: usize = 16 << 20;
/// Most messages in chunks that are under way to one client.
pub(crate) const CHUNK_MESSAGES_SENT_MAX: usize = 4096;
/// One part in this of a connection's bound on output may wait for a client that takes chunks while
/// its requests are taken: what it is slow to take of one group holds up that group alone.
pub(crate) const BESIDE_CHUNKS_PART: usize = 8;
/// Bytes of answers to pings and others that go ahead, beside which further pings are taken
/// although other requests wait: 64 KiB, and all that is ready of other replies for a fast socket.
pub(crate) const OUTPUT_CONTROL_MAX: usize = AHEAD_MAX + CHUNK_PAYLOAD_MAX + (64 << 10);
/// Bytes that are written for one connection before others get their turn.
pub(crate) const FLUSH_BYTES_MAX: usize = 512 << 10;
/// How long a session's turn may go on when others may wait for theirs.
pub(crate) const SESSION_TURN_TIME_MAX: Duration = Duration::from_micros(250);
/// A session's turn that took this long is followed by a rest, in which others go first.
pub(crate) const SESSION_TURN_LONG: Duration = Duration::from_micros(50);
/// How many times as long as the turn.
pub(crate) const SESSION_REST_TIMES: u32 = 64;
/// Work between two looks at the clock within a session's turn, in pings.
pub(crate) const SESSION_TURN_WORK_PER_LOOK: u32 = 64;
/// What a login takes about: in pings.
pub(crate) const LOGIN_WORK: u32 = 16;
/// What a SELECT from the view takes about, if it is small: in pings.
pub(crate) const VIEW_SELECT_WORK: u32 = 8;
/// Requests that are looked at ahead for SELECTs that the view hears of together.
pub(crate) const FORESEEN_MAX: usize = 16;
/// Bursts of a connection that a view is not told of after one that it had no use for.
pub(crate) const BURSTS_UNFORESEEN: u8 = 63;
/// Bytes taken from a socket in one read.
#[doc(hidden)]
pub const READ_SIZE: usize = 64 << 10;
/// Bytes that are read from one socket before the others get their turn; a read of fewer than
/// [`READ_SIZE`] counts as one of as many, but for that of a head.
pub(crate) const READ_PER_POLL_MAX: usize = 4 * READ_SIZE;
/// Bytes of a large request that are read straight to where it is gathered, in one read.
pub(crate) const STRAIGHT_READ_MAX: usize = 256 << 10;
/// Fewest bytes of a frame's rest that are, for there has to be room for them, and of a whole piece
/// whose rest is.
pub(crate) const STRAIGHT_READ_MIN: usize = 32 << 10;
/// Bytes that are read behind a piece that was read so: the head of the next, which is read so too.
pub(crate) const HEAD_READ_SIZE: usize = 4 << 10;
/// A buffer that grew beyond this is no more among those that small things are kept in, in bytes.
pub(crate) const BUFFER_KEEP_MAX: usize = 256 << 10;
/// Bytes of buffers of large requests that one worker keeps for the next: two of the largest, as
/// they are configured by default, for one is filled while Tx has the other. They are charged as
/// what connections hold is.
pub(crate) const LARGE_KEPT_MAX: usize = 128 << 20;
/// Part of a large request that has come before it moves to a buffer that is kept for such, unless
/// it is more than [`BUFFER_KEEP_MAX`].
pub(crate) const LARGE_BEGUN_PART: usize = 16;
/// Bytes of it that have come beyond which it does not move any more.
pub(crate) const LARGE_MOVED_MAX: usize = 1 << 20;
/// Part of a large request's size that its buffer may have beyond it.
pub(crate) const LARGE_SLACK_PART: usize = 16;
/// How long such a buffer is kept whole while nobody needs it. Then it shrinks.
pub(crate) const LARGE_KEPT_TIME: Duration = Duration::from_millis(250);
/// Bytes by which it does at each tick: the system takes a millisecond for some megabytes.
pub(crate) const LARGE_TRIMMED_MAX: usize = 4 << 20;
/// Empty buffers that one worker keeps for reuse.
pub(crate) const BUFFERS_KEPT_MAX: usize = 64;

/// How many of its sessions a worker tells of a change before others run: what comes meanwhile
/// waits for that many.
pub(crate) const NOTICES_PER_STEP_MAX: usize = 256;

/// How often a worker looks at what has waited too long.
pub(crate) const WORKER_TICK_PERIOD: Duration = Duration::from_millis(100);

/// How long a request may take to arrive, unless configured otherwise.
pub const HALF_FRAME_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// How long replies wait for a client that reads nothing, unless configured otherwise.
pub const UNREAD_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// How long a client that has closed its half is waited for while nothing of it is answered, unless
/// configured otherwise.
pub const HALF_CLOSED_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// How long that is at most while connections are scarce.
pub const HALF_CLOSED_CROWDED_MAX: Duration = Duration::from_secs(1);
/// Requests of one connection that the solo policy `hold` keeps, unless configured otherwise.
pub const HOLD_REQUESTS_MAX_DEFAULT: usize = 1024;
/// Bytes of requests of one connection that the solo policy `hold` keeps, unless configured
/// otherwise.
pub const HOLD_BYTES_MAX_DEFAULT: usize = 1 << 20;
/// How long the solo policy `hold` keeps a request, unless configured otherwise.
pub const HOLD_TIME_MAX_DEFAULT: Duration = Duration::from_secs(5);

/// How often a connection's time limits are looked at within the shortest of them.
pub(crate) const TIME_LOOKS_PER_LIMIT: u32 = 8;
/// Shortest time between two looks at a connection's time limits.
pub(crate) const TIME_LOOK_MIN: Duration = WORKER_TICK_PERIOD;
/// Longest time between two looks at a connection's time limits. A look takes some 0.1 µs per
/// connection.
pub(crate) const TIME_LOOK_MAX: Duration = Duration::from_secs(1);

/// How exactly deadlines of requests and transactions are kept: nothing is over before its time,
/// and what is over is found this much later at most.
pub(crate) const TIMER_TICK: Duration = Duration::from_millis(10);
/// Slots of the wheel that keeps deadlines, one per [`TIMER_TICK`]; deadlines further away than a
/// round wait for their round.
pub(crate) const TIMER_SLOTS: usize = 512;

/// First pause of accepting after the system ran out of descriptors or memory; each that follows
/// without a connection in between is twice as long.
pub(crate) const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
/// Longest pause of accepting.
pub(crate) const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Connections without a slot that are rejected at once; then one per [`REJECT_PERIOD`].
pub(crate) const REJECT_BURST: u32 = 64;
/// Time per connection that is rejected beyond [`REJECT_BURST`].
pub(crate) const REJECT_PERIOD: Duration = Duration::from_millis(1);

/// Connections, if neither the descriptors nor the configuration say less.
pub(crate) const CONNECTIONS_MAX: usize = 1 << 20;
/// Descriptors of the process besides those of threads, listeners, connections and the engine:
/// standard streams, signals, what it inherited, the reactor of a Tx that takes over from another.
#[doc(hidden)]
pub const RUNTIME_DESCRIPTORS: usize = 16;
/// Descriptors of one thread's reactor (tokio on Linux: two epolls, an eventfd, a socket).
#[doc(hidden)]
pub const THREAD_DESCRIPTORS: usize = 4;
/// Descriptors kept for the engine: files of the journal and of a checkpoint, directories.
pub const ENGINE_DESCRIPTORS_DEFAULT: usize = 16;
/// Connection slots of administrators.
pub const ADMINISTRATORS_DEFAULT: usize = 8;
/// Descriptors kept for rejecting connections that have no slot: one being rejected, one still
/// closing.
#[doc(hidden)]
pub const SPARE_DESCRIPTORS: usize = 2;
/// Descriptors are scarce when less than one in this many of the clients' is free.
pub(crate) const CROWDED_SHARE: usize = 8;
/// How long a connection may have a provisional administrator's slot before it has to be used as
/// one.
pub(crate) const PROVISIONAL_SLOT_TIME: Duration = Duration::from_secs(2);

/// How long a connection to an administrators' listener may go without a user logging in or a
/// control procedure being called, unless configured otherwise.
pub const ADMIN_AUTHENTICATION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// How long a connection to an administrators' listener has its slot at least, if others want it.
pub(crate) const ADMIN_SLOT_TIME_MIN: Duration = Duration::from_millis(500);
/// How long a connection that finds no slot at an administrators' listener waits for one that is
/// made free for it.
pub(crate) const ADMIN_SLOT_WAIT: Duration = Duration::from_millis(50);

/// Time between two warnings of one kind that others bring about.
#[doc(hidden)]
pub const WARNING_PERIOD: Duration = Duration::from_secs(10);

/// Wrong logins from an address that are answered at once, unless configured otherwise.
pub const LOGIN_FAILURES_FREE_DEFAULT: u32 = 5;
/// How long the answer to the first of those beyond waits; each more waits twice as long.
pub(crate) const LOGIN_DELAY_MIN: Duration = Duration::from_millis(100);
/// How long the answer to a wrong login waits at most, unless configured otherwise.
pub const LOGIN_DELAY_MAX_DEFAULT: Duration = Duration::from_secs(5);
/// How long it is remembered at least that logins from an address were wrong.
pub(crate) const LOGIN_FORGET_MIN: Duration = Duration::from_secs(60);
/// Age of a connection from such an address before its login is looked at, right or wrong.
pub(crate) const LOGIN_ADDRESS_DELAY: Duration = Duration::from_millis(250);
/// Addresses with wrong logins that a runtime remembers; beyond, all count as one.
pub(crate) const LOGIN_ADDRESSES_MAX: usize = 4096;
/// How often they are looked through, at most.
pub(crate) const LOGIN_SWEEP_PERIOD: Duration = Duration::from_secs(1);
/// How long an authenticator of the embedder may take for a login, unless it says otherwise.
pub const AUTHENTICATOR_TIME_DEFAULT: Duration = Duration::from_secs(10);
/// Size of a user's name, and of a password, that an authenticator is asked about, in bytes.
pub const LOGIN_TEXT_SIZE_MAX: usize = 1024;
/// Lines of the audit log that one connection brings about: at once, and in which time one more.
pub(crate) const AUDIT_LINES_PER_CONNECTION: (u32, Duration) = (16, Duration::from_secs(10));
/// The same of all connections of those who have not logged in, and of the others.
pub(crate) const AUDIT_LINES: (u32, Duration) = (1000, Duration::from_millis(500));
/// Characters of a text in a line of the audit log.
pub(crate) const AUDIT_TEXT_MAX: usize = 256;
/// Characters of a user's name in the log that nobody has logged in by.
pub(crate) const LOGGED_NAME_MAX: usize = 64;

/// Size of a watched key, in bytes.
pub const EVENT_KEY_SIZE_MAX: usize = 1024;
/// Transactions that one connection may have open, each in a stream of its own, unless configured
/// otherwise.
pub const TRANSACTIONS_PER_CONNECTION_MAX_DEFAULT: usize = 256;
/// The most that may be configured of them: a request looks its transaction up among all those of
/// its connection.
pub const TRANSACTIONS_PER_CONNECTION_MAX: usize = 1024;
/// Transactions of all connections together, unless configured otherwise.
pub const TRANSACTIONS_MAX_DEFAULT: usize = 4096;
/// Reservations of all connections together, unless configured otherwise.
pub const RESERVATIONS_MAX_DEFAULT: usize = 64 * 1024;
/// Requests of all connections that wait for something else than Tx (a lock, the one before them in
/// their stream, an asynchronous procedure), unless configured otherwise.
pub const WAITS_MAX_DEFAULT: usize = 16 * 1024;
/// The most that may be configured of them: each worker has a word for each.
pub const WAITS_MAX: usize = 1 << 20;
/// Bytes of requests that wait for the one before them in their stream, or for room for their
/// replies, of all connections together.
pub(crate) const WAIT_BYTES_MAX: usize = 64 << 20;
/// How long a request waits for something else than Tx, unless configured otherwise.
pub const WAIT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// One in this many of what all connections share is kept for administrators who have logged in.
pub(crate) const QUOTA_RESERVE_PART: usize = 16;
/// Percent of what all connections share that one user may hold, unless configured otherwise.
pub const USER_SHARE_DEFAULT: u8 = 50;
/// Percent of it that may be held from one address, unless configured otherwise.
pub const ADDRESS_SHARE_DEFAULT: u8 = 50;
/// Percent of it that one user may hold from one address, unless configured otherwise: less than
/// the others, so that there is some left for the same user elsewhere, and for others at the same
/// address.
pub const USER_AT_ADDRESS_SHARE_DEFAULT: u8 = 25;
/// Size of a lock's name, in bytes.
pub(crate) const LOCK_NAME_SIZE_MAX: usize = 256;
/// How long a request waits for a lock if it does not say.
pub const LOCK_WAIT_DEFAULT: Duration = Duration::from_secs(10);
/// How long a request waits for a lock at most, whatever it says: a day.
pub(crate) const LOCK_WAIT_MAX: Duration = Duration::from_secs(86_400);
/// Bytes that are read, for its end, from a connection of which no frame may be taken now.
#[doc(hidden)]
pub const INBOX_WAITING_MAX: usize = 128 << 10;
/// The same, of one whose client takes chunks: credit may stand behind requests that wait for it.
pub(crate) const INBOX_CHUNKS_MAX: usize = 4 << 20;
/// SELECTs of several steps of one connection, of different streams, that take turns.
pub(crate) const SCANS_MAX: usize = 16;
/// Streams that wait for SELECTs of several steps, with more of which all do.
pub(crate) const SCAN_WAITERS_MAX: usize = 64;
/// Steps that a SELECT on the read view may take before other connections get their turn.
pub(crate) const VIEW_STEPS_PER_POLL_MAX: u32 = 4;
/// Rows that one step of a SELECT on the catalog looks at.
pub(crate) const CATALOG_STEP_ROWS_MAX: usize = 128;
/// Bytes after which such a step ends.
pub(crate) const CATALOG_STEP_BYTES_MAX: usize = 64 << 10;
/// Steps on the read view that one call of a procedure that sessions run may take.
pub const LOCAL_READ_STEPS_MAX: u32 = 16;
/// How long a procedure may hold up its session thread before the log tells of it.
pub(crate) const LOCAL_CALL_LONG: Duration = Duration::from_millis(10);
/// Times a stepwise SELECT starts over because the data changed, before it is refused or forwarded.
pub(crate) const VIEW_RESTARTS_MAX: u32 = 3;
/// Deaths of Tx within [`TX_DEATHS_PERIOD`] after which the runtime gives up.
pub(crate) const TX_DEATHS_MAX: usize = 3;
/// How long a death of Tx counts.
pub(crate) const TX_DEATHS_PERIOD: Duration = Duration::from_secs(60);
/// How long after the deadline of a transition session threads may take to answer their clients,
/// and Tx to close its engine, before they are left behind. What is promised is 50 ms; the rest is
/// for the way out.
pub(crate) const TRANSITION_SLACK: Duration = Duration::from_millis(40);
/// How long a client that watches `box.shutdown` is served as ever when a stop begins: for what it
/// sends before it has heard, and has to finish. Never beyond the deadline.
pub(crate) const SHUTDOWN_NOTICE: Duration = Duration::from_secs(1);
/// Requests that were not taken and are told so by each session thread when a stop is over.
pub(crate) const UNTAKEN_TOLD_MAX: usize = 16 << 10;
/// How long that may take: the rest of [`TRANSITION_SLACK`] is to send it, and to report.
pub(crate) const UNTAKEN_TIME_MAX: Duration = Duration::from_millis(10);
/// Transitions that are remembered for `vestibule.show('transitions')`.
pub const TRANSITIONS_KEPT_MAX: usize = 100;
/// Callers that wait for the end of transitions. A caller beyond them is told to come later.
pub(crate) const TRANSITION_CALLERS_MAX: usize = 1024;
/// Longest time that a control procedure takes as an argument: a year.
pub(crate) const CONTROL_TIME_MAX: Duration = Duration::from_secs(365 * 86_400);
/// How long a caller waits for another transition that is under way, unless it says otherwise.
pub const TRANSITION_WAIT_DEFAULT: Duration = Duration::from_secs(60);
/// How long a stop or a demotion waits for what is under way, unless configured otherwise.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(3);
/// Shortest grace `auto`, unless configured otherwise.
pub const GRACE_AUTO_MIN_DEFAULT: Duration = Duration::from_millis(500);
/// Longest grace `auto`, unless configured otherwise.
pub const GRACE_AUTO_MAX_DEFAULT: Duration = Duration::from_secs(30);
/// Grace `auto`, before any transaction was seen.
pub const GRACE_UNKNOWN: Duration = Duration::from_secs(3);
/// Transactions whose times grace `auto` looks at.
pub(crate) const RECENT_TRANSACTIONS: usize = 1024;
/// Bytes of a reason for solo, a stop or loading that are kept: it is told with each request that
/// is refused for it.
pub(crate) const REASON_SIZE_MAX: usize = 512;
/// Rows that `vestibule.show` returns at most.
pub const SHOW_ROWS_MAX: usize = 10_000;

/// Bounds of the buckets that durations are counted in, of requests, turns and syncs alike: from
/// what the fastest takes to what nobody waits for.
pub const DURATION_BUCKETS: [Duration; DURATION_BUCKETS_COUNT] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];
/// How many they are.
pub(crate) const DURATION_BUCKETS_COUNT: usize = 14;
/// Of the turns of a worker's sessions, one in this many is timed to its end: a clock that is read
/// in each would cost a ping a hundredth of what it costs.
pub(crate) const TURN_TIMED_EVERY: u32 = 16;
/// How often the System's thread tells that it goes on; session threads do at each of their ticks.
pub(crate) const PULSE_PERIOD: Duration = Duration::from_secs(1);
/// Spaces of which an engine tells numbers, at most: each is several time series to those
/// who scrape them.
pub const ENGINE_SPACES_TOLD_MAX: usize = 1000;

/// How often a worker looks at its counters for how much there is per second.
pub(crate) const RATE_SAMPLE_PERIOD: Duration = Duration::from_secs(1);
/// Over how many such periods that is told.
pub(crate) const RATE_SAMPLES: usize = 5;

/// How often those who watch `box.status` are told how far recovery is.
pub(crate) const LOADING_TOLD_EVERY: Duration = Duration::from_secs(1);

const _: () = assert!(TRANSITION_WAITS_PER_CONNECTION_MAX < TRANSITION_CALLERS_MAX);
const _: () = assert!(CONNECTION_REQUESTS_MAX <= WORKER_REQUESTS_MAX);
const _: () = assert!(CONNECTION_BYTES_MAX <= WORKER_BYTES_MAX);
const _: () = assert!(WORKER_USERS_RESERVE < WORKER_RESERVE && UPSTREAM_REPLY_LARGE <= READ_SIZE);
const _: () = assert!(RESERVE_REQUESTS_MAX <= CONNECTION_REQUESTS_MAX);
const _: () = assert!(MEMORY_SMALL < INBOX_WAITING_MAX && READ_SIZE <= INBOX_WAITING_MAX);
const _: () = assert!(ACCEPT_PAUSE_MIN.as_nanos() < ACCEPT_PAUSE_MAX.as_nanos());
const _: () = assert!(ADMINISTRATORS_DEFAULT > 0 && CROWDED_SHARE > 1);
const _: () = assert!(STALL_PATIENCE_MAX < STALL_CALM_PERIODS);
const _: () = assert!(RESERVATIONS_PER_CONNECTION_MAX < RESERVATIONS_MAX_DEFAULT);
const _: () = assert!(TRANSACTIONS_PER_CONNECTION_MAX_DEFAULT <= TRANSACTIONS_PER_CONNECTION_MAX);
const _: () = assert!(TRANSACTIONS_PER_CONNECTION_MAX <= TRANSACTIONS_MAX_DEFAULT);
const _: () = assert!(CONNECTION_BYTES_MAX <= WAIT_BYTES_MAX && WAITS_MAX_DEFAULT <= WAITS_MAX);
const _: () = assert!(USER_AT_ADDRESS_SHARE_DEFAULT < USER_SHARE_DEFAULT);
const _: () = assert!(USER_AT_ADDRESS_SHARE_DEFAULT < ADDRESS_SHARE_DEFAULT);
const _: () = assert!(OUTPUT_PAUSE < OUTPUT_MAX && OUTPUT_PAUSE <= CONNECTION_REPLY_BYTES_MAX);
const _: () = assert!(CONNECTION_REPLY_BYTES_MAX < OUTPUT_MAX_LEAST);
const _: () = assert!(OUTPUT_MAX_LEAST <= OUTPUT_MAX && TURN_REPLY_BYTES_MAX < OUTPUT_MAX_LEAST);
const _: () = assert!(MEMORY_SMALL <= SEGMENT_SIZE && SEGMENT_SIZE <= TURN_SMALL_BYTES_MAX);
const _: () = assert!(SEGMENTS_PER_WRITE_MAX * SEGMENT_SIZE <= FLUSH_BYTES_MAX);
const _: () = assert!(FLUSH_BYTES_MAX < OUTPUT_CONTROL_MAX && TIMER_SLOTS.is_multiple_of(64));
const _: () = assert!(SEGMENT_SIZE.is_multiple_of(4096) && SEGMENT_SIZE <= BUFFER_KEEP_MAX);
const _: () = assert!(TURN_REQUESTS_COSTLY < TURN_REQUESTS_MAX);
