//! Clients that take more than their part, and those beside them.

use std::time::Duration;

use vestibule_actors::Gateway;
use vestibule_actors::config::ConnectionLimits;
use vestibule_actors::limits::{
    CONNECTION_REPLY_BYTES_MAX, CONNECTION_REQUESTS_MAX, RESERVE_REQUESTS_MAX,
    UPSTREAM_CALLS_CONNECTIONS_RESERVE, UPSTREAM_CALLS_DEFAULT, UPSTREAM_CALLS_USERS_RESERVE,
    WORKER_CALLS_MAX, WORKER_RESERVE, WORKER_USERS_RESERVE,
};
use vestibule_actors::serving::State;
use vestibule_actors::testing::{Peer, RequestBuilder, TestServer, config};
use vestibule_actors::wire::keys::CODE_CHUNK;

use crate::upstream::{FakeUpstream, upstreams};
use crate::{DONE, all_calls, eval, on_one_thread, pass};

const MIB: usize = 1 << 20;

/// One string of this size.
fn large(size: usize) -> Vec<u8> {
    let head = [0x81, 0x30, 0x91, 0xdb];
    [&head, &(size as u32).to_be_bytes()[..], &vec![b'x'; size]].concat()
}

/// Bytes that connections hold.
fn used(server: &TestServer<Gateway>) -> usize {
    server.handle().metrics().connections_memory.used_bytes
}

#[test]
fn who_does_not_read_holds_little_gets_all_in_the_end_and_is_in_nobodys_way() {
    const READS: usize = 100;
    let upstream = FakeUpstream::start();
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let (mut greedy, mut other) = (server.connect(), server.connect());
    for sync in 0..READS as u64 {
        greedy.send(&RequestBuilder::select(sync, 1));
    }
    let body = large(2 * MIB);
    for _ in 0..READS {
        upstream.asked().reply(&body);
    }
    // What comes for this one came behind all of that.
    pass(&mut other, &upstream, &eval(1, "return 1"));
    let used = used(&server);
    let most = CONNECTION_REPLY_BYTES_MAX + 8 * MIB;
    assert!(used <= most, "{used} of {}", READS * body.len());
    let reading = std::thread::spawn(move || {
        let frames = (0..READS).map(|_| greedy.receive());
        let mut syncs: Vec<_> = frames.map(|own| (own.sync, own.body.len())).collect();
        syncs.sort_unstable();
        syncs
    });
    while !reading.is_finished() {
        if let Some(asked) = upstream.try_asked() {
            asked.reply(&body);
        }
        std::thread::yield_now();
    }
    let expected: Vec<_> = (0..READS as u64).map(|sync| (sync, body.len())).collect();
    assert_eq!(reading.join().unwrap(), expected);
    pass(&mut other, &upstream, &eval(2, "return 1"));
}

#[test]
fn whoever_does_not_read_what_is_pushed_to_it_is_told_so_and_nobody_else_is() {
    // What is gathered before it is passed on, and what comes whole.
    for size in [MIB, 60 << 10, 12 << 10] {
        push_to_who_does_not_read(size);
    }
}

fn push_to_who_does_not_read(size: usize) {
    let pushes = 60 * MIB / size;
    let upstream = FakeUpstream::start();
    let (max, limits) = (32 * MIB, ConnectionLimits::default());
    let config = config()
        .session_threads(1)
        .connection_limits(limits.memory_max(max));
    let server = TestServer::before_with(config, upstreams(&[("a", upstream.address)]));
    server.wait_for(State::Assist);
    let (mut greedy, mut other) = (server.connect(), server.connect());
    greedy.send(&eval(1, "push()"));
    let asked = upstream.asked();
    let body = large(size);
    for _ in 0..60 {
        (0..MIB / size).for_each(|_| asked.push(&body));
        pass(&mut other, &upstream, &eval(1, "return 1"));
        assert!(used(&server) <= max, "{size}");
    }
    asked.reply(DONE);
    pass(&mut other, &upstream, &eval(2, "return 1"));
    let mut pushed = 0;
    let told = loop {
        let frame = greedy.receive();
        if frame.code != CODE_CHUNK {
            break frame;
        }
        pushed += 1;
    };
    assert_eq!(told.error_code(), Some(2));
    assert!((1..pushes).contains(&pushed), "{pushed} of {size}");
    pass(&mut greedy, &upstream, &eval(3, "return 1"));
}

#[test]
fn calls_that_sleep_keep_neither_another_connection_nor_another_user_from_calling() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let mut greedy = server.connect();
    let calls = |count: usize| (0..count).map(|_| upstream.asked()).collect::<Vec<_>>();
    for sync in 0..2 * UPSTREAM_CALLS_DEFAULT as u64 {
        greedy.send(&eval(sync, "sleep()"));
    }
    let reserve = UPSTREAM_CALLS_CONNECTIONS_RESERVE + UPSTREAM_CALLS_USERS_RESERVE;
    let _sleeping = calls(UPSTREAM_CALLS_DEFAULT - reserve);
    // Another connection of guest, though it waits behind hundreds of calls.
    let mut other = server.connect();
    pass(&mut other, &upstream, &eval(1, "return 1"));
    // And as many of them as one likes.
    let mut crowd: Vec<_> = (0..UPSTREAM_CALLS_DEFAULT)
        .map(|_| server.connect())
        .collect();
    for peer in &mut crowd {
        peer.send(&eval(1, "sleep()"));
    }
    let _more = calls(UPSTREAM_CALLS_CONNECTIONS_RESERVE);
    let mut alice = server.connect();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    pass(&mut alice, &upstream, &eval(1, "return 1"));
    assert!(upstream.try_asked().is_none());
}

