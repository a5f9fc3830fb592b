//! How long logins from an address wait because others from there were wrong. Pure.
//!
//! ```text
//!   wrong ─▶ counted by address (of IPv6 by /64) ─┬ some are free: answered at once
//!                                                 └ beyond: the answer waits, 100 ms, then twice
//!                                                   as long each time, up to a bound
//!   any login from such an address ─▶ not looked at before its connection is a little old
//! ```
//!
//! The second is what makes guesses slow: who guesses need not wait for an answer that says no, it
//! knows when the one that says yes has not come. It is too little to keep anybody out. No user is
//! ever locked: that would be a weapon against the user.
//!
//! A login that is right clears nothing, or one account of its own would be enough to guess
//! others'. What was counted is forgotten when nothing was wrong for so long that to wait for that
//! gains nothing. There is a bounded number of addresses; none is ever dropped for another, for
//! that could be brought about: those for which there is no place count as one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::LoginLimits;
use crate::engine::counted;
use crate::limits::{
    LOGIN_ADDRESS_DELAY, LOGIN_ADDRESSES_MAX, LOGIN_DELAY_MIN, LOGIN_FORGET_MIN, LOGIN_SWEEP_PERIOD,
};

/// The wrong logins from one address.
#[derive(Debug, Clone, Copy)]
struct Wrong {
    count: u32,
    last: Instant,
}

impl Wrong {
    fn is_over(&self, limits: &LoginLimits, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= forget_after(limits)
    }
}

/// After what time without a wrong login an address begins again: in it, as many guesses would have
/// been answered as are free, and those before the longest delay.
fn forget_after(limits: &LoginLimits) -> Duration {
    let free = limits.failures_free.saturating_add(12);
    LOGIN_FORGET_MIN.max(limits.delay_max.saturating_mul(free))
}

/// The wrong logins of a runtime, by the addresses that they came from.
#[derive(Debug, Default)]
pub(crate) struct FailedLogins {
    addresses: HashMap<IpAddr, Wrong>,
    /// The count of addresses that there was no place for.
    others: Option<Wrong>,
    swept: Option<Instant>,
}

impl FailedLogins {
    /// Counts a wrong login; how long its answer waits.
    pub(crate) fn count(
        &mut self,
        address: IpAddr,
        limits: &LoginLimits,
        now: Instant,
    ) -> Option<Duration> {
        if is_exempt(address) {
            return None;
        }
        let address = counted(address);
        self.make_room(address, limits, now);
        let fresh = Wrong {
            count: 0,
            last: now,
        };
        let has_place =
            self.addresses.len() < LOGIN_ADDRESSES_MAX || self.addresses.contains_key(&address);
        let wrong = match has_place {
            true => self.addresses.entry(address).or_insert(fresh),
            false => self.others.get_or_insert(fresh),
        };
        if wrong.is_over(limits, now) {
            *wrong = fresh;
        }
        wrong.count = wrong.count.saturating_add(1);
        wrong.last = now;
        delay(wrong.count, limits)
    }

    /// Until when a login from an address is not looked at, whose connection began at `since`;
    /// `None` if it need not wait.
    pub(crate) fn wait_until(
        &self,
        address: IpAddr,
        since: Instant,
        limits: &LoginLimits,
        now: Instant,
    ) -> Option<Instant> {
        let until = since + LOGIN_ADDRESS_DELAY.min(limits.delay_max);
        if is_exempt(address) || now >= until {
            return None;
        }
        let is_full = self.addresses.len() >= LOGIN_ADDRESSES_MAX;
        let own = self.addresses.get(&counted(address));
        let wrong = own.or_else(|| self.others.as_ref().filter(|_| is_full))?;
        let is_bad = wrong.count > limits.failures_free && !wrong.is_over(limits, now);
        is_bad.then_some(until)
    }

    /// Forgets what is over, if there is no place for an address: not at each login.
    fn make_room(&mut self, address: IpAddr, limits: &LoginLimits, now: Instant) {
        let is_recent = |last: Instant| now.saturating_duration_since(last) < LOGIN_SWEEP_PERIOD;
        if self.addresses.len() >= LOGIN_ADDRESSES_MAX
            && !self.addresses.contains_key(&address)
            && !self.swept.is_some_and(is_recent)
        {
            self.swept = Some(now);
            self.addresses.retain(|_, own| !own.is_over(limits, now));
        }
    }
}

/// Logins from this machine never wait: proxies are there, and who runs it.
fn is_exempt(address: IpAddr) -> bool {
    address.is_loopback()
}

