//! What a change of the serving state costs a worker with many sessions. Measures, and asserts no
//! time: run it by name, before and after a change, in turns.
//!
//! ```sh
//! cargo test -p vestibule-actors --test fan_out -- --ignored --nocapture
//! ```

use std::time::{Duration, Instant};

use vestibule_actors::config::ConnectionLimits;
use vestibule_actors::testing::{Harness, Peer, RequestBuilder, Script, config};
use vestibule_wire::events;
use vestibule_wire::keys::{self, RequestType};

const SESSIONS: usize = 9_000;
const ROUNDS: usize = 10;

fn start() -> Harness {
    let config = config()
        .session_threads(1)
        .connection_limits(ConnectionLimits::default().connections_max(SESSIONS + 10));
    Harness::start_with(config, Script::default())
}

/// Watches again, under this sync.
fn watch(peer: &mut Peer, sync: u64) {
    let key = |request| RequestBuilder::new(request, sync).text(keys::EVENT_KEY, events::STATUS);
    peer.send(&key(RequestType::Unwatch));
    peer.send(&key(RequestType::Watch));
    while peer.receive().sync != sync {}
    peer.send(&key(RequestType::Watch));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Changes that concern nobody, each timed until the worker answers a ping behind it.
fn unconcerned(harness: &Harness) -> Duration {
    let mut peer = harness.connect();
    let times = (0..ROUNDS).map(|round| {
        let began = Instant::now();
        match round % 2 {
            0 => harness.handle().solo("measured"),
            _ => harness.handle().assist(),
        }
        peer.ping();
        began.elapsed()
    });
    median(times.collect())
}

/// Changes that everybody watches, each timed until a ping behind it, and until all are told.
fn watched(harness: &Harness, peers: &mut [Peer]) -> (Duration, Duration) {
    let mut probe = harness.connect();
    let (mut pings, mut all) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        for peer in &mut *peers {
            watch(peer, round as u64);
        }
        let began = Instant::now();
        match round % 2 {
            0 => drop(harness.promote()),
            _ => drop(harness.demote(Duration::from_secs(60))),
        }
        probe.ping();
        pings.push(began.elapsed());
        for peer in &mut *peers {
            peer.receive();
        }
        all.push(began.elapsed());
    }
    (median(pings), median(all))
}

#[test]
#[ignore = "measures: 9,000 connections"]
fn a_change_of_state_reaches_many_sessions() {
    let harness = start();
    let mut peers: Vec<_> = (0..SESSIONS).map(|_| harness.connect()).collect();
    let ping = unconcerned(&harness);
    println!("nobody concerned: a ping behind the change {ping:?}");
    let (ping, all) = watched(&harness, &mut peers);
    println!("all watch: a ping behind the change {ping:?}, everybody told {all:?}");
    let began = Instant::now();
    harness
        .handle()
        .begin_drain(Some(Duration::from_secs(60)), "measured");
    for peer in &mut peers {
        let _ = peer.receive_until_closed();
    }
    println!("a stop: everybody closed after {:?}", began.elapsed());
}
