//! Steps of work, counted in tests: that operations are cheap together is shown by counts and not
//! by times.

#[cfg(test)]
use std::cell::Cell;

#[cfg(test)]
thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// Counts steps.
#[inline]
pub(super) fn take(_count: u64) {
    #[cfg(test)]
    TAKEN.with(|taken| taken.set(taken.get() + _count));
}

/// The steps that `work` takes on this thread.
#[cfg(test)]
pub(super) fn of(work: impl FnOnce()) -> u64 {
    let before = TAKEN.with(Cell::get);
    work();
    TAKEN.with(Cell::get) - before
}
