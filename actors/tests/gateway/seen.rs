//! What operators see of upstreams and links.

use std::time::Duration;

use vestibule_actors::limits::{UPSTREAM_CALLS_DEFAULT, UPSTREAM_REQUESTS_DEFAULT};
use vestibule_actors::monitoring::{LinkInfo, LinkState, UpstreamInfo, UpstreamState};
use vestibule_actors::serving::State;
use vestibule_actors::testing::{RequestBuilder, TestServer, block_on};
use vestibule_actors::wire::ErrorCode;
use vestibule_actors::wire::keys::RequestType;
use vestibule_actors::{Gateway, Upstreams};

use crate::catalog::read as read_all;
use crate::upstream::{FakeUpstream, REFUSED, upstreams};
use crate::{DONE, eval, on_one_thread, pass};

/// Longer than any test takes.
const HOLD: Duration = Duration::from_secs(60);

fn before(all: &[(&str, &FakeUpstream)]) -> TestServer<Gateway> {
    let all: Vec<_> = all.iter().map(|(name, own)| (*name, own.address)).collect();
    on_one_thread(Upstreams::failover_hold(upstreams(&all), HOLD))
}

fn shown(server: &TestServer<Gateway>) -> Vec<UpstreamInfo> {
    server.handle().upstreams()
}

fn links(server: &TestServer<Gateway>) -> Vec<LinkInfo> {
    let handle = server.handle().clone();
    block_on(async move { handle.links(100).await })
}

#[test]
fn upstreams_are_shown_as_they_are_and_with_what_they_have_to_do() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    second.set_writable(false);
    let server = before(&[("a", &first), ("b", &second)]);
    server.wait_until("both serve", || {
        shown(&server)
            .iter()
            .all(|own| own.state == UpstreamState::Serving)
    });
    let [a, b] = &shown(&server)[..] else {
        panic!("there are two")
    };
    assert_eq!((&*a.name, &*b.name), ("a", "b"));
    assert_eq!(a.address, first.address.to_string());
    assert_eq!((a.is_writable, b.is_writable), (Some(true), Some(false)));
    assert_eq!((a.is_target, b.is_target), (true, false));
    assert_eq!(
        (&a.trouble, b.trouble.as_deref()),
        (&None, Some("read-only"))
    );
    assert_eq!(a.version.as_deref(), Some("2.6.0"));
    assert_eq!((a.connects, a.links, a.sent), (1, 0, 0));
    server.wait_until("it is asked again", || shown(&server)[0].probes > a.probes);

    let mut peer = server.connect();
    peer.send(&RequestBuilder::replace(1, 1));
    peer.send(&eval(2, "return 1"));
    let asked = [first.asked(), first.asked()];
    let a = &shown(&server)[0];
    assert_eq!((a.in_flight, a.calls, a.sent), (2, 1, 2));
    assert_eq!((a.links, a.links_opened), (1, 1));
    asked.iter().for_each(|own| own.reply(DONE));
    (0..2).for_each(|_| drop(peer.receive()));
    let a = &shown(&server)[0];
    assert_eq!((a.in_flight, a.calls, a.sent), (0, 0, 2));
}

#[test]
fn what_a_lost_upstream_leaves_is_counted_and_who_takes_over_too() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    second.set_writable(false);
    let server = before(&[("a", &first), ("b", &second)]);
    let mut peer = server.connect();
    peer.send(&RequestBuilder::replace(1, 1));
    peer.send(&RequestBuilder::select(2, 1));
    (0..2).for_each(|_| drop(first.asked()));
    drop(first);
    assert_eq!(peer.receive().error_code(), Some(115));
    server.wait_until("it is gone, and requests go nowhere", || {
        let told = &shown(&server)[0];
        told.state == UpstreamState::Absent && !told.is_target
    });
    let gateway = || server.handle().metrics().gateway.expect("it is one");
    server.wait_until("one is held", || gateway().held == 1);
    let a = &shown(&server)[0];
    assert_eq!((a.unknown, a.retried, a.in_flight, a.links), (1, 1, 0, 0));
    assert_eq!((a.is_writable, a.is_target), (None, false));
    assert!(a.trouble.is_some());
    second.set_writable(true);
    second.asked().reply(DONE);
    assert_eq!(peer.receive().code, 0);
    let told = gateway();
    assert_eq!((told.held, told.holds), (0, 1));
    // It waits twice if its link's end is seen before its upstream's.
    assert!([1, 2].contains(&told.waited.count()));
    let of_both: Vec<_> = told.upstreams.iter().map(|own| own.failovers).collect();
    assert_eq!(of_both, [0, 1]);
    assert_eq!(told.upstreams[1].sent, 1);
}

