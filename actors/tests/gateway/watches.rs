//! Events of upstreams: those that say how they are, and those that clients watch.

use std::time::Duration;

use vestibule_actors::Gateway;
use vestibule_actors::monitoring::UpstreamState;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Peer, RequestBuilder, TestServer};
use vestibule_actors::wire::features::Feature;
use vestibule_actors::wire::msgpack::{write_bool, write_map_len, write_str};

use crate::upstream::{FakeUpstream, upstreams};
use crate::{DONE, before, eval, features, id_request, pass, serving};

/// So long that nothing is found out by it.
const NEVER: Duration = Duration::from_secs(3600);

fn of_3_0() -> FakeUpstream {
    FakeUpstream::of_version((3, 0, 0))
}

fn status(is_read_only: bool) -> Vec<u8> {
    let mut value = Vec::new();
    write_map_len(&mut value, 1);
    write_str(&mut value, "is_ro");
    write_bool(&mut value, is_read_only);
    value
}

/// The next event of a client, which is of this key.
fn told(peer: &mut Peer, key: &str) -> Option<Vec<u8>> {
    let (own, value) = peer.receive().event().expect("an event");
    assert_eq!(own, key);
    value
}

#[test]
fn what_many_clients_watch_is_watched_once_and_told_to_all() {
    let upstream = of_3_0();
    let server = before(&upstream);
    let can = features(&server.connect().ask(&id_request()));
    assert!(can.has(Feature::Watchers) && can.has(Feature::WatchOnce));
    upstream.set_event("jobs", &[7]);
    let mut peers: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for peer in &mut peers {
        peer.send(&RequestBuilder::watch(5, "jobs"));
        assert_eq!(told(peer, "jobs"), Some(vec![7]));
        peer.send(&RequestBuilder::watch(6, "jobs"));
        // It is taken before the next value comes.
        peer.ping();
    }
    assert_eq!(upstream.watchers("jobs"), 1);
    upstream.set_event("jobs", &[8]);
    for peer in &mut peers {
        assert_eq!(told(peer, "jobs"), Some(vec![8]));
    }
    let last = peers.pop().expect("there are some");
    drop(peers);
    assert_eq!(upstream.watchers("jobs"), 1);
    drop(last);
    server.wait_until("it is not watched any more", || {
        upstream.watchers("jobs") == 0
    });
    // What comes next is not told from memory.
    upstream.set_event("jobs", &[9]);
    let mut peer = server.connect();
    peer.send(&RequestBuilder::watch(1, "jobs"));
    assert_eq!(told(&mut peer, "jobs"), Some(vec![9]));
    peer.send(&RequestBuilder::watch(2, "nothing"));
    assert_eq!(told(&mut peer, "nothing"), None, "as the upstream says");
    peer.send(&RequestBuilder::unwatch("nothing"));
    server.wait_until("one is left", || {
        upstream.watchers("nothing") == 0 && upstream.watchers("jobs") == 1
    });
}

#[test]
fn clients_are_told_what_the_next_upstream_says() {
    let (first, second) = (of_3_0(), of_3_0());
    second.set_writable(false);
    first.set_event("jobs", &[1]);
    second.set_event("jobs", &[2]);
    let server = serving(upstreams(&[("a", first.address), ("b", second.address)]));
    let mut peer = server.connect();
    peer.send(&RequestBuilder::watch(1, "jobs"));
    assert_eq!(told(&mut peer, "jobs"), Some(vec![1]));
    assert_eq!(second.watchers("jobs"), 0);
    peer.send(&RequestBuilder::watch(2, "jobs"));
    first.set_writable(false);
    second.set_writable(true);
    assert_eq!(told(&mut peer, "jobs"), Some(vec![2]));
    server.wait_until("the other one is left", || first.watchers("jobs") == 0);
}

#[test]
fn an_event_is_told_once_by_the_upstream() {
    let upstream = of_3_0();
    let server = before(&upstream);
    let mut peer = server.connect();
    pass(&mut peer, &upstream, &RequestBuilder::watch_once(1, "jobs"));
    let own = peer.ask(&RequestBuilder::watch_once(2, "box.status"));
    assert_eq!(own.code, 0, "the gateway has its own");
    assert!(upstream.try_asked().is_none());
    let older = FakeUpstream::of_version((2, 11, 0));
    let server = before(&older);
    let told = server.connect().ask(&RequestBuilder::watch_once(1, "jobs"));
    assert_eq!(told.error_code(), Some(48));
}

