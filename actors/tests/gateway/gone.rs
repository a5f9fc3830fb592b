//! All upstreams are gone, and come back one after another.

use std::time::{Duration, Instant};

use vestibule_actors::Gateway;
use vestibule_actors::monitoring::UpstreamState;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Peer, TestServer};
use vestibule_actors::wire::keys::CODE_CHUNK;

use crate::upstream::{FakeUpstream, PATIENCE, upstreams};
use crate::{DONE, eval, pass, serving};

const CLIENTS: usize = 1000;

/// How often an upstream is connected to in a second, at most.
const CONNECTS_MAX: f64 = 20.0;

/// How often each is connected to while they are gone: more often than in the time for which
/// requests are held.
const CONNECTS: usize = 24;

/// Asks for each client, and checks that each is told that nobody serves.
fn are_told(peers: &mut [Peer]) {
    for peer in peers.iter_mut() {
        peer.send(&eval(1, "return 1"));
    }
    for peer in peers {
        let told = peer.receive();
        assert_eq!(told.error_code(), Some(116));
        assert!(told.error_mentions("a: "), "{:?}", told.error_text());
    }
}

///
#[test]
fn those_that_are_gone_are_left_alone_however_many_ask_and_the_first_that_is_back_answers_all() {
    let all = [(); 3].map(|()| FakeUpstream::start());
    all[1..].iter().for_each(|own| own.set_writable(false));
    let named: Vec<_> = ["a", "b", "c"].into_iter().zip(&all).collect();
    let named: Vec<_> = named
        .iter()
        .map(|(name, own)| (*name, own.address))
        .collect();
    let server = serving(upstreams(&named));
    let mut peers: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    for peer in &mut peers {
        pass(peer, &all[0], &eval(1, "return 1"));
    }

    let began = Instant::now();
    let before = all.each_ref().map(FakeUpstream::connections);
    all.iter().for_each(|own| own.set_gone(true));
    server.wait_for(State::Solo);
    let connects = || [0, 1, 2].map(|at| all[at].connections() - before[at]);
    while connects().iter().any(|own| *own < CONNECTS) {
        are_told(&mut peers);
    }
    let (connects, passed) = (connects(), began.elapsed());
    for own in connects {
        // One more for each of: the first, which is at once, the last, and haste.
        let most = CONNECTS_MAX * passed.as_secs_f64() + 3.0;
        assert!(own as f64 <= most, "{connects:?} in {passed:?}");
    }

    come_back(&server, &all, &mut peers);
}

/// One that is read-only, while others are not there, answers nobody.
fn come_back(server: &TestServer<Gateway>, all: &[FakeUpstream; 3], peers: &mut [Peer]) {
    all[2].set_gone(false);
    server.wait_until("one is back", || {
        server.handle().upstreams()[2].state == UpstreamState::Serving
    });
    are_told(peers);
    all[1].set_writable(true);
    all[1].set_gone(false);
    server.wait_for(State::Assist);
    for peer in peers.iter_mut() {
        peer.send(&eval(2, "return 1"));
    }
    (0..CLIENTS).for_each(|_| all[1].asked().reply(DONE));
    for peer in peers {
        assert_eq!(peer.receive().code, 0);
    }
    assert!(all[2].try_asked().is_none());
}

/// What it has to do stands before the question how it is, and its answers to that tell that it
/// lives.
#[test]
fn who_answers_requests_alone_is_there() {
    let upstream = FakeUpstream::start();
    let server =
        serving(upstreams(&[("a", upstream.address)]).silent_after(Duration::from_millis(300)));
    let mut peer = server.connect();
    pass(&mut peer, &upstream, &eval(1, "return 1"));
    upstream.set_busy(true);
    peer.send(&eval(2, "return 1"));
    let asked = upstream.asked();
    server.wait_for(State::Solo);
    let began = Instant::now();
    while server.handle().serving().state != State::Assist {
        assert!(began.elapsed() < PATIENCE, "it is not known to be there");
        asked.push(DONE);
        assert_eq!(peer.receive().code, CODE_CHUNK);
    }
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
}
