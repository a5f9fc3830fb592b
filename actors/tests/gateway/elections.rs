//! Upstreams of a replica set that elects its leader: which of two that take changes is meant.

use vestibule_actors::monitoring::UpstreamInfo;
use vestibule_actors::testing::{RequestBuilder, TestServer};
use vestibule_actors::{Gateway, Upstreams};

use crate::bodies::election;
use crate::upstream::{FakeUpstream, upstreams};
use crate::{eval, goes_to, pass, serving};

/// Two that take changes and have told of these elections.
fn two(terms: [u64; 2]) -> [FakeUpstream; 2] {
    terms.map(|term| {
        let own = FakeUpstream::of_version((2, 11, 0));
        own.set_event("box.election", &election(term));
        own
    })
}

fn both(own: &[FakeUpstream; 2]) -> Upstreams {
    upstreams(&[("a", own[0].address), ("b", own[1].address)])
}

/// Waits until it is known what both say, and requests go to this one, which is so a moment later.
fn wait_for_both(server: &TestServer<Gateway>, terms: [u64; 2], target: usize) {
    let is_known =
        |own: &UpstreamInfo, term| (own.is_writable, own.term) == (Some(true), Some(term));
    server.wait_until("what both say is known", || {
        let shown = server.handle().upstreams();
        let mut both = shown.iter().zip(terms);
        shown[target].is_target && both.all(|(own, term)| is_known(own, term))
    });
}

#[test]
fn of_two_that_take_changes_requests_go_to_the_leader_of_the_later_election() {
    let own = two([4, 4]);
    own[1].set_writable(false);
    let server = serving(both(&own));
    pass(&mut server.connect(), &own[0], &eval(1, "return 1"));
    // The first one is cut off from the others and does not hear of it.
    own[1].set_event("box.election", &election(5));
    own[1].set_writable(true);
    goes_to(&server, &own[1], &own[0]);
    // It hears of it, and says still that it takes changes.
    own[0].set_event("box.election", &election(5));
    wait_for_both(&server, [5, 5], 1);
    pass(&mut server.connect(), &own[1], &eval(2, "return 1"));
    own[0].set_event("box.election", &election(6));
    goes_to(&server, &own[0], &own[1]);
}

#[test]
fn at_the_start_the_later_election_counts_and_not_who_is_named_first() {
    let own = two([4, 5]);
    let server = serving(both(&own));
    wait_for_both(&server, [4, 5], 1);
    pass(&mut server.connect(), &own[1], &eval(1, "return 1"));
    // What was told counts after its connection has ended as well.
    let before = own[0].connections();
    own[0].set_gone(true);
    own[0].set_gone(false);
    server.wait_until("it is there again", || own[0].connections() > before);
    wait_for_both(&server, [4, 5], 1);
    pass(&mut server.connect(), &own[1], &eval(2, "return 1"));
}

#[test]
fn whoever_is_reached_first_the_later_election_counts_also_when_it_is_reached_again() {
    let own = two([4, 5]);
    own[1].set_gone(true);
    let server = serving(both(&own));
    pass(&mut server.connect(), &own[0], &eval(1, "return 1"));
    // The leader is there, and the other one stays as it is.
    own[1].set_gone(false);
    goes_to(&server, &own[1], &own[0]);
    own[1].set_gone(true);
    goes_to(&server, &own[0], &own[1]);
    own[1].set_gone(false);
    goes_to(&server, &own[1], &own[0]);
}

/// The data of one is wiped, and its replica set is another: nothing that it told before counts.
#[test]
fn what_an_instance_has_told_of_elections_does_not_count_for_the_one_in_its_place() {
    let own = two([9, 5]);
    own[0].set_instance(1);
    own[0].set_event("box.election", &election(9));
    let server = serving(both(&own));
    wait_for_both(&server, [9, 5], 0);
    pass(&mut server.connect(), &own[0], &eval(1, "return 1"));
    own[0].set_gone(true);
    goes_to(&server, &own[1], &own[0]);
    own[0].set_instance(2);
    own[0].set_gone(false);
    server.wait_until("it is there, and has told of no election", || {
        let shown = &server.handle().upstreams()[0];
        (shown.is_writable, shown.term) == (Some(true), None)
    });
    pass(&mut server.connect(), &own[1], &eval(2, "return 1"));
    // A lower one counts as well, as soon as it is told.
    own[0].set_event("box.election", &election(1));
    wait_for_both(&server, [1, 5], 1);
    pass(&mut server.connect(), &own[1], &eval(3, "return 1"));
    own[1].set_writable(false);
    goes_to(&server, &own[0], &own[1]);
}

/// By the connection that watches for the gateway itself.
#[test]
fn clients_are_told_of_elections_as_well() {
    let own = two([4, 5]);
    let server = serving(both(&own));
    wait_for_both(&server, [4, 5], 1);
    let mut peer = server.connect();
    let mut told = |term| {
        peer.send(&RequestBuilder::watch(1, "box.election"));
        let event = peer.receive().event();
        assert_eq!(
            event,
            Some(("box.election".to_owned(), Some(election(term))))
        );
    };
    told(5);
    own[1].set_event("box.election", &election(7));
    told(7);
    assert_eq!(own[1].watchers("box.election"), 1);
    // Who goes on watching is told by the next one.
    own[0].set_event("box.election", &election(8));
    told(8);
    drop(peer);
    server.wait_until("it is watched all the same", || {
        own.iter().all(|own| own.watchers("box.election") == 1)
    });
}
