//! Errors that tell that the user is not there any more, as whom a connection has logged in, and
//! that any client can have its upstream tell.

use std::time::Duration;

use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::RequestType;
use vestibule_actors::{Gateway, LinkMode, testing::TestServer};

use crate::upstream::{Asked, FakeUpstream, REFUSED, upstreams};
use crate::{DONE, ask, eval, on_one_thread};

/// For so long the answers of a moment ago do not count any more, and what was replaced has said
/// nothing.
const LATER: Duration = Duration::from_secs(2);

fn before(upstream: &FakeUpstream) -> TestServer<Gateway> {
    on_one_thread(upstreams(&[("a", upstream.address)]))
}

/// Is told that there is no such user; returns over which connection.
fn be_refused(peer: &mut Peer, upstream: &FakeUpstream) -> usize {
    peer.send(&eval(1, "box.error{code = 45}"));
    let asked = upstream.asked();
    asked.fail(45, REFUSED);
    assert_eq!(peer.receive().error_code(), Some(45));
    asked.connection
}

#[test]
fn who_provokes_them_again_and_again_has_two_connections_at_a_time() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let (mut peer, mut sleeper) = (server.connect(), server.connect());
    let mut provoke = |sync| {
        sleeper.send(&eval(sync, "fiber.sleep(3600)"));
        let asked = upstream.asked();
        server.wind(LATER);
        assert_eq!(be_refused(&mut peer, &upstream), asked.connection);
        asked
    };
    let first = provoke(1);
    let asked: Vec<Asked> = (2..6).map(&mut provoke).collect();
    let second = asked[0].connection;
    assert_ne!(first.connection, second, "it is replaced");
    assert!(asked.iter().all(|own| own.connection == second));
    // Before that has come to its end nothing is opened.
    first.reply(DONE);
    server.wait_until("it is closed", || upstream.has_ended(first.connection));
    assert_eq!(provoke(6).connection, second);
    let third = provoke(7).connection;
    assert!(![first.connection, second].contains(&third));
}

#[test]
fn who_provokes_them_again_and_again_ends_nobody_elses_transactions() {
    let upstream = FakeUpstream::of_version((2, 11, 0));
    let server = before(&upstream);
    let [mut own, mut other] = [(); 2].map(|()| server.connect());
    let in_stream = |request, stream| RequestBuilder::new(request, 1).stream(stream);
    let mut begun = Vec::new();
    for stream in [7, 8, 9] {
        let begin = in_stream(RequestType::Begin, stream);
        begun.push((stream, ask(&mut own, &upstream, &begin)));
        server.wind(LATER);
        be_refused(&mut other, &upstream);
    }
    assert_ne!(begun[0].1, begun[1].1, "one is replaced");
    for (stream, connection) in begun {
        let commit = in_stream(RequestType::Commit, stream);
        assert_eq!(ask(&mut own, &upstream, &commit), connection);
    }
}

#[test]
fn a_client_keeps_the_connection_that_is_its_own() {
    let upstream = FakeUpstream::start();
    let upstreams = upstreams(&[("a", upstream.address)]);
    let server = on_one_thread(upstreams.mode(LinkMode::Pinned));
    let mut peer = server.connect();
    let before = ask(&mut peer, &upstream, &eval(1, "return 1"));
    server.wind(LATER);
    assert_eq!(be_refused(&mut peer, &upstream), before);
    assert_eq!(ask(&mut peer, &upstream, &eval(2, "return 1")), before);
}
