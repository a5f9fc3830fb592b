//! The control procedures: CALLs that sessions answer themselves, so that they work while Tx is deaf.
//!
//! | procedure | what |
//! |---|---|
//! | `vestibule.state()` | one map: state, role, epoch, reason, progress, … |
//! | `vestibule.solo(reason)`, `vestibule.assist()` | an operator declares solo, or takes it back |
//! | `vestibule.drain({timeout = seconds})` | stops the server in time |
//! | `vestibule.show(what)` | one array of maps: connections, requests, reservations, … |
//! | `vestibule.kill(connection [, sync])` | ends a connection, or one request of it: [`arguments`] |
//! | `vestibule.set(name, value)` | a setting of the own connection; for everybody |
//! | `box.info()` | what connectors and pools look at; for everybody |

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use vestibule_wire::Error;
use vestibule_wire::reply::write_value;
use vestibule_wire::request::Call;

use super::arguments::{kill_arguments, set_arguments, text_argument, timeout_argument};
use super::desk::Desk;
use super::lane::messages::{Origin, Survey, Surveyed};
use crate::engine::Progress;
use crate::events::status_name;
use crate::limits;
use crate::shared::Shared;
use crate::supervisor::BeginDrain;

/// When a control procedure is answered.
pub(crate) enum Answer {
    /// The body is written.
    Now,
    /// The lane delivers it when every lane has told its part.
    Later,
}

const PROCEDURES: [&str; 8] = [
    "vestibule.state",
    "vestibule.solo",
    "vestibule.assist",
    "vestibule.drain",
    "vestibule.show",
    "vestibule.kill",
    "vestibule.set",
    "box.info",
];

/// Those of them that are not for administrators only.
const FOR_EVERYBODY: [&str; 2] = ["vestibule.set", "box.info"];

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
    if !FOR_EVERYBODY.contains(&call.name) && !caller.is_administrator {
        return Err(Error::access_denied(
            "Execute",
            "function",
            call.name,
            &caller.user,
        ));
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
        "vestibule.kill" => {
            let target = kill_arguments(call)?;
            return Ok(ask_all(desk, sync, call, Survey::Kill(target)));
        }
        "vestibule.set" => {
            let setting = set_arguments(call)?;
            write_value(body, &desk.set(setting))?;
            return Ok(Answer::Now);
        }
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
        Some("reservations") => {
            write_value(body, &desk.shared.reservations.rows(desk.now))?;
            return Ok(Answer::Now);
        }
        Some("limits") => {
            write_value(body, &limit_rows(desk.shared))?;
            return Ok(Answer::Now);
        }
        _ => {
            return Err(Error::illegal_params(
                "Usage: vestibule.show('connections'|'requests'|'reservations'|'transitions'|'limits')",
            ));
        }
    };
    Ok(ask_all(desk, sync, call, survey))
}

/// Has every arbiter add its part; the lane of this session answers.
fn ask_all(desk: &mut Desk<'_>, sync: u64, call: &Call<'_>, survey: Survey) -> Answer {
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
    Answer::Later
}

/// One row of `vestibule.show('limits')`.
#[derive(Debug, Serialize)]
struct LimitRow {
    name: &'static str,
    value: u64,
}

fn limit_rows(shared: &Shared) -> Vec<LimitRow> {
    let config = &shared.config;
    [
        ("session_threads", config.session_thread_count() as u64),
        ("packet_size_max_bytes", config.packet_size_max),
        (
            "shutdown_grace_period_ms",
            config.shutdown_grace_period.as_millis() as u64,
        ),
        (
            "tx_stall_after_ms",
            config.tx_stall_after.as_millis() as u64,
        ),
        (
            "half_frame_timeout_ms",
            config.time_limits.half_frame.as_millis() as u64,
        ),
        (
            "unread_timeout_ms",
            config.time_limits.unread.as_millis() as u64,
        ),
        (
            "idle_timeout_ms",
            config.time_limits.idle.as_millis() as u64,
        ),
        (
            "request_timeout_ms",
            config.request_timeout.as_millis() as u64,
        ),
        (
            "transaction_timeout_ms",
            config.transaction_timeout.as_millis() as u64,
        ),
        ("hold_requests_max", config.hold.requests_max as u64),
        ("hold_bytes_max", config.hold.bytes_max as u64),
        ("hold_time_max_ms", config.hold.time_max.as_millis() as u64),
        (
            "connection_requests_max",
            limits::CONNECTION_REQUESTS_MAX as u64,
        ),
        (
            "session_thread_requests_max",
            limits::LANE_REQUESTS_MAX as u64,
        ),
        ("session_thread_bytes_max", limits::LANE_BYTES_MAX as u64),
        ("output_pause_bytes", limits::OUTPUT_PAUSE as u64),
        ("output_max_bytes", limits::OUTPUT_MAX as u64),
        ("turn_requests_max", limits::TURN_REQUESTS_MAX as u64),
        (
            "watches_per_connection_max",
            limits::WATCHES_PER_CONNECTION_MAX as u64,
        ),
    ]
    .into_iter()
    .map(|(name, value)| LimitRow { name, value })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_procedures_are_local() {
        assert!(is_local("vestibule.state"));
        assert!(is_local("box.info"));
        assert!(!is_local("vestibule.debug.block"));
        assert!(!is_local("box.space.x:insert"));
    }
}
