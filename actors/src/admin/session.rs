//! What a session tells of itself: `box.session.peer` and `box.session.sync`.

use vestibule_wire::Error;
use vestibule_wire::reply::write_value;

use super::args::connection_argument;
use super::call::{Answer, ControlCall};

/// `box.session.peer()`: the address of the client.
pub(super) fn peer(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    let own = call.caller.connection;
    match connection_argument(call.args) {
        Some(asked) if asked.is_none_or(|asked| asked == own) => {
            write_value(body, &call.peer.address_text())?;
            Ok(Answer::Written)
        }
        _ => Err(call.procedure.usage()),
    }
}

/// `box.session.sync()`: the number of the request that asks.
pub(super) fn sync(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    write_value(body, &call.sync)?;
    Ok(Answer::Written)
}
