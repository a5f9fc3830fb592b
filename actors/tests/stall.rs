//! The watchdog: Tx stands still, and nobody said so.

use vestibule_actors::Config;
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Harness, Peer, RequestBuilder, Script};

const NO_ARGS: &[u8] = &[0x90];

/// Makes Tx stand still without a word, with a request behind it, and waits until it is noticed.
/// Returns the connection that did it.
fn stall(harness: &Harness) -> Peer {
    let blocker = harness.block();
    let mut waiting = harness.connect();
    for key in 100..200 {
        waiting.send(&RequestBuilder::replace(key, key));
    }
    harness.wait_for(State::Solo);
    for sync in 100..200 {
        let refused = waiting.receive();
        assert_eq!((refused.sync, refused.error_code()), (sync, Some(116)));
        assert!(refused.error_mentions("stalled"), "{refused:?}");
    }
    blocker
}

/// the mark of a stall goes when Tx moves again.
#[test]
fn while_tx_stands_still_undeclared_everyone_is_answered_and_assist_returns() {
    let harness = Harness::start_with(Config::default(), Script::default());
    assert_eq!(
        harness.connect().ask(&RequestBuilder::replace(1, 42)).code,
        0
    );
    let mut blocker = stall(&harness);
    assert_eq!(harness.handle().status().reason, "stalled");
    let mut late = harness.connect();
    late.ping();
    let refused = late.ask(&RequestBuilder::replace(9, 9));
    assert_eq!((refused.sync, refused.error_code()), (9, Some(116)));
    let text = refused.error_text().expect("an error has a text");
    assert!(text.starts_with("Tx is busy: stalled, retry"), "{text}");
    let read = late.ask(&RequestBuilder::select(10, 42));
    assert_eq!(read.data::<Vec<(u64, u64)>>(), [(42, 42)]);
    harness.script().release();
    assert_eq!(blocker.receive().data::<Vec<String>>(), ["released"]);
    harness.wait_for(State::Assist);
    assert_eq!(late.ask(&RequestBuilder::replace(11, 11)).code, 0);
    assert_eq!(
        harness.script().executed(),
        [42, 11],
        "what was refused was not executed"
    );
    assert!(late.show("transitions").error_mentions("stalled"));
}

#[test]
fn an_operators_solo_outlives_a_stall() {
    let harness = Harness::start_with(Config::default(), Script::default());
    let mut blocker = stall(&harness);
    let mut operator = harness.connect();
    operator.call("vestibule.solo", &[0x91, 0xa4, b'm', b'i', b'n', b'e']);
    assert_eq!(harness.handle().status().reason, "mine");
    harness.script().release();
    assert_eq!(blocker.receive().code, 0);
    operator.call("vestibule.assist", NO_ARGS);
    harness.wait_for(State::Assist);
}
