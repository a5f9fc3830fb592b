//! What becomes of requests while upstreams change places.

use std::time::{Duration, Instant};

use vestibule_actors::limits::FAILOVER_BYTES_MAX;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Peer, RequestBuilder, TestServer};
use vestibule_actors::wire::keys::{self, RequestType};
use vestibule_actors::{Gateway, Upstreams};

use crate::upstream::{Asked, FakeUpstream, REFUSED, upstreams};
use crate::{DONE, all_calls, eval, on_one_thread, pass, serving};

/// Longer than any test takes.
const HOLD: Duration = Duration::from_secs(60);

/// The codes by which an upstream refuses what it would take otherwise.
const SIGNS: [u16; 3] = [7, 116, 279];

/// Two upstreams, of which the first takes changes, and a gateway before them.
fn two() -> (FakeUpstream, FakeUpstream, TestServer<Gateway>) {
    two_with(|own| own.failover_hold(HOLD))
}

fn two_with(
    change: impl FnOnce(Upstreams) -> Upstreams,
) -> (FakeUpstream, FakeUpstream, TestServer<Gateway>) {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    second.set_writable(false);
    let both = upstreams(&[("a", first.address), ("b", second.address)]);
    let server = on_one_thread(change(both));
    (first, second, server)
}

fn call(sync: u64, name: &str) -> RequestBuilder {
    RequestBuilder::new(RequestType::Call, sync)
        .text(keys::FUNCTION_NAME, name)
        .pair(keys::TUPLE, &[0x90])
}

/// An upstream is gone, after it took no changes any more: it is known that requests are held.
fn lose(server: &TestServer<Gateway>, upstream: FakeUpstream) {
    let mut peer = server.connect();
    peer.send(&eval(1, "return 1"));
    let asked = upstream.asked();
    asked.reply(DONE);
    peer.receive();
    upstream.set_writable(false);
    server.wait_until("the link is closed", || {
        upstream.has_ended(asked.connection)
    });
}

/// Answers what an upstream is asked next, and returns the bodies.
fn answer_all(upstream: &FakeUpstream, count: usize) -> Vec<Vec<u8>> {
    let asked: Vec<Asked> = (0..count).map(|_| upstream.asked()).collect();
    asked.iter().for_each(|own| own.reply(DONE));
    asked.into_iter().map(|own| own.body).collect()
}

fn codes(peer: &mut Peer, count: usize) -> Vec<(u64, Option<u16>)> {
    let told = (0..count).map(|_| peer.receive());
    let mut told: Vec<_> = told.map(|own| (own.sync, own.error_code())).collect();
    told.sort_unstable();
    told
}

#[test]
fn what_was_sent_when_the_upstream_goes_is_unknown_unless_it_only_reads() {
    let (first, _second, server) = two();
    let mut peer = server.connect();
    peer.send(&RequestBuilder::replace(1, 1));
    peer.send(&RequestBuilder::select(2, 1));
    peer.send(&call(3, "count"));
    let asked = first.asked();
    let select = first.asked();
    first.asked();
    first.end(asked.connection);
    // Only the link has ended: another one takes its place.
    let again = first.asked();
    assert_eq!((again.header.request_type, &again.body), (1, &select.body));
    again.reply(DONE);
    let mut told: Vec<_> = (0..3).map(|_| peer.receive()).collect();
    told.sort_by_key(|own| own.sync);
    assert_eq!((told[1].sync, &*told[1].body), (2, DONE));
    for own in [&told[0], &told[2]] {
        assert_eq!(own.error_code(), Some(115));
        assert!(own.error_mentions("unknown"), "{:?}", own.error_text());
    }
    assert!(first.try_asked().is_none());
    pass(&mut peer, &first, &eval(4, "return 1"));
}

/// A link ends before the thread that decides where requests go knows of it, which may be late.
#[test]
fn however_many_links_do_not_come_about_a_request_waits_for_the_time_of_the_hold() {
    let (first, _second, server) = two();
    let mut peer = server.connect();
    // Six links take longer than four, and less than what operators wait for.
    first.end_next(6);
    let before = first.connections();
    peer.send(&RequestBuilder::replace(1, 1));
    peer.send(&eval(2, "return 1"));
    assert_eq!(answer_all(&first, 2).len(), 2);
    assert_eq!(codes(&mut peer, 2), [(1, None), (2, None)]);
    assert_eq!(first.connections(), before + 7, "and one at a time");
}

#[test]
fn what_ends_each_link_that_sends_it_is_given_up() {
    let (first, _second, server) = two();
    let mut peer = server.connect();
    peer.send(&RequestBuilder::select(1, 1));
    for _ in 0..4 {
        let asked = first.asked();
        first.end(asked.connection);
    }
    assert_eq!(peer.receive().error_code(), Some(116));
    pass(&mut peer, &first, &eval(2, "return 1"));
}

