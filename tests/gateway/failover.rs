//! Real upstreams that change places under load.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};

use super::support::tarantool::Tarantool;
use super::support::{Directory, Server, number_from_env, rows, tarantool, wait_until};
use super::{connect, gateway, log_in, patient_gateway, set_read_only, start, start_at};

const WRITERS: u64 = 16;

/// Requests that a writer has on its way.
const DEPTH: u64 = 4;

/// How often the one that takes changes is killed, unless `VESTIBULE_TEST_KILLS` says how often.
const KILLS: u64 = 20;

/// How often they change places, unless `VESTIBULE_TEST_SWITCHES` says how often.
const SWITCHES: u64 = 50;

/// How many numbers each writer has.
const NUMBERS: u64 = 1_000_000;

/// What became of a write: the code that its writer was told, if it was an error.
pub(super) type Outcomes = BTreeMap<u64, Option<u16>>;

/// Writers that count up, each by its own numbers, until they are to end.
pub(super) struct Load {
    is_over: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    writers: Vec<JoinHandle<Outcomes>>,
}

impl Load {
    pub(super) fn begin(server: &Server) -> Self {
        let (is_over, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let writer = |number: u64| {
            let peer = log_in(server.connect());
            let (is_over, written) = (is_over.clone(), written.clone());
            thread::spawn(move || write(peer, number * NUMBERS, &is_over, &written))
        };
        Self {
            writers: (0..WRITERS).map(writer).collect(),
            is_over,
            written,
        }
    }

    /// Waits until so much more is written.
    pub(super) fn go_on(&self, count: u64) {
        let until = self.written.load(Ordering::SeqCst) + count;
        wait_until("more is written", || {
            self.written.load(Ordering::SeqCst) >= until
        });
    }

    /// Waits until nobody is answered but who asks the gateway itself.
    pub(super) fn stand(&self, server: &Server) {
        let mut peer = server.connect();
        wait_until("requests are held", || {
            let before = self.written.load(Ordering::SeqCst);
            (0..50).for_each(|_| peer.ping());
            self.written.load(Ordering::SeqCst) == before
        });
    }

    pub(super) fn end(self) -> Outcomes {
        self.is_over.store(true, Ordering::SeqCst);
        let outcomes = self.writers.into_iter().map(|own| own.join().unwrap());
        outcomes.flatten().collect()
    }
}

fn write(mut peer: Peer, first: u64, is_over: &AtomicBool, written: &AtomicU64) -> Outcomes {
    let (mut outcomes, mut next) = (Outcomes::new(), first);
    while !is_over.load(Ordering::SeqCst) || outcomes.len() as u64 + first < next {
        while next < first + outcomes.len() as u64 + DEPTH && !is_over.load(Ordering::SeqCst) {
            peer.send(&insert(next));
            next += 1;
        }
        let frame = peer.receive();
        outcomes.insert(frame.sync, frame.error_code());
        written.fetch_add(1, Ordering::SeqCst);
    }
    outcomes
}

/// A row that is there already is an error: nothing happens twice unseen.
pub(super) fn insert(key: u64) -> RequestBuilder {
    let row = [&[0x92, 0xcf][..], &key.to_be_bytes(), &[1]].concat();
    RequestBuilder::new(RequestType::Insert, key)
        .uint(keys::SPACE_ID, 512)
        .pair(keys::TUPLE, &row)
}

pub(super) fn keys_of(upstream: &Tarantool) -> BTreeSet<u64> {
    let rows = rows(&mut connect(upstream));
    rows.into_iter().map(|row| row.0).collect()
}

/// What was written is in one of two upstreams, once, and what was refused in none.
pub(super) fn check(outcomes: &Outcomes, first: &BTreeSet<u64>, second: &BTreeSet<u64>) {
    assert!(first.is_disjoint(second), "nothing is done twice");
    for (key, code) in outcomes {
        let is_there = first.contains(key) || second.contains(key);
        match code {
            None => assert!(is_there, "{key} was acknowledged"),
            Some(115) => {}
            Some(code) => panic!("{key} was refused with {code}; there: {is_there}"),
        }
    }
    let all = first.len() + second.len();
    assert!(all <= outcomes.len(), "nobody has written anything else");
}

///
#[test]
fn a_planned_switch_costs_no_write_and_does_none_twice() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new()];
    let both = [0, 1].map(|at| start(&program, &directories[at]));
    set_read_only(&both[1], true);
    let server = patient_gateway(&directories[0], &[("a", &both[0]), ("b", &both[1])]);
    let load = Load::begin(&server);
    for turn in 0..number_from_env("VESTIBULE_TEST_SWITCHES").unwrap_or(SWITCHES) as usize {
        load.go_on(200);
        set_read_only(&both[turn % 2], true);
        load.stand(&server);
        set_read_only(&both[1 - turn % 2], false);
    }
    load.go_on(200);
    let outcomes = load.end();
    let told = outcomes.values().filter(|code| code.is_some()).count();
    assert_eq!(told, 0, "nothing was lost, so nothing is unknown");
    check(&outcomes, &keys_of(&both[0]), &keys_of(&both[1]));
}

#[test]
fn those_that_are_all_read_only_say_so_themselves() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new()];
    let both = [0, 1].map(|at| start(&program, &directories[at]));
    set_read_only(&both[1], true);
    let server = gateway(&directories[0], &[("a", &both[0]), ("b", &both[1])]);
    let mut peer = log_in(server.connect());
    assert_eq!(peer.ask(&insert(1)).code, 0);
    set_read_only(&both[0], true);
    let told = peer.ask(&insert(2));
    let direct = connect(&both[0]).ask(&insert(2));
    assert_eq!((told.code, told.body), (direct.code, direct.body));
    assert_eq!(rows(&mut peer), [(1, 1)]);
}

///
#[test]
fn a_crash_costs_no_write_but_those_that_may_have_happened() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new()];
    let [first, second] = [0, 1].map(|at| start(&program, &directories[at]));
    set_read_only(&second, true);
    let server = patient_gateway(&directories[0], &[("a", &first), ("b", &second)]);
    let load = Load::begin(&server);
    let mut both = [Some(first), Some(second)];
    let kills = number_from_env("VESTIBULE_TEST_KILLS").unwrap_or(KILLS);
    for turn in 0..kills as usize {
        load.go_on(200);
        let [own, other] = [turn % 2, 1 - turn % 2];
        let lost = both[own].take().expect("it takes changes");
        let address = lost.address.to_string();
        // SIGKILL.
        drop(lost);
        load.stand(&server);
        set_read_only(both[other].as_ref().expect("it is there"), false);
        load.go_on(200);
        // It takes changes at first, and nothing goes there.
        let back = start_at(&program, &directories[own], &address);
        set_read_only(&back, true);
        both[own] = Some(back);
    }
    let outcomes = load.end();
    let unknown = outcomes.values().filter(|code| code.is_some()).count() as u64;
    // A gateway that sent once more what was on its way would know of each in the end.
    assert!(
        (1..=kills * WRITERS * DEPTH).contains(&unknown),
        "{unknown}"
    );
    let [first, second] = both.map(|own| keys_of(&own.expect("it is there")));
    check(&outcomes, &first, &second);
}
