//! Streams, and transactions in them, before upstreams that have them.

use std::time::Duration;

use vestibule_actors::Gateway;
use vestibule_actors::config::QuotaLimits;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Frame, Peer, RequestBuilder, TestServer, block_on};
use vestibule_actors::wire::features::{Feature, Features};
use vestibule_actors::wire::keys::{self, RequestType};

use crate::unbegun::held_of_alice;
use crate::upstream::{Asked, FakeUpstream, REFUSED, upstreams};
use crate::{DONE, before, before_both, eval, features, id_of, id_request, on_one_thread, pass};

const VERSION: (u32, u32, u32) = (2, 11, 0);

fn with_streams() -> FakeUpstream {
    FakeUpstream::of_version(VERSION)
}

fn request(request: RequestType, stream: u64) -> RequestBuilder {
    RequestBuilder::new(request, 0).stream(stream)
}

fn begin(stream: u64) -> RequestBuilder {
    request(RequestType::Begin, stream)
}

fn commit(stream: u64) -> RequestBuilder {
    request(RequestType::Commit, stream)
}

pub(crate) fn rollback(stream: u64) -> RequestBuilder {
    request(RequestType::Rollback, stream)
}

fn write(stream: u64) -> RequestBuilder {
    RequestBuilder::replace(1, 1).stream(stream)
}

/// What the upstream is asked next is that, in this stream of its own.
fn is_asked(asked: &Asked, wanted: RequestType, stream: u64) {
    let got = (asked.header.request_type, asked.header.stream_id);
    assert_eq!(got, (wanted as u64, stream));
}

/// Begins a transaction; returns the number of its stream upstream, and the connection there.
fn begun(peer: &mut Peer, upstream: &FakeUpstream, stream: u64) -> (u64, usize) {
    peer.send(&begin(stream));
    let asked = upstream.asked();
    assert_eq!(asked.header.request_type, RequestType::Begin as u64);
    assert_ne!(asked.header.stream_id, 0);
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    (asked.header.stream_id, asked.connection)
}

/// The next that the upstream is asked is to end that transaction, and it does.
fn is_rolled_back(upstream: &FakeUpstream, stream: u64) {
    let asked = upstream.asked();
    is_asked(&asked, RequestType::Rollback, stream);
    asked.reply(DONE);
}

fn code(told: &Frame) -> Option<u16> {
    told.error_code()
}

#[test]
fn a_transaction_passes_in_a_stream_of_its_own_upstream() {
    let upstream = with_streams();
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let (mut peer, mut other) = (server.connect(), server.connect());
    let told = features(&peer.ask(&id_request()));
    assert!(told.has(Feature::Streams) && told.has(Feature::Transactions));
    let (stream, connection) = begun(&mut peer, &upstream, 7);
    let (of_other, same) = begun(&mut other, &upstream, 7);
    assert_ne!(stream, of_other, "of two clients");
    assert_eq!(connection, same, "over one link");
    for (own, peer, number) in [
        (write(7), &mut peer, stream),
        (write(7), &mut other, of_other),
    ] {
        peer.send(&own);
        let asked = upstream.asked();
        is_asked(&asked, RequestType::Replace, number);
        asked.fail(32, REFUSED);
        assert_eq!(code(&peer.receive()), Some(32));
    }
    peer.send(&commit(7));
    let asked = upstream.asked();
    is_asked(&asked, RequestType::Commit, stream);
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    peer.close();
    other.close();
    // Of the one that is ended, nothing is to be ended.
    is_rolled_back(&upstream, of_other);
    pass(&mut server.connect(), &upstream, &eval(1, "return 1"));
}

#[test]
fn before_2_10_streams_are_ignored_as_upstreams_ignore_them() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut peer = server.connect();
    peer.send(&write(7));
    let asked = upstream.asked();
    is_asked(&asked, RequestType::Replace, 0);
    asked.reply(DONE);
    peer.receive();
}

#[test]
fn what_code_may_have_begun_is_ended_with_its_client_as_well() {
    let upstream = with_streams();
    let server = before(&upstream);
    let mut peer = server.connect();
    for own in [
        eval(1, "box.begin()").stream(3),
        RequestBuilder::call(1, "box.begin", &[0x90]).stream(4),
        RequestBuilder::new(RequestType::Execute, 1).stream(5),
        write(6),
    ] {
        pass(&mut peer, &upstream, &own);
    }
    peer.close();
    let mut ended: Vec<_> = (0..3).map(|_| upstream.asked()).collect();
    ended.iter().for_each(|own| own.reply(DONE));
    ended.sort_by_key(|own| own.header.stream_id);
    ended.dedup_by_key(|own| own.header.stream_id);
    assert_eq!(ended.len(), 3);
    let all = ended.iter().map(|own| own.header.request_type);
    assert!(all.eq([RequestType::Rollback as u64; 3]));
    pass(&mut server.connect(), &upstream, &eval(1, "return 1"));
}

