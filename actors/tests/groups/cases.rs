//! The cases of a multiplexer that a server shows, by their numbers. (Those of the scheduler are in
//! `vestibule-wire`, those of the client in `vestibule-client`.)

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::mpsc;

use bytes::Bytes;
use vestibule_actors::monitoring::{ConnectionInfo, TrafficMetrics};
use vestibule_actors::testing::{Harness, RequestBuilder, Script, config};
use vestibule_wire::groups::chunk::{self, First, HEAD_SIZE_MAX};
use vestibule_wire::groups::{Agreement, Group, Receiver, Sender};
use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::limits::GROUP_QUANTUM;

use crate::client::{Client, LARGE, Pipe, code, harness_with_rows, id_request, large};

const WINDOW: Agreement = Agreement {
    window: 64 << 10,
    messages_max: 64,
};

fn stream(id: u64) -> Group {
    Group::stream(id).expect("above 0")
}

/// A REPLACE of this key in a stream, with bytes beside it.
fn store(sync: u64, id: u64, key: u64, size: usize) -> Vec<u8> {
    let mut tuple = vec![0x92];
    vestibule_wire::msgpack::write_uint(&mut tuple, key);
    tuple.push(0xc6);
    tuple.extend_from_slice(&(size as u32).to_be_bytes());
    tuple.resize(tuple.len() + size, key as u8);
    let request = RequestBuilder::new(RequestType::Replace, sync).stream(id);
    let request = request.uint(keys::SPACE_ID, 512);
    request.pair(keys::TUPLE, &tuple).bytes()
}

/// The connections, as operators see them.
pub(crate) fn connections(harness: &Harness) -> Vec<ConnectionInfo> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime can be made");
    runtime.block_on(harness.handle().connections(100))
}

/// What the only connection of a harness holds.
fn only(harness: &Harness) -> ConnectionInfo {
    let [only] = connections(harness).try_into().expect("one connection");
    only
}

/// A client whose sending half has a thread of its own, so that it reads whatever it writes.
struct Both {
    client: Client,
    sender: Sender<Bytes>,
    to_write: mpsc::Sender<Vec<u8>>,
}

/// Bytes of a message that a fast consumer admits ahead of what has come.
const FAST: usize = 1 << 20;

impl Both {
    fn connect(harness: &Harness, asked: Agreement) -> Self {
        let client = Client::connect(harness, Some(asked));
        let mut sender = Sender::default();
        sender.cut(client.agreed.expect("the server takes chunks"));
        let mut socket = client.stream.try_clone().expect("it can be cloned");
        let (to_write, written) = mpsc::channel::<Vec<u8>>();
        std::thread::spawn(move || {
            while let Ok(bytes) = written.recv() {
                use std::io::Write as _;
                if socket.write_all(&bytes).is_err() {
                    return;
                }
            }
        });
        Self {
            client,
            sender,
            to_write,
        }
    }

    fn write(&mut self, bytes: Vec<u8>) {
        self.to_write.send(bytes).expect("the thread is there");
    }

    /// Sends what may be sent, reads one frame, and admits of each message what `ahead` says,
    /// beyond what has come of it.
    fn step(&mut self, ahead: impl Fn(Group) -> usize) {
        while let Some(piece) = self.sender.pick_up_to(usize::MAX) {
            self.write([piece.head.as_bytes(), &piece.payload].concat());
        }
        assert!(self.client.read(), "the connection is open");
        for (number, limit) in self.client.credits.drain() {
            self.sender.credit(number, limit).expect("credit is due");
        }
        let begun: HashMap<u32, First> = self
            .client
            .pieces
            .iter()
            .filter_map(|(number, first, _)| Some((*number, (*first)?)))
            .collect();
        for (number, first) in begun {
            let ahead = ahead(first.group);
            if let Some(credit) = self.client.receiver.admit_ahead(number, ahead) {
                self.write(credit.as_bytes().to_vec());
            }
        }
    }
}

#[test]
fn m01_requests_of_a_stream_run_and_are_answered_in_order_whatever_their_sizes() {
    const SENDERS: u64 = 6;
    let harness = Harness::start();
    let mut both = Both::connect(&harness, WINDOW);
    // What six senders of one stream have handed over, one after the other.
    let keys = 0..50 * SENDERS;
    for key in keys.clone() {
        let size = [100, 40_000, 17_000, 3000, 10][key as usize % 5];
        let request = store(key + 10, 1, key, size);
        both.sender.push(stream(1), request.into(), 0);
    }
    while both.client.replies.len() < keys.clone().count() {
        both.step(|_| FAST);
    }
    let replied: Vec<u64> = both.client.replies.iter().map(|(sync, _)| *sync).collect();
    assert!(replied.into_iter().eq(10..10 + 50 * SENDERS), "in order");
    assert!(harness.script().executed().into_iter().eq(keys));
}

