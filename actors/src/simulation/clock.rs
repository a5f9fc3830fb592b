//! The clock of a simulated world, wound by hand. A thread that nobody winds has the system's.

use std::cell::Cell;
use std::time::Instant;

#[derive(Debug, Clone, Copy)]
enum Source {
    System,
    /// tokio's paused clock, of the thread that the world runs on.
    Tokio,
    /// What the world told this thread last.
    Told(Instant),
}

thread_local! {
    static SOURCE: Cell<Source> = const { Cell::new(Source::System) };
}

/// Now.
pub(crate) fn now() -> Instant {
    match SOURCE.get() {
        Source::System => Instant::now(),
        Source::Tokio => tokio::time::Instant::now().into_std(),
        Source::Told(time) => time,
    }
}

/// This thread's time is that of its runtime, which is paused.
pub(super) fn follow_tokio() {
    SOURCE.set(Source::Tokio);
}

/// This thread's time stands still at this.
pub(super) fn tell(time: Instant) {
    SOURCE.set(Source::Told(time));
}

/// This thread's time is the system's again.
pub(super) fn release() {
    SOURCE.set(Source::System);
}
