//! The system events that clients watch: `box.id`, `box.status`, `box.schema`, `box.shutdown`.
//!
//! Values are rendered once per change, by the thread that makes the change, and read by every
//! session.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use vestibule_wire::keys::EXT_UUID;
use vestibule_wire::msgpack::{
    write_bool, write_ext, write_f64, write_map_len, write_str, write_uint,
};
use vestibule_wire::{Uuid, events as key};

use super::state::{Role, Serving};

/// The value of `box.shutdown` once a stop is announced.
const TRUE: Bytes = Bytes::from_static(&[0xc3]);

/// A value as raw MessagePack, and the version it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) version: u64,
    pub(crate) value: Option<Bytes>,
}

/// The values of all events.
#[derive(Debug)]
pub(crate) struct Events {
    version: AtomicU64,
    values: Mutex<BTreeMap<&'static str, Event>>,
    has_fault: AtomicBool,
}

impl Events {
    pub(crate) fn new(instance_uuid: Uuid) -> Self {
        let events = Self {
            version: AtomicU64::new(1),
            values: Mutex::default(),
            has_fault: AtomicBool::new(false),
        };
        events.set(key::ID, id_value(instance_uuid));
        events
    }

    /// Grows with every change of any event.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The current value; version 0 and no value for a key nobody has set.
    pub(crate) fn get(&self, key: &str) -> Event {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.get(key).cloned().unwrap_or(Event {
            version: 0,
            value: None,
        })
    }

    fn set(&self, key: &'static str, value: impl Into<Bytes>) {
        let value = Some(value.into());
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if values.get(key).is_some_and(|event| event.value == value) {
            return;
        }
        let version = self.version.load(Ordering::Relaxed) + 1;
        values.insert(key, Event { version, value });
        self.version.store(version, Ordering::Release);
    }

    /// What follows from a change of the serving state.
    pub(crate) fn set_serving(&self, serving: Serving) {
        let has_fault = self.has_fault.load(Ordering::Relaxed);
        self.set(key::STATUS, status_value(serving, has_fault, 0));
        if serving.is_stop_announced() {
            self.set(key::SHUTDOWN, TRUE);
        }
    }

    /// What follows from progress of the recovery: `box.status` has `reason` and `progress` as
    /// well.
    pub(crate) fn set_loading(&self, serving: Serving, reason: &str, progress: Option<f64>) {
        let has_fault = self.has_fault.load(Ordering::Relaxed);
        let mut value = status_value(serving, has_fault, 1 + u32::from(progress.is_some()));
        write_str(&mut value, "reason");
        write_str(&mut value, reason);
        if let Some(share) = progress {
            write_str(&mut value, "progress");
            write_f64(&mut value, share);
        }
        self.set(key::STATUS, value);
    }

    /// What follows from the engine's refusing changes, or taking them again.
    pub(crate) fn set_fault(&self, has_fault: bool, serving: Serving) {
        self.has_fault.store(has_fault, Ordering::Relaxed);
        self.set_serving(serving);
    }

    /// Whether writes are refused.
    pub(crate) fn is_read_only(&self, serving: Serving) -> bool {
        is_read_only(serving) || self.has_fault.load(Ordering::Relaxed)
    }

    /// What follows from a change of the catalog.
    pub(crate) fn set_schema(&self, schema_version: u64) {
        let mut value = Vec::new();
        write_map_len(&mut value, 1);
        write_str(&mut value, "version");
        write_uint(&mut value, schema_version);
        self.set(key::SCHEMA, value);
    }
}

/// The status that connection pools look at: `running`, or `loading` while data are out of reach
/// and from the announcement of a stop on.
pub(crate) fn status_name(serving: Serving) -> &'static str {
    if serving.is_ready() {
        "running"
    } else {
        "loading"
    }
}

/// Whether writes are refused.
fn is_read_only(serving: Serving) -> bool {
    !serving.state.traits().accepts_writes || serving.role == Role::Replica
}

/// The status as a map that is announced with `more` pairs besides its own.
fn status_value(serving: Serving, has_fault: bool, more: u32) -> Vec<u8> {
    let mut value = Vec::new();
    write_map_len(&mut value, 4 + more);
    write_str(&mut value, "is_ro");
    write_bool(&mut value, is_read_only(serving) || has_fault);
    write_str(&mut value, "is_ro_cfg");
    write_bool(&mut value, serving.role == Role::Replica);
    write_str(&mut value, "status");
    write_str(&mut value, status_name(serving));
    write_str(&mut value, "dd_version");
    write_str(&mut value, vestibule_wire::greeting::VERSION);
    value
}

fn id_value(instance_uuid: Uuid) -> Vec<u8> {
    let mut value = Vec::new();
    write_map_len(&mut value, 3);
    write_str(&mut value, "id");
    write_uint(&mut value, 1);
    for key in ["instance_uuid", "replicaset_uuid"] {
        write_str(&mut value, key);
        write_ext(&mut value, EXT_UUID, instance_uuid.as_bytes());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::{DrainTarget, State};

    #[test]
    fn a_value_that_does_not_change_makes_no_new_version() {
        let events = Events::new(Uuid::NIL);
        events.set_schema(5);
        let version = events.version();
        events.set_schema(5);
        assert_eq!(events.version(), version);
        events.set_schema(6);
        assert!(events.version() > version);
    }

    #[test]
    fn box_shutdown_has_no_value_until_a_stop_begins() {
        let events = Events::new(Uuid::NIL);
        let serving = |state, drain_target| Serving {
            state,
            role: Role::Primary,
            drain_target,
            epoch: 1,
        };
        events.set_serving(serving(State::Solo, None));
        events.set_serving(serving(State::Draining, Some(DrainTarget::Replica)));
        assert_eq!(events.get(key::SHUTDOWN).value, None);
        let is_ready = |text: &[u8]| text.windows(7).any(|own| own == b"running");
        let status = || events.get(key::STATUS).value.expect("a status is told");
        assert!(is_ready(&status()));
        events.set_serving(serving(State::Assist, Some(DrainTarget::Stopped)));
        assert!(
            !is_ready(&status()),
            "announced: not ready, though it serves"
        );
        assert_eq!(
            events.get(key::SHUTDOWN).value.as_deref(),
            Some(&[0xc3][..])
        );
    }
}
