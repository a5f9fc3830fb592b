//! What becomes of transactions whose BEGIN is not done, although more of them was sent behind it,
//! and how many requests of streams are of unknown outcome when their link ends.

use std::time::Duration;

use vestibule_actors::config::{QuotaLimits, SoloPolicy};
use vestibule_actors::limits::{
    LINKS_PER_UPSTREAM_MAX, PINNED_LINKS_RESERVE, UPSTREAM_CALLS_CONNECTIONS_RESERVE,
    UPSTREAM_CALLS_DEFAULT, UPSTREAM_CALLS_USERS_RESERVE,
};
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Frame, Peer, RequestBuilder, TestServer, block_on, config};
use vestibule_actors::wire::features::{Feature, Features};
use vestibule_actors::wire::keys::RequestType;
use vestibule_actors::{Gateway, LinkMode};

use crate::pins::set;
use crate::streams::{held, held_with, rollback};
use crate::upstream::{Asked, FakeUpstream, upstreams};
use crate::{DONE, eval, id_of, on_one_thread, pass};

/// A request in the stream that was lost when requests came to be held.
fn request(kind: RequestType, sync: u64) -> RequestBuilder {
    RequestBuilder::new(kind, sync).stream(3)
}

pub(crate) fn begin(sync: u64) -> RequestBuilder {
    request(RequestType::Begin, sync)
}

pub(crate) fn commit(sync: u64) -> RequestBuilder {
    request(RequestType::Commit, sync)
}

pub(crate) fn write(sync: u64) -> RequestBuilder {
    RequestBuilder::replace(sync, sync).stream(3)
}

pub(crate) fn code(told: &Frame) -> Option<u16> {
    told.error_code()
}

/// Before a client knows that its BEGIN was killed, it may have sent the whole transaction.
#[test]
fn a_begin_that_is_killed_while_requests_are_held_takes_what_stands_behind_it_with_it() {
    let (second, server, mut peer) = held();
    assert_eq!(peer.ask(&rollback(3)).code, 0);
    let connection = block_on(server.handle().connections(1))[0].connection;
    for request in [begin(1), write(2), RequestBuilder::replace(3, 3)] {
        peer.send(&request);
    }
    peer.ping();
    let killed = block_on(server.handle().kill_request(connection, 1));
    assert_eq!(killed.requests, 1);
    let mut told = [peer.receive(), peer.receive()].map(|own| (own.sync, code(&own)));
    told.sort_unstable();
    assert_eq!(
        told,
        [(1, Some(32)), (2, Some(97))],
        "BEGIN, and what is in its stream"
    );
    // What comes later, before its client has ended it, and what the end is told.
    let refused = peer.ask(&write(4));
    let text = "Transaction has been aborted by its BEGIN, which was not sent";
    assert_eq!(refused.error_text().as_deref(), Some(text));
    assert_eq!(code(&peer.ask(&commit(5))), Some(97));
    // Its stream is free then.
    for request in [begin(6), commit(7)] {
        peer.send(&request);
    }
    peer.ping();
    second.set_writable(true);
    let asked = [(); 3].map(|()| second.asked());
    let types = asked.each_ref().map(|own| own.header.request_type);
    let expected = [
        RequestType::Replace,
        RequestType::Begin,
        RequestType::Commit,
    ];
    assert_eq!(types, expected.map(|own| own as u64));
    assert_eq!(asked[0].header.stream_id, 0, "it was in no stream");
    for own in asked {
        own.reply(DONE);
        assert_eq!(peer.receive().code, 0);
    }
    assert!(second.try_asked().is_none());
}

#[test]
fn of_a_transaction_that_is_killed_whole_with_its_end_the_stream_is_free() {
    let (second, server, mut peer) = held();
    assert_eq!(peer.ask(&rollback(3)).code, 0);
    let connection = block_on(server.handle().connections(1))[0].connection;
    let all = [begin(1), write(2), commit(3), write(4)];
    all.iter().for_each(|own| peer.send(own));
    peer.ping();
    let killed = block_on(server.handle().kill_request(connection, 1));
    assert_eq!(killed.requests, 1);
    let mut told = [(); 3]
        .map(|()| peer.receive())
        .map(|own| (own.sync, code(&own)));
    told.sort_unstable();
    assert_eq!(told, [(1, Some(32)), (2, Some(97)), (3, Some(97))]);
    second.set_writable(true);
    let asked = second.asked();
    let got = (asked.header.request_type, asked.header.stream_id != 0);
    assert_eq!(
        got,
        (RequestType::Replace as u64, true),
        "it stands behind the end"
    );
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
}

