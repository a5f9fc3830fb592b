//! Sockets that a service manager (systemd) has opened and hands over: descriptors from 3 on, with
//! a name each (`LISTEN_FDS`, `LISTEN_FDNAMES`).
//!
//! ```text
//!   systemd ── listens, and goes on doing so ──▶ what comes during a restart waits
//!      └─ descriptors and names ─▶ of_process ─┬─ addresses ─▶ options: nothing is opened there
//!                                              └─ sockets ───▶ runtime, side door
//! ```
//!
//! Names come by `sd-notify`, which also has no other program inherit the descriptors; `listenfd`
//! makes sockets of them, and takes the variables away.

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::{fmt, io};

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use vestibule_actors::{ListenAddress, Listener, TlsIdentity};
use vestibule_http::HttpListener;

use crate::cli::serve::{HandedOver, SocketUse};

/// A socket that listens.
#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What was handed over.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    sockets: Vec<(SocketUse, Socket)>,
    addresses: HandedOver,
}

/// What of it is a runtime's, and what its side door's.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// The runtime's.
    pub(crate) own: Vec<Listener>,
    /// The side door's.
    pub(crate) http: Vec<HttpListener>,
}

impl Sockets {
    /// The sockets of this process. To be called before there are threads, and once: the variables
    /// are gone then.
    ///
    /// # Errors
    ///
    /// One of them is of no use.
    pub(crate) fn of_process() -> Result<Self, String> {
        let refused = |why: &dyn fmt::Display| format!("sockets of the service manager: {why}");
        // Names that are another process's, as its number is, would be an error below.
        if sd_notify::listen_fds()
            .map_err(|fault| refused(&fault))?
            .len()
            == 0
        {
            return Ok(Self::default());
        }
        let named = sd_notify::listen_fds_with_names().map_err(|fault| refused(&fault))?;
        let mut handed = ListenFd::from_env();
        let mut sockets = Vec::new();
        let mut addresses = Vec::new();
        for (index, (number, name)) in named.enumerate() {
            let about =
                |why: String| refused(&format_args!("descriptor {number}, '{name}', {why}"));
            let use_ = SocketUse::of_name(&name).ok_or_else(|| about(no_use()))?;
            let socket = take(&mut handed, index).map_err(about)?;
            addresses.push((use_, address_for(use_, &socket).map_err(about)?));
            sockets.push((use_, socket));
        }
        let addresses = addresses.into_iter().collect();
        Ok(Self { sockets, addresses })
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> &HandedOver {
        &self.addresses
    }

    /// What listens by them. Those for TLS are this identity's.
    ///
    /// # Errors
    ///
    /// One cannot be set up.
    pub(crate) fn into_listeners(self, identity: Option<&TlsIdentity>) -> io::Result<Listeners> {
        if !self.sockets.is_empty() {
            log::info!("the service manager hands over {}", self.addresses);
        }
        let mut listeners = Listeners::default();
        for (use_, socket) in self.sockets {
            let listener = match (use_, socket) {
                (SocketUse::Http, Socket::Tcp(socket)) => {
                    listeners.http.push(HttpListener::Tcp(socket));
                    continue;
                }
                (SocketUse::Http, Socket::Unix(socket)) => {
                    listeners.http.push(HttpListener::Unix(socket));
                    continue;
                }
                (_, Socket::Tcp(socket)) => Listener::tcp(socket)?,
                (_, Socket::Unix(socket)) => Listener::unix(socket)?,
            };
            let listener = match use_ {
                SocketUse::Administrators => listener.for_administrators(),
                SocketUse::Reads | SocketUse::TlsReads => listener.for_reads(),
                _ => listener,
            };
            listeners.own.push(match identity {
                Some(identity) if use_.is_over_tls() => listener.over_tls(identity.clone()),
                // Options that name no identity were refused.
                None if use_.is_over_tls() => continue,
                _ => listener,
            });
        }
        Ok(listeners)
    }
}

fn no_use() -> String {
    let names = SocketUse::ALL.map(|own| format!("'{}'", own.name()));
    format!(
        "is for nothing that is known: the names are {} (FileDescriptorName= of the socket unit)",
        names.join(", ")
    )
}

/// Takes a socket that listens, or tells what it is instead.
fn take(handed: &mut ListenFd, index: usize) -> Result<Socket, String> {
    let is_none = || "is not there".to_owned();
    let (socket, listens) = if let Ok(found) = handed.take_tcp_listener(index) {
        let socket = found.ok_or_else(is_none)?;
        let listens = listens(&socket);
        (Socket::Tcp(socket), listens)
    } else if let Ok(found) = handed.take_unix_listener(index) {
        let socket = found.ok_or_else(is_none)?;
        let listens = listens(&socket);
        (Socket::Unix(socket), listens)
    } else {
        let is_datagram =
            handed.take_udp_socket(index).is_ok() || handed.take_unix_datagram(index).is_ok();
        return Err(match is_datagram {
            true => "is a socket for datagrams, and not one that accepts connections \
                     (ListenStream= of the socket unit)"
                .to_owned(),
            false => "is no socket of TCP, and no stream socket in the file system".to_owned(),
        });
    };
    match listens {
        Ok(true) => Ok(socket),
        Ok(false) => Err("does not listen (Accept=no of the socket unit)".to_owned()),
        Err(fault) => Err(fault.to_string()),
    }
}

fn listens(socket: &impl AsFd) -> io::Result<bool> {
    Ok(socket_acceptconn(socket)?)
}

/// Where a socket listens, if it may do that for its use.
fn address_for(use_: SocketUse, socket: &Socket) -> Result<ListenAddress, String> {
    let untold = |fault: io::Error| fault.to_string();
    match socket {
        Socket::Tcp(own) => Ok(own.local_addr().map_err(untold)?.into()),
        Socket::Unix(_) if use_.is_over_tls() => {
            Err("is a unix socket: TLS is for addresses of the network".to_owned())
        }
        Socket::Unix(own) => {
            let address = own.local_addr().map_err(untold)?;
            let path = address.as_pathname().map(ToOwned::to_owned);
            // All who are in the network namespace could connect to one that is a name alone.
            path.map(ListenAddress::Unix)
                .ok_or_else(|| "is a unix socket without a file, which has no rights".to_owned())
        }
    }
}
