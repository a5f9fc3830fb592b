//! What becomes of streams in which a call waits and is taken back: it is killed, or its time is
//! over.

use std::time::Duration;

use vestibule_actors::testing::{Peer, TestServer, block_on};
use vestibule_actors::{Gateway, testing::RequestBuilder};

use crate::streams::{held, rollback};
use crate::unbegun::{
    code, commit, is_lost_until_it_is_ended, waiting_begin, waiting_calls, write,
};
use crate::upstream::{Asked, FakeUpstream, upstreams};
use crate::{DONE, eval, on_one_thread, pass};

const BY: &str = "a call or SQL in its stream";

fn call(sync: u64) -> RequestBuilder {
    eval(sync, "box.begin()").stream(3)
}

fn before_one() -> (FakeUpstream, TestServer<Gateway>, Peer) {
    let upstream = FakeUpstream::of_version((2, 11, 0));
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let peer = server.connect();
    (upstream, server, peer)
}

/// Kills what a connection has sent as this.
fn kill(server: &TestServer<Gateway>, sync: u64) {
    let connection = block_on(server.handle().connections(1))[0].connection;
    let killed = block_on(server.handle().kill_request(connection, sync));
    assert_eq!(killed.requests, 1);
}

/// The next that a client is told, by their syncs, and their codes.
fn are_told<const N: usize>(peer: &mut Peer) -> [(u64, Option<u16>); N] {
    let mut told = [(); N].map(|()| {
        let own = peer.receive();
        (own.sync, code(&own))
    });
    told.sort_unstable();
    told
}

/// The calls that were under way are done, and so is the one of no stream that has waited.
fn go_on(peer: &mut Peer, upstream: &FakeUpstream, sleeping: &[Asked]) {
    sleeping.iter().for_each(|own| own.reply(DONE));
    let waited = upstream.asked();
    assert_eq!(waited.header.stream_id, 0);
    waited.reply(DONE);
    (0..=sleeping.len()).for_each(|_| assert_eq!(peer.receive().sync, 1));
}

#[test]
fn nothing_is_done_alone_behind_a_call_in_a_stream_that_is_killed_while_it_waits() {
    let (upstream, server, mut peer) = before_one();
    let sleeping = waiting_calls(&mut peer, &upstream);
    [call(2), write(3)].iter().for_each(|own| peer.send(own));
    peer.ping();
    kill(&server, 2);
    assert_eq!(are_told(&mut peer), [(2, Some(32)), (3, Some(97))]);
    go_on(&mut peer, &upstream, &sleeping);
    is_lost_until_it_is_ended(&mut peer, &upstream, BY);
}

#[test]
fn a_killed_call_takes_no_more_with_it_than_up_to_the_end_behind_it() {
    let (upstream, server, mut peer) = before_one();
    let sleeping = waiting_calls(&mut peer, &upstream);
    for own in [call(2), write(3), call(4), write(5), commit(6), write(7)] {
        peer.send(&own);
    }
    peer.ping();
    kill(&server, 4);
    let told = [(2, 97), (3, 97), (4, 32), (5, 97), (6, 97)].map(|(own, code)| (own, Some(code)));
    assert_eq!(are_told(&mut peer), told);
    go_on(&mut peer, &upstream, &sleeping);
    let asked = upstream.asked();
    assert_ne!(asked.header.stream_id, 0);
    asked.reply(DONE);
    assert_eq!(peer.receive().sync, 7);
    pass(&mut peer, &upstream, &write(8));
}

#[test]
fn nothing_is_done_alone_behind_a_call_in_a_stream_whose_time_is_over_while_it_waits() {
    let (upstream, server, mut peer) = before_one();
    let sleeping = waiting_calls(&mut peer, &upstream);
    assert_eq!(
        peer.call_with("vestibule.set", &("request_timeout", 5))
            .code,
        0
    );
    peer.send(&call(2));
    peer.ping();
    server.wind(Duration::from_secs(6));
    assert_eq!(are_told(&mut peer), [(2, Some(78))]);
    go_on(&mut peer, &upstream, &sleeping);
    is_lost_until_it_is_ended(&mut peer, &upstream, BY);
}

#[test]
fn nothing_is_done_alone_behind_a_call_in_a_stream_that_is_killed_while_it_is_held() {
    let (second, server, mut peer) = held();
    assert_eq!(peer.ask(&rollback(3)).code, 0);
    [call(2), write(3)].iter().for_each(|own| peer.send(own));
    peer.ping();
    kill(&server, 2);
    assert_eq!(are_told(&mut peer), [(2, Some(32)), (3, Some(97))]);
    assert_eq!(code(&peer.ask(&write(4))), Some(97));
    second.set_writable(true);
    pass(&mut peer, &second, &RequestBuilder::replace(5, 5));
    is_lost_until_it_is_ended(&mut peer, &second, BY);
}

/// The client was told when that was killed, and has ended it since.
#[test]
fn a_stream_whose_killed_beginning_was_ended_is_not_lost_with_the_link_on_which_that_waited() {
    for is_begin in [true, false] {
        let (upstream, server, mut peer) = before_one();
        let sleeping = match is_begin {
            true => waiting_begin(&mut peer, &upstream),
            false => {
                let sleeping = waiting_calls(&mut peer, &upstream);
                peer.send(&call(2));
                sleeping
            }
        };
        peer.ping();
        kill(&server, 2);
        assert_eq!(are_told(&mut peer), [(2, Some(32))]);
        assert_eq!(peer.ask(&rollback(3)).code, 0);
        upstream.end(sleeping[0].connection);
        // The call that waited goes over another one; the others are told.
        upstream.asked().reply(DONE);
        (0..=sleeping.len()).for_each(|_| assert_eq!(peer.receive().sync, 1));
        pass(&mut peer, &upstream, &write(4));
    }
}