#[test]
fn a_call_that_is_declared_harmless_is_sent_again() {
    let (first, second, server) = two_with(|own| {
        own.failover_hold(HOLD)
            .retry_calls(["count".to_owned()].into())
    });
    let mut peer = server.connect();
    peer.send(&call(1, "count"));
    peer.send(&call(2, "counts"));
    first.asked();
    first.asked();
    drop(first);
    second.set_writable(true);
    assert_eq!(answer_all(&second, 1).len(), 1);
    assert_eq!(codes(&mut peer, 2), [(1, None), (2, Some(115))]);
    assert!(second.try_asked().is_none());
}

#[test]
fn what_an_upstream_refuses_that_takes_no_changes_any_more_goes_to_the_next_one() {
    for code in SIGNS {
        let (first, second, server) = two();
        let mut peer = server.connect();
        (1..4).for_each(|key| peer.send(&RequestBuilder::replace(key, key)));
        peer.send(&eval(4, "return 1"));
        let asked: Vec<_> = (0..4).map(|_| first.asked()).collect();
        first.set_writable(false);
        second.set_writable(true);
        asked.iter().for_each(|own| own.fail(code, REFUSED));
        // It may come from the middle of a call.
        let again = if code == 7 { 3 } else { 4 };
        let bodies = answer_all(&second, again);
        assert!(bodies.iter().eq(asked[..again].iter().map(|own| &own.body)));
        let call = (code == 7).then_some(7);
        let expected = [(1, None), (2, None), (3, None), (4, call)];
        assert_eq!(codes(&mut peer, 4), expected, "{code}");
        assert!(first.try_asked().is_none() && second.try_asked().is_none());
    }
}

#[test]
fn a_refusal_of_an_upstream_that_takes_changes_all_the_same_is_its_answer() {
    let (first, second, server) = two();
    let mut peer = server.connect();
    for code in SIGNS {
        peer.send(&RequestBuilder::replace(1, 1));
        first.asked().fail(code, REFUSED);
        let told = peer.receive();
        assert_eq!((told.error_code(), &*told.body), (Some(code), REFUSED));
    }
    assert!(first.try_asked().is_none() && second.try_asked().is_none());
}

#[test]
fn requests_wait_while_upstreams_change_places() {
    let (first, second, server) = two();
    let mut peer = server.connect();
    lose(&server, first);
    let mut late = server.connect();
    peer.send(&RequestBuilder::replace(2, 1));
    late.send(&RequestBuilder::select(3, 1));
    late.send(&eval(4, "return 1"));
    peer.ping();
    late.ping();
    assert_eq!(server.handle().serving().state, State::Assist);
    second.set_writable(true);
    assert_eq!(answer_all(&second, 3).len(), 3);
    assert_eq!(codes(&mut peer, 1), [(2, None)]);
    assert_eq!(codes(&mut late, 2), [(3, None), (4, None)]);
    assert!(second.try_asked().is_none());
}

/// What is sent then comes behind what was sent before.
#[test]
fn one_that_takes_changes_again_is_asked_over_the_same_connection() {
    let (first, second, server) = two();
    first.set_password("alice", "secret");
    let (mut peer, mut alice) = (server.connect(), server.connect());
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    pass(&mut alice, &first, &eval(9, "return 1"));
    peer.send(&RequestBuilder::replace(1, 1));
    let before = first.asked();
    let connections = 0..first.connections();
    first.set_writable(false);
    server.wait_until(
        "a link that nobody uses is closed, for requests are held",
        || connections.clone().any(|own| first.has_ended(own)),
    );
    peer.send(&RequestBuilder::replace(2, 2));
    peer.ping();
    first.set_writable(true);
    let behind = first.asked();
    assert_eq!(behind.connection, before.connection);
    before.reply(DONE);
    behind.reply(DONE);
    assert_eq!(codes(&mut peer, 2), [(1, None), (2, None)]);
    assert!(second.try_asked().is_none());
}

#[test]
fn the_only_one_that_comes_back_in_time_is_waited_for() {
    let first = FakeUpstream::start();
    let server = serving(upstreams(&[("a", first.address)]).failover_hold(HOLD));
    let mut peer = server.connect();
    pass(&mut peer, &first, &eval(1, "return 1"));
    let address = first.address;
    drop(first);
    // It may have been sent before its end is seen.
    peer.send(&RequestBuilder::select(2, 1));
    peer.ping();
    let again = FakeUpstream::start_at(address);
    assert_eq!(answer_all(&again, 1).len(), 1);
    assert_eq!(codes(&mut peer, 1), [(2, None)]);
}

#[test]
fn when_nobody_takes_over_in_time_the_policy_decides() {
    let (first, second, server) = two();
    let mut peer = server.connect();
    lose(&server, first);
    peer.send(&RequestBuilder::replace(1, 1));
    peer.ping();
    assert_eq!(server.handle().serving().state, State::Assist);
    server.wind(HOLD);
    let told = peer.receive();
    assert_eq!(told.error_code(), Some(116));
    let text = told.error_text().unwrap();
    assert!(text.contains("b: read-only"), "{text}");
    assert_eq!(server.handle().serving().state, State::Solo);
    second.set_writable(true);
    server.wait_for(State::Assist);
    assert!(second.try_asked().is_none(), "it was refused");
    pass(&mut peer, &second, &eval(2, "return 1"));
}

