//! What open transactions take, by whom: no user, no address and no user at one address has what
//! all share.
//!
//! ```text
//!   a transaction ─▶ its holder ─▶ bytes of ┬ all
//!                                           ├ the user
//!                                           ├ the address
//!                                           └ the user at the address
//! ```
//!
//! Administrators who have logged in may go beyond each bound by what is kept for them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vestibule_actors::engine::Caller;

use crate::limits::{
    TRANSACTIONS_BYTES_MAX, TRANSACTIONS_BYTES_PER_ADDRESS_MAX,
    TRANSACTIONS_BYTES_PER_USER_AT_ADDRESS_MAX, TRANSACTIONS_BYTES_PER_USER_MAX,
    TRANSACTIONS_BYTES_RESERVE,
};

/// Least number of accounts at which those of nobody are looked for.
const FORGET_FROM: usize = 64;

/// A number of bytes that several add to.
#[derive(Debug, Clone, Default)]
struct Account(Arc<AtomicUsize>);

impl Account {
    fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether somebody but the table has it.
    fn is_used(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// The accounts that what one caller holds is added to.
#[derive(Debug, Default)]
pub(super) struct Holder {
    all: Account,
    user: Account,
    address: Account,
    user_at_address: Account,
    has_reserve: bool,
}

/// Whose bound is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The bound of the user, of the address, or of the user at the address.
    Share,
    All,
}

impl Holder {
    fn accounts(&self) -> [&Account; 4] {
        [&self.all, &self.user, &self.address, &self.user_at_address]
    }

    pub(super) fn add(&self, bytes: usize) {
        for account in self.accounts() {
            account.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn subtract(&self, bytes: usize) {
        for account in self.accounts() {
            account.0.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Whose bound is in the way of this many bytes beside what is held.
    ///
    /// # Errors
    ///
    /// The bound that is in the way.
    pub(super) fn check(&self, bytes: usize) -> Result<(), Full> {
        let beyond = if self.has_reserve {
            TRANSACTIONS_BYTES_RESERVE
        } else {
            0
        };
        let is_full = |account: &Account, max| account.bytes() + bytes >= max + beyond;
        if is_full(
            &self.all,
            TRANSACTIONS_BYTES_MAX - TRANSACTIONS_BYTES_RESERVE,
        ) {
            return Err(Full::All);
        }
        let is_over = is_full(&self.user, TRANSACTIONS_BYTES_PER_USER_MAX)
            || is_full(&self.address, TRANSACTIONS_BYTES_PER_ADDRESS_MAX)
            || is_full(
                &self.user_at_address,
                TRANSACTIONS_BYTES_PER_USER_AT_ADDRESS_MAX,
            );
        if is_over {
            return Err(Full::Share);
        }
        Ok(())
    }
}

/// The accounts of all who hold something.
#[derive(Debug, Default)]
pub(super) struct Holders {
    all: Account,
    users: Accounts<Arc<str>>,
    addresses: Accounts<IpAddr>,
    users_at_addresses: Accounts<(Arc<str>, IpAddr)>,
}

impl Holders {
    /// What all of them hold, in bytes.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.all.bytes()
    }

    /// The holder that a caller is.
    pub(super) fn holder(&mut self, caller: &Caller) -> Arc<Holder> {
        let (user, address) = (caller.user.name.clone(), caller.counted_address());
        Arc::new(Holder {
            all: self.all.clone(),
            user: self.users.of(user.clone()),
            address: self.addresses.of(address),
            user_at_address: self.users_at_addresses.of((user, address)),
            has_reserve: caller.has_reserve(),
        })
    }
}

/// Accounts by what they are of. Those that nobody has are forgotten when there are twice as many
/// as were left the last time.
#[derive(Debug)]
struct Accounts<K> {
    map: HashMap<K, Account>,
    forget_at: usize,
}

impl<K> Default for Accounts<K> {
    fn default() -> Self {
        Self {
            map: HashMap::new(),
            forget_at: FORGET_FROM,
        }
    }
}

impl<K: Eq + Hash> Accounts<K> {
    fn of(&mut self, key: K) -> Account {
        if self.map.len() >= self.forget_at {
            self.map.retain(|_, account| account.is_used());
            self.forget_at = (2 * self.map.len()).max(FORGET_FROM);
        }
        self.map.entry(key).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use vestibule_actors::engine::catalog::User;

    use super::*;

    fn caller(user: &str, address: [u8; 4]) -> Caller {
        Caller {
            connection: 1,
            user: User::named(user),
            peer: SocketAddr::from((address, 3301)).into(),
            is_administrator: false,
        }
    }

    #[test]
    fn accounts_of_nobody_are_forgotten_and_those_of_somebody_stay() {
        let mut holders = Holders::default();
        let stays = holders.holder(&caller("alice", [10, 0, 0, 1]));
        stays.add(7);
        for number in 0..10_000_u32 {
            let address = (0x0b00_0000 + number).to_be_bytes();
            drop(holders.holder(&caller("guest", address)));
            assert!(holders.addresses.map.len() <= FORGET_FROM);
            assert!(holders.users_at_addresses.map.len() <= FORGET_FROM);
        }
        let again = holders.holder(&caller("alice", [10, 0, 0, 1]));
        assert_eq!((again.user.bytes(), holders.bytes()), (7, 7));
        stays.subtract(7);
        assert_eq!((again.user_at_address.bytes(), holders.bytes()), (0, 0));
    }
}
