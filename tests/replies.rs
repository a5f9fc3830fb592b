//! The memory of the whole server while clients ask for more than they read, or than there is.

#![cfg(target_os = "linux")]

mod support;

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use support::{Directory, Server, make_space, select_all, wait_until};
use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::{self, RequestType};

const MIB: usize = 1 << 20;

/// What the system says of the server's memory under this name, in bytes.
fn status(server: &Server, name: &str) -> usize {
    let path = format!("/proc/{}/status", server.pid());
    let status = fs::read_to_string(path).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: usize = kibibytes
        .and_then(|text| text.parse().ok())
        .expect("a number of kB");
    kibibytes << 10
}

/// The most resident memory that the server has ever had, in bytes.
fn peak(server: &Server) -> usize {
    status(server, "VmHWM:")
}

/// Lets the server have this much more address space than it has.
fn limit_growth(server: &Server, growth: usize) {
    let most = (status(server, "VmSize:") + growth) as u64;
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    let pid = Pid::from_raw(server.pid() as i32);
    prlimit(pid, Resource::As, limit).expect("the limit can be set");
}

/// Rows of about `size` bytes with these keys.
fn store(peer: &mut Peer, rows: u8, size: usize) {
    for key in 0..rows {
        let mut tuple = vec![0x92, key, 0xc6];
        tuple.extend_from_slice(&(size as u32).to_be_bytes());
        tuple.resize(tuple.len() + size, 0xab);
        let request = RequestBuilder::new(RequestType::Replace, 1)
            .uint(keys::SPACE_ID, 512)
            .pair(keys::TUPLE, &tuple);
        assert_eq!(peer.ask(&request).code, 0);
    }
}

fn select(sync: u64) -> RequestBuilder {
    RequestBuilder::new(RequestType::Select, sync)
        .uint(keys::SPACE_ID, 512)
        .uint(keys::LIMIT, u64::from(u32::MAX))
        .uint(keys::ITERATOR, 2)
        .pair(keys::KEY, &[0x90])
}

#[test]
fn thousands_of_large_reads_of_one_connection_take_what_it_may_hold_and_all_are_answered() {
    const READS: u64 = 150;
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let mut operator = server.connect();
    make_space(&mut operator);
    store(&mut operator, 8, MIB / 2);
    assert!(operator.ask(&select_all()).body.len() > 4 * MIB);
    let before = peak(&server);
    // Unbounded, it is 600 MB.
    limit_growth(&server, 512 * MIB);
    let mut greedy = server.connect();
    // Behind a write of its own, so that Tx reads, and not the session.
    let mut bytes = RequestBuilder::replace(1, 2000).bytes();
    for sync in 2..=READS {
        bytes.extend(select(sync).bytes());
    }
    greedy.send_bytes(&bytes);
    // Nobody else waits for who does not read.
    for key in 0..100 {
        server.connect().ping();
        operator.ping();
        assert_eq!(
            operator.ask(&RequestBuilder::replace(1, 1000 + key)).code,
            0
        );
    }
    let held = peak(&server) - before;
    // What may be under way, one reply more, and as much on its way.
    assert!(held < 32 * MIB, "{held}");
    // What was admitted after the write is read from the view, and may come first.
    let mut replies: Vec<u64> = Vec::new();
    for _ in 1..=READS {
        let reply = greedy.receive();
        assert_eq!(reply.code, 0, "{reply:?}");
        replies.push(reply.sync);
    }
    replies.sort_unstable();
    assert!(replies.into_iter().eq(1..=READS), "each is answered once");
    let held = peak(&server) - before;
    assert!(held < 32 * MIB, "{held}");
}

#[test]
fn large_reads_of_many_connections_take_turns_within_the_bound() {
    const CONNECTIONS: usize = 24;
    const SIZE: usize = 16 * MIB;
    let directory = Directory::new();
    let bound = (16 * MIB).to_string();
    let arguments = ["--session-threads", "1"];
    let arguments = [&arguments[..], &["--connections-memory-max", &bound]].concat();
    let server = Server::start(directory.path(), &arguments);
    let mut operator = server.connect();
    make_space(&mut operator);
    store(&mut operator, 64, SIZE / 64);
    let before = peak(&server);
    // Unbounded, it is 384 MiB, and as much again where buffers double.
    let mut readers: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for reader in &mut readers {
        reader.send(&select(1));
    }
    for key in 0..20 {
        operator.ping();
        assert_eq!(
            operator.ask(&RequestBuilder::replace(1, 1000 + key)).code,
            0
        );
    }
    let threads: Vec<_> = readers
        .into_iter()
        .map(|mut reader| std::thread::spawn(move || reader.receive().body.len()))
        .collect();
    for thread in threads {
        let size = thread.join().expect("it is answered");
        assert!(size > SIZE, "{size}");
    }
    let held = peak(&server) - before;
    // The bound, one reply, and what else there is.
    assert!(held < 16 * MIB + 2 * SIZE, "{held}");
}

#[test]
fn what_unread_replies_take_is_no_more_than_the_bound_and_goes_back_when_they_are_closed() {
    const CONNECTIONS: usize = 80;
    const BOUND: usize = 96 * MIB;
    let directory = Directory::new();
    let bound = BOUND.to_string();
    let server = Server::start(directory.path(), &["--connections-memory-max", &bound]);
    let mut operator = server.connect();
    make_space(&mut operator);
    store(&mut operator, 4, 1_000_000);
    let before = peak(&server);
    // By Tx, each more than a connection may have waiting. Unbounded, it is gigabytes.
    let call = |sync| RequestBuilder::call(sync, "box.space.rows:select", &[0x90]);
    let calls: Vec<u8> = (0..20).flat_map(|sync| call(sync).bytes()).collect();
    let mut readers: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for reader in &mut readers {
        reader.send_bytes(&calls);
    }
    wait_until("the bound is reached", || {
        status(&server, "VmRSS:") > before + BOUND / 2
    });
    for key in 0..20 {
        server.connect().ping();
        let write = RequestBuilder::replace(1, 1000 + key);
        assert_eq!(operator.ask(&write).code, 0);
    }
    let held = peak(&server) - before;
    assert!(held < BOUND + 32 * MIB, "{held}");
    drop(readers);
    wait_until("what they held goes back", || {
        status(&server, "VmRSS:") < before + 24 * MIB
    });
    let held = peak(&server) - before;
    assert!(held < BOUND + 32 * MIB, "{held}");
}
