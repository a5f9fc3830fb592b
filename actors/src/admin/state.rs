//! The procedures that tell of the whole server: `vestibule.state()`, `box.info()`.

use vestibule_wire::Error;
use vestibule_wire::reply::write_value;

use super::call::{Answer, ControlCall};
use crate::monitoring::{InstanceInfo, ServerStatus};

/// `vestibule.state()`.
pub(super) fn state(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    write_value(body, &ServerStatus::of(call.shared, call.now))?;
    Ok(Answer::Written)
}

/// `box.info()`.
pub(super) fn info(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    write_value(body, &InstanceInfo::of(call.shared, call.now))?;
    Ok(Answer::Written)
}
