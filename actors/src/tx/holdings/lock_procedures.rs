//! `vestibule.lock(name [, timeout])` and `vestibule.unlock(name)`, among the procedures of a
//! runtime.

use std::time::Duration;

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader};

use crate::engine::Outcome;
use crate::engine::procedures::{LOCK, Procedures, ReadOnlyCall};
use crate::limits::{LOCK_NAME_SIZE_MAX, LOCK_WAIT_DEFAULT, LOCK_WAIT_MAX};
use crate::seconds::read_seconds;

/// What gives it back.
const UNLOCK: &str = "vestibule.unlock";

/// Registers them, in place of any of these names that an embedder has registered.
pub(crate) fn with_locks<E: 'static>(procedures: Procedures<E>) -> Procedures<E> {
    procedures.read_only(LOCK, lock).read_only(UNLOCK, unlock)
}

/// True if this connection has the lock, false if it took too long.
fn lock<E>(call: &mut ReadOnlyCall<'_, E>) -> Result<Outcome, Error> {
    let wanted = Wanted::read(call.name, call.args)?;
    call.reply.lock(wanted.name, wanted.timeout)
}

/// False if this connection does not have the lock.
fn unlock<E>(call: &mut ReadOnlyCall<'_, E>) -> Result<Outcome, Error> {
    let is_released = call.reply.unlock(read_unlock(call.args)?);
    call.reply.value(&is_released)
}

/// The name of the lock to give back, which is all that `vestibule.unlock` takes.
///
/// # Errors
///
/// [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS) for anything else.
fn read_unlock(args: &[u8]) -> Result<&str, Error> {
    let mut reader = Reader::new(args);
    let name = match reader.read_array_len() {
        Ok(1) => reader.read_str().ok(),
        _ => None,
    };
    name.filter(|own| own.len() <= LOCK_NAME_SIZE_MAX)
        .ok_or_else(|| Error::illegal_params(format!("Usage: {UNLOCK}(name)")))
}

/// Arguments of `vestibule.lock`.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    name: &'a str,
    timeout: Duration,
}

impl<'a> Wanted<'a> {
    /// # Errors
    ///
    /// [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS) for anything but a
    /// name of a sensible size and seconds.
    fn read(procedure: &str, args: &'a [u8]) -> Result<Self, Error> {
        let usage = || Error::illegal_params(format!("Usage: {procedure}(name [, timeout])"));
        let mut reader = Reader::new(args);
        let count = reader.read_array_len().map_err(|_| usage())?;
        let name = reader.read_str().map_err(|_| usage())?;
        if !(1..=2).contains(&count) || name.len() > LOCK_NAME_SIZE_MAX {
            return Err(usage());
        }
        let timeout = match reader.peek() {
            _ if count == 1 => LOCK_WAIT_DEFAULT,
            Ok(Kind::Nil) => LOCK_WAIT_DEFAULT,
            _ => read_seconds(&mut reader, LOCK_WAIT_MAX).ok_or_else(usage)?,
        };
        Ok(Self { name, timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_given_back_by_its_name_alone() {
        assert_eq!(read_unlock(&[0x91, 0xa1, b'a']).ok(), Some("a"));
        for bad in [&[0x90][..], &[0x91, 7], &[0x92, 0xa1, b'a', 1], &[]] {
            let told = read_unlock(bad).map_err(|error| error.to_string());
            assert!(told.unwrap_err().contains("vestibule.unlock(name)"));
        }
    }

    #[test]
    fn a_lock_is_asked_for_by_name_and_for_a_limited_time() {
        let read = |args: &[u8]| Wanted::read(LOCK, args).map(|own| own.timeout).ok();
        assert_eq!(read(&[0x91, 0xa1, b'a']), Some(LOCK_WAIT_DEFAULT));
        assert_eq!(read(&[0x92, 0xa1, b'a', 0xc0]), Some(LOCK_WAIT_DEFAULT));
        assert_eq!(read(&[0x92, 0xa1, b'a', 0]), Some(Duration::ZERO));
        let forever = [&[0x92, 0xa1, b'a', 0xcb][..], &1e300f64.to_be_bytes()].concat();
        assert_eq!(read(&forever), Some(LOCK_WAIT_MAX));
        let infinite = [&[0x92, 0xa1, b'a', 0xcb][..], &f64::INFINITY.to_be_bytes()].concat();
        assert_eq!(read(&infinite), None);
        assert_eq!(read(&[0x90]), None);
        assert_eq!(read(&[0x92, 0xa1, b'a', 0xff]), None);
        let mut long = vec![0x91, 0xda, 0x02, 0x00];
        long.resize(4 + 0x200, b'a');
        assert_eq!(read(&long), None);
    }
}