/// Of one that only reads nobody can tell whether it was done.
#[test]
fn of_what_was_sent_in_a_stream_when_its_link_ends_only_what_may_write_is_of_unknown_outcome() {
    let upstream = FakeUpstream::of_version((2, 11, 0));
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut peer = server.connect();
    peer.send(&begin(1));
    let asked = upstream.asked();
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    peer.send(&RequestBuilder::select(2, 2).stream(3));
    peer.send(&write(3));
    let asked = [(); 2].map(|()| upstream.asked());
    upstream.end(asked[0].connection);
    let mut told = [peer.receive(), peer.receive()].map(|own| (own.sync, code(&own)));
    told.sort_unstable();
    assert_eq!(told, [(2, Some(116)), (3, Some(115))]);
    assert_eq!(server.handle().upstreams()[0].unknown, 1);
    assert_eq!(code(&peer.ask(&commit(4))), Some(97));
}

/// Calls of a connection, one more than an upstream has room for; returns those that are under way.
pub(crate) fn waiting_calls(peer: &mut Peer, upstream: &FakeUpstream) -> Vec<Asked> {
    let reserve = UPSTREAM_CALLS_CONNECTIONS_RESERVE + UPSTREAM_CALLS_USERS_RESERVE;
    let calls = UPSTREAM_CALLS_DEFAULT - reserve;
    (0..=calls).for_each(|_| peer.send(&eval(1, "sleep()")));
    (0..calls).map(|_| upstream.asked()).collect()
}

/// The same, and a BEGIN that waits behind them.
pub(crate) fn waiting_begin(peer: &mut Peer, upstream: &FakeUpstream) -> Vec<Asked> {
    let sleeping = waiting_calls(peer, upstream);
    peer.send(&begin(2));
    sleeping
}

/// The BEGIN stands behind a call for which an upstream has no room, and goes as the user who has
/// sent it; what that connection sends later goes over another link, on which nothing is begun.
#[test]
fn who_logs_in_while_a_begin_waits_has_no_transaction_behind_it() {
    let upstream = FakeUpstream::of_version((2, 11, 0));
    upstream.set_password("alice", "secret");
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut peer = server.connect();
    let sleeping = waiting_begin(&mut peer, &upstream);
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    assert_eq!(code(&peer.ask(&write(3))), Some(97), "it is not done alone");
    assert!(upstream.try_asked().is_none(), "BEGIN waits");
    sleeping[0].reply(DONE);
    let asked = [(); 3].map(|()| upstream.asked());
    asked.iter().for_each(|own| own.reply(DONE));
    let types = asked.map(|own| (own.header.request_type, own.user));
    let all = [RequestType::Eval, RequestType::Begin, RequestType::Rollback];
    assert_eq!(types, all.map(|own| (own as u64, "guest".to_owned())));
    let mut told = [(); 3].map(|()| peer.receive().sync);
    told.sort_unstable();
    assert_eq!(told, [1, 1, 2]);
    assert_eq!(code(&peer.ask(&commit(4))), Some(97));
    peer.send(&write(5));
    let asked = upstream.asked();
    assert_eq!(asked.user, "alice");
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
}

