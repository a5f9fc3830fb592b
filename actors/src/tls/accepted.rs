//! Connections by TLS that are no session's: a server of another protocol beside the runtime has
//! its clients by the identity of the runtime.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, server};

use super::identity::{HandshakeResult, TlsIdentity};

/// A connection that is agreed on by [`TlsIdentity::accept`].
#[derive(Debug)]
pub struct AcceptedTls<S>(server::TlsStream<S>);

impl<S> AcceptedTls<S> {
    /// Whether its client has shown a certificate that the identity trusts.
    #[must_use]
    pub fn has_client_certificate(&self) -> bool {
        self.0.get_ref().1.peer_certificates().is_some()
    }
}

/// Counts what a handshake comes to. Who gives it up has others to serve.
struct CountedHandshake<'a> {
    identity: &'a TlsIdentity,
    result: HandshakeResult,
}

impl Drop for CountedHandshake<'_> {
    fn drop(&mut self) {
        self.identity.count(self.result);
    }
}

impl TlsIdentity {
    /// Agrees on TLS with a client of a server that stands beside the runtime, and is known by the
    /// same certificate: the side door, for example. The handshake has `time_max`; how many there
    /// are at a time its caller bounds, who may drop this at any time. It is counted with those of
    /// the runtime ([`handshakes`](Self::handshakes)).
    ///
    /// With a [`client_ca`](super::TlsFiles::client_ca) a certificate is asked for here and need
    /// not be shown: [`AcceptedTls::has_client_certificate`] tells. One that is shown and not
    /// trusted is refused.
    ///
    /// # Errors
    ///
    /// There is nothing to agree on, the client is gone, or the time is over
    /// ([`TimedOut`](io::ErrorKind::TimedOut)).
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        time_max: Duration,
    ) -> io::Result<AcceptedTls<S>> {
        let mut counted = CountedHandshake {
            identity: self,
            result: HandshakeResult::CrowdedOut,
        };
        let acceptor = TlsAcceptor::from(self.server_for_all());
        let agreed = timeout(time_max, acceptor.accept(stream)).await;
        let (result, agreed) = match agreed {
            Ok(Ok(stream)) => (HandshakeResult::Ok, Ok(AcceptedTls(stream))),
            Ok(Err(fault)) => (HandshakeResult::Failed, Err(fault)),
            Err(over) => (HandshakeResult::Timeout, Err(over.into())),
        };
        counted.result = result;
        agreed
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for AcceptedTls<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for AcceptedTls<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
