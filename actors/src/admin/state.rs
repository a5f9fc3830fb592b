//! What `vestibule.state()` and `box.info()` tell of the whole server.

use std::time::Instant;

use serde::Serialize;
use vestibule_wire::Error;
use vestibule_wire::reply::write_value;

use super::call::{Answer, ControlCall};
use super::state_map::StateMap;
use crate::serving::events::status_name;
use crate::shared::Shared;

/// `vestibule.state()`.
pub(super) fn state(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    write_value(body, &StateMap::of(call.shared, call.now))?;
    Ok(Answer::Written)
}

/// `box.info()`.
pub(super) fn info(call: &ControlCall<'_>, body: &mut Vec<u8>) -> Result<Answer, Error> {
    write_value(body, &BoxInfo::of(call.shared, call.now))?;
    Ok(Answer::Written)
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
    fn of(shared: &Shared, now: Instant) -> Self {
        let serving = shared.serving.load();
        Self {
            version: vestibule_wire::greeting::VERSION,
            package: concat!("vestibule ", env!("CARGO_PKG_VERSION")),
            id: 1,
            ro: shared.events.is_read_only(serving),
            uuid: shared.config.instance_uuid.to_string(),
            pid: std::process::id(),
            status: status_name(serving),
            uptime: now.duration_since(shared.started).as_secs(),
            schema_version: shared.schema_version(),
        }
    }
}