/// Guests who send a call, and more of this behind it, until they have all that there may be of
/// calls and of what is behind them.
fn crowd(server: &TestServer<Gateway>, more: &RequestBuilder) -> Vec<Peer> {
    let send = |peers: usize, of_each: usize| -> Vec<Peer> {
        let burst = [eval(1, "sleep()").bytes(), more.bytes().repeat(of_each - 1)].concat();
        let mut peers: Vec<_> = (0..peers).map(|_| server.connect()).collect();
        peers.iter_mut().for_each(|own| own.send_bytes(&burst));
        peers
    };
    let in_flight = || server.handle().in_flight();
    let all = WORKER_CALLS_MAX;
    // One connection more than have them all.
    let mut peers = send(1 + all / CONNECTION_REQUESTS_MAX, CONNECTION_REQUESTS_MAX);
    server.wait_until("they have what all share", || in_flight() >= all);
    let reserve = WORKER_RESERVE - WORKER_USERS_RESERVE;
    peers.extend(send(
        2 * reserve / RESERVE_REQUESTS_MAX,
        RESERVE_REQUESTS_MAX,
    ));
    server.wait_until("they have the reserve", || in_flight() >= all + reserve);
    peers
}

/// More calls than a session thread may have under way: all but a few of them only wait.
#[test]
fn calls_that_wait_for_an_upstream_keep_nobody_from_all_else() {
    let upstream = FakeUpstream::start();
    upstream.set_password("alice", "secret");
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let _crowd = crowd(&server, &eval(1, "sleep()"));
    let of_guest = UPSTREAM_CALLS_DEFAULT - UPSTREAM_CALLS_USERS_RESERVE;
    let _sleeping: Vec<_> = (0..of_guest).map(|_| upstream.asked()).collect();
    let mut other = server.connect();
    for sync in 0..100 {
        pass(&mut other, &upstream, &RequestBuilder::select(sync, 1));
        pass(&mut other, &upstream, &RequestBuilder::replace(sync, 1));
    }
    other.ping();
    // Guests have their part of the calls, and no more.
    let mut alice = server.connect();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    pass(&mut alice, &upstream, &eval(1, "return 1"));
    let settings = server.handle().settings();
    let settings = settings.wait_timeout(Duration::from_millis(1));
    server.handle().reconfigure(settings).expect("it may be so");
    let told = other.ask(&eval(1, "return 1"));
    assert_eq!(told.error_code(), Some(78));
    pass(&mut other, &upstream, &RequestBuilder::select(1, 1));
    assert!(upstream.try_asked().is_none());
}

/// What has to wait for its order costs what the call does.
#[test]
fn what_is_sent_behind_calls_that_wait_keeps_nobody_either() {
    let upstream = FakeUpstream::start();
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let _callers = all_calls(&server, &upstream);
    let _crowd = crowd(&server, &RequestBuilder::select(2, 1));
    let mut other = server.connect();
    for sync in 0..100 {
        pass(&mut other, &upstream, &RequestBuilder::select(sync, 1));
        pass(&mut other, &upstream, &RequestBuilder::replace(sync, 1));
    }
    assert!(upstream.try_asked().is_none());
}

/// Nobody gives anything back, and the client does not read: there is memory again because the
/// bound is another one.
#[test]
fn a_request_that_waits_for_memory_in_a_link_goes_on_though_nobody_reads() {
    const REPLY: usize = 64 << 10;
    let upstream = FakeUpstream::start();
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let (mut slow, mut other) = (server.connect(), server.connect());
    let mut sync = 0;
    // Until the kernel takes no more.
    while used(&server) < REPLY {
        slow.send(&RequestBuilder::select(sync, 1));
        upstream.asked().reply(&large(REPLY));
        pass(&mut other, &upstream, &eval(1, "return 1"));
        sync += 1;
    }
    let calls = UPSTREAM_CALLS_DEFAULT - UPSTREAM_CALLS_CONNECTIONS_RESERVE;
    let calls = calls - UPSTREAM_CALLS_USERS_RESERVE;
    (0..=calls).for_each(|_| slow.send(&eval(sync, "sleep()")));
    let sleeping: Vec<_> = (0..calls).map(|_| upstream.asked()).collect();
    let set_max = |max| {
        let settings = server.handle().settings();
        let limits = settings.connection_limits;
        let settings = settings.connection_limits(limits.memory_max(max));
        server
            .handle()
            .reconfigure(settings)
            .expect("the bound may be so");
    };
    let before = server.handle().settings().connection_limits.memory_max;
    set_max(used(&server));
    // The last one does not wait for the others any more.
    sleeping.iter().for_each(|own| own.reply(DONE));
    for _ in 0..3 {
        pass(&mut other, &upstream, &eval(1, "return 1"));
    }
    assert!(upstream.try_asked().is_none(), "it has much to read");
    set_max(before);
    upstream.asked().reply(DONE);
}

#[test]
fn what_comes_behind_a_call_whose_time_was_over_while_it_waited_does_not_wait_for_its_turn() {
    let upstream = FakeUpstream::start();
    let server = on_one_thread(upstreams(&[("a", upstream.address)]));
    let (_callers, sleeping) = all_calls(&server, &upstream);
    let mut peer = server.connect();
    peer.call_with("vestibule.set", &("request_timeout", 5));
    peer.send(&eval(1, "return 1"));
    server.wait_until("it is under way", || {
        server.handle().in_flight() > sleeping.len()
    });
    server.wind(Duration::from_secs(6));
    assert_eq!(peer.receive().error_code(), Some(78));
    pass(&mut peer, &upstream, &RequestBuilder::select(2, 1));
}
