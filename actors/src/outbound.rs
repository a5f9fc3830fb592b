//! Connections that a gateway makes: links and scouts connect by the same function, and scouts wait
//! for as long as chance says before they connect again.

#[cfg(feature = "tls")]
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

#[cfg(feature = "tls")]
use crate::connection::tls::Tls;
use crate::connection::transport::Transport;
use crate::limits::{LINK_UNACKNOWLEDGED_MAX, SCOUT_UNACKNOWLEDGED_MAX, UPSTREAM_ADDRESSES_MAX};
use crate::upstream::{GatewayCell, UpstreamAddress};

/// The look-up of the name of an upstream's host. There is one at a time: the system's may take
/// long, cannot be called off, and has a thread of its own meanwhile.
#[derive(Default)]
pub(crate) struct LookUp(Option<JoinHandle<io::Result<Vec<SocketAddr>>>>);

impl LookUp {
    /// The addresses of a host, [`UPSTREAM_ADDRESSES_MAX`] at most. One that was begun before, and
    /// given up, is waited for.
    async fn of(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let host = host.to_owned();
        let begin = || {
            spawn_blocking(move || {
                let found = (host, port).to_socket_addrs()?;
                Ok(found.take(UPSTREAM_ADDRESSES_MAX).collect())
            })
        };
        let found = self.0.get_or_insert_with(begin).await;
        self.0 = None;
        found.map_err(io::Error::other)?
    }
}

/// Connects to the upstream of this number as its scout, and agrees on TLS with it if that is how
/// upstreams of the network are connected to. Links go to the address at which it was reached. It
/// has no time limit of its own but for each of several addresses.
///
/// # Errors
///
/// Nobody is there, or they agree on nothing.
pub(crate) async fn connect_scout(
    gateway: &GatewayCell,
    upstream: usize,
    look_up: &mut LookUp,
    on_connected: impl FnOnce(),
) -> io::Result<Box<dyn Transport>> {
    #[cfg(any(test, feature = "testing"))]
    if let Some(network) = simulated::network() {
        return (network.dial)(upstream).inspect(|_| on_connected());
    }
    let (host, port) = match &gateway.upstream(upstream).address {
        UpstreamAddress::Unix(path) => {
            let socket = UnixStream::connect(path).await?;
            on_connected();
            return Ok(Box::new(socket));
        }
        UpstreamAddress::Tcp { host, port } => (host, *port),
    };
    let addresses = look_up.of(host, port).await?;
    let (socket, address) = reach(&addresses, gateway.config.connect_timeout).await?;
    gateway.set_place(upstream, address);
    let socket = set_up(socket, SCOUT_UNACKNOWLEDGED_MAX)?;
    on_connected();
    over_tls(gateway, host, socket).await
}

/// Connects to the upstream of this number for requests: at the address at which its scout has
/// reached it, so that both speak to the same one. It has no time limit of its own.
///
/// # Errors
///
/// Nobody is there, they agree on nothing, or no scout has reached it yet.
pub(crate) async fn connect_link(
    gateway: &GatewayCell,
    upstream: usize,
) -> io::Result<Box<dyn Transport>> {
    #[cfg(any(test, feature = "testing"))]
    if let Some(network) = simulated::network() {
        return (network.dial)(upstream);
    }
    let host = match &gateway.upstream(upstream).address {
        UpstreamAddress::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
        UpstreamAddress::Tcp { host, .. } => host,
    };
    let place = gateway.place(upstream);
    let place = place.ok_or_else(|| io::Error::other("its scout has not reached it yet"))?;
    let (socket, _) = reach(&[place], gateway.config.connect_timeout).await?;
    let socket = set_up(socket, LINK_UNACKNOWLEDGED_MAX)?;
    over_tls(gateway, host, socket).await
}

/// Connects to the first of these that is there. Of several, each has its part of the time.
async fn reach(addresses: &[SocketAddr], limit: Duration) -> io::Result<(TcpStream, SocketAddr)> {
    let mut trouble = io::Error::other("its name has no address");
    for address in addresses {
        let part = limit / addresses.len() as u32;
        let late = |_| Err(io::Error::other(format!("no connection to {address}")));
        let connected = match addresses.len() {
            1 => TcpStream::connect(address).await,
            _ => timeout(part, TcpStream::connect(address))
                .await
                .unwrap_or_else(late),
        };
        match connected {
            Ok(socket) => return Ok((socket, *address)),
            Err(fault) => trouble = fault,
        }
    }
    Err(trouble)
}