#[test]
fn a_client_that_goes_with_a_transaction_on_its_way_leaves_nothing_open() {
    let upstream = with_streams();
    let server = before(&upstream);
    let mut peer = server.connect();
    peer.send(&begin(7));
    peer.send(&write(7));
    let (begin, write) = (upstream.asked(), upstream.asked());
    peer.close();
    begin.reply(DONE);
    write.reply(DONE);
    is_rolled_back(&upstream, begin.header.stream_id);
}

#[test]
fn a_connection_that_ends_while_it_rolls_back_is_replaced() {
    let upstream = with_streams();
    let server = before(&upstream);
    let mut peer = server.connect();
    begun(&mut peer, &upstream, 7);
    peer.close();
    let rollback = upstream.asked();
    assert_eq!(rollback.header.request_type, RequestType::Rollback as u64);
    upstream.end(rollback.connection);
    server.wait_until("its requests go over another one", || {
        let mut other = server.connect();
        other.send(&RequestBuilder::select(1, 1));
        other.ping();
        let asked = upstream.try_asked();
        asked.is_some_and(|own| own.connection != rollback.connection)
    });
}

#[test]
fn who_logs_in_as_another_user_has_no_transaction_any_more() {
    let upstream = with_streams();
    upstream.set_password("alice", "secret");
    let server = before(&upstream);
    let mut peer = server.connect();
    let (stream, _) = begun(&mut peer, &upstream, 7);
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    let told = peer.ask(&write(7));
    assert_eq!(code(&told), Some(97), "it is not done outside of it");
    is_rolled_back(&upstream, stream);
    assert_eq!(code(&peer.ask(&commit(7))), Some(97));
    peer.send(&write(7));
    let asked = upstream.asked();
    assert_eq!(asked.user, "alice");
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0, "by COMMIT it was ended");
}

#[test]
fn who_reads_other_values_from_now_on_has_no_transaction_any_more() {
    let upstream = with_streams();
    let server = before(&upstream);
    let mut peer = server.connect();
    let (stream, _) = begun(&mut peer, &upstream, 7);
    assert_eq!(peer.ask(&id_request()).code, 0);
    pass(&mut peer, &upstream, &write(7));
    let id = id_of(Features::NONE.with(Feature::ErrorExtension));
    assert_eq!(peer.ask(&id).code, 0);
    assert_eq!(code(&peer.ask(&commit(7))), Some(97));
    is_rolled_back(&upstream, stream);
}

#[test]
fn a_transaction_dies_with_its_link_and_its_client_ends_it() {
    let upstream = with_streams();
    let server = before(&upstream);
    let mut peer = server.connect();
    let (_, connection) = begun(&mut peer, &upstream, 7);
    begun(&mut peer, &upstream, 8);
    pass(&mut peer, &upstream, &eval(1, "box.begin()").stream(9));
    upstream.end(connection);
    // What it is told of the link is what the next one is not begun by.
    server.wait_until("it is lost", || {
        code(
            &server
                .connect()
                .ask(&RequestBuilder::new(RequestType::Ping, 1)),
        )
        .is_none()
            && upstream.has_ended(connection)
    });
    let told = peer.ask(&write(7));
    assert_eq!(code(&told), Some(97));
    assert!(told.error_mentions("upstream a"), "{:?}", told.error_text());
    assert_eq!(code(&peer.ask(&commit(7))), Some(97));
    assert_eq!(peer.ask(&rollback(8)).code, 0);
    assert_eq!(
        code(&peer.ask(&write(9))),
        Some(97),
        "it may have been open"
    );
    assert!(upstream.try_asked().is_none());
    for stream in [7, 8, 9] {
        begun(&mut peer, &upstream, stream);
    }
}

#[test]
fn nobody_knows_what_became_of_a_commit_whose_link_has_ended() {
    let upstream = with_streams();
    let server = before(&upstream);
    let mut peer = server.connect();
    begun(&mut peer, &upstream, 7);
    peer.send(&commit(7));
    upstream.end(upstream.asked().connection);
    for again in [false, true] {
        let told = match again {
            false => peer.receive(),
            true => peer.ask(&commit(7)),
        };
        assert_eq!(code(&told), Some(115));
        assert!(told.error_mentions("unknown"), "{:?}", told.error_text());
    }
    pass(&mut peer, &upstream, &write(7));
}

