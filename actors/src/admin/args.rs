//! What the control procedures are given: read from MessagePack, checked, and turned into types.
//!
//! Arguments that make no sense are `None`: the procedure tells its usage.

use std::time::Duration;

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader};

use super::call::Setting;
use crate::engine::arguments::bad_argument;
use crate::limits::CONTROL_TIME_MAX;
use crate::messages::KillTarget;
use crate::seconds::read_seconds;
use crate::upstream::ReadFrom;

/// A connection's number, and the sync of one of its requests.
pub(super) fn kill_arguments(args: &[u8]) -> Option<KillTarget> {
    let mut reader = Reader::new(args);
    let count = reader.read_array_len().ok()?;
    if !(1..=2).contains(&count) {
        return None;
    }
    let connection = reader.read_uint().ok()?;
    let sync = match count == 2 && reader.peek() != Ok(Kind::Nil) {
        true => Some(reader.read_uint().ok()?),
        false => None,
    };
    Some(KillTarget { connection, sync })
}

/// The number of a connection, if one is given.
pub(super) fn connection_argument(args: &[u8]) -> Option<Option<u64>> {
    let mut reader = Reader::new(args);
    match reader.read_array_len() {
        Ok(0) => Some(None),
        Ok(1) if reader.peek() == Ok(Kind::Nil) => Some(None),
        Ok(1) => reader.read_uint().ok().map(Some),
        _ => None,
    }
}

/// The key of an event, and its value as MessagePack: nil for none.
pub(super) fn broadcast_arguments(args: &[u8]) -> Option<(&str, &[u8])> {
    let mut reader = Reader::new(args);
    let count = reader.read_array_len().ok()?;
    let key = reader.read_str().ok()?;
    match count {
        1 => Some((key, &[0xc0])),
        2 => reader.skip().ok().map(|value| (key, value)),
        _ => None,
    }
}

/// `'request_timeout', seconds` or `'read_from', name`; nil takes the connection's own back.
pub(super) fn set_arguments(args: &[u8]) -> Option<Setting> {
    let mut reader = Reader::new(args);
    if reader.read_array_len() != Ok(2) {
        return None;
    }
    let name = reader.read_str().ok()?;
    let is_taken_back = reader.peek() == Ok(Kind::Nil);
    Some(match name {
        "request_timeout" if is_taken_back => Setting::RequestTimeout(None),
        "request_timeout" => {
            Setting::RequestTimeout(Some(read_seconds(&mut reader, CONTROL_TIME_MAX)?))
        }
        "read_from" if is_taken_back => Setting::ReadFrom(None),
        "read_from" => Setting::ReadFrom(Some(ReadFrom::of_name(reader.read_str().ok()?)?)),
        _ => return None,
    })
}

/// The first argument as a text, if there is one.
///
/// # Errors
///
/// [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS), naming the procedure
/// and what came, if it is anything but a text or nil.
pub(super) fn text_argument<'a>(procedure: &str, args: &'a [u8]) -> Result<Option<&'a str>, Error> {
    let mut reader = Reader::new(args);
    match reader.read_array_len() {
        Ok(0) => Ok(None),
        _ if reader.peek() == Ok(Kind::Nil) => Ok(None),
        _ => {
            let value = reader.clone().skip().ok();
            let text = reader.read_str().map(Some);
            text.map_err(|_| bad_argument(procedure, 1, "a string", value))
        }
    }
}

/// The name of an upstream, and what may follow it, as an array of its own.
pub(super) fn upstream_arguments(args: &[u8]) -> Option<(&str, Vec<u8>)> {
    let mut reader = Reader::new(args);
    let count = reader.read_array_len().ok()?;
    let name = reader.read_str().ok()?;
    let times = match count {
        1 => vec![0x90],
        2 => [&[0x91], reader.skip().ok()?].concat(),
        _ => return None,
    };
    Some((name, times))
}

