//! Clients that have set something in their sessions upstream, which counts for nobody else.

use std::time::Duration;

use vestibule_actors::Gateway;
use vestibule_actors::limits::{
    LINKS_PER_UPSTREAM_MAX, PINNED_LINKS_FEW, PINNED_LINKS_RESERVE, SESSION_SETTINGS_BYTES_MAX,
    SHARED_LINKS_RESERVE,
};
use vestibule_actors::monitoring::PinReason;
use vestibule_actors::testing::{Peer, RequestBuilder, TestServer, block_on};
use vestibule_actors::wire::keys::{self, RequestType};

use crate::upstream::{FakeUpstream, upstreams};
use crate::{DONE, eval, on_one_thread};

fn before(upstream: &FakeUpstream) -> TestServer<Gateway> {
    on_one_thread(upstreams(&[("a", upstream.address)]))
}

/// As connectors set something.
fn set(sync: u64, value: &str) -> RequestBuilder {
    RequestBuilder::new(RequestType::Update, sync)
        .uint(keys::SPACE_ID, 380)
        .pair(keys::KEY, &[0x91, 0xa1, b'x'])
        .text(keys::TUPLE, value)
}

/// Asks, and returns by which connection the upstream was asked.
fn ask(peer: &mut Peer, upstream: &FakeUpstream, request: &RequestBuilder) -> usize {
    peer.send(request);
    let asked = upstream.asked();
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    asked.connection
}

#[test]
fn who_sets_something_has_a_connection_of_its_own_from_then_on_that_is_closed_with_it() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut both = [(); 2].map(|()| server.connect());
    let [one, other] = &mut both;
    let shared = ask(one, &upstream, &eval(1, "return 1"));
    assert_eq!(ask(other, &upstream, &eval(1, "return 1")), shared);
    let own = ask(one, &upstream, &set(2, "on"));
    assert_ne!(own, shared);
    assert_eq!(ask(other, &upstream, &eval(2, "return 1")), shared);
    assert_eq!(ask(one, &upstream, &RequestBuilder::select(3, 1)), own);
    let sql = RequestBuilder::new(RequestType::Execute, 3);
    let by_sql = ask(
        other,
        &upstream,
        &sql.text(keys::SQL_TEXT, "set session \"x\" = 1"),
    );
    assert!(![own, shared].contains(&by_sql));
    assert_eq!(
        ask(&mut server.connect(), &upstream, &eval(1, "return 1")),
        shared
    );
    drop(both);
    server.wait_until("they are closed", || {
        upstream.has_ended(own) && upstream.has_ended(by_sql)
    });
    assert!(!upstream.has_ended(shared));
    assert!(upstream.try_asked().is_none(), "nothing was sent twice");
}

#[test]
fn what_was_set_is_set_where_its_requests_go_next_before_they_do() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    second.set_writable(false);
    let both = upstreams(&[("a", first.address), ("b", second.address)]);
    let server = on_one_thread(both.failover_hold(Duration::from_secs(60)));
    let mut peer = server.connect();
    for value in ["on", "off", "on"] {
        ask(&mut peer, &first, &set(1, value));
    }
    first.set_writable(false);
    second.set_writable(true);
    server.wait_until("it takes over", || server.handle().upstreams()[1].is_target);
    peer.send(&eval(2, "return 1"));
    let asked = [(); 3].map(|()| second.asked());
    let connection = asked[0].connection;
    assert!(asked.iter().all(|own| own.connection == connection));
    let update = RequestType::Update as u64;
    let types = [0, 1].map(|own: usize| asked[own].header.request_type);
    assert_eq!(types, [update; 2]);
    assert!(asked[0].body.ends_with(b"off") && asked[1].body.ends_with(b"on"));
    asked.iter().for_each(|own| own.reply(DONE));
    assert_eq!(peer.receive().sync, 2);
    assert_eq!(ask(&mut peer, &second, &set(3, "off")), connection);
}

#[test]
fn a_transaction_that_is_open_ends_where_it_was_begun_and_has_no_first_setting() {
    let upstream = FakeUpstream::of_version((2, 10, 0));
    let server = before(&upstream);
    let mut peer = server.connect();
    let of_stream = |request, sync| RequestBuilder::new(request, sync).stream(1);
    let shared = ask(&mut peer, &upstream, &of_stream(RequestType::Begin, 1));
    let told = peer.ask(&set(2, "on").stream(1));
    assert_eq!(told.error_code(), Some(5));
    let own = ask(&mut peer, &upstream, &set(3, "on"));
    assert_ne!(own, shared);
    let statement = RequestBuilder::replace(4, 1).stream(1);
    assert_eq!(ask(&mut peer, &upstream, &statement), shared);
    let commit = of_stream(RequestType::Commit, 5);
    assert_eq!(ask(&mut peer, &upstream, &commit), shared);
    let again = of_stream(RequestType::Begin, 6);
    assert_eq!(ask(&mut peer, &upstream, &again), own);
    assert_eq!(ask(&mut peer, &upstream, &set(7, "on").stream(1)), own);
}

#[test]
fn settings_that_there_is_no_room_for_are_refused() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut peer = server.connect();
    let large = "x".repeat(SESSION_SETTINGS_BYTES_MAX);
    assert_eq!(peer.ask(&set(1, &large)).error_code(), Some(2));
    ask(&mut peer, &upstream, &set(2, "on"));
}

#[test]
fn no_user_takes_all_places_and_those_who_share_have_some_as_well() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    let hold = Duration::from_millis(100);
    let server = on_one_thread(upstreams(&[("a", upstream.address)]).failover_hold(hold));
    let all = LINKS_PER_UPSTREAM_MAX - SHARED_LINKS_RESERVE;
    let most = all - PINNED_LINKS_RESERVE;
    let mut guests: Vec<_> = (0..most).map(|_| server.connect()).collect();
    for peer in &mut guests {
        ask(peer, &upstream, &set(1, "on"));
    }
    let refused = |peer: &mut Peer| {
        peer.send(&set(1, "on"));
        server.wind(Duration::from_secs(1));
        assert_eq!(peer.receive().error_code(), Some(116));
    };
    refused(&mut server.connect());
    let log_in = || {
        let mut peer = server.connect();
        assert_eq!(peer.log_in("alice", "secret").code, 0);
        peer
    };
    let mut of_alice: Vec<_> = (0..PINNED_LINKS_FEW).map(|_| log_in()).collect();
    for peer in &mut of_alice {
        ask(peer, &upstream, &set(1, "on"));
    }
    refused(&mut log_in());
    ask(&mut log_in(), &upstream, &eval(1, "return 1"));
    ask(&mut server.connect(), &upstream, &eval(1, "return 1"));
}

#[test]
fn pins_are_shown_with_why_and_where() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let (mut one, mut other) = (server.connect(), server.connect());
    ask(&mut one, &upstream, &set(1, "on"));
    ask(&mut other, &upstream, &eval(1, "return 1"));
    server.wind(Duration::from_secs(7));
    let handle = server.handle().clone();
    let rows = block_on(async move { handle.pins(100).await });
    let [own] = &rows[..] else {
        panic!("there is one: {rows:?}")
    };
    assert_eq!((&*own.user, own.upstream.as_deref()), ("guest", Some("a")));
    assert_eq!((own.reason, own.thread), (PinReason::Settings, 0));
    assert!(own.age.is_some_and(|age| age >= Duration::from_secs(7)));
    let body = other.show("pins").body;
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(
        body.contains("settings") && body.contains("connection"),
        "{body}"
    );
}
