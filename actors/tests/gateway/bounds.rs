//! How much an upstream has to do at a time, as operators say.

use vestibule_actors::testing::RequestBuilder;

use crate::upstream::{FakeUpstream, upstreams};
use crate::{DONE, eval, on_one_thread};

const REQUESTS: usize = 8;
const CALLS: usize = 4;

#[test]
fn an_upstream_has_no_more_to_do_than_operators_say() {
    let upstream = FakeUpstream::start();
    let own = upstreams(&[("a", upstream.address)]);
    let own = own.requests_max(REQUESTS).calls_max(Some(CALLS));
    let server = on_one_thread(own);
    let mut peers = [(); 2 * REQUESTS].map(|()| server.connect());
    for peer in &mut peers[REQUESTS..] {
        peer.send(&eval(1, "return 1"));
    }
    let mut calls: Vec<_> = (0..CALLS).map(|_| upstream.asked()).collect();
    for peer in &mut peers[..REQUESTS] {
        peer.send(&RequestBuilder::select(2, 1));
    }
    let others: Vec<_> = (CALLS..REQUESTS).map(|_| upstream.asked()).collect();
    let selects = others.iter().all(|own| own.header.request_type == 1);
    assert!(selects, "more calls do not go");
    // What was sent before it waits by now.
    peers.iter_mut().for_each(|own| own.ping());
    let shown = &server.handle().upstreams()[0];
    let (requests, calls_sent) = (shown.in_flight as usize, shown.calls as usize);
    assert_eq!((requests, calls_sent), (REQUESTS, CALLS));
    assert_eq!(shown.in_flight_max, REQUESTS as u64);
    // Of twice as many.
    assert_eq!(shown.queued, REQUESTS as u64);
    let of_call = eval(1, "return 1").bytes().len() as u64;
    assert!((1..of_call * shown.queued).contains(&shown.queued_bytes));
    assert!(upstream.try_asked().is_none());
    let limits = server.handle().limits();
    let limit = |name| limits.iter().find(|own| own.name == name).unwrap().value;
    let shown = ["upstream_requests_max", "upstream_calls_max"].map(limit);
    assert_eq!(shown, [REQUESTS as u64, CALLS as u64]);
    // Each that is answered lets one more go, of its kind.
    calls.pop().unwrap().reply(DONE);
    let next = upstream.asked();
    assert_eq!(next.header.request_type, 8, "an EVAL");
    for own in calls.into_iter().chain(others).chain([next]) {
        own.reply(DONE);
    }
    for _ in REQUESTS + 1..peers.len() {
        upstream.asked().reply(DONE);
    }
    for peer in &mut peers {
        assert_eq!(peer.receive().code, 0);
    }
    let shown = &server.handle().upstreams()[0];
    assert_eq!((shown.queued, shown.queued_bytes), (0, 0));
}

#[test]
fn what_waits_for_an_upstream_is_not_shown_any_more_when_nobody_waits_for_it() {
    let upstream = FakeUpstream::start();
    let own = upstreams(&[("a", upstream.address)]);
    let server = on_one_thread(own.requests_max(2).calls_max(Some(1)));
    let mut peers = [(); 6].map(|()| server.connect());
    let (sent, waiting) = peers.split_at_mut(2);
    sent.iter_mut()
        .for_each(|own| own.send(&RequestBuilder::select(1, 1)));
    let asked = [(); 2].map(|()| upstream.asked());
    for peer in waiting {
        assert_eq!(
            peer.call_with("vestibule.set", &("request_timeout", 0.1))
                .code,
            0
        );
        peer.send(&RequestBuilder::select(1, 1));
        assert_eq!(peer.receive().error_code(), Some(78));
    }
    server.wait_until("none waits for it", || {
        let shown = &server.handle().upstreams()[0];
        (shown.queued, shown.queued_bytes) == (0, 0)
    });
    asked.iter().for_each(|own| own.reply(DONE));
    for peer in sent {
        assert_eq!(peer.receive().code, 0);
    }
    assert!(upstream.try_asked().is_none());
}

#[test]
fn what_waits_for_an_upstream_is_not_shown_any_more_when_that_is_gone() {
    let upstream = FakeUpstream::start();
    let own = upstreams(&[("a", upstream.address)]);
    let server = on_one_thread(own.requests_max(2).calls_max(Some(1)));
    let mut peers = [(); 4].map(|()| server.connect());
    for peer in &mut peers {
        peer.send(&RequestBuilder::select(1, 1));
    }
    let waits = || {
        let shown = &server.handle().upstreams()[0];
        (shown.queued, shown.queued_bytes > 0)
    };
    server.wait_until("two wait", || waits() == (2, true));
    upstream.set_gone(true);
    server.wait_until("none waits for it", || waits() == (0, false));
}
