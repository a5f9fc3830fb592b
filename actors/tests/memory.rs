//! What connections hold together is bounded; those that hold most wait for each other, nobody
//! else does.

use std::sync::{Arc, RwLock};

use vestibule_actors::config::ConnectionLimits;
use vestibule_actors::limits::{CONNECTION_BYTES_MAX, CONNECTION_REPLY_BYTES_MAX, MEMORY_SMALL};
use vestibule_actors::testing::{Frame, Harness, Peer, RequestBuilder, Script, config};

const MIB: usize = 1 << 20;

/// A REPLACE of this size.
fn large(sync: u64, size: usize) -> RequestBuilder {
    RequestBuilder::replace_large(sync, sync, size as u32)
}

fn start(memory_max: usize) -> Harness {
    let config = config()
        .session_threads(1)
        .connection_limits(ConnectionLimits::default().memory_max(memory_max));
    Harness::start_with(config, Script::default())
}

/// Bytes that `vestibule.show('limits')` says are in use.
fn used(operator: &mut Peer) -> usize {
    let shown: Frame = operator.show("limits");
    let name = b"connections_memory_max_bytes";
    let at = shown.body.windows(name.len()).position(|own| own == name);
    let row = &shown.body[at.expect("the row is there")..];
    let name = b"used";
    let at = row.windows(name.len()).position(|own| own == name);
    let value = &row[at.expect("it is counted") + name.len()..];
    match value[0] {
        0xce => u32::from_be_bytes(value[1..5].try_into().expect("four bytes")) as usize,
        0xcd => usize::from(u16::from_be_bytes([value[1], value[2]])),
        small => usize::from(small),
    }
}

#[test]
fn large_requests_of_many_connections_take_turns_within_the_bound() {
    const CONNECTIONS: usize = 12;
    let max = 4 * MIB;
    let harness = start(max);
    let mut operator = harness.connect();
    let mut peers: Vec<_> = (0..CONNECTIONS).map(|_| harness.connect()).collect();
    // Until the gate is open, no request is sent to its end.
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().expect("nobody panics with it");
    let senders: Vec<_> = peers
        .iter()
        .enumerate()
        .map(|(index, peer)| {
            let (mut writer, gate) = (peer.clone_for_writing(), gate.clone());
            let bytes = large(index as u64, 2 * MIB).bytes();
            std::thread::spawn(move || {
                let (most, last) = bytes.split_at(bytes.len() - 1);
                writer.send_bytes(most);
                drop(gate.read());
                writer.send_bytes(last);
            })
        })
        .collect();
    harness.wait_until("what requests may take is used up", || {
        used(&mut harness.connect()) > max / 2
    });
    // Neither is kept from anything meanwhile: not who asks for little, nor who just came.
    for _ in 0..300 {
        operator.ping();
        harness.connect().ping();
        // Half of the bound; a quarter, because everybody may hold a share; and the one connection
        // that is let through, whose buffer has just doubled. Without a bound it is more than 24
        // MiB.
        let used = used(&mut operator);
        assert!(used <= max + 4 * MIB, "{used}");
    }
    drop(closed);
    for (index, peer) in peers.iter_mut().enumerate() {
        let reply = peer.receive();
        assert_eq!((reply.sync, reply.code), (index as u64, 0));
    }
    for sender in senders {
        sender.join().expect("everything is sent");
    }
    harness.wait_until("everything is given back", || {
        used(&mut harness.connect()) < MEMORY_SMALL
    });
}

#[test]
fn replies_that_nobody_reads_do_not_grow_beyond_the_bound_for_ever() {
    let harness = start(MIB);
    let mut operator = harness.connect();
    assert_eq!(operator.ask(&large(5, 3 * MIB)).code, 0);
    let before = harness.handle().connection_count();
    let mut unread: Vec<_> = (0..2).map(|_| harness.connect()).collect();
    for peer in &mut unread {
        // The first reply alone is more than both may hold, and more than the sockets take.
        for sync in 0..8 {
            peer.send(&RequestBuilder::select(sync, 5));
        }
    }
    harness.wait_until("one of them is closed", || {
        harness.handle().connection_count() < before + 2
    });
    operator.ping();
}

