//! Every bound of the engine.

use std::time::Duration;

/// Largest tuple unless configured otherwise, in bytes: Tarantool's `memtx_max_tuple_size`.
pub const TUPLE_SIZE_MAX_DEFAULT: usize = 1 << 20;

/// Time between two syncs of the journal synced by interval, unless configured otherwise.
pub const JOURNAL_SYNC_PERIOD_DEFAULT: Duration = Duration::from_millis(100);

/// Bytes of the journal since the last checkpoint that make another one due, unless configured
/// otherwise.
pub const CHECKPOINT_JOURNAL_SIZE_DEFAULT: u64 = 256 << 20;

/// Age of the last checkpoint that makes another one due, unless configured otherwise: Tarantool's
/// `checkpoint_interval`.
pub const CHECKPOINT_INTERVAL_DEFAULT: Duration = Duration::from_secs(3600);

/// Checkpoints that are kept, unless configured otherwise: Tarantool's `checkpoint_count`.
pub const CHECKPOINT_COUNT_DEFAULT: u16 = 2;

/// Largest body of a SELECT's reply, in bytes. A larger result has to be fetched page by page.
pub(crate) const REPLY_SIZE_MAX: usize = 128 << 20;

/// Tuples that one step of a read view walks over.
pub(crate) const VIEW_STEP_TUPLES_MAX: usize = 1000;

/// Tuples that a read view may walk over while it holds the image's lock: looks that small are not
/// worth a version, which Tx would have to copy for. Others hold no lock while they walk.
pub(crate) const VIEW_LOCKED_TUPLES_MAX: u64 = 32;

/// Look-ups that go down their trees together: more of them wait for memory no shorter.
pub(crate) const LOOK_UPS_TOGETHER_MAX: usize = 16;
/// Tuples of an index of which look-ups go down together. What is smaller is in the processor's
/// caches for the most part.
pub(crate) const LOOK_UPS_TOGETHER_TUPLES_MIN: usize = 400_000;

/// Bytes of nodes and tuples that all kept versions of the image may have to themselves, what was
/// copied, replaced and dropped since the oldest of them began. Beyond, the oldest is taken back: a
/// scan starts over, a transaction that only reads is aborted.
pub(crate) const VERSIONS_KEPT_BYTES_MAX: u64 = 256 << 20;

/// Bytes that a version may have to itself to be dropped where it was held; more go to a thread of
/// their own.
pub(crate) const VERSION_DROPPED_INLINE_MAX: u64 = 1 << 20;

/// Changes that are applied to the image in place, under its lock, which sessions may wait for.
/// More of them, as of a large transaction, are applied to a version, which then becomes the image.
pub(crate) const APPLIED_IN_PLACE_MAX: usize = 4096;

/// Bytes that one step of a read view copies; one tuple may go beyond.
pub(crate) const VIEW_STEP_BYTES_MAX: usize = 256 << 10;

/// Largest number of a space, as in Tarantool.
pub(crate) const SPACE_ID_MAX: u32 = i32::MAX as u32;

/// Most users and roles together: each has its rights computed with every change of rights.
pub(crate) const USERS_MAX: usize = 1024;

/// Largest number of a user or role: keys of system spaces that are looked up have 32 bits.
pub(crate) const USER_ID_MAX: u64 = u32::MAX as u64;

/// Largest number of a function, as in Tarantool.
pub(crate) const FUNCTION_ID_MAX: u64 = 32_000;

/// Longest name of a space, index, field or user, in bytes, as in Tarantool.
pub(crate) const NAME_SIZE_MAX: usize = 65_000;

/// Numbers of indexes are below this, as in Tarantool.
pub(crate) const INDEX_ID_MAX: u32 = 128;

/// Most parts of an index, as in Tarantool.
pub(crate) const INDEX_PARTS_MAX: usize = 255;

/// Most elements of an array that a multikey index has a key of each for. What a tuple costs in an
/// index is bounded by this.
pub(crate) const MULTIKEY_ELEMENTS_MAX: u32 = 4096;

/// Most bytes that the keys of one tuple take in a multikey index: each repeats the other parts.
pub(crate) const MULTIKEY_BYTES_MAX: usize = 4 << 20;

/// Most bytes of one key that are texts with a collation: some 1.5 ms of a thread, and at worst 9,
/// by what `model::collated` says that a byte takes.
pub(crate) const COLLATED_KEY_BYTES_MAX: usize = 64 << 10;