#[test]
fn m02_nothing_of_20_streams_is_lost_or_doubled_and_each_keeps_its_order() {
    let harness = Harness::start();
    let mut both = Both::connect(&harness, WINDOW);
    for at in 0..200 {
        for id in 1..=20 {
            let size = [100, 20_000, 1000, 10][(at + id) as usize % 4];
            let key = id * 1000 + at;
            both.sender
                .push(stream(id), store(key, id, key, size).into(), 0);
        }
    }
    while both.client.replies.len() < 4000 {
        both.step(|_| FAST);
    }
    for told in [
        both.client.replies.iter().map(|(sync, _)| *sync).collect(),
        harness.script().executed(),
    ] {
        let told: Vec<u64> = told;
        assert_eq!(told.len(), 4000);
        for id in 1..=20 {
            let own = told.iter().filter(|key| **key / 1000 == id).copied();
            assert!(own.eq(id * 1000..id * 1000 + 200), "of stream {id}");
        }
    }
}

#[test]
fn m04_a_ping_waits_for_two_chunks_and_what_is_on_the_wire() {
    const PIPE: usize = 4096;
    let harness = harness_with_rows();
    let mut client = Client::over_pipe(&harness, PIPE, Some(WINDOW));
    for id in 1..=8 {
        client.send(&RequestBuilder::select(id + 1, 5).stream(id).bytes());
    }
    let mut admitted = 0;
    while admitted < 8 {
        assert!(client.read());
        let begun = client.pieces.iter().filter(|(_, first, _)| first.is_some());
        let begun = begun.count() as u32;
        for number in admitted + 1..=begun {
            client.admit(&[number]);
        }
        admitted = begun;
    }
    let behind = || {
        let all = connections(&harness).into_iter();
        let own = all.max_by_key(|own| own.output_bytes);
        own.expect("it is there").output_bytes
    };
    let pings = || harness.handle().metrics().traffic.requests["OTHER"].total;
    // Reads a frame, and waits until the pipe is full again.
    let read = |client: &mut Client<Pipe>| {
        let (waits, read) = (behind(), client.read);
        assert!(client.read(), "the bulk goes on");
        let waits = waits - (client.read - read);
        // What was picked to fill it has a head.
        harness.wait_until("the pipe is full", || behind() <= waits + 2 * HEAD_SIZE_MAX);
    };
    let last = Cell::new(0);
    harness.wait_until("the pipe is full", || {
        let now = behind();
        last.replace(now) == now
    });
    // A megabyte: more was moved ahead of a pipe that took it at once.
    for _ in 0..64 {
        read(&mut client);
    }
    for sync in 100..120 {
        for _ in 0..sync % 3 {
            read(&mut client);
        }
        let before = pings();
        client.send(&RequestBuilder::new(RequestType::Ping, sync).bytes());
        harness.wait_until("the ping is answered", || pings() > before);
        let already = client.read;
        while client.replies.is_empty() {
            read(&mut client);
        }
        assert_eq!(client.replies.remove(0).0, sync);
        let waited = client.read - already;
        let most = 2 * GROUP_QUANTUM + GROUP_QUANTUM + PIPE + 1000;
        assert!(waited <= most, "{waited} bytes came before a ping's answer");
        assert!(behind() > LARGE, "all are still busy");
    }
}

#[test]
fn m05_both_directions_are_full_and_consumers_slow_and_nothing_stands_still() {
    const ROUNDS: u64 = 3;
    let harness = harness_with_rows();
    let mut both = Both::connect(&harness, WINDOW);
    // 36 MB each way: four streams that store, four that read, of which each is slower than the
    // one before.
    for round in 0..ROUNDS {
        for id in 1..=4 {
            let sync = 100 * round + id;
            let request = large(sync, id as u8, LARGE).stream(id).bytes();
            both.sender.push(stream(id), request.into(), 0);
            let request = RequestBuilder::select(sync + 10, 5).stream(id + 10);
            both.sender.push(stream(id + 10), request.bytes().into(), 0);
        }
    }
    let mut replies = 0;
    while replies < 8 * ROUNDS {
        // Replies to what is stored are as large as those to what is read.
        both.step(|group| match group {
            Group::Stream(id) => FAST >> (2 * (id.get() % 10 - 1)),
            _ => FAST,
        });
        for (_, frame) in both.client.replies.drain(..) {
            assert_eq!(code(&frame), 0);
            replies += 1;
        }
    }
    assert_eq!(both.sender.size(), 0);
}

