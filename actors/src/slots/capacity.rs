//! Which slot a new connection gets: pure.

use std::net::IpAddr;

use super::descriptors::{DescriptorBudget, ListenerKind};

/// How a connection is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotKind {
    Client,
    Administrator,
    /// One of the administrators' slots, at their own listener: nobody has logged in on it yet.
    AnonymousAdmin,
    /// One of the administrators' slots, kept only if the connection is used as one of theirs.
    ProvisionalAdmin,
}

/// Why a connection has no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// Everybody's who comes in by such a listener are taken.
    Listener(ListenerKind),
    /// The address has as many of the clients' as one may have.
    Address(IpAddr),
}

/// The slots that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotsTaken {
    pub(crate) clients: usize,
    pub(crate) administrators: usize,
}

/// The slot for a connection; none: it is rejected.
///
/// `may_administer`: the peer's address does not rule it out. Beyond the clients' share such a peer
/// gets one of the administrators' slots for a while, unless those have a listener of their own.
pub(crate) fn choose_slot(
    budget: &DescriptorBudget,
    taken: SlotsTaken,
    listener: ListenerKind,
    may_administer: bool,
    has_admin_listener: bool,
) -> Option<SlotKind> {
    let has_room = taken.administrators < budget.administrators;
    match listener {
        ListenerKind::Administrators => has_room.then_some(SlotKind::AnonymousAdmin),
        ListenerKind::Clients if taken.clients < budget.clients => Some(SlotKind::Client),
        ListenerKind::Clients if may_administer && !has_admin_listener => {
            has_room.then_some(SlotKind::ProvisionalAdmin)
        }
        ListenerKind::Clients => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: DescriptorBudget = DescriptorBudget {
        limit: Some(64),
        runtime: 30,
        engine: 16,
        reserved: 0,
        administrators: 2,
        spare: 1,
        clients: 3,
        clients_max: 3,
        crowded: Some(3),
    };

    #[test]
    fn whatever_comes_no_share_is_exceeded_and_no_slot_is_refused_that_is_free() {
        for (clients, administrators) in (0..=3).flat_map(|own| (0..=2).map(move |b| (own, b))) {
            let taken = SlotsTaken {
                clients,
                administrators,
            };
            for bits in 0..8u8 {
                let listener =
                    [ListenerKind::Clients, ListenerKind::Administrators][usize::from(bits & 1)];
                let (may, has_own) = (bits & 2 != 0, bits & 4 != 0);
                let kind = choose_slot(&BUDGET, taken, listener, may, has_own);
                let what = format!("{taken:?} {listener:?} {may} {has_own}");
                match kind {
                    Some(SlotKind::Client) => {
                        assert!(clients < 3 && listener == ListenerKind::Clients, "{what}")
                    }
                    Some(SlotKind::Administrator) => panic!("nobody has used it: {what}"),
                    Some(SlotKind::AnonymousAdmin) => {
                        assert!(
                            administrators < 2 && listener == ListenerKind::Administrators,
                            "{what}"
                        );
                    }
                    Some(SlotKind::ProvisionalAdmin) => {
                        assert!(clients == 3 && administrators < 2, "{what}");
                        assert!(
                            may && !has_own && listener == ListenerKind::Clients,
                            "{what}"
                        );
                    }
                    None => match listener {
                        ListenerKind::Administrators => assert_eq!(administrators, 2, "{what}"),
                        ListenerKind::Clients => {
                            assert_eq!(clients, 3, "{what}");
                            assert!(administrators == 2 || !may || has_own, "{what}");
                        }
                    },
                }
            }
        }
    }
}
