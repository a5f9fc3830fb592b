//! The control procedures that do one thing at once: solo, assist, reconnect, kill, set.

use vestibule_wire::{Error, ErrorCode};

use super::args::{kill_arguments, set_arguments, text_argument, upstream_arguments};
use super::call::{Answer, ControlCall, Setting};
use super::state::state;
use super::transitions::find;
use crate::messages::FanOut;

/// `vestibule.solo([reason])`: an operator declares solo.
pub(super) fn solo(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    let reason =
        text_argument(call.procedure.name, call.args)?.unwrap_or("requested by an operator");
    call.shared.serving.operator_solo(reason, call.now);
    state(call, body)
}

/// `vestibule.assist()`: takes back what [`solo`] declared.
pub(super) fn assist(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    call.shared.serving.operator_assist(call.now);
    state(call, body)
}

/// `vestibule.reconnect(name)`: requests go there over new connections from now on.
pub(super) fn reconnect(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    let name = upstream_arguments(call.args).filter(|(_, times)| times == &[0x90]);
    let (name, _) = name.ok_or_else(|| call.procedure.usage())?;
    let upstream = find(call, name)?;
    if let Some(gateway) = &call.shared.gateway {
        gateway.reconnect(upstream);
    }
    state(call, body)
}

/// `vestibule.kill(connection [, sync])`: ends a connection, or requests of it.
pub(super) fn kill(call: &ControlCall<'_>, _body: &mut Vec<u8>) -> Result<Answer, Error> {
    let target = kill_arguments(call.args).ok_or_else(|| call.procedure.usage())?;
    Ok(Answer::FanOut(FanOut::Kill(target)))
}

/// `vestibule.set(name, value)`: a setting of the caller's own connection.
pub(super) fn set(call: &ControlCall<'_>, _body: &mut Vec<u8>) -> Result<Answer, Error> {
    let setting = set_arguments(call.args).ok_or_else(|| call.procedure.usage())?;
    let gateway = call.shared.gateway.as_deref();
    let reads_replicas = gateway.is_some_and(|own| own.config.reads_replicas());
    if matches!(setting, Setting::ReadFrom(_)) && !reads_replicas {
        let text = "read_from is for gateways that read from replicas (--staleness-max)";
        return Err(Error::new(ErrorCode::ILLEGAL_PARAMS, text));
    }
    Ok(Answer::Set(setting))
}
