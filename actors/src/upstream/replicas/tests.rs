use std::time::Duration;

use proptest::prelude::*;
use vestibule_wire::msgpack::{Reader, write_map_len, write_uint};

use super::*;
use crate::upstream::scout::in_a_letter::{A, G, L, R, S, W};

fn vclock(components: &[(u64, u64)]) -> Vclock {
    let mut bytes = Vec::new();
    write_map_len(&mut bytes, components.len() as u32);
    for (id, counter) in components {
        write_uint(&mut bytes, *id);
        write_uint(&mut bytes, *counter);
    }
    Vclock::read(&mut Reader::new(&bytes)).unwrap()
}

fn run(upstream: usize, number: u64) -> Incarnation {
    Incarnation { upstream, number }
}

fn digest(hash: u64) -> CatalogDigest {
    CatalogDigest {
        number: 80,
        hash,
        spaces: Arc::new(HashSet::from([512])),
    }
}

/// Two upstreams of one replica set, of which the first one takes changes.
struct Model {
    own: Replicas,
    begin: Instant,
}

impl Model {
    fn new() -> Self {
        let mut own = Replicas::new(2);
        for upstream in 0..2 {
            own.on_greeted(upstream, 1);
            own.on_number(upstream, 80);
            own.on_catalog(upstream, digest(7));
            own.on_identity(upstream, identity("a", upstream as u64 + 1));
        }
        own.follow(Some(run(0, 1)));
        Self {
            own,
            begin: Instant::now(),
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.begin + Duration::from_millis(ms)
    }

    fn tell(&mut self, upstream: usize, ms: u64, components: &[(u64, u64)]) {
        let sent = self.at(ms);
        self.own.on_vclock(upstream, sent, vclock(components));
    }

    /// As of when the replica is caught up, in ms since the beginning, if it may be read.
    fn caught_up(&self) -> Option<u64> {
        let set = self.own.readable(&[W, R]);
        let caught_up = set.replicas.first()?.caught_up;
        Some((caught_up - self.begin).as_millis() as u64)
    }
}

fn identity(replica_set: &str, id: u64) -> InstanceIdentity {
    InstanceIdentity {
        replica_set: replica_set.to_owned(),
        id,
    }
}

#[test]
fn beside_one_that_takes_no_changes_or_two_that_do_nobody_is_read() {
    let mut own = Model::new();
    own.tell(0, 10, &[(1, 10)]);
    own.tell(1, 15, &[(1, 10)]);
    let read = |conditions: &[Condition]| own.own.readable(conditions).replicas.len();
    assert_eq!(read(&[W, R]), 1);
    assert_eq!(read(&[R, R]), 0);
    assert_eq!(read(&[W, W]), 0);
}

#[test]
fn a_replica_is_caught_up_as_of_the_last_question_whose_answer_it_has_reached() {
    let mut own = Model::new();
    own.tell(1, 5, &[(1, 10)]);
    assert_eq!(own.caught_up(), None, "the writer has told nothing");
    own.tell(0, 10, &[(1, 10)]);
    assert_eq!(own.caught_up(), Some(10), "as it was before is as good");
    own.tell(0, 20, &[(1, 11)]);
    own.tell(0, 30, &[(1, 12)]);
    assert_eq!(own.caught_up(), Some(10));
    own.tell(1, 35, &[(1, 11)]);
    assert_eq!(own.caught_up(), Some(20));
    own.tell(1, 45, &[(1, 13)]);
    assert_eq!(own.caught_up(), Some(30), "what is newer says nothing");
}

/// How far the second one is behind, in ms.
fn lag(own: &Model, conditions: &[Condition]) -> Option<u128> {
    own.own.lag(1, conditions).map(|own| own.as_millis())
}

#[test]
fn a_replica_is_behind_by_how_long_ago_the_writer_had_what_it_has() {
    let mut own = Model::new();
    own.tell(1, 5, &[(1, 9)]);
    assert_eq!(lag(&own, &[W, R]), None, "the writer has told nothing");
    own.tell(0, 10, &[(1, 10)]);
    assert_eq!(lag(&own, &[W, R]), None, "it was asked before");
    own.tell(1, 15, &[(1, 9)]);
    assert_eq!(lag(&own, &[W, R]), Some(0), "that is not long ago");
    own.tell(0, 20, &[(1, 11)]);
    own.tell(1, 25, &[(1, 9)]);
    assert_eq!(lag(&own, &[W, R]), Some(10), "at least");
    own.tell(1, 26, &[(1, 11)]);
    assert_eq!(lag(&own, &[W, R]), Some(0));
    own.tell(0, 30, &[(1, 12)]);
    own.tell(0, 40, &[(1, 13)]);
    assert_eq!(lag(&own, &[W, R]), Some(0), "it was not asked since");
    own.tell(1, 45, &[(1, 12)]);
    assert_eq!(lag(&own, &[W, R]), Some(10));
    own.tell(0, 50, &[(1, 12)]);
    own.tell(1, 55, &[(1, 13)]);
    assert_eq!(lag(&own, &[W, R]), Some(0));
    // Of these there is nothing to say.
    for conditions in [[W, W], [W, S], [W, A], [R, R], [S, R]] {
        assert_eq!(lag(&own, &conditions), None, "{conditions:?}");
    }
    own.own.on_identity(1, identity("b", 2));
    assert_eq!(lag(&own, &[W, R]), None, "it is of another replica set");
    own.own.on_greeted(1, 2);
    own.tell(1, 60, &[(1, 13)]);
    assert_eq!(lag(&own, &[W, R]), None, "nobody knows of which");
}

/// Longer than what the writer has told is remembered.
#[test]
fn a_replica_that_stands_still_is_behind_by_more_and_more() {
    let mut own = Model::new();
    own.tell(0, 0, &[(1, 1)]);
    own.tell(1, 0, &[(1, 1)]);
    for turn in 1..10 * BALLOTS_KEPT_MAX as u64 {
        own.tell(0, 200 * turn, &[(1, 1 + turn)]);
        own.tell(1, 200 * turn, &[(1, 1)]);
        assert_eq!(lag(&own, &[W, R]), Some(200 * u128::from(turn)));
    }
    own.own.follow(None);
    own.own.follow(Some(run(0, 1)));
    own.tell(1, 0, &[(1, 1)]);
    assert_eq!(lag(&own, &[W, R]), None, "nothing is known of the writer");
    for turn in 0..10 * BALLOTS_KEPT_MAX as u64 {
        own.tell(0, 200 * turn, &[(1, 5000 + turn)]);
        own.tell(1, 200 * turn, &[(1, 1)]);
        assert_eq!(lag(&own, &[W, R]), Some(200 * u128::from(turn)));
    }
    // Another run of it has what is not remembered any more: so much it lacks at least.
    own.own.on_greeted(1, 2);
    assert_eq!(lag(&own, &[W, R]), None);
    own.own.on_identity(1, identity("a", 2));
    own.tell(1, 200 * 10 * BALLOTS_KEPT_MAX as u64, &[(1, 1)]);
    let remembered = lag(&own, &[W, R]).unwrap();
    assert!((10_000..100_000).contains(&remembered), "{remembered}");
}

#[test]
fn what_was_known_of_the_run_before_or_beside_another_writer_counts_no_more() {
    let mut own = Model::new();
    own.tell(0, 10, &[(1, 10)]);
    own.tell(1, 15, &[(1, 10)]);
    assert_eq!(own.caught_up(), Some(10));
    own.own.follow(None);
    own.own.follow(Some(run(0, 1)));
    assert_eq!(own.caught_up(), None);
    own.tell(0, 20, &[(1, 10)]);
    assert_eq!(own.caught_up(), Some(20));
    own.own.on_greeted(1, 2);
    own.own.on_number(1, 80);
    own.own.on_catalog(1, digest(7));
    own.own.on_identity(1, identity("a", 2));
    own.tell(0, 30, &[(1, 10)]);
    assert_eq!(own.caught_up(), None, "it has told nothing since");
    own.tell(1, 35, &[(1, 9)]);
    assert_eq!(own.caught_up(), None, "it has lost something");
}

/// Something that comes to be known.
type Change = fn(&mut Replicas);

#[test]
fn who_is_another_instance_than_a_replica_is_not_read_and_it_is_told_why() {
    let change = |change: Change| {
        let mut own = Model::new();
        own.tell(0, 10, &[(1, 10)]);
        own.tell(1, 15, &[(1, 10)]);
        change(&mut own.own);
        let verdict = own.own.judge(1, &[W, R]).expect("it is read-only");
        assert_eq!(verdict.writer, 0);
        (own.caught_up(), verdict.obstacle)
    };
    assert_eq!(change(|_| ()), (Some(10), None));
    let cases: [(Change, ReadObstacle); 8] = [
        (
            |own| own.on_identity(1, identity("b", 2)),
            ReadObstacle::OtherReplicaSet,
        ),
        (
            |own| own.on_catalog(1, digest(8)),
            ReadObstacle::OtherCatalog,
        ),
        (|own| own.on_number(1, 81), ReadObstacle::UnreadCatalog),
        (|own| own.on_number(0, 81), ReadObstacle::UnknownWriter),
        (
            |own| own.on_identity(0, identity("a", 0)),
            ReadObstacle::UnknownWriter,
        ),
        (
            |own| {
                let sent = own.history[0].0;
                own.on_vclock(1, sent, vclock(&[(1, 10), (2, 1)]));
            },
            ReadObstacle::OwnChanges,
        ),
        (|own| own.on_greeted(1, 2), ReadObstacle::Unidentified),
        (
            |own| {
                own.follow(None);
                own.follow(Some(run(0, 1)));
            },
            ReadObstacle::Behind,
        ),
    ];
    for (at, (make, expected)) in cases.into_iter().enumerate() {
        assert_eq!(change(make), (None, Some(expected)), "{at}");
    }
}

#[test]
fn nothing_is_said_of_one_that_could_not_be_read_in_any_case() {
    let own = Model::new();
    for conditions in [[W, A], [W, W], [R, R], [W, S], [L, R]] {
        assert_eq!(own.own.judge(1, &conditions), None, "{conditions:?}");
    }
    assert_eq!(own.own.judge(0, &[W, R]), None, "it takes changes");
}

#[test]
fn who_does_not_serve_or_takes_changes_is_not_read() {
    let mut own = Model::new();
    own.tell(0, 10, &[(1, 10)]);
    own.tell(1, 15, &[(1, 10)]);
    for condition in [A, L, S, G, W] {
        let set = own.own.readable(&[W, condition]);
        assert!(set.replicas.is_empty(), "{condition:?}");
    }
    assert_eq!(own.own.readable(&[W, S]).serving, [run(0, 1)]);
}

proptest! {
    /// A writer that counts up, and a replica that follows as it likes: whatever was acknowledged
    /// before the time as of which it is caught up, it has.
    #[test]
    fn a_replica_has_all_that_was_acknowledged_before_it_is_caught_up(
        steps in prop::collection::vec((0..4u8, 0..5u64), 1..400)
    ) {
        let mut own = Model::new();
        let (mut written, mut has, mut ms) = (0, 0, 0);
        let mut acknowledged = Vec::new();
        for (step, count) in steps {
            ms += 1;
            match step {
                0 => {
                    written += count;
                    acknowledged.push((own.at(ms), written));
                }
                1 => has = (has + count).min(written),
                2 => own.tell(0, ms, &[(1, written)]),
                _ => own.tell(1, ms, &[(1, has)]),
            }
            prop_assert!(own.own.history.len() <= BALLOTS_KEPT_MAX);
            if let Some(caught_up) = own.own.readable(&[W, R]).replicas.first() {
                let before = acknowledged.iter().filter(|(at, _)| *at < caught_up.caught_up);
                let needed = before.map(|(_, count)| *count).max().unwrap_or(0);
                prop_assert!(has >= needed, "{has} of {needed}");
            }
        }
    }
}
