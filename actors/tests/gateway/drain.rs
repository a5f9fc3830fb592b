//! The drain of an upstream.

use std::collections::BTreeMap;
use std::time::Duration;

use vestibule_actors::TransitionRecord;
use vestibule_actors::monitoring::UpstreamState;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Peer, RequestBuilder, TestServer};
use vestibule_actors::wire::keys::RequestType;
use vestibule_actors::wire::reply::write_serialized;
use vestibule_actors::{Gateway, Upstreams};

use crate::upstream::{Asked, FakeUpstream, upstreams};
use crate::{DONE, eval, on_one_thread, pass};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);

/// Two upstreams with streams, of which the first takes changes, and a gateway before them.
fn two() -> (FakeUpstream, FakeUpstream, TestServer<Gateway>) {
    let [first, second] = [(); 2].map(|()| FakeUpstream::of_version((2, 11, 0)));
    second.set_writable(false);
    let both = upstreams(&[("a", first.address), ("b", second.address)]);
    let server = on_one_thread(Upstreams::failover_hold(both, LONG));
    server.wait_until("both serve", || {
        let all = server.handle().upstreams();
        all.iter().all(|own| own.state == UpstreamState::Serving)
    });
    (first, second, server)
}

fn call(sync: u64, name: &str, args: &impl serde::Serialize) -> RequestBuilder {
    let mut bytes = Vec::new();
    write_serialized(&mut bytes, args).expect("they can be written");
    RequestBuilder::call(sync, name, &bytes)
}

/// An operator has an upstream drained, and is told when that is over.
fn drain(operator: &mut Peer, name: &str, timeout: Duration) {
    let times = BTreeMap::from([("timeout", timeout.as_secs_f64())]);
    operator.send(&call(1, "vestibule.drain_upstream", &(name, times)));
}

/// Waits until it has begun: its state is told a moment before requests go elsewhere.
fn wait_for_leaving(server: &TestServer<Gateway>, upstream: usize) {
    server.wait_until("it has begun", || {
        let told = &server.handle().upstreams()[upstream];
        told.state == UpstreamState::Leaving && !told.is_target
    });
}

fn last(server: &TestServer<Gateway>) -> TransitionRecord {
    let mut all = server.handle().transitions();
    all.pop().expect("there is one")
}

fn in_stream(request: RequestType) -> RequestBuilder {
    RequestBuilder::new(request, 0).stream(7)
}

fn begin(peer: &mut Peer, upstream: &FakeUpstream) -> Asked {
    peer.send(&in_stream(RequestType::Begin));
    let asked = upstream.asked();
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    asked
}

#[test]
fn what_was_sent_comes_to_its_end_and_what_is_new_goes_elsewhere() {
    let (first, second, server) = two();
    let (mut operator, mut peer, mut late) = (server.connect(), server.connect(), server.connect());
    peer.send(&eval(2, "return 1"));
    let asked = first.asked();
    drain(&mut operator, "a", LONG);
    wait_for_leaving(&server, 0);
    late.send(&RequestBuilder::replace(3, 1));
    late.ping();
    assert_eq!(server.handle().serving().state, State::Assist, "it is held");
    second.set_writable(true);
    second.asked().reply(DONE);
    assert_eq!(late.receive().code, 0);
    let under_way = server
        .handle()
        .status()
        .transition
        .expect("it is under way");
    assert_eq!(under_way.upstream.as_deref(), Some("a"));
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    let told = operator.receive();
    assert_eq!(told.code, 0, "{:?}", told.error_text());
    assert_eq!(server.handle().upstreams()[0].state, UpstreamState::Drained);
    assert_eq!(server.handle().upstreams()[0].links, 0);
    let record = last(&server);
    assert_eq!((record.from.name(), record.to.name()), ("used", "drained"));
    assert_eq!(record.upstream.as_deref(), Some("a"));
    let counts = (record.waited_for.call, record.finished.call);
    assert_eq!(counts, (1, 1), "{record:?}");
    assert_eq!(record.outcome_unknown + record.aborted_transactions, 0);
    // It takes changes, and is not asked.
    second.set_writable(false);
    server.wait_until("that is seen, and requests go nowhere", || {
        let told = &server.handle().upstreams()[1];
        told.is_writable == Some(false) && !told.is_target
    });
    peer.send(&eval(4, "return 1"));
    peer.ping();
    assert!(first.try_asked().is_none());
    assert_eq!(
        operator
            .call_with("vestibule.restore_upstream", &("a",))
            .code,
        0
    );
    first.asked().reply(DONE);
    assert_eq!(peer.receive().code, 0);
}

