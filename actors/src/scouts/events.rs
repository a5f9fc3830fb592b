//! What one scout's connection watches: how its upstream is, and while requests go there, what
//! clients watch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use vestibule_wire::client::RequestHeader;
use vestibule_wire::events;
use vestibule_wire::msgpack::{Kind, Reader};
use vestibule_wire::request::Body;

use super::answers::find_bool;
use super::board::ScoutBoard;
use crate::limits::KEYS_LOOK_PERIOD;
use crate::throttle::Throttle;

/// The sync of every WATCH: events are told apart by their keys.
const WATCH_SYNC: u64 = 3;

/// What an event says of the upstream itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Whether it is read-only.
    ReadOnly(Option<bool>),
    /// The upstream is about to stop.
    Leaving,
}

/// What is watched on one connection.
#[derive(Default)]
pub(super) struct UpstreamWatches {
    /// Whether the upstream knows WATCH.
    is_possible: bool,
    /// Keys that clients watch.
    keys: BTreeSet<Arc<str>>,
    /// As of which version, if requests went here then.
    seen: Option<u64>,
    looked: Option<Instant>,
    refused: Throttle,
}

impl UpstreamWatches {
    /// The upstream is there: how it is, is watched, if it can be.
    pub(super) fn begin(&mut self, is_possible: bool, out: &mut Vec<u8>) {
        self.is_possible = is_possible;
        if is_possible {
            for key in [events::STATUS, events::SHUTDOWN] {
                watch(key, out);
            }
        }
    }

    /// Whether it is to be looked which keys clients watch.
    pub(super) fn is_due(&self, board: &ScoutBoard, index: usize, now: Instant) -> bool {
        let wanted = board
            .is_target(index)
            .then(|| board.gateway.watched.version());
        let is_early = |at| now.saturating_duration_since(at) < KEYS_LOOK_PERIOD;
        self.is_possible && self.seen != wanted && !self.looked.is_some_and(is_early)
    }

    /// Watches what clients watch, if requests go here, and nothing else.
    pub(super) fn follow(
        &mut self,
        board: &ScoutBoard,
        index: usize,
        now: Instant,
        out: &mut Vec<u8>,
    ) {
        self.looked = Some(now);
        let (wanted, version) = match board.is_target(index) {
            true => {
                let (keys, version) = board.gateway.watched.all();
                (keys, Some(version))
            }
            false => (BTreeSet::new(), None),
        };
        for key in self.keys.difference(&wanted) {
            RequestHeader::with_sync(WATCH_SYNC).write(out, &Body::Unwatch(key));
        }
        // Where requests do not go, nothing is said of what was passed on.
        if version.is_some() {
            (board.shared.events).keep_passed(|key| wanted.contains(key));
        }
        wanted
            .difference(&self.keys)
            .for_each(|key| watch(key, out));
        (self.keys, self.seen) = (wanted, version);
    }

    /// An event has come: told to those who watch it, and asked for again. What it says of the
    /// upstream is returned.
    pub(super) fn take(
        &mut self,
        board: &ScoutBoard,
        index: usize,
        (key, value): (&str, Option<&[u8]>),
        out: &mut Vec<u8>,
    ) -> Option<Sign> {
        let sign = match key {
            events::STATUS => Some(Sign::ReadOnly(value.and_then(is_read_only))),
            events::SHUTDOWN if value == Some(&[0xc3]) => Some(Sign::Leaving),
            events::SHUTDOWN => None,
            key if self.keys.contains(key) => {
                self.pass_on(board, index, key, value);
                None
            }
            // It was on its way when it was not watched any more.
            _ => return None,
        };
        watch(key, out);
        sign
    }

    fn pass_on(&mut self, board: &ScoutBoard, index: usize, key: &str, value: Option<&[u8]>) {
        if !board.is_target(index) {
            return;
        }
        if let Err(error) = board.shared.events.pass_on(key, value)
            && let Some(times) = self.refused.note(board.now())
        {
            log::warn!("the event {key:?} is not passed on ({times} times): {error}");
        }
    }
}

/// Watches a key, or acknowledges its last event.
fn watch(key: &str, out: &mut Vec<u8>) {
    RequestHeader::with_sync(WATCH_SYNC).write(out, &Body::Watch(key));
}

/// Whether the value of `box.status` says that the instance is read-only, for any reason.
fn is_read_only(value: &[u8]) -> Option<bool> {
    let mut reader = Reader::new(value);
    match reader.peek() {
        Ok(Kind::Map) => find_bool(&mut reader, "is_ro"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use vestibule_wire::msgpack::{write_bool, write_map_len, write_str};

    use super::*;

    #[test]
    fn box_status_says_whether_it_is_read_only() {
        let mut value = Vec::new();
        write_map_len(&mut value, 2);
        write_str(&mut value, "is_ro_cfg");
        write_bool(&mut value, false);
        write_str(&mut value, "is_ro");
        write_bool(&mut value, true);
        assert_eq!(is_read_only(&value), Some(true));
        assert_eq!(is_read_only(&[0x80]), None);
        assert_eq!(is_read_only(&[0xc0]), None);
    }
}
