//! The start of a connection: the greeting, the features of both sides, the login.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use vestibule_wire::client::{GREETING_SIZE, Greeting, RequestHeader, login_tuple};
use vestibule_wire::error::ErrorCode;
use vestibule_wire::features::{Features, PROTOCOL_VERSION};
use vestibule_wire::greeting;
use vestibule_wire::groups::Agreement;
use vestibule_wire::request::{Auth, Body, Id};

use super::shared::Session;
use crate::address::Credentials;
use crate::backoff::spread;
use crate::error::{Error, ErrorKind, Outcome, retry_after};
use crate::incoming::{AGREED, Arrived, Incoming, Reply};
use crate::limits::{CHUNK_MESSAGES_SENT_MAX, CHUNK_WINDOW_SENT_MAX, RETRY_AFTER_DEFAULT};

/// Numbers of the requests before all others.
const ID_SYNC: u64 = 1;
const AUTH_SYNC: u64 = 2;

const KNOWS_NO_ID: Id = Id {
    version: 0,
    features: Features::NONE,
    chunks: None,
};

/// Most of what a server offers to hold of requests in chunks that is used.
const SENT_MAX: Agreement = Agreement {
    window: CHUNK_WINDOW_SENT_MAX,
    messages_max: CHUNK_MESSAGES_SENT_MAX,
};

/// Who connects, and how long the steps may take.
pub(super) struct Handshake<'a> {
    pub(super) credentials: Option<&'a Credentials>,
    pub(super) timeout: Duration,
    pub(super) reply_size_max: usize,
    /// Whether chunks are asked for.
    pub(super) chunks: bool,
}

impl Handshake<'_> {
    /// Returns what is known of the connection, and what was received beyond it.
    ///
    /// A server that is loading refuses the login for now. It is asked again over the same
    /// connection, for as long as it lasts: connecting again would cost the server more.
    /// `refused` hears of it.
    pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: &mut S,
        epoch: u64,
        refused: impl Fn(&Error),
    ) -> Result<(Session, Incoming), Error> {
        let mut incoming = Incoming::new(self.reply_size_max);
        let steps = self.begin(socket, &mut incoming);
        let (greeting, id, mut login) = self.in_time(steps).await??;
        while let Err(error) = login {
            if !error.is_busy() {
                return Err(error);
            }
            refused(&error);
            let hint = error.retry_after().unwrap_or(RETRY_AFTER_DEFAULT);
            wait(socket, &mut incoming, spread(hint, fastrand::f64())).await?;
            login = self
                .in_time(self.log_in(socket, &mut incoming, &greeting))
                .await?;
        }
        let session = Session {
            epoch,
            features: id.features,
            chunks: id.chunks,
            version: greeting.version,
            instance_uuid: greeting.instance_uuid,
        };
        Ok((session, incoming))
    }

    async fn in_time<T>(&self, step: impl Future<Output = T>) -> Result<T, Error> {
        let over = |_| {
            let text = format!("no greeting and login within {:?}", self.timeout);
            Error::not_sent(ErrorKind::Connection, text)
        };
        tokio::time::timeout(self.timeout, step).await.map_err(over)
    }

    /// Greeting, features and the first login, which are asked for together.
    async fn begin<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: &mut S,
        incoming: &mut Incoming,
    ) -> Result<(Greeting, Id, Result<(), Error>), Error> {
        let mut bytes = [0; GREETING_SIZE];
        socket.read_exact(&mut bytes).await.map_err(broken)?;
        let greeting = greeting::decode(&bytes).ok_or_else(|| {
            Error::not_sent(
                ErrorKind::Connection,
                "the peer does not greet as a server does",
            )
        })?;
        let mut out = Vec::new();
        let asked = Id {
            version: PROTOCOL_VERSION,
            features: Features::SUPPORTED,
            chunks: self.chunks.then_some(AGREED),
        };
        RequestHeader::with_sync(ID_SYNC).write(&mut out, &Body::Id(asked));
        self.write_login(&mut out, &greeting);
        socket.write_all(&out).await.map_err(broken)?;
        let reply = reply_to(socket, incoming, ID_SYNC).await?;
        let frame = reply.frame();
        // Servers before 2.10 do not know the request, and have none of the features.
        let mut id = match frame.error() {
            None => frame.id().unwrap_or(KNOWS_NO_ID),
            Some(error) if error.code() == ErrorCode::LOADING => return Err(refusal(&reply)),
            Some(_) => KNOWS_NO_ID,
        };
        let offered = id.chunks.filter(|_| self.chunks);
        id.chunks = offered.map(|offered| offered.at_most(SENT_MAX));
        if id.chunks.is_some() {
            incoming.take_chunks();
        }
        let login = self.login_reply(socket, incoming).await?;
        Ok((greeting, id, login))
    }

    fn write_login(&self, out: &mut Vec<u8>, greeting: &Greeting) {
        let Some(Credentials { user, password }) = self.credentials else {
            return;
        };
        let tuple = login_tuple(password, &greeting.salt);
        let auth = Body::Auth(Auth {
            user,
            tuple: &tuple,
        });
        RequestHeader::with_sync(AUTH_SYNC).write(out, &auth);
    }

    /// What the server says to the login, if there is one. The outer error is the connection's.
    async fn login_reply<S: AsyncRead + Unpin>(
        &self,
        socket: &mut S,
        incoming: &mut Incoming,
    ) -> Result<Result<(), Error>, Error> {
        if self.credentials.is_none() {
            return Ok(Ok(()));
        }
        let reply = reply_to(socket, incoming, AUTH_SYNC).await?;
        let is_fine = reply.frame().error_code().is_none();
        Ok(if is_fine {
            Ok(())
        } else {
            Err(refusal(&reply))
        })
    }

    async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: &mut S,
        incoming: &mut Incoming,
        greeting: &Greeting,
    ) -> Result<(), Error> {
        let mut out = Vec::new();
        self.write_login(&mut out, greeting);
        socket.write_all(&out).await.map_err(broken)?;
        self.login_reply(socket, incoming).await?
    }
}

