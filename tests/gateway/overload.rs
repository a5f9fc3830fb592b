//! More than a real upstream can do at a time, and those who wait beside it.

use std::time::Instant;

use vestibule_actors::limits::{
    UPSTREAM_CALLS_DEFAULT, UPSTREAM_CALLS_USERS_RESERVE, UPSTREAM_REQUESTS_DEFAULT,
};
use vestibule_actors::testing::{Peer, RequestBuilder};

use super::failover::insert;
use super::seen::upstream;
use super::support::{Directory, Server, number_from_env, tarantool, wait_until};
use super::{connect, eval, gateway, gateway_with, log_in, start};

/// With two calls each, three times as many as an instance reads requests of, by its
/// `net_msg_max`; unless `VESTIBULE_TEST_SLEEPERS` says how many.
const CLIENTS: u64 = 1200;

/// Sleeps until it is over, and counts who does.
const SLEEP: &str = "local fiber = require('fiber') \
    rawset(_G, 'sleeping', 0) rawset(_G, 'most', 0) \
    rawset(_G, 'sleep', function() \
        sleeping = sleeping + 1 most = math.max(most, sleeping) \
        while not rawget(_G, 'is_over') do fiber.sleep(0.01) end \
        sleeping = sleeping - 1 \
    end)";

/// Calls of one user that an upstream may have on its way.
const OF_USER: u64 = (UPSTREAM_CALLS_DEFAULT - UPSTREAM_CALLS_USERS_RESERVE) as u64;

/// What an upstream has on its way: calls, and requests in all.
fn in_flight(server: &Server) -> (u64, u64) {
    let own = upstream(server, "a");
    let count = |key: &str| own[key].as_u64().expect("it is a number");
    (count("calls"), count("in_flight"))
}

/// GW-12: more calls than an instance reads requests wait in the gateway, and while they sleep
/// others read, write, log in, ping and call.
#[test]
fn while_calls_of_many_clients_sleep_others_are_answered() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let server = gateway(&directory, &[("a", &upstream)]);
    let mut direct = connect(&upstream);
    assert_eq!(direct.ask(&eval(SLEEP)).code, 0);
    let clients = number_from_env("VESTIBULE_TEST_SLEEPERS").unwrap_or(CLIENTS);
    let mut sleepers: Vec<_> = (0..clients).map(|_| log_in(server.connect())).collect();
    for peer in &mut sleepers {
        (0..2).for_each(|sync| peer.send(&RequestBuilder::call(sync, "sleep", &[0x90])));
    }
    wait_until("as many sleep as may", || in_flight(&server).0 == OF_USER);

    let mut other = log_in(server.connect());
    let mut times: Vec<_> = (0..100)
        .map(|key| {
            let began = Instant::now();
            assert_eq!(other.ask(&insert(key)).code, 0);
            assert_eq!(other.ask(&RequestBuilder::select(1, key)).code, 0);
            other.ping();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!(
        "three requests of another one took {:?}, or {:?}",
        times[50], times[98]
    );
    // What is kept for other users is there for calls of theirs.
    let mut account = server.connect();
    assert_eq!(account.log_in("gateway", "planted-gateway").code, 0);
    let called = account.ask(&RequestBuilder::call(1, "box.info", &[0x90]));
    assert_eq!(called.code, 0, "{:?}", called.error_text());
    let (calls, in_flight) = in_flight(&server);
    assert_eq!(calls, OF_USER, "they sleep");
    assert!(in_flight <= UPSTREAM_REQUESTS_DEFAULT as u64, "{in_flight}");

    all_are_answered(&mut direct, &mut sleepers);
}

fn all_are_answered(direct: &mut Peer, sleepers: &mut [Peer]) {
    assert_eq!(direct.ask(&eval("rawset(_G, 'is_over', true)")).code, 0);
    for peer in sleepers {
        (0..2).for_each(|_| assert_eq!(peer.receive().code, 0));
    }
    let most: u64 = direct.ask(&eval("return most")).value();
    assert_eq!(most, OF_USER, "never more, and as many");
}

/// before a real one.
#[test]
fn beside_replies_of_64_mib_many_small_clients_get_their_own() {
    const SIZE: usize = 64 << 20;
    const SMALL: usize = 1000;
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    // It is busy with each of them for a while.
    let address = format!("a={}", upstream.address);
    let options = ["--upstream", &address, "--silent-after", "60s"];
    let server = gateway_with(&directory, &options);
    let mut large = log_in(server.connect());
    let reading = std::thread::spawn(move || {
        for at in b"abc" {
            let told = format!("return string.rep('{}', {SIZE})", char::from(*at));
            let frame = large.ask(&eval(&told));
            assert_eq!(frame.code, 0, "{:?}", frame.error_text());
            assert!(frame.body.ends_with(&vec![*at; SIZE]));
        }
    });
    let mut small: Vec<_> = (0..SMALL).map(|_| log_in(server.connect())).collect();
    let mut round: u64 = 0;
    // At least one more when all that is large is there.
    loop {
        let is_last = reading.is_finished();
        for (at, peer) in small.iter_mut().enumerate() {
            peer.send(&eval(&format!("return {at}, {round}")));
            peer.send(&RequestBuilder::select(2, 1));
        }
        for (at, peer) in small.iter_mut().enumerate() {
            let told: (usize, u64) = peer.receive().data();
            assert_eq!(told, (at, round));
            assert_eq!(peer.receive().code, 0);
            peer.ping();
        }
        round += 1;
        if is_last {
            break;
        }
    }
    reading.join().expect("it has all");
}
