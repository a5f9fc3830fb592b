//! The events that clients watch: the system's (`box.id`, `box.status`, `box.schema`,
//! `box.shutdown`), and those that an embedder sets.
//!
//! Values are rendered once per change, by the thread that makes the change, and read by every
//! session.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use vestibule_wire::keys::EXT_UUID;
use vestibule_wire::msgpack::{
    write_bool, write_ext, write_f64, write_map_len, write_str, write_uint,
};
use vestibule_wire::reply::write_serialized;
use vestibule_wire::{Error, Uuid, events as key};

use super::passed::PassedEvents;
use crate::limits::{EVENT_KEY_SIZE_MAX, EVENT_VALUE_SIZE_MAX, EVENTS_BYTES_MAX, EVENTS_MAX};
use crate::states::{Role, Serving};

/// What the keys of the system's events begin with: nobody else sets one.
const SYSTEM_PREFIX: &str = "box.";
/// The value of `box.shutdown` once a stop is announced.
const TRUE: Bytes = Bytes::from_static(&[0xc3]);
/// What MessagePack says of no value.
const NIL: u8 = 0xc0;

/// A value as raw MessagePack, and the version it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) version: u64,
    pub(crate) value: Option<Bytes>,
}

/// The event of a key that nobody has set.
const UNSET: Event = Event {
    version: 0,
    value: None,
};

/// The values of all events, by key. Clients WATCH a key and are told its value at once and after
/// every change; changes that come before a client has acknowledged the last one are told as one.
///
/// ```
/// use vestibule_actors::Events;
/// use vestibule_actors::wire::Error;
///
/// fn announce(events: &Events, waiting: u64) -> Result<(), Error> {
///     events.set("jobs", &(waiting, "waiting"))
/// }
/// ```
///
/// Keys that begin with `box.` are the system's. Those of one's own are bounded: [`EVENTS_MAX`]
/// keys of at most [`EVENT_KEY_SIZE_MAX`] bytes, values of at most [`EVENT_VALUE_SIZE_MAX`] bytes,
/// and [`EVENTS_BYTES_MAX`] bytes in all.
pub struct Events {
    version: AtomicU64,
    board: Mutex<Board>,
    has_fault: AtomicBool,
    /// Has all who tell clients look.
    notify: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// What stands there now.
#[derive(Debug, Default)]
pub(crate) struct Board {
    values: BTreeMap<Box<str>, Event>,
    /// Keys that are not the system's, and their bytes with those of their values.
    own: usize,
    own_bytes: usize,
    /// What others have told, that is passed on: of a gateway's upstream. No value is told as well.
    passed: PassedEvents,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let board = self.board();
        f.debug_struct("Events")
            .field("keys", &board.values.keys())
            .finish_non_exhaustive()
    }
}

impl Board {
    /// The current value; version 0 and no value for a key nobody has set.
    pub(crate) fn get(&self, key: &str) -> &Event {
        let own = self.values.get(key);
        own.or_else(|| self.passed.get(key)).unwrap_or(&UNSET)
    }

    /// Whether there is room for a key of one's own with this value.
    fn check_room(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let before = self.values.get(key);
        if before.is_none() && self.own >= EVENTS_MAX {
            let text = format!("Too many events: at most {EVENTS_MAX} keys may have a value");
            return Err(Error::illegal_params(text));
        }
        let before = before.map_or(0, |own| own_size(key, own));
        if self.own_bytes - before + key.len() + value.len() > EVENTS_BYTES_MAX {
            let text = format!("The events take more than {EVENTS_BYTES_MAX} bytes");
            return Err(Error::illegal_params(text));
        }
        Ok(())
    }

    /// Puts another value in place; false if it is the same.
    fn put(&mut self, key: &str, value: Option<Bytes>, version: u64) -> bool {
        if self.get(key).value == value {
            return false;
        }
        if !key.starts_with(SYSTEM_PREFIX) {
            let before = self.values.get(key);
            self.own_bytes -= before.map_or(0, |own| own_size(key, own));
            self.own -= usize::from(before.is_some());
            let Some(value) = value else {
                self.values.remove(key);
                return true;
            };
            self.own_bytes += key.len() + value.len();
            self.own += 1;
            self.insert(key, version, value);
        } else if let Some(value) = value {
            self.insert(key, version, value);
        }
        true
    }

