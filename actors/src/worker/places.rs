//! Who has a place for a handshake, and who waits for one. Pure.
//!
//! ```text
//!   place free? ─┬ yes ─▶ taken
//!                └ no ──▶ waits, behind others of its address; addresses take turns
//!   given back, or overdue while an address with fewer waits ─▶ the next address's first
//! ```

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The places, with what ends a handshake (`E`), and what tells one that waits of its place (`W`).
#[derive(Debug)]
pub(super) struct Places<E, W> {
    max: usize,
    /// How long one is left alone.
    time_min: Duration,
    next: u64,
    taken: BTreeMap<u64, Taken<E>>,
    waiting: HashMap<IpAddr, VecDeque<W>>,
    /// The addresses that wait, each once.
    turns: VecDeque<IpAddr>,
}

#[derive(Debug)]
struct Taken<E> {
    address: IpAddr,
    since: Instant,
    end: E,
}

impl<E, W> Places<E, W> {
    pub(super) fn new(max: usize, time_min: Duration) -> Self {
        Self {
            max,
            time_min,
            next: 0,
            taken: BTreeMap::new(),
            waiting: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    /// Whether one is free, and nobody waits for it.
    pub(super) fn is_free(&self) -> bool {
        self.taken.len() < self.max && self.turns.is_empty()
    }

    /// Takes one for this address; its number.
    pub(super) fn take(&mut self, now: Instant, address: IpAddr, end: E) -> u64 {
        self.next += 1;
        let taken = Taken {
            address,
            since: now,
            end,
        };
        self.taken.insert(self.next, taken);
        self.next
    }

    /// Waits for one, from this address.
    pub(super) fn wait(&mut self, address: IpAddr, waiter: W) {
        let waiting = self.waiting.entry(address).or_default();
        if waiting.is_empty() {
            self.turns.push_back(address);
        }
        waiting.push_back(waiter);
    }

    /// One is given back.
    pub(super) fn give_back(&mut self, number: u64) {
        self.taken.remove(&number);
    }

    /// The next that waits, with its address, if there is a place for it.
    pub(super) fn next(&mut self) -> Option<(IpAddr, W)> {
        if self.taken.len() >= self.max {
            return None;
        }
        let address = self.turns.pop_front()?;
        let waiting = self.waiting.get_mut(&address)?;
        let next = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&address);
        } else {
            self.turns.push_back(address);
        }
        next.map(|next| (address, next))
    }

    /// What ends a handshake for one that waits, from this address: the oldest of the address that
    /// has most places, if it has had its time and that address has more than a fair part. Else how
    /// long until it is worth asking again.
    pub(super) fn overdue(&mut self, now: Instant, waiter: IpAddr) -> Result<E, Duration> {
        let count = |address: IpAddr| {
            let taken = self.taken.values();
            taken.filter(|own| own.address == address).count()
        };
        let most = self.taken.values().map(|own| count(own.address)).max();
        let most = most.unwrap_or(0);
        // Of an address that gives one up as many are left as the other one has then.
        if most <= count(waiter) + 1 {
            return Err(self.time_min);
        }
        let mut oldest = self.taken.iter();
        let oldest = oldest.find(|(_, own)| count(own.address) == most);
        let Some((number, own)) = oldest else {
            return Err(self.time_min);
        };
        let (number, had) = (*number, now.saturating_duration_since(own.since));
        match self.time_min.checked_sub(had) {
            Some(left) if !left.is_zero() => Err(left),
            _ => self
                .taken
                .remove(&number)
                .map(|own| own.end)
                .ok_or(self.time_min),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn addresses_take_turns_however_many_wait_at_one() {
        let now = Instant::now();
        let mut places = Places::new(2, SECOND);
        assert!(places.is_free());
        let held = [1, 1].map(|last| places.take(now, address(last), ()));
        assert!(!places.is_free());
        for waiter in ["1st", "2nd", "3rd"] {
            places.wait(address(1), waiter);
        }
        places.wait(address(2), "other");
        assert_eq!(places.next(), None, "all are taken");
        let mut order = Vec::new();
        places.give_back(held[0]);
        while let Some((_, next)) = places.next() {
            order.push(next);
        }
        assert_eq!(order, ["1st", "other", "2nd", "3rd"]);
        assert!(places.is_free() && places.waiting.is_empty());
    }

    #[test]
    fn an_address_with_many_gives_up_what_has_had_its_time_to_one_with_few() {
        let begin = Instant::now();
        let mut places: Places<&str, ()> = Places::new(3, SECOND);
        assert_eq!(places.overdue(begin, address(2)), Err(SECOND));
        places.take(begin, address(1), "old");
        places.take(begin + SECOND / 2, address(1), "young");
        places.take(begin, address(3), "alone");
        let now = begin + SECOND / 4;
        assert_eq!(places.overdue(now, address(2)), Err(SECOND * 3 / 4));
        let now = begin + SECOND * 9;
        // Who waits behind others of its address waits for them.
        assert_eq!(places.overdue(now, address(1)), Err(SECOND));
        assert_eq!(places.overdue(now, address(3)), Err(SECOND));
        assert_eq!(places.overdue(now, address(2)), Ok("old"));
        assert_eq!(
            places.overdue(now, address(2)),
            Err(SECOND),
            "they are even"
        );
    }
}
