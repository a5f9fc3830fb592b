//! When a thread was seen to go on last: told by a timer of its own, for those who ask whether it
//! lives.

use std::time::Duration;

use crate::counting::counter::OwnCounter;

/// The time of the last beat, since the start of the runtime: a thread that never came so far has
/// it from there.
#[derive(Debug, Default)]
pub(crate) struct Pulse(OwnCounter);

impl Pulse {
    /// The thread goes on. For it alone.
    pub(crate) fn beat(&self, since_start: Duration) {
        self.0.set(since_start.as_millis() as u64);
    }

    /// How long ago that was.
    pub(crate) fn age(&self, since_start: Duration) -> Duration {
        since_start.saturating_sub(Duration::from_millis(self.0.get()))
    }
}
