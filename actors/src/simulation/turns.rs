//! Turns of sessions: those that have much to do wait for those that have little.
//!
//! The clock moves by itself, a quarter of a turn whenever somebody looks.

use std::cell::Cell;
use std::time::Instant;

use vestibule_wire::keys::RequestType;

use super::cost::start;
use crate::clock::Clock;
use crate::limits::{SESSION_TURN_TIME_MAX, SESSION_TURN_WORK_PER_LOOK};
use crate::testing::RequestBuilder;
use crate::testing::count_frames;
use crate::testing::pipe::ClientEnd;

/// Pings of one turn: it is begun with one look at the clock, and there are more of them.
const TURN: usize = 5 * SESSION_TURN_WORK_PER_LOOK as usize;
/// Many turns, and less than is read in one.
const MUCH: u64 = 16_000;

fn moving() -> Instant {
    thread_local! {
        static NOW: Cell<Instant> = Cell::new(Instant::now());
    }
    NOW.set(NOW.get() + SESSION_TURN_TIME_MAX / 4);
    NOW.get()
}

fn pings(count: u64) -> Vec<u8> {
    let ping = |sync| RequestBuilder::new(RequestType::Ping, sync).bytes();
    (0..count).flat_map(ping).collect()
}

/// How many replies came since it was asked last.
fn answered(clients: &[ClientEnd]) -> usize {
    let replies = clients.iter().map(|client| count_frames(&client.receive()));
    replies.sum()
}

/// How many requests of several connections with much to do are answered before one ping of
/// another that came later.
async fn answered_before_a_ping(greedy: usize) -> usize {
    let worker = start(Clock::of(moving));
    let mut clients = Vec::new();
    for _ in 0..greedy {
        clients.push(worker.connect().await);
    }
    let modest = worker.connect().await;
    let much = pings(MUCH);
    clients.iter().for_each(|client| client.send(&much));
    // Each has a turn before it is known that it has much to do.
    let mut first = 0;
    while first < greedy * SESSION_TURN_WORK_PER_LOOK as usize {
        actix_rt::task::yield_now().await;
        first += answered(&clients);
    }
    modest.send(&pings(1));
    let mut before = 0;
    while count_frames(&modest.receive()) == 0 {
        actix_rt::task::yield_now().await;
        before += answered(&clients);
    }
    // All is answered in the end.
    let mut all = first + before;
    while all < greedy * MUCH as usize {
        actix_rt::task::yield_now().await;
        all += answered(&clients);
    }
    before
}

#[test]
fn a_connection_that_has_much_to_do_does_not_keep_a_ping_waiting_for_longer_than_a_turn() {
    let before = actix_rt::System::new().block_on(answered_before_a_ping(1));
    assert!(before <= 3 * TURN, "{before}");
}

/// However many there are, a few turns go before: each is followed by a look at who is ready.
#[test]
fn many_that_have_much_to_do_are_granted_their_turns_behind_those_who_have_little() {
    let before = actix_rt::System::new().block_on(answered_before_a_ping(20));
    assert!(before <= 5 * TURN, "{before}");
}