#[test]
fn transactions_do_not_go_on_where_requests_do_not_go_any_more() {
    let (first, second) = (with_streams(), with_streams());
    second.set_writable(false);
    let server = on_one_thread(upstreams(&[("a", first.address), ("b", second.address)]));
    let mut peer = server.connect();
    let (stream, connection) = begun(&mut peer, &first, 7);
    first.set_writable(false);
    second.set_writable(true);
    is_rolled_back(&first, stream);
    server.wait_until("the link is closed", || first.has_ended(connection));
    assert_eq!(code(&peer.ask(&write(7))), Some(97));
    assert_eq!(peer.ask(&rollback(7)).code, 0);
    // It waits until the second one is known to take changes.
    pass(&mut peer, &second, &write(0));
    begun(&mut peer, &second, 7);
}

#[test]
fn a_transaction_has_its_time_here() {
    let upstream = with_streams();
    let server = before(&upstream);
    let mut peer = server.connect();
    // BEGIN's own option, in seconds: a minute, of which a busy machine takes little by itself.
    let seconds = [0xcb, 0x40, 0x4e, 0, 0, 0, 0, 0, 0];
    peer.send(&begin(7).pair(keys::TIMEOUT, &seconds));
    let asked = upstream.asked();
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    server.wind(Duration::from_secs(30));
    pass(&mut peer, &upstream, &write(7));
    server.wind(Duration::from_secs(40));
    is_rolled_back(&upstream, asked.header.stream_id);
    assert_eq!(code(&peer.ask(&write(7))), Some(231));
    assert_eq!(code(&peer.ask(&commit(7))), Some(231));
    begun(&mut peer, &upstream, 7);
}

#[test]
fn a_statement_that_is_killed_ends_its_transaction() {
    let upstream = with_streams();
    let server = before(&upstream);
    let mut peer = server.connect();
    let (stream, _) = begun(&mut peer, &upstream, 7);
    peer.call_with("vestibule.set", &("request_timeout", 5));
    peer.send(&write(7));
    let late = upstream.asked();
    is_asked(&late, RequestType::Replace, stream);
    server.wind(Duration::from_secs(6));
    assert_eq!(code(&peer.receive()), Some(78));
    is_rolled_back(&upstream, stream);
    late.reply(DONE);
    assert!(code(&peer.ask(&write(7))).is_some());
    assert_eq!(peer.ask(&rollback(7)).code, 0);
    begun(&mut peer, &upstream, 7);
}

#[test]
fn a_stop_waits_for_transactions_and_ends_them_at_its_deadline() {
    let upstream = with_streams();
    let server = before(&upstream);
    let mut peer = server.connect();
    begun(&mut peer, &upstream, 7);
    server.handle().begin_drain(None, "test");
    server.wait_for(State::Draining);
    assert_eq!(code(&peer.ask(&begin(8))), Some(279));
    for own in [write(7), commit(7)] {
        pass(&mut peer, &upstream, &own);
    }
    let upstream = with_streams();
    let server = before(&upstream);
    let mut peer = server.connect();
    let (stream, _) = begun(&mut peer, &upstream, 7);
    let report = server.stop(Duration::ZERO);
    assert_eq!(report.failure, None);
    is_asked(&upstream.asked(), RequestType::Rollback, stream);
}

#[test]
fn a_demotion_ends_transactions_at_its_deadline() {
    let upstream = with_streams();
    let server = before(&upstream);
    let mut peer = server.connect();
    let (stream, _) = begun(&mut peer, &upstream, 7);
    pass(&mut peer, &upstream, &eval(1, "box.begin()").stream(8));
    let _ = server.demote(Duration::ZERO);
    is_rolled_back(&upstream, stream);
    for stream in [7, 8] {
        assert_eq!(code(&peer.ask(&commit(stream))), Some(7), "{stream}");
    }
    begun(&mut peer, &upstream, 7);
    assert_eq!(code(&peer.ask(&write(7))), Some(7));
}

/// A connection may have two transactions open.
fn before_with_two_transactions(upstream: &FakeUpstream) -> TestServer<Gateway> {
    let quotas = QuotaLimits::default().transactions_per_connection_max(2);
    let server = TestServer::before_with(
        vestibule_actors::testing::config().quotas(quotas),
        upstreams(&[("a", upstream.address)]),
    );
    server.wait_for(State::Assist);
    server
}

#[test]
fn commits_of_unknown_outcome_keep_nobody_from_beginning() {
    let upstream = with_streams();
    let server = before_with_two_transactions(&upstream);
    let mut peer = server.connect();
    for stream in [1, 2, 3] {
        begun(&mut peer, &upstream, stream);
        peer.send(&commit(stream));
        upstream.end(upstream.asked().connection);
        assert_eq!(code(&peer.receive()), Some(115));
    }
    assert_eq!(code(&peer.ask(&commit(1))), Some(115), "it is known still");
}

