//! Events that others tell and that are passed on: those of a gateway's upstream.

use std::collections::BTreeMap;

use bytes::Bytes;
use vestibule_wire::Error;

use super::events::Event;
use crate::limits::{EVENT_KEY_SIZE_MAX, EVENT_VALUE_SIZE_MAX, EVENTS_BYTES_MAX, EVENTS_MAX};

/// What was told last of each key, also that it has no value.
#[derive(Debug, Default)]
pub(super) struct PassedEvents {
    events: BTreeMap<Box<str>, Event>,
    /// Of keys and values.
    bytes: usize,
}

/// What an event counts.
fn size(key: &str, value: Option<&[u8]>) -> usize {
    key.len() + value.map_or(0, <[u8]>::len)
}

impl PassedEvents {
    pub(super) fn get(&self, key: &str) -> Option<&Event> {
        self.events.get(key)
    }

    /// This was told of a key; false if it was told before.
    ///
    /// # Errors
    ///
    /// There is no room for it: what was told before stands.
    pub(super) fn put(
        &mut self,
        key: &str,
        value: Option<&[u8]>,
        version: u64,
    ) -> Result<bool, Error> {
        let before = self.events.get(key);
        if before.is_some_and(|own| own.value.as_deref() == value) {
            return Ok(false);
        }
        if key.len() > EVENT_KEY_SIZE_MAX || value.map_or(0, <[u8]>::len) > EVENT_VALUE_SIZE_MAX {
            let text = format!("An event's value takes at most {EVENT_VALUE_SIZE_MAX} bytes");
            return Err(Error::illegal_params(text));
        }
        let is_more = before.is_none() && self.events.len() >= EVENTS_MAX;
        let before = before.map_or(0, |own| size(key, own.value.as_deref()));
        let bytes = self.bytes - before + size(key, value);
        if is_more || bytes > EVENTS_BYTES_MAX {
            let text = format!("The events take more than {EVENTS_BYTES_MAX} bytes");
            return Err(Error::illegal_params(text));
        }
        self.bytes = bytes;
        let value = value.map(Bytes::copy_from_slice);
        self.events.insert(key.into(), Event { version, value });
        Ok(true)
    }

    /// Forgets others than these keys.
    pub(super) fn keep(&mut self, is_kept: impl Fn(&str) -> bool) {
        let bytes = &mut self.bytes;
        self.events.retain(|key, event| {
            let is_kept = is_kept(key);
            if !is_kept {
                *bytes -= size(key, event.value.as_deref());
            }
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_is_told_also_that_it_has_no_value_and_forgotten() {
        let mut own = PassedEvents::default();
        let version = |own: &PassedEvents| own.get("k").map(|own| own.version);
        assert_eq!(version(&own), None, "nothing is known of it");
        assert!(own.put("k", None, 3).unwrap());
        assert!(!own.put("k", None, 4).unwrap(), "that is the same");
        assert_eq!(version(&own), Some(3));
        assert!(own.put("k", Some(&[7]), 5).unwrap());
        let large = vec![0; EVENT_VALUE_SIZE_MAX + 1];
        assert!(own.put("k", Some(&large), 6).is_err());
        assert_eq!(version(&own), Some(5));
        let value = vec![0; EVENT_VALUE_SIZE_MAX];
        let keys = 1000..2000;
        let taken = keys.filter(|key| own.put(&key.to_string(), Some(&value), 7).is_ok());
        assert_eq!(taken.count(), EVENTS_BYTES_MAX / (EVENT_VALUE_SIZE_MAX + 4));
        own.keep(|key| key == "k");
        assert_eq!(own.bytes, 2);
        own.keep(|_| false);
        assert_eq!((version(&own), own.bytes), (None, 0));
        let keys = 0..2 * EVENTS_MAX;
        let taken = keys.filter(|key| own.put(&key.to_string(), None, 8).is_ok());
        assert_eq!(taken.count(), EVENTS_MAX);
    }
}