#[test]
fn replies_of_one_connection_are_bounded_before_they_are_made_and_all_come() {
    const SELECTS: u64 = 400;
    let harness = start(1 << 30);
    let mut operator = harness.connect();
    assert_eq!(operator.ask(&large(5, 3 * MIB)).code, 0);
    let mut greedy = harness.connect();
    // Behind a write, and all read at once, so that Tx answers them.
    let selects = (2..SELECTS).map(|sync| RequestBuilder::select(sync, 5));
    let requests = std::iter::once(RequestBuilder::replace(1, 77)).chain(selects);
    let requests = requests.chain([RequestBuilder::replace(SELECTS, 78)]);
    let bytes: Vec<u8> = requests.flat_map(|request| request.bytes()).collect();
    greedy.send_bytes(&bytes);
    harness.wait_until("replies wait", || used(&mut harness.connect()) > 3 * MIB);
    // Two are made where one is less than may wait, and each is counted twice while it is handed
    // over, in a buffer that has just doubled: without a bound it is 1.2 GB.
    let most = 2 * 2 * CONNECTION_REPLY_BYTES_MAX.next_multiple_of(3 * MIB);
    for _ in 0..200 {
        let used = used(&mut operator);
        assert!(used <= most, "{used}");
        operator.ping();
    }
    assert_eq!(harness.script().executed(), [5, 77], "the last one waits");
    // A write's reply may pass those of reads that wait, and a read that was admitted after the
    // first write is answered from the view: all are answered once, the writes in order.
    let replies: Vec<u64> = (0..SELECTS).map(|_| greedy.receive().sync).collect();
    let is_write = |sync: &u64| [1, SELECTS].contains(sync);
    let (writes, mut reads): (Vec<u64>, Vec<u64>) = replies.into_iter().partition(is_write);
    assert_eq!(writes, [1, SELECTS]);
    reads.sort_unstable();
    assert!(reads.into_iter().eq(2..SELECTS));
    harness.wait_until("everything is given back", || {
        used(&mut harness.connect()) < MEMORY_SMALL
    });
}

#[test]
fn requests_in_flight_are_bounded_in_bytes_and_all_are_answered() {
    const SIZE: usize = 3 * MIB;
    let harness = start(1 << 30);
    let _blocker = harness.block();
    let mut greedy = harness.connect();
    let mut writer = greedy.clone_for_writing();
    let sender = std::thread::spawn(move || {
        for sync in 0..12 {
            writer.send(&large(sync, SIZE));
        }
    });
    let most = 1 + CONNECTION_BYTES_MAX.div_ceil(SIZE);
    harness.wait_until("its bytes are used up", || {
        harness.handle().in_flight() == most
    });
    let mut neighbour = harness.connect();
    neighbour.send(&RequestBuilder::replace(1, 200));
    harness.wait_until("the neighbour's is on its way", || {
        harness.handle().in_flight() == most + 1
    });
    harness.script().release();
    assert_eq!(neighbour.receive().code, 0);
    for sync in 0..12 {
        assert_eq!(greedy.receive().sync, sync);
    }
    sender.join().expect("everything is sent");
}

/// Requests that never come to their end are nobody's replies: their connections give way too, and
/// others are answered.
#[test]
fn who_holds_half_requests_beyond_the_bound_gives_way_to_others() {
    const CONNECTIONS: usize = 16;
    let harness = start(4 * MEMORY_SMALL);
    let held: Vec<_> = (0..CONNECTIONS)
        .map(|index| {
            let peer = harness.connect();
            let bytes = large(index as u64, 4 * MIB).bytes();
            peer.clone_for_writing()
                .send_bytes(&bytes[..4 * MEMORY_SMALL]);
            peer
        })
        .collect();
    let mut operator = harness.connect();
    harness.wait_until("the bound is exceeded", || {
        used(&mut harness.connect()) > 4 * MEMORY_SMALL
    });
    harness.wait_until("enough of them are closed", || {
        used(&mut harness.connect()) <= 4 * MEMORY_SMALL
    });
    assert_eq!(operator.ask(&RequestBuilder::select(1, 7)).code, 0);
    drop(held);
}

/// Who gives memory back tells nobody, and here nobody gives any back: threads look now and then.
#[test]
fn replies_that_wait_for_memory_are_made_though_nobody_tells_that_there_is_some() {
    let harness = start(1 << 30);
    let mut operator = harness.connect();
    assert_eq!(operator.ask(&large(5, 3 * MIB)).code, 0);
    let set_max = |max| {
        let settings = harness.handle().settings();
        let limits = settings.connection_limits;
        let settings = settings.connection_limits(limits.memory_max(max));
        harness
            .handle()
            .reconfigure(settings)
            .expect("the bound may be so");
    };
    let unread: Vec<_> = (0..3).map(|_| harness.connect()).collect();
    for peer in &unread {
        // More than the sockets take.
        for sync in 0..8 {
            peer.clone_for_writing()
                .send(&RequestBuilder::select(sync, 5));
        }
    }
    let is_held = || harness.handle().metrics().connections_memory.used_bytes > 3 * MIB;
    harness.wait_until("replies wait", is_held);
    set_max(MIB);
    let mut waiting: Vec<_> = (0..3).map(|_| harness.connect()).collect();
    for peer in &mut waiting {
        peer.send(&RequestBuilder::select(1, 5));
    }
    // All at once: who is let through first and is not read would be closed for that.
    std::thread::scope(|scope| {
        for peer in &mut waiting {
            scope.spawn(|| {
                let reply = peer.receive();
                assert_eq!((reply.sync, reply.code), (1, 0));
                assert!(reply.body.len() > 3 * MIB);
            });
        }
    });
}
