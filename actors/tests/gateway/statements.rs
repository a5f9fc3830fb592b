//! Prepared statements of clients, over whichever connection upstream their requests go.

use vestibule_actors::Gateway;
use vestibule_actors::limits::STATEMENTS_MAX;
use vestibule_actors::testing::{Peer, RequestBuilder, TestServer, block_on};
use vestibule_actors::wire::keys::{self, RequestType};

use crate::upstream::{Asked, FakeUpstream, upstreams};
use crate::{DONE, before_both, eval, on_one_thread, pass};

const TEXT: &str = "SELECT 1";

const EXECUTE: u64 = RequestType::Execute as u64;
const PREPARE: u64 = RequestType::Prepare as u64;
const PING: u64 = RequestType::Ping as u64;

fn prepare(text: &str) -> RequestBuilder {
    RequestBuilder::new(RequestType::Prepare, 1).text(keys::SQL_TEXT, text)
}

fn unprepare(id: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Prepare, 2).uint(keys::STMT_ID, id)
}

fn execute(id: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Execute, 3).uint(keys::STMT_ID, id)
}

/// The reply to a PREPARE.
fn prepared(id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    vec![0x82, 0x43, 0xcd, high, low, 0x34, 0]
}

/// The body of a request by text.
fn by_text(text: &str) -> Vec<u8> {
    [&[0x81, 0x40, 0xa0 | text.len() as u8], text.as_bytes()].concat()
}

/// The type and the body of what was asked.
fn of(asked: &Asked) -> (u64, &[u8]) {
    (asked.header.request_type, &asked.body)
}

/// A client prepares a statement, which the upstream calls so; by which connection it was asked.
fn prepare_as(peer: &mut Peer, upstream: &FakeUpstream, text: &str, id: u16) -> usize {
    peer.send(&prepare(text));
    let asked = upstream.asked();
    asked.reply(&prepared(id));
    let got = peer.receive();
    assert_eq!((got.code, got.body), (0, prepared(id)));
    asked.connection
}

/// An EXECUTE goes by its number.
fn goes_by_number(peer: &mut Peer, upstream: &FakeUpstream, id: u8) {
    peer.send(&execute(id.into()));
    let asked = upstream.asked();
    assert_eq!(of(&asked), (EXECUTE, &[0x81, 0x43, id][..]));
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
}

/// An EXECUTE goes by its text, behind a PREPARE of ours.
fn goes_by_text(peer: &mut Peer, upstream: &FakeUpstream, id: u64, text: &str) -> Asked {
    peer.send(&execute(id));
    let (ours, asked) = (upstream.asked(), upstream.asked());
    assert_eq!(of(&ours), (PREPARE, &*by_text(text)));
    assert_eq!(of(&asked), (EXECUTE, &*by_text(text)));
    assert_eq!(asked.connection, ours.connection);
    asked.reply(DONE);
    assert_eq!(peer.receive().body, DONE);
    ours
}

fn before(upstream: &FakeUpstream) -> TestServer<Gateway> {
    on_one_thread(upstreams(&[("a", upstream.address)]))
}

#[test]
fn what_was_prepared_is_there_when_its_connection_was_lost() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut peer = server.connect();
    let first = prepare_as(&mut peer, &upstream, TEXT, 7);
    goes_by_number(&mut peer, &upstream, 7);
    upstream.end(first);
    server.wait_until("the link has ended", || {
        server.handle().upstreams()[0].links == 0
    });
    let ours = goes_by_text(&mut peer, &upstream, 7, TEXT);
    assert_ne!(ours.connection, first);
    // One of another version may have another number for it.
    ours.reply(&prepared(9));
    pass(&mut peer, &upstream, &eval(4, "return 1"));
    peer.send(&execute(7));
    let asked = upstream.asked();
    assert_eq!(of(&asked), (EXECUTE, &[0x81, 0x43, 9][..]));
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
}

#[test]
fn what_was_prepared_is_there_where_requests_go_next() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    let server = before_both(&first, &second);
    let mut peer = server.connect();
    prepare_as(&mut peer, &first, TEXT, 7);
    first.set_writable(false);
    server.wait_until("requests are held", || {
        server.handle().upstreams().iter().all(|own| !own.is_target)
    });
    // What waits is executed although its client lets the statement go behind it.
    peer.send(&execute(7));
    peer.send(&unprepare(7));
    peer.ping();
    second.set_writable(true);
    let asked = [(); 3].map(|()| second.asked());
    assert_eq!(of(&asked[0]), (PREPARE, &*by_text(TEXT)));
    assert_eq!(of(&asked[1]), (EXECUTE, &*by_text(TEXT)));
    assert_eq!(of(&asked[2]), (PING, &[0x80][..]));
    asked[0].reply(&prepared(7));
    asked[1].reply(DONE);
    asked[2].reply(&[0x80]);
    assert_eq!(peer.receive().body, DONE);
    assert_eq!(peer.receive().body, [0x80]);
    assert_eq!(of(&second.asked()), (PREPARE, &[0x81, 0x43, 7][..]));
}

