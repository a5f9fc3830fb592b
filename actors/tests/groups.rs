//! Groups that share a connection, and large messages in chunks: behavior, and the cases that every
//! multiplexer has to stand.

#[path = "groups/cases.rs"]
mod cases;
#[path = "groups/client.rs"]
mod client;

use std::net::Shutdown;
use std::time::Instant;

use bytes::Bytes;
use vestibule_actors::ConnectionBounds;
use vestibule_actors::config::ConnectionLimits;
use vestibule_actors::limits::{CONNECTION_REQUESTS_MAX, OUTPUT_MAX_LEAST};
use vestibule_actors::testing::{Harness, RequestBuilder, Script, config};
use vestibule_wire::groups::chunk::{self, FRAME_SIZE_MAX, First};
use vestibule_wire::groups::{Agreement, Group, Sender};
use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::msgpack::{write_array_len, write_uint};

use cases::connections;
use client::{
    ASKED, Client, LARGE, PATIENCE, ask_for_more_than_is_taken_beside, body, code,
    harness_with_rows, large, with_rows,
};

#[test]
fn a_client_that_does_not_ask_for_chunks_gets_none() {
    let harness = harness_with_rows();
    let mut client = Client::connect(&harness, None);
    assert_eq!(client.agreed, None);
    client.send(&RequestBuilder::select(2, 5).bytes());
    client.send(&RequestBuilder::select(3, 5).stream(1).bytes());
    let (first, second) = (client.reply_to(2), client.reply_to(3));
    assert!(first.len() > LARGE && second.len() > LARGE);
    assert!(client.pieces.is_empty());
    // And what it sends of their types is unknown.
    client.send(chunk::credit(1, 1).as_bytes());
    assert_eq!(code(&client.reply_to(0)), 0x8000 | 48);
    client.ping(4);
}

#[test]
fn a_server_that_could_not_take_the_largest_piece_has_no_chunks() {
    for (packet_size_max, has_chunks) in [
        (FRAME_SIZE_MAX as u64 - 1, false),
        (FRAME_SIZE_MAX as u64, true),
    ] {
        let config = config().packet_size_max(packet_size_max);
        let harness = Harness::start_with(config, Script::default());
        let client = Client::connect(&harness, Some(ASKED));
        assert_eq!(client.agreed.is_some(), has_chunks, "{packet_size_max}");
    }
}

#[test]
fn who_says_that_no_message_may_be_under_way_is_sent_one_at_a_time() {
    let harness = harness_with_rows();
    let asked = Agreement {
        messages_max: 0,
        ..ASKED
    };
    let mut client = Client::connect(&harness, Some(asked));
    client.send(&RequestBuilder::select(2, 5).stream(1).bytes());
    while client.pieces.is_empty() {
        assert!(client.read());
    }
    client.ping(3);
}

#[test]
fn a_reply_in_chunks_stops_at_the_window_and_holds_nobody_else() {
    let harness = harness_with_rows();
    let mut whole = Client::connect(&harness, None);
    whole.send(&RequestBuilder::select(2, 5).stream(1).bytes());
    let expected = whole.reply_to(2);

    let mut client = Client::connect(&harness, Some(ASKED));
    assert!(client.agreed.is_some());
    client.send(&RequestBuilder::select(2, 5).stream(1).bytes());
    client.send(&RequestBuilder::select(3, 7).stream(2).bytes());
    client.ping(4);
    assert_eq!(code(&client.reply_to(3)), 0);
    // Another one is told of, and waits as well.
    client.send(&RequestBuilder::select(5, 5).stream(3).bytes());
    while !client.pieces.iter().any(|(number, ..)| *number == 2) {
        assert!(client.read());
    }
    let sent: usize = client.pieces.iter().map(|(_, _, size)| size).sum();
    assert!(sent <= ASKED.window, "{sent} bytes without credit");
    assert!(client.pieces.iter().all(|(_, _, size)| *size <= 16 << 10));
    let (_, first, _) = client.pieces[0];
    let group = Group::stream(1).expect("above 0");
    assert_eq!(
        first,
        Some(First {
            group,
            total: expected.len() as u32 - 5
        })
    );
    client.admit(&[1]);
    assert!(
        client.reply_to(2) == expected,
        "byte for byte what is sent whole"
    );
    // The second is not wanted: it is given up, and the connection goes on.
    let stop = client.receiver.stop(2, None).expect("under way");
    client.send(&stop);
    while client.resets.is_empty() {
        assert!(client.read());
    }
    assert_eq!(client.resets, [2]);
    client.ping(6);
}

