//! The control procedures that ask for transitions.

use std::time::Duration;

use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader};
use vestibule_wire::request::Call;

use super::run::{Answer, reply_to};
use crate::limits::{CONTROL_TIME_MAX, TRANSITION_WAIT_DEFAULT};
use crate::messages::Requester;
use crate::seconds::read_seconds;
use crate::serving::Role;
use crate::session::dispatch::Dispatcher;
use crate::transitions::{TransitionRequest, TransitionTarget};

/// `vestibule.drain({timeout = seconds, lameduck = seconds})`: answered with the new state, as soon as the
/// stop has begun. What the client sends meanwhile waits for the answer. If a stop is under way already,
/// its times hold.
///
/// # Errors
///
/// [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS) for arguments that are none
/// of these.
pub(crate) fn drain(
    dispatcher: &mut Dispatcher<'_>,
    sync: u64,
    call: &Call<'_>,
) -> Result<Answer, Error> {
    let usage = "Usage: vestibule.drain({timeout = seconds, lameduck = seconds})";
    let options = Options::read(call, ["timeout", "lameduck"], usage)?;
    let shared = dispatcher.shared;
    let request = TransitionRequest {
        target: TransitionTarget::Stopped,
        lameduck: options.value("lameduck").unwrap_or(shared.config.lameduck),
        grace: shared.grace_or_default(options.value("timeout")),
        wait: Duration::ZERO,
        reason: call.name.to_owned(),
        requested_by: requested_by(dispatcher),
    };
    let requester = Requester::SessionAtStart(reply_to(dispatcher, sync, call));
    dispatcher.peers.supervisor.submit(request, requester);
    dispatcher.session.await_transition();
    dispatcher.session.on_gather();
    Ok(Answer::Later)
}

/// `vestibule.demote({grace = seconds, timeout = seconds})` and `vestibule.promote({timeout = seconds})`:
/// answered when the role is changed, or cannot be. The timeout is for other transitions that are
/// under way.
pub(crate) fn change_role(
    dispatcher: &mut Dispatcher<'_>,
    sync: u64,
    call: &Call<'_>,
    role: Role,
) -> Result<Answer, Error> {
    let options = match role {
        Role::Replica => {
            let usage = "Usage: vestibule.demote({grace = seconds, timeout = seconds})";
            Options::read(call, ["grace", "timeout"], usage)?
        }
        Role::Primary => {
            let usage = "Usage: vestibule.promote({timeout = seconds})";
            Options::read(call, ["timeout", "timeout"], usage)?
        }
    };
    let wait = options.value("timeout");
    let shared = dispatcher.shared;
    let request = TransitionRequest {
        target: TransitionTarget::Role(role),
        lameduck: Duration::ZERO,
        grace: shared.grace_or_default(options.value("grace")),
        wait: wait.unwrap_or(TRANSITION_WAIT_DEFAULT),
        reason: call.name.to_owned(),
        requested_by: requested_by(dispatcher),
    };
    let requester = Requester::SessionAtEnd(reply_to(dispatcher, sync, call));
    dispatcher.peers.supervisor.submit(request, requester);
    dispatcher.session.await_transition();
    Ok(Answer::Later)
}

fn requested_by(dispatcher: &Dispatcher<'_>) -> String {
    let user = &dispatcher.session.caller().user;
    format!("{user} from {}", dispatcher.cell.peer)
}

/// Two times in seconds, by name, each at most once given.
#[derive(Debug, PartialEq)]
struct Options([(&'static str, Option<Duration>); 2]);

impl Options {
    fn value(&self, name: &str) -> Option<Duration> {
        let mut found = self.0.iter().filter(|(own, _)| *own == name);
        found.find_map(|(_, value)| *value)
    }

    /// A table of them, an empty table, or nothing.
    fn read(call: &Call<'_>, names: [&'static str; 2], usage: &'static str) -> Result<Self, Error> {
        let bad = || Error::illegal_params(usage);
        let mut options = Self(names.map(|name| (name, None)));
        let mut reader = Reader::new(call.args);
        if reader.read_array_len().map_err(|_| bad())? == 0 {
            return Ok(options);
        }
        let pairs = match reader.peek() {
            Ok(Kind::Map) => reader.read_map_len().map_err(|_| bad())?,
            // Lua sends an empty table as an empty array.
            Ok(Kind::Nil) => 0,
            Ok(Kind::Array) if reader.read_array_len() == Ok(0) => 0,
            _ => return Err(bad()),
        };
        for _ in 0..pairs {
            let name = reader.read_str().map_err(|_| bad())?;
            let mut known = options.0.iter_mut();
            let (_, value) = known.find(|(own, _)| *own == name).ok_or_else(bad)?;
            *value = Some(read_seconds(&mut reader, CONTROL_TIME_MAX).ok_or_else(bad)?);
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::msgpack::{write_map_len, write_str, write_uint};

    use super::*;

    fn read(args: &[u8]) -> Result<(Option<Duration>, Option<Duration>), Error> {
        let call = Call {
            name: "vestibule.demote",
            args,
            wrap_results: false,
        };
        let options = Options::read(&call, ["grace", "timeout"], "Usage")?;
        Ok((options.value("grace"), options.value("timeout")))
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
            assert_eq!(read(nothing), Ok((None, None)));
        }
        let mut whole = Vec::new();
        write_uint(&mut whole, 5);
        let half = [&[0xcb][..], &0.5f64.to_be_bytes()].concat();
        assert_eq!(
            read(&table(&[("grace", &whole), ("timeout", &half)])),
            Ok((
                Some(Duration::from_secs(5)),
                Some(Duration::from_millis(500))
            ))
        );
        let negative = [&[0xcb][..], &(-1.0f64).to_be_bytes()].concat();
        let endless = [&[0xcb][..], &f64::INFINITY.to_be_bytes()].concat();
        assert!(read(&table(&[("grace", &negative)])).is_err());
        assert!(read(&table(&[("grace", &endless)])).is_err());
        let huge = [&[0xcb][..], &1e300f64.to_be_bytes()].concat();
        assert_eq!(
            read(&table(&[("grace", &huge)])),
            Ok((Some(CONTROL_TIME_MAX), None))
        );
        assert!(read(&table(&[("grave", &whole)])).is_err());
        assert!(read(&[0x91, 5]).is_err());
    }
}
