//! A gateway before upstreams that do as the tests say.

mod abandoned;
mod bodies;
mod bounds;
mod bulk;
mod catalog;
mod demote;
mod drain;
mod elections;
mod events;
mod failover;
mod formats;
mod gone;
mod gone_users;
mod greedy;
mod large;
mod moves;
mod on_lost;
mod pinned;
mod pins;
mod preferred;
mod read_from;
mod reconnect;
mod relay;
mod replicas;
mod secured;
mod seen;
mod statements;
mod streams;
mod unbegun;
mod uncalled;
mod upstream;
mod users;
mod watches;

use std::time::Duration;

use vestibule_actors::limits::{
    UPSTREAM_CALLS_DEFAULT, UPSTREAM_CALLS_FEW, UPSTREAM_CALLS_USERS_RESERVE,
    UPSTREAM_REQUESTS_DEFAULT,
};
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Frame, Peer, RequestBuilder, TestServer, config};
use vestibule_actors::wire::features::Features;
use vestibule_actors::wire::keys::{self, CODE_CHUNK, CODE_ERROR, RequestType};
use vestibule_actors::wire::request::{Body, decode};
use vestibule_actors::{Config, Gateway, Upstreams};

use crate::upstream::{Asked, FakeUpstream, REFUSED, upstreams};

const DONE: &[u8] = &[0x81, 0x30, 0x91, 0x07];

fn serving(upstreams: Upstreams) -> TestServer<Gateway> {
    let server = TestServer::before(upstreams);
    server.wait_for(State::Assist);
    server
}

fn before(upstream: &FakeUpstream) -> TestServer<Gateway> {
    serving(upstreams(&[("a", upstream.address)]))
}

/// With one session thread, which has all links and all credits.
fn on_one_thread(upstreams: Upstreams) -> TestServer<Gateway> {
    on_one_thread_with(config(), upstreams)
}

/// The same with another configuration.
fn on_one_thread_with(config: Config, upstreams: Upstreams) -> TestServer<Gateway> {
    let server = TestServer::before_with(config.session_threads(1), upstreams);
    server.wait_for(State::Assist);
    server
}

/// The same before one that takes changes and one that does not yet. What comes while none does is
/// held for long.
fn before_both(first: &FakeUpstream, second: &FakeUpstream) -> TestServer<Gateway> {
    second.set_writable(false);
    let both = upstreams(&[("a", first.address), ("b", second.address)]);
    on_one_thread(both.failover_hold(Duration::from_secs(60)))
}

/// Calls of guest, as many as an upstream may have of one user, and who has sent them.
fn all_calls(server: &TestServer<Gateway>, upstream: &FakeUpstream) -> (Vec<Peer>, Vec<Asked>) {
    const OF_ONE: usize = UPSTREAM_CALLS_FEW;
    let of_user = UPSTREAM_CALLS_DEFAULT - UPSTREAM_CALLS_USERS_RESERVE;
    let mut peers: Vec<_> = (0..of_user / OF_ONE).map(|_| server.connect()).collect();
    for peer in &mut peers {
        (0..OF_ONE).for_each(|sync| peer.send(&eval(sync as u64, "return 1")));
    }
    let asked = (0..peers.len() * OF_ONE)
        .map(|_| upstream.asked())
        .collect();
    (peers, asked)
}

fn eval(sync: u64, expression: &str) -> RequestBuilder {
    RequestBuilder::new(RequestType::Eval, sync)
        .text(keys::EXPR, expression)
        .pair(keys::TUPLE, &[0x90])
}

fn id_request() -> RequestBuilder {
    id_of(Features::NONE)
}

/// What a client can do.
fn id_of(features: Features) -> RequestBuilder {
    let codes: Vec<u8> = features.codes().map(|code| code as u8).collect();
    let codes = [&[0x90 | codes.len() as u8], &codes[..]].concat();
    let id = RequestBuilder::new(RequestType::Id, 1).uint(keys::VERSION, 3);
    id.pair(keys::FEATURES, &codes)
}

/// What the reply to an ID says that the server can do.
fn features(told: &Frame) -> Features {
    match decode(RequestType::Id, &told.body) {
        Ok(Body::Id(id)) => id.features,
        other => panic!("no reply to ID: {other:?}"),
    }
}

/// Asks, and returns by which connection the upstream was asked.
fn ask(peer: &mut Peer, upstream: &FakeUpstream, request: &RequestBuilder) -> usize {
    peer.send(request);
    let asked = upstream.asked();
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    asked.connection
}