/// A BEGIN that another user has sent before is given back when its link ends: by then another
/// transaction is open in its stream, over another link.
#[test]
fn a_transaction_outlives_a_begin_of_its_stream_that_was_never_sent() {
    let upstream = FakeUpstream::of_version((2, 11, 0));
    upstream.set_password("alice", "secret");
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut peer = server.connect();
    let sleeping = waiting_begin(&mut peer, &upstream);
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    assert_eq!(code(&peer.ask(&commit(3))), Some(97), "nothing was begun");
    peer.send(&begin(4));
    let begun = upstream.asked();
    assert_eq!(begun.user, "alice");
    begun.reply(DONE);
    assert_eq!(peer.receive().sync, 4);
    upstream.end(sleeping[0].connection);
    // The call that waited goes over another one; the others, and BEGIN, are told.
    let again = upstream.asked();
    assert_eq!(again.user, "guest");
    again.reply(DONE);
    let told: Vec<_> = (0..sleeping.len() + 2)
        .map(|_| peer.receive().sync)
        .collect();
    assert!(told.iter().all(|sync| [1, 2].contains(sync)));
    for own in [write(5), commit(6)] {
        peer.send(&own);
        let asked = upstream.asked();
        assert_eq!(asked.connection, begun.connection);
        asked.reply(DONE);
        assert_eq!(peer.receive().code, 0);
    }
}

/// Code may have begun a transaction, for all that its client knows when it sends what comes next.
#[test]
fn nothing_is_done_alone_behind_a_call_in_a_stream_that_was_never_sent() {
    let upstream = FakeUpstream::of_version((2, 11, 0));
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut peer = server.connect();
    let sleeping = waiting_calls(&mut peer, &upstream);
    peer.send(&eval(2, "box.begin()").stream(3));
    peer.ping();
    upstream.end(sleeping[0].connection);
    let again = upstream.asked();
    assert_eq!(again.header.stream_id, 0, "the call that waited before it");
    again.reply(DONE);
    let told: Vec<_> = (0..sleeping.len() + 2).map(|_| peer.receive()).collect();
    let of_stream = told.iter().find(|own| own.sync == 2);
    assert_eq!(of_stream.and_then(code), Some(116));
    is_lost_until_it_is_ended(&mut peer, &upstream, "a call or SQL in its stream");
}

/// There are as many connections as there may be, until its time is over.
#[test]
fn nothing_is_done_alone_behind_a_call_in_a_stream_for_which_there_was_no_connection() {
    let upstream = FakeUpstream::of_version((2, 11, 0));
    let hold = Duration::from_secs(60);
    let pinned = upstreams(&[("a", upstream.address)]).mode(LinkMode::Pinned);
    let server = on_one_thread(pinned.failover_hold(hold));
    let most = LINKS_PER_UPSTREAM_MAX - PINNED_LINKS_RESERVE;
    let mut peers: Vec<_> = (0..most).map(|_| server.connect()).collect();
    for peer in &mut peers {
        pass(peer, &upstream, &eval(1, "return 1"));
    }
    let mut late = server.connect();
    late.send(&eval(2, "box.begin()").stream(3));
    late.ping();
    server.wind(hold);
    assert_eq!(code(&late.receive()), Some(116));
    drop(peers);
    server.wait_until("they are closed with their clients", || {
        server.handle().upstreams()[0].links == 0
    });
    is_lost_until_it_is_ended(&mut late, &upstream, "a call or SQL in its stream");
}

/// Another stream has the only transaction that its connection may have open, when it comes to go.
#[test]
fn nothing_is_done_alone_behind_a_call_in_a_stream_that_was_held_and_is_refused_then() {
    let (first, second) = (
        FakeUpstream::of_version((2, 11, 0)),
        FakeUpstream::of_version((2, 11, 0)),
    );
    second.set_writable(false);
    let both = upstreams(&[("a", first.address), ("b", second.address)]);
    let quotas = QuotaLimits::default().transactions_per_connection_max(1);
    let server = TestServer::before_with(
        config().session_threads(1).quotas(quotas),
        both.failover_hold(Duration::from_secs(60)),
    );
    server.wait_for(State::Assist);
    let mut peer = server.connect();
    pass(&mut peer, &first, &eval(1, "return 1"));
    first.set_writable(false);
    server.wait_until("requests are held", || {
        server.handle().upstreams()[0].links == 0
    });
    peer.send(&eval(1, "box.begin()").stream(7));
    for own in [eval(2, "box.begin()").stream(3), write(3)] {
        peer.send(&own);
    }
    peer.ping();
    second.set_writable(true);
    second.asked().reply(DONE);
    let told = [(1, None), (2, Some(1)), (3, Some(97))];
    assert_eq!(are_told(&mut peer), told);
    is_lost_until_it_is_ended(&mut peer, &second, "a call or SQL in its stream");
}

