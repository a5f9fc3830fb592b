//! TLS before the head of a request: what a connection goes through where the door has an identity.
//!
//! ```text
//!   first byte ─┬ of a handshake ─▶ agreed, 5 s each ─▶ head
//!               └ of HTTP ────────▶ head ─▶ 400: told to ask by https
//! ```
//!
//! Meanwhile it has asked nothing: the oldest such gives its place to who comes when all are taken,
//! so that those who stand still keep nobody out.

use std::io;
use std::pin::pin;

use futures::future::{Either, select};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use vestibule_actors::{AcceptedTls, TlsIdentity};

use super::request::Peer;
use crate::config::HttpConfig;
use crate::limits::HANDSHAKE_TIME_MAX;

/// How a connection goes on.
pub(super) enum Agreed {
    /// By TLS, with who it is.
    Tls(Box<AcceptedTls<TcpStream>>, Peer),
    /// As it came: its client asks in plain, and is to be told.
    Plain(TcpStream),
}

/// Agrees with a client; `None` if nothing comes of it, or its place is somebody else's.
pub(super) async fn agree(
    config: &HttpConfig,
    stream: TcpStream,
    peer: Peer,
    closed: &mut oneshot::Receiver<()>,
) -> Option<Agreed> {
    let identity = config.tls.as_ref()?;
    let agreed = pin!(agree_by(identity, stream, peer));
    match select(agreed, closed).await {
        Either::Left((Ok(agreed), _)) => Some(agreed),
        Either::Left((Err(fault), _)) => {
            log::debug!("HTTP: TLS: {fault}");
            None
        }
        Either::Right(_) => None,
    }
}

async fn agree_by(identity: &TlsIdentity, stream: TcpStream, peer: Peer) -> io::Result<Agreed> {
    let mut first = [0];
    let peeked = timeout(HANDSHAKE_TIME_MAX, stream.peek(&mut first)).await;
    // A method of HTTP. Everything else TLS itself knows how to refuse.
    if peeked?? == 1 && first[0].is_ascii_uppercase() {
        return Ok(Agreed::Plain(stream));
    }
    let stream = identity.accept(stream, HANDSHAKE_TIME_MAX).await?;
    let peer = match stream.has_client_certificate() {
        true => Peer::Certified,
        false => peer,
    };
    Ok(Agreed::Tls(Box::new(stream), peer))
}