    fn insert(&mut self, key: &str, version: u64, value: Bytes) {
        let event = Event {
            version,
            value: Some(value),
        };
        match self.values.get_mut(key) {
            Some(own) => *own = event,
            None => {
                self.values.insert(key.into(), event);
            }
        }
    }
}

/// What an event counts.
fn own_size(key: &str, event: &Event) -> usize {
    key.len() + event.value.as_ref().map_or(0, Bytes::len)
}

/// Refuses what may not be an event of one's own, whatever there is already.
fn check_own(key: &str, value: &[u8]) -> Result<(), Error> {
    let text = if key.starts_with(SYSTEM_PREFIX) {
        format!("The event '{key}' is the system's")
    } else if key.is_empty() || key.len() > EVENT_KEY_SIZE_MAX {
        format!("An event's key takes 1 to {EVENT_KEY_SIZE_MAX} bytes")
    } else if value.len() > EVENT_VALUE_SIZE_MAX {
        format!("An event's value takes at most {EVENT_VALUE_SIZE_MAX} bytes")
    } else {
        return Ok(());
    };
    Err(Error::illegal_params(text))
}

/// Whether an event is this server's own, and not its upstream's, in a gateway.
pub(crate) fn is_own(key: &str) -> bool {
    [key::ID, key::STATUS, key::SCHEMA, key::SHUTDOWN].contains(&key)
}

impl Events {
    pub(crate) fn new(instance_uuid: Uuid) -> Self {
        let events = Self {
            version: AtomicU64::new(1),
            board: Mutex::default(),
            has_fault: AtomicBool::new(false),
            notify: OnceLock::new(),
        };
        events.put_system(key::ID, id_value(instance_uuid));
        events
    }

