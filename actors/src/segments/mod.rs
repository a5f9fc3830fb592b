//! Memory for large replies: segments of one size, used again, and chains of them.
//!
//! ```text
//!   Tx, sessions ─▶ take ──┬─ spare ones ◀───────────────┐
//!                          └─ or a new mapping           │ at most SEGMENTS_KEPT_MAX
//!   the one counter ◀─ charged     given back when it is dropped: kept, or unmapped
//! ```
//!
//! Each segment is a mapping of its own, so that what was taken goes back to the system when it is
//! dropped, whatever was allocated after it: an allocator keeps what lies below a small block that
//! is in use. It is charged as long as somebody has it.
//!
//! | file | what |
//! |---|---|
//! | `pool` | the counter; segments that nobody uses |
//! | `held` | what a connection holds in buffers and in segments |
//! | `shared_bytes` | bytes of somebody else, which are charged as segments are |
//! | `chain` | bytes in segments, and shared ones, taken from the front as they are sent |

mod chain;
mod held;
mod pool;
mod shared_bytes;

pub(crate) use chain::Chain;
pub(crate) use held::Held;
pub(crate) use pool::Segments;
