//! The slots that connections take, counted where every thread sees them.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::addresses::{AddressCounts, AddressShare};
use super::capacity::{NoSlot, SlotKind, SlotsTaken, choose_slot};
use super::descriptors::{DescriptorBudget, ListenerKind, TooFewDescriptors};
use crate::config::{Config, ConnectionLimits};
use crate::limits::PROVISIONAL_SLOT_TIME;

/// All slots of a runtime.
#[derive(Debug)]
pub(crate) struct ConnectionSlots {
    /// But for how many are the clients'.
    divided: DescriptorBudget,
    /// Connections of clients that are asked for; 0: as many as there can be.
    wanted: AtomicUsize,
    /// Administrators have an address of their own.
    has_admin_listener: bool,
    clients: AtomicUsize,
    administrators: AtomicUsize,
    /// Slots of the administrators' own listener on which nobody has logged in.
    anonymous: AtomicUsize,
    rejected: AtomicU64,
    /// Connections of clients from each address.
    addresses: Arc<AddressCounts>,
    /// Connections of each session thread.
    threads: Vec<AtomicUsize>,
}

/// One connection's slot: given back when it is dropped, so drop it after the socket.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    thread: usize,
    kind: Cell<SlotKind>,
    /// Counted for its address: held to be given back.
    _address: Option<AddressShare>,
}

impl ConnectionSlots {
    /// Divides the descriptors among what a runtime needs with this configuration, and with
    /// listeners that were bound already.
    ///
    /// # Errors
    ///
    /// Not one client would have a slot.
    pub(crate) fn new(config: &Config, bound: &[ListenerKind]) -> Result<Self, TooFewDescriptors> {
        let threads = config.session_thread_count();
        let listeners = config.listen.len() + config.admin_listen.len() + bound.len();
        let has_bound_admin = bound.contains(&ListenerKind::Administrators);
        let limits = &config.settings.connection_limits;
        let wanted = limits.connections_max;
        let budget = DescriptorBudget::divide(&config.descriptors, wanted, threads, listeners)?;
        Ok(Self {
            divided: budget,
            wanted: AtomicUsize::new(wanted),
            has_admin_listener: has_bound_admin || !config.admin_listen.is_empty(),
            clients: AtomicUsize::new(0),
            administrators: AtomicUsize::new(0),
            anonymous: AtomicUsize::new(0),
            rejected: AtomicU64::new(0),
            addresses: AddressCounts::new(limits.per_address_max, budget.clients),
            threads: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
        })
    }

    /// Who may have how many, as of now.
    pub(crate) fn budget(&self) -> DescriptorBudget {
        let wanted = self.wanted.load(Ordering::Relaxed);
        self.divided.for_clients(wanted)
    }

    /// Goes by other bounds from now on. Connections that are there keep their slots. True if
    /// another number of connections is asked for than before.
    pub(crate) fn set_limits(&self, limits: &ConnectionLimits) -> bool {
        let before = self.wanted.swap(limits.connections_max, Ordering::Relaxed);
        let clients = self.budget().clients;
        self.addresses.set_bound(limits.per_address_max, clients);
        before != limits.connections_max
    }