#[test]
fn a_connection_has_as_many_transactions_as_it_may() {
    let upstream = with_streams();
    let server = before_with_two_transactions(&upstream);
    let mut peer = server.connect();
    for stream in [1, 2] {
        pass(&mut peer, &upstream, &eval(1, "box.begin()").stream(stream));
    }
    assert_eq!(code(&peer.ask(&eval(1, "return 1").stream(3))), Some(1));
    pass(&mut peer, &upstream, &write(3));
    pass(&mut peer, &upstream, &eval(1, "return 1").stream(2));
    pass(&mut peer, &upstream, &rollback(2));
    pass(&mut peer, &upstream, &eval(1, "return 1").stream(3));
}

/// Two upstreams, of which the first has just been lost; requests are held for the second.
pub(crate) fn held() -> (FakeUpstream, TestServer<Gateway>, Peer) {
    held_with(|_, _, server| server.connect())
}

pub(crate) fn held_with(
    connect: impl FnOnce(&FakeUpstream, &FakeUpstream, &TestServer<Gateway>) -> Peer,
) -> (FakeUpstream, TestServer<Gateway>, Peer) {
    let (first, second) = (with_streams(), with_streams());
    let server = before_both(&first, &second);
    let mut peer = connect(&first, &second, &server);
    let (_, connection) = begun(&mut peer, &first, 3);
    first.set_writable(false);
    // What it is asked last is to roll back.
    first.asked().reply(DONE);
    server.wait_until("the link is closed", || first.has_ended(connection));
    (second, server, peer)
}

#[test]
fn a_transaction_that_begins_while_requests_are_held_is_done_by_who_takes_over() {
    let (second, _server, mut peer) = held();
    // The one that was lost is not there any more, and its stream is free after its end.
    peer.send(&write(3));
    assert_eq!(code(&peer.receive()), Some(97));
    assert_eq!(peer.ask(&rollback(3)).code, 0);
    for request in [begin(3), write(3), commit(3), write(0), begin(4), commit(4)] {
        peer.send(&request);
    }
    peer.ping();
    second.set_writable(true);
    let asked: Vec<_> = (0..6).map(|_| second.asked()).collect();
    let types = asked.iter().map(|own| own.header.request_type);
    let (begin, commit) = (RequestType::Begin as u64, RequestType::Commit as u64);
    let write = RequestType::Replace as u64;
    assert!(types.eq([begin, write, commit, write, begin, commit]));
    let streams: Vec<_> = asked.iter().map(|own| own.header.stream_id).collect();
    assert!(
        streams[..3]
            .iter()
            .all(|own| *own == streams[0] && *own != 0)
    );
    assert_eq!(streams[3], 0);
    assert!(streams[4] == streams[5] && streams[4] != streams[0]);
    let connection = asked[0].connection;
    assert!(asked.iter().all(|own| own.connection == connection));
    for own in asked {
        own.reply(DONE);
        assert_eq!(peer.receive().code, 0);
    }
    // What comes behind them is in the same place.
    let (_, next) = begun(&mut peer, &second, 3);
    assert_eq!(next, connection);
}

#[test]
fn a_transaction_of_which_a_statement_is_killed_while_requests_are_held_is_rolled_back() {
    let (second, server, mut peer) = held();
    assert_eq!(peer.ask(&rollback(3)).code, 0);
    let connection = block_on(server.handle().connections(1))[0].connection;
    for request in [begin(3), write(3), commit(3)] {
        peer.send(&request);
    }
    peer.ping();
    let killed = block_on(server.handle().kill_request(connection, 1));
    assert_eq!((killed.requests, peer.receive().sync), (1, 1));
    second.set_writable(true);
    let asked = second.asked();
    is_asked(&asked, RequestType::Begin, asked.header.stream_id);
    asked.reply(DONE);
    is_rolled_back(&second, asked.header.stream_id);
    let mut told = [peer.receive(), peer.receive()].map(|own| code(&own));
    told.sort_unstable();
    assert_eq!(told, [None, Some(32)], "BEGIN and COMMIT");
    begun(&mut peer, &second, 3);
}

#[test]
fn what_a_user_has_begun_while_requests_were_held_is_not_done_after_the_login_of_another() {
    let (second, _server, mut peer) = held_of_alice();
    for request in [begin(5), write(5), commit(5)] {
        peer.send(&request);
    }
    peer.ping();
    assert_eq!(peer.log_in("bob", "secret").code, 0, "he is known");
    peer.send(&begin(6));
    let told: Vec<_> = (0..3).map(|_| peer.receive()).collect();
    assert!(told.iter().all(|own| code(own) == Some(97)), "{told:?}");
    second.set_writable(true);
    let asked = second.asked();
    is_asked(&asked, RequestType::Begin, asked.header.stream_id);
    assert_eq!(asked.user, "bob");
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    assert!(second.try_asked().is_none());
}