/// How long the answer to the wrong login with this number waits.
fn delay(count: u32, limits: &LoginLimits) -> Option<Duration> {
    let beyond = count.checked_sub(limits.failures_free)?.checked_sub(1)?;
    let doubled = LOGIN_DELAY_MIN.saturating_mul(1 << beyond.min(20));
    let delay = doubled.min(limits.delay_max);
    (!delay.is_zero()).then_some(delay)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn ms(time: Duration) -> u128 {
        time.as_millis()
    }

    #[test]
    fn some_wrong_logins_are_free_and_then_each_answer_waits_longer_up_to_a_bound() {
        let now = Instant::now();
        let (mut logins, limits) = (FailedLogins::default(), LoginLimits::default());
        let mut count = |address| logins.count(address, &limits, now).map_or(0, ms);
        let waits: Vec<u128> = (0..13).map(|_| count(HERE)).collect();
        let expected = [0, 0, 0, 0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000];
        assert_eq!(waits, expected);
        assert_eq!(count(THERE), 0, "nobody else waits");
        let network = |host: u16| Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 1, 2, 3, host).into();
        let waits: Vec<u128> = (0..7).map(|host| count(network(host))).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 100, 200], "of IPv6 a network is one");
        let mapped: IpAddr = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into();
        assert_eq!(count(mapped), 5000);
    }

    #[test]
    fn a_bound_of_zero_delays_nothing_and_none_free_delays_the_first() {
        let now = Instant::now();
        let never = LoginLimits::default().delay_max(Duration::ZERO);
        let mut logins = FailedLogins::default();
        for _ in 0..20 {
            assert_eq!(logins.count(HERE, &never, now), None);
        }
        assert_eq!(logins.wait_until(HERE, now, &never, now), None);
        let limits = LoginLimits::default().failures_free(0);
        let first = FailedLogins::default().count(HERE, &limits, now);
        assert_eq!(first, Some(LOGIN_DELAY_MIN));
    }

    /// Who does not wait for answers that say no guesses slowly as well, and nobody is kept out.
    #[test]
    fn any_login_from_there_waits_until_its_connection_is_a_little_old() {
        let now = Instant::now();
        let (mut logins, limits) = (FailedLogins::default(), LoginLimits::default());
        for _ in 0..limits.failures_free + 1 {
            assert_eq!(logins.wait_until(HERE, now, &limits, now), None);
            let _ = logins.count(HERE, &limits, now);
        }
        let until = logins.wait_until(HERE, now, &limits, now);
        assert_eq!(until, Some(now + LOGIN_ADDRESS_DELAY));
        assert_eq!(logins.wait_until(THERE, now, &limits, now), None);
        let later = now + LOGIN_ADDRESS_DELAY;
        assert_eq!(logins.wait_until(HERE, now, &limits, later), None);
        let forgotten = now + forget_after(&limits);
        assert_eq!(logins.wait_until(HERE, forgotten, &limits, forgotten), None);
        assert_eq!(logins.count(HERE, &limits, forgotten), None);
    }

    #[test]
    fn this_machine_never_waits() {
        let now = Instant::now();
        let limits = LoginLimits::default().failures_free(0);
        let mut logins = FailedLogins::default();
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            let address: IpAddr = address.parse().unwrap();
            let address = address.to_canonical();
            assert_eq!(logins.count(address, &limits, now), None);
            assert_eq!(logins.wait_until(address, now, &limits, now), None);
        }
        assert!(logins.addresses.is_empty());
    }

    /// Who has many addresses cannot have one of them forgotten by filling the table.
    #[test]
    fn addresses_are_bounded_and_none_is_forgotten_for_another() {
        let start = Instant::now();
        let (mut logins, limits) = (FailedLogins::default(), LoginLimits::default());
        let address = |number: u32| IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number));
        for _ in 0..20 {
            let _ = logins.count(address(0), &limits, start);
        }
        let many = LOGIN_ADDRESSES_MAX as u32;
        let waits: Vec<bool> = (1..3 * many)
            .map(|number| logins.count(address(number), &limits, start).is_some())
            .collect();
        assert_eq!(logins.addresses.len(), LOGIN_ADDRESSES_MAX);
        assert_eq!(
            logins.count(address(0), &limits, start),
            Some(limits.delay_max)
        );
        let (with_place, without) = waits.split_at(LOGIN_ADDRESSES_MAX - 1);
        assert!(with_place.iter().all(|waits| !waits));
        let free = limits.failures_free as usize;
        assert!(without[..free].iter().all(|waits| !waits));
        assert!(
            without[free..].iter().all(|waits| *waits),
            "they count as one"
        );
        let stranger = address(4 * many);
        assert!(logins.wait_until(stranger, start, &limits, start).is_some());
        // Those that are over make room, and are looked for now and then.
        let later = start + forget_after(&limits);
        assert_eq!(logins.count(stranger, &limits, later), None);
        assert_eq!(logins.addresses.len(), 1);
    }

    /// To wait until all is forgotten is no faster than to go on.
    #[test]
    fn to_begin_again_gains_nothing() {
        for (free, max) in [(5, 5), (0, 5), (50, 5), (5, 60), (0, 1)] {
            let max = Duration::from_secs(max);
            let limits = LoginLimits::default().failures_free(free).delay_max(max);
            let quick = (1..).take_while(|count| delay(*count, &limits) != Some(max));
            let waits = quick.clone().filter_map(|count| delay(count, &limits));
            let time = forget_after(&limits) + waits.sum::<Duration>();
            assert!(time >= max * quick.count() as u32, "{limits:?}");
        }
    }
}