#[test]
fn clients_share_a_statement_and_each_lets_go_for_itself() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let [mut one, mut other] = [(); 2].map(|()| server.connect());
    prepare_as(&mut one, &upstream, TEXT, 7);
    prepare_as(&mut other, &upstream, TEXT, 7);
    one.send(&unprepare(7));
    let asked = upstream.asked();
    assert_eq!(of(&asked), (PING, &[0x80][..]), "the other one has it");
    asked.reply(&[0x80]);
    assert_eq!(
        (one.receive().sync, upstream.try_asked().is_none()),
        (2, true)
    );
    // It is another one's by now.
    one.send(&unprepare(7));
    let asked = upstream.asked();
    assert_eq!(of(&asked), (PING, &[0x80][..]));
    asked.reply(&[0x80]);
    let told = one.receive();
    assert_eq!(told.error_code(), Some(211));
    assert!(told.error_mentions("Prepared statement with id 7 does not exist"));
    goes_by_number(&mut other, &upstream, 7);
    drop(other);
    let released = upstream.asked();
    assert_eq!(of(&released), (PREPARE, &[0x81, 0x43, 7][..]));
    released.reply(&[0x80]);
    // What nobody holds the upstream judges.
    one.send(&execute(7));
    let asked = upstream.asked();
    assert_eq!(of(&asked), (EXECUTE, &[0x81, 0x43, 7][..]));
    asked.fail(211, DONE);
    assert_eq!(one.receive().error_code(), Some(211));
}

#[test]
fn a_connection_has_a_bound_of_them_and_is_told() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let (mut one, mut other) = (server.connect(), server.connect());
    for id in 0..STATEMENTS_MAX {
        prepare_as(&mut one, &upstream, &format!("SELECT {id}"), id as u16);
    }
    let ask_one_more = |peer: &mut Peer| {
        peer.send(&prepare("SELECT 'x'"));
        upstream.asked().reply(&prepared(2000));
        let told = peer.receive();
        (told.error_code(), told)
    };
    let (code, told) = ask_one_more(&mut one);
    assert_eq!(code, Some(210));
    assert!(told.error_mentions("Failed to prepare SQL statement: this connection has 1024"));
    let released = upstream.asked();
    assert_eq!(of(&released), (PREPARE, &[0x81, 0x43, 0xcd, 7, 0xd0][..]));
    released.reply(&[0x80]);
    prepare_as(&mut one, &upstream, "SELECT 5", 5);
    assert_eq!(ask_one_more(&mut other).0, None);
    let handle = server.handle().clone();
    let rows = block_on(async move { handle.links(10).await });
    assert_eq!(rows[0].statements, STATEMENTS_MAX + 1);
    one.send(&unprepare(5));
    upstream.asked().reply(&[0x80]);
    assert_eq!(one.receive().code, 0);
    let released = upstream.asked();
    assert_eq!(of(&released), (PREPARE, &[0x81, 0x43, 5][..]));
    released.reply(&[0x80]);
    assert_eq!(ask_one_more(&mut one).0, None);
}

#[test]
fn a_prepare_whose_connection_is_lost_is_asked_again() {
    let upstream = FakeUpstream::start();
    let server = before(&upstream);
    let mut peer = server.connect();
    peer.send(&prepare(TEXT));
    let asked = upstream.asked();
    upstream.end(asked.connection);
    let again = upstream.asked();
    assert_ne!(again.connection, asked.connection);
    again.reply(&prepared(7));
    assert_eq!(peer.receive().body, prepared(7));
    goes_by_number(&mut peer, &upstream, 7);
}

#[test]
fn a_statement_that_sets_something_is_set_again_where_its_client_goes_next() {
    let (first, second) = (FakeUpstream::start(), FakeUpstream::start());
    let server = before_both(&first, &second);
    let mut peer = server.connect();
    let text = "SET SESSION \"x\" = 1";
    prepare_as(&mut peer, &first, text, 7);
    peer.send(&execute(7));
    let asked = first.asked();
    assert_eq!(of(&asked), (EXECUTE, &*by_text(text)));
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    first.set_writable(false);
    second.set_writable(true);
    server.wait_until("it takes over", || server.handle().upstreams()[1].is_target);
    peer.send(&eval(2, "return 1"));
    let asked = second.asked();
    assert_eq!(of(&asked), (EXECUTE, &*by_text(text)));
    asked.reply(DONE);
    let behind = second.asked();
    assert_eq!(behind.header.request_type, RequestType::Eval as u64);
    behind.reply(DONE);
    assert_eq!(peer.receive().sync, 2);
}
