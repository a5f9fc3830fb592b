//! Clients that have set something in their sessions upstream, which counts for nobody else.

use std::time::Duration;

use vestibule_actors::Gateway;
use vestibule_actors::limits::{
    LINKS_PER_UPSTREAM_MAX, PINNED_LINKS_FEW, PINNED_LINKS_RESERVE, SESSION_SETTINGS_BYTES_MAX,
    SESSION_SETTINGS_MAX, SHARED_LINKS_RESERVE,
};
use vestibule_actors::monitoring::PinReason;
use vestibule_actors::testing::{Peer, RequestBuilder, TestServer, block_on};
use vestibule_actors::wire::keys::{self, RequestType};

use crate::upstream::{FakeUpstream, REFUSED, upstreams};
use crate::{DONE, ask, before_both, eval, on_one_thread, pass};

fn before(upstream: &FakeUpstream) -> TestServer<Gateway> {
    on_one_thread(upstreams(&[("a", upstream.address)]))
}

/// Longer than any test takes.
const HOLD: Duration = Duration::from_secs(60);

/// How many connections of their own clients of one user have at most.
const MOST: usize = LINKS_PER_UPSTREAM_MAX - SHARED_LINKS_RESERVE - PINNED_LINKS_RESERVE;

/// As connectors set something.
pub(crate) fn set(sync: u64, value: &str) -> RequestBuilder {
    RequestBuilder::new(RequestType::Update, sync)
        .uint(keys::SPACE_ID, 380)
        .pair(keys::KEY, &[0x91, 0xa1, b'x'])
        .text(keys::TUPLE, value)
}

/// As `box.space._session_settings:update` sets something.
fn set_to(sync: u64, name: &str, value: u8) -> RequestBuilder {
    let key = [&[0x91, 0xa0 | name.len() as u8], name.as_bytes()].concat();
    RequestBuilder::new(RequestType::Update, sync)
        .uint(keys::SPACE_ID, 380)
        .pair(keys::KEY, &key)
        .pair(keys::TUPLE, &[0x91, 0x93, 0xa1, b'=', 1, value])
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
    let server = before_both(&first, &second);
    let mut peer = server.connect();
    for value in ["on", "off", "on"] {
        ask(&mut peer, &first, &set(1, value));
    }
    first.set_writable(false);
    second.set_writable(true);
    server.wait_until("it takes over", || server.handle().upstreams()[1].is_target);
    peer.send(&eval(2, "return 1"));
    let asked = [(); 2].map(|()| second.asked());
    let connection = asked[0].connection;
    let update = RequestType::Update as u64;
    let types = [0, 1].map(|own: usize| asked[own].header.request_type);
    assert_eq!(types, [update; 2]);
    assert!(asked[0].body.ends_with(b"off") && asked[1].body.ends_with(b"on"));
    asked.iter().for_each(|own| own.reply(DONE));
    let behind = second.asked();
    assert_eq!(behind.header.request_type, RequestType::Eval as u64);
    assert!(asked.iter().all(|own| own.connection == behind.connection));
    behind.reply(DONE);
    assert_eq!(peer.receive().sync, 2);
    assert_eq!(ask(&mut peer, &second, &set(3, "off")), connection);
}

#[test]
fn who_has_set_what_is_refused_later_is_the_only_one_who_waits_for_another_connection() {
    let upstream = FakeUpstream::start();
    let one = upstreams(&[("a", upstream.address)]);
    // Who would wait is told so at once.
    let server = on_one_thread(one.failover_hold(Duration::ZERO));
    let mut peer = server.connect();
    let own = ask(&mut peer, &upstream, &set(1, "on"));
    upstream.end(own);
    server.wait_until("it has ended", || server.handle().upstreams()[0].links == 0);
    peer.send(&eval(2, "return 1"));
    let again = upstream.asked();
    assert_eq!(again.header.request_type, RequestType::Update as u64);
    again.fail(116, REFUSED);
    assert_eq!(peer.receive().error_code(), Some(116));
    pass(&mut server.connect(), &upstream, &eval(1, "return 1"));
}