#[test]
fn a_transaction_comes_to_its_end_where_it_was_begun() {
    let (first, second, server) = two();
    let (mut operator, mut peer) = (server.connect(), server.connect());
    let begun = begin(&mut peer, &first);
    drain(&mut operator, "a", LONG);
    wait_for_leaving(&server, 0);
    second.set_writable(true);
    pass(&mut peer, &second, &eval(2, "return 1"));
    for request in [
        RequestBuilder::replace(3, 1).stream(7),
        in_stream(RequestType::Commit),
    ] {
        peer.send(&request);
        let asked = first.asked();
        let place = (asked.connection, asked.header.stream_id);
        assert_eq!(place, (begun.connection, begun.header.stream_id));
        asked.reply(DONE);
        assert_eq!(peer.receive().code, 0);
    }
    assert_eq!(operator.receive().code, 0);
    let record = last(&server);
    let counts = (record.waited_for_transactions, record.finished_transactions);
    assert_eq!(counts, (1, 1), "{record:?}");
    // The next one is begun where requests go by now.
    let begun = begin(&mut peer, &second);
    assert_ne!(begun.header.stream_id, 0);
    assert!(first.try_asked().is_none());
}

#[test]
fn a_client_that_is_gone_with_its_transaction_open_stops_nobody() {
    for is_answered in [true, false] {
        let (first, second, server) = two();
        let (mut operator, mut peer) = (server.connect(), server.connect());
        begin(&mut peer, &first);
        drop(peer);
        let asked = first.asked();
        assert_eq!(asked.header.request_type, RequestType::Rollback as u64);
        second.set_writable(true);
        let timeout = match is_answered {
            true => LONG,
            false => Duration::from_millis(50),
        };
        drain(&mut operator, "a", timeout);
        wait_for_leaving(&server, 0);
        if is_answered {
            asked.reply(DONE);
        }
        assert_eq!(operator.receive().code, 0, "answered: {is_answered}");
        let record = last(&server);
        assert_eq!(record.waited_for_transactions, 0, "{record:?}");
        pass(&mut server.connect(), &second, &eval(2, "return 1"));
    }
}

#[test]
fn at_the_deadline_all_that_is_left_is_cut_off_and_told_why() {
    let (first, second, server) = two();
    let (mut operator, mut peer, mut other) =
        (server.connect(), server.connect(), server.connect());
    begin(&mut peer, &first);
    for request in [eval(2, "return 1"), RequestBuilder::select(3, 1)] {
        other.send(&request);
        first.asked();
    }
    second.set_writable(true);
    drain(&mut operator, "a", Duration::from_millis(50));
    // It may be sent twice.
    second.asked().reply(DONE);
    let mut told = [other.receive(), other.receive()];
    told.sort_by_key(|own| own.sync);
    assert_eq!(told[0].error_code(), Some(115));
    assert!(
        told[0].error_mentions("drained"),
        "{:?}",
        told[0].error_text()
    );
    assert_eq!((told[1].sync, told[1].code), (3, 0));
    assert_eq!(operator.receive().code, 0);
    let told = peer.ask(&in_stream(RequestType::Commit));
    assert_eq!(told.error_code(), Some(97));
    assert!(
        told.error_mentions("the drain of upstream a"),
        "{:?}",
        told.error_text()
    );
    let record = last(&server);
    assert_eq!(
        (record.killed.call, record.outcome_unknown),
        (1, 1),
        "{record:?}"
    );
    assert_eq!((record.waited_for.read, record.finished.read), (1, 1));
    let transactions = (record.waited_for_transactions, record.aborted_transactions);
    assert_eq!(transactions, (1, 1));
    server.wait_until("its links are closed", || {
        server.handle().upstreams()[0].links == 0
    });
    pass(&mut peer, &second, &eval(4, "return 1"));
}