/// Times in seconds, by name. Of one that is given twice the last holds.
#[derive(Debug, PartialEq)]
pub(super) struct Times<const N: usize>([(&'static str, Option<Duration>); N]);

impl<const N: usize> Times<N> {
    /// A table of them, an empty table, or nothing.
    pub(super) fn read(args: &[u8], names: [&'static str; N]) -> Option<Self> {
        let mut times = Self(names.map(|name| (name, None)));
        let mut reader = Reader::new(args);
        if reader.read_array_len().ok()? == 0 {
            return Some(times);
        }
        let pairs = match reader.peek().ok()? {
            Kind::Map => reader.read_map_len().ok()?,
            // Lua sends an empty table as an empty array.
            Kind::Nil => 0,
            Kind::Array if reader.read_array_len() == Ok(0) => 0,
            _ => return None,
        };
        for _ in 0..pairs {
            let name = reader.read_str().ok()?;
            let (_, time) = times.0.iter_mut().find(|(own, _)| *own == name)?;
            *time = Some(read_seconds(&mut reader, CONTROL_TIME_MAX)?);
        }
        Some(times)
    }

    /// The time of this name, if it is given.
    pub(super) fn get(&self, name: &str) -> Option<Duration> {
        let (_, time) = self.0.iter().find(|(own, _)| *own == name)?;
        *time
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::msgpack::{write_map_len, write_str, write_uint};

    use super::*;

    #[test]
    fn a_kill_names_a_connection_and_perhaps_a_sync() {
        let kill = kill_arguments;
        let target = |connection, sync| Some(KillTarget { connection, sync });
        assert_eq!(kill(&[0x91, 7]), target(7, None));
        assert_eq!(kill(&[0x92, 7, 0xc0]), target(7, None));
        assert_eq!(kill(&[0x92, 7, 9]), target(7, Some(9)));
        assert_eq!(kill(&[0x90]), None);
        assert_eq!(kill(&[0x93, 7, 9, 1]), None);
        assert_eq!(kill(&[0x91, 0xff]), None);
    }

    #[test]
    fn a_text_is_one_or_missing_and_what_else_came_is_told() {
        let text = |args| text_argument("vestibule.show", args).map_err(|told| told.to_string());
        assert_eq!(text(&[0x90]), Ok(None));
        assert_eq!(text(&[0x91, 0xc0]), Ok(None));
        assert_eq!(text(&[0x91, 0xa1, b'x']), Ok(Some("x")));
        let told =
            "Bad arguments of vestibule.show: argument 1 should be a string, got 1 (error 1)";
        assert_eq!(text(&[0x91, 1]), Err(told.to_owned()));
    }

    fn set_to(name: &str, value: &[u8]) -> Option<Setting> {
        let args = [&[0x92, 0xa0 | name.len() as u8], name.as_bytes(), value].concat();
        set_arguments(&args)
    }

    #[test]
    fn where_is_read_from_has_a_name_or_is_as_it_was() {
        let set = |value: &[u8]| set_to("read_from", value);
        for own in ReadFrom::ALL {
            let name = own.name();
            let value = [&[0xa0 | name.len() as u8], name.as_bytes()].concat();
            assert_eq!(set(&value), Some(Setting::ReadFrom(Some(own))));
        }
        assert_eq!(set(&[0xc0]), Some(Setting::ReadFrom(None)));
        assert_eq!(set(b"\xa3any"), None);
        assert_eq!(set(&[1]), None);
    }

    #[test]
    fn a_setting_has_a_name_and_seconds_or_nothing() {
        let set = |value: &[u8]| set_to("request_timeout", value);
        let timeout = |time| Some(Setting::RequestTimeout(time));
        assert_eq!(set(&[3]), timeout(Some(Duration::from_secs(3))));
        assert_eq!(set(&[0]), timeout(Some(Duration::ZERO)));
        assert_eq!(set(&[0xc0]), timeout(None));
        assert_eq!(set(&[0xff]), None);
        assert_eq!(set_arguments(&[0x90]), None);
    }

    fn read(args: &[u8]) -> Option<(Option<Duration>, Option<Duration>)> {
        let times = Times::read(args, ["grace", "timeout"])?;
        Some((times.get("grace"), times.get("timeout")))
    }

    fn table(pairs: &[(&str, &[u8])]) -> Vec<u8> {
        let mut args = vec![0x91];
        write_map_len(&mut args, pairs.len() as u32);
        for (name, value) in pairs {
            write_str(&mut args, name);
            args.extend_from_slice(value);
        }
        args
    }

    #[test]
    fn times_are_given_in_seconds_of_any_number_type() {
        for nothing in [&[0x90][..], &[0x91, 0x80], &[0x91, 0x90], &[0x91, 0xc0]] {
            assert_eq!(read(nothing), Some((None, None)));
        }
        let mut whole = Vec::new();
        write_uint(&mut whole, 5);
        let half = [&[0xcb][..], &0.5f64.to_be_bytes()].concat();
        assert_eq!(
            read(&table(&[("grace", &whole), ("timeout", &half)])),
            Some((
                Some(Duration::from_secs(5)),
                Some(Duration::from_millis(500))
            ))
        );
        let negative = [&[0xcb][..], &(-1.0f64).to_be_bytes()].concat();
        let endless = [&[0xcb][..], &f64::INFINITY.to_be_bytes()].concat();
        assert!(read(&table(&[("grace", &negative)])).is_none());
        assert!(read(&table(&[("grace", &endless)])).is_none());
        let huge = [&[0xcb][..], &1e300f64.to_be_bytes()].concat();
        assert_eq!(
            read(&table(&[("grace", &huge)])),
            Some((Some(CONTROL_TIME_MAX), None))
        );
        assert!(read(&table(&[("grave", &whole)])).is_none());
        assert!(read(&[0x91, 5]).is_none());
    }
}
