//! Sockets.

use std::io;

use tokio::net::{TcpStream, UnixStream};

use crate::address::Address;

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
            Ok(Socket::Tcp(socket))
        }
        Address::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
    }
}