/// Most bytes of such texts in all keys of one tuple, of all indexes together: some 5 ms of Tx, and
/// at worst 35. The keys take up to 15 times as much memory.
pub(crate) const COLLATED_TUPLE_BYTES_MAX: usize = 256 << 10;

/// Bytes of a tuple that count as a row more where an index of it is built and has collations: at
/// worst 2 µs, so that [`QUIET_CHECKS_MAX`] of them are some 20 ms, and mostly 3.
pub(crate) const COLLATED_STEP_BYTES: usize = 16;

/// Most marks in a row (accents, vowel signs) that a collator is given, as in Unicode's stream-safe
/// text format: the time that it takes grows with their square.
#[cfg(feature = "collations")]
pub(crate) const COLLATED_MARKS_MAX: usize = 30;

/// Bytes of a sort key that is made without an allocation.
#[cfg(feature = "collations")]
pub(crate) const SORT_KEY_INLINE_MAX: usize = 256;

/// Most fields that a format may name, as in Tarantool.
pub(crate) const FORMAT_FIELDS_MAX: usize = 32_767;

/// Largest number of fields of a tuple, as in Tarantool.
pub(crate) const FIELD_COUNT_MAX: u64 = 0x7fff_ffff;

/// Most foreign keys of a space, those of its fields counted: each is looked up for every tuple
/// that is stored.
pub(crate) const FOREIGN_KEYS_MAX: usize = 64;

/// Most other spaces whose foreign keys refer to one space: each is looked into for every tuple
/// that goes.
pub(crate) const REFERRERS_MAX: usize = 64;

/// Tuples of a space that are checked against a new format before Tx declares itself busy.
pub(crate) const QUIET_CHECKS_MAX: u64 = 10_000;

/// Tuples that are dropped on Tx's own thread; more of them go to a thread of their own.
pub(crate) const DROP_INLINE_MAX: usize = 10_000;

/// Bytes of arrays and maps that the paths of an UPDATE or UPSERT may lead through, each counted
/// once for every level above it: some 40 ms of Tx. Of a tuple of 1 MiB, that is 16 levels.
pub(crate) const UPDATE_WALK_BYTES_MAX: usize = 16 << 20;

/// Longest text of a tuple in an error, in bytes.
pub(crate) const PRINTED_TUPLE_MAX: usize = 1024;

/// Transactions that may be open at once.
pub const OPEN_TRANSACTIONS_MAX: usize = 4096;

/// Bytes of what one transaction may change, tuples and what it takes to keep them; the last change
/// may go beyond.
pub const TRANSACTION_BYTES_MAX: usize = 64 << 20;

/// Bytes of what all open transactions may have changed and seen together. Beyond, changes are
/// refused, what is seen is remembered as whole indexes, and one that only reads is aborted where
/// it would need more to go on with the past.
pub(crate) const TRANSACTIONS_BYTES_MAX: usize = 256 << 20;

/// Bytes of [`TRANSACTIONS_BYTES_MAX`] that are kept for administrators who have logged in and who
/// find the rest, or their share, taken.
pub(crate) const TRANSACTIONS_BYTES_RESERVE: usize = TRANSACTIONS_BYTES_MAX / 16;

/// Bytes of what the open transactions of one user may have changed and seen together.
pub(crate) const TRANSACTIONS_BYTES_PER_USER_MAX: usize = TRANSACTIONS_BYTES_MAX / 2;

/// The same, of those from one address (of IPv6, one network of 64 bits).
pub(crate) const TRANSACTIONS_BYTES_PER_ADDRESS_MAX: usize = TRANSACTIONS_BYTES_MAX / 2;

/// The same, of those of one user at one address: one that is as large as it may be, with all that
/// it may have seen, and some beside it.
pub(crate) const TRANSACTIONS_BYTES_PER_USER_AT_ADDRESS_MAX: usize = TRANSACTIONS_BYTES_MAX / 8 * 3;

/// Bytes of a turn's changes that are copied for readers that they overtake; the last copy may go
/// beyond. Then the turn is committed before another request begins, and a COMMIT that joins it
/// aborts the readers that it overtakes: what is done for them is in proportion to what is changed.
pub(crate) const TURN_COPIED_BYTES_MAX: usize = 256 << 10;

/// What it takes to keep one change beside long keys and tuples, in bytes: its 64 bytes in a tree
/// whose nodes are about half full.
pub(crate) const LAYER_ENTRY_BYTES: usize = 144;

