//! Who has changed definitions.

use vestibule_actors::PeerAddress;
use vestibule_actors::engine::Caller;

/// The caller whose request did it.
#[derive(Debug, Clone)]
pub(super) struct Author {
    pub(super) connection: u64,
    pub(super) peer: PeerAddress,
    pub(super) user: Box<str>,
}

impl Author {
    pub(super) fn of(caller: &Caller) -> Self {
        Self {
            connection: caller.connection,
            peer: caller.peer,
            user: (*caller.user.name).into(),
        }
    }
}
