//! The control procedures: CALLs that sessions answer themselves, so that they work while Tx is deaf.
//!
//! | procedure | what |
//! |---|---|
//! | `vestibule.state()` | one map: state, role, epoch, reason, progress, … |
//! | `vestibule.solo(reason)`, `vestibule.assist()` | an operator declares solo, or takes it back |
//! | `vestibule.drain({timeout = seconds})` | stops the server in time |
//! | `vestibule.show(what)` | one array of maps: connections, requests, transitions, limits or descriptors |
//! | `box.info()` | what connectors and pools look at |

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use vestibule_wire::Error;
use vestibule_wire::msgpack::{Kind, Reader};
use vestibule_wire::reply::write_value;
use vestibule_wire::request::Call;

use super::desk::Desk;
use super::lane::messages::{Origin, Survey, Surveyed};
use super::rows::{descriptor_rows, limit_rows};
use crate::engine::Progress;
use crate::events::status_name;
use crate::shared::Shared;
use crate::supervisor::BeginDrain;

/// Longest timeout of a drain: a year.
const DRAIN_TIMEOUT_MAX_SECONDS: f64 = 365.0 * 86_400.0;

/// When a control procedure is answered.
pub(crate) enum Answer {
    /// The body is written.
    Now,
    /// The lane delivers it when every lane has told its part.
    Later,
}

const PROCEDURES: [&str; 6] = [
    "vestibule.state",
    "vestibule.solo",
    "vestibule.assist",
    "vestibule.drain",
    "vestibule.show",
    "box.info",
];

/// Whether sessions answer a CALL of this name.
pub(crate) fn is_local(name: &str) -> bool {
    PROCEDURES.contains(&name)
}

/// Runs a control procedure for a session.
///
/// # Errors
///
/// 42 for a caller that is no administrator, 1 for arguments that make no sense.
pub(crate) fn run(
    desk: &mut Desk<'_>,
    sync: u64,
    call: &Call<'_>,
    body: &mut Vec<u8>,
) -> Result<Answer, Error> {
    let caller = &desk.session.caller;
    if call.name != "box.info" && !caller.is_administrator {
        return Err(Error::access_denied(
            "Execute",
            "function",
            call.name,
            &caller.user,
        ));
    }
    if caller.is_administrator {
        desk.cell.place.prove();
    }
    let shared = desk.shared;
    match call.name {
        "vestibule.state" => {}
        "vestibule.solo" => {
            let reason = text_argument(call)?.unwrap_or("requested by an operator");
            shared.cell.operator_solo(reason, desk.now);
        }
        "vestibule.assist" => shared.cell.operator_assist(desk.now),
        "vestibule.drain" => {
            let grace = timeout_argument(call)?;
            let drain = BeginDrain {
                from: shared.cell.load().state,
                grace,
                reason: "vestibule.drain".to_owned(),
                requested_by: format!("{} from {}", caller.user, desk.cell.peer),
            };
            if let Some(supervisor) = shared.supervisor.get() {
                supervisor.begin_drain(drain);
                // The reply tells the new state already.
                shared.cell.draining("the server is stopping", desk.now);
            }
        }
        "vestibule.show" => return show(desk, sync, call, body),
        _ => {
            write_value(body, &BoxInfo::of(shared))?;
            return Ok(Answer::Now);
        }
    }
    write_value(body, &StateMap::of(shared, desk.now))?;
    Ok(Answer::Now)
}

/// What `vestibule.state()` returns.
#[derive(Debug, Serialize)]
pub(crate) struct StateMap {
    state: &'static str,
    role: &'static str,
    epoch: u64,
    reason: String,
    /// 0.0 to 1.0; nil if nothing is known.
    progress: Option<f64>,
    /// Unix time in seconds at which the state was entered.
    since: f64,
    /// Forwarded, and not begun by Tx.
    queued: usize,
    /// Forwarded, and not answered.
    in_flight: usize,
    connections: usize,
}

impl StateMap {
    pub(crate) fn of(shared: &Shared, now: std::time::Instant) -> Self {
        let situation = shared.cell.situation(now);
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            state: situation.serving.state.name(),
            role: situation.serving.role.name(),
            epoch: situation.serving.epoch,
            reason: match shared.fault() {
                Some(fault) if situation.reason.is_empty() => fault,
                _ => situation.reason,
            },
            progress: situation.progress.and_then(Progress::share),
            since: unix.saturating_sub(situation.since).as_secs_f64(),
            queued: shared.queued_count(),
            in_flight: shared.in_flight_count(),
            connections: shared.connection_count(),
        }
    }
}

/// What `box.info()` returns: the part of Tarantool's that makes sense here.
#[derive(Debug, Serialize)]
struct BoxInfo<'a> {
    version: &'static str,
    package: &'static str,
    id: u64,
    ro: bool,
    uuid: &'a str,
    pid: u32,
    status: &'static str,
    uptime: u64,
    schema_version: u64,
}