    /// Sets the value of an event of one's own, and has all who watch it told. To set what it is
    /// already tells nobody anything. Costs a lock for a moment, a message to each session thread,
    /// and a look at each connection that watches anything.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS) if the key is the
    /// system's, empty or too long, or if a bound is reached;
    /// [`ErrorCode::PROC`](vestibule_wire::ErrorCode::PROC) for a value that MessagePack cannot
    /// hold.
    pub fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), Error> {
        let mut bytes = Vec::new();
        write_serialized(&mut bytes, value)?;
        self.set_raw(key, bytes)
    }

    /// Whether this could be set now.
    ///
    /// # Errors
    ///
    /// Those of [`set`](Self::set).
    pub(crate) fn check(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        check_own(key, value)?;
        self.board().check_room(key, value)
    }

    /// The same for a value that is MessagePack already. Nil takes the value away.
    pub(crate) fn set_raw(&self, key: &str, value: Vec<u8>) -> Result<(), Error> {
        check_own(key, &value)?;
        let value = (value != [NIL]).then(|| Bytes::from(value));
        {
            let mut board = self.board();
            if let Some(value) = &value {
                board.check_room(key, value)?;
            }
            if !self.put(&mut board, key, value) {
                return Ok(());
            }
        }
        if let Some(notify) = self.notify.get() {
            notify();
        }
        Ok(())
    }

    /// Passes on what the upstream has told of a key: its value, or that it has none.
    ///
    /// # Errors
    ///
    /// There is no room for it: what was told before stands.
    pub(crate) fn pass_on(&self, key: &str, value: Option<&[u8]>) -> Result<(), Error> {
        let value = value.filter(|own| *own != [NIL]);
        let version = self.version.load(Ordering::Relaxed) + 1;
        if !self.board().passed.put(key, value, version)? {
            return Ok(());
        }
        self.version.store(version, Ordering::Release);
        if let Some(notify) = self.notify.get() {
            notify();
        }
        Ok(())
    }

    /// Forgets what was passed on, but for keys that are watched still.
    pub(crate) fn keep_passed(&self, is_watched: impl Fn(&str) -> bool) {
        self.board().passed.keep(is_watched);
    }

    /// Takes the value of an event of one's own away: those who watch it are told that it has none.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS) if the key is the
    /// system's, empty or too long.
    pub fn unset(&self, key: &str) -> Result<(), Error> {
        self.set_raw(key, vec![NIL])
    }

    /// What is called after a change of an event of one's own, by the thread that made it: it must
    /// not block.
    pub(crate) fn on_change(&self, notify: impl Fn() + Send + Sync + 'static) {
        let _ = self.notify.set(Box::new(notify));
    }

    /// Grows with every change of any event.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// All values, which stay as they are for as long as this is kept: a moment.
    pub(crate) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_system(&self, key: &'static str, value: impl Into<Bytes>) {
        self.put(&mut self.board(), key, Some(value.into()));
    }

    fn put(&self, board: &mut Board, key: &str, value: Option<Bytes>) -> bool {
        let version = self.version.load(Ordering::Relaxed) + 1;
        let is_new = board.put(key, value, version);
        if is_new {
            self.version.store(version, Ordering::Release);
        }
        is_new
    }

    /// What follows from a change of the serving state.
    pub(crate) fn set_serving(&self, serving: Serving) {
        let has_fault = self.has_fault.load(Ordering::Relaxed);
        self.put_system(key::STATUS, status_value(serving, has_fault, 0));
        if serving.is_stop_announced() {
            self.put_system(key::SHUTDOWN, TRUE);
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
        self.put_system(key::STATUS, value);
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
        self.put_system(key::SCHEMA, value);
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
    use std::sync::Arc;

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
        assert_eq!(events.board().get(key::SHUTDOWN).value, None);
        let is_ready = |text: &[u8]| text.windows(7).any(|own| own == b"running");
        let status = || {
            let board = events.board();
            board.get(key::STATUS).value.clone().expect("it is told")
        };
        assert!(is_ready(&status()));
        events.set_serving(serving(State::Assist, Some(DrainTarget::Stopped)));
        assert!(
            !is_ready(&status()),
            "announced: not ready, though it serves"
        );
        assert_eq!(
            events.board().get(key::SHUTDOWN).value.as_deref(),
            Some(&[0xc3][..])
        );
    }

    #[test]
    fn events_of_ones_own_are_told_when_they_change() {
        let events = Events::new(Uuid::NIL);
        let told = Arc::new(AtomicU64::new(0));
        let counted = told.clone();
        events.on_change(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let shown = || events.board().get("jobs").clone();
        assert_eq!(shown(), UNSET);
        events.set("jobs", &7).unwrap();
        let first = shown();
        assert_eq!(first.value.as_deref(), Some(&[7][..]));
        events.set("jobs", &7).unwrap();
        assert_eq!((shown(), told.load(Ordering::Relaxed)), (first.clone(), 1));
        events.set("jobs", &8).unwrap();
        assert!(shown().version > first.version);
        events.unset("jobs").unwrap();
        assert_eq!((shown(), told.load(Ordering::Relaxed)), (UNSET, 3));
        events.set("jobs", &()).unwrap();
        assert_eq!(told.load(Ordering::Relaxed), 3, "it had none");
        assert_eq!(events.board().own_bytes, 0);
    }

    #[test]
    fn events_of_ones_own_are_bounded_by_number_and_bytes() {
        let events = Events::new(Uuid::NIL);
        let told = |key: &str, value: &str| match events.set(key, value) {
            Ok(()) => "taken".to_owned(),
            Err(error) => error.message().to_owned(),
        };
        assert_eq!(
            told("box.status", ""),
            "The event 'box.status' is the system's"
        );
        assert_eq!(told("box.own", ""), "The event 'box.own' is the system's");
        assert_eq!(told("", ""), "An event's key takes 1 to 1024 bytes");
        assert_eq!(
            told(&"k".repeat(EVENT_KEY_SIZE_MAX + 1), ""),
            "An event's key takes 1 to 1024 bytes"
        );
        let large = "v".repeat(EVENT_VALUE_SIZE_MAX);
        assert_eq!(
            told("k", &large),
            "An event's value takes at most 16384 bytes"
        );
        let large = &large[..EVENT_VALUE_SIZE_MAX - 3];
        let full = "The events take more than 4194304 bytes";
        let refused = (0..EVENTS_MAX).find(|key| told(&key.to_string(), large) == full);
        let refused = refused.expect("the bytes are bounded");
        assert!(refused >= EVENTS_BYTES_MAX / (EVENT_VALUE_SIZE_MAX + 4));
        assert_eq!(told("0", "small"), "taken", "it is in place of a large one");
        assert_eq!(told(&refused.to_string(), large), "taken");
        for key in 0..EVENTS_MAX {
            assert_eq!(told(&key.to_string(), ""), "taken");
        }
        assert_eq!(
            told("one more", ""),
            "Too many events: at most 1024 keys may have a value"
        );
        assert_eq!(told("0", "x"), "taken", "it has a value already");
        events.unset("0").unwrap();
        assert_eq!(told("one more", ""), "taken");
    }
}
