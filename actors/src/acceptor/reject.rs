//! Telling a connection that there is no slot for it: from the spare descriptor, without a session.

#[cfg(feature = "tls")]
use std::io;
use std::sync::Arc;
use std::time::Instant;

#[cfg(feature = "tls")]
use actix_rt::time::timeout;
use vestibule_wire::greeting::{self, SALT_SIZE};
use vestibule_wire::reply::ReplyHeader;

#[cfg(feature = "tls")]
use crate::connection::tls::Tls;
#[cfg(feature = "tls")]
use crate::connection::transport::from_incoming;
#[cfg(feature = "tls")]
use crate::connection::transport::write_some;
use crate::endpoints::PeerAddress;
use crate::incoming::IncomingStream;
#[cfg(feature = "tls")]
use crate::limits::TLS_REJECT_TIME_MAX;
use crate::shared::Shared;
use crate::slots::NoSlot;
#[cfg(feature = "tls")]
use crate::tls::HandshakeResult;
use crate::tls::TlsIdentity;

/// Greets, says why and shuts down. It never waits: a new socket's buffer takes these few bytes,
/// and a peer that is gone already needs none.
pub(crate) fn reject(shared: &Shared, stream: &mut IncomingStream, why: NoSlot, now: Instant) {
    shared.slots.count_rejected();
    if let Some(bytes) = told(shared, why, now) {
        let _ = stream.write_last(&bytes);
    }
}

/// The greeting, and why it is the last that is said.
fn told(shared: &Shared, why: NoSlot, now: Instant) -> Option<Vec<u8>> {
    let mut salt = [0; SALT_SIZE];
    getrandom::fill(&mut salt).ok()?;
    let mut bytes = greeting::encode(&shared.config.instance_uuid, &salt).to_vec();
    let header = ReplyHeader {
        sync: 0,
        schema_version: shared.schema_version(),
    };
    header.write_error(&mut bytes, &shared.over_capacity(why, now));
    Some(bytes)
}

/// The same after a handshake, for which the spare descriptor is kept a little longer: one at a
/// time. All others are closed.
#[cfg(feature = "tls")]
pub(super) fn reject_over_tls(
    shared: &Arc<Shared>,
    identity: &TlsIdentity,
    stream: IncomingStream,
    mut peer: PeerAddress,
    why: NoSlot,
) {
    shared.slots.count_rejected();
    let Some(rejecting) = identity.begin_rejecting() else {
        return identity.count(HandshakeResult::Rejected);
    };
    let (shared, server) = (shared.clone(), identity.server());
    actix_rt::spawn(async move {
        // Over when the socket is closed.
        let _rejecting = rejecting;
        let tell = async {
            let mut tls = Tls::accept(from_incoming(stream, &mut peer)?, server)?;
            tls.agree().await?;
            let bytes = told(&shared, why, shared.clock.now()).unwrap_or_default();
            let mut left = &bytes[..];
            while !left.is_empty() {
                left = &left[write_some(&mut tls, left).await?..];
            }
            io::Result::Ok(())
        };
        if let Ok(Err(error)) = timeout(TLS_REJECT_TIME_MAX, tell).await {
            log::debug!("TLS with {peer}, which has no slot: {error}");
        }
    });
}

#[cfg(not(feature = "tls"))]
pub(super) fn reject_over_tls(
    _: &Arc<Shared>,
    identity: &TlsIdentity,
    _: IncomingStream,
    _: PeerAddress,
    _: NoSlot,
) {
    match *identity {}
}