/// A request goes through, and its reply comes back.
fn pass(peer: &mut Peer, upstream: &FakeUpstream, request: &RequestBuilder) {
    peer.send(request);
    upstream.asked().reply(DONE);
    let got = peer.receive();
    assert_eq!((got.code, &*got.body), (0, DONE));
}

#[test]
fn requests_and_replies_pass_byte_for_byte() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut peer = server.connect();
    assert_eq!(peer.greeting().version, (2, 6, 0), "the upstream's");
    let (expression, no_key) = (&[0x81, 0x27, 0xa1, b'x'][..], &[0x81, 0x20, 0x90][..]);
    for (request, body) in [
        (RequestType::Eval as u8, expression),
        (RequestType::Execute as u8, &[0x81, 0x40, 0xa1, b'x']),
        (RequestType::Prepare as u8, &[0x81, 0x43, 7]),
        // What we cannot decode is the upstream's to judge: a SELECT without a space.
        (RequestType::Select as u8, no_key),
        (RequestType::Call as u8, &[0xc0]),
        (RequestType::Begin as u8, &[]),
        // And what we do not know at all: INSERT_ARROW of 3.x.
        (17, &[0x81, 0x10, 0xcd, 2, 0]),
    ] {
        let sync = 1000 + u64::from(request);
        let head = [0x82, 0, request, 1, 0xcd, (sync >> 8) as u8, sync as u8];
        let size = [0xce, 0, 0, 0, (head.len() + body.len()) as u8];
        peer.send_bytes(&[&size, &head[..], body].concat());
        let asked = upstream.asked();
        assert_eq!(asked.header.request_type, u64::from(request));
        assert_eq!(asked.body, body);
        asked.push(DONE);
        asked.push(&[0x80]);
        asked.fail(32, REFUSED);
        let got: Vec<_> = (0..3).map(|_| peer.receive()).collect();
        let codes: Vec<_> = got.iter().map(|own| own.code).collect();
        assert_eq!(codes, [CODE_CHUNK, CODE_CHUNK, CODE_ERROR | 32]);
        assert!(got.iter().all(|own| own.sync == sync));
        assert_eq!((&*got[0].body, &*got[2].body), (DONE, REFUSED));
        assert_eq!(got[2].schema_version, Some(80));
    }
    peer.send_bytes(&[0xce, 0, 0, 0, 6, 0x82, 0, 1, 1, 12, 0x81]);
    assert_eq!(
        peer.receive().error_code(),
        Some(20),
        "this is no MessagePack"
    );
    for code in [65, 66, 67, 68, 69, 70, 73, 74, 1 << 16] {
        let told = peer.ask(&RequestBuilder::raw(code, 13));
        assert_eq!(told.error_code(), Some(48), "{code}");
    }
    assert!(upstream.try_asked().is_none());
}

#[test]
fn large_requests_and_replies_pass_whole() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let (mut peer, mut other) = (server.connect(), server.connect());
    let size = 3 << 20;
    peer.send(&RequestBuilder::replace_large(7, 1, size));
    let asked = upstream.asked();
    assert!(asked.body.len() > size as usize);
    let body: Vec<u8> = [&[0x81, 0x30, 0xc6, 0, 0x50, 0, 0][..], &vec![7; 5 << 20]].concat();
    asked.push(&body);
    asked.reply(&body);
    pass(&mut other, &upstream, &eval(1, "return 1"));
    let (push, reply) = (peer.receive(), peer.receive());
    assert_eq!((push.code, reply.code), (CODE_CHUNK, 0));
    assert!(push.body == body && reply.body == body);
}

#[test]
fn users_log_in_upstream_by_what_they_have_proven_here() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    let server = before(&upstream);
    let mut alice = server.connect();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    alice.send(&eval(1, "return 1"));
    let asked = upstream.asked();
    assert_eq!(asked.user, "alice");
    asked.reply(DONE);
    alice.receive();
    let mut guest = server.connect();
    guest.send(&eval(1, "return 1"));
    let own = upstream.asked();
    assert_eq!(own.user, "guest");
    assert_ne!(
        own.connection, asked.connection,
        "each has a link of its own"
    );
    own.reply(DONE);
    guest.receive();
    let told = |user, password| {
        let told = server.connect().log_in(user, password);
        (told.error_code(), told.error_text())
    };
    let wrong = "Incorrect password supplied for user 'alice'".to_owned();
    assert_eq!(told("alice", "wrong"), (Some(47), Some(wrong)));
    let nobody = "User 'bob' is not found".to_owned();
    assert_eq!(told("bob", "secret"), (Some(45), Some(nobody)));
}

