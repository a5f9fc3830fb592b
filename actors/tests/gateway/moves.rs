//! What waits when a connection comes to have another one upstream.

use vestibule_actors::Gateway;
use vestibule_actors::limits::{
    UPSTREAM_CALLS_CONNECTIONS_RESERVE, UPSTREAM_CALLS_DEFAULT, UPSTREAM_CALLS_USERS_RESERVE,
};
use vestibule_actors::testing::{Peer, RequestBuilder, TestServer};
use vestibule_actors::wire::features::{Feature, Features};
use vestibule_actors::wire::keys::RequestType;

use crate::pins::set;
use crate::reconnect::reconnect;
use crate::upstream::{Asked, FakeUpstream, upstreams};
use crate::{DONE, eval, id_of, on_one_thread};

/// As many calls as one connection has on their way.
const CALLS: usize =
    UPSTREAM_CALLS_DEFAULT - UPSTREAM_CALLS_CONNECTIONS_RESERVE - UPSTREAM_CALLS_USERS_RESERVE;

/// A connection that has one call more than may be on their way: what it sends waits behind that.
struct Waiting {
    server: TestServer<Gateway>,
    upstream: FakeUpstream,
    peer: Peer,
    asked: Vec<Asked>,
}

impl Waiting {
    fn start() -> Self {
        let upstream = FakeUpstream::of_version((2, 10, 0));
        let server = on_one_thread(upstreams(&[("a", upstream.address)]));
        let mut peer = server.connect();
        for sync in 0..=CALLS as u64 {
            peer.send(&eval(sync, "sleep()"));
        }
        let asked = (0..CALLS).map(|_| upstream.asked()).collect();
        Self {
            server,
            upstream,
            peer,
            asked,
        }
    }

    /// Sends this, and waits until the gateway has taken it.
    fn send(&mut self, request: &RequestBuilder) {
        self.peer.send(request);
        let ping = RequestBuilder::new(RequestType::Ping, 1000);
        self.peer.send(&ping);
        // That to an ID comes before it, if there was one.
        while self.peer.receive().sync != 1000 {}
    }

    /// One call is answered, and what waits goes on: all of it over one connection, which is not
    /// the one of the calls. Tells the types and streams of what comes.
    fn go_on(&mut self, count: usize) -> Vec<(u64, u64)> {
        let old = self.asked[0].connection;
        self.asked[0].reply(DONE);
        let came: Vec<_> = (0..count).map(|_| self.upstream.asked()).collect();
        let new = came[0].connection;
        assert!(new != old && came.iter().all(|own| own.connection == new));
        came.iter().map(header).collect()
    }
}

/// The type of a request, and its stream.
fn header(own: &Asked) -> (u64, u64) {
    (own.header.request_type, own.header.stream_id)
}

fn types(of: &[(u64, u64)]) -> Vec<u64> {
    of.iter().map(|own| own.0).collect()
}

#[test]
fn what_waits_for_the_old_connection_is_sent_over_the_new_one_first_and_in_one_stream() {
    use RequestType::{Begin, Commit, Eval, Replace};
    let mut own = Waiting::start();
    own.send(&RequestBuilder::new(Begin, 300).stream(7));
    reconnect(&own.server);
    own.peer.send(&RequestBuilder::replace(301, 1).stream(7));
    own.peer.send(&RequestBuilder::replace(302, 1));
    own.send(&RequestBuilder::new(Commit, 303).stream(7));
    let came = own.go_on(5);
    assert_eq!(
        types(&came),
        [Eval, Begin, Replace, Replace, Commit].map(|own| own as u64)
    );
    let stream = came[1].1;
    assert!(stream != 0 && came[2].1 == stream && came[4].1 == stream);
    assert_eq!(came[3].1, 0);
}

#[test]
fn what_waits_when_its_client_sets_something_is_sent_before_that() {
    use RequestType::{Eval, Replace, Update};
    let mut own = Waiting::start();
    own.send(&RequestBuilder::replace(300, 1));
    own.send(&set(301, "on"));
    own.send(&RequestBuilder::replace(302, 1));
    let came = own.go_on(4);
    assert_eq!(
        types(&came),
        [Eval, Replace, Update, Replace].map(|own| own as u64)
    );
}

#[test]
fn what_waits_for_a_connection_that_is_left_twice_goes_along_whole() {
    use RequestType::{Begin, Commit, Eval, Replace};
    let upstream = FakeUpstream::of_version((2, 10, 0));
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut peer = server.connect();
    let ping = RequestBuilder::new(RequestType::Ping, 1000);
    // Something is under way in a stream, where one call more than may be on their way waits.
    for sync in 0..CALLS as u64 {
        peer.send(&eval(sync, "sleep()"));
    }
    peer.send(&RequestBuilder::replace(299, 1).stream(8));
    let first: Vec<_> = (0..=CALLS).map(|_| upstream.asked()).collect();
    peer.send(&eval(300, "sleep()").stream(8));
    peer.send(&RequestBuilder::new(Begin, 301).stream(8));
    assert_eq!(peer.ask(&ping).sync, 1000);
    reconnect(&server);
    // Something is open over the second one as well.
    peer.send(&RequestBuilder::new(Begin, 302).stream(5));
    let second = upstream.asked();
    assert_ne!(second.connection, first[0].connection);
    second.reply(DONE);
    assert_eq!(peer.receive().sync, 302);
    reconnect(&server);
    peer.send(&RequestBuilder::replace(303, 1));
    peer.send(&RequestBuilder::replace(304, 1).stream(8));
    peer.send(&RequestBuilder::new(Commit, 305).stream(8));
    assert_eq!(peer.ask(&ping).sync, 1000);
    first[0].reply(DONE);
    let came: Vec<_> = (0..5).map(|_| upstream.asked()).collect();
    let third = came[0].connection;
    assert!(![first[0].connection, second.connection].contains(&third));
    assert!(came.iter().all(|own| own.connection == third));
    let all: Vec<_> = came.iter().map(header).collect();
    assert_eq!(
        types(&all),
        [Eval, Begin, Replace, Replace, Commit].map(|own| own as u64)
    );
    let stream = all[1].1;
    assert!(stream != 0 && all[3].1 == stream && all[4].1 == stream);
    assert_eq!(all[2].1, 0);
}

#[test]
fn what_waits_when_replies_come_to_be_written_otherwise_goes_along_whole() {
    use RequestType::{Begin, Commit, Eval, Replace};
    let mut own = Waiting::start();
    own.send(&RequestBuilder::new(Begin, 300).stream(7));
    let id = id_of(Features::NONE.with(Feature::ErrorExtension));
    own.peer.send(&id);
    own.peer.send(&RequestBuilder::replace(301, 1).stream(7));
    own.send(&RequestBuilder::new(Commit, 302).stream(7));
    let came = own.go_on(4);
    assert_eq!(
        types(&came),
        [Eval, Begin, Replace, Commit].map(|own| own as u64)
    );
    let stream = came[1].1;
    assert!(stream != 0 && came[2].1 == stream && came[3].1 == stream);
}
