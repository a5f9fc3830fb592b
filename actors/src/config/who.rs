//! Who is served, and as whom.

use crate::endpoints::PeerAddress;

/// Whether a guest, who needs no password, is served where other machines are, if the engine lets
/// it do everything ([`Visibility::guest_power`](crate::catalog::Visibility::guest_power)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ExposedGuest {
    /// Guest is not served: a runtime with a listener that is not on loopback does not start, and
    /// if guest comes to it later, its requests are refused on connections from elsewhere, adopted
    /// ones included.
    #[default]
    Refused,
    /// Guest is served: everybody who reaches the server may do everything.
    Allowed,
}

/// Who may use the control procedures (`vestibule.*`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Administrators {
    /// Connections from a loopback address, for any user; and those by a unix socket of root and
    /// of the user who runs this process ([`PeerAddress::is_operator`]).
    #[default]
    LocalConnections,
    /// Connections logged in as one of these users, from anywhere.
    Users(Vec<String>),
}

impl Administrators {
    /// Whether a user on a connection from there is one.
    pub(crate) fn includes(&self, user: &str, peer: PeerAddress) -> bool {
        match self {
            Self::LocalConnections => peer.is_operator(),
            Self::Users(names) => names.iter().any(|name| name == user),
        }
    }

    /// Whether a connection from there can turn out to be an administrator's.
    pub(crate) fn may_be(&self, peer: PeerAddress) -> bool {
        match self {
            Self::LocalConnections => peer.may_be_operator(),
            Self::Users(names) => !names.is_empty(),
        }
    }
}
