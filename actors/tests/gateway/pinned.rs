//! Clients that have connections upstream of their own.

use std::time::Duration;

use vestibule_actors::limits::{
    HALF_CLOSED_TIMEOUT_DEFAULT, LINKS_PER_UPSTREAM_MAX, PINNED_LINKS_RESERVE,
};
use vestibule_actors::testing::{Peer, TestServer};
use vestibule_actors::wire::features::{Feature, Features};
use vestibule_actors::{Gateway, LinkMode};

use crate::upstream::{FakeUpstream, upstreams};
use crate::{DONE, eval, id_of, on_one_thread, pass};

fn before(upstream: &FakeUpstream) -> TestServer<Gateway> {
    let upstreams = upstreams(&[("a", upstream.address)]);
    on_one_thread(upstreams.mode(LinkMode::Pinned))
}

#[test]
fn each_client_has_a_connection_upstream_that_is_closed_with_it_and_never_anybody_elses() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut used = Vec::new();
    for _ in 0..3 {
        let mut both = [(); 2].map(|()| server.connect());
        let [one, other] = both.each_mut().map(|peer| {
            // All that it asks goes over one.
            let asked = [1, 2].map(|sync| {
                peer.send(&eval(sync, "return 1"));
                let asked = upstream.asked();
                asked.reply(DONE);
                assert_eq!(peer.receive().code, 0);
                asked.connection
            });
            assert_eq!(asked[0], asked[1]);
            asked[0]
        });
        assert_ne!(one, other);
        assert!(!used.contains(&one) && !used.contains(&other));
        used.extend([one, other]);
        drop(both);
        server.wait_until("they are closed", || {
            upstream.has_ended(one) && upstream.has_ended(other)
        });
    }
}

#[test]
fn a_client_that_goes_with_a_call_on_its_way_has_its_connection_closed_behind_that() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut peer = server.connect();
    peer.send(&eval(1, "sleep()"));
    let asked = upstream.asked();
    drop(peer);
    let mut other = server.connect();
    pass(&mut other, &upstream, &eval(1, "return 1"));
    asked.reply(DONE);
    server.wait_until("it is closed", || upstream.has_ended(asked.connection));
}

#[test]
fn another_user_has_another_connection_although_the_client_is_the_same() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    let server = before(&upstream);
    let mut peer = server.connect();
    peer.send(&eval(1, "return 1"));
    let guest = upstream.asked();
    guest.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    peer.send(&eval(2, "return 1"));
    let alice = upstream.asked();
    assert_eq!(alice.user, "alice");
    alice.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    server.wait_until("guest's is closed", || upstream.has_ended(guest.connection));
    assert!(!upstream.has_ended(alice.connection));
}

#[test]
fn there_are_as_many_as_there_may_be_and_who_comes_later_takes_nothing_from_them() {
    let upstream = FakeUpstream::start();
    let upstreams = upstreams(&[("a", upstream.address)]).mode(LinkMode::Pinned);
    let server = on_one_thread(upstreams.failover_hold(Duration::from_millis(100)));
    // What is left is for other users.
    let most = LINKS_PER_UPSTREAM_MAX - PINNED_LINKS_RESERVE;
    let mut peers: Vec<_> = (0..most).map(|_| server.connect()).collect();
    let mut connections = peers.iter_mut().map(|peer| {
        peer.send(&eval(1, "return 1"));
        let asked = upstream.asked();
        asked.reply(DONE);
        assert_eq!(peer.receive().code, 0);
        asked.connection
    });
    let last = connections.by_ref().last().expect("there are some");
    drop(connections);
    // Idle for long, and its session is kept all the same.
    server.wind(Duration::from_secs(600));
    let mut late = server.connect();
    late.send(&eval(1, "return 1"));
    server.wind(Duration::from_secs(1));
    assert_eq!(late.receive().error_code(), Some(116));
    peers.pop();
    server.wait_until("it is closed with its client", || upstream.has_ended(last));
    pass(&mut late, &upstream, &eval(2, "return 1"));
}

#[test]
fn a_connection_that_was_opened_for_what_was_held_is_closed_with_its_client_too() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    second.set_writable(false);
    let both = upstreams(&[("a", first.address), ("b", second.address)]);
    let hold = Duration::from_secs(60);
    let server = on_one_thread(both.mode(LinkMode::Pinned).failover_hold(hold));
    let mut peer = server.connect();
    peer.send(&eval(1, "return 1"));
    let asked = first.asked();
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    first.set_writable(false);
    server.wait_until("requests are held", || first.has_ended(asked.connection));
    peer.send(&eval(2, "return 1"));
    peer.ping();
    second.set_writable(true);
    let asked = second.asked();
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    drop(peer);
    server.wait_until("it is closed", || second.has_ended(asked.connection));
}

#[test]
fn for_what_was_held_of_a_client_that_is_gone_no_connection_is_opened() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    second.set_writable(false);
    let both = upstreams(&[("a", first.address), ("b", second.address)]);
    let hold = Duration::from_secs(600);
    let server = on_one_thread(both.mode(LinkMode::Pinned).failover_hold(hold));
    let mut peer = server.connect();
    pass(&mut peer, &first, &eval(1, "return 1"));
    first.set_writable(false);
    server.wait_until("requests are held", || {
        server.handle().upstreams()[0].links == 0
    });
    peer.send(&eval(2, "return 1"));
    peer.ping();
    drop(peer);
    // One that has closed its connection may read replies for a while.
    server.wind(HALF_CLOSED_TIMEOUT_DEFAULT);
    server.wait_until("it is gone", || {
        server.handle().metrics().client_connections == 0
    });
    let mut other = server.connect();
    second.set_writable(true);
    pass(&mut other, &second, &eval(3, "return 1"));
    assert!(second.try_asked().is_none());
    assert_eq!(server.handle().upstreams()[1].links, 1);
}

#[test]
fn a_client_that_changes_how_replies_are_written_has_two_connections_at_most() {
    let upstream = FakeUpstream::of_version((3, 0, 0));
    let upstreams = upstreams(&[("a", upstream.address)]).mode(LinkMode::Pinned);
    let server = on_one_thread(upstreams.failover_hold(Duration::from_secs(60)));
    let mut peer = server.connect();
    let tuples = Features::NONE.with(Feature::DmlTuples);
    let both = tuples.with(Feature::CallReturnsTuples);
    let ask = |peer: &mut Peer, sync, features| {
        assert_eq!(peer.ask(&id_of(features)).code, 0);
        peer.send(&eval(sync, "sleep()"));
        peer.ping();
    };
    ask(&mut peer, 1, Features::NONE);
    let first = upstream.asked();
    ask(&mut peer, 2, tuples);
    let second = upstream.asked();
    assert_ne!(first.connection, second.connection);
    ask(&mut peer, 3, both);
    // What comes behind it, of another client, goes.
    let mut other = server.connect();
    pass(&mut other, &upstream, &eval(4, "return 1"));
    assert_eq!(server.handle().upstreams()[0].links, 3);
    assert!(upstream.try_asked().is_none(), "it waits");
    first.reply(DONE);
    let third = upstream.asked();
    assert_eq!(third.features, both);
    assert_eq!(peer.receive().sync, 1);
    for (sync, asked) in [(3, third), (2, second)] {
        asked.reply(DONE);
        let told = peer.receive();
        assert_eq!((told.sync, told.code), (sync, 0));
    }
}
