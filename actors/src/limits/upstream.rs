//! Bounds of a gateway: of what it asks upstreams, and of what waits for them.

use std::time::Duration;

shown! {
    /// A connection, or a user, may use the reserve while it has fewer calls on their way, of those
    /// of one session thread.
    "upstream_calls_few": UPSTREAM_CALLS_FEW = 4;
    /// Calls, EVAL and SQL that one session thread may have forwarded and not yet answered, with
    /// what their connections have sent behind them: beside all else, which goes on when these are
    /// as many. There is a reserve as of all else.
    "session_thread_calls_max": WORKER_CALLS_MAX = super::WORKER_REQUESTS_MAX;
    /// Bytes of these.
    "session_thread_calls_max_bytes": WORKER_CALLS_BYTES_MAX = 128 << 20;
    /// Upstreams of one gateway.
    "upstreams_max": UPSTREAMS_MAX = 32;
    /// Bytes of requests that wait for an upstream to take over, of all session threads together.
    /// How many they may be is bounded as all that is on its way is.
    "failover_max_bytes": FAILOVER_BYTES_MAX = 64 << 20;
    /// Links of one session thread to one upstream: of those that nobody uses, the one that was
    /// used longest ago is closed for another; where all are used, a request that needs one more is
    /// refused. As many descriptors are kept for them.
    "upstream_links_per_session_thread_max": LINKS_PER_UPSTREAM_MAX = 64;
    /// Of these, kept for those who share links, unless each client has its own.
    "upstream_links_shared_reserve": SHARED_LINKS_RESERVE = 8;
    /// Of those that are one client's, kept for users, and addresses, with next to none: nobody
    /// takes all of them.
    "upstream_links_pinned_reserve": PINNED_LINKS_RESERVE = 16;
    /// A user, or an address, may use that reserve while it has fewer.
    "upstream_links_pinned_few": PINNED_LINKS_FEW = 4;
    /// With this number of links of one session thread to an upstream, none is opened there for
    /// bulk: what is left is for users who have none.
    "upstream_links_before_bulk_max": LINKS_BEFORE_BULK_MAX = 32;
    /// Bytes of a request, or of a reply, from which on its client goes over the link for bulk, if
    /// nothing of it is under way: smaller ones are over before others notice.
    "upstream_bulk_min_bytes": BULK_BYTES_MIN = 256 << 10;
    /// Bytes of the requests by which one client has set something in its session upstream, as they
    /// are kept so that another session is made the same.
    "session_settings_max_bytes": SESSION_SETTINGS_BYTES_MAX = 16 << 10;
    /// Settings of one client that are kept, by their names: Tarantool has about ten. Each link
    /// that follows is sent all of them.
    "session_settings_max": SESSION_SETTINGS_MAX = 32;
    /// Statements that one client has prepared.
    "session_statements_max": STATEMENTS_MAX = 1024;
    /// Bytes of these, as they are kept so that they are there in another session.
    "session_statements_max_bytes": STATEMENTS_BYTES_MAX = 1 << 20;
    /// Bytes of a reply to a question for the catalog that is kept.
    "upstream_catalog_reply_max_bytes": CATALOG_REPLY_SIZE_MAX = 4 << 20;
    /// Bytes of all such replies that are kept, with what they are kept by.
    "upstream_catalog_max_bytes": CATALOG_BYTES_MAX = 64 << 20;
    /// Users whose hashes and keys a gateway knows.
    "upstream_users_max": UPSTREAM_USERS_MAX = 10_000;
    /// Keys of events that clients watch and that are watched upstream, for all of them together.
    "upstream_keys_max": UPSTREAM_KEYS_MAX = 1024;
    /// Of these, those that one user was first to watch.
    "upstream_keys_per_user_max": UPSTREAM_KEYS_OF_USER_MAX = 512;
}

/// Requests that one upstream has on its way, of all session threads together, unless configured
/// otherwise. Tarantool's `net_msg_max` is 768, and at as many it reads nobody any more.
pub const UPSTREAM_REQUESTS_DEFAULT: usize = 512;

/// Of these, calls, EVAL and SQL: such as may sleep leave room for others.
pub const UPSTREAM_CALLS_DEFAULT: usize = 384;

/// The fewest that there may be: a call, and something else.
pub const UPSTREAM_REQUESTS_MIN: usize = 2;

/// The most. Their replies may be beyond the memory of connections, up to 64 KiB each.
pub const UPSTREAM_REQUESTS_MAX: usize = 8192;

/// Of calls, EVAL and SQL, kept for connections with next to none on their way, an eighth at most:
/// one connection does not keep the others of its user from calling.
pub const UPSTREAM_CALLS_CONNECTIONS_RESERVE: usize = 48;

/// And kept for users with next to none on their way, an eighth at most: one user does not keep the
/// others from it, with however many connections.
pub const UPSTREAM_CALLS_USERS_RESERVE: usize = 48;

