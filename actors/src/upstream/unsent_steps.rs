//! What requests that wait in a link will have done to the transactions of their streams when they
//! are sent, known without a look at each of them. Pure.
//!
//! ```text
//!   stream 7:  [BEGIN] [statement] [COMMIT] [BEGIN] ─▶ the last step that waits decides: open
//!   stream 8:  [statement] ──────────────────────────▶ none does: as it is by what is sent
//! ```

use std::collections::{BTreeMap, HashMap};

use super::streams::{BoundStreams, ClientStream, StreamStep};

/// The steps that wait in one link and decide whether a transaction is open behind them.
#[derive(Debug, Default)]
pub(super) struct UnsentSteps {
    connections: HashMap<u64, StepsHere>,
}

/// The steps of one connection.
#[derive(Debug, Default)]
struct StepsHere {
    /// By stream, in their order: whether one may be open behind it.
    streams: BTreeMap<u64, BTreeMap<i64, bool>>,
    /// In how many of these streams the last one leaves one open.
    opening: usize,
}

/// Whether a transaction may be open behind this, if that decides.
fn decides(key: ClientStream, step: StreamStep) -> Option<bool> {
    match step {
        _ if key.stream == 0 => None,
        StreamStep::Nothing => None,
        StreamStep::Begin | StreamStep::MayBegin => Some(true),
        StreamStep::Commit | StreamStep::Rollback => Some(false),
    }
}

impl StepsHere {
    /// Changes the steps of a stream.
    fn change(&mut self, stream: u64, edit: impl FnOnce(&mut BTreeMap<i64, bool>)) {
        let opens = |own: &BTreeMap<i64, bool>| own.last_key_value().is_some_and(|(_, own)| *own);
        let steps = self.streams.entry(stream).or_default();
        self.opening -= usize::from(opens(steps));
        edit(steps);
        self.opening += usize::from(opens(steps));
        if steps.is_empty() {
            self.streams.remove(&stream);
        }
    }
}

impl UnsentSteps {
    /// One waits; what stands before it in its stream has a smaller place.
    #[inline]
    pub(super) fn add(&mut self, key: ClientStream, step: StreamStep, place: i64) {
        if let Some(opens) = decides(key, step) {
            let here = self.connections.entry(key.connection).or_default();
            here.change(key.stream, |steps| {
                steps.insert(place, opens);
            });
        }
    }

    /// One does not wait here any more.
    #[inline]
    pub(super) fn remove(&mut self, key: ClientStream, step: StreamStep, place: i64) {
        if decides(key, step).is_none() {
            return;
        }
        if let Some(here) = self.connections.get_mut(&key.connection) {
            here.change(key.stream, |steps| {
                steps.remove(&place);
            });
            if here.streams.is_empty() {
                self.connections.remove(&key.connection);
            }
        }
    }

    /// Whether a transaction may be open in a stream when all is sent; `sent` are the streams of
    /// what is.
    pub(super) fn may_be_open(&self, key: ClientStream, sent: &BoundStreams) -> bool {
        let here = self.connections.get(&key.connection);
        let steps = here.and_then(|own| own.streams.get(&key.stream));
        match steps.and_then(|own| own.last_key_value()) {
            Some((_, opens)) => *opens,
            None => sent.may_be_open(key),
        }
    }

    /// In how many streams of a connection that is so at most: in fewer where what waits ends what
    /// is open, or goes on in it.
    pub(super) fn open_of_at_most(&self, connection: u64, sent: &BoundStreams) -> usize {
        let here = self.connections.get(&connection);
        here.map_or(0, |own| own.opening) + sent.open_of(connection)
    }

    /// In how many it is.
    pub(super) fn open_of(&self, connection: u64, sent: &BoundStreams) -> usize {
        let most = self.open_of_at_most(connection, sent);
        let Some(here) = self.connections.get(&connection) else {
            return most;
        };
        // Of these the last step that waits decides, and has been counted.
        let is_decided = |own: &u64| here.streams.contains_key(own);
        most - sent.open_streams_of(connection).filter(is_decided).count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cells::claims::RequestId;

    fn key(connection: u64, stream: u64) -> ClientStream {
        ClientStream {
            session: 1,
            connection,
            stream,
        }
    }

    proptest! {
        /// Against a walk through all that waits.
        #[test]
        fn what_is_open_is_what_a_walk_through_all_that_waits_finds(
            ops in prop::collection::vec((0..4u8, 0..5usize, 0..2u64, 0..4u64, 0..9usize), 0..80),
        ) {
            let (mut own, mut sent) = (UnsentSteps::default(), BoundStreams::default());
            let mut waits = Vec::<(i64, ClientStream, StreamStep)>::new();
            for (place, (op, step, connection, stream, at)) in (1..).zip(ops) {
                let (key, step) = (key(connection, stream), StreamStep::ALL[step]);
                match op {
                    // One is sent, or taken out from anywhere.
                    0 if !waits.is_empty() => {
                        let (place, key, step) = waits.remove(at % waits.len());
                        own.remove(key, step, place);
                        if key.stream != 0 && at % 2 == 0 {
                            sent.send(key, step, RequestId::NONE);
                        }
                    }
                    1 => {
                        waits.insert(0, (-place, key, step));
                        own.add(key, step, -place);
                    }
                    _ => {
                        waits.push((place, key, step));
                        own.add(key, step, place);
                    }
                }
                for connection in 0..2 {
                    let its = waits.iter().filter(|(_, key, _)| key.connection == connection);
                    let steps = its.map(|(_, key, step)| (*key, *step, RequestId::NONE));
                    let open = sent.open_behind(connection, steps);
                    prop_assert_eq!(own.open_of(connection, &sent), open.len());
                    prop_assert!(own.open_of_at_most(connection, &sent) >= open.len());
                    for stream in 1..4 {
                        let key = self::key(connection, stream);
                        let is_open = open.iter().any(|own| own.key == key);
                        prop_assert_eq!(own.may_be_open(key, &sent), is_open);
                    }
                }
            }
            for (place, key, step) in waits {
                own.remove(key, step, place);
            }
            prop_assert!(own.connections.is_empty());
        }
    }
}
