//! Which SELECTs replicas answer: what a connection has seen is the least that it sees again. Pure.
//!
//! ```text
//!   nothing under way ─┬─ a replica is caught up as of later than all that was seen ─▶ there
//!                      └─ none is ─▶ the one that takes changes
//!   others under way ───── the same place as they, or the one that takes changes
//! ```
//!
//! The one that takes changes has everything that a replica has, so nothing is missed there that
//! was seen here. The other way round, and from one replica to another, time has to have passed:
//! until a replica has all that the writer had acknowledged by then.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::schema::Incarnation;
use crate::cells::live::{Follower, Live};

/// A replica that may answer SELECTs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadableReplica {
    pub(crate) incarnation: Incarnation,
    /// What the writer had acknowledged before then, it has.
    pub(crate) caught_up: Instant,
    /// The same process has answered what was asked then: connections that were made before are to
    /// this one.
    pub(crate) proven: Instant,
    /// The replica's own number of its catalog.
    pub(crate) number: u64,
}

/// Which replicas may answer which SELECTs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReadSet {
    /// Beside whom they do; without one, nobody does.
    pub(crate) writer: Option<Incarnation>,
    /// The writer's number of the catalog that all of these have.
    pub(crate) number: u64,
    /// Spaces whose rows all of them have.
    pub(crate) spaces: Arc<HashSet<u32>>,
    pub(crate) replicas: Vec<ReadableReplica>,
    /// All upstreams that serve.
    pub(crate) serving: Vec<Incarnation>,
}

impl ReadSet {
    /// Whether it is worth a look whether a replica answers a SELECT of this space.
    pub(crate) fn has_space(&self, space: u32) -> bool {
        !self.replicas.is_empty() && self.spaces.contains(&space)
    }
}

/// Whether a replica may answer a request, as its session sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ReplicaRead {
    /// The upstream that takes changes does.
    #[default]
    No,
    /// A replica may, and nothing of its connection is under way.
    First,
    /// A replica may, and others like it of its connection are under way.
    Behind,
}

/// Where the last SELECT of a connection went that a replica may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ReadPlace {
    /// To the upstream that takes changes.
    #[default]
    Writer,
    Replica(Incarnation),
}

/// What a connection has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ReadMarks {
    /// When the upstream that takes changes has answered it last.
    pub(crate) writer: Option<Instant>,
    /// When a replica has.
    pub(crate) replica: Option<Instant>,
    /// Where its last SELECT went that a replica may answer.
    pub(crate) place: ReadPlace,
}

impl ReadMarks {
    /// Whether a replica has everything that was seen, and nothing that it lacks is older than
    /// `staleness_max`.
    pub(crate) fn may_read(
        &self,
        replica: &ReadableReplica,
        read: ReplicaRead,
        staleness_max: Duration,
        now: Instant,
    ) -> bool {
        let is_same = self.place == ReadPlace::Replica(replica.incarnation);
        let may_change = match read {
            ReplicaRead::No => return false,
            ReplicaRead::First => true,
            ReplicaRead::Behind => false,
        };
        // What was answered in the moment of a question may be in the answer to that or not.
        let has = |seen: Option<Instant>| seen.is_none_or(|at| at < replica.caught_up);
        let has_seen = has(self.writer) && (is_same || has(self.replica));
        let age = now.saturating_duration_since(replica.caught_up);
        (is_same || may_change) && has_seen && age <= staleness_max
    }

    /// In which order replicas are asked, of which this is the one at `position`: where it has read
    /// last, it reads again; of others, connections begin with different ones. No two have the same
    /// place.
    pub(crate) fn order(
        &self,
        (position, replica): (usize, &ReadableReplica),
        connection: u64,
        replicas: usize,
    ) -> (bool, usize) {
        let is_other = self.place != ReadPlace::Replica(replica.incarnation);
        // Not by their numbers: those of the first and the third upstream are both even.
        let turn = (position + connection as usize) % replicas.max(1);
        (is_other, turn)
    }
}

/// The replicas that may answer now, for all threads: each follows them with a copy of its own.
#[derive(Debug)]
pub(crate) struct ReadCell(Live<ReadSet>);

impl Default for ReadCell {
    fn default() -> Self {
        Self(Live::new(ReadSet::default()))
    }
}

impl ReadCell {
    /// For those who seldom ask.
    pub(crate) fn load(&self) -> Arc<ReadSet> {
        self.0.load()
    }

    /// A copy for a thread of one's own.
    pub(crate) fn follow(&self) -> Follower<ReadSet> {
        self.0.follow()
    }

    /// Looks again for one who follows.
    #[inline]
    pub(crate) fn refresh(&self, own: &mut Follower<ReadSet>) {
        own.refresh(&self.0);
    }