#[test]
fn a_password_that_is_changed_upstream_counts_at_the_next_login() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    let server = before(&upstream);
    let mut alice = server.connect();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    upstream.set_password("alice", "new");
    // The answer of a moment ago does not know of it; who is wrong by it is asked for again.
    assert_eq!(server.connect().log_in("alice", "new").code, 0);
    server.wind(Duration::from_secs(5));
    let refused = server.connect().log_in("alice", "secret");
    assert_eq!(refused.error_code(), Some(47));
    let lookups = upstream.lookups();
    for _ in 0..20 {
        assert_eq!(server.connect().log_in("alice", "new").code, 0);
    }
    assert!(
        upstream.lookups() < lookups + 20,
        "an answer counts for a while"
    );
}

#[test]
fn many_clients_share_a_link() {
    let upstream = FakeUpstream::start();
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut peers: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for peer in &mut peers {
        peer.send(&eval(3, "return 1"));
    }
    let asked: Vec<_> = peers.iter().map(|_| upstream.asked()).collect();
    assert!(
        asked
            .iter()
            .all(|own| own.connection == asked[0].connection)
    );
    asked.iter().rev().for_each(|own| own.reply(DONE));
    for peer in &mut peers {
        assert_eq!(peer.receive().sync, 3);
    }
    assert_eq!(upstream.connections(), 2, "the scout's and one link");
}

#[test]
fn while_the_upstream_says_nothing_clients_are_told_so() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    let server = before(&upstream);
    let mut alice = server.connect();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    pass(&mut alice, &upstream, &eval(1, "return 1"));
    upstream.set_silent(true);
    server.wait_for(State::Solo);
    alice.ping();
    let told = alice.ask(&eval(2, "return 1"));
    assert_eq!(told.error_code(), Some(116));
    let text = told.error_text().unwrap();
    assert!(text.contains("a: no answer for "), "{text}");
    let mut late = server.connect();
    assert_eq!(late.log_in("alice", "secret").code, 0, "she is known");
    assert_eq!(
        late.log_in("bob", "secret").error_code(),
        Some(116),
        "he is not"
    );
    upstream.set_silent(false);
    server.wait_for(State::Assist);
    pass(&mut alice, &upstream, &eval(3, "return 1"));
}

#[test]
fn an_upstream_that_comes_back_is_used_again_and_its_catalog_counts_as_another() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut peer = server.connect();
    pass(&mut peer, &upstream, &eval(1, "return 1"));
    let address = upstream.address;
    drop(upstream);
    server.wait_for(State::Solo);
    let told = peer.ask(&eval(2, "return 1"));
    assert_eq!(told.error_code(), Some(116));
    let upstream = FakeUpstream::start_at(address);
    upstream.set_schema_version(40);
    server.wait_for(State::Assist);
    peer.send(&eval(3, "return 1"));
    upstream.asked().reply(DONE);
    assert_eq!(
        peer.receive().schema_version,
        Some(81),
        "it does not go back"
    );
    // Its own number goes upstream, where the client has told one.
    peer.send(&eval(4, "return 1").schema_version(81));
    let asked = upstream.asked();
    assert_eq!(asked.header.schema_version, 40);
    asked.reply(DONE);
    peer.receive();
    let told = peer.ask(&eval(5, "return 1").schema_version(80));
    assert_eq!(told.error_code(), Some(109));
}

#[test]
fn what_a_client_knows_of_the_catalog_is_told_upstream_over_whichever_link() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    upstream.set_password("bob", "secret");
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| {
        let mut peer = server.connect();
        assert_eq!(peer.log_in(name, "secret").code, 0);
        peer
    });
    pass(&mut alice, &upstream, &eval(1, "return 1"));
    upstream.set_schema_version(90);
    let mut guest = server.connect();
    guest.send(&eval(1, "return 1"));
    upstream.asked().reply(DONE);
    assert_eq!(guest.receive().schema_version, Some(90));
    // One that was not used since, and one that is new.
    for peer in [&mut alice, &mut bob] {
        peer.send(&eval(2, "return 1").schema_version(90));
        let asked = upstream.asked();
        assert_eq!(asked.header.schema_version, 90, "{}", asked.user);
        asked.reply(DONE);
        peer.receive();
    }
}