/// The solo policy has its session hold it, and it is killed there. Behind a call that was sent, a
/// transaction may be open.
#[test]
fn nothing_is_done_alone_behind_a_call_in_a_stream_that_its_session_has_held() {
    let upstream = FakeUpstream::of_version((2, 11, 0));
    let mut config = config().session_threads(1).solo_policy(SoloPolicy::Hold);
    config.settings.hold.time_max = Duration::from_secs(3600);
    let server = TestServer::before_with(config, upstreams(&[("a", upstream.address)]));
    server.wait_for(State::Assist);
    let mut peer = server.connect();
    let connection = block_on(server.handle().connections(1))[0].connection;
    pass(&mut peer, &upstream, &eval(1, "box.begin()").stream(5));
    let mut operator = server.connect();
    operator.call("vestibule.solo", &[0x90]);
    for own in [eval(2, "box.begin()").stream(3), write(3)] {
        peer.send(&own);
    }
    peer.send(&eval(4, "return 1").stream(5));
    // The same stream as far as its end, which is given up as well.
    for own in [
        eval(5, "box.begin()").stream(8),
        RequestBuilder::replace(6, 6).stream(8),
        RequestBuilder::new(RequestType::Commit, 7).stream(8),
    ] {
        peer.send(&own);
    }
    peer.ping();
    for sync in [2, 4, 5, 7] {
        let killed = block_on(server.handle().kill_request(connection, sync));
        assert_eq!(killed.requests, 1);
        let told = peer.receive();
        assert_eq!((told.sync, code(&told)), (sync, Some(32)));
    }
    operator.call("vestibule.assist", &[0x90]);
    for sync in [3, 6] {
        let told = peer.receive();
        assert_eq!((told.sync, code(&told)), (sync, Some(97)));
    }
    pass(
        &mut peer,
        &upstream,
        &RequestBuilder::replace(14, 14).stream(8),
    );
    is_lost_until_it_is_ended(&mut peer, &upstream, "a call or SQL in its stream");
    pass(
        &mut peer,
        &upstream,
        &RequestBuilder::replace(13, 13).stream(5),
    );
}

/// What a client sends in its stream is not done before it has ended the transaction there.
pub(crate) fn is_lost_until_it_is_ended(peer: &mut Peer, upstream: &FakeUpstream, by: &str) {
    let refused = peer.ask(&write(10));
    let text = format!("Transaction has been aborted by {by}, which was not sent");
    assert_eq!(
        (code(&refused), refused.error_text()),
        (Some(97), Some(text))
    );
    assert_eq!(code(&peer.ask(&commit(11))), Some(97));
    assert!(upstream.try_asked().is_none());
    pass(peer, upstream, &write(12));
}

/// From then on the client has a connection of its own: its transaction comes to its end where it
/// will have begun.
#[test]
fn who_sets_something_while_a_begin_waits_has_its_transaction_behind_it() {
    let upstream = FakeUpstream::of_version((2, 11, 0));
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut peer = server.connect();
    let sleeping = waiting_begin(&mut peer, &upstream);
    [set(3, "on"), write(4), commit(5)]
        .iter()
        .for_each(|own| peer.send(own));
    peer.ping();
    assert!(upstream.try_asked().is_none(), "they wait behind BEGIN");
    sleeping[0].reply(DONE);
    let asked = [(); 5].map(|()| upstream.asked());
    asked.iter().for_each(|own| own.reply(DONE));
    let connection = asked[0].connection;
    assert_ne!(connection, sleeping[0].connection);
    let types = asked.map(|own| (own.header.request_type, own.connection));
    let all = [
        RequestType::Eval,
        RequestType::Begin,
        RequestType::Update,
        RequestType::Replace,
        RequestType::Commit,
    ];
    assert_eq!(types, all.map(|kind| (kind as u64, connection)));
    let mut told = [(); 6].map(|()| {
        let own = peer.receive();
        (own.sync, code(&own))
    });
    told.sort_unstable();
    assert_eq!(told, [1, 1, 2, 3, 4, 5].map(|sync| (sync, None)));
}

