//! Who has changed definitions.

use std::net::IpAddr;

use vestibule_actors::engine::Caller;

/// The caller whose request did it.
#[derive(Debug, Clone)]
pub(super) struct Author {
    pub(super) connection: u64,
    pub(super) address: IpAddr,
    pub(super) user: Box<str>,
}

impl Author {
    pub(super) fn of(caller: &Caller) -> Self {
        Self {
            connection: caller.connection,
            address: caller.address,
            user: (*caller.user.name).into(),
        }
    }
}