#[test]
fn credit_is_read_though_what_it_is_for_takes_most_of_the_memory_or_more_than_all() {
    for memory_max in [5 << 20, 2 << 20] {
        let config = config().connection_limits(ConnectionLimits::default().memory_max(memory_max));
        let harness = with_rows(Harness::start_with(config, Script::default()));
        let mut client = Client::connect(&harness, Some(ASKED));
        client.send(&RequestBuilder::select(2, 5).stream(1).bytes());
        while client.pieces.iter().map(|own| own.2).sum::<usize>() < ASKED.window {
            assert!(client.read());
        }
        client.admit(&[1]);
        assert!(client.reply_to(2).len() > LARGE, "{memory_max}");
    }
}

/// A client to which a reply with sync 2 is under way, as far as it goes out without credit.
fn out_of_credit(harness: &Harness) -> Client {
    let mut client = Client::connect(harness, Some(ASKED));
    client.send(&RequestBuilder::select(2, 5).stream(1).bytes());
    while client.pieces.iter().map(|own| own.2).sum::<usize>() < ASKED.window {
        assert!(client.read());
    }
    client
}

#[test]
fn a_connection_that_is_to_end_takes_credit_for_what_is_left_and_nothing_else() {
    let harness = harness_with_rows();
    let mut client = out_of_credit(&harness);
    // Its own connection is the last.
    let numbers = connections(&harness).into_iter().map(|own| own.connection);
    let own = u8::try_from(numbers.max().expect("its own")).expect("few");
    client.send(&RequestBuilder::call(3, "vestibule.kill", &[0x91, own]).bytes());
    assert_eq!(code(&client.reply_to(3)), 0);
    // The credit comes in two parts, behind and before requests, of which one is large.
    let credit = client.receiver.admit(1, usize::MAX).expect("under way");
    let credit = credit.as_bytes();
    client.send(&[&large(4, 9, 100_000).bytes(), &credit[..9]].concat());
    client.send(&[&credit[9..], &RequestBuilder::replace(5, 9).bytes()].concat());
    assert!(client.reply_to(2).len() > LARGE);
    assert!(!client.read() && client.replies.is_empty(), "no other one");
    let mut other = Client::connect(&harness, None);
    other.send(&RequestBuilder::select(2, 9).bytes());
    assert!(other.reply_to(2).len() < 100, "nothing was stored");
}

#[test]
fn who_sends_what_is_damaged_is_not_waited_for_to_give_credit() {
    let harness = harness_with_rows();
    let mut client = out_of_credit(&harness);
    let begun = Instant::now();
    client.send(chunk::credit(7, 10).as_bytes());
    assert_eq!(code(&client.reply_to(0)), 0x8000 | 20);
    assert!(!client.read() && begun.elapsed() < PATIENCE / 2, "closed");
}

/// The end of its input is the end of its credit.
#[test]
fn who_closes_its_half_is_not_waited_for_to_give_credit() {
    let harness = harness_with_rows();
    let few = out_of_credit(&harness);
    let mut many = Client::connect(&harness, Some(ASKED));
    let next = ask_for_more_than_is_taken_beside(&mut many);
    // It would wait for those before it to go.
    many.send(&RequestBuilder::replace(next, 9).bytes());
    let mut scanning = Client::connect(&harness, Some(ASKED));
    scanning.send(&endless(1000).stream(1000).bytes());
    ask_for_more_than_is_taken_beside(&mut scanning);
    for mut client in [few, many, scanning] {
        let begun = Instant::now();
        client.stream.shutdown(Shutdown::Write).expect("it is open");
        while client.read() {}
        assert!(begun.elapsed() < PATIENCE / 2, "closed");
        assert!(client.replies.is_empty());
    }
}

