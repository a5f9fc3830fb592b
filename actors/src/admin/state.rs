//! What `vestibule.state()` and `box.info()` tell of the whole server.

use std::collections::BTreeMap;
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
    /// The number of the journal's last record; with what follows from it, left out if there is
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    lsn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<u64>,
    /// Numbers by instance: there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    vclock: Option<BTreeMap<u64, u64>>,
    replication: BTreeMap<u64, Instance>,
}

/// An instance, as `replication` of `box.info()` shows it.
#[derive(Debug, Serialize)]
struct Instance {
    id: u64,
    uuid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lsn: Option<u64>,
}

/// The number of this instance among those that replicate: it is the only one.
const INSTANCE: u64 = 1;

impl BoxInfo {
    fn of(shared: &Shared, now: Instant) -> Self {
        let serving = shared.serving.load();
        let uuid = shared.config.instance_uuid.to_string();
        let lsn = shared.view().and_then(|view| view.last_record());
        let own = Instance {
            id: INSTANCE,
            uuid: uuid.clone(),
            lsn,
        };
        // As Tarantool's, it is empty before the first record.
        let vclock = |lsn| (lsn > 0).then_some((INSTANCE, lsn)).into_iter().collect();
        Self {
            version: vestibule_wire::greeting::VERSION,
            package: concat!("vestibule ", env!("CARGO_PKG_VERSION")),
            id: INSTANCE,
            ro: shared.events.is_read_only(serving),
            uuid,
            pid: std::process::id(),
            status: status_name(serving),
            uptime: now.duration_since(shared.started).as_secs(),
            schema_version: shared.schema_version(),
            lsn,
            signature: lsn,
            vclock: lsn.map(vclock),
            replication: BTreeMap::from([(INSTANCE, own)]),
        }
    }
}
