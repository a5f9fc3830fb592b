//! Requests that wait for an upstream to take over, or for a link: in the order in which they came,
//! of all sessions of a worker.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use vestibule_wire::features::Features;

use super::kept::KeptRequest;
use super::sight::HeldCounters;
use super::streams::{ClientStream, StreamStep};
use super::waiting::Forward;
use crate::cells::claims::RequestId;

/// As whom a request is asked, and how values are written in its reply: what a link is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkClient {
    pub(crate) user: Arc<str>,
    /// What its client can read, of what changes that.
    pub(crate) format: Features,
    /// The connection that it is for alone, by its number that is never used again; `None` if it is
    /// for all of that user.
    pub(crate) pinned: Option<u64>,
    /// Whether it is the second one of that user, for bulk.
    pub(crate) is_bulk: bool,
}

/// One of them, and as whom it is asked.
#[derive(Debug)]
pub(crate) struct ParkedRequest {
    pub(crate) request: KeptRequest,
    pub(crate) client: LinkClient,
    /// Since when it waits.
    pub(crate) since: Instant,
}

/// What waits in one worker.
#[derive(Debug)]
pub(crate) struct Parked {
    requests: BTreeMap<u64, ParkedRequest>,
    /// The numbers of each connection's: nobody else's are looked at for them.
    of: HashMap<u64, BTreeSet<u64>>,
    bytes: usize,
    bytes_max: usize,
    /// What was taken out last, by the numbers of requests, and since when they waited.
    taken: Vec<(u64, Instant)>,
    /// How many there are and how long they waited, for others to see.
    counters: Arc<HeldCounters>,
}

impl Parked {
    /// Nothing yet, and at most this number of bytes of bodies.
    pub(crate) fn new(bytes_max: usize, counters: Arc<HeldCounters>) -> Self {
        Self {
            requests: BTreeMap::new(),
            of: HashMap::new(),
            bytes: 0,
            bytes_max,
            taken: Vec::new(),
            counters,
        }
    }

