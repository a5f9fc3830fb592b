//! The control procedure that has the program load its configuration again: `vestibule.reload()`.

use vestibule_wire::Error;

use super::call::{Answer, ControlCall};

/// `vestibule.reload()`: answered when what was loaded holds, or is refused.
pub(super) fn reload(call: &ControlCall<'_>, _body: &mut Vec<u8>) -> Result<Answer, Error> {
    call.shared.additions.reload.check()?;
    Ok(Answer::Reload {
        requested_by: call.requested_by(),
    })
}
