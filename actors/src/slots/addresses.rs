//! How many connections of clients one address has, and may have.
//!
//! ```text
//!   connection of a client ─▶ counted address ─┬ below the bound ─▶ a share, until it is dropped
//!                                              └ at the bound ────▶ no slot of the clients'
//! ```

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::counted;
use crate::limits::CROWDED_SHARE;

/// The connections of every address that has one.
#[derive(Debug)]
pub(super) struct AddressCounts {
    table: Mutex<AddressTable>,
}

#[derive(Debug)]
struct AddressTable {
    max: usize,
    /// Nobody has set the bound: of this machine itself there may be any number.
    is_by_default: bool,
    counts: HashMap<IpAddr, usize>,
}

/// One connection of an address, until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, it is given back"]
pub(super) struct AddressShare {
    counts: Arc<AddressCounts>,
    address: IpAddr,
}

impl AddressCounts {
    /// With a configured bound, or 0 for the default one, a part of the slots for clients.
    pub(super) fn new(configured: usize, clients: usize) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::new(AddressTable {
                max: bound(configured, clients),
                is_by_default: configured == 0,
                counts: HashMap::new(),
            }),
        })
    }

    /// Goes by another bound from now on. Who has more keeps them.
    pub(super) fn set_bound(&self, configured: usize, clients: usize) {
        let mut counted = self.table();
        counted.max = bound(configured, clients);
        counted.is_by_default = configured == 0;
    }

    pub(super) fn max(&self) -> usize {
        self.table().max
    }

    fn table(&self) -> MutexGuard<'_, AddressTable> {
        // Nothing in between its steps can panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection from there; `None` if there are as many as there may be.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<AddressShare> {
        let mut own = self.table();
        let bound = match own.is_by_default && address.is_loopback() {
            true => usize::MAX,
            false => own.max,
        };
        let address = counted(address);
        let count = own.counts.get(&address).copied().unwrap_or(0);
        if count >= bound {
            return None;
        }
        own.counts.insert(address, count + 1);
        drop(own);
        Some(AddressShare {
            counts: self.clone(),
            address,
        })
    }

    /// What the address with the most of them has.
    pub(super) fn most(&self) -> usize {
        self.table().counts.values().copied().max().unwrap_or(0)
    }
}

/// The bound of one address, of this number of clients.
fn bound(configured: usize, clients: usize) -> usize {
    match configured {
        0 => clients - clients / CROWDED_SHARE,
        max => max,
    }
}

impl Drop for AddressShare {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.counts.table().counts.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Takes until there are no more.
    fn take_all(counts: &Arc<AddressCounts>, from: &str, patience: usize) -> Vec<AddressShare> {
        let shares = (0..patience).map_while(|_| counts.take(address(from)));
        shares.collect()
    }

    #[test]
    fn an_address_has_its_bound_and_others_have_theirs() {
        let counts = AddressCounts::new(3, 100);
        let mut here = take_all(&counts, "192.0.2.1", 10);
        assert_eq!(here.len(), 3);
        assert_eq!(take_all(&counts, "192.0.2.2", 10).len(), 3);
        here.pop();
        assert_eq!(take_all(&counts, "192.0.2.1", 10).len(), 1);
        // What is bound by the operator is so on this machine as well.
        assert_eq!(take_all(&counts, "127.0.0.1", 10).len(), 3);
        assert_eq!(counts.most(), 2);
        drop(here);
        assert!(
            counts.table().counts.is_empty(),
            "nobody who has none is kept"
        );
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_however_it_is_written() {
        let counts = AddressCounts::new(2, 100);
        let _here = take_all(&counts, "2001:db8::1", 10);
        assert!(counts.take(address("2001:db8::ffff:2")).is_none());
        assert!(counts.take(address("2001:db8:0:1::1")).is_some());
        let _mapped = take_all(&counts, "::ffff:192.0.2.1", 10);
        assert!(counts.take(address("192.0.2.1")).is_none());
    }

    #[test]
    fn another_bound_holds_for_those_who_come_next() {
        let counts = AddressCounts::new(3, 100);
        let mut here = take_all(&counts, "192.0.2.1", 10);
        counts.set_bound(1, 100);
        here.pop();
        assert!(counts.take(address("192.0.2.1")).is_none());
        counts.set_bound(4, 100);
        assert_eq!(take_all(&counts, "192.0.2.1", 10).len(), 2);
        counts.set_bound(0, 64);
        assert_eq!(take_all(&counts, "127.0.0.1", 100).len(), 100);
    }

    #[test]
    fn by_default_some_slots_are_left_to_others_and_this_machine_is_not_bound() {
        let counts = AddressCounts::new(0, 64);
        assert_eq!(take_all(&counts, "192.0.2.1", 100).len(), 56);
        assert_eq!(take_all(&counts, "127.0.0.1", 100).len(), 100);
        assert_eq!(take_all(&counts, "::1", 100).len(), 100);
        // Of so few there is no part for others.
        assert_eq!(AddressCounts::new(0, 1).max(), 1);
    }
}
