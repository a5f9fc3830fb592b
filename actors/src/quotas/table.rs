//! Who holds how much of one thing. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use vestibule_wire::Error;

use super::kind::QuotaKind;
use super::shares::QuotaBounds;
use crate::engine::Caller;

/// From what a charge was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// What everybody may have.
    Ordinary,
    /// What is kept for administrators.
    Reserve,
}

/// What is in the way of one charge more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exceeded {
    User,
    Address,
    UserAtAddress,
    All,
}

impl Exceeded {
    pub(super) fn error(self, kind: QuotaKind, bounds: &QuotaBounds, caller: &Caller) -> Error {
        let (user, address) = (&caller.user.name, caller.counted_address());
        let what = kind.plural();
        let text = match self {
            Self::User => format!(
                "Too many {what} of user '{user}': there may be {}",
                bounds.user
            ),
            Self::Address => format!(
                "Too many {what} from {address}: there may be {}",
                bounds.address
            ),
            Self::UserAtAddress => format!(
                "Too many {what} of user '{user}' at {address}: there may be {}",
                bounds.user_at_address
            ),
            Self::All => format!("Too many {what}: there may be {}", bounds.ordinary()),
        };
        Error::illegal_params(text)
    }
}

/// What is held. Nobody who holds nothing is in a map.
#[derive(Debug, Default)]
pub(super) struct QuotaTable {
    ordinary: usize,
    reserve: usize,
    users: HashMap<Arc<str>, usize>,
    addresses: HashMap<IpAddr, usize>,
    pairs: HashMap<(Arc<str>, IpAddr), usize>,
}

impl QuotaTable {
    /// Where a charge would be taken from. One is let through that goes beyond a bound by its size
    /// alone, or it would never be.
    pub(super) fn find(&self, bounds: &QuotaBounds, caller: &Caller) -> Result<Account, Exceeded> {
        let exceeded = match self.exceeded(bounds, caller) {
            None => return Ok(Account::Ordinary),
            Some(exceeded) => exceeded,
        };
        if caller.has_reserve() && self.reserve < bounds.reserve {
            return Ok(Account::Reserve);
        }
        Err(exceeded)
    }

    fn exceeded(&self, bounds: &QuotaBounds, caller: &Caller) -> Option<Exceeded> {
        let address = caller.counted_address();
        let pair = (caller.user.name.clone(), address);
        let held = |count: Option<&usize>| count.copied().unwrap_or(0);
        if held(self.pairs.get(&pair)) >= bounds.user_at_address {
            Some(Exceeded::UserAtAddress)
        } else if held(self.users.get(&caller.user.name)) >= bounds.user {
            Some(Exceeded::User)
        } else if held(self.addresses.get(&address)) >= bounds.address {
            Some(Exceeded::Address)
        } else {
            (self.ordinary >= bounds.ordinary()).then_some(Exceeded::All)
        }
    }

    pub(super) fn take(
        &mut self,
        bounds: &QuotaBounds,
        caller: &Caller,
        amount: usize,
    ) -> Result<Account, Exceeded> {
        let account = self.find(bounds, caller)?;
        match account {
            Account::Reserve => self.reserve += amount,
            Account::Ordinary => {
                let address = caller.counted_address();
                let pair = (caller.user.name.clone(), address);
                self.ordinary += amount;
                *self.users.entry(caller.user.name.clone()).or_default() += amount;
                *self.addresses.entry(address).or_default() += amount;
                *self.pairs.entry(pair).or_default() += amount;
            }
        }
        Ok(account)
    }

    /// A charge that was taken is over.
    pub(super) fn give_back(&mut self, caller: &Caller, amount: usize, account: Account) {
        match account {
            Account::Reserve => self.reserve -= amount,
            Account::Ordinary => {
                let address = caller.counted_address();
                self.ordinary -= amount;
                less(&mut self.users, caller.user.name.clone(), amount);
                less(&mut self.addresses, address, amount);
                less(&mut self.pairs, (caller.user.name.clone(), address), amount);
            }
        }
    }

    pub(super) fn used(&self) -> usize {
        self.ordinary + self.reserve
    }

    /// Who holds how much, most first. What is held of the reserve is not in it.
    pub(super) fn held(&self) -> Vec<(Arc<str>, IpAddr, usize)> {
        let pairs = self.pairs.iter();
        let row = |((user, address), used): (&(Arc<str>, IpAddr), &usize)| {
            (user.clone(), *address, *used)
        };
        let mut held: Vec<_> = pairs.map(row).collect();
        held.sort_by_key(|row| std::cmp::Reverse(row.2));
        held
    }
}

