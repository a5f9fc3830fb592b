//! `box.broadcast`: an event of one's own, set by CALL.

use vestibule_wire::Error;
use vestibule_wire::reply::write_values;

use super::args::broadcast_arguments;
use super::call::{Answer, ControlCall};

/// `box.broadcast(key [, value])`: sets the value of an event, or takes it away.
pub(super) fn broadcast(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    let (key, value) = broadcast_arguments(call.args).ok_or_else(|| call.procedure.usage())?;
    call.shared.events.set_raw(key, value.to_vec())?;
    write_values(body, &[(); 0])?;
    Ok(Answer::Written)
}
