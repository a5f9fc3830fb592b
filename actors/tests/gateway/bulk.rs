//! The second connection of a user, for bulk: who sends or is sent much goes over it, and others do
//! not wait behind that.

use std::time::{Duration, Instant};

use vestibule_actors::Gateway;
use vestibule_actors::limits::{BULK_BYTES_MIN, LINKS_BEFORE_BULK_MAX};
use vestibule_actors::monitoring::{LinkInfo, LinkState};
use vestibule_actors::testing::{Peer, RequestBuilder, TestServer, block_on};
use vestibule_actors::wire::keys::RequestType;

use crate::pins::set;
use crate::upstream::{Asked, FakeUpstream, PATIENCE, upstreams};
use crate::{DONE, ask, eval, on_one_thread};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);

fn before(upstream: &FakeUpstream, bulk_for: Duration) -> TestServer<Gateway> {
    on_one_thread(upstreams(&[("a", upstream.address)]).bulk_for(bulk_for))
}

/// A reply that is just large.
fn large_body() -> Vec<u8> {
    body_of(BULK_BYTES_MIN)
}

fn body_of(size: usize) -> Vec<u8> {
    let head = [0x81, 0x30, 0x91, 0xdb];
    let length = size - head.len() - 4;
    [&head, &(length as u32).to_be_bytes()[..], &vec![7; length]].concat()
}

fn links(server: &TestServer<Gateway>) -> Vec<LinkInfo> {
    let handle = server.handle().clone();
    block_on(async move { handle.links(100).await })
}

fn is_ready(own: &LinkInfo) -> bool {
    own.is_bulk && own.state == LinkState::Ready
}

/// Waits until there is a connection for bulk that is ready to be used.
fn wait_for_bulk(server: &TestServer<Gateway>) {
    server.wait_until("there is one for bulk", || {
        links(server).iter().any(is_ready)
    });
}

/// A client is told something large over the connection that it has, which is returned.
fn be_told(peer: &mut Peer, upstream: &FakeUpstream, body: &[u8]) -> usize {
    peer.send(&eval(1, "return large()"));
    let asked = upstream.asked();
    asked.reply(body);
    assert!(peer.receive().body == body);
    asked.connection
}

fn answer(peer: &mut Peer, asked: &Asked) {
    asked.reply(DONE);
    assert_eq!(&*peer.receive().body, DONE);
}

#[test]
fn small_requests_are_answered_while_a_large_reply_to_another_client_of_their_user_is_on_its_way() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream, LONG);
    let [mut large, mut small] = [(); 2].map(|()| server.connect());
    let first = be_told(&mut large, &upstream, &large_body());
    wait_for_bulk(&server);
    large.send(&eval(2, "return large()"));
    let asked = upstream.asked();
    let for_bulk = asked.connection;
    assert_ne!(for_bulk, first);
    let body = body_of(16 << 20);
    let go_on = asked.reply_in_parts(&body);
    for sync in 1..100 {
        let request = RequestBuilder::select(sync, 1);
        assert_eq!(ask(&mut small, &upstream, &request), first);
    }
    go_on();
    let told = large.receive();
    assert!(told.sync == 2 && told.body == body);
    // Of the one that is sent much, all goes over it.
    let request = RequestBuilder::select(3, 1);
    assert_eq!(ask(&mut large, &upstream, &request), for_bulk);
    let mut rows = links(&server);
    rows.sort_by_key(|own| own.is_bulk);
    let are_bulk: Vec<_> = rows.iter().map(|own| own.is_bulk).collect();
    assert_eq!(are_bulk, [false, true]);
    assert_eq!(server.handle().upstreams()[0].bulk_moves, 1);
    let told = server.connect().call_with("vestibule.show", &("links",));
    assert!(told.body.windows(7).any(|own| own == b"is_bulk"));
}

#[test]
fn a_reply_that_is_not_large_enough_changes_nothing() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream, LONG);
    let mut peer = server.connect();
    let body = body_of(BULK_BYTES_MIN - 1);
    let first = be_told(&mut peer, &upstream, &body);
    assert_eq!(be_told(&mut peer, &upstream, &body), first);
    assert_eq!(links(&server).len(), 1);
}

#[test]
fn without_a_time_for_it_there_is_no_second_connection() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream, Duration::ZERO);
    let mut peer = server.connect();
    let first = be_told(&mut peer, &upstream, &large_body());
    let large = RequestBuilder::replace_large(2, 1, BULK_BYTES_MIN as u32);
    assert_eq!(ask(&mut peer, &upstream, &large), first);
    assert_eq!(ask(&mut peer, &upstream, &eval(3, "return 1")), first);
    assert_eq!(links(&server).len(), 1);
}

