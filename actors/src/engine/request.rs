//! What an engine is asked, by whom, and by which handles the runtime and the engine name things.

use std::net::{IpAddr, Ipv6Addr};

use vestibule_wire::Error;
use vestibule_wire::request::Body;

use super::catalog::User;
use crate::endpoints::PeerAddress;

/// Handle of an interactive transaction, unique as long as the runtime lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub u64);

/// Handle of a deferred request, unique as long as the runtime lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Handle of a [reservation](super::Reply::reserve), never used again by the same Tx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReservationId(pub u64);

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The connection's number, unique as long as the runtime lives.
    pub connection: u64,
    /// The authenticated user; `guest` before authentication.
    pub user: User,
    /// Where the connection comes from.
    pub peer: PeerAddress,
    /// Whether this connection has the rights of an administrator.
    pub is_administrator: bool,
}

impl Caller {
    /// Whether the caller may have what is kept for administrators when all else is taken. Somebody
    /// who has not logged in may not, from whatever address.
    pub fn has_reserve(&self) -> bool {
        self.is_administrator && !self.user.is_guest()
    }

    /// The address as which the caller counts, where an address has a share of something: all of a
    /// network of IPv6 are one.
    pub fn counted_address(&self) -> IpAddr {
        counted(self.peer.ip())
    }

    /// Lets administrators pass only, whatever rights on data somebody has.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ACCESS_DENIED`](vestibule_wire::ErrorCode::ACCESS_DENIED) if the caller is no
    /// administrator.
    pub fn check_administrator(&self, procedure: &str) -> Result<(), Error> {
        if self.is_administrator {
            return Ok(());
        }
        Err(Error::access_denied(
            "Execute",
            "function",
            procedure,
            &self.user.name,
        ))
    }
}

/// As what an address counts: a host of IPv6 has as many addresses as it likes within its network
/// of 64 bits.
pub(crate) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

/// A request on its way into the engine.
#[derive(Debug)]
pub struct Request<'a> {
    /// What is asked, borrowed from the bytes of the frame.
    pub body: Body<'a>,
    /// By whom.
    pub caller: &'a Caller,
    /// In which stream of the connection, 0 for none.
    pub stream: u64,
    /// Inside which transaction, if any.
    pub transaction: Option<TransactionId>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The reply's body is written (an empty map if nothing was).
    Done,
    /// The reply comes later through the [`Completion`](super::Completion) taken from
    /// [`Reply::defer`](super::Reply::defer).
    Deferred,
    /// Nothing was done: commit the turn so far, then execute this request again, first of a new
    /// turn. For requests (DDL) that need a turn of their own.
    CommitFirst,
}

/// Who may call a procedure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everybody: what the caller may do with data and definitions is checked where it is done.
    Everybody,
    /// Administrators, whatever rights they have on data.
    Administrators,
}

impl Audience {
    /// Lets those pass who may call the procedure of this name.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ACCESS_DENIED`](vestibule_wire::ErrorCode::ACCESS_DENIED) if it is for
    /// administrators and the caller is none.
    #[inline]
    pub fn check(self, caller: &Caller, procedure: &str) -> Result<(), Error> {
        match self {
            Self::Everybody => Ok(()),
            Self::Administrators => caller.check_administrator(procedure),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let counted = |text: &str| super::counted(text.parse().unwrap()).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("::ffff:10.0.0.1"), "10.0.0.1");
        assert_eq!(counted("10.0.0.1"), "10.0.0.1");
    }
}