impl<'a> BoxInfo<'a> {
    fn of(shared: &'a Shared) -> Self {
        let serving = shared.cell.load();
        Self {
            version: vestibule_wire::greeting::VERSION,
            package: concat!("vestibule ", env!("CARGO_PKG_VERSION")),
            id: 1,
            ro: shared.events.is_read_only(serving),
            uuid: &shared.config.instance_uuid,
            pid: std::process::id(),
            status: status_name(serving.state),
            uptime: shared.started.elapsed().as_secs(),
            schema_version: shared.schema_version(),
        }
    }
}

fn show(
    desk: &mut Desk<'_>,
    sync: u64,
    call: &Call<'_>,
    body: &mut Vec<u8>,
) -> Result<Answer, Error> {
    let what = text_argument(call)?;
    let survey = match what {
        Some("connections") => Survey::Connections,
        Some("requests") => Survey::Requests,
        Some("transitions") => {
            write_value(body, &desk.shared.transitions.rows())?;
            return Ok(Answer::Now);
        }
        Some("limits") => {
            write_value(body, &limit_rows(desk.shared))?;
            return Ok(Answer::Now);
        }
        Some("descriptors") => {
            write_value(body, &descriptor_rows(desk.shared))?;
            return Ok(Answer::Now);
        }
        _ => {
            return Err(Error::illegal_params(
                "Usage: vestibule.show('connections'|'requests'|'transitions'|'limits'|\
                 'descriptors')",
            ));
        }
    };
    let lanes = desk.shared.lanes.get().map_or(&[][..], Vec::as_slice);
    let origin = Origin {
        lane: desk.lane_index,
        session: desk.cell.index,
        connection: desk.cell.connection,
        sync,
        wrap_results: call.wrap_results,
    };
    desk.session.is_surveying = true;
    let survey = Arc::new(Surveyed::new(survey, origin, lanes.len()));
    for lane in lanes {
        lane.survey(survey.clone());
    }
    Ok(Answer::Later)
}

/// The first argument as a text, if there is one.
fn text_argument<'a>(call: &Call<'a>) -> Result<Option<&'a str>, Error> {
    let mut reader = Reader::new(call.args);
    match reader.read_array_len() {
        Ok(0) => Ok(None),
        _ if reader.peek() == Ok(Kind::Nil) => Ok(None),
        _ => reader.read_str().map(Some).map_err(|_| {
            Error::illegal_params(format!("Bad arguments of {}: expected a string", call.name))
        }),
    }
}

/// `{timeout = seconds}`, an empty table, or nothing.
fn timeout_argument(call: &Call<'_>) -> Result<Option<Duration>, Error> {
    let usage = || Error::illegal_params("Usage: vestibule.drain({timeout = seconds})");
    let mut reader = Reader::new(call.args);
    if reader.read_array_len().map_err(|_| usage())? == 0 {
        return Ok(None);
    }
    let pairs = match reader.peek() {
        Ok(Kind::Map) => reader.read_map_len().map_err(|_| usage())?,
        // Lua sends an empty table as an empty array.
        Ok(Kind::Nil) => 0,
        Ok(Kind::Array) if reader.read_array_len() == Ok(0) => 0,
        _ => return Err(usage()),
    };
    let mut timeout = None;
    for _ in 0..pairs {
        if reader.read_str().map_err(|_| usage())? != "timeout" {
            return Err(usage());
        }
        let seconds = match reader.peek() {
            Ok(Kind::Float | Kind::Double) => reader.read_f64().map_err(|_| usage())?,
            _ => reader.read_uint().map_err(|_| usage())? as f64,
        };
        // Longer is no deadline, and there is none by accident.
        if !(0.0..=DRAIN_TIMEOUT_MAX_SECONDS).contains(&seconds) {
            return Err(usage());
        }
        timeout = Some(Duration::from_secs_f64(seconds));
    }
    Ok(timeout)
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
    fn a_timeout_is_given_in_seconds_of_any_number_type() {
        let timeout = |args: &[u8]| timeout_argument(&call("vestibule.drain", args));
        assert_eq!(timeout(&[0x90]), Ok(None));
        assert_eq!(timeout(&[0x91, 0x80]), Ok(None));
        assert_eq!(timeout(&[0x91, 0x90]), Ok(None));
        let mut args = vec![0x91, 0x81, 0xa7];
        args.extend_from_slice(b"timeout");
        let mut whole = args.clone();
        whole.push(5);
        assert_eq!(timeout(&whole), Ok(Some(Duration::from_secs(5))));
        let mut fraction = args.clone();
        fraction.push(0xcb);
        fraction.extend_from_slice(&0.5f64.to_be_bytes());
        assert_eq!(timeout(&fraction), Ok(Some(Duration::from_millis(500))));
        let mut negative = args.clone();
        negative.push(0xcb);
        negative.extend_from_slice(&(-1.0f64).to_be_bytes());
        assert!(timeout(&negative).is_err());
        assert!(timeout(&[0x91, 5]).is_err());
    }

    #[test]
    fn only_the_listed_procedures_are_local() {
        assert!(is_local("vestibule.state"));
        assert!(is_local("box.info"));
        assert!(!is_local("vestibule.debug.block"));
        assert!(!is_local("box.space.x:insert"));
    }
}