#[test]
fn a_request_in_chunks_that_finds_no_credit_is_taken_once_there_is_some() {
    // More than one connection may have forwarded.
    const STREAMS: u64 = 20;
    const SIZE: usize = 1_200_000;
    const PINGS: usize = 20;
    let harness = Harness::start();
    let _blocker = harness.block();
    let mut both = Both::connect(&harness, WINDOW);
    let mut replies: HashMap<u64, u32> = HashMap::new();
    let step = |both: &mut Both, replies: &mut HashMap<u64, u32>| {
        both.step(|_| FAST);
        for (sync, frame) in both.client.replies.drain(..) {
            assert_eq!(code(&frame), 0, "{sync}");
            *replies.entry(sync).or_default() += 1;
        }
    };
    // One after the other, so that each goes out in large pieces. Pings are answered although the
    // next request waits for a reply.
    let mut pings = 1000..;
    for id in 1..=STREAMS {
        let request = store(id, id, 100 + id, SIZE);
        both.sender.push(stream(id), request.into(), 0);
        for sync in pings.by_ref().take(PINGS) {
            both.write(RequestBuilder::new(RequestType::Ping, sync).bytes());
            while !replies.contains_key(&sync) {
                step(&mut both, &mut replies);
            }
        }
    }
    let answered = STREAMS as usize * PINGS;
    assert_eq!(replies.len(), answered, "none is stored yet");
    harness.script().release();
    while replies.len() < answered + STREAMS as usize {
        step(&mut both, &mut replies);
    }
    assert!(replies.values().all(|count| *count == 1));
    let taken = harness.handle().metrics().traffic.requests;
    let counts = ["REPLACE", TrafficMetrics::OTHER].map(|own| taken[own].total);
    assert_eq!(counts, [STREAMS, 1 + answered as u64], "ID is one as well");
    let mut peer = harness.connect();
    for id in 1..=STREAMS {
        let row = peer.ask(&RequestBuilder::select(id, 100 + id));
        assert!(row.body.len() > SIZE, "{id}");
    }
}

#[test]
fn m06_a_consumer_that_stops_takes_its_window_and_no_more_from_the_others() {
    let harness = harness_with_rows();
    let mut both = Both::connect(&harness, WINDOW);
    for (sync, id) in [(2, 1), (3, 2), (4, 3), (5, 2), (6, 3)] {
        let request = RequestBuilder::select(sync, 5).stream(id);
        both.sender.push(stream(id), request.bytes().into(), 0);
    }
    while both.client.replies.len() < 4 {
        both.step(|group| if group == stream(1) { 0 } else { FAST });
    }
    let mut by_group = HashMap::<Group, usize>::new();
    let mut groups = HashMap::new();
    for (number, first, size) in &both.client.pieces {
        let group = first.map_or_else(|| groups[number], |first| first.group);
        groups.insert(*number, group);
        *by_group.entry(group).or_default() += size;
    }
    let stopped = by_group.get(&stream(1)).copied().unwrap_or_default();
    let all: usize = by_group.values().sum();
    assert!(stopped <= WINDOW.window, "{stopped}");
    assert!((all - stopped) * 100 >= all * 95, "{stopped} of {all}");
    // Small requests of the stopped group's class and of others pass as well.
    both.client.ping(7);
}

#[test]
fn m07_what_ten_thousand_streams_or_a_few_huge_messages_hold_is_bounded() {
    let harness = Harness::start();
    let mut client = Client::connect(&harness, Some(WINDOW));
    let agreed = client.agreed.expect("the server takes chunks");
    // As many messages as may be under way, of the largest size that there is.
    let most = vestibule_wire::limits::PACKET_SIZE_MAX as u32;
    for number in 1..=agreed.messages_max as u32 {
        let first = First {
            group: stream(u64::from(number)),
            total: most,
        };
        let head = chunk::data(number, Some(first), 10);
        client.send(&[head.as_bytes(), &[1; 10]].concat());
    }
    client.ping(2);
    let held = only(&harness).memory_bytes;
    // Each is admitted by no more than a window ahead of what has come.
    let bound = (agreed.messages_max + 1) * agreed.window;
    assert!(held <= bound, "{held} bytes of beginnings");
    drop(client);
    harness.wait_until("it is gone", || harness.handle().connection_count() == 0);

    // Ten thousand streams whose replies nobody takes: the queues are part of what is held.
    let harness = harness_with_rows();
    let mut client = Client::over_pipe(&harness, 4096, Some(WINDOW));
    client.send(&RequestBuilder::select(2, 5).stream(1).bytes());
    let of = |name: fn(&ConnectionInfo) -> usize| {
        let all = connections(&harness).into_iter();
        all.map(|own| name(&own)).max().expect("it is there")
    };
    let large = of(|own| own.memory_bytes);
    for id in 2..=10_000 {
        client.send(&RequestBuilder::select(id + 1, 7).stream(id).bytes());
    }
    harness.wait_until("all is answered, or waits to be", || {
        connections(&harness).iter().all(|own| own.in_flight == 0)
    });
    let held = of(|own| own.memory_bytes);
    assert!(held > large, "{held} bytes, {large} before");
    assert!(
        held <= large + 10_000 * 1000,
        "{held} bytes, {large} before"
    );
}

