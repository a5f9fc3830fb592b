//! Telling a connection that there is no slot for it: from the spare descriptor, without a session.

use std::time::Instant;

use vestibule_wire::greeting::{self, SALT_SIZE};
use vestibule_wire::reply::ReplyHeader;

use crate::incoming::IncomingStream;
use crate::shared::Shared;
use crate::slots::NoSlot;

/// Greets, says why and shuts down. It never waits: a new socket's buffer takes these few bytes,
/// and a peer that is gone already needs none.
pub(crate) fn reject(shared: &Shared, stream: &mut IncomingStream, why: NoSlot, now: Instant) {
    shared.slots.count_rejected();
    let mut salt = [0; SALT_SIZE];
    if getrandom::fill(&mut salt).is_err() {
        return;
    }
    let mut bytes = greeting::encode(&shared.config.instance_uuid, &salt).to_vec();
    let header = ReplyHeader {
        sync: 0,
        schema_version: shared.schema_version(),
    };
    header.write_error(&mut bytes, &shared.over_capacity(why, now));
    let _ = stream.write_last(&bytes);
}