#[test]
fn what_is_under_way_is_answered_also_if_a_half_was_closed_that_owes_credit() {
    let harness = harness_with_rows();
    let _blocker = harness.block();
    // The row is read without Tx.
    let mut client = out_of_credit(&harness);
    client.send(&RequestBuilder::replace(3, 9).bytes());
    harness.wait_until("it is on its way to Tx", || {
        harness.handle().in_flight() == 2
    });
    client.stream.shutdown(Shutdown::Write).expect("it is open");
    harness.script().release();
    assert_eq!(code(&client.reply_to(3)), 0);
    while client.read() {}
}

#[test]
fn replies_in_chunks_are_made_within_the_bound_that_a_connection_has_of_its_own() {
    let harness = harness_with_rows();
    let bounds = ConnectionBounds::default().output_bytes(OUTPUT_MAX_LEAST);
    let mut client = Client::within(&harness, 64 << 10, bounds, Some(ASKED));
    let next = ask_for_more_than_is_taken_beside(&mut client);
    client.ping(next);
    for number in 1..next as u32 - 1 {
        while !client.pieces.iter().any(|own| own.0 == number) {
            assert!(client.read(), "as much as may wait of others was made");
        }
        client.admit(&[number]);
    }
    assert!(client.reply_to(next - 1).len() > LARGE);
}

#[test]
fn pings_are_answered_while_more_replies_wait_than_requests_are_taken_beside() {
    let harness = harness_with_rows();
    let mut client = Client::connect(&harness, Some(ASKED));
    let small = ask_for_more_than_is_taken_beside(&mut client);
    client.send(&RequestBuilder::select(small, 7).stream(100).bytes());
    for sync in [small + 1, small + 2] {
        client.ping(sync);
    }
    assert!(client.replies.is_empty(), "the others wait");
}

#[test]
fn pings_that_found_no_room_for_their_answers_are_answered_when_there_is_some() {
    let harness = harness_with_rows();
    let mut client = Client::over_pipe(&harness, 4096, Some(ASKED));
    let small = ask_for_more_than_is_taken_beside(&mut client);
    client.send(&RequestBuilder::select(small, 7).stream(100).bytes());
    // Their answers are more than are made for a client that does not read.
    let last = small + 60_000;
    let ping = |sync| RequestBuilder::new(RequestType::Ping, sync).bytes();
    let pings: Vec<u8> = (small + 1..=last).flat_map(ping).collect();
    client.send(&pings);
    let mut answered = small;
    while answered < last {
        assert!(client.read());
        for (sync, _) in client.replies.drain(..) {
            answered += 1;
            assert_eq!(sync, answered, "in order, and the others wait");
        }
    }
}

#[test]
fn pings_are_answered_while_a_select_takes_many_steps() {
    let harness = harness_with_rows();
    let mut client = Client::connect(&harness, Some(ASKED));
    client.send(&endless(2).bytes());
    client.send(&RequestBuilder::select(3, 7).bytes());
    for sync in 4..9 {
        client.ping(sync);
    }
    assert!(client.replies.is_empty(), "the others wait");
}

/// A SELECT that comes to no end.
fn endless(sync: u64) -> RequestBuilder {
    steps(sync, u32::MAX)
}

/// A SELECT of this number of steps.
fn steps(sync: u64, count: u32) -> RequestBuilder {
    RequestBuilder::new(RequestType::Select, sync)
        .uint(keys::SPACE_ID, 512)
        .uint(keys::LIMIT, count.into())
        .pair(keys::KEY, &[0x91, 1])
}

