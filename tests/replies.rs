//! The memory of the whole server while clients ask for more than they read, or than there is.

#![cfg(target_os = "linux")]

mod support;

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde::Deserialize;
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

/// Bytes of a row that is copied into each reply, and takes memory there.
const COPIED: usize = 60_000;

/// Rows of about `size` bytes with these keys.
fn store(peer: &mut Peer, rows: usize, size: usize) {
    let rows = u16::try_from(rows).expect("they are few");
    for key in 0..rows {
        assert_eq!(peer.ask(&replace(key, size, 0xab)).code, 0);
    }
}

/// A row of about `size` bytes.
fn tuple(key: u16, size: usize, byte: u8) -> Vec<u8> {
    let [high, low] = key.to_be_bytes();
    let mut tuple = vec![0x92, 0xcd, high, low, 0xc6];
    tuple.extend_from_slice(&(size as u32).to_be_bytes());
    tuple.resize(tuple.len() + size, byte);
    tuple
}

fn replace(key: u16, size: usize, byte: u8) -> RequestBuilder {
    RequestBuilder::new(RequestType::Replace, 1)
        .uint(keys::SPACE_ID, 512)
        .pair(keys::TUPLE, &tuple(key, size, byte))
}

/// What is used of a limit.
fn used(operator: &mut Peer, limit: &str) -> usize {
    #[derive(Deserialize)]
    struct Limit {
        name: String,
        used: Option<usize>,
    }
    let shown: Vec<Vec<Limit>> = operator.show("limits").data();
    let limit = shown[0].iter().find(|own| own.name == limit);
    limit.and_then(|own| own.used).expect("it is counted")
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
    store(&mut operator, 4 * MIB / COPIED + 1, COPIED);
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
    store(&mut operator, SIZE / COPIED + 1, COPIED);
    let before = peak(&server);
    // Unbounded, it is 384 MiB, and as much again where buffers double.
    let mut readers: Vec<_> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for reader in &mut readers {
        reader.send(&select(1));
    }
    // From now on: who holds half a reply and does not come to its end gives way to others.
    let threads: Vec<_> = readers
        .into_iter()
        .map(|mut reader| std::thread::spawn(move || reader.receive().body.len()))
        .collect();
    for key in 0..20 {
        operator.ping();
        assert_eq!(
            operator.ask(&RequestBuilder::replace(1, 1000 + key)).code,
            0
        );
    }
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
    store(&mut operator, 4_000_000 / COPIED, COPIED);
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

/// The row of a body that has one row, by its fields.
fn only_row(body: &[u8]) -> &[u8] {
    let (head, row) = body.split_at(7);
    assert_eq!(head, [0x81, 0x30, 0xdd, 0, 0, 0, 1], "one row");
    row
}

const LARGE: usize = 20 * MIB;
const OF_LARGE: [&str; 4] = ["--tuple-size-max", "64MiB", "--memory-max", "1GiB"];

#[test]
fn large_rows_are_sent_from_where_they_are_and_charged_meanwhile() {
    const READERS: usize = 8;
    let directory = Directory::new();
    let server = Server::start(directory.path(), &OF_LARGE);
    let mut operator = server.connect();
    make_space(&mut operator);
    assert_eq!(operator.ask(&replace(1, LARGE, 0xab)).code, 0);
    let charged = |operator: &mut Peer| used(operator, "connections_memory_max_bytes");
    wait_until("its answer is sent", || charged(&mut operator) < MIB);
    let before = status(&server, "VmRSS:");
    // By the view; behind a write, by Tx.
    let mut readers: Vec<_> = (0..READERS).map(|_| server.connect()).collect();
    for (number, reader) in readers.iter_mut().enumerate() {
        if number % 2 == 0 {
            reader.send(&RequestBuilder::replace(1, 1000));
        }
        reader.send(&select(2));
    }
    wait_until("each has its reply", || {
        charged(&mut operator) >= READERS * LARGE
    });
    let grown = status(&server, "VmRSS:").saturating_sub(before);
    assert!(grown < LARGE / 2, "{grown}");
    for reader in &mut readers {
        let reply = std::iter::repeat_with(|| reader.receive()).find(|own| own.sync == 2);
        let rows = reply.expect("there are more").body;
        assert!(rows[7..].starts_with(&tuple(1, LARGE, 0xab)));
    }
    wait_until("it is given back", || charged(&mut operator) < MIB);
}

#[test]
fn a_large_row_that_is_replaced_and_deleted_arrives_as_it_was() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &OF_LARGE);
    let mut operator = server.connect();
    make_space(&mut operator);
    let charged = |operator: &mut Peer| used(operator, "connections_memory_max_bytes");
    let data = |operator: &mut Peer| used(operator, "memory_max_bytes");
    let empty = data(&mut operator);
    let row = |sync: u64, request: RequestType| {
        RequestBuilder::new(request, sync)
            .uint(keys::SPACE_ID, 512)
            .uint(keys::LIMIT, 1)
            .pair(keys::KEY, &[0x91, 1])
    };
    let shown = |operator: &mut Peer| operator.ask(&row(1, RequestType::Select)).body;
    let is = |body: &[u8], byte| body.len() > LARGE && only_row(body) == tuple(1, LARGE, byte);
    let mut readers: Vec<_> = (0..3).map(|_| server.connect()).collect();
    // One reads it, one has it from its own change, one deletes it; none takes its answer yet.
    assert_eq!(operator.ask(&replace(1, LARGE, 1)).code, 0);
    wait_until("that answer is sent", || charged(&mut operator) < MIB);
    readers[0].send(&row(7, RequestType::Select));
    wait_until("it is read", || charged(&mut operator) >= LARGE);
    readers[1].send(&replace(1, LARGE, 2));
    wait_until("it is replaced", || is(&shown(&mut operator), 2));
    readers[2].send(&row(7, RequestType::Delete));
    wait_until("it is deleted", || shown(&mut operator).len() < MIB);
    // The data have none of it any more, and are bounded without it.
    wait_until("data have room", || data(&mut operator) < empty + MIB);
    assert!(charged(&mut operator) >= 3 * LARGE);
    assert_eq!(operator.ask(&replace(1, LARGE, 3)).code, 0);
    for (reader, byte) in readers.iter_mut().zip([1, 2, 2]) {
        let reply = reader.receive();
        assert_eq!(reply.code, 0);
        assert!(is(&reply.body, byte), "{byte}");
    }
    wait_until("it is given back", || charged(&mut operator) < MIB);
}

#[test]
fn rows_of_all_sizes_come_in_their_order_in_one_reply() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &OF_LARGE);
    let mut operator = server.connect();
    make_space(&mut operator);
    let sizes = [
        10,
        70_000,
        65_536,
        65_520,
        3,
        5 * MIB,
        200_000,
        40_000,
        30_000,
    ];
    let mut all = vec![0x81, 0x30, 0xdd, 0, 0, 0, sizes.len() as u8];
    for (key, size) in sizes.into_iter().enumerate() {
        let (key, byte) = (key as u16, key as u8);
        assert_eq!(operator.ask(&replace(key, size, byte)).code, 0);
        all.extend(tuple(key, size, byte));
    }
    assert!(operator.ask(&select(1)).body == all);
    let call = RequestBuilder::call(1, "box.space.rows:select", &[0x90]);
    let called = operator.ask(&call).body;
    assert!(called.ends_with(&all[7..]));
}