#[test]
fn a_late_reply_reaches_nobody() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut peer = server.connect();
    peer.call_with("vestibule.set", &("request_timeout", 5));
    peer.send(&eval(7, "return 1"));
    let late = upstream.asked();
    server.wind(Duration::from_secs(6));
    assert_eq!(peer.receive().error_code(), Some(78));
    peer.send(&eval(7, "return 2"));
    let next = upstream.asked();
    late.reply(&[0x80]);
    next.reply(DONE);
    let got = peer.receive();
    assert_eq!((got.sync, &*got.body), (7, DONE));
}

#[test]
fn requests_go_to_the_upstream_that_takes_changes() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    first.set_writable(false);
    let server = serving(upstreams(&[("a", first.address), ("b", second.address)]));
    let mut peer = server.connect();
    pass(&mut peer, &second, &eval(1, "return 1"));
    second.set_writable(false);
    first.set_writable(true);
    goes_to(&server, &first, &second);
    first.set_writable(false);
    second.set_writable(true);
    goes_to(&server, &second, &first);
}

#[test]
fn a_link_that_is_not_needed_any_more_is_closed_although_its_sessions_stay() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    second.set_writable(false);
    let server = on_one_thread(upstreams(&[("a", first.address), ("b", second.address)]));
    let mut peer = server.connect();
    peer.send(&eval(1, "return 1"));
    let asked = first.asked();
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    first.set_writable(false);
    second.set_writable(true);
    server.wait_until("the link is closed", || first.has_ended(asked.connection));
    pass(&mut peer, &second, &eval(2, "return 1"));
}

#[test]
fn who_waits_for_an_upstream_that_has_enough_to_do_has_a_turn_before_those_who_keep_it_busy() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut alice = server.connect();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    pass(&mut alice, &upstream, &eval(1, "return 1"));
    let (mut peers, asked) = all_calls(&server, &upstream);
    let others = UPSTREAM_REQUESTS_DEFAULT - asked.len();
    let mut busy = server.connect();
    (0..others).for_each(|sync| busy.send(&RequestBuilder::select(sync as u64, 1)));
    let _others: Vec<_> = (0..others).map(|_| upstream.asked()).collect();
    for peer in [&mut alice, &mut peers[0]] {
        peer.send(&eval(100, "return 1"));
        // What was sent before it waits by now.
        peer.ping();
    }
    asked[0].reply(DONE);
    assert_eq!(upstream.asked().user, "alice");
    asked[1].reply(DONE);
    assert_eq!(upstream.asked().user, "guest");
}

/// Waits until requests go to one of two. No event tells when the probes have seen a change: until
/// then they go to the other one, or nowhere.
fn goes_to(server: &TestServer<Gateway>, wanted: &FakeUpstream, other: &FakeUpstream) {
    server.wait_until("requests go to the other one", || {
        let mut peer = server.connect();
        peer.send(&eval(2, "return 1"));
        let answering = std::thread::spawn(move || peer.receive().code);
        let mut is_wanted = false;
        while !answering.is_finished() {
            if let Some(asked) = wanted.try_asked() {
                is_wanted = true;
                asked.reply(DONE);
            }
            if let Some(asked) = other.try_asked() {
                asked.reply(DONE);
            }
            std::thread::yield_now();
        }
        answering.join().is_ok_and(|code| code == 0) && is_wanted
    });
}

#[test]
fn a_demoted_gateway_lets_reads_through_alone() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut peer = server.connect();
    let _ = server.demote(Duration::ZERO);
    assert_eq!(peer.ask(&eval(1, "return 1")).error_code(), Some(7));
    assert_eq!(
        peer.ask(&RequestBuilder::replace(2, 1)).error_code(),
        Some(7)
    );
    pass(&mut peer, &upstream, &RequestBuilder::select(3, 1));
    let _ = server.promote();
    pass(&mut peer, &upstream, &eval(4, "return 1"));
}

#[test]
fn a_stop_waits_for_what_is_under_way_and_cuts_it_off_at_its_deadline() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut peer = server.connect();
    peer.send(&eval(1, "return 1"));
    let asked = upstream.asked();
    server.handle().begin_drain(None, "test");
    server.wait_for(State::Draining);
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut peer = server.connect();
    peer.send(&eval(1, "return 1"));
    let _asked = upstream.asked();
    let report = server.stop(Duration::ZERO);
    assert_eq!((report.killed, report.failure), (1, None));
    assert_eq!(peer.receive().error_code(), Some(279));
}
