//! Opening a listener, and telling what an accept error means.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::incoming::keep_alive;
use crate::limits::LISTEN_BACKLOG;

/// Opens a listener: restarts at once on the same port, and with a queue long enough for a storm
/// (with the usual 128, 5,000 connections take 24 s to be accepted; with 4096, 0.13 s).
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // An address is what it says: `::` does not take over `0.0.0.0`.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    keep_alive(SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// What to do after accept failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AfterError {
    /// Only that connection is gone: go on at once.
    Next,
    /// The system is out of something: going on at once would spin.
    Pause,
}

/// On Linux accept also tells errors of the connection that it would have returned (accept(2)):
/// EPERM, ENONET, EPROTO, ENOPROTOOPT, EOPNOTSUPP, EHOSTDOWN, those of them that have no kind of
/// their own.
#[cfg(target_os = "linux")]
const OF_ONE_CONNECTION: [i32; 6] = [1, 64, 71, 92, 95, 112];
#[cfg(not(target_os = "linux"))]
const OF_ONE_CONNECTION: [i32; 0] = [];

/// Tells errors of one connection from those of the system.
pub(crate) fn after_error(error: &io::Error) -> AfterError {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
        NetworkDown, NetworkUnreachable, TimedOut,
    };
    let is_one = |code| OF_ONE_CONNECTION.contains(&code);
    match error.kind() {
        ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted | NetworkDown
        | NetworkUnreachable | HostUnreachable | TimedOut => AfterError::Next,
        _ if error.raw_os_error().is_some_and(is_one) => AfterError::Next,
        _ => AfterError::Pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_does_not_pause_accepting_but_a_lack_of_descriptors_does() {
        let lost = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(after_error(&lost), AfterError::Next);
        for code in [100, 71, 92, 112, 64, 113, 95, 101, 1] {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(after_error(&error), AfterError::Next, "{error}");
        }
        for code in [23, 24, 12, 105] {
            // ENFILE, EMFILE, ENOMEM, ENOBUFS
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(after_error(&error), AfterError::Pause, "{error}");
        }
    }

    #[test]
    fn a_taken_port_is_an_error_that_names_it() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = first.local_addr().unwrap();
        assert_eq!(bind(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
