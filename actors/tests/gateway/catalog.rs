//! What clients read of the catalog when they connect, while no upstream serves.

use vestibule_actors::serving::State;
use vestibule_actors::testing::{Frame, Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};

use crate::upstream::{FakeUpstream, upstreams};
use crate::{DONE, eval, on_one_thread, pass};

/// As connectors read it: all of a view.
pub(super) fn read(sync: u64, view: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Select, sync)
        .uint(keys::SPACE_ID, view)
        .uint(keys::LIMIT, 1 << 31)
        .pair(keys::KEY, &[0x90])
}

fn code(peer: &mut Peer, request: &RequestBuilder) -> Option<u16> {
    let told: Frame = peer.ask(request);
    told.error_code()
}

#[test]
fn what_was_answered_is_answered_again_to_the_same_user_while_nobody_serves() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut alice = server.connect();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    pass(&mut alice, &upstream, &read(1, 281));
    // One that comes in pieces.
    let rows: Vec<u8> = [&[0x81, 0x30, 0xc6, 0, 2, 0, 0][..], &vec![7; 2 << 16]].concat();
    alice.send(&read(2, 289));
    upstream.asked().reply(&rows);
    assert!(alice.receive().body == rows);
    let version = server.handle().metrics().schema_version;
    upstream.set_silent(true);
    server.wait_for(State::Solo);
    let mut late = server.connect();
    assert_eq!(late.log_in("alice", "secret").code, 0);
    let told = late.ask(&read(3, 281));
    assert_eq!((told.code, told.sync, &*told.body), (0, 3, DONE));
    assert_eq!(told.schema_version, Some(version));
    assert!(late.ask(&read(4, 289)).body == rows);
    let mut guest = server.connect();
    assert_eq!(
        code(&mut guest, &read(5, 281)),
        Some(116),
        "of another user"
    );
    for other in [read(6, 277), read(7, 512), RequestBuilder::select(8, 1)] {
        assert_eq!(code(&mut late, &other), Some(116), "nobody has asked that");
    }
    upstream.set_silent(false);
    server.wait_for(State::Assist);
    pass(&mut late, &upstream, &read(9, 281));
}

#[test]
fn what_was_answered_before_the_catalog_changed_is_not_answered_again() {
    let upstream = FakeUpstream::start();
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut peer = server.connect();
    for fails in [true, false] {
        peer.send(&read(1, 281));
        let asked = upstream.asked();
        match fails {
            true => asked.fail(42, DONE),
            false => asked.reply(DONE),
        }
        peer.receive();
    }
    upstream.set_schema_version(81);
    pass(&mut peer, &upstream, &eval(2, "return 1"));
    upstream.set_silent(true);
    server.wait_for(State::Solo);
    assert_eq!(code(&mut peer, &read(3, 281)), Some(116));
}

#[test]
fn what_an_upstream_has_refused_at_length_is_not_answered_again() {
    let upstream = FakeUpstream::start();
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut peer = server.connect();
    let text: Vec<u8> = [&[0x81, 0x31, 0xdb, 0, 2, 0, 0][..], &vec![b'x'; 2 << 16]].concat();
    peer.send(&read(1, 281));
    upstream.asked().fail(42, &text);
    assert_eq!(peer.receive().error_code(), Some(42));
    upstream.set_silent(true);
    server.wait_for(State::Solo);
    assert_eq!(code(&mut peer, &read(2, 281)), Some(116));
}

#[test]
fn what_was_read_before_a_change_and_came_behind_it_is_not_answered_again() {
    let upstream = FakeUpstream::start();
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut peer = server.connect();
    let rows: Vec<u8> = [&[0x81, 0x30, 0xc6, 0, 2, 0, 0][..], &vec![7; 2 << 16]].concat();
    let mut late = [(281, DONE), (289, &rows)].map(|(view, body)| {
        peer.send(&read(1, view));
        (view, body, upstream.asked())
    });
    upstream.set_schema_version(81);
    pass(&mut peer, &upstream, &eval(2, "return 1"));
    for (_, body, asked) in &mut late {
        asked.reply(body);
        assert_eq!(peer.receive().code, 0);
    }
    upstream.set_silent(true);
    server.wait_for(State::Solo);
    for (view, ..) in late {
        assert_eq!(code(&mut peer, &read(3, view)), Some(116), "{view}");
    }
}
