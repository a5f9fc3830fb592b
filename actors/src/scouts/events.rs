//! What one scout's connection watches: how its upstream is, and while requests go there, what
//! clients watch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use vestibule_wire::client::RequestHeader;
use vestibule_wire::events;
use vestibule_wire::msgpack::{Kind, Reader};
use vestibule_wire::request::Body;

use super::answers::{find_bool, find_str, find_uint};
use super::board::ScoutBoard;
use crate::limits::KEYS_LOOK_PERIOD;
use crate::throttle::Throttle;
use crate::upstream::ElectionTerm;

/// The key by which code of an upstream declares solo, before it blocks.
const SOLO: &str = "vestibule.solo";

/// The key by which an upstream tells of elections.
const ELECTION: &str = "box.election";

/// Keys that are watched whether clients do or not, and that they may watch as well.
const SHARED: [&str; 2] = [ELECTION, SOLO];

/// What is told of one that gives no reason.
const SOLO_REASON: &str = "busy, as it has said";

/// The sync of every WATCH: events are told apart by their keys.
const WATCH_SYNC: u64 = 3;

/// What an event says of the upstream itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sign {
    /// Whether it is read-only.
    ReadOnly(Option<bool>),
    /// The last election that it knows of.
    Elected(ElectionTerm),
    /// The upstream is about to stop.
    Leaving,
    /// Code there is about to block it, for this reason; `None`: it is over.
    Solo(Option<String>),
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
    /// What the events said last, of those in [`SHARED`] that have come.
    values: BTreeMap<&'static str, Option<Vec<u8>>>,
    refused: Throttle,
}

impl UpstreamWatches {
    /// The upstream is there: how it is, is watched, if it can be.
    pub(super) fn begin(&mut self, is_possible: bool, out: &mut Vec<u8>) {
        self.is_possible = is_possible;
        if is_possible {
            let all = [events::STATUS, events::SHUTDOWN].into_iter();
            all.chain(SHARED).for_each(|key| watch(key, out));
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
        let unwanted = self.keys.difference(&wanted);
        for key in unwanted.filter(|key| shared(key).is_none()) {
            RequestHeader::with_sync(WATCH_SYNC).write(out, &Body::Unwatch(key));
        }
        // Where requests do not go, nothing is said of what was passed on.
        if version.is_some() {
            (board.shared.events).keep_passed(|key| wanted.contains(key));
        }
        let begun: Vec<_> = wanted.difference(&self.keys).cloned().collect();
        for key in begun {
            let Some(key) = shared(&key) else {
                watch(&key, out);
                continue;
            };
            // It is watched already, so it does not come again.
            if let Some(value) = self.values.get(key).cloned() {
                self.pass_on(board, index, key, value.as_deref());
            }
        }
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
        let sign = match (key, shared(key)) {
            (events::STATUS, _) => Some(Sign::ReadOnly(value.and_then(is_read_only))),
            (events::SHUTDOWN, _) if value == Some(&[0xc3]) => Some(Sign::Leaving),
            (events::SHUTDOWN, _) => None,
            (_, Some(key)) => {
                self.values.insert(key, value.map(<[u8]>::to_vec));
                if self.keys.contains(key) {
                    self.pass_on(board, index, key, value);
                }
                Some(match key {
                    ELECTION => Sign::Elected(value.and_then(term)),
                    _ => Sign::Solo(value.and_then(solo_reason)),
                })
            }
            (key, None) if self.keys.contains(key) => {
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
            log::warn!("the event {key:?} is not passed on{times}: {error}");
        }
    }
}

/// Watches a key, or acknowledges its last event.
fn watch(key: &str, out: &mut Vec<u8>) {
    RequestHeader::with_sync(WATCH_SYNC).write(out, &Body::Watch(key));
}

/// Why solo is declared, by the value of its event: a text, a map with a `reason`, or `true`.
/// Anything else declares none.
fn solo_reason(value: &[u8]) -> Option<String> {
    let mut reader = Reader::new(value);
    let told = match reader.peek().ok()? {
        Kind::Str => reader.read_str().ok(),
        Kind::Map => find_str(&mut reader, "reason"),
        Kind::Bool if reader.read_bool() == Ok(true) => None,
        _ => return None,
    };
    Some(told.unwrap_or(SOLO_REASON).to_owned())
}

/// The key itself, if it is one of [`SHARED`].
fn shared(key: &str) -> Option<&'static str> {
    SHARED.into_iter().find(|own| *own == key)
}

/// The last election by the value of `box.election`.
fn term(value: &[u8]) -> ElectionTerm {
    let mut reader = Reader::new(value);
    match reader.peek() {
        Ok(Kind::Map) => find_uint(&mut reader, "term"),
        _ => None,
    }
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
    use vestibule_wire::msgpack::{write_bool, write_map_len, write_str, write_uint};

    use super::*;

    #[test]
    fn solo_is_declared_with_a_reason_or_without_and_taken_back() {
        let mut with_reason = Vec::new();
        write_map_len(&mut with_reason, 2);
        write_str(&mut with_reason, "progress");
        with_reason.push(1);
        write_str(&mut with_reason, "reason");
        write_str(&mut with_reason, "an index");
        for (value, expected) in [
            (&with_reason[..], Some("an index")),
            (b"\xa3why", Some("why")),
            (&[0x80], Some(SOLO_REASON)),
            (&[0xc3], Some(SOLO_REASON)),
            (&[0xc2], None),
            (&[0xc0], None),
            (&[7], None),
            (&[], None),
        ] {
            assert_eq!(solo_reason(value).as_deref(), expected, "{value:x?}");
        }
    }

    #[test]
    fn box_election_tells_of_the_last_election() {
        let mut value = Vec::new();
        write_map_len(&mut value, 2);
        write_str(&mut value, "role");
        write_str(&mut value, "leader");
        write_str(&mut value, "term");
        write_uint(&mut value, 7);
        assert_eq!(term(&value), Some(7));
        // Before `box.cfg` the map is empty.
        assert_eq!([term(&[0x80]), term(&[0xc0]), term(&[7])], [None; 3]);
    }

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