/// After how long an upstream counts as silent that owes an answer, unless configured otherwise.
pub const SILENT_AFTER_DEFAULT: Duration = Duration::from_millis(500);

/// How often an upstream is probed, unless configured otherwise.
pub const PROBE_INTERVAL_DEFAULT: Duration = Duration::from_millis(200);

/// How often a scout looks whether its upstream is silent.
pub(crate) const SCOUT_LOOK_PERIOD: Duration = Duration::from_millis(50);

/// Longest reply that a scout takes, in bytes: a page of the catalog, of rows of up to
/// `memtx_max_tuple_size`, which is 1 MiB unless configured otherwise.
pub(crate) const SCOUT_REPLY_SIZE_MAX: usize = 8 << 20;

/// How often while no upstream is written to.
pub(crate) const PROBE_INTERVAL_WITHOUT_PRIMARY: Duration = Duration::from_millis(50);

/// How often while requests are held for the one that takes over: each waits for that to be seen.
/// A hold has its end, and a probe takes an upstream some 40 µs. The same for [`SPLIT_HURRY`].
pub(crate) const PROBE_INTERVAL_HELD: Duration = Duration::from_millis(20);

/// For how long upstreams are asked more often when another one has come to take changes beside the
/// one that requests go to: what the two are about shows in that time, and where both do by design
/// they are not asked so often for ever.
pub(crate) const SPLIT_HURRY: Duration = Duration::from_secs(1);

/// How long a connection to an upstream may take to be made, greeted and logged in, unless
/// configured otherwise.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);

/// Addresses of one upstream that are tried, if its name has several.
pub(crate) const UPSTREAM_ADDRESSES_MAX: usize = 8;

/// How long what a scout has sent may be without the acknowledgment of its upstream's machine,
/// before the kernel gives the connection up: a machine or a network that has vanished. The links
/// to it end with it.
pub const SCOUT_UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);

/// The same of links by themselves. The kernel counts it as well while an upstream that is blocked
/// has no room for what is to be sent, which is no reason to give its requests up.
pub const LINK_UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);

/// How long a scout may hear nothing although it is owed an answer, before it tries another
/// connection: what is between may have forgotten this one. At least four times as long as after
/// which an upstream counts as silent.
pub const SCOUT_SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long an upstream that was lost is left alone at first; each time longer, up to
/// [`RECONNECT_WAIT_MAX`].
pub(crate) const RECONNECT_WAIT_MIN: Duration = Duration::from_millis(50);

/// The longest that an upstream that was lost is left alone.
pub(crate) const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(2);

/// The same while no upstream is written to: whichever comes first is used within a second.
pub(crate) const RECONNECT_WAIT_WITHOUT_PRIMARY: Duration = Duration::from_millis(500);

/// The same while requests are held. With what is taken off at random, up to a half, one is tried
/// 20 times a second at most.
pub(crate) const RECONNECT_WAIT_HELD: Duration = Duration::from_millis(100);

/// For how many times as long an upstream may say nothing that was silent and came back, again and
/// again.
pub(crate) const SILENCE_PATIENCE_MAX: u32 = 8;

/// Bytes that a link hands over to the kernel ahead of what that has taken: what is behind them can
/// be taken back.
pub(crate) const LINK_AHEAD_MAX: usize = 256 << 10;

/// Bytes of a request that has waited up to which it is copied behind what goes before it, and is
/// written with that: to copy so much takes less than a system call.
pub(crate) const LINK_COPY_MAX: usize = 16 << 10;

/// Bytes of a part of what a link has to write from which on the next request begins another one: a
/// part is freed when it is written whole.
pub(crate) const LINK_PART_MAX: usize = 64 << 10;

/// How long requests are held when an upstream is lost that another one may stand in for, unless
/// configured otherwise.
pub const FAILOVER_HOLD_DEFAULT: Duration = Duration::from_secs(1);

/// Bytes of requests that one upstream has on its way, and that are kept so that they can be sent
/// again, of all session threads together. What does not fit is sent once.
pub(crate) const KEPT_BYTES_MAX: usize = 64 << 20;

/// Bytes of a body up to which it is copied into a buffer that stays for the next one.
pub(crate) const OWED_BODY_KEEP_MAX: usize = 4 << 10;

/// How many links may end, one after another, that have sent a request: it may be what ends them.
pub(crate) const LINKS_LOST_PER_REQUEST_MAX: u8 = 4;

/// How often requests may come to go elsewhere while one has no answer.
pub(crate) const MOVES_PER_REQUEST_MAX: u8 = 8;

/// How often it is looked whether what waits for a link can have one.
pub(crate) const PARKED_LOOK_PERIOD: Duration = Duration::from_millis(50);

/// Bytes of a reply of an upstream from which on it is gathered in segments.
pub(crate) const UPSTREAM_REPLY_LARGE: usize = 64 << 10;