    /// Tells the log if there are fewer connections of clients than were asked for.
    pub(crate) fn warn_of_shortage(&self) {
        let wanted = self.wanted.load(Ordering::Relaxed);
        if let Some(shortage) = self.budget().shortage(wanted) {
            log::warn!("{shortage}");
        }
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> SlotsTaken {
        SlotsTaken {
            clients: self.clients.load(Ordering::Relaxed),
            administrators: self.administrators.load(Ordering::Relaxed),
        }
    }

    /// The slot that a connection would have now, if there is one. Only the Acceptor's thread takes
    /// slots in numbers; [`adopt`](crate::RuntimeHandle::adopt) may exceed a share by the
    /// connections that are adopted at the same moment.
    pub(crate) fn find(&self, listener: ListenerKind, may_administer: bool) -> Option<SlotKind> {
        choose_slot(
            &self.budget(),
            self.taken(),
            listener,
            may_administer,
            self.has_admin_listener,
        )
    }

    /// Whether a connection finds no slot at an administrators' listener, and there is one on which
    /// nobody has logged in.
    pub(crate) fn has_anonymous_in_the_way(&self, listener: ListenerKind) -> bool {
        listener == ListenerKind::Administrators
            && self.anonymous.load(Ordering::Relaxed) > 0
            && self.find(listener, true).is_none()
    }

    /// Gives a connection from `peer` its slot. One whose address has as many as one may have, and
    /// that may be an administrator's, is treated as if the clients' were all taken.
    ///
    /// # Errors
    ///
    /// There is none for it.
    pub(crate) fn admit(
        self: &Arc<Self>,
        listener: ListenerKind,
        may_administer: bool,
        peer: IpAddr,
    ) -> Result<ConnectionSlot, NoSlot> {
        let none = NoSlot::Listener(listener);
        let kind = self.find(listener, may_administer).ok_or(none)?;
        if kind != SlotKind::Client {
            return Ok(self.take(kind));
        }
        if let Some(share) = self.addresses.take(peer) {
            let mut slot = self.take(kind);
            slot._address = Some(share);
            return Ok(slot);
        }
        let budget = self.budget();
        let taken = SlotsTaken {
            clients: budget.clients,
            ..self.taken()
        };
        let has_own = self.has_admin_listener;
        let kind = choose_slot(&budget, taken, listener, may_administer, has_own);
        let kind = kind.ok_or(NoSlot::Address(peer))?;
        Ok(self.take(kind))
    }

    /// How many connections of clients one address may have, and how many the one with the most of
    /// them has.
    pub(crate) fn of_one_address(&self) -> (usize, usize) {
        (self.addresses.max(), self.addresses.most())
    }

    /// Takes a slot on the session thread that has the fewest connections.
    pub(crate) fn take(self: &Arc<Self>, kind: SlotKind) -> ConnectionSlot {
        let load = |thread: &usize| self.threads[*thread].load(Ordering::Relaxed);
        let thread = (0..self.threads.len()).min_by_key(load).unwrap_or(0);
        self.share_of(kind).fetch_add(1, Ordering::Relaxed);
        if kind == SlotKind::AnonymousAdmin {
            self.anonymous.fetch_add(1, Ordering::Relaxed);
        }
        self.threads[thread].fetch_add(1, Ordering::Relaxed);
        ConnectionSlot {
            slots: self.clone(),
            thread,
            kind: Cell::new(kind),
            _address: None,
        }
    }

    fn share_of(&self, kind: SlotKind) -> &AtomicUsize {
        match kind {
            SlotKind::Client => &self.clients,
            SlotKind::Administrator | SlotKind::AnonymousAdmin | SlotKind::ProvisionalAdmin => {
                &self.administrators
            }
        }
    }

    /// Whether descriptors are scarce: who has no use for a connection now should not keep it.
    pub(crate) fn are_crowded(&self) -> bool {
        let clients = self.clients.load(Ordering::Relaxed);
        self.divided
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

    pub(crate) fn count_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }
}

impl ConnectionSlot {
    /// The session thread whose connection it is.
    pub(crate) fn thread(&self) -> usize {
        self.thread
    }

    pub(crate) fn kind(&self) -> SlotKind {
        self.kind.get()
    }

    pub(crate) fn is_clients(&self) -> bool {
        self.kind.get() == SlotKind::Client
    }

    pub(crate) fn is_administrators(&self) -> bool {
        matches!(
            self.kind.get(),
            SlotKind::Administrator | SlotKind::AnonymousAdmin
        )
    }

    /// Whether it is an administrators' one that is not used as one yet.
    pub(crate) fn is_provisional(&self) -> bool {
        self.kind.get() == SlotKind::ProvisionalAdmin
    }

    /// Whether it is one of the administrators' own listener on which nobody has logged in.
    pub(crate) fn is_anonymous_admin(&self) -> bool {
        self.kind.get() == SlotKind::AnonymousAdmin
    }

    /// How long its connection may have it without being used as an administrator's; `None`: for as
    /// long as it likes. `at_own_listener`: as configured for those of the administrators' own
    /// listener, zero for ever.
    pub(crate) fn probation(&self, at_own_listener: Duration) -> Option<Duration> {
        match self.kind.get() {
            SlotKind::Client | SlotKind::Administrator => None,
            SlotKind::AnonymousAdmin => Some(at_own_listener).filter(|limit| !limit.is_zero()),
            SlotKind::ProvisionalAdmin => Some(PROVISIONAL_SLOT_TIME),
        }
    }