#[test]
fn of_the_only_one_transactions_end_while_others_wait_and_then_all_are_told() {
    let upstream = FakeUpstream::of_version((2, 11, 0));
    let all = upstreams(&[("a", upstream.address)]);
    let server = on_one_thread(all.failover_hold(Duration::from_millis(1)));
    let (mut operator, mut peer, mut other) =
        (server.connect(), server.connect(), server.connect());
    begin(&mut peer, &upstream);
    drain(&mut operator, "a", LONG);
    wait_for_leaving(&server, 0);
    other.send(&eval(2, "return 1"));
    other.ping();
    peer.send(&in_stream(RequestType::Commit));
    let asked = upstream.asked();
    assert_eq!(asked.header.request_type, RequestType::Commit as u64);
    asked.reply(DONE);
    assert_eq!(peer.receive().code, 0);
    assert_eq!(operator.receive().code, 0);
    let told = other.receive();
    assert_eq!(told.error_code(), Some(116));
    assert!(told.error_mentions("a: drained"), "{:?}", told.error_text());
    assert_eq!(server.handle().serving().state, State::Solo);
    assert_eq!(
        operator
            .call_with("vestibule.restore_upstream", &("a",))
            .code,
        0
    );
    server.wait_for(State::Assist);
    pass(&mut other, &upstream, &eval(3, "return 1"));
}

#[test]
fn drains_wait_for_each_other_and_what_is_so_is_unchanged() {
    let (first, _second, server) = two();
    let (mut peer, mut one, mut other) = (server.connect(), server.connect(), server.connect());
    peer.send(&eval(2, "return 1"));
    let asked = first.asked();
    drain(&mut one, "a", LONG);
    wait_for_leaving(&server, 0);
    drain(&mut other, "b", LONG);
    let mut third = server.connect();
    let unchanged = third.call_with("vestibule.restore_upstream", &("c",));
    assert_eq!(
        unchanged.error_code(),
        Some(1),
        "there is none of this name"
    );
    for arguments in [&[0x90][..], &[0x91, 7], &[0x92, 0xa1, b'a', 7]] {
        let told = third.call("vestibule.drain_upstream", arguments);
        assert_eq!(told.error_code(), Some(1));
    }
    let told = third.call_with(
        "vestibule.restore_upstream",
        &("a", BTreeMap::from([("timeout", 0)])),
    );
    let outcome = String::from_utf8_lossy(&told.body).into_owned();
    assert!(outcome.contains("timed out"), "{outcome}");
    assert_eq!(server.handle().upstreams()[1].state, UpstreamState::Serving);
    asked.reply(DONE);
    assert_eq!((one.receive().code, other.receive().code), (0, 0));
    let states = server.handle().upstreams();
    assert!(states.iter().all(|own| own.state == UpstreamState::Drained));
    let told = one.call_with("vestibule.drain_upstream", &("a",));
    let outcome = String::from_utf8_lossy(&told.body).into_owned();
    assert!(outcome.contains("unchanged"), "{outcome}");
    let ids: Vec<_> = server
        .handle()
        .transitions()
        .iter()
        .filter_map(|own| own.upstream.clone())
        .collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn a_stop_ends_what_is_open_on_one_that_is_drained() {
    let (first, second, mut server) = two();
    let (mut operator, mut peer) = (server.connect(), server.connect());
    begin(&mut peer, &first);
    second.set_writable(true);
    drain(&mut operator, "a", LONG);
    wait_for_leaving(&server, 0);
    server.handle().begin_drain(Some(LONG), "test");
    server.wait_for(State::Draining);
    peer.send(&RequestBuilder::new(RequestType::Commit, 4).stream(7));
    let asked = first.asked();
    assert_eq!(asked.header.request_type, RequestType::Commit as u64);
    asked.reply(DONE);
    let told = peer.receive();
    assert_eq!((told.sync, told.code), (4, 0));
    drop((peer, operator));
    let report = server.join();
    assert_eq!((report.killed, report.aborted_transactions), (0, 0));
}