    /// Replicas of this set may from now on. True if one that served does not any more. One thread
    /// alone tells.
    pub(crate) fn store(&self, set: ReadSet) -> bool {
        let before = self.0.load();
        if *before == set {
            return false;
        }
        let is_left = |before: &Incarnation| !set.serving.contains(before);
        let has_lost = before.serving.iter().any(is_left);
        self.0.replace(set, |_| ());
        has_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALENESS_MAX: Duration = Duration::from_secs(1);

    fn run(upstream: usize) -> Incarnation {
        Incarnation {
            upstream,
            number: 1,
        }
    }

    /// A replica that is caught up as of then.
    fn replica(caught_up: Instant) -> ReadableReplica {
        ReadableReplica {
            incarnation: run(1),
            caught_up,
            proven: caught_up,
            number: 80,
        }
    }

    /// Whether a connection that has seen this may read, 100 ms after the replica was caught up.
    fn may_read(marks: impl Fn(Instant) -> ReadMarks, read: ReplicaRead) -> bool {
        let at = Instant::now();
        let replica = replica(at);
        let now = at + Duration::from_millis(100);
        marks(at).may_read(&replica, read, STALENESS_MAX, now)
    }

    #[test]
    fn what_was_seen_is_seen_again() {
        let (before, after) = (Duration::from_millis(1), Duration::from_millis(1));
        let first = ReplicaRead::First;
        let writer = |at| ReadMarks {
            writer: Some(at),
            ..ReadMarks::default()
        };
        assert!(may_read(|_| ReadMarks::default(), first));
        assert!(may_read(|at| writer(at - before), first));
        assert!(!may_read(writer, first), "it may have come too late");
        assert!(!may_read(|at| writer(at + after), first));
        for (seen_at, expected) in [(1, true), (2, false)] {
            // It has read there, or at another one, just now.
            let marks = |at: Instant| ReadMarks {
                replica: Some(at + after),
                place: ReadPlace::Replica(run(seen_at)),
                ..ReadMarks::default()
            };
            assert_eq!(may_read(marks, first), expected, "{seen_at}");
        }
    }

    #[test]
    fn what_is_sent_behind_others_goes_where_they_do_or_to_the_writer() {
        let at = |place| {
            move |_| ReadMarks {
                place,
                ..ReadMarks::default()
            }
        };
        for (place, expected) in [
            (ReadPlace::Writer, false),
            (ReadPlace::Replica(run(1)), true),
            (ReadPlace::Replica(run(2)), false),
        ] {
            assert_eq!(may_read(at(place), ReplicaRead::Behind), expected);
            assert!(may_read(at(place), ReplicaRead::First));
            assert!(!may_read(at(place), ReplicaRead::No));
        }
    }

    #[test]
    fn what_lacks_older_changes_than_may_be_missed_is_not_read() {
        let at = Instant::now();
        let replica = replica(at);
        let may = |passed| {
            let now = at + passed;
            ReadMarks::default().may_read(&replica, ReplicaRead::First, STALENESS_MAX, now)
        };
        assert!(may(STALENESS_MAX));
        assert!(!may(STALENESS_MAX + Duration::from_nanos(1)));
    }

    #[test]
    fn each_replica_has_its_turn_behind_the_one_that_was_read_last() {
        let at = Instant::now();
        // Wherever the upstream that takes changes stands among them.
        for upstreams in [[0, 1], [0, 2], [1, 2], [1, 3]] {
            let replicas = upstreams.map(|upstream| ReadableReplica {
                incarnation: run(upstream),
                ..replica(at)
            });
            let first = |marks: ReadMarks, connection| {
                let all = replicas.iter().enumerate();
                let mut all: Vec<_> = all
                    .map(|own| (marks.order(own, connection, 2), own.1))
                    .collect();
                all.sort_unstable_by_key(|own| own.0);
                assert_ne!(all[0].0, all[1].0);
                all[0].1.incarnation.upstream
            };
            let none = ReadMarks::default();
            let mut begin = [1, 2].map(|own| first(none, own));
            begin.sort_unstable();
            assert_eq!(begin, upstreams, "they are shared out");
            for upstream in upstreams {
                let marks = ReadMarks {
                    place: ReadPlace::Replica(run(upstream)),
                    ..none
                };
                assert_eq!([1, 2].map(|own| first(marks, own)), [upstream; 2]);
            }
        }
    }

    #[test]
    fn those_who_read_are_told_when_one_does_not_serve_any_more_and_not_else() {
        let own = ReadCell::default();
        let serving = |all: &[usize]| ReadSet {
            serving: all.iter().map(|own| run(*own)).collect(),
            ..ReadSet::default()
        };
        assert!(!own.store(serving(&[0, 1])));
        assert!(!own.store(serving(&[0, 1, 2])));
        assert!(own.store(serving(&[0, 2])));
        assert!(!own.store(serving(&[0, 2])));
    }
}