/// Requests are held, of alice, who was bob before.
pub(crate) fn held_of_alice() -> (FakeUpstream, TestServer<Gateway>, Peer) {
    held_with(|first, second, server| {
        let mut peer = server.connect();
        for name in ["bob", "alice"] {
            for own in [first, second] {
                own.set_password(name, "secret");
            }
            assert_eq!(peer.log_in(name, "secret").code, 0);
        }
        peer
    })
}

/// The next three that a client is told, by their syncs, and their codes.
fn are_told(peer: &mut Peer) -> [(u64, Option<u16>); 3] {
    let mut told = [(); 3].map(|()| {
        let own = peer.receive();
        (own.sync, code(&own))
    });
    told.sort_unstable();
    told
}

/// No upstream takes changes when the BEGIN comes, and none of whom has sent it when one does.
#[test]
fn who_logs_in_while_a_begin_is_held_has_no_transaction_behind_it() {
    let (second, _server, mut peer) = held_of_alice();
    assert_eq!(peer.ask(&rollback(3)).code, 0);
    peer.send(&begin(1));
    peer.ping();
    assert_eq!(peer.log_in("bob", "secret").code, 0);
    for request in [write(2), commit(3), RequestBuilder::replace(4, 4)] {
        peer.send(&request);
    }
    assert_eq!(are_told(&mut peer), [1, 2, 3].map(|sync| (sync, Some(97))));
    // Its stream is free then.
    peer.send(&begin(5));
    second.set_writable(true);
    for (request, sync) in [(RequestType::Replace, 4), (RequestType::Begin, 5)] {
        let asked = second.asked();
        let got = (asked.header.request_type, &*asked.user);
        assert_eq!(got, (request as u64, "bob"));
        asked.reply(DONE);
        assert_eq!(peer.receive().sync, sync);
    }
    assert!(second.try_asked().is_none());
}

/// What it sends as the other user is a part of its transaction, for all that it knows.
#[test]
fn who_logs_in_as_another_user_and_back_while_a_begin_is_held_commits_no_half_of_it() {
    let (second, _server, mut peer) = held_of_alice();
    assert_eq!(peer.ask(&rollback(3)).code, 0);
    [begin(1), write(2)].iter().for_each(|own| peer.send(own));
    peer.ping();
    assert_eq!(peer.log_in("bob", "secret").code, 0);
    peer.send(&write(3));
    assert_eq!(are_told(&mut peer), [1, 2, 3].map(|sync| (sync, Some(97))));
    assert_eq!(peer.log_in("alice", "secret").code, 0);
    assert_eq!(code(&peer.ask(&commit(4))), Some(97));
    // Its stream is free then.
    peer.send(&write(5));
    second.set_writable(true);
    let asked = second.asked();
    let got = (asked.header.request_type, &*asked.user);
    assert_eq!(got, (RequestType::Replace as u64, "alice"));
    asked.reply(DONE);
    assert_eq!(peer.receive().sync, 5);
    assert!(second.try_asked().is_none());
}

/// All that is held goes over one connection, by what its client can read when it goes.
#[test]
fn who_comes_to_read_other_replies_while_a_begin_is_held_has_its_transaction_behind_it() {
    use RequestType::{Begin, Commit, Replace};
    let (second, _server, mut peer) = held();
    assert_eq!(peer.ask(&rollback(3)).code, 0);
    for request in [begin(2), RequestBuilder::replace(3, 3)] {
        peer.send(&request);
    }
    peer.ping();
    let format = Features::NONE.with(Feature::ErrorExtension);
    assert_eq!(peer.ask(&id_of(format)).code, 0);
    for request in [write(4), commit(5)] {
        peer.send(&request);
    }
    peer.ping();
    second.set_writable(true);
    let asked = [(); 4].map(|()| second.asked());
    let types = asked.each_ref().map(|own| own.header.request_type);
    assert_eq!(
        types,
        [Begin, Replace, Replace, Commit].map(|own| own as u64)
    );
    let [begin, alone, write, commit] = asked.each_ref().map(|own| own.header.stream_id);
    assert!(begin != 0 && alone == 0 && write == begin && commit == begin);
    let connection = asked[0].connection;
    for own in asked {
        assert_eq!((own.connection, own.features), (connection, format));
        own.reply(DONE);
        assert_eq!(peer.receive().code, 0);
    }
}
