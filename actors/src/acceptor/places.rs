//! The places that connections take, counted where every thread sees them.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::budget::Shares;
use super::gate::{Door, Entry, Taken, enter};

/// All places of a runtime.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) shares: Shares,
    /// Administrators have an address of their own.
    has_own_door: bool,
    clients: AtomicUsize,
    administrators: AtomicUsize,
    turned_away: AtomicU64,
    /// Connections of each session thread.
    threads: Vec<AtomicUsize>,
}

/// One connection's place: given back when it is dropped, so drop it after the socket.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    thread: usize,
    entry: Cell<Entry>,
}

impl Places {
    pub(crate) fn new(shares: Shares, has_own_door: bool, threads: usize) -> Self {
        Self {
            shares,
            has_own_door,
            clients: AtomicUsize::new(0),
            administrators: AtomicUsize::new(0),
            turned_away: AtomicU64::new(0),
            threads: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// As many as there can be.
    #[cfg(test)]
    pub(crate) fn for_tests(threads: usize) -> Self {
        let limits = crate::config::ConnectionLimits::default();
        let shares = Shares::divide(&limits, threads, 1);
        Self::new(shares.expect("no limit is known"), false, threads)
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> Taken {
        Taken {
            clients: self.clients.load(Ordering::Relaxed),
            administrators: self.administrators.load(Ordering::Relaxed),
        }
    }

    /// The place that a connection would have now, if there is one. Only the Acceptor's thread takes
    /// places in numbers; [`adopt`](crate::RuntimeHandle::adopt) may exceed a share by the connections
    /// that are adopted at the same moment.
    pub(crate) fn find(&self, door: Door, may_administer: bool) -> Option<Entry> {
        enter(
            &self.shares,
            self.taken(),
            door,
            may_administer,
            self.has_own_door,
        )
    }

    /// Takes a place on the session thread that has the fewest connections.
    pub(crate) fn take(self: &Arc<Self>, entry: Entry) -> Place {
        let load = |thread: &usize| self.threads[*thread].load(Ordering::Relaxed);
        let thread = (0..self.threads.len()).min_by_key(load).unwrap_or(0);
        self.share_of(entry).fetch_add(1, Ordering::Relaxed);
        self.threads[thread].fetch_add(1, Ordering::Relaxed);
        Place {
            places: self.clone(),
            thread,
            entry: Cell::new(entry),
        }
    }

    fn share_of(&self, entry: Entry) -> &AtomicUsize {
        match entry {
            Entry::Client => &self.clients,
            Entry::Administrator | Entry::OnProbation => &self.administrators,
        }
    }

    /// Whether descriptors are scarce: who has no use for a connection now should not keep it.
    pub(crate) fn are_crowded(&self) -> bool {
        let clients = self.clients.load(Ordering::Relaxed);
        self.shares
            .crowded
            .is_some_and(|crowded| clients >= crowded)
    }

    /// Connections of one session thread.
    pub(crate) fn of_thread(&self, thread: usize) -> usize {
        self.threads[thread].load(Ordering::Relaxed)
    }

    /// Connections of all threads.
    pub(crate) fn count(&self) -> usize {
        let taken = self.taken();
        taken.clients + taken.administrators
    }

    pub(crate) fn count_turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }
}

impl Place {
    /// The session thread whose connection it is.
    pub(crate) fn thread(&self) -> usize {
        self.thread
    }

    /// For operators.
    pub(crate) fn name(&self) -> &'static str {
        match self.entry.get() {
            Entry::Client => "client",
            Entry::Administrator => "administrator",
            Entry::OnProbation => "probation",
        }
    }

    pub(crate) fn is_clients(&self) -> bool {
        self.entry.get() == Entry::Client
    }

    pub(crate) fn is_on_probation(&self) -> bool {
        self.entry.get() == Entry::OnProbation
    }

    /// An administrator has used it as one.
    pub(crate) fn prove(&self) {
        if self.is_on_probation() {
            self.entry.set(Entry::Administrator);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let share = self.places.share_of(self.entry.get());
        share.fetch_sub(1, Ordering::Relaxed);
        self.places.threads[self.thread].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConnectionLimits;

    fn places(clients: usize, threads: usize) -> Arc<Places> {
        let limits = ConnectionLimits {
            connections_max: clients,
            ..ConnectionLimits::default()
        };
        let shares = Shares::divide(&limits, threads, 1).unwrap();
        Arc::new(Places::new(shares, false, threads))
    }

    #[test]
    fn connections_are_spread_evenly_also_when_some_leave() {
        let places = places(10_000, 7);
        let mut kept: Vec<_> = (0..1000).map(|_| places.take(Entry::Client)).collect();
        let spread = |kept: &[Place]| {
            let count = |thread| kept.iter().filter(|own| own.thread() == thread).count();
            let counts: Vec<_> = (0..7).map(count).collect();
            (*counts.iter().min().unwrap(), *counts.iter().max().unwrap())
        };
        assert_eq!(spread(&kept), (142, 143));
        // Everyone of three threads leaves; those who come next go there.
        kept.retain(|own| own.thread() > 2);
        kept.extend((0..429).map(|_| places.take(Entry::Client)));
        let (min, max) = spread(&kept);
        assert!(max - min <= 1, "{min} to {max}");
    }

    #[test]
    fn a_place_is_given_back_to_the_share_it_was_taken_from() {
        let places = places(1, 1);
        let client = places.take(places.find(Door::Clients, true).unwrap());
        let guest = places.take(places.find(Door::Clients, true).unwrap());
        assert!(client.is_clients() && guest.is_on_probation());
        guest.prove();
        assert!(!guest.is_on_probation());
        assert_eq!(places.count(), 2);
        drop(client);
        assert!(places.find(Door::Clients, false).is_some());
        drop(guest);
        assert_eq!(places.count(), 0);
    }
}
