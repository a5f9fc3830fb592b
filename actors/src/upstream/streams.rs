//! The streams of clients, as one link has them: each has a number of its own upstream, for two
//! clients may have streams of one number.
//!
//! ```text
//!   sent ─▶ bound ─┬─ all is answered, no transaction may be open ─▶ free
//!                  ├─ its client is gone, has logged in again, was cut off ─▶ ROLLBACK ─▶ free
//!                  └─ the link ends ─▶ lost: its transaction is not there any more
//! ```
//!
//! A transaction *may* be open behind everything that can begin one: BEGIN, and also what runs code
//! or SQL. An upstream rolls back what is open when a connection ends, and this one does not end
//! with a client.

use std::collections::{BTreeMap, HashMap};

use slab::Slab;
use vestibule_wire::keys::RequestType;

use crate::cells::claims::RequestId;

/// A stream of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClientStream {
    /// The client's session, by its number in the worker.
    pub(crate) session: u32,
    /// The client's connection, by its number that is never used again.
    pub(crate) connection: u64,
    /// The number that the client gave it; 0 for what is in no stream.
    pub(crate) stream: u64,
}

/// Which streams go on over the link that a connection has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamsKept {
    /// All with something under way: the other link is a session of the same kind.
    UnderWay,
    /// All where a transaction may be open, and no others: what comes behind is to see what its
    /// client has set.
    Open,
}

/// What a request does to the transaction of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamStep {
    /// Nothing: it is a part of it, if there is one.
    Nothing,
    Begin,
    /// Code or SQL, which may leave one open.
    MayBegin,
    Commit,
    Rollback,
}

impl StreamStep {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Begin,
        Self::MayBegin,
        Self::Commit,
        Self::Rollback,
    ];

    /// What a request does, by what it means.
    pub(crate) fn of(meaning: RequestType) -> Self {
        use RequestType::{Begin, Call, Call16, Commit, Eval, Execute, Rollback};
        match meaning {
            Begin => Self::Begin,
            Commit => Self::Commit,
            Rollback => Self::Rollback,
            Call | Call16 | Eval | Execute => Self::MayBegin,
            _ => Self::Nothing,
        }
    }

    /// Whether a transaction may be open behind it.
    pub(crate) fn may_begin(self) -> bool {
        matches!(self, Self::Begin | Self::MayBegin)
    }

    /// Whether none is open behind it.
    pub(crate) fn ends(self) -> bool {
        matches!(self, Self::Commit | Self::Rollback)
    }
}

/// Whether a transaction is open, as far as is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Openness {
    No,
    Maybe,
    /// Begun by this BEGIN.
    BegunBy(RequestId),
}

#[derive(Debug, Clone, Copy)]
struct BoundStream {
    key: ClientStream,
    /// What is sent in it and not answered, and a ROLLBACK of ours that is to be sent.
    owed: usize,
    open: Openness,
}

/// A stream whose transaction is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LostStream {
    pub(crate) key: ClientStream,
    /// The BEGIN of its transaction, if that is known.
    pub(crate) begin: Option<RequestId>,
}

/// The streams of one connection that are bound.
#[derive(Debug, Default)]
struct BoundHere {
    /// In their order, so that what is done with all of them is.
    slots: BTreeMap<u64, usize>,
    /// How many of them may have a transaction open.
    open: usize,
    /// When something came to its end in one of them: as the how-many-th of the link.
    ended: u64,
}

/// The streams that are bound to one link.
#[derive(Debug, Default)]
pub(crate) struct BoundStreams {
    slots: Slab<BoundStream>,
    connections: HashMap<u64, BoundHere>,
    /// How often a transaction, or all that was under way, came to its end in a stream.
    ended: u64,
}

impl BoundStreams {
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn slot(&self, key: ClientStream) -> Option<usize> {
        let here = self.connections.get(&key.connection)?;
        here.slots.get(&key.stream).copied()
    }

    /// How many transactions of a connection may be open.
    pub(crate) fn open_of(&self, connection: u64) -> usize {
        self.connections.get(&connection).map_or(0, |own| own.open)
    }