fn two_that_are_not_probed(first: &FakeUpstream, second: &FakeUpstream) -> TestServer<Gateway> {
    for (upstream, is_writable) in [(first, true), (second, false)] {
        upstream.set_writable(is_writable);
        upstream.set_event("box.status", &status(!is_writable));
    }
    let all = upstreams(&[("a", first.address), ("b", second.address)]);
    let server = TestServer::before(all.probe_interval(NEVER));
    server.wait_for(State::Assist);
    server.wait_until("both are known", || {
        [first, second]
            .iter()
            .all(|own| own.watchers("box.status") == 1)
    });
    pass(&mut server.connect(), first, &eval(1, "return 1"));
    server
}

#[test]
fn who_takes_changes_is_known_by_box_status_before_the_next_probe() {
    let (first, second) = (of_3_0(), of_3_0());
    let server = two_that_are_not_probed(&first, &second);
    let mut peer = server.connect();
    peer.send(&RequestBuilder::watch(1, "box.status"));
    assert_eq!(
        peer.receive().event().map(|own| own.0).as_deref(),
        Some("box.status")
    );
    first.set_writable(false);
    first.set_event("box.status", &status(true));
    second.set_writable(true);
    second.set_event("box.status", &status(false));
    crate::goes_to(&server, &second, &first);
}

#[test]
fn requests_leave_an_upstream_that_is_about_to_stop() {
    let (first, second) = (of_3_0(), of_3_0());
    let server = two_that_are_not_probed(&first, &second);
    second.set_writable(true);
    second.set_event("box.status", &status(false));
    first.set_event("box.shutdown", &[0xc3]);
    crate::goes_to(&server, &second, &first);
}

#[test]
fn code_of_an_upstream_declares_solo_before_it_blocks_and_takes_that_back() {
    let upstream = of_3_0();
    let server = before(&upstream);
    let mut peer = server.connect();
    server.wait_until("it is watched", || upstream.watchers("vestibule.solo") == 1);
    let mut reason = Vec::new();
    write_map_len(&mut reason, 1);
    write_str(&mut reason, "reason");
    write_str(&mut reason, "an index is built");
    upstream.set_event("vestibule.solo", &reason);
    server.wait_for(State::Solo);
    let refused = peer.ask(&eval(1, "return 1"));
    assert_eq!(refused.error_code(), Some(116));
    assert!(
        refused.error_mentions("a: an index is built"),
        "{:?}",
        refused.error_text()
    );
    peer.ping();
    // It blocks, as it has said: that is the reason still.
    upstream.set_silent(true);
    server.wait_until("that is seen", || {
        server.handle().upstreams()[0].state == UpstreamState::Silent
    });
    let refused = peer.ask(&eval(2, "return 1"));
    assert!(
        refused.error_mentions("a: an index is built"),
        "{:?}",
        refused.error_text()
    );
    upstream.set_silent(false);
    upstream.set_event("vestibule.solo", &[0xc2]);
    server.wait_for(State::Assist);
    pass(&mut peer, &upstream, &eval(3, "return 1"));
    // Clients watch it as any other.
    peer.send(&RequestBuilder::watch(4, "vestibule.solo"));
    assert_eq!(told(&mut peer, "vestibule.solo"), Some(vec![0xc2]));
    peer.send(&RequestBuilder::unwatch("vestibule.solo"));
    peer.ping();
    upstream.set_event("vestibule.solo", &[0xc3]);
    server.wait_for(State::Solo);
}

#[test]
fn clients_are_told_whether_the_upstream_takes_changes() {
    let upstream = of_3_0();
    let server = before(&upstream);
    let mut peer = server.connect();
    let is_read_only = |value: Option<Vec<u8>>| {
        let value = value.expect("it has a value");
        value.windows(7).any(|own| own == b"\xa5is_ro\xc3")
    };
    peer.send(&RequestBuilder::watch(1, "box.status"));
    assert!(!is_read_only(told(&mut peer, "box.status")));
    peer.send(&RequestBuilder::watch(1, "box.status"));
    upstream.set_writable(false);
    assert!(is_read_only(told(&mut peer, "box.status")));
    let answer = peer.ask(&RequestBuilder::watch_once(2, "box.id"));
    assert_ne!(&*answer.body, DONE);
}
