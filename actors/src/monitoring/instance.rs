//! What `box.info()` tells of the whole server.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use crate::serving::events::status_name;
use crate::shared::Shared;

/// What `box.info()` returns: the part of Tarantool's that makes sense here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InstanceInfo {
    /// The version of Tarantool whose protocol it speaks, as the greeting tells it.
    pub version: &'static str,
    /// The name and version of this package.
    pub package: &'static str,
    /// The instance's number among those that replicate: it is the only one.
    pub id: u64,
    /// Whether writes are refused.
    pub ro: bool,
    /// The instance's UUID.
    pub uuid: String,
    /// What people call the instance; left out if they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of the process.
    pub pid: u32,
    /// `running`, or `loading` while data are out of reach and from the announcement of a stop on.
    pub status: &'static str,
    /// Seconds since the start.
    pub uptime: u64,
    /// Grows with every change of the definitions.
    pub schema_version: u64,
    /// The number of the journal's last record; with what follows from it, left out if there is
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn: Option<u64>,
    /// The sum of [`vclock`](Self::vclock).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<u64>,
    /// Numbers by instance: there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vclock: Option<BTreeMap<u64, u64>>,
    /// The instances that replicate, by number: there is one.
    pub replication: BTreeMap<u64, Instance>,
}

/// An instance, as `replication` of `box.info()` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Instance {
    /// The instance's number.
    pub id: u64,
    /// The instance's UUID.
    pub uuid: String,
    /// The number of the journal's last record; left out if there is no journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn: Option<u64>,
}

/// The number of this instance among those that replicate: it is the only one.
const INSTANCE: u64 = 1;

impl InstanceInfo {
    pub(crate) fn of(shared: &Shared, now: Instant) -> Self {
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
            name: Some(shared.config.instance_name.clone()).filter(|name| !name.is_empty()),
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