#[test]
fn those_that_are_all_read_only_say_so_themselves_when_the_time_is_over() {
    let (first, second, server) = two_with(|own| own.failover_hold(Duration::from_millis(300)));
    let mut peer = server.connect();
    peer.send(&RequestBuilder::replace(1, 1));
    let asked = first.asked();
    first.set_writable(false);
    let refused = Instant::now();
    asked.fail(7, REFUSED);
    let again = first.asked();
    assert!(
        refused.elapsed() >= Duration::from_millis(300),
        "another one may take over"
    );
    again.fail(7, REFUSED);
    assert_eq!(peer.receive().error_code(), Some(7));
    assert!(second.try_asked().is_none());
}

#[test]
fn silence_is_not_held() {
    let (first, _second, server) = two();
    let mut peer = server.connect();
    first.set_silent(true);
    server.wait_for(State::Solo);
    let told = peer.ask(&eval(1, "return 1"));
    assert_eq!(told.error_code(), Some(116));
}

#[test]
fn without_a_time_nothing_is_held_or_sent_twice() {
    let (first, second, server) = two_with(|own| own.failover_hold(Duration::ZERO));
    let mut peer = server.connect();
    peer.send(&RequestBuilder::replace(1, 1));
    peer.send(&RequestBuilder::select(2, 1));
    let asked = first.asked();
    first.asked();
    asked.fail(7, REFUSED);
    assert_eq!(codes(&mut peer, 1), [(1, Some(7))]);
    first.end(asked.connection);
    assert_eq!(codes(&mut peer, 1), [(2, Some(116))]);
    drop(first);
    server.wait_for(State::Solo);
    assert!(second.try_asked().is_none());
}

#[test]
fn more_than_a_connection_may_have_under_way_waits_as_ever() {
    const COUNT: usize = 3000;
    let (first, second, server) = two();
    let mut peer = server.connect();
    lose(&server, first);
    (0..COUNT).for_each(|sync| peer.send(&eval(sync as u64, "return 1")));
    second.set_writable(true);
    (0..COUNT).for_each(|_| second.asked().reply(DONE));
    let told = codes(&mut peer, COUNT);
    assert!(told.iter().all(|(_, code)| code.is_none()));
}

#[test]
fn what_there_is_no_room_for_is_told_at_once() {
    const SIZE: usize = FAILOVER_BYTES_MAX / 5;
    let (first, second, server) = two();
    let mut peers: Vec<_> = (0..5).map(|_| server.connect()).collect();
    lose(&server, first);
    let (last, others) = peers.split_last_mut().unwrap();
    for peer in &mut *others {
        peer.send(&RequestBuilder::replace_large(7, 1, SIZE as u32));
        peer.ping();
    }
    last.send(&RequestBuilder::replace_large(7, 1, SIZE as u32));
    assert_eq!(codes(last, 1), [(7, Some(116))]);
    second.set_writable(true);
    assert_eq!(answer_all(&second, others.len()).len(), others.len());
    for peer in others {
        assert_eq!(codes(peer, 1), [(7, None)]);
    }
}

#[test]
fn what_waits_for_an_upstream_goes_to_the_one_that_takes_changes() {
    let (first, second, server) = two();
    let (_peers, asked) = all_calls(&server, &first);
    let mut peer = server.connect();
    peer.send(&eval(1, "return 1"));
    first.set_writable(false);
    second.set_writable(true);
    assert_eq!(answer_all(&second, 1).len(), 1);
    assert_eq!(codes(&mut peer, 1), [(1, None)]);
    asked.iter().for_each(|own| own.reply(DONE));
    let connection = asked[0].connection;
    server.wait_until("the link is closed", || first.has_ended(connection));
    assert!(first.try_asked().is_none(), "it may take changes still");
}

#[test]
fn a_request_goes_as_the_user_who_sent_it_whoever_logs_in_meanwhile() {
    let (first, second, server) = two();
    for upstream in [&first, &second] {
        upstream.set_password("alice", "secret");
        upstream.set_password("bob", "secret");
    }
    let mut peer = server.connect();
    for name in ["bob", "alice"] {
        assert_eq!(peer.log_in(name, "secret").code, 0);
    }
    lose(&server, first);
    peer.send(&eval(1, "return 1"));
    peer.ping();
    assert_eq!(peer.log_in("bob", "secret").code, 0, "he is known");
    peer.send(&eval(2, "return 1"));
    second.set_writable(true);
    let mut asked = [second.asked(), second.asked()].map(|own| {
        own.reply(DONE);
        own.user
    });
    asked.sort();
    assert_eq!(asked, ["alice", "bob"]);
    assert_eq!(codes(&mut peer, 2), [(1, None), (2, None)]);
}

#[test]
fn who_knows_another_catalog_is_told_so_by_whoever_takes_over() {
    let (first, second, server) = two();
    second.set_schema_version(40);
    let mut peer = server.connect();
    pass(&mut peer, &first, &eval(1, "return 1"));
    lose(&server, first);
    peer.send(&eval(2, "return 1").schema_version(80));
    peer.ping();
    second.set_writable(true);
    assert_eq!(codes(&mut peer, 1), [(2, Some(109))]);
}