    /// The streams of a connection in which one may be.
    pub(super) fn open_streams_of(&self, connection: u64) -> impl Iterator<Item = u64> {
        let here = self.connections.get(&connection);
        let streams = here.into_iter().flat_map(|own| &own.slots);
        let is_open = |slot: usize| self.slots[slot].open != Openness::No;
        streams.filter_map(move |(stream, slot)| is_open(*slot).then_some(*stream))
    }

    /// Whether a transaction may be open in a stream.
    pub(crate) fn may_be_open(&self, key: ClientStream) -> bool {
        self.slot(key)
            .is_some_and(|slot| self.slots[slot].open != Openness::No)
    }

    /// Whether something is under way in a stream, or a transaction may be open.
    pub(crate) fn has(&self, key: ClientStream) -> bool {
        self.slot(key).is_some()
    }

    /// The same of any stream of a connection.
    pub(crate) fn has_any_of(&self, connection: u64) -> bool {
        self.connections.contains_key(&connection)
    }

    /// What is another one when a transaction, or all that was under way, has come to its end in a
    /// stream of a connection; `None` while none is bound.
    pub(crate) fn ended_of(&self, connection: u64) -> Option<u64> {
        self.connections.get(&connection).map(|own| own.ended)
    }

    /// Whether the transaction of a stream is the one that this BEGIN has begun.
    pub(crate) fn is_begun_by(&self, key: ClientStream, begin: RequestId) -> bool {
        self.slot(key)
            .is_some_and(|slot| self.slots[slot].open == Openness::BegunBy(begin))
    }

    /// A request is sent in a stream; returns the number of that upstream.
    pub(crate) fn send(&mut self, key: ClientStream, step: StreamStep, id: RequestId) -> u64 {
        let slot = self.bind(key);
        self.slots[slot].owed += 1;
        match step {
            StreamStep::Nothing => {}
            StreamStep::Begin => self.set_open(slot, Openness::BegunBy(id)),
            StreamStep::MayBegin if self.slots[slot].open == Openness::No => {
                self.set_open(slot, Openness::Maybe);
            }
            StreamStep::MayBegin => {}
            StreamStep::Commit | StreamStep::Rollback => self.set_open(slot, Openness::No),
        }
        slot as u64 + 1
    }

    /// A request in the stream of this number is answered. `failed`: it was this BEGIN, and has
    /// failed, and whether because a transaction is open.
    pub(crate) fn answered(&mut self, number: u64, failed: Option<(RequestId, bool)>) {
        let Some(slot) = (number as usize).checked_sub(1) else {
            return;
        };
        if let Some((id, found_open)) = failed
            && self.slots[slot].open == Openness::BegunBy(id)
        {
            let open = match found_open {
                true => Openness::Maybe,
                false => Openness::No,
            };
            self.set_open(slot, open);
        }
        self.slots[slot].owed -= 1;
        self.release(slot);
    }

    /// A ROLLBACK of ours is going to be sent in a stream: nothing is open behind it.
    pub(crate) fn plan_rollback(&mut self, key: ClientStream) {
        let slot = self.bind(key);
        self.slots[slot].owed += 1;
        self.set_open(slot, Openness::No);
    }

    /// The planned ROLLBACK is sent; returns the number of its stream upstream.
    pub(crate) fn send_rollback(&mut self, key: ClientStream) -> u64 {
        let slot = self.bind(key);
        self.set_open(slot, Openness::No);
        slot as u64 + 1
    }

    /// The streams of a connection in which a transaction may be open when these steps of it, which
    /// are in their order, are taken too.
    pub(crate) fn open_behind(
        &self,
        connection: u64,
        steps: impl Iterator<Item = (ClientStream, StreamStep, RequestId)>,
    ) -> Vec<LostStream> {
        let here = self.connections.get(&connection);
        let slots = here.into_iter().flat_map(|own| own.slots.values());
        let open = slots.filter_map(|slot| self.lost(*slot));
        let mut open: BTreeMap<_, _> = open.map(|own| (own.key, own.begin)).collect();
        for (key, step, id) in steps.filter(|(key, ..)| key.stream != 0) {
            match step {
                StreamStep::Nothing => {}
                StreamStep::Begin => drop(open.insert(key, Some(id))),
                StreamStep::MayBegin => drop(open.entry(key).or_insert(None)),
                StreamStep::Commit | StreamStep::Rollback => drop(open.remove(&key)),
            }
        }
        let open = open.into_iter();
        open.map(|(key, begin)| LostStream { key, begin }).collect()
    }

