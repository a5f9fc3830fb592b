//! Telling a connection that there is no place for it: from the spare descriptor, without a session.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use vestibule_wire::greeting::{self, SALT_SIZE};
use vestibule_wire::{Error, ErrorCode, reply::ReplyHeader};

use super::gate::Door;
use crate::limits::RETRY_AFTER_DEFAULT;
use crate::serving::Situation;
use crate::shared::Shared;

/// Error 116 with the fields that every error of a state carries.
pub(crate) fn no_place(shared: &Shared, door: Door, now: Instant) -> Error {
    let situation = Situation {
        reason: "too many connections".to_owned(),
        progress: None,
        retry_after: RETRY_AFTER_DEFAULT,
        ..shared.cell.situation(now)
    };
    let text = format!(
        "Too many connections: all {} places are taken, retry after {} s",
        shared.places.shares.of(door),
        RETRY_AFTER_DEFAULT.as_secs()
    );
    situation.error_with_text(ErrorCode::LOADING, text)
}

/// Greets, says why and shuts down. It never waits: a new socket's buffer takes these few bytes, and a
/// peer that is gone already needs none.
pub(crate) fn turn_away(shared: &Shared, mut stream: &TcpStream, door: Door, now: Instant) {
    shared.places.count_turned_away();
    let mut salt = [0; SALT_SIZE];
    if getrandom::fill(&mut salt).is_err() {
        return;
    }
    let mut bytes = greeting::encode(&shared.config.instance_uuid, &salt).to_vec();
    let header = ReplyHeader {
        sync: 0,
        schema_version: shared.schema_version(),
    };
    header.write_error(&mut bytes, &no_place(shared, door, now));
    if stream.write_all(&bytes).is_ok() {
        let _ = stream.shutdown(Shutdown::Write);
    }
}
