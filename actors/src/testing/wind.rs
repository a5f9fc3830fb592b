//! The clock of a server, wound by hand.
//!
//! ```text
//!   wind(time):  all go on with what has come ─▶ to what is due next ─▶ all look ─▶ to the next …
//!                                                 └─────────── in the order of the times ─┘
//! ```

use std::time::Duration;

use super::engine::PATIENCE;
use super::server::TestServer;
use crate::limits::TIMER_TICK;

/// How often the clock stands still where something is due: beyond that it does not stand still
/// more often again on the rest of its way.
const STOPS_MAX: u32 = 1000;

impl<E: 'static> TestServer<E> {
    /// Winds the runtime's clock on by this time, as if it had passed. What is under way goes on
    /// first, as far as it comes without time: a request that is [in
    /// flight](crate::RuntimeHandle::in_flight) is where it waits. Then everything that becomes due
    /// is looked at by every thread, in the order in which it is due: time limits of requests,
    /// transactions and connections, transitions, work that is done
    /// [every so often](crate::Procedures::every), procedures that
    /// [sleep](crate::engine::AsyncContext::sleep). What is over within `time` is over when this
    /// returns; what takes longer by two ticks of 10 ms, and by what the test itself takes, is not.
    ///
    /// What goes by the system's time is not wound: `actix_rt::time::sleep`, `Instant::now`. Ask
    /// the runtime what time it is: [`Reply::now`](crate::engine::Reply::now),
    /// [`AsyncContext::now`](crate::engine::AsyncContext::now),
    /// [`RuntimeHandle::now`](crate::RuntimeHandle::now).
    ///
    /// # Panics
    ///
    /// If a thread does not look: a procedure keeps Tx from going on, say, for which there is
    /// [`wind_around_tx`](Self::wind_around_tx).
    pub fn wind(&self, time: Duration) {
        self.wind_with(time, true);
    }

    /// As [`wind`](Self::wind), while Tx stands still in something that the test lets go on later:
    /// nobody waits for it. It looks at what is due when it goes on.
    ///
    /// # Panics
    ///
    /// If another thread does not look.
    pub fn wind_around_tx(&self, time: Duration) {
        self.wind_with(time, false);
    }

    fn wind_with(&self, time: Duration, is_tx_to_look: bool) {
        let look = || {
            let seen = self.handle.look_around(is_tx_to_look, PATIENCE);
            let next =
                seen.unwrap_or_else(|who| panic!("{who} does not look at a clock that was wound"));
            let next = [next, self.clock.next_sleeper()];
            next.into_iter().flatten().min()
        };
        // Limits are found at most a tick late.
        let mut left = time + TIMER_TICK;
        let (mut stops, mut next) = (0, look());
        while !left.is_zero() {
            let until_next = next.map(|at| at.saturating_duration_since(self.clock.now()));
            let shortest = if stops < STOPS_MAX {
                TIMER_TICK
            } else {
                time / STOPS_MAX
            };
            let step = until_next.map_or(left, |until| until.max(shortest).min(left));
            self.clock.wind(step);
            left -= step;
            stops += 1;
            next = look();
        }
    }
}
