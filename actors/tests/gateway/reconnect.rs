//! New connections to an upstream, as an operator asks for them.

use vestibule_actors::Gateway;
use vestibule_actors::monitoring::LinkState;
use vestibule_actors::testing::{RequestBuilder, TestServer, block_on};
use vestibule_actors::wire::keys::RequestType;

use crate::upstream::{FakeUpstream, upstreams};
use crate::{DONE, ask, eval, on_one_thread};

/// Has an operator ask for new connections, and waits until the ones that there are end.
pub(crate) fn reconnect(server: &TestServer<Gateway>) {
    let told = server.connect().call_with("vestibule.reconnect", &("a",));
    assert_eq!(told.code, 0);
    server.wait_until("they come to their ends", || {
        let handle = server.handle().clone();
        let rows = block_on(async move { handle.links(10).await });
        rows.iter().all(|own| own.state == LinkState::Ending)
    });
}

#[test]
fn what_is_new_goes_over_a_new_connection_and_what_is_under_way_ends_on_the_old_one() {
    let upstream = FakeUpstream::of_version((2, 11, 0));
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let [mut one, mut other, mut third] = [(); 3].map(|()| server.connect());
    let in_stream = |request| RequestBuilder::new(request, 1).stream(7);
    let old = ask(&mut one, &upstream, &in_stream(RequestType::Begin));
    other.send(&eval(1, "return 1"));
    let under_way = upstream.asked();
    assert_eq!(under_way.connection, old);
    reconnect(&server);
    let new = ask(&mut third, &upstream, &eval(2, "return 1"));
    assert_ne!(new, old);
    assert_eq!(ask(&mut one, &upstream, &eval(2, "return 1")), new);
    let commit = in_stream(RequestType::Commit);
    assert_eq!(ask(&mut one, &upstream, &commit), old);
    assert!(!upstream.has_ended(old));
    under_way.reply(DONE);
    assert_eq!(other.receive().code, 0);
    server.wait_until("it is closed", || upstream.has_ended(old));
    assert_eq!(ask(&mut other, &upstream, &eval(3, "return 1")), new);
    assert!(!upstream.has_ended(new));
}

#[test]
fn names_that_are_no_upstreams_are_refused() {
    let upstream = FakeUpstream::start();
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut peer = server.connect();
    let told = peer.call_with("vestibule.reconnect", &("c",));
    assert_eq!(told.error_code(), Some(1));
    assert!(told.error_mentions("There is no upstream 'c'"));
    assert_eq!(
        peer.call("vestibule.reconnect", &[0x90]).error_code(),
        Some(1)
    );
}
