//! The end of what a client sends: everything that came before it is executed and answered, also
//! when a stop is under way.

use std::time::Duration;

use vestibule_actors::config::TimeLimits;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Harness, Peer, RequestBuilder, Script, config};
use vestibule_actors::wire::keys::RequestType;

const LONG: Duration = Duration::from_secs(3600);

fn in_stream(kind: RequestType, sync: u64) -> RequestBuilder {
    RequestBuilder::new(kind, sync).stream(1)
}

/// Tarantool's way: the client has no more to say, but it listens.
#[test]
fn everything_that_was_sent_before_a_half_close_is_executed_and_answered() {
    const REQUESTS: u64 = 20_000;
    let harness = Harness::start();
    let mut peer = harness.connect();
    let mut sender = peer.clone_for_writing();
    let sending = std::thread::spawn(move || {
        let requests = (1..=REQUESTS).flat_map(|key| RequestBuilder::replace(key, key).bytes());
        sender.send_bytes(&requests.collect::<Vec<_>>());
        sender.shut_down_writing();
    });
    let frames = peer.receive_until_closed();
    sending.join().expect("everything is sent");
    let done = frames.iter().filter(|own| own.code == 0).count();
    assert_eq!((frames.len(), done), (REQUESTS as usize, REQUESTS as usize));
    assert_eq!(harness.script().executed().len(), REQUESTS as usize);
}

/// A stop is under way, and its last client has just sent a write and the COMMIT of its
/// transaction.
fn with_last_words_in_a_stop() -> (Harness, Peer) {
    let harness = Harness::start();
    let mut peer = harness.connect();
    assert_eq!(peer.ask(&in_stream(RequestType::Begin, 1)).code, 0);
    harness.handle().begin_drain(Some(LONG), "test");
    harness.wait_for(State::Draining);
    let insert = RequestBuilder::replace(2, 7).stream(1).bytes();
    let commit = in_stream(RequestType::Commit, 3).bytes();
    peer.send_bytes(&[insert, commit].concat());
    (harness, peer)
}

/// the end of the last client and what it sent before are seen at once.
#[test]
fn a_stop_does_not_forget_what_its_last_client_sent_before_it_left() {
    for _ in 0..10 {
        let (mut harness, mut peer) = with_last_words_in_a_stop();
        peer.shut_down_writing();
        let frames = peer.receive_until_closed();
        let told: Vec<_> = frames.iter().map(|own| (own.sync, own.code)).collect();
        assert_eq!(told, [(2, 0), (3, 0)]);
        let report = harness.join();
        assert_eq!((report.killed, report.aborted_transactions), (0, 0));
        assert!(harness.script().log().contains(&"commit 1".to_owned()));
    }
}

/// the same by a client that hears nothing any more.
#[test]
fn a_stop_executes_what_a_client_sent_that_is_gone() {
    for _ in 0..10 {
        let (mut harness, peer) = with_last_words_in_a_stop();
        drop(peer);
        let report = harness.join();
        assert_eq!((report.killed, report.aborted_transactions), (0, 0));
        assert!(harness.script().log().contains(&"commit 1".to_owned()));
    }
}

/// nobody waits for it, and it is counted all the same.
#[test]
fn a_stop_waits_for_a_request_whose_client_is_gone() {
    let config =
        config().time_limits(TimeLimits::default().half_closed(Duration::from_millis(100)));
    let mut harness = Harness::start_with(config, Script::default());
    let peer = harness.block();
    drop(peer);
    harness.wait_until("its end is seen", || {
        harness.handle().connection_count() == 0
    });
    harness
        .handle()
        .begin_drain(Some(Duration::from_millis(50)), "test");
    let report = harness.join();
    assert_eq!((report.killed, report.tx_stopped), (1, false));
    harness.script().release();
}

#[test]
fn a_transaction_that_nobody_commits_ends_with_the_input() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let begin = in_stream(RequestType::Begin, 1).bytes();
    let insert = RequestBuilder::replace(2, 7).stream(1).bytes();
    peer.send_bytes(&[begin, insert].concat());
    peer.shut_down_writing();
    assert_eq!(peer.receive_until_closed().len(), 2);
    harness.script().wait_for_log("rollback 1");
}

/// Half a request is none.
#[test]
fn what_is_not_whole_at_the_end_of_input_is_dropped() {
    let harness = Harness::start();
    let mut peer = harness.connect();
    let whole = RequestBuilder::replace(1, 1).bytes();
    let half = &RequestBuilder::replace(2, 2).bytes()[..9];
    peer.send_bytes(&[&whole[..], half].concat());
    peer.shut_down_writing();
    let frames = peer.receive_until_closed();
    assert_eq!((frames.len(), frames[0].sync, frames[0].code), (1, 1, 0));
}
