//! The task that connects, serves the connection, and connects again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::drive::drive;
use super::handshake::Handshake;
use super::shared::{Link, Phase, closed};
use super::transport::{self, Socket, WriteHalf};
use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind};
use crate::incoming::Incoming;
use crate::limits::CONNECTION_GOOD_AFTER;

/// What keeps a connection: it is closed when the last of those who hold this is gone.
#[derive(Debug)]
pub(crate) struct Holder(pub(crate) Arc<Link>);

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Starts a connection's task on the present runtime.
pub(crate) fn open(link: Arc<Link>) -> Arc<Holder> {
    tokio::spawn(keep(Arc::clone(&link)));
    Arc::new(Holder(link))
}

async fn keep(link: Arc<Link>) {
    let options = &link.options;
    let mut backoff = Backoff::new(options.backoff_min, options.backoff_max);
    for epoch in 1.. {
        let began = Instant::now();
        let error = tokio::select! {
            error = live(&link, epoch) => error,
            () = cut_off(&link) => closed(),
        };
        let refusal = link.lock().last_refusal.take();
        link.ended(&error);
        if is_closed(&link.phase.borrow()) {
            return;
        }
        if began.elapsed() >= CONNECTION_GOOD_AFTER {
            backoff.reset();
        }
        let hint = error.retry_after();
        let hint = hint.or_else(|| refusal.as_ref().and_then(crate::error::retry_after));
        let wait = backoff.next(fastrand::f64(), hint);
        let address = &link.target.address;
        log::debug!("connection to {address} ended: {error}; again in {wait:?}");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = link.until_closed() => return,
        }
    }
}

/// One connection, from its making to its end; returns why it ended.
async fn live(link: &Link, epoch: u64) -> Error {
    let connect = transport::connect(&link.target.address, &link.options);
    let timeout = link.options.connect_timeout;
    match tokio::time::timeout(timeout, connect).await {
        Err(_) => {
            let text = format!("no connection within {timeout:?}");
            Error::not_sent(ErrorKind::Connection, text)
        }
        Ok(Err(error)) => error,
        Ok(Ok(Socket::Tcp(mut socket))) => match greet(link, &mut socket, epoch).await {
            Ok(incoming) => {
                let (reader, writer) = socket.into_split();
                drive_plain(link, incoming, reader, writer.into()).await
            }
            Err(error) => error,
        },
        Ok(Ok(Socket::Unix(mut socket))) => match greet(link, &mut socket, epoch).await {
            Ok(incoming) => {
                let (reader, writer) = socket.into_split();
                drive_plain(link, incoming, reader, writer.into()).await
            }
            Err(error) => error,
        },
        #[cfg(feature = "tls")]
        Ok(Ok(Socket::Tls(mut socket))) => match greet(link, socket.stream(), epoch).await {
            Ok(incoming) => {
                let (reader, writer) = socket.into_split();
                drive(link, incoming, reader, writer).await
            }
            Err(error) => error,
        },
    }
}

/// Drives a connection whose callers may write as well.
async fn drive_plain(
    link: &Link,
    incoming: Incoming,
    reader: impl tokio::io::AsyncRead + Unpin,
    writer: WriteHalf,
) -> Error {
    let _lent = link.lend(&writer);
    drive(link, incoming, reader, writer).await
}

async fn greet<S>(link: &Link, socket: &mut S, epoch: u64) -> Result<Incoming, Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let credentials = link.target.credentials.as_ref();
    let handshake = Handshake {
        credentials: credentials.or(link.options.credentials.as_ref()),
        timeout: link.options.connect_timeout,
        reply_size_max: link.options.reply_size_max,
        chunks: link.options.chunks,
    };
    let refused = |error: &Error| {
        let mut state = link.lock();
        if !is_closed(&state.phase) {
            link.set_phase(&mut state, Phase::Down(Some(error.clone())));
        }
    };
    let (session, incoming) = handshake.run(socket, epoch, refused).await?;
    link.up(session);
    Ok(incoming)
}

fn is_closed(phase: &Phase) -> bool {
    matches!(phase, Phase::Closed)
}

/// Ends when a client that was closed has had time to write what it had queued, and to take the
/// replies to what it had sent.
async fn cut_off(link: &Link) {
    link.until_closed().await;
    let mut grace = link.options.ping_timeout;
    if link.lock().table.is_empty() {
        grace = grace.min(Duration::from_secs(1));
    }
    tokio::time::sleep(grace).await;
}