fn set_up(socket: TcpStream, unacknowledged_max: Duration) -> io::Result<Box<dyn Transport>> {
    // Requests that wait for each other's replies must not wait for the kernel.
    socket.set_nodelay(true)?;
    // Else the kernel would try for a quarter of an hour to reach a machine that has vanished.
    SockRef::from(&socket).set_tcp_user_timeout(Some(unacknowledged_max))?;
    Ok(Box::new(socket))
}

/// A number from 0 to 1 that is another one each time.
pub(crate) fn chance() -> f64 {
    #[cfg(any(test, feature = "testing"))]
    if let Some(network) = simulated::network() {
        return (network.chance)();
    }
    let mut bytes = [0];
    // Without random bytes they all come at the same times.
    let _ = getrandom::fill(&mut bytes);
    f64::from(bytes[0]) / f64::from(u8::MAX)
}

#[cfg(feature = "tls")]
async fn over_tls(
    gateway: &GatewayCell,
    host: &str,
    socket: Box<dyn Transport>,
) -> io::Result<Box<dyn Transport>> {
    let Some(tls) = &gateway.tls else {
        return Ok(socket);
    };
    let name = tls.name_at(host).map_err(of_tls)?;
    let mut agreed = Tls::connect(socket, tls.client(), name).map_err(of_tls)?;
    agreed.agree().await.map_err(of_tls)?;
    Ok(Box::new(agreed))
}

/// People see from it that the upstream is there, and what is wrong is the TLS.
#[cfg(feature = "tls")]
fn of_tls(fault: impl Display) -> io::Error {
    io::Error::other(format!("TLS: {fault}"))
}

#[cfg(not(feature = "tls"))]
async fn over_tls(
    gateway: &GatewayCell,
    _: &str,
    socket: Box<dyn Transport>,
) -> io::Result<Box<dyn Transport>> {
    match &gateway.tls {
        None => Ok(socket),
        Some(nobody) => match *nobody {},
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use actix_rt::System;

    use super::*;

    fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[test]
    fn of_several_addresses_the_first_one_that_is_there_is_taken() {
        let (gone, there) = (listening().1, listening());
        System::new().block_on(async {
            let limit = Duration::from_secs(20);
            let (_, address) = reach(&[gone, there.1], limit).await.unwrap();
            assert_eq!(address, there.1);
            assert!(reach(&[gone], limit).await.is_err());
            assert!(reach(&[], limit).await.is_err());
        });
    }

    #[test]
    fn a_machine_that_acknowledges_nothing_is_given_up_in_seconds() {
        let (_listener, address) = listening();
        System::new().block_on(async {
            let socket = TcpStream::connect(address).await.unwrap();
            let own = socket.into_std().unwrap();
            let same = TcpStream::from_std(own.try_clone().unwrap()).unwrap();
            set_up(same, SCOUT_UNACKNOWLEDGED_MAX).unwrap();
            let told = SockRef::from(&own).tcp_user_timeout().unwrap();
            assert_eq!(told, Some(SCOUT_UNACKNOWLEDGED_MAX));
        });
    }

    #[test]
    fn a_look_up_that_was_given_up_is_waited_for_and_no_other_begun() {
        System::new().block_on(async {
            let mut own = LookUp::default();
            let known: SocketAddr = "192.0.2.7:3301".parse().unwrap();
            own.0 = Some(spawn_blocking(move || Ok(vec![known])));
            assert_eq!(own.of("db1.example", 3301).await.unwrap(), [known]);
            assert!(own.0.is_none());
            let plain: SocketAddr = "127.0.0.1:3301".parse().unwrap();
            assert_eq!(own.of("127.0.0.1", 3301).await.unwrap(), [plain]);
            let all = own.of("localhost", 3301).await.unwrap();
            assert!(!all.is_empty() && all.iter().all(|own| own.ip().is_loopback()));
        });
    }
}

/// A network in memory, for the threads of tests that ask for it.
#[cfg(any(test, feature = "testing"))]
pub(crate) mod simulated {
    use std::cell::Cell;
    use std::io;

    use crate::connection::transport::Transport;

    /// What stands in the place of sockets and of chance.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct SimulatedNetwork {
        pub(crate) dial: fn(usize) -> io::Result<Box<dyn Transport>>,
        pub(crate) chance: fn() -> f64,
    }

    thread_local! {
        static NETWORK: Cell<Option<SimulatedNetwork>> = const { Cell::new(None) };
    }

    pub(super) fn network() -> Option<SimulatedNetwork> {
        NETWORK.get()
    }

    /// This thread connects by it from now on, or by sockets.
    pub(crate) fn connect_by(network: Option<SimulatedNetwork>) {
        NETWORK.set(network);
    }
}
