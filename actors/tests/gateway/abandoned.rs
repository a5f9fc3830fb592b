//! What is on its way to an upstream that says nothing for long is given up, if operators say so.

use std::thread;
use std::time::Duration;

use vestibule_actors::serving::State;
use vestibule_actors::testing::{Frame, Peer, RequestBuilder};

use crate::upstream::{Asked, FakeUpstream, upstreams};
use crate::{DONE, on_one_thread};

/// Which of the connections of an upstream is its scout's: the first one.
const SCOUT: usize = 0;

/// Longer than an upstream may say nothing before it counts as silent, and than a busy machine
/// keeps one from saying anything.
const ABANDON: Duration = Duration::from_secs(3);

#[test]
fn of_what_a_silent_upstream_owes_nobody_knows_what_became_and_nobody_waits_for_it() {
    let upstream = FakeUpstream::start();
    let own = upstreams(&[("a", upstream.address)]);
    let server = on_one_thread(own.silent_abandon(ABANDON));
    let mut peer = server.connect();
    peer.send(&RequestBuilder::replace(1, 1));
    let asked = upstream.asked();
    upstream.set_silent(true);
    let told = peer.receive();
    assert_eq!((told.sync, told.error_code()), (1, Some(115)));
    assert!(told.error_mentions("it says nothing any more"));
    assert!(told.error_mentions("unknown"));
    server.wait_until("its connection is closed", || {
        server.handle().upstreams()[0].links == 0
    });
    assert_eq!(server.handle().upstreams()[0].unknown, 1);
    // It executes that after all, and says so to nobody.
    asked.reply(DONE);
    upstream.set_silent(false);
    server.wait_for(State::Assist);
    let (told, asked_next) = answered(&mut peer, &upstream);
    assert_eq!(told.code, 0);
    let is_other = |own: &Asked| own.connection != asked.connection;
    assert!(!asked_next.is_empty() && asked_next.iter().all(is_other));
    // The scout's connection is the one that it was.
    assert_eq!(server.handle().upstreams()[0].connects, 1);
}

#[test]
fn what_only_reads_is_asked_where_requests_go_by_then() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    second.set_writable(false);
    let both = upstreams(&[("a", first.address), ("b", second.address)]);
    let server = on_one_thread(both.silent_abandon(ABANDON));
    let mut peer = server.connect();
    peer.send(&RequestBuilder::select(1, 1));
    first.asked();
    // It takes over in the moment in which the first one counts as silent.
    second.set_writable(true);
    server.wait_until("it is known to take changes", || {
        server.handle().upstreams()[1].is_writable == Some(true)
    });
    first.set_silent(true);
    is_asked(&second, &mut peer);
}

/// As for one that was silent before, with which one is patient: it is silent when it is given up.
#[test]
fn what_only_reads_is_asked_elsewhere_also_when_silence_is_given_up_at_once() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    let both = upstreams(&[("a", first.address), ("b", second.address)]);
    let both = both.silent_after(ABANDON).silent_abandon(ABANDON);
    let server = on_one_thread(both);
    server.wait_until("both are known to take changes", || {
        let shown = server.handle().upstreams();
        shown.iter().all(|own| own.is_writable == Some(true))
    });
    let mut peer = server.connect();
    let (own, other) = match server.handle().upstreams()[0].is_target {
        true => (&first, &second),
        false => (&second, &first),
    };
    peer.send(&RequestBuilder::select(1, 1));
    own.asked();
    own.set_silent(true);
    is_asked(other, &mut peer);
}

/// This one answers what a client waits for.
fn is_asked(upstream: &FakeUpstream, peer: &mut Peer) {
    let (told, asked) = thread::scope(|scope| {
        let told = scope.spawn(|| peer.receive());
        let asked = upstream.answer_all(DONE, &told);
        (told.join().unwrap(), asked)
    });
    assert_eq!(told.code, 0, "{:?}", told.error_text());
    assert!(!asked.is_empty(), "it was not the first one that answered");
}

#[test]
fn that_the_scout_is_on_its_way_there_again_makes_nobody_wait_longer() {
    let upstream = FakeUpstream::start();
    let own = upstreams(&[("a", upstream.address)]).silent_abandon(ABANDON);
    let server = on_one_thread(own.connect_timeout(Duration::from_secs(600)));
    let mut peer = server.connect();
    peer.send(&RequestBuilder::replace(1, 1));
    let asked = upstream.asked();
    upstream.set_silent(true);
    let shown = || server.handle().upstreams().remove(0);
    server.wait_until("it is known to owe an answer", || {
        shown().is_writable.is_none()
    });
    assert_ne!(asked.connection, SCOUT);
    upstream.end(SCOUT);
    let told = peer.receive();
    assert_eq!((told.sync, told.error_code()), (1, Some(115)));
    assert!(told.error_mentions("it says nothing any more"));
    assert_eq!(shown().connects, 1, "it has not greeted since");
}

/// A SELECT, which is asked again if what was on its way is given up on a busy machine; how it is
/// answered, and all that the upstream was asked for that.
fn answered(peer: &mut Peer, upstream: &FakeUpstream) -> (Frame, Vec<Asked>) {
    thread::scope(|scope| {
        let told = scope.spawn(|| peer.ask(&RequestBuilder::select(1, 1)));
        let asked = upstream.answer_all(DONE, &told);
        (told.join().unwrap(), asked)
    })
}
