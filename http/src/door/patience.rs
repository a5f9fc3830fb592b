//! How long a connection may last: until a time that is moved on while its client takes what it is
//! told.

use std::cell::Cell;

use tokio::time::{Instant, sleep_until};

use crate::limits::CONNECTION_TIME_MAX;

/// Until when a connection may last.
#[derive(Debug)]
pub(crate) struct Patience(Cell<Instant>);

impl Patience {
    /// As long as one request and its answer may take.
    pub(crate) fn new() -> Self {
        Self(Cell::new(Instant::now() + CONNECTION_TIME_MAX))
    }

    /// As long again, from now on.
    pub(super) fn renew(&self) {
        self.0.set(Instant::now() + CONNECTION_TIME_MAX);
    }

    /// Ends when the time is over.
    pub(crate) async fn is_over(&self) {
        while Instant::now() < self.0.get() {
            sleep_until(self.0.get()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn who_goes_on_is_waited_for_and_nobody_else() {
        let patience = Patience::new();
        patience.0.set(Instant::now());
        assert_eq!(patience.is_over().now_or_never(), Some(()));
        patience.renew();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("it can be made");
        let _clock = runtime.enter();
        assert_eq!(patience.is_over().now_or_never(), None);
    }
}