    fn tell_count(&self) {
        self.counters.count.set(self.requests.len() as u64);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// One more waits. `is_wanted` tells of one that waits whether somebody waits for it: for room,
    /// the others are dropped. False if there is no room for it.
    pub(crate) fn push(
        &mut self,
        own: ParkedRequest,
        is_wanted: impl Fn(RequestId) -> bool,
    ) -> bool {
        let size = own.request.body.len();
        if size > self.bytes_max - self.bytes {
            // One for which there was room before needs no room now: this one has just come.
            self.sweep(own.since, is_wanted);
        }
        if size > self.bytes_max - self.bytes {
            return false;
        }
        self.bytes += size;
        let forward = &own.request.forward;
        let its = self.of.entry(forward.key.connection).or_default();
        its.insert(forward.number);
        self.requests.insert(forward.number, own);
        self.tell_count();
        true
    }

    /// Takes one out that is over.
    fn remove(&mut self, number: u64, now: Instant) {
        let Some(own) = self.requests.remove(&number) else {
            return;
        };
        self.bytes -= own.request.body.len();
        self.counters.count_waited(own.since, now);
        let connection = own.request.forward.key.connection;
        if let Some(its) = self.of.get_mut(&connection) {
            its.remove(&number);
            if its.is_empty() {
                self.of.remove(&connection);
            }
        }
    }

    /// What waits of a connection, in its order.
    fn of(&self, connection: u64) -> impl Iterator<Item = &Forward> {
        let its = self.of.get(&connection).into_iter().flatten();
        let its = its.filter_map(|number| self.requests.get(number));
        its.map(|own| &own.request.forward)
    }

    /// Drops those for whom nobody waits.
    pub(crate) fn sweep(&mut self, now: Instant, is_wanted: impl Fn(RequestId) -> bool) {
        let all = self.requests.values().map(|own| own.request.forward);
        let over: Vec<_> = all.filter(|own| !is_wanted(own.id)).collect();
        over.iter().for_each(|own| self.remove(own.number, now));
        self.tell_count();
    }

    /// What a request of a connection does to the transaction of its stream; `None` if it does not
    /// wait.
    pub(crate) fn step_of(&self, connection: u64, id: RequestId) -> Option<StreamStep> {
        let own = self.of(connection).find(|own| own.id == id);
        own.map(|own| own.step)
    }

    /// Takes out what waits of a stream, up to the end of the transaction that this BEGIN would
    /// have begun, or to the next BEGIN; and tells whether there is one of these. Nothing, if that
    /// BEGIN does not wait here.
    ///
    /// What stands before it in its stream, which a client may have sent without waiting for
    /// anything, goes with it: what is told of the stream does not depend on the order of answers.
    pub(crate) fn take_transaction(
        &mut self,
        key: ClientStream,
        begin: RequestId,
        now: Instant,
    ) -> (Vec<Forward>, bool) {
        let its = self.of(key.connection).filter(|own| own.key == key);
        let all: Vec<Forward> = its.copied().collect();
        let Some(at) = all.iter().position(|own| own.id == begin) else {
            return (Vec::new(), false);
        };
        let behind = &all[at + 1..];
        let is_end = |own: &Forward| matches!(own.step, StreamStep::Commit | StreamStep::Rollback);
        let end = behind
            .iter()
            .position(|own| is_end(own) || own.step == StreamStep::Begin);
        let count = end.map_or(behind.len(), |at| at + usize::from(is_end(&behind[at])));
        let taken = &all[..at + 1 + count];
        taken.iter().for_each(|own| self.remove(own.number, now));
        self.tell_count();
        (taken.to_vec(), end.is_some())
    }

    /// Takes out those of a connection for which there is an answer, and returns that with each;
    /// they are asked in their order.
    pub(crate) fn take_answered<A>(
        &mut self,
        connection: u64,
        now: Instant,
        mut answer: impl FnMut(&Forward) -> Option<A>,
    ) -> Vec<(Forward, A)> {
        let its = self.of(connection).copied();
        let taken = its.filter_map(|own| answer(&own).map(|answer| (own, answer)));
        let taken: Vec<_> = taken.collect();
        (taken.iter()).for_each(|(own, _)| self.remove(own.number, now));
        self.tell_count();
        taken
    }

    /// Takes out all of them, in their order. What goes on waiting is pushed again, and then it is
    /// [counted](Self::count_gone) how long the others did.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = ParkedRequest> + use<> {
        self.bytes = 0;
        self.counters.count.set(0);
        let all = std::mem::take(&mut self.requests);
        self.of.clear();
        self.taken
            .extend(all.iter().map(|(number, own)| (*number, own.since)));
        all.into_values()
    }

