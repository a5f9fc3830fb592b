//! Connections that a gateway makes: links and scouts connect by the same function.

#[cfg(feature = "tls")]
use std::fmt::Display;
use std::io;

use tokio::net::{TcpStream, UnixStream};

#[cfg(feature = "tls")]
use crate::connection::tls::Tls;
use crate::connection::transport::Transport;
use crate::upstream::{GatewayCell, UpstreamAddress};

/// Connects to the upstream of this number, and agrees on TLS with it if that is how upstreams of
/// the network are connected to. It has no time limit of its own.
///
/// # Errors
///
/// Nobody is there, or they agree on nothing.
pub(crate) async fn connect(
    gateway: &GatewayCell,
    upstream: usize,
) -> io::Result<Box<dyn Transport>> {
    let (host, port) = match &gateway.upstream(upstream).address {
        UpstreamAddress::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
        UpstreamAddress::Tcp { host, port } => (&**host, *port),
    };
    let socket = TcpStream::connect((host, port)).await?;
    // Requests that wait for each other's replies must not wait for the kernel.
    socket.set_nodelay(true)?;
    over_tls(gateway, host, Box::new(socket)).await
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