/// The reply with this number. An error under another number is that of a server which has no place
/// for the connection.
async fn reply_to<S: AsyncRead + Unpin>(
    socket: &mut S,
    incoming: &mut Incoming,
    sync: u64,
) -> Result<Reply, Error> {
    loop {
        while let Some(arrived) = incoming.next().map_err(malformed)? {
            // Nothing is sent in chunks, nor asked for that is, before the login.
            let Arrived::Reply(reply) = arrived else {
                continue;
            };
            if reply.sync == sync {
                return Ok(reply);
            }
            if reply.frame().error_code().is_some() {
                return Err(refusal(&reply));
            }
        }
        let count = incoming.read(socket).await.map_err(broken)?;
        if count == 0 {
            return Err(ended());
        }
    }
}

/// Waits, or until the connection ends.
async fn wait<S: AsyncRead + Unpin>(
    socket: &mut S,
    incoming: &mut Incoming,
    time: Duration,
) -> Result<(), Error> {
    let until = tokio::time::Instant::now() + time;
    loop {
        match tokio::time::timeout_at(until, incoming.read(socket)).await {
            Err(_) => return Ok(()),
            Ok(Ok(0)) => return Err(ended()),
            Ok(Ok(_)) => {}
            Ok(Err(fault)) => return Err(broken(fault)),
        }
    }
}

fn refusal(reply: &Reply) -> Error {
    match reply.frame().error() {
        Some(error) => {
            log::debug!("refused: {error}; again in {:?}", retry_after(&error));
            Error::from_server(error, Outcome::Refused)
        }
        None => ended(),
    }
}

/// The error of a socket that fails.
pub(super) fn broken(fault: std::io::Error) -> Error {
    #[cfg(feature = "tls")]
    if crate::tls::is_of_tls(&fault) {
        return Error::not_sent(ErrorKind::Tls, format!("TLS: {fault}")).with_source(fault);
    }
    if fault.kind() == std::io::ErrorKind::UnexpectedEof {
        return ended().with_source(fault);
    }
    Error::not_sent(ErrorKind::Connection, fault.to_string()).with_source(fault)
}

/// The error of a socket that the peer has closed.
pub(super) fn ended() -> Error {
    Error::not_sent(
        ErrorKind::Connection,
        "the server has closed the connection",
    )
}

/// The error of bytes that no server sends.
pub(super) fn malformed(fault: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::not_sent(ErrorKind::Connection, fault.to_string()).with_source(fault)
}
