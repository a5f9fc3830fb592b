//! How long a login has to wait because others were wrong before it. Pure.
//!
//! ```text
//!   wrong ─▶ the connection's next one waits: 100 ms, then twice as long each time, up to a bound
//!     └ many from one address ─▶ any from there waits a little, right or wrong: so much that
//!                                guesses are slow, and too little to keep anybody out
//! ```
//!
//! A login that waits keeps what its connection sent behind it, and costs nothing meanwhile.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limits::{
    LOGIN_ADDRESS_DELAY, LOGIN_ADDRESSES_MAX, LOGIN_DELAY_MAX, LOGIN_DELAY_MIN, LOGIN_PERIOD,
    LOGIN_WRONG_MAX,
};
use crate::messages::SessionId;
use crate::throttle::Throttle;

/// How many logins from an address were wrong in this period.
#[derive(Debug)]
struct Recent {
    count: u32,
    since: Instant,
}

impl Recent {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= LOGIN_PERIOD
    }
}

/// The wrong logins of one worker's connections.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    addresses: HashMap<IpAddr, Recent>,
    /// Sessions with a login that waits, and until when.
    waiting: Vec<(SessionId, Instant)>,
    log: Throttle,
    undecided_log: Throttle,
}

/// What one connection has to do with it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LoginPace {
    wrong: u32,
    not_before: Option<Instant>,
}

impl LoginPace {
    fn delay(self) -> Duration {
        let doubled = LOGIN_DELAY_MIN * (1 << (self.wrong - 1).min(16));
        doubled.min(LOGIN_DELAY_MAX)
    }
}

impl Logins {
    /// Until when a login has to wait; `None` if it need not. `since`: when its connection began.
    pub(crate) fn wait_until(
        &self,
        pace: LoginPace,
        address: IpAddr,
        since: Instant,
        now: Instant,
    ) -> Option<Instant> {
        let recent = self.addresses.get(&address);
        let is_bad = recent.is_some_and(|own| own.count >= LOGIN_WRONG_MAX && !own.is_over(now));
        let from_there = is_bad.then(|| since + LOGIN_ADDRESS_DELAY);
        pace.not_before.max(from_there).filter(|until| now < *until)
    }

    /// A login was wrong. Returns the number of times since the last line of the log, if a line is
    /// due.
    pub(crate) fn count_wrong(
        &mut self,
        pace: &mut LoginPace,
        address: IpAddr,
        now: Instant,
    ) -> Option<u64> {
        pace.wrong += 1;
        pace.not_before = Some(now + pace.delay());
        if self.addresses.len() >= LOGIN_ADDRESSES_MAX && !self.addresses.contains_key(&address) {
            self.addresses.retain(|_, own| !own.is_over(now));
        }
        // Beyond the bound only connections are slowed down.
        if self.addresses.len() < LOGIN_ADDRESSES_MAX || self.addresses.contains_key(&address) {
            let since = now;
            let recent = self.addresses.entry(address);
            let recent = recent.or_insert(Recent { count: 0, since });
            if recent.is_over(now) {
                *recent = Recent { count: 0, since };
            }
            recent.count += 1;
        }
        self.log.note(now)
    }

    /// A login was not decided by whom it was to be. Returns as
    /// [`count_wrong`](Self::count_wrong) does.
    pub(crate) fn count_undecided(&mut self, now: Instant) -> Option<u64> {
        self.undecided_log.note(now)
    }

    /// A session's login waits.
    pub(crate) fn wait(&mut self, session: SessionId, until: Instant) {
        self.waiting.push((session, until));
    }

    /// Takes out the sessions whose logins need not wait any more; all, if `is_stopping`.
    pub(crate) fn take_due(&mut self, now: Instant, is_stopping: bool) -> Vec<SessionId> {
        let due = self
            .waiting
            .extract_if(.., |(_, until)| is_stopping || now >= *until);
        due.map(|(session, _)| session).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn each_wrong_login_of_a_connection_makes_the_next_one_wait_longer() {
        let begin = Instant::now();
        let (mut logins, mut pace, mut now) = (Logins::default(), LoginPace::default(), begin);
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(logins.wait_until(pace, HERE, begin, now), None);
            let _ = logins.count_wrong(&mut pace, HERE, now);
            let until = logins.wait_until(pace, HERE, begin, now).expect("it waits");
            waits.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        let other = LoginPace::default();
        assert_eq!(logins.wait_until(other, HERE, now, now), None);
    }

    /// Guesses on ever new connections are slow as well, and nobody is kept out by that.
    #[test]
    fn many_wrong_logins_from_an_address_make_all_from_there_wait_a_little() {
        let now = Instant::now();
        let mut logins = Logins::default();
        let of_another = LoginPace::default();
        for _ in 0..LOGIN_WRONG_MAX {
            assert_eq!(logins.wait_until(of_another, HERE, now, now), None);
            let _ = logins.count_wrong(&mut LoginPace::default(), HERE, now);
        }
        let until = logins.wait_until(of_another, HERE, now, now);
        assert_eq!(until, Some(now + LOGIN_ADDRESS_DELAY));
        assert_eq!(logins.wait_until(of_another, THERE, now, now), None);
        // A connection that has been here for a while has waited.
        let later = now + LOGIN_ADDRESS_DELAY;
        assert_eq!(logins.wait_until(of_another, HERE, now, later), None);
        let later = now + LOGIN_PERIOD;
        assert_eq!(logins.wait_until(of_another, HERE, later, later), None);
    }

    #[test]
    fn addresses_are_bounded_and_old_ones_make_room() {
        let now = Instant::now();
        let mut logins = Logins::default();
        let mut wrong = |from: u32, now| {
            let address = IpAddr::V4(Ipv4Addr::from(from));
            let _ = logins.count_wrong(&mut LoginPace::default(), address, now);
            logins.addresses.len()
        };
        for from in 0..2 * LOGIN_ADDRESSES_MAX as u32 {
            assert!(wrong(from, now) <= LOGIN_ADDRESSES_MAX);
        }
        assert_eq!(wrong(u32::MAX, now + LOGIN_PERIOD), 1);
    }

    #[test]
    fn those_who_wait_are_taken_out_when_their_time_has_come() {
        let now = Instant::now();
        let mut logins = Logins::default();
        let session = |connection| SessionId {
            index: 1,
            connection,
        };
        let second = Duration::from_secs(1);
        logins.wait(session(1), now + 2 * second);
        logins.wait(session(2), now + second);
        assert_eq!(logins.take_due(now, false), []);
        assert_eq!(logins.take_due(now + second, false), [session(2)]);
        assert_eq!(logins.take_due(now + second, true), [session(1)]);
    }
}
