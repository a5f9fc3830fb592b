//! What the control procedures are given: read from MessagePack, checked, and turned into types.

use std::time::Duration;

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader};
use vestibule_wire::request::Call;

use crate::limits::CONTROL_TIME_MAX;
use crate::messages::KillTarget;
use crate::seconds::read_seconds;
use crate::session::dispatch::Dispatcher;

/// What a connection may choose for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// How long its requests may take: zero for ever, `None` as configured.
    RequestTimeout(Option<Duration>),
}

impl Dispatcher<'_> {
    /// Takes over a setting; returns what holds now, in seconds.
    pub(crate) fn set(&mut self, setting: Setting) -> f64 {
        match setting {
            Setting::RequestTimeout(timeout) => self.session.set_request_timeout(timeout),
        }
        self.request_timeout().as_secs_f64()
    }
}

/// A connection's number, and the sync of one of its requests.
pub(crate) fn kill_arguments(call: &Call<'_>) -> Result<KillTarget, Error> {
    let usage = |_| Error::illegal_params("Usage: vestibule.kill(connection [, sync])");
    let mut reader = Reader::new(call.args);
    let count = reader.read_array_len().map_err(usage)?;
    if !(1..=2).contains(&count) {
        return Err(Error::illegal_params(
            "Usage: vestibule.kill(connection [, sync])",
        ));
    }
    let connection = reader.read_uint().map_err(usage)?;
    let sync = match count == 2 && reader.peek() != Ok(Kind::Nil) {
        true => Some(reader.read_uint().map_err(usage)?),
        false => None,
    };
    Ok(KillTarget { connection, sync })
}

/// `'request_timeout', seconds`; nil takes the connection's own back.
pub(crate) fn set_arguments(call: &Call<'_>) -> Result<Setting, Error> {
    let usage = || Error::illegal_params("Usage: vestibule.set('request_timeout', seconds or nil)");
    let mut reader = Reader::new(call.args);
    if reader.read_array_len() != Ok(2) || reader.read_str() != Ok("request_timeout") {
        return Err(usage());
    }
    let timeout = match reader.peek() {
        Ok(Kind::Nil) => None,
        _ => Some(read_seconds(&mut reader, CONTROL_TIME_MAX).ok_or_else(usage)?),
    };
    Ok(Setting::RequestTimeout(timeout))
}

/// The first argument as a text, if there is one.
pub(crate) fn text_argument<'a>(call: &Call<'a>) -> Result<Option<&'a str>, Error> {
    let mut reader = Reader::new(call.args);
    match reader.read_array_len() {
        Ok(0) => Ok(None),
        _ if reader.peek() == Ok(Kind::Nil) => Ok(None),
        _ => reader.read_str().map(Some).map_err(|_| {
            Error::illegal_params(format!("Bad arguments of {}: expected a string", call.name))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(name: &'a str, args: &'a [u8]) -> Call<'a> {
        Call {
            name,
            args,
            wrap_results: false,
        }
    }

    #[test]
    fn a_kill_names_a_connection_and_perhaps_a_sync() {
        let kill = |args: &[u8]| kill_arguments(&call("vestibule.kill", args)).ok();
        let target = |connection, sync| Some(KillTarget { connection, sync });
        assert_eq!(kill(&[0x91, 7]), target(7, None));
        assert_eq!(kill(&[0x92, 7, 0xc0]), target(7, None));
        assert_eq!(kill(&[0x92, 7, 9]), target(7, Some(9)));
        assert_eq!(kill(&[0x90]), None);
        assert_eq!(kill(&[0x93, 7, 9, 1]), None);
        assert_eq!(kill(&[0x91, 0xff]), None);
    }

    #[test]
    fn a_setting_has_a_name_and_seconds_or_nothing() {
        let name = b"request_timeout";
        let set = |value: &[u8]| {
            let args = [&[0x92, 0xa0 | name.len() as u8], &name[..], value].concat();
            set_arguments(&call("vestibule.set", &args)).ok()
        };
        let timeout = |time| Some(Setting::RequestTimeout(time));
        assert_eq!(set(&[3]), timeout(Some(Duration::from_secs(3))));
        assert_eq!(set(&[0]), timeout(Some(Duration::ZERO)));
        assert_eq!(set(&[0xc0]), timeout(None));
        assert_eq!(set(&[0xff]), None);
        assert_eq!(set_arguments(&call("vestibule.set", &[0x90])).ok(), None);
    }
}
