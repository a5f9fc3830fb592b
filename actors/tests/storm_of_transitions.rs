//! Random loads, a Tx that stands still here and there, and one change of the role after the other.
//!
//! Asserted are: everybody is answered; what was acknowledged is there, and what was refused is
//! not; and once a demotion is reported, nothing is written until the next promotion, but by a
//! write that the report told of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fastrand::Rng;
use vestibule_actors::TransitionResult;
use vestibule_actors::testing::{Frame, Harness, Peer, RequestBuilder, Script, config};
use vestibule_actors::wire::keys::RequestType;

const SEEDS: [u64; 3] = [1, 20_261_122, 0xdead_beef];
const ROUNDS: u64 = 25;
const LOADERS: u64 = 6;

/// What became of a loader's writes outside of transactions, by their keys.
#[derive(Debug, Default)]
struct Told {
    acknowledged: BTreeSet<u64>,
    refused: BTreeSet<u64>,
}

impl Told {
    fn note(&mut self, key: u64, reply: &Frame) {
        if reply.code == 0 {
            self.acknowledged.insert(key);
        } else if !reply.error_mentions("outcome") {
            self.refused.insert(key);
        }
    }
}

fn load(mut peer: Peer, mut random: Rng, stop: &AtomicBool, keys: &AtomicU64) -> Told {
    let mut told = Told::default();
    while !stop.load(Ordering::Relaxed) {
        let key = keys.fetch_add(1, Ordering::Relaxed);
        let in_stream = |kind| RequestBuilder::new(kind, key).stream(1);
        match random.u64(..12) {
            0..4 => {
                let reply = peer.ask(&RequestBuilder::replace(key, key));
                told.note(key, &reply);
            }
            4 => {
                // In one piece, so that they share turns.
                let many: Vec<u64> = (0..8)
                    .map(|_| keys.fetch_add(1, Ordering::Relaxed))
                    .collect();
                let bytes: Vec<u8> = many
                    .iter()
                    .flat_map(|key| RequestBuilder::replace(*key, *key).bytes())
                    .collect();
                peer.send_bytes(&bytes);
                for _ in many {
                    let reply = peer.receive();
                    told.note(reply.sync, &reply);
                }
            }
            5..7 => drop(peer.ask(&RequestBuilder::select(key, key / 2))),
            7 => drop(peer.call("pause", &[0x91, random.u64(..3) as u8])),
            8 => drop(peer.call("later", &[0x91, random.u64(..4) as u8])),
            9 => drop(peer.call("never", &[0x90])),
            _ => {
                if peer.ask(&in_stream(RequestType::Begin)).code == 0 {
                    let _ = peer.ask(&RequestBuilder::select(key, key).stream(1));
                    let commit = peer.ask(&in_stream(RequestType::Commit));
                    if commit.code != 0 {
                        let _ = peer.ask(&in_stream(RequestType::Rollback));
                    }
                }
            }
        }
    }
    told
}

/// Tx stands still in one way or another, or not. A client that is stuck with it, with two
/// requests, and whether one of them is a COMMIT.
fn disturb(harness: &Harness, random: &mut Rng, key: u64) -> Option<(Peer, bool)> {
    let script = harness.script();
    let mut stuck = harness.connect();
    // Only the transition answers it.
    let no_timeout = [&[0x92, 0xaf][..], b"request_timeout", &[0]].concat();
    assert_eq!(stuck.call("vestibule.set", &no_timeout).code, 0);
    match random.u64(..3) {
        0 => None,
        1 => {
            let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
            assert_eq!(stuck.ask(&begin).code, 0);
            script.hold_commits(true);
            let write = RequestBuilder::replace(2, key).stream(1).bytes();
            let commit = RequestBuilder::new(RequestType::Commit, 3).stream(1);
            stuck.send_bytes(&[write, commit.bytes()].concat());
            script.wait_until_committing();
            // Behind them: they are on their way.
            stuck.ping();
            Some((stuck, true))
        }
        _ => {
            script.hold_tx();
            // In one turn: what was written is written before Tx stands still.
            let write = RequestBuilder::replace(2, key).bytes();
            let block = RequestBuilder::call(1, "block", &[0x90]).bytes();
            stuck.send_bytes(&[write, block].concat());
            script.wait_until_blocked();
            Some((stuck, false))
        }
    }
}

fn one_round(harness: &Harness, random: &mut Rng, key: u64) {
    let stuck = disturb(harness, random, key);
    let grace = Duration::from_millis(random.u64(..30));
    let outcome = harness.demote(grace);
    assert_eq!(outcome.result, TransitionResult::Done);
    let record = outcome.transition.expect("it was carried out");
    // The slack is for a busy machine.
    assert!(record.took < grace + Duration::from_secs(10), "{record:?}");
    let reported = harness.script().keys();
    // Tx still stands still: nobody waits for it.
    if let Some((mut stuck, is_commit)) = stuck {
        let cut_off = record.killed.commit + record.revoked.commit;
        assert!(!is_commit || cut_off > 0, "{record:?}");
        for _ in 0..2 {
            stuck.receive();
        }
    }
    harness.script().release();
    // Behind everything that Tx had: it is answered when that is done.
    let mut last = harness.connect();
    assert_eq!(last.call("echo", &[0x91, 7]).code, 0);
    if !record.write_under_way {
        assert_eq!(harness.script().keys(), reported, "{record:?}");
    }
    let _ = harness.promote();
}

fn storm(seed: u64) {
    let config = config()
        .session_threads(2)
        // A Tx that stands still is what this is about: nobody is to be told busy instead.
        .tx_stall_after(Duration::ZERO)
        // For calls that never end and began while nothing may be written: no demotion is about
        // them.
        .request_timeout(Duration::from_secs(1));
    let harness = Harness::start_with(config, Script::default());
    let (stop, keys) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(1000)),
    );
    let mut random = Rng::with_seed(seed);
    let loaders: Vec<JoinHandle<Told>> = (0..LOADERS)
        .map(|number| {
            let (peer, stop, keys) = (harness.connect(), stop.clone(), keys.clone());
            let random = Rng::with_seed(seed ^ (number + 1));
            std::thread::spawn(move || load(peer, random, &stop, &keys))
        })
        .collect();
    for round in 0..ROUNDS {
        one_round(&harness, &mut random, round);
    }
    stop.store(true, Ordering::Relaxed);
    // A client that waits for what never ends is answered by one more.
    while !loaders.iter().all(JoinHandle::is_finished) {
        let _ = harness.demote(Duration::ZERO);
        let _ = harness.promote();
    }
    let there: BTreeSet<u64> = harness.script().keys().into_iter().collect();
    for loader in loaders {
        let told = loader.join().expect("each request is answered");
        assert!(told.acknowledged.is_subset(&there), "acknowledged is there");
        assert!(told.refused.is_disjoint(&there), "refused is not");
    }
}

#[test]
fn nothing_is_lost_doubled_or_late_however_often_the_role_changes() {
    for seed in SEEDS {
        storm(seed);
    }
}