fn less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K, amount: usize) {
    if let Entry::Occupied(mut entry) = counts.entry(key) {
        *entry.get_mut() -= amount;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Shares;
    use std::net::SocketAddr;

    use crate::engine::catalog::User;

    fn caller(user: &str, address: [u8; 4], is_administrator: bool) -> Caller {
        Caller {
            connection: 1,
            user: User::named(user),
            peer: SocketAddr::from((address, 3301)).into(),
            is_administrator,
        }
    }

    const HERE: [u8; 4] = [10, 0, 0, 1];
    const THERE: [u8; 4] = [10, 0, 0, 2];
    const ELSEWHERE: [u8; 4] = [10, 0, 0, 3];

    fn bounds() -> QuotaBounds {
        QuotaBounds::of(64, Shares::default())
    }

    /// Takes one after the other until it is refused.
    fn take_all(table: &mut QuotaTable, caller: &Caller) -> (usize, Exceeded) {
        let mut taken = 0;
        loop {
            match table.take(&bounds(), caller, 1) {
                Ok(_) => taken += 1,
                Err(exceeded) => return (taken, exceeded),
            }
        }
    }

    /// Whatever one anonymous client takes, there is some left for each of the others.
    #[test]
    fn the_greedy_leave_something_to_guests_elsewhere_and_to_users_at_their_own_address() {
        let mut table = QuotaTable::default();
        let mut take = |user, address| take_all(&mut table, &caller(user, address, false));
        assert_eq!(take("guest", HERE), (16, Exceeded::UserAtAddress));
        assert_eq!(take("guest", THERE), (16, Exceeded::UserAtAddress));
        assert_eq!(take("guest", ELSEWHERE), (0, Exceeded::User));
        assert_eq!(take("alice", HERE), (16, Exceeded::UserAtAddress));
        assert_eq!(take("bob", HERE), (0, Exceeded::Address));
        assert_eq!(take("bob", THERE), (12, Exceeded::All));
    }

    #[test]
    fn the_reserve_is_for_administrators_who_have_logged_in() {
        let mut table = QuotaTable::default();
        for (user, address) in [("guest", HERE), ("guest", THERE), ("bob", ELSEWHERE)] {
            take_all(&mut table, &caller(user, address, true));
        }
        // Bob found 16 there, and took the reserve.
        assert_eq!((table.ordinary, table.reserve), (48, 4));
        table.give_back(&caller("bob", ELSEWHERE, true), 1, Account::Reserve);
        let guest = caller("guest", HERE, true);
        assert_eq!(table.find(&bounds(), &guest), Err(Exceeded::UserAtAddress));
        let root = caller("root", HERE, true);
        assert_eq!(table.find(&bounds(), &root), Ok(Account::Ordinary));
        assert_eq!(
            table.find(&bounds(), &caller("bob", ELSEWHERE, true)),
            Ok(Account::Reserve)
        );
    }

    #[test]
    fn what_is_large_is_let_through_once() {
        let mut table = QuotaTable::default();
        let guest = caller("guest", HERE, false);
        assert!(table.take(&bounds(), &guest, 1000).is_ok());
        assert!(table.take(&bounds(), &guest, 1).is_err());
    }

    proptest! {
        /// In whatever order it is taken and given back: bounds hold, and nothing is left over.
        #[test]
        fn bounds_hold_and_nothing_is_left_over(
            steps in prop::collection::vec(
                (0..4usize, 0..4u8, any::<bool>(), any::<bool>()),
                0..300,
            ),
        ) {
            let (bounds, mut table) = (bounds(), QuotaTable::default());
            let mut held = Vec::new();
            for (user, address, is_administrator, gives) in steps {
                if gives && !held.is_empty() {
                    let (caller, account) = held.swap_remove(user % held.len());
                    table.give_back(&caller, 1, account);
                } else {
                    let user = ["guest", "alice", "bob", "root"][user];
                    let caller = caller(user, [10, 0, 0, address], is_administrator);
                    if let Ok(account) = table.take(&bounds, &caller, 1) {
                        held.push((caller, account));
                    }
                }
                prop_assert!(table.ordinary <= bounds.ordinary());
                prop_assert!(table.reserve <= bounds.reserve);
                prop_assert!(table.users.values().all(|used| *used <= bounds.user));
                prop_assert!(table.addresses.values().all(|used| *used <= bounds.address));
                prop_assert!(table.pairs.values().all(|used| *used <= bounds.user_at_address));
                prop_assert_eq!(table.used(), held.len());
            }
            for (caller, account) in held {
                table.give_back(&caller, 1, account);
            }
            prop_assert_eq!(table.used(), 0);
            prop_assert!(table.users.is_empty() && table.addresses.is_empty());
            prop_assert!(table.pairs.is_empty());
        }
    }
}
