//! Clients whose requests nobody knows what became of are told so by the end of their connections,
//! if operators say so.

use vestibule_actors::OnLost;
use vestibule_actors::testing::RequestBuilder;

use crate::upstream::{FakeUpstream, upstreams};
use crate::{DONE, eval, on_one_thread, pass};

/// More than sockets hold.
const LARGE: usize = 16 << 20;

#[test]
fn who_cannot_be_told_what_became_of_a_request_is_told_by_the_end_of_its_connection() {
    let upstream = FakeUpstream::start();
    let own = upstreams(&[("a", upstream.address)]).lost(OnLost::Close);
    let server = on_one_thread(own);
    let (mut writer, mut reader) = (server.connect(), server.connect());
    reader.send(&RequestBuilder::select(1, 1));
    let select = upstream.asked();
    writer.send(&RequestBuilder::replace(1, 1));
    let replace = upstream.asked();
    assert_eq!(select.connection, replace.connection);
    upstream.end(replace.connection);
    assert!(writer.receive_until_closed().is_empty());
    // What only reads is asked again, and its client stays.
    let again = upstream.asked();
    assert_eq!(again.body, select.body);
    again.reply(DONE);
    assert_eq!(reader.receive().code, 0);
    assert_eq!(server.handle().upstreams()[0].unknown, 1);
    pass(&mut server.connect(), &upstream, &eval(1, "return 1"));
}

#[test]
fn replies_that_are_complete_by_then_reach_a_slow_client_before_the_end() {
    let upstream = FakeUpstream::start();
    let own = upstreams(&[("a", upstream.address)]).lost(OnLost::Close);
    let server = on_one_thread(own);
    let mut slow = server.connect();
    slow.send(&RequestBuilder::select(1, 1));
    slow.send(&RequestBuilder::replace(2, 1));
    let (select, replace) = (upstream.asked(), upstream.asked());
    let size = (LARGE as u32).to_be_bytes();
    select.reply(&[&[0x81, 0x30, 0xc6][..], &size, &vec![7; LARGE]].concat());
    let shown = || server.handle().upstreams().remove(0);
    server.wait_until("the reply is complete", || shown().in_flight == 1);
    upstream.end(replace.connection);
    server.wait_until("what became of the other one is not known", || {
        shown().unknown == 1
    });
    let told = slow.receive_until_closed();
    let told: Vec<_> = told.iter().map(|own| (own.sync, own.code)).collect();
    assert_eq!(told, [(1, 0)]);
}