#[test]
fn links_are_shown_with_what_they_have_to_do() {
    let upstream = FakeUpstream::of_version((2, 10, 0));
    upstream.set_password("alice", "secret");
    let server = before(&[("a", &upstream)]);
    let (mut guest, mut alice) = (server.connect(), server.connect());
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    pass(&mut guest, &upstream, &eval(1, "return 1"));
    pass(
        &mut alice,
        &upstream,
        &RequestBuilder::new(RequestType::Begin, 1).stream(1),
    );
    alice.send(&eval(2, "return 1"));
    let asked = upstream.asked();
    let mut rows = links(&server);
    rows.sort_by(|a, b| a.user.cmp(&b.user));
    let told = rows.iter().map(|own| {
        let counts = (own.in_flight, own.queued, own.transactions);
        (&*own.upstream, &*own.user, own.thread, own.state, counts)
    });
    let expected = [
        ("a", "alice", 0, LinkState::Ready, (1, 0, 1)),
        ("a", "guest", 0, LinkState::Ready, (0, 0, 0)),
    ];
    assert!(told.eq(expected), "{rows:?}");
    asked.reply(DONE);
    assert_eq!(alice.receive().code, 0);
    // As operators ask for it.
    for (what, names) in [("upstreams", "is_target"), ("links", "unsent_bytes")] {
        let told = guest.show(what);
        let body = String::from_utf8_lossy(&told.body).into_owned();
        assert!(told.code == 0 && body.contains(names), "{body}");
    }
}

#[test]
fn errors_of_upstreams_are_counted_by_their_codes_and_those_of_no_code_together() {
    let upstream = FakeUpstream::start();
    let server = before(&[("a", &upstream)]);
    let mut peer = server.connect();
    for code in [32, 3, 9_999] {
        peer.send(&eval(1, "error()"));
        upstream.asked().fail(code, REFUSED);
        assert_eq!(peer.receive().error_code(), Some(code));
    }
    let told = server.handle().metrics().requests.errors;
    let counted = told.iter().filter(|own| own.count > 0);
    let counted: Vec<_> = counted.map(|own| (own.code, own.count)).collect();
    assert_eq!(
        counted,
        [
            (Some(ErrorCode::TUPLE_FOUND), 1),
            (Some(ErrorCode::PROC), 1),
            (None, 1)
        ]
    );
}

#[test]
fn questions_for_users_and_for_the_catalog_are_counted_by_what_came_of_them() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    let server = before(&[("a", &upstream)]);
    let counts = || {
        let own = server.handle().metrics().gateway.expect("it is one");
        let users = (own.user_lookups_answered, own.user_lookups_failed);
        (
            users,
            (own.catalog_lookups_answered, own.catalog_lookups_failed),
        )
    };
    let mut alice = server.connect();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    assert_eq!(counts(), ((1, 0), (0, 0)));
    pass(&mut alice, &upstream, &read_all(1, 281));
    upstream.set_silent(true);
    server.wait_for(State::Solo);
    assert_eq!(alice.ask(&read_all(2, 281)).body, DONE);
    assert_eq!(
        server.connect().ask(&read_all(3, 281)).error_code(),
        Some(116)
    );
    assert_eq!(counts(), ((1, 0), (1, 1)));
}

#[test]
fn the_bounds_of_a_gateway_are_shown_with_the_others() {
    let upstream = FakeUpstream::start();
    let server = before(&[("a", &upstream)]);
    let told = server.handle().limits();
    let of = |name: &str| {
        told.iter()
            .find(|own| own.name == name)
            .map(|own| own.value)
    };
    assert_eq!(
        of("upstream_requests_max"),
        Some(UPSTREAM_REQUESTS_DEFAULT as u64)
    );
    assert_eq!(
        of("upstream_calls_max"),
        Some(UPSTREAM_CALLS_DEFAULT as u64)
    );
    assert_eq!(of("failover_hold_ms"), Some(60_000));
    assert!(of("connections_max").is_some());
}