    /// The streams of all connections in which a transaction may be open.
    pub(crate) fn all_that_may_be_open(&self) -> Vec<LostStream> {
        let slots = self.slots.iter().map(|(slot, _)| slot);
        slots.filter_map(|slot| self.lost(slot)).collect()
    }

    /// The stream of this number.
    pub(crate) fn key(&self, number: u64) -> Option<ClientStream> {
        let slot = (number as usize).checked_sub(1)?;
        self.slots.get(slot).map(|own| own.key)
    }

    fn lost(&self, slot: usize) -> Option<LostStream> {
        let BoundStream { key, open, .. } = self.slots[slot];
        let begin = match open {
            Openness::No => return None,
            Openness::Maybe => None,
            Openness::BegunBy(begin) => Some(begin),
        };
        Some(LostStream { key, begin })
    }

    fn bind(&mut self, key: ClientStream) -> usize {
        let here = (self.connections.entry(key.connection)).or_insert_with(|| BoundHere {
            ended: self.ended,
            ..BoundHere::default()
        });
        *here.slots.entry(key.stream).or_insert_with(|| {
            self.slots.insert(BoundStream {
                key,
                owed: 0,
                open: Openness::No,
            })
        })
    }

    fn set_open(&mut self, slot: usize, open: Openness) {
        let own = &mut self.slots[slot];
        let was_open = std::mem::replace(&mut own.open, open) != Openness::No;
        if let Some(here) = self.connections.get_mut(&own.key.connection) {
            here.open += usize::from(open != Openness::No);
            here.open -= usize::from(was_open);
            if was_open && open == Openness::No {
                self.ended += 1;
                here.ended = self.ended;
            }
        }
    }

