//! What is on its way to an upstream that says nothing for long is given up, if operators say so.

use std::time::Duration;

use vestibule_actors::serving::State;
use vestibule_actors::testing::RequestBuilder;

use crate::upstream::{FakeUpstream, upstreams};
use crate::{DONE, eval, on_one_thread};

/// Longer than an upstream may say nothing before it counts as silent.
const ABANDON: Duration = Duration::from_millis(600);

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
    peer.send(&eval(1, "return 1"));
    let next = upstream.asked();
    assert_ne!(next.connection, asked.connection);
    next.reply(DONE);
    assert_eq!(peer.receive().code, 0);
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
    second.asked().reply(DONE);
    assert_eq!(peer.receive().code, 0);
    assert!(second.try_asked().is_none());
}
