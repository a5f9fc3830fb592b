//! The control procedures: CALLs that sessions answer themselves, so that they work while Tx is deaf.
//!
//! | procedure | what |
//! |---|---|
//! | `vestibule.state()` | one map: state, role, epoch, reason, progress, … |
//! | `vestibule.solo(reason)`, `vestibule.assist()` | an operator declares solo, or takes it back |
//! | `vestibule.drain({timeout = seconds})` | stops the server in time |
//! | `vestibule.demote({grace = seconds})`, `vestibule.promote()` | changes the role; answers when it is done |
//! | `vestibule.show(what)` | one array of maps: connections, requests, reservations, limits, … |
//! | `vestibule.kill(connection [, sync])` | ends a connection, or one request of it |
//! | `vestibule.set(name, value)` | a setting of the own connection; for everybody |
//! | `box.info()` | what connectors and pools look at; for everybody |

use std::sync::Arc;

use serde::Serialize;
use vestibule_wire::Error;
use vestibule_wire::reply::write_value;
use vestibule_wire::request::Call;

use super::args::{kill_arguments, set_arguments, text_argument};
use super::procedures::is_for_everybody;
use super::show::{descriptor_rows, limit_rows, thread_rows};
use super::transitions;
use crate::messages::{FanOut, Gather, ReplyTo};
use crate::serving::Role;
use crate::serving::events::status_name;
use crate::session::dispatch::Dispatcher;
use crate::shared::Shared;
use crate::state_map::StateMap;

/// When a control procedure is answered.
pub(crate) enum Answer {
    /// The body is written.
    Now,
    /// The worker delivers it when every worker has told its part.
    Later,
}

/// Runs a control procedure for a session.
///
/// # Errors
///
/// 42 for a caller that is no administrator, 1 for arguments that make no sense.
pub(crate) fn run(
    dispatcher: &mut Dispatcher<'_>,
    sync: u64,
    call: &Call<'_>,
    body: &mut Vec<u8>,
) -> Result<Answer, Error> {
    let caller = dispatcher.session.caller();
    let is_for_everybody = is_for_everybody(call.name);
    if !is_for_everybody && !caller.is_administrator {
        return Err(Error::access_denied(
            "Execute",
            "function",
            call.name,
            &caller.user,
        ));
    }
    if !is_for_everybody {
        dispatcher.cell.slot.confirm_admin();
    }
    let shared = dispatcher.shared;
    match call.name {
        "vestibule.state" => {}
        "vestibule.solo" => {
            let reason = text_argument(call)?.unwrap_or("requested by an operator");
            shared.cell.operator_solo(reason, dispatcher.now);
        }
        "vestibule.assist" => shared.cell.operator_assist(dispatcher.now),
        "vestibule.drain" => return transitions::drain(dispatcher, sync, call),
        "vestibule.demote" => {
            return transitions::change_role(dispatcher, sync, call, Role::Replica);
        }
        "vestibule.promote" => {
            return transitions::change_role(dispatcher, sync, call, Role::Primary);
        }
        "vestibule.show" => return show(dispatcher, sync, call, body),
        "vestibule.kill" => {
            let target = kill_arguments(call)?;
            return Ok(ask_all(dispatcher, sync, call, FanOut::Kill(target)));
        }
        "vestibule.set" => {
            let setting = set_arguments(call)?;
            write_value(body, &dispatcher.set(setting))?;
            return Ok(Answer::Now);
        }
        _ => {
            write_value(body, &BoxInfo::of(shared))?;
            return Ok(Answer::Now);
        }
    }
    write_value(body, &StateMap::of(shared, dispatcher.now))?;
    Ok(Answer::Now)
}

/// What `box.info()` returns: the part of Tarantool's that makes sense here.
#[derive(Debug, Serialize)]
struct BoxInfo {
    version: &'static str,
    package: &'static str,
    id: u64,
    ro: bool,
    uuid: String,
    pid: u32,
    status: &'static str,
    uptime: u64,
    schema_version: u64,
}

impl BoxInfo {
    fn of(shared: &Shared) -> Self {
        let serving = shared.cell.load();
        Self {
            version: vestibule_wire::greeting::VERSION,
            package: concat!("vestibule ", env!("CARGO_PKG_VERSION")),
            id: 1,
            ro: shared.events.is_read_only(serving),
            uuid: shared.config.instance_uuid.to_string(),
            pid: std::process::id(),
            status: status_name(serving),
            uptime: shared.started.elapsed().as_secs(),
            schema_version: shared.schema_version(),
        }
    }
}

/// Where an answer that takes a while has to go.
pub(crate) fn reply_to(dispatcher: &Dispatcher<'_>, sync: u64, call: &Call<'_>) -> ReplyTo {
    ReplyTo {
        worker: dispatcher.worker_index,
        session: dispatcher.cell.index,
        connection: dispatcher.cell.connection,
        sync,
        wrap_results: call.wrap_results,
    }
}

fn show(
    dispatcher: &mut Dispatcher<'_>,
    sync: u64,
    call: &Call<'_>,
    body: &mut Vec<u8>,
) -> Result<Answer, Error> {
    let what = text_argument(call)?;
    let question = match what {
        Some("connections") => FanOut::Connections,
        Some("requests") => FanOut::Requests,
        Some("transitions") => {
            write_value(body, &dispatcher.shared.transitions.rows())?;
            return Ok(Answer::Now);
        }
        Some("reservations") => {
            write_value(body, &dispatcher.shared.reservations.rows(dispatcher.now))?;
            return Ok(Answer::Now);
        }
        Some("limits") => {
            write_value(body, &limit_rows(dispatcher.shared))?;
            return Ok(Answer::Now);
        }
        Some("descriptors") => {
            write_value(body, &descriptor_rows(dispatcher.shared))?;
            return Ok(Answer::Now);
        }
        Some("threads") => {
            write_value(body, &thread_rows(dispatcher.shared))?;
            return Ok(Answer::Now);
        }
        _ => {
            return Err(Error::illegal_params(
                "Usage: vestibule.show('connections'|'requests'|'reservations'|'transitions'|\
                 'limits'|'descriptors'|'threads')",
            ));
        }
    };
    Ok(ask_all(dispatcher, sync, call, question))
}

/// Has every arbiter add its part; the worker of this session answers.
fn ask_all(
    dispatcher: &mut Dispatcher<'_>,
    sync: u64,
    call: &Call<'_>,
    question: FanOut,
) -> Answer {
    let workers = &dispatcher.peers.workers;
    let reply_to = reply_to(dispatcher, sync, call);
    dispatcher.session.on_gather();
    let gather = Arc::new(Gather::new(question, reply_to, workers.len()));
    for worker in workers {
        worker.contribute(gather.clone());
    }
    Answer::Later
}