#[test]
fn other_streams_are_answered_while_a_select_takes_many_steps_with_chunks_and_without() {
    for asked in [None, Some(ASKED)] {
        for scanning in [0, 1] {
            let harness = harness_with_rows();
            let mut client = Client::connect(&harness, asked);
            client.send(&endless(2).stream(scanning).bytes());
            client.send(&RequestBuilder::select(3, 7).stream(scanning).bytes());
            for sync in 4..9 {
                let asked_by_tx = RequestBuilder::replace(sync, sync).stream(2);
                client.send(&asked_by_tx.bytes());
                assert_eq!(code(&client.reply_to(sync)), 0);
                let (sync, rest) = (10 + sync, 1 - scanning);
                client.send(&RequestBuilder::select(sync, 7).stream(rest).bytes());
                assert_eq!(code(&client.reply_to(sync)), 0);
            }
            assert!(client.replies.is_empty(), "its own stream waits");
        }
    }
}

#[test]
fn selects_of_many_steps_of_several_streams_take_turns_and_are_killed_one_by_one() {
    for asked in [None, Some(ASKED)] {
        let harness = harness_with_rows();
        let mut client = Client::connect(&harness, asked);
        let own = connections(&harness).into_iter().map(|own| own.connection);
        let own = own.max().expect("the client's is the newest");
        for (sync, stream) in [(2, 1), (3, 2), (4, 0)] {
            client.send(&endless(sync).stream(stream).bytes());
        }
        for (sync, stream) in [(5, 3), (6, 3), (7, 4)] {
            client.send(&steps(sync, 100).stream(stream).bytes());
        }
        for sync in [5, 6, 7] {
            assert_eq!(code(&client.reply_to(sync)), 0);
        }
        assert!(client.replies.is_empty(), "the others come to no end");
        for (killed, stream) in [(3, 2), (2, 1), (4, 0)] {
            client.send(
                &RequestBuilder::select(10 + killed, 7)
                    .stream(stream)
                    .bytes(),
            );
            let another = RequestBuilder::select(20 + killed, 7).stream(9);
            client.send(&another.bytes());
            assert_eq!(code(&client.reply_to(20 + killed)), 0);
            assert!(client.replies.is_empty(), "it waits for that of its stream");
            let told = harness
                .connect()
                .call("vestibule.kill", &kill_args(own, killed));
            assert_eq!(told.code, 0);
            assert_ne!(code(&client.reply_to(killed)), 0);
            assert_eq!(code(&client.reply_to(10 + killed)), 0);
        }
    }
}

#[test]
fn what_finds_no_credit_beside_a_select_of_many_steps_is_taken_when_there_is_one() {
    let most = CONNECTION_REQUESTS_MAX as u64;
    let harness = harness_with_rows();
    let mut client = Client::connect(&harness, Some(ASKED));
    let own = connections(&harness).into_iter().map(|own| own.connection);
    let own = own.max().expect("the client's is the newest");
    let _blocker = harness.block();
    client.send(&endless(2).stream(1).bytes());
    let replace = |sync: u64, stream| RequestBuilder::replace(sync, sync).stream(stream).bytes();
    let (first, last) = (3, 3 + most - 1);
    for sync in first..=last {
        client.send(&replace(sync, 2));
    }
    for sync in [last + 1, last + 2] {
        client.send(&replace(sync, 3));
    }
    // Behind them all: they were looked at.
    client.ping(last + 3);
    assert!(client.replies.is_empty(), "Tx is blocked");
    harness.script().release();
    for sync in first..=last {
        assert_eq!(code(&client.reply_to(sync)), 0);
    }
    // The SELECT comes to no end.
    for sync in [last + 1, last + 2] {
        while client.replies.is_empty() {
            assert!(client.read());
        }
        let (told, frame) = client.replies.remove(0);
        assert_eq!((told, code(&frame)), (sync, 0), "each stream in its order");
    }
    let killed = harness.connect().call("vestibule.kill", &kill_args(own, 2));
    assert_eq!(killed.code, 0);
    assert_ne!(code(&client.reply_to(2)), 0);
}