#[test]
fn a_client_changes_its_connection_only_when_nothing_of_it_is_under_way() {
    let upstream = FakeUpstream::of_version((2, 10, 0));
    let server = before(&upstream, LONG);
    let mut peer = server.connect();
    let in_stream = |request| RequestBuilder::new(request, 1).stream(7);
    let first = ask(&mut peer, &upstream, &in_stream(RequestType::Begin));
    peer.send(&eval(2, "sleep()"));
    let sleeping = upstream.asked();
    assert_eq!(be_told(&mut peer, &upstream, &large_body()), first);
    wait_for_bulk(&server);
    // Something is on its way, and a transaction is open.
    assert_eq!(ask(&mut peer, &upstream, &eval(3, "return 1")), first);
    answer(&mut peer, &sleeping);
    // It is open still, and its statements belong to it.
    assert_eq!(ask(&mut peer, &upstream, &eval(4, "return 1")), first);
    let write = RequestBuilder::replace(5, 1).stream(7);
    assert_eq!(ask(&mut peer, &upstream, &write), first);
    assert_eq!(
        ask(&mut peer, &upstream, &in_stream(RequestType::Commit)),
        first
    );
    let second = ask(&mut peer, &upstream, &in_stream(RequestType::Begin));
    assert_ne!(second, first);
    assert_eq!(ask(&mut peer, &upstream, &write), second);
    assert_eq!(
        ask(&mut peer, &upstream, &in_stream(RequestType::Commit)),
        second
    );
}

#[test]
fn a_large_request_goes_over_the_connection_for_bulk_at_once_if_there_is_one() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream, LONG);
    let [mut one, mut other] = [(); 2].map(|()| server.connect());
    let large = RequestBuilder::replace_large(2, 1, BULK_BYTES_MIN as u32);
    let first = ask(&mut one, &upstream, &large);
    wait_for_bulk(&server);
    assert_eq!(ask(&mut other, &upstream, &eval(1, "return 1")), first);
    let second = ask(&mut other, &upstream, &large);
    assert_ne!(second, first);
    assert_eq!(ask(&mut one, &upstream, &eval(3, "return 1")), second);
}

#[test]
fn who_asks_for_nothing_large_any_more_comes_back_to_the_connection_of_all() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream, Duration::from_secs(1));
    let mut peer = server.connect();
    let first = be_told(&mut peer, &upstream, &large_body());
    let began = Instant::now();
    // On a busy machine a second is over before it has asked again.
    while be_told(&mut peer, &upstream, &large_body()) == first {
        assert!(began.elapsed() < PATIENCE, "it goes over the one for bulk");
    }
    let began = Instant::now();
    while ask(&mut peer, &upstream, &eval(2, "return 1")) != first {
        assert!(began.elapsed() < PATIENCE, "it comes back");
    }
    assert_eq!(ask(&mut peer, &upstream, &eval(3, "return 1")), first);
}

/// One that is lost is opened again, and what is asked meanwhile goes over the one of all.
#[test]
fn where_the_connection_for_bulk_is_lost_its_clients_go_over_the_other_one() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream, LONG);
    let mut peer = server.connect();
    let first = be_told(&mut peer, &upstream, &large_body());
    wait_for_bulk(&server);
    peer.send(&RequestBuilder::select(1, 1));
    let asked = upstream.asked();
    let second = asked.connection;
    assert_ne!(second, first);
    upstream.end(second);
    let again = upstream.asked();
    assert_eq!(again.connection, first);
    answer(&mut peer, &again);
    wait_for_bulk(&server);
    let third = ask(&mut peer, &upstream, &RequestBuilder::select(2, 1));
    assert!(![first, second].contains(&third));
}

#[test]
fn where_there_are_many_connections_none_is_opened_for_bulk() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream, LONG);
    let mut peer = server.connect();
    let mut others: Vec<_> = (1..LINKS_BEFORE_BULK_MAX)
        .map(|_| server.connect())
        .collect();
    for other in &mut others {
        ask(other, &upstream, &set(1, "on"));
    }
    let first = be_told(&mut peer, &upstream, &large_body());
    assert_eq!(ask(&mut peer, &upstream, &eval(1, "return 1")), first);
    assert_eq!(links(&server).len(), LINKS_BEFORE_BULK_MAX);
    drop(others.pop());
    server.wait_until("one is closed", || {
        links(&server).len() < LINKS_BEFORE_BULK_MAX
    });
    // It is opened now, for what is asked later.
    assert_eq!(ask(&mut peer, &upstream, &eval(2, "return 1")), first);
    wait_for_bulk(&server);
    assert_ne!(ask(&mut peer, &upstream, &eval(3, "return 1")), first);
}
