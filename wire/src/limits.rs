//! Every bound of this package.

/// Largest request frame that is accepted unless configured otherwise, in bytes (64 MiB).
///
/// Tarantool's own bound is 2 GiB, all of which a client can make it reserve.
pub const PACKET_SIZE_MAX_DEFAULT: u64 = 64 << 20;

/// Largest request frame that can be configured, in bytes: Tarantool's `IPROTO_PACKET_SIZE_MAX`.
pub const PACKET_SIZE_MAX: u64 = 2 << 30;

/// Deepest nesting of arrays and maps that is accepted in a request.
///
/// Checking well-formedness needs one counter per level, kept on the stack.
pub const NESTING_DEPTH_MAX: usize = 128;

/// Most errors inside the fields of errors, as extension values, that are accepted in a request.
///
/// Each level is a call of its own when the values are checked.
pub const NESTED_ERRORS_MAX: usize = 8;

/// Most operations of one UPDATE or UPSERT, as in Tarantool.
pub const UPDATE_OPERATIONS_MAX: u32 = 4000;

/// Longest text of an error, and of a text among its fields, in bytes. Longer ones lose their
/// middle.
///
/// Room for two tuples, as they are shown, and names of usual lengths. Every error has its text
/// twice in a reply, and a request may name what is not there by as many bytes as it has.
pub const ERROR_TEXT_SIZE_MAX: usize = 4096;

/// Most instances of a vclock that is read: those that a replica set may have, and component 0.
pub const VCLOCK_SIZE_MAX: u32 = 33;

/// Most errors in one error stack that are written; the rest of the chain is left out.
pub const ERROR_STACK_DEPTH_MAX: usize = 16;

/// Bytes that a message group sends before others have their turn, and a chunk's payload (16 KiB).
///
/// 1.3 ms at 100 Mbit/s; 0.15 % of a chunk is its header.
pub const GROUP_QUANTUM: usize = 16 << 10;

/// Fewest bytes of a chunk that is not the last of its message, nor an empty first (4 KiB).
///
/// A receiver that gives credit by the byte would else be sent a head for each.
pub const CHUNK_PAYLOAD_MIN: usize = 4 << 10;

/// Most bytes of a chunk (128 KiB): what a sender with one busy group may take at a time of it, if
/// its socket has just taken many times as much.
pub const CHUNK_PAYLOAD_MAX: usize = 128 << 10;

/// Bytes that are taken out of the groups ahead of a socket, at least: what comes later waits for
/// them.
pub const AHEAD_MIN: usize = GROUP_QUANTUM;

/// Bytes that are taken out of the groups ahead of a socket that has just taken as many.
pub const AHEAD_MAX: usize = 512 << 10;

/// Unsent bytes with which the kernel takes no more of a connection with chunks
/// (`TCP_NOTSENT_LOWAT`), but for one write: what is written later waits for them.
pub const UNSENT_IN_KERNEL_MAX: u32 = GROUP_QUANTUM as u32;

/// The same of a socket that takes hundreds of KB at a time (64 KiB): a packet buffer of the
/// kernel.
pub const UNSENT_IN_KERNEL_FAST_MAX: u32 = 64 << 10;

/// Largest write to a connection with chunks that the kernel is not to join others with
/// (`MSG_EOR`): it fills its last packet buffer, of as many bytes, without counting what is not
/// sent.
pub const RECORD_MAX: usize = 64 << 10;

/// The same of a socket that takes little at a time: it has two of its packet buffers and one more
/// in the queue of its device, whatever their size (4 KiB).
pub const RECORD_SLOW_MAX: usize = 4 << 10;

/// Bytes with which a socket is full that takes little at a time.
pub const SLOW_FLUSH_MAX: usize = 2 * AHEAD_MIN;

/// Bytes of a buffer up to which all of it is copied at once when it grows (1 MiB): that takes some
/// 0.2 ms.
pub const GROWS_AT_ONCE_MAX: usize = 1 << 20;

/// Bytes of messages in chunks that a peer holds before it admits them, if it says nothing.
pub const CHUNK_WINDOW_DEFAULT: usize = 64 << 10;

/// Messages in chunks that a peer has under way at once, if it says nothing.
pub const CHUNK_MESSAGES_DEFAULT: usize = 1;

/// Most message groups whose queues a connection keeps for the next, when none is in use.
pub const GROUP_QUEUES_KEPT_MAX: usize = 64;

/// Longest queue of a message group that is kept for the next, in messages.
pub const GROUP_QUEUE_KEPT_MAX: usize = 64;

const _: () = assert!(PACKET_SIZE_MAX_DEFAULT <= PACKET_SIZE_MAX);
const _: () = assert!(RECORD_SLOW_MAX <= RECORD_MAX);
const _: () = assert!(GROUP_QUANTUM <= CHUNK_PAYLOAD_MAX && AHEAD_MIN <= AHEAD_MAX);
