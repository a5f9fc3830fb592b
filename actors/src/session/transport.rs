//! What carries the bytes of a session: a socket, or in a simulation a pipe in memory.

#[cfg(not(test))]
mod socket {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use tokio::io::Interest;
    use tokio::net::TcpStream;

    pub(crate) type Transport = TcpStream;

    pub(crate) fn from_socket(socket: TcpStream) -> Transport {
        socket
    }

    /// Whether the client has closed its half. Costs no system call: the reactor knows.
    pub(crate) fn is_read_closed(socket: &TcpStream) -> bool {
        let ready = pin!(socket.ready(Interest::READABLE));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(ready)) => ready.is_read_closed(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }
}

#[cfg(test)]
pub(crate) use crate::simulation::pipe::{Transport, from_socket, is_read_closed};
#[cfg(not(test))]
pub(crate) use socket::{Transport, from_socket, is_read_closed};
