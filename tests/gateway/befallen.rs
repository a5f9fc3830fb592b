//! What befalls real upstreams: they hang and wake, compute, restart one after another, wait for
//! others, and have more calls than they can answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};

use super::failover::{Load, check, insert, keys_of};
use super::support::tarantool::Tarantool;
use super::support::{Directory, tarantool};
use super::{connect, eval, gateway, log_in, set_read_only, start, start_at, wait_for};

fn connection_count(upstream: &Tarantool) -> u64 {
    let count = eval("return box.stat.net().CONNECTIONS.current");
    connect(upstream).ask(&count).value()
}

/// one that hangs is given up, and when it wakes and says still that it takes changes, nothing
/// that was sent since goes there.
#[test]
fn one_that_hangs_and_wakes_is_not_written_to_beside_the_one_that_took_over() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new()];
    let [first, second] = [0, 1].map(|at| start(&program, &directories[at]));
    set_read_only(&second, true);
    let server = gateway(&directories[0], &[("a", &first), ("b", &second)]);
    let mut peer = log_in(server.connect());
    assert_eq!(peer.ask(&insert(1)).code, 0);
    first.process.signal("STOP");
    wait_for(&server, "solo");
    set_read_only(&second, false);
    wait_for(&server, "assist");
    for key in 100..200 {
        assert_eq!(peer.ask(&insert(key)).code, 0);
    }
    first.process.signal("CONT");
    // It answers, so its scout hears it by now, or soon.
    assert!(keys_of(&first).contains(&1));
    for key in 200..2000 {
        assert_eq!(peer.ask(&insert(key)).code, 0);
    }
    assert_eq!(keys_of(&first).into_iter().collect::<Vec<_>>(), [1]);
    assert_eq!(keys_of(&second).len(), 1900);
}

/// R-4, GW-15: clients that come again and again while the upstream computes are told, and none of
/// them reaches it.
#[test]
fn while_an_upstream_computes_clients_are_told_and_it_has_no_more_connections() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let server = gateway(&directory, &[("a", &upstream)]);
    let mut peer = log_in(server.connect());
    assert_eq!(peer.ask(&insert(1)).code, 0);
    let before = connection_count(&upstream);
    let mut blocker = connect(&upstream);
    blocker.send(&eval(
        "local clock = require('clock') local ends = clock.time() + 3 \
         while clock.time() < ends do end",
    ));
    wait_for(&server, "solo");
    for _ in 0..400 {
        let mut late = log_in(server.connect());
        let told = late.ask(&insert(2));
        // It may have come to its end meanwhile.
        assert!([None, Some(116), Some(3)].contains(&told.error_code()));
    }
    assert_eq!(blocker.receive().code, 0);
    wait_for(&server, "assist");
    assert_eq!(peer.ask(&insert(3)).code, 0);
    // The one that asks is one, and was then; that of the blocker is another.
    assert_eq!(connection_count(&upstream), before + 1);
}

/// R-5, GW-06: each is restarted once, and those who write do not notice.
#[test]
fn a_rolling_restart_costs_no_write() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new(), Directory::new()];
    let mut all = [0, 1, 2].map(|at| Some(start(&program, &directories[at])));
    let of = |own: &Option<Tarantool>| own.as_ref().map(|own| own.address.clone()).unwrap();
    let addresses = [0, 1, 2].map(|at| of(&all[at]));
    let upstream = |all: &[Option<Tarantool>; 3], at: usize, is_read_only| {
        set_read_only(all[at].as_ref().unwrap(), is_read_only);
    };
    upstream(&all, 1, true);
    upstream(&all, 2, true);
    let server = {
        let named = ["a", "b", "c"].iter().zip(&all);
        let named: Vec<_> = named
            .map(|(name, own)| (*name, own.as_ref().unwrap()))
            .collect();
        gateway(&directories[0], &named)
    };
    let load = Load::begin(&server);
    for at in 0..3 {
        load.go_on(300);
        upstream(&all, at, true);
        load.stand(&server);
        upstream(&all, (at + 1) % 3, false);
        load.go_on(300);
        all[at] = None;
        all[at] = Some(start_at(
            &program,
            &directories[at],
            &addresses[at].to_string(),
        ));
        // It starts as one that takes changes: its operator has that otherwise.
        upstream(&all, at, true);
    }
    load.go_on(300);
    let outcomes = load.end();
    assert!(
        outcomes.values().all(Option::is_none),
        "nobody is told of it"
    );
    let [first, second, third] = all.each_ref().map(|own| keys_of(own.as_ref().unwrap()));
    assert!(first.is_disjoint(&third), "nothing is done twice");
    check(&outcomes, &(&first | &third), &second);
}

/// who waits for the others of its set says by its ballot that it takes changes, before 2.7.3,
/// and by `box.info` that it takes none.
#[test]
fn an_orphan_is_not_written_to() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new()];
    let [first, second] = [0, 1].map(|at| start(&program, &directories[at]));
    let mut admin = connect(&first);
    // Nobody is there: it is an orphan as soon as it looks.
    let alone = "box.cfg{replication_connect_timeout = 0.1, replication_connect_quorum = 2, \
                 replication = {'127.0.0.1:1', '127.0.0.1:2'}} return box.info.status";
    assert_eq!(admin.ask(&eval(alone)).value::<String>(), "orphan");
    let server = gateway(&directories[0], &[("a", &first), ("b", &second)]);
    wait_for(&server, "assist");
    let mut peer = log_in(server.connect());
    for key in 0..100 {
        assert_eq!(peer.ask(&insert(key)).code, 0);
    }
    assert_eq!((keys_of(&first).len(), keys_of(&second).len()), (0, 100));
}

/// GW-12: more calls than an instance reads requests wait in the gateway, and pass nobody's reads.
#[test]
fn calls_that_sleep_leave_room_for_others() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let server = gateway(&directory, &[("a", &upstream)]);
    let is_over = AtomicBool::new(false);
    let mut sleepers = log_in(server.connect());
    let sleep = RequestBuilder::new(RequestType::Eval, 7)
        .text(
            keys::EXPR,
            "while not rawget(_G, 'is_over') do require('fiber').sleep(0.01) end",
        )
        .pair(keys::TUPLE, &[0x90]);
    // Of these 384 sleep at a time.
    sleepers.send_bytes(&[&sleep.bytes()[..]; 1000].concat());
    thread::scope(|scope| {
        let reads = scope.spawn(|| read(log_in(server.connect()), &is_over));
        let mut peer = log_in(server.connect());
        for key in 0..200 {
            assert_eq!(peer.ask(&insert(key)).code, 0);
        }
        is_over.store(true, Ordering::SeqCst);
        assert!(reads.join().expect("all are answered") > 0);
    });
    assert_eq!(
        connect(&upstream)
            .ask(&eval("rawset(_G, 'is_over', true)"))
            .code,
        0
    );
    for _ in 0..1000 {
        assert_eq!(sleepers.receive().code, 0);
    }
}

fn read(mut peer: Peer, is_over: &AtomicBool) -> usize {
    let mut count = 0;
    while !is_over.load(Ordering::SeqCst) || count == 0 {
        assert_eq!(peer.ask(&RequestBuilder::select(1, 1)).code, 0);
        count += 1;
    }
    count
}
