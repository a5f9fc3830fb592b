//! What allocations take.
//!
//! ```text
//!   bytes asked for ─▶ + 8 of the allocator ─▶ rounded up to 16, and no less than 32
//! ```
//!
//! That is glibc's arithmetic; other allocators stay within a few percent of it for what is
//! allocated here.

/// What stands before the contents of an `Arc`: two counts.
pub(crate) const ARC_HEAD: usize = 16;

/// What an allocation of this size takes, in bytes; nothing for none.
#[inline]
pub(crate) const fn allocated(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    let whole = (bytes + 8).next_multiple_of(16);
    if whole < 32 { 32 } else { whole }
}