fn kill_args(connection: u64, sync: u64) -> Vec<u8> {
    let mut args = Vec::new();
    write_array_len(&mut args, 2);
    write_uint(&mut args, connection);
    write_uint(&mut args, sync);
    args
}

#[test]
fn large_replies_of_two_streams_arrive_side_by_side() {
    let harness = harness_with_rows();
    let mut client = Client::connect(&harness, Some(ASKED));
    for (sync, stream) in [(2, 1), (3, 2)] {
        client.send(&RequestBuilder::select(sync, 5).stream(stream).bytes());
    }
    while !client.pieces.iter().any(|(number, ..)| *number == 2) {
        assert!(client.read());
    }
    client.admit(&[1, 2]);
    let (first, second) = (client.reply_to(2), client.reply_to(3));
    assert_eq!(body(&first), body(&second));
    let numbers: Vec<u32> = client.pieces.iter().map(|(number, ..)| *number).collect();
    let last = numbers
        .iter()
        .rposition(|number| *number == 1)
        .expect("pieces of the first");
    let begun = numbers
        .iter()
        .position(|number| *number == 2)
        .expect("pieces of the second");
    assert!(
        begun < last,
        "the second has begun before the first was whole"
    );
}

#[test]
fn a_request_in_chunks_runs_when_it_is_whole_and_small_ones_pass_it() {
    let harness = harness_with_rows();
    let window = 8 << 20;
    let mut client = Client::connect(&harness, Some(Agreement { window, ..ASKED }));
    let mut sender = Sender::<Bytes>::default();
    sender.cut(client.agreed.expect("the server takes chunks"));
    let group = Group::stream(9).expect("above 0");
    sender.push(group, large(2, 8, LARGE).stream(9).bytes().into(), 0);
    let mut pings = 0;
    loop {
        while let Some(piece) = sender.pick() {
            client.send(&[piece.head.as_bytes(), &piece.payload].concat());
            pings += 1;
            client.ping(100 + pings);
        }
        if sender.is_empty() {
            break;
        }
        while client.credits.is_empty() {
            assert!(client.read());
        }
        for (number, limit) in client.credits.drain() {
            sender
                .credit(number, limit)
                .expect("the server keeps the rules");
        }
    }
    assert!(pings as usize > LARGE / (16 << 10));
    assert_eq!(code(&client.reply_to(2)), 0);
    let mut peer = harness.connect();
    assert!(peer.ask(&RequestBuilder::select(1, 8)).body.len() > LARGE);
}

#[test]
fn a_request_that_is_given_up_is_forgotten_and_one_that_is_too_large_is_stopped() {
    let config = config().packet_size_max(1 << 20);
    let harness = Harness::start_with(config, Script::default());
    let mut client = Client::connect(&harness, Some(ASKED));
    let first = |id, total| {
        let group = Group::stream(id).expect("above 0");
        Some(First { group, total })
    };
    client.send(chunk::data(1, first(1, 50_000), 0).as_bytes());
    client.send(&chunk::reset(1, None));
    client.send(chunk::data(2, first(2, (1 << 20) + 1), 0).as_bytes());
    while client.stops.is_empty() {
        assert!(client.read());
    }
    assert_eq!(client.stops, [2]);
    client.send(&chunk::reset(2, None));
    client.ping(3);
    // Both groups are free again.
    client.send(chunk::data(3, first(2, 50_000), 0).as_bytes());
    client.ping(4);
}

#[test]
fn damaged_chunks_end_the_connection_with_words() {
    let harness = Harness::start();
    let frames = [
        chunk::data(2, None, 0).as_bytes().to_vec(),
        [chunk::data(7, None, 1).as_bytes(), &[0]].concat(),
        chunk::credit(3, 10).as_bytes().to_vec(),
        chunk::stop(3, None),
    ];
    for frame in frames {
        let mut client = Client::connect(&harness, Some(ASKED));
        client.send(&frame);
        let reply = client.reply_to(0);
        assert_eq!(code(&reply), 0x8000 | 20, "{frame:?}");
        assert!(!client.read(), "the connection is closed");
    }
}
