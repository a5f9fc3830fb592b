//! Sockets.

use std::io;

#[cfg(any(target_os = "android", target_os = "linux"))]
use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

use crate::address::Address;
#[cfg(any(target_os = "android", target_os = "linux"))]
use crate::limits::UNSENT_IN_KERNEL_MAX;

/// A socket that is connected.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Connects; tries every address that a name has.
pub(super) async fn connect(address: &Address) -> io::Result<Socket> {
    match address {
        Address::Tcp { host, port } => {
            let socket = TcpStream::connect((host.as_str(), *port)).await?;
            // Requests that wait for each other's replies must not wait for the kernel.
            socket.set_nodelay(true)?;
            #[cfg(any(target_os = "android", target_os = "linux"))]
            SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_IN_KERNEL_MAX)?;
            Ok(Socket::Tcp(socket))
        }
        Address::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
    }
}
