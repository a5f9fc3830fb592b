//! Prepared statements, before real Tarantools.

use vestibule_actors::testing::{Frame, Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};
use vestibule_actors::wire::msgpack::Reader;

use super::support::{Directory, tarantool, wait_until};
use super::{connect, eval, gateway, gateway_with, log_in, set_read_only, start};

const TEXT: &str = "SELECT ? + 1 AS x";

fn prepare(text: &str) -> RequestBuilder {
    RequestBuilder::new(RequestType::Prepare, 1).text(keys::SQL_TEXT, text)
}

fn unprepare(id: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Prepare, 1).uint(keys::STMT_ID, id)
}

fn execute(id: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Execute, 1)
        .uint(keys::STMT_ID, id)
        .pair(keys::SQL_BIND, &[0x91, 41])
}

fn prepared(peer: &mut Peer, text: &str) -> u64 {
    let told = peer.ask(&prepare(text));
    assert_eq!(told.code, 0, "{:?}", told.error_text());
    let mut reader = Reader::new(&told.body);
    let is_first = reader.read_map_len().is_ok() && reader.read_uint() == Ok(keys::STMT_ID);
    assert!(is_first, "{:?}", told.body);
    reader.read_uint().expect("it is a number")
}

/// What a server answers.
fn body(told: Frame) -> (u32, Vec<u8>) {
    (told.code, told.body)
}

#[test]
fn what_was_prepared_before_a_crash_is_executed_behind_it() {
    let Some(program) = tarantool() else { return };
    let directories = [Directory::new(), Directory::new()];
    let [first, second] = [0, 1].map(|at| start(&program, &directories[at]));
    set_read_only(&second, true);
    let upstreams = format!("a={},b={}", first.address, second.address);
    // Longer than a busy machine takes to tell the second one to take changes.
    let options = ["--upstream", &upstreams, "--failover-hold", "30s"];
    let server = gateway_with(&directories[0], &options);
    let mut peer = log_in(server.connect());
    let id = prepared(&mut peer, TEXT);
    let expected = body(connect(&first).ask(&by_text()));
    assert_eq!(expected.0, 0);
    assert_eq!(body(peer.ask(&execute(id))), expected);
    // SIGKILL.
    drop(first);
    set_read_only(&second, false);
    // By its text, and then by its number.
    for _ in 0..3 {
        assert_eq!(body(peer.ask(&execute(id))), expected);
    }
    let told = peer.ask(&unprepare(id));
    assert_eq!((told.code, &*told.body), (0, &[0x80][..]));
    let mut direct = connect(&second);
    let gone = || direct_count(&mut direct) == 0;
    wait_until("it is unprepared there", gone);
    assert_eq!(peer.ask(&execute(id)).error_code(), Some(211));
}

/// How many statements the instance keeps for sessions.
fn direct_count(peer: &mut Peer) -> u64 {
    let told = peer.ask(&eval("return box.info.sql().cache.stmt_count"));
    told.data::<Vec<u64>>()[0]
}

/// The same, by its text.
fn by_text() -> RequestBuilder {
    RequestBuilder::new(RequestType::Execute, 1)
        .text(keys::SQL_TEXT, TEXT)
        .pair(keys::SQL_BIND, &[0x91, 41])
}

#[test]
fn what_two_share_one_unprepares_and_the_other_executes() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let server = gateway(&directory, &[("a", &upstream)]);
    let [mut one, mut other] = [(); 2].map(|()| log_in(server.connect()));
    let id = prepared(&mut one, TEXT);
    assert_eq!(prepared(&mut other, TEXT), id);
    assert_eq!(one.ask(&unprepare(id)).code, 0);
    assert_eq!(one.ask(&unprepare(id)).error_code(), Some(211));
    for _ in 0..3 {
        assert_eq!(other.ask(&execute(id)).code, 0);
    }
    let mut direct = connect(&upstream);
    assert_eq!(direct_count(&mut direct), 1);
    drop(other);
    wait_until("it is unprepared", || direct_count(&mut direct) == 0);
}

#[test]
fn after_a_change_of_the_catalog_it_is_prepared_again_as_without_a_gateway() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let server = gateway(&directory, &[("a", &upstream)]);
    let (mut through, mut direct) = (log_in(server.connect()), connect(&upstream));
    let of_both = |peers: [&mut Peer; 2], request: &RequestBuilder| {
        let [got, expected] = peers.map(|own| body(own.ask(request)));
        assert_eq!(got, expected);
        got.0
    };
    let id = prepared(&mut through, TEXT);
    assert_eq!(prepared(&mut direct, TEXT), id);
    assert_eq!(of_both([&mut through, &mut direct], &execute(id)), 0);
    let change = eval("box.schema.space.create('t', {id = 600}) return 1");
    assert_eq!(direct.ask(&change).code, 0);
    let expired = of_both([&mut through, &mut direct], &execute(id));
    assert_ne!(expired, 0);
    assert_eq!(prepared(&mut through, TEXT), id);
    assert_eq!(of_both([&mut through, &mut direct], &execute(id)), 0);
}
