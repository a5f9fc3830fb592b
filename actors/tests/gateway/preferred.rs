//! Which of several that take changes is meant, as operators say.

use std::time::Duration;

use vestibule_actors::serving::State;
use vestibule_actors::testing::{TestServer, config};

use crate::upstream::{FakeUpstream, upstreams};
use crate::{eval, goes_to, pass, serving};

#[test]
fn at_the_start_who_is_preferred_is_waited_for() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    let both = upstreams(&[("a", first.address), ("b", second.address)]);
    let both = both.primary(Some("b".to_owned()));
    second.set_silent(true);
    let both = both.connect_timeout(Duration::from_secs(600));
    let server = TestServer::before_with(config(), both);
    server.wait_until("how the other one is, is known", || {
        let shown = server.handle().upstreams();
        shown[0].is_writable == Some(true) && shown[0].probes > 3
    });
    assert_eq!(server.handle().serving().state, State::Loading);
    let trouble = server.handle().status().reason;
    assert_eq!(trouble, "a: waits for b, b: not reached yet");
    second.set_silent(false);
    server.wait_for(State::Assist);
    pass(&mut server.connect(), &second, &eval(1, "return 1"));
    assert!(first.try_asked().is_none());
}

#[test]
fn one_that_is_preferred_and_not_there_is_not_waited_for() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    let both = upstreams(&[("a", first.address), ("b", second.address)]);
    second.set_gone(true);
    let server = serving(both.primary(Some("b".to_owned())));
    pass(&mut server.connect(), &first, &eval(1, "return 1"));
    // Nor do requests go to it when it comes: no two are written to in turns.
    second.set_gone(false);
    server.wait_until("how it is, is known", || {
        server.handle().upstreams()[1].is_writable == Some(true)
    });
    // What follows from that is done a moment later, and before it is asked once more.
    let asked = || server.handle().upstreams()[1].probes;
    let before = asked();
    server.wait_until("it is asked again", || asked() > before);
    pass(&mut server.connect(), &first, &eval(2, "return 1"));
    assert!(second.try_asked().is_none());
}

#[test]
fn who_is_preferred_takes_over_from_one_that_is_lost() {
    let all = [(); 3].map(|()| FakeUpstream::start());
    let [a, b, c] = &all;
    for own in [b, c] {
        own.set_writable(false);
    }
    let three = upstreams(&[("a", a.address), ("b", b.address), ("c", c.address)]);
    let server = serving(three.primary(Some("c".to_owned())));
    pass(&mut server.connect(), a, &eval(1, "return 1"));
    for own in [b, c] {
        own.set_writable(true);
    }
    server.wait_until("what they say is known", || {
        let shown = server.handle().upstreams();
        shown.iter().all(|own| own.is_writable == Some(true))
    });
    a.set_gone(true);
    goes_to(&server, c, b);
    assert_eq!(server.handle().upstreams()[1].sent, 0);
}