/// After how long a link that nobody uses is closed.
pub(crate) const LINK_IDLE_MAX: Duration = Duration::from_secs(60);

/// For how long a client goes over the link for bulk after its last large request or reply, unless
/// configured otherwise: who asks for much again and again, with pauses, does not stand before
/// others each time.
pub const BULK_FOR_DEFAULT: Duration = Duration::from_secs(10);

/// Of these, those of one connection that has links of its own: the one in use, and one that comes
/// to its end, since its client has logged in as another user or reads other values by now.
pub(crate) const LINKS_PER_PINNED_MAX: usize = 2;

/// Bytes of the body of a SELECT of the catalog whose reply is kept.
pub(crate) const CATALOG_QUESTION_SIZE_MAX: usize = 256;

/// Questions for the catalog of one user whose replies are kept: a connector has three, and others
/// by what it can read. More would take the room of other users.
pub(crate) const CATALOG_QUESTIONS_PER_USER_MAX: usize = 64;

/// Questions for the catalog that are on their way over one link, and whose replies are kept.
pub(crate) const CATALOG_QUESTIONS_MAX: usize = 256;

/// How long an upstream is not asked for its catalog that has refused to tell it.
pub(crate) const CATALOG_REFUSED_WAIT: Duration = Duration::from_secs(5);

/// How long it has to be so that a read-only upstream may answer no SELECTs, or may again, before
/// the log says it. Definitions reach replicas later than the one that takes changes, and both are
/// read again then: that is nobody's trouble.
pub(crate) const UNREAD_REPLICA_AFTER: Duration = Duration::from_secs(2);

/// Rows of the catalog that a scout asks for at a time: its upstream is not kept from others.
pub(crate) const CATALOG_PAGE_ROWS: u32 = 4;

/// What the upstream that takes changes had, and when: how many ballots of it are remembered, with
/// which those of replicas are compared. Of more, every other one of the older half is forgotten.
pub(crate) const BALLOTS_KEPT_MAX: usize = 64;

/// For how long it counts what an upstream has said of a user: by its answer, from when it was
/// asked, or by a login.
pub(crate) const UPSTREAM_USER_FRESH: Duration = Duration::from_secs(1);

/// The longest that a link stays which is told that its user is not there, although the one before
/// was replaced for that: applications have errors of that number as well.
pub(crate) const GONE_USER_WAIT_MAX: Duration = Duration::from_secs(30);

/// Questions for users in a second that strangers may cause: for names that are not known, or whose
/// password was wrong.
pub(crate) const UPSTREAM_USER_LOOKUPS_PER_SECOND: u32 = 10;

/// How soon after the last time it is looked which keys are watched: clients that begin and end
/// watches all the time do not keep the scouts from their upstreams.
pub(crate) const KEYS_LOOK_PERIOD: Duration = Duration::from_millis(5);

const _: () = assert!(UPSTREAM_REQUESTS_MAX <= WORKER_CALLS_MAX);
const _: () = assert!(super::CONNECTION_REQUESTS_MAX < WORKER_CALLS_MAX);
const _: () = assert!(super::CONNECTION_BYTES_MAX < WORKER_CALLS_BYTES_MAX);
const _: () = assert!(SHARED_LINKS_RESERVE + PINNED_LINKS_RESERVE <= LINKS_PER_UPSTREAM_MAX / 2);
const _: () = assert!(LINKS_BEFORE_BULK_MAX <= LINKS_PER_UPSTREAM_MAX - SHARED_LINKS_RESERVE);
// Such a reply does not come whole with one read, whatever that has found half of.
const _: () = assert!(BULK_BYTES_MIN >= UPSTREAM_REPLY_LARGE + 2 * super::READ_SIZE);
const _: () = assert!(BULK_FOR_DEFAULT.as_secs() < LINK_IDLE_MAX.as_secs());
const _: () = assert!(UPSTREAM_KEYS_OF_USER_MAX < UPSTREAM_KEYS_MAX);
const _: () = assert!(UPSTREAM_KEYS_MAX <= super::EVENTS_MAX);
const _: () = assert!(SCOUT_UNACKNOWLEDGED_MAX.as_secs() < LINK_UNACKNOWLEDGED_MAX.as_secs());
const _: () = assert!(UPSTREAM_CALLS_DEFAULT == UPSTREAM_REQUESTS_DEFAULT * 3 / 4);
const _: () = assert!(UPSTREAM_CALLS_CONNECTIONS_RESERVE <= UPSTREAM_CALLS_DEFAULT / 8);
const _: () = assert!(UPSTREAM_CALLS_USERS_RESERVE <= UPSTREAM_CALLS_DEFAULT / 8);
const _: () = assert!(UPSTREAM_REPLY_LARGE <= LINK_AHEAD_MAX);

/// The version of the catalog before there is one.
pub(crate) const SCHEMA_VERSION_MIN: u64 = 1;