/// Changes of indexes by one statement whose list is kept for the next one: a few KiB.
pub(crate) const INDEX_CHANGES_KEPT_MAX: usize = 64;

/// Spaces and indexes whose places in the turn are kept for the next one.
pub(crate) const LAYER_KEPT_MAX: usize = 16;

/// What it takes to remember one key that was seen, in bytes: twice, half full each.
pub(crate) const TRANSACTION_POINT_BYTES: usize = 160;

/// What it takes to remember one range that was seen, in bytes.
pub(crate) const TRANSACTION_RANGE_BYTES: usize = 192;

/// Points and ranges of transactions that are over that one statement takes out, and one turn.
pub(crate) const TRANSACTION_TAKEN_OUT_MAX: usize = 512;

/// The same, of a change that somebody may have seen.
pub(crate) const TRANSACTION_TAKEN_OUT_PER_CHANGE: usize = 2;

/// Single keys that are remembered as seen by one transaction. Beyond, whole indexes are.
pub(crate) const TRANSACTION_POINTS_MAX: usize = 50_000;

/// Bytes of keys that are remembered as seen by one transaction. Beyond, whole indexes are.
pub(crate) const TRANSACTION_SEEN_BYTES_MAX: usize = 8 << 20;

/// Ranges that are remembered as seen of one index. Beyond, the whole index is.
pub(crate) const TRANSACTION_RANGES_MAX: usize = 256;

/// Most arguments of a call: what fits on a stack of Lua.
pub(crate) const CALL_ARGUMENTS_MAX: usize = 8000;

/// Most values, nested ones counted, of one argument that is read by a procedure, such as a table
/// of options: some for each of [`FORMAT_FIELDS_MAX`] fields.
pub(crate) const CALL_VALUES_MAX: usize = 1 << 18;

/// Memory of a turn's record that is kept for the next one, in bytes.
pub(crate) const RECORD_KEPT_MAX: usize = 4 << 20;

/// Memory of the buffer that new tuples are put together in, in bytes, that is kept for the next
/// one: what fits most tuples.
pub(crate) const SCRATCH_KEPT_BYTES_MAX: usize = 64 << 10;

/// Rows that a load puts into one turn.
pub(crate) const IMPORT_TURN_ROWS: usize = 1000;

/// Bytes of rows that a load puts into one turn; the last one may go beyond.
pub(crate) const IMPORT_TURN_BYTES: usize = 1 << 20;

/// Rows and finished spaces that one step of a checkpoint looks at: it holds a version of the image
/// for that long.
pub(crate) const CHECKPOINT_STEP_ROWS_MAX: usize = 2000;

/// Bytes that one step of a checkpoint copies; the last tuple may go beyond.
pub(crate) const CHECKPOINT_STEP_BYTES_MAX: usize = 256 << 10;

/// Bytes of a checkpoint that are written before they are synced: a turn's own sync may have to
/// wait for them.
pub(crate) const CHECKPOINT_UNSYNCED_MAX: u64 = 16 << 20;

/// How often a checkpoint is begun before it gives up, if primary keys are redefined meanwhile.
pub(crate) const CHECKPOINT_ATTEMPTS_MAX: u32 = 5;

/// How long a checkpoint by size or age waits after one that failed.
pub(crate) const CHECKPOINT_RETRY_PAUSE: Duration = Duration::from_secs(60);

/// Most objects open to everybody that the log names at a start, each on a line of its own.
pub(crate) const OPENINGS_TOLD_MAX: usize = 1000;

/// How often the log tells how far recovery is.
pub(crate) const RECOVERY_TOLD_EVERY: Duration = Duration::from_secs(1);

const _: () = assert!(
    TRANSACTION_BYTES_MAX + TRANSACTION_SEEN_BYTES_MAX
        <= TRANSACTIONS_BYTES_PER_USER_AT_ADDRESS_MAX
);
// The runtime keeps some of them for administrators.
const _: () = assert!(vestibule_actors::limits::TRANSACTIONS_MAX_DEFAULT <= OPEN_TRANSACTIONS_MAX);
const _: () = assert!(VIEW_STEP_BYTES_MAX < REPLY_SIZE_MAX);
const _: () = assert!(TUPLE_SIZE_MAX_DEFAULT < REPLY_SIZE_MAX);

// One whole reply fits beside what may wait for a slow reader already.
const _: () = assert!(2 * REPLY_SIZE_MAX <= vestibule_actors::limits::OUTPUT_MAX);