    /// Counts how long those waited that were taken out and do not wait again.
    pub(crate) fn count_gone(&mut self, now: Instant) {
        for (number, since) in std::mem::take(&mut self.taken) {
            if !self.requests.contains_key(&number) {
                self.counters.count_waited(since, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::upstream::Kind;
    use crate::upstream::waiting::tests::forward;

    fn parked(number: u64, size: usize) -> ParkedRequest {
        ParkedRequest {
            request: KeptRequest {
                forward: forward(1, number, Kind::Other),
                body: Bytes::from(vec![0; size]),
                was_sent: false,
            },
            client: LinkClient {
                pinned: None,
                user: "guest".into(),
                format: Features::NONE,
                is_bulk: false,
            },
            since: Instant::now(),
        }
    }

    #[test]
    fn they_go_in_the_order_in_which_they_came_whenever_they_came_back() {
        let mut own = Parked::new(100, Arc::default());
        for number in [5, 2, 9, 1] {
            assert!(own.push(parked(number, 1), |_| true));
        }
        let numbers = own.take_all().map(|own| own.request.forward.number);
        assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 5, 9]);
        assert!(own.is_empty());
    }

    #[test]
    fn with_a_begin_goes_its_transaction_and_what_stands_before_it_in_its_stream() {
        use StreamStep::{Begin, Commit, Nothing};
        let taken = |steps: &[StreamStep], begin: u64| {
            let counters = Arc::<HeldCounters>::default();
            let mut own = Parked::new(100, counters.clone());
            for (number, step) in (0..).zip(steps) {
                let mut parked = parked(number, 1);
                parked.request.forward.key.stream = 7;
                parked.request.forward.step = *step;
                assert!(own.push(parked, |_| true));
            }
            let mut other = parked(100, 1);
            other.request.forward.key.stream = 8;
            assert!(own.push(other, |_| true));
            let key = ClientStream {
                stream: 7,
                ..forward(1, 0, Kind::Other).key
            };
            let id = forward(1, begin, Kind::Other).id;
            let (taken, has_end) = own.take_transaction(key, id, Instant::now());
            let taken: Vec<_> = taken.iter().map(|own| own.number).collect();
            assert_eq!(counters.waited.histogram().count(), taken.len() as u64);
            assert_eq!(own.take_all().count(), steps.len() + 1 - taken.len());
            (taken, has_end)
        };
        assert_eq!(taken(&[Begin, Nothing, Nothing], 0), (vec![0, 1, 2], false));
        let whole = [Begin, Nothing, Commit, Nothing];
        assert_eq!(taken(&whole, 0), (vec![0, 1, 2], true));
        assert_eq!(taken(&[Begin, Nothing, Begin], 0), (vec![0, 1], true));
        let second = [Begin, Commit, Begin, Nothing];
        assert_eq!(taken(&second, 2), (vec![0, 1, 2, 3], false));
        assert_eq!(taken(&whole, 9), (vec![], false), "it does not wait here");
    }

    #[test]
    fn bytes_are_bounded_and_those_of_whom_nobody_waits_for_make_room() {
        let mut own = Parked::new(100, Arc::default());
        for number in 0..10 {
            assert!(own.push(parked(number, 10), |_| true));
        }
        assert!(!own.push(parked(10, 1), |_| true));
        assert!(own.push(parked(11, 0), |_| true));
        assert!(own.push(parked(12, 20), |id| id.index > 1));
        assert!(!own.push(parked(13, 1), |_| true));
        let count = own.take_all().count();
        assert_eq!(count, 10, "but two of the first, and two more");
        assert!(own.push(parked(14, 100), |_| true));
    }

    #[test]
    fn what_is_answered_of_a_connection_is_looked_for_among_its_own_and_in_their_order() {
        let mut own = Parked::new(100, Arc::default());
        for number in [8, 2, 5, 3, 4] {
            let mut parked = parked(number, 10);
            parked.request.forward.key.connection = number % 2;
            assert!(own.push(parked, |_| true));
        }
        let mut asked = Vec::new();
        let taken = own.take_answered(0, Instant::now(), |own| {
            asked.push(own.number);
            (own.number > 2).then_some(())
        });
        let taken: Vec<_> = taken.iter().map(|(own, ())| own.number).collect();
        assert_eq!((asked, taken), (vec![2, 4, 8], vec![4, 8]));
        assert_eq!((own.of[&0].len(), own.of[&1].len()), (1, 2));
        assert!(own.push(parked(9, 70), |_| true), "there is room for it");
        let left = own.take_all().map(|own| own.request.forward.number);
        assert_eq!(left.collect::<Vec<_>>(), [2, 3, 5, 9]);
        assert!(own.of.is_empty());
    }

    #[test]
    fn each_is_counted_once_with_all_that_it_waited() {
        let counters = Arc::<HeldCounters>::default();
        let mut own = Parked::new(100, counters.clone());
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        for number in 1..=3 {
            let since = begin;
            assert!(own.push(
                ParkedRequest {
                    since,
                    ..parked(number, 1)
                },
                |_| true
            ));
        }
        let mut all: Vec<_> = own.take_all().collect();
        assert!(own.push(all.remove(0), |_| true));
        own.count_gone(at(2));
        let waited = || {
            let waited = counters.waited.histogram();
            (waited.count(), waited.sum.as_secs())
        };
        assert_eq!(waited(), (2, 4), "one goes on waiting");
        own.count_gone(at(3));
        own.sweep(at(3), |_| true);
        assert_eq!(waited(), (2, 4));
        own.sweep(at(5), |_| false);
        assert_eq!(waited(), (3, 9));
    }
}