    /// Frees a slot in which nothing is under way.
    fn release(&mut self, slot: usize) {
        let BoundStream { key, owed, open } = self.slots[slot];
        if owed > 0 || open != Openness::No {
            return;
        }
        self.slots.remove(slot);
        if let Some(here) = self.connections.get_mut(&key.connection) {
            here.slots.remove(&key.stream);
            self.ended += 1;
            here.ended = self.ended;
            if here.slots.is_empty() {
                self.connections.remove(&key.connection);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn id(number: u32) -> RequestId {
        RequestId {
            index: number,
            generation: 1,
        }
    }

    fn key(connection: u64, stream: u64) -> ClientStream {
        ClientStream {
            session: 0,
            connection,
            stream,
        }
    }

    #[test]
    fn streams_of_one_number_are_two_upstream_and_free_when_nothing_is_under_way() {
        let mut own = BoundStreams::default();
        let first = own.send(key(1, 7), StreamStep::Nothing, id(1));
        let other = own.send(key(2, 7), StreamStep::Begin, id(2));
        assert_ne!(first, other);
        assert_eq!(own.send(key(1, 7), StreamStep::Nothing, id(3)), first);
        own.answered(first, None);
        own.answered(first, None);
        own.answered(other, None);
        assert_eq!((own.key(first), own.key(other)), (None, Some(key(2, 7))));
        assert_eq!((own.open_of(1), own.open_of(2)), (0, 1));
        assert_eq!(own.send(key(2, 7), StreamStep::Commit, id(4)), other);
        assert!(!own.is_empty(), "COMMIT is owed");
        own.answered(other, None);
        assert!(own.is_empty());
    }

    #[test]
    fn a_transaction_may_be_open_behind_code_and_behind_a_begin_that_found_one() {
        use StreamStep::{Begin, Commit, MayBegin, Nothing, Rollback};
        let begun = |steps: &[StreamStep], found_open: Option<bool>| {
            let mut own = BoundStreams::default();
            for step in steps {
                let number = own.send(key(1, 1), *step, id(9));
                let is_begin = *step == Begin;
                let failed = found_open.filter(|_| is_begin);
                own.answered(number, failed.map(|found| (id(9), found)));
            }
            own.open_behind(1, std::iter::empty())
                .first()
                .map(|own| own.begin)
        };
        assert_eq!(begun(&[MayBegin, Nothing], None), Some(None));
        assert_eq!(begun(&[Begin, MayBegin], None), Some(Some(id(9))));
        for end in [Commit, Rollback] {
            assert_eq!(begun(&[Begin, MayBegin, end], None), None);
        }
        assert_eq!(begun(&[Begin], Some(false)), None);
        assert_eq!(begun(&[MayBegin, Begin], Some(true)), Some(None));
    }

    /// What waits and is sent later: of a stream whose end waits too nothing is left.
    #[test]
    fn what_waits_may_begin_more_or_end_what_is_open() {
        use StreamStep::{Begin, Commit, MayBegin, Nothing, Rollback};
        let mut own = BoundStreams::default();
        own.send(key(1, 1), Begin, id(1));
        own.send(key(1, 2), MayBegin, id(2));
        let open = |steps: &[(u64, StreamStep)]| {
            let steps = steps.iter().zip(10..);
            let steps = steps.map(|((stream, step), at)| (key(1, *stream), *step, id(at)));
            let open = own.open_behind(1, steps);
            let mut open: Vec<_> = open.iter().map(|own| (own.key.stream, own.begin)).collect();
            open.sort_unstable_by_key(|own| own.0);
            open
        };
        let now = [(1, Some(id(1))), (2, None)];
        assert_eq!(open(&[(1, Nothing), (0, MayBegin)]), now);
        assert_eq!(open(&[(1, Commit)]), now[1..]);
        assert_eq!(open(&[(2, Rollback), (1, MayBegin)]), now[..1]);
        assert_eq!(open(&[(3, MayBegin)])[2], (3, None));
        let again = [(1, Commit), (1, Begin), (1, Nothing), (2, Begin)];
        assert_eq!(open(&again), [(1, Some(id(11))), (2, Some(id(13)))]);
        assert_eq!(open(&[(3, Begin), (3, Commit), (3, Nothing)]), now);
    }

    #[test]
    fn nothing_is_open_behind_a_rollback_of_ours_whatever_was_sent_before_it() {
        let mut own = BoundStreams::default();
        own.plan_rollback(key(1, 1));
        // A BEGIN that waited before it goes before it.
        let number = own.send(key(1, 1), StreamStep::Begin, id(1));
        own.answered(number, None);
        assert!(own.may_be_open(key(1, 1)));
        assert_eq!(own.send_rollback(key(1, 1)), number);
        assert!(!own.may_be_open(key(1, 1)) && !own.is_empty());
        own.answered(number, None);
        assert!(own.is_empty());
    }

    proptest! {
        /// Against a list of what is sent: numbers are one stream's each, and what is counted is
        /// what is open.
        #[test]
        fn what_is_bound_is_what_is_under_way_or_may_be_open(
            steps in prop::collection::vec((0..3u64, 1..4u64, 0..6usize), 1..200),
        ) {
            let mut own = BoundStreams::default();
            let mut model = BTreeMap::<(u64, u64), (Vec<u64>, bool)>::new();
            for (at, (connection, stream, step)) in steps.into_iter().enumerate() {
                let entry = model.entry((connection, stream)).or_default();
                match StreamStep::ALL.get(step) {
                    Some(step) => {
                        let number = own.send(key(connection, stream), *step, id(at as u32));
                        entry.0.push(number);
                        entry.1 = match step {
                            StreamStep::Nothing => entry.1,
                            StreamStep::Begin | StreamStep::MayBegin => true,
                            StreamStep::Commit | StreamStep::Rollback => false,
                        };
                    }
                    None => {
                        if let Some(number) = entry.0.pop() {
                            own.answered(number, None);
                        }
                    }
                }
                model.retain(|_, (owed, is_open)| !owed.is_empty() || *is_open);
                prop_assert_eq!(own.slots.len(), model.len());
                let mut numbers = BTreeMap::new();
                for ((connection, stream), (owed, is_open)) in &model {
                    let key = key(*connection, *stream);
                    prop_assert_eq!(own.may_be_open(key), *is_open);
                    for number in owed {
                        prop_assert_eq!(own.key(*number), Some(key));
                        prop_assert_eq!(*numbers.entry(*number).or_insert(key), key);
                    }
                }
                for connection in 0..3 {
                    let of_it = |((own, _), (_, is_open)): &(&(u64, u64), &(_, bool))| {
                        *own == connection && *is_open
                    };
                    let open = model.iter().filter(of_it);
                    prop_assert_eq!(own.open_of(connection), open.count());
                }
            }
        }
    }
}