    /// An administrator has used it as one.
    pub(crate) fn confirm_admin(&self) {
        if !self.is_clients() {
            self.become_administrators();
        }
    }

    /// A user has logged in on its connection.
    pub(crate) fn confirm_login(&self) {
        if self.is_anonymous_admin() {
            self.become_administrators();
        }
    }

    fn become_administrators(&self) {
        if self.kind.replace(SlotKind::Administrator) == SlotKind::AnonymousAdmin {
            self.slots.anonymous.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let share = self.slots.share_of(self.kind.get());
        share.fetch_sub(1, Ordering::Relaxed);
        if self.is_anonymous_admin() {
            self.slots.anonymous.fetch_sub(1, Ordering::Relaxed);
        }
        self.slots.threads[self.thread].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(clients: usize, threads: usize) -> Arc<ConnectionSlots> {
        let limits = ConnectionLimits::default().connections_max(clients);
        let config = Config::default()
            .connection_limits(limits)
            .session_threads(threads);
        Arc::new(ConnectionSlots::new(&config, &[]).unwrap())
    }

    #[test]
    fn connections_are_spread_evenly_also_when_some_leave() {
        let slots = slots(10_000, 7);
        let mut kept: Vec<_> = (0..1000).map(|_| slots.take(SlotKind::Client)).collect();
        let spread = |kept: &[ConnectionSlot]| {
            let count = |thread| kept.iter().filter(|own| own.thread() == thread).count();
            let counts: Vec<_> = (0..7).map(count).collect();
            (*counts.iter().min().unwrap(), *counts.iter().max().unwrap())
        };
        assert_eq!(spread(&kept), (142, 143));
        // Everyone of three threads leaves; those who come next go there.
        kept.retain(|own| own.thread() > 2);
        kept.extend((0..429).map(|_| slots.take(SlotKind::Client)));
        let (min, max) = spread(&kept);
        assert!(max - min <= 1, "{min} to {max}");
    }

    #[test]
    fn only_connections_without_a_login_are_in_the_way_of_administrators() {
        let config = Config {
            admin_listen: vec!["127.0.0.1:0".parse().unwrap()],
            ..Config::default()
        };
        let slots = Arc::new(ConnectionSlots::new(&config, &[]).unwrap());
        let listener = ListenerKind::Administrators;
        let mut kept = Vec::new();
        while let Some(kind) = slots.find(listener, true) {
            assert!(!slots.has_anonymous_in_the_way(listener));
            kept.push(slots.take(kind));
        }
        assert!(slots.has_anonymous_in_the_way(listener));
        assert!(!slots.has_anonymous_in_the_way(ListenerKind::Clients));
        drop(kept.pop());
        kept.iter().for_each(ConnectionSlot::confirm_login);
        assert!(!slots.has_anonymous_in_the_way(listener), "one is free");
        let last = slots.take(slots.find(listener, true).unwrap());
        assert!(slots.has_anonymous_in_the_way(listener));
        last.confirm_admin();
        assert!(!slots.has_anonymous_in_the_way(listener));
    }

    #[test]
    fn a_bound_that_is_lowered_leaves_those_who_are_there() {
        let slots = slots(2, 1);
        let own = ConnectionLimits::default();
        let find = || slots.find(ListenerKind::Clients, false);
        let mut kept: Vec<_> = (0..2).map(|_| slots.take(find().unwrap())).collect();
        assert_eq!(find(), None);
        slots.set_limits(&own.connections_max(1));
        kept.pop();
        assert_eq!((find(), slots.count()), (None, 1));
        slots.set_limits(&own.connections_max(2));
        assert_eq!(find(), Some(SlotKind::Client));
        slots.set_limits(&own);
        assert_eq!(slots.budget().clients, slots.budget().clients_max);
    }

    #[test]
    fn a_slot_is_given_back_to_the_share_it_was_taken_from() {
        let slots = slots(1, 1);
        let client = slots.take(slots.find(ListenerKind::Clients, true).unwrap());
        let guest = slots.take(slots.find(ListenerKind::Clients, true).unwrap());
        assert!(client.is_clients() && guest.is_provisional());
        guest.confirm_admin();
        assert!(!guest.is_provisional());
        assert_eq!(slots.count(), 2);
        drop(client);
        assert!(slots.find(ListenerKind::Clients, false).is_some());
        drop(guest);
        assert_eq!(slots.count(), 0);
    }
}