#[test]
fn what_was_refused_is_not_set_again_and_of_each_name_the_last_value_is() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    let server = before_both(&first, &second);
    let mut peer = server.connect();
    for (name, value) in [("a", 1), ("b", 1), ("a", 2)] {
        ask(&mut peer, &first, &set_to(1, name, value));
    }
    for (name, value) in [("a", 3), ("c", 1)] {
        peer.send(&set_to(2, name, value));
        first.asked().fail(1, REFUSED);
        assert_eq!(peer.receive().error_code(), Some(1));
    }
    first.set_writable(false);
    second.set_writable(true);
    server.wait_until("it takes over", || server.handle().upstreams()[1].is_target);
    peer.send(&eval(3, "return 1"));
    let asked = [(); 2].map(|()| second.asked());
    let expected = [set_to(1, "b", 1), set_to(1, "a", 2)].map(|own| own.bytes());
    for (asked, expected) in asked.iter().zip(&expected) {
        assert!(expected.ends_with(&asked.body), "{asked:?}");
    }
    asked.iter().for_each(|own| own.reply(DONE));
    let behind = second.asked();
    assert_eq!(behind.header.request_type, RequestType::Eval as u64);
    behind.reply(DONE);
    assert_eq!(peer.receive().sync, 3);
}

#[test]
fn a_client_has_as_many_settings_as_there_may_be() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut peer = server.connect();
    let named = |at: usize, value| set_to(1, &format!("s{at}"), value);
    for at in 0..SESSION_SETTINGS_MAX {
        ask(&mut peer, &upstream, &named(at, 1));
    }
    let told = peer.ask(&named(SESSION_SETTINGS_MAX, 1));
    assert_eq!(told.error_code(), Some(2));
    assert!(
        told.error_text()
            .is_some_and(|own| own.contains("settings"))
    );
    ask(&mut peer, &upstream, &named(0, 2));
}

#[test]
fn who_finds_no_place_for_a_first_setting_is_told_so_and_goes_on_as_before() {
    let upstream = FakeUpstream::start();
    let one = upstreams(&[("a", upstream.address)]);
    let server = on_one_thread(one.failover_hold(HOLD));
    let mut all: Vec<_> = (0..MOST).map(|_| server.connect()).collect();
    let places = all.iter_mut().map(|own| ask(own, &upstream, &set(1, "on")));
    let places: Vec<_> = places.collect();
    let mut late = server.connect();
    let shared = ask(&mut late, &upstream, &eval(1, "return 1"));
    assert_eq!(late.ask(&set(2, "on")).error_code(), Some(116));
    assert_eq!(ask(&mut late, &upstream, &eval(3, "return 1")), shared);
    all.pop();
    server.wait_until("a place is free", || {
        upstream.has_ended(places[MOST - 1]) && server.handle().upstreams()[0].links <= MOST as u64
    });
    assert_ne!(ask(&mut late, &upstream, &set(4, "on")), shared);
}

#[test]
fn who_finds_no_place_for_a_setting_that_was_held_shares_connections_again() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    second.set_writable(false);
    let both = upstreams(&[("a", first.address), ("b", second.address)]);
    let server = on_one_thread(both.failover_hold(HOLD));
    let mut all: Vec<_> = (0..MOST).map(|_| server.connect()).collect();
    for peer in &mut all {
        ask(peer, &first, &set(1, "on"));
    }
    let mut late = server.connect();
    ask(&mut late, &first, &eval(1, "return 1"));
    first.set_writable(false);
    server.wait_until("requests are held", || {
        server.handle().upstreams()[0].links == 0
    });
    for peer in &mut all {
        peer.send(&eval(2, "return 1"));
        peer.ping();
    }
    late.send(&set(2, "on"));
    late.ping();
    second.set_writable(true);
    for _ in 0..2 * MOST {
        second.asked().reply(DONE);
    }
    for peer in &mut all {
        assert_eq!(peer.receive().code, 0);
    }
    server.wind(HOLD + Duration::from_secs(1));
    assert_eq!(late.receive().error_code(), Some(116));
    let shared = ask(&mut late, &second, &eval(3, "return 1"));
    assert_eq!(
        ask(&mut server.connect(), &second, &eval(1, "return 1")),
        shared
    );
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