#[test]
fn m10_a_server_sends_no_chunk_before_its_answer_to_id() {
    let harness = harness_with_rows();
    for _ in 0..20 {
        let mut client = Client::connect(&harness, None);
        client.receiver = Receiver::new(WINDOW);
        let mut bytes = RequestBuilder::select(2, 5).stream(1).bytes();
        bytes.extend(id_request(3, Some(WINDOW)));
        bytes.extend(RequestBuilder::select(4, 5).stream(2).bytes());
        client.send(&bytes);
        client.reply_to(3);
        assert!(client.pieces.is_empty(), "chunks begin behind the answer");
        while client.pieces.is_empty() {
            assert!(client.read());
        }
    }
}

#[test]
fn m12_a_request_whose_connection_ends_in_its_middle_never_runs_and_leaves_nothing() {
    let harness = Harness::start();
    for key in 1..20 {
        let mut client = Client::connect(&harness, Some(WINDOW));
        client.send(&RequestBuilder::replace(2, 1000 + key).bytes());
        client.reply_to(2);
        let request = store(3, 1, key, 100_000);
        let first = First {
            group: stream(1),
            total: request.len() as u32 - 5,
        };
        let cut = 5000 * key as usize;
        let head = chunk::data(1, Some(first), cut as u32);
        client.send(&[head.as_bytes(), &request[5..5 + cut]].concat());
        if key % 2 == 0 {
            // Surely received.
            client.ping(4);
        }
        drop(client);
    }
    harness.wait_until("all are gone", || harness.handle().connection_count() == 0);
    assert!(harness.script().executed().into_iter().eq(1001..1020));
    let mut operator = harness.connect();
    let limits = operator.show("limits");
    assert!(limits.error_code().is_none());
    assert_eq!(harness.handle().in_flight(), 0);
}

#[test]
fn m13_lengths_that_no_request_has_take_no_memory() {
    let config = config().packet_size_max(1 << 20);
    let harness = Harness::start_with(config, Script::default());
    let mut client = Client::connect(&harness, Some(WINDOW));
    let before = only(&harness).memory_bytes;
    for number in 1..=10 {
        let first = First {
            group: stream(u64::from(number)),
            total: u32::MAX - number,
        };
        client.send(chunk::data(number, Some(first), 0).as_bytes());
    }
    while client.stops.len() < 10 {
        assert!(client.read());
    }
    let held = only(&harness).memory_bytes;
    assert!(held <= before + (64 << 10), "{held} bytes, {before} before");
    for number in 1..=10 {
        client.send(&chunk::reset(number, None));
    }
    client.ping(2);
    // A whole frame of such a length ends the connection.
    client.send(&[0xce, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(code(&client.reply_to(0)), 0x8000 | 20);
    assert!(!client.read());
}

#[test]
fn m14_streams_that_have_nothing_to_say_hold_nothing() {
    let harness = Harness::start();
    let mut client = Client::connect(&harness, Some(WINDOW));
    client.ping(2);
    let before = only(&harness).memory_bytes;
    for thousand in 0..20 {
        let ids = thousand * 1000 + 1..=thousand * 1000 + 1000;
        let requests = ids.map(|id| RequestBuilder::replace(id + 2, id).stream(id).bytes());
        let bytes: Vec<u8> = requests.flatten().collect();
        client.send(&bytes);
        client.reply_to(thousand * 1000 + 1002);
    }
    client.ping(1 << 40);
    let held = only(&harness).memory_bytes;
    assert!(held <= before + (64 << 10), "{held} bytes, {before} before");
}
