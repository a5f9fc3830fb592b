//! GW-01: whatever befalls requests, each reply is that of its own.

use std::ops::AddAssign as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};

use super::failover::insert;
use super::support::{Directory, Server, number_from_env, tarantool, wait_until};
use super::{gateway, log_in, start};

const CLIENTS: u64 = 200;

/// Requests that are answered, all in all, unless `VESTIBULE_TEST_TOKENS` says how many.
const REQUESTS: u64 = 50_000;

/// How often the upstream stands still, and requests are killed.
const STALLS: u64 = 20;

/// Requests that are killed at a time, at most.
const KILLS: usize = 20;

/// Requests that each has on its way.
const DEPTH: u64 = 4;

/// What a request may be told that is not answered: killed, out of time, of unknown outcome, and
/// that nobody serves.
const ERRORS: [u16; 4] = [32, 78, 115, 116];

/// So long that some are answered in time, and so short that some are not.
const TIMEOUT_S: f64 = 0.1;

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    failed: Mutex<[u64; ERRORS.len()]>,
    is_over: AtomicBool,
}

/// What tells a request from all others.
fn token(client: u64, number: u64) -> u64 {
    client << 32 | number
}

fn ask_for(sync: u64, token: u64) -> RequestBuilder {
    let tuple = [&[0x91, 0xcf][..], &token.to_be_bytes()].concat();
    RequestBuilder::new(RequestType::Eval, sync)
        .text(keys::EXPR, "return ...")
        .pair(keys::TUPLE, &tuple)
}

fn ask(mut peer: Peer, client: u64, counts: &Counts) {
    let limit = peer.call_with("vestibule.set", &("request_timeout", TIMEOUT_S));
    assert_eq!(limit.code, 0, "{:?}", limit.error_text());
    let mut number = 0;
    while !counts.is_over.load(Ordering::SeqCst) {
        // The same numbers again and again, as some connectors have it.
        let first = number;
        for sync in 0..DEPTH {
            peer.send(&ask_for(sync, token(client, number)));
            number += 1;
        }
        let mut is_told = [false; DEPTH as usize];
        for _ in 0..DEPTH {
            let frame = peer.receive();
            let is_told = &mut is_told[frame.sync as usize];
            assert!(!std::mem::replace(is_told, true), "each is answered once");
            let Some(code) = frame.error_code() else {
                let expected = token(client, first + frame.sync);
                assert_eq!(frame.value::<u64>(), expected, "it is another one's");
                counts.answered.fetch_add(1, Ordering::SeqCst);
                continue;
            };
            let at = ERRORS.iter().position(|own| *own == code);
            let at = at.unwrap_or_else(|| panic!("{code}: {:?}", frame.error_text()));
            counts.failed.lock().expect("nobody panics")[at].add_assign(1);
        }
    }
}

/// Ends some of what is under way, of whomever.
fn kill_some(operator: &mut Peer, server: &Server) {
    let shown = super::seen::ctl(server, &["show", "requests"]);
    let rows = shown.as_array().expect("it is a list");
    for row in rows.iter().take(KILLS) {
        let (connection, sync) = (row["connection"].as_u64(), row["sync"].as_u64());
        if let Some(ids) = connection.zip(sync) {
            // It may have come to its end.
            let _ = operator.call_with("vestibule.kill", &ids);
        }
    }
}

#[test]
fn whatever_befalls_requests_nobody_gets_the_reply_of_another_one() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let server = gateway(&directory, &[("a", &upstream)]);
    let requests = number_from_env("VESTIBULE_TEST_TOKENS").unwrap_or(REQUESTS);
    let counts = Counts::default();
    let answered = || counts.answered.load(Ordering::SeqCst);
    let failed = |code: u16| {
        let at = ERRORS.iter().position(|own| *own == code);
        counts.failed.lock().expect("nobody panics")[at.expect("it is one of them")]
    };
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (peer, counts) = (log_in(server.connect()), &counts);
            scope.spawn(move || ask(peer, client, counts));
        }
        let mut operator = server.connect();
        for _ in 0..STALLS {
            let (before, timed_out) = (answered(), failed(78));
            let goal = before + requests / STALLS;
            // However long all of them take on a busy machine, some more are answered soon.
            let mut seen = before;
            while seen <= goal {
                wait_until("some more are answered", || answered() > seen);
                seen = answered();
            }
            let killed = failed(32);
            wait_until("some are killed", || {
                kill_some(&mut operator, &server);
                failed(32) > killed
            });
            // Their replies are late, and come all at once when it goes on.
            upstream.process.signal("STOP");
            wait_until("some are out of time", || failed(78) > timed_out);
            upstream.process.signal("CONT");
        }
        counts.is_over.store(true, Ordering::SeqCst);
    });
    let mut peer = log_in(server.connect());
    assert_eq!(peer.ask(&insert(1)).code, 0);
}
