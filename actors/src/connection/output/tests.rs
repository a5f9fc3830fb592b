//! What goes out, in which order, and what is held meanwhile.

use proptest::prelude::*;
use vestibule_wire::limits::{AHEAD_MAX, AHEAD_MIN};

use super::*;

mod sockets;

fn new() -> (Output, Arc<Segments>) {
    let segments = Arc::new(Segments::default());
    (Output::new(segments.clone()), segments)
}

fn chain(output: &Output, bytes: &[u8]) -> Chain {
    let mut chain = Chain::default();
    chain.push(&output.segments, bytes);
    chain
}

/// Flushes into `socket`, which takes `room` bytes in steps of at most `step`.
fn flush(output: &mut Output, socket: &mut Vec<u8>, mut room: usize, step: usize) -> Flushed {
    let write = |slices: &[IoSlice<'_>], _: bool| {
        let taken = room.min(step);
        let all = slices.iter().flat_map(|own| own.iter().copied());
        let bytes: Vec<u8> = all.take(taken).collect();
        if bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        room -= bytes.len();
        socket.extend_from_slice(&bytes);
        Ok(bytes.len())
    };
    output.flush_with(write, drop).expect("the socket is fine")
}

const READS: Group = Group::Read;

fn stream(id: u64) -> Group {
    Group::stream(id).expect("above 0")
}

fn size_held(output: &Output) -> (usize, usize) {
    (output.size(), output.held().total())
}

#[test]
fn what_comes_while_a_large_frame_waits_stands_behind_it_and_its_own_group() {
    let large: Vec<u8> = (0..=255).cycle().take(SEGMENT_SIZE * 3 + 1).collect();
    for room in [1, 3, 1000, usize::MAX] {
        let ((mut output, segments), mut socket) = (new(), Vec::new());
        output.buffer().extend_from_slice(b"before");
        output.append_copy(b"small", READS);
        output.append_chain(chain(&output, &large), READS);
        output.append_chain(chain(&output, &large), READS);
        output.buffer().extend_from_slice(b"in place");
        output.append_copy(b"after", READS);
        output.buffer().extend_from_slice(b"at last");
        // What was encoded in place and joined no group goes ahead of the groups.
        let [small, last] = [&b"beforesmall"[..], b"in placeat last"];
        let expected = [small, last, &large, &large, b"after"].concat();
        assert_eq!(output.size(), expected.len());
        assert!(output.held().segments >= 2 * large.len());
        assert!(output.held().segments <= segments.used());
        while flush(&mut output, &mut socket, room, 5000) == Flushed::Blocked {
            assert_eq!(output.size(), expected.len() - socket.len());
            assert!(!output.is_empty());
        }
        assert!(socket == expected, "{room}");
        assert!(output.is_empty() && output.take_written());
        assert_eq!((size_held(&output), segments.used()), ((0, 0), 0));
    }
}

#[test]
fn what_is_sent_of_the_open_buffer_is_not_sent_again_when_it_is_sealed() {
    let large = vec![7; SEGMENT_SIZE + 1];
    let ((mut output, _), mut socket) = (new(), Vec::new());
    output.buffer().extend_from_slice(b"0123456789");
    assert_eq!(flush(&mut output, &mut socket, 4, 4), Flushed::Blocked);
    output.append_chain(chain(&output, &large), READS);
    assert_eq!(flush(&mut output, &mut socket, usize::MAX, 9), Flushed::All);
    assert!(socket == [b"0123456789", &large[..]].concat());
}

#[test]
fn what_a_slow_client_leaves_waits_in_no_more_memory_than_it_is() {
    let ((mut output, segments), mut socket) = (new(), Vec::new());
    let frame = [9; 10_000];
    for _ in 0..30 {
        output.append_copy(&frame, READS);
        assert_eq!(flush(&mut output, &mut socket, 10, 10), Flushed::Blocked);
    }
    let left = 30 * (frame.len() - 10);
    assert_eq!(output.size(), left);
    let held = output.held();
    assert!(held.total() >= left && segments.used() <= AHEAD_MIN + 3 * SEGMENT_SIZE);
    assert!(held.total() <= left + 3 * SEGMENT_SIZE);
    let all = flush(&mut output, &mut socket, usize::MAX, 99_999);
    assert_eq!(all, Flushed::All);
    assert!(socket == [9; 300_000]);
    assert_eq!((segments.used(), output.held().total()), (0, 0));
}

#[test]
fn a_small_reply_that_took_several_steps_keeps_no_segment_while_it_waits() {
    let ((mut output, segments), mut socket) = (new(), Vec::new());
    output.append_copy(&[7; 10], READS);
    assert_eq!(flush(&mut output, &mut socket, 1, 1), Flushed::Blocked);
    let header = ReplyHeader {
        sync: 1,
        schema_version: 1,
    };
    for _ in 0..10 {
        let start = output.begin(header);
        let large = output.take_begun(start, LargeFrame::default());
        assert_eq!(segments.used(), SEGMENT_SIZE);
        output.finish_large(large, READS);
        assert_eq!(segments.used(), 0);
    }
    assert_eq!(flush(&mut output, &mut socket, 999, 999), Flushed::All);
    assert_eq!(socket.len(), 10 + 10 * HEADER_SIZE);
}

#[test]
fn the_queues_of_many_groups_are_held_as_well() {
    let ((mut output, _), mut socket) = (new(), Vec::new());
    output.append_copy(&[7; 10], READS);
    assert_eq!(flush(&mut output, &mut socket, 1, 1), Flushed::Blocked);
    for id in 1..=1000 {
        output.append_copy(&frame(1, 20), Group::stream(id).expect("above 0"));
    }
    let message = size_of::<Chain>() + size_of::<Vec<u8>>();
    assert!(output.size() < 26_000);
    assert!(output.held().total() > 1000 * (25 + 4 * message));
    assert_eq!(
        flush(&mut output, &mut socket, 9_999, 999),
        Flushed::Blocked
    );
    assert!(
        output.held().total() > 1000 * 4 * message,
        "the queues are still there"
    );
    let all = flush(&mut output, &mut socket, usize::MAX, 9_999);
    assert_eq!((all, output.held().total()), (Flushed::All, 0));
}

/// A frame whose bytes tell its group.
fn frame(name: u8, size: usize) -> Vec<u8> {
    let mut frame = vec![0xce];
    frame.extend_from_slice(&(size as u32).to_be_bytes());
    frame.extend(vec![name; size]);
    frame
}

#[test]
fn a_blocked_socket_is_shared_by_groups_and_control_goes_ahead() {
    let ((mut output, _), mut socket) = (new(), Vec::new());
    let large = frame(1, 1_000_000);
    output.append_chain(chain(&output, &large), stream(1));
    assert_eq!(
        flush(&mut output, &mut socket, 5_000, 5_000),
        Flushed::Blocked
    );
    // While the first is under way: two more of it, one of another, a ping.
    output.append_chain(chain(&output, &large), stream(1));
    output.append_chain(chain(&output, &large), stream(1));
    output.append_copy(&frame(2, 100), stream(2));
    let mark = output.mark();
    output.buffer().extend_from_slice(&frame(3, 10));
    output.regroup(mark, Group::Control);
    while flush(&mut output, &mut socket, 70_000, 70_000) == Flushed::Blocked {}
    let at = |name| {
        socket
            .iter()
            .position(|byte| *byte == name)
            .expect("it was sent")
    };
    assert!(
        at(3) < 1_100_000 && at(2) < 1_100_000,
        "{} {}",
        at(3),
        at(2)
    );
    assert!(at(3) < at(2), "control first");
    assert_eq!(socket.len(), 3 * large.len() + 105 + 15);
}

#[test]
fn a_client_that_takes_chunks_gets_pieces_as_far_as_it_gives_credit() {
    let ((mut output, segments), mut socket) = (new(), Vec::new());
    let (window, messages_max) = (100_000, 10);
    output.agree(Agreement {
        window,
        messages_max,
    });
    output.append_chain(chain(&output, &frame(1, 500_000)), stream(1));
    output.append_chain(chain(&output, &frame(2, 500_000)), stream(2));
    let flushed = flush(&mut output, &mut socket, usize::MAX, 50_000);
    assert_eq!(flushed, Flushed::Uncredited);
    assert!(socket.len() <= window + 1000 && socket.len() > window - 10_000);
    let count = |name| socket.iter().filter(|byte| **byte == name).count();
    assert!(
        count(1) > window / 3 && count(2) > window / 3,
        "both have begun"
    );
    // What has no credit holds nobody else.
    output.append_copy(&frame(3, 10), stream(3));
    let before = socket.len();
    let flushed = flush(&mut output, &mut socket, usize::MAX, 50_000);
    assert_eq!(flushed, Flushed::Uncredited);
    assert_eq!(socket[before..], frame(3, 10));
    output.credit(2, 500_000).expect("it was begun");
    output.stop(1).expect("it was begun");
    let flushed = flush(&mut output, &mut socket, usize::MAX, 50_000);
    assert_eq!((flushed, segments.used()), (Flushed::All, 0));
    assert_eq!(output.credit(9, 1), Err(WrongCredit));
}

#[test]
fn the_answer_behind_which_chunks_begin_stands_behind_all_that_waited_however_much() {
    let ((mut output, _), mut socket) = (new(), Vec::new());
    let large = frame(1, 2 * SEGMENTS_PER_WRITE_MAX * SEGMENT_SIZE);
    let waits = chain(&output, &large);
    output.append_chain(waits, READS);
    output.agree(Agreement {
        window: 100_000,
        messages_max: 10,
    });
    output.buffer().extend_from_slice(&frame(2, 200));
    while flush(&mut output, &mut socket, usize::MAX, usize::MAX) != Flushed::All {}
    assert!(socket == [large, frame(2, 200)].concat());
}

#[test]
fn the_answer_behind_which_chunks_begin_stays_whole() {
    let ((mut output, _), mut socket) = (new(), Vec::new());
    output.buffer().extend_from_slice(&frame(1, 100));
    assert_eq!(flush(&mut output, &mut socket, 10, 10), Flushed::Blocked);
    // As much of control as goes ahead of data.
    output.append_copy(&frame(2, 20_000), Group::Control);
    let mark = output.mark();
    output.agree(Agreement {
        window: 100_000,
        messages_max: 10,
    });
    output.buffer().extend_from_slice(&frame(3, 200));
    output.regroup(mark, Group::Control);
    output.append_copy(&frame(4, 50), READS);
    let all = flush(&mut output, &mut socket, usize::MAX, usize::MAX);
    assert_eq!(all, Flushed::All);
    let frames = [(1, 100), (2, 20_000), (3, 200), (4, 50)];
    let expected: Vec<u8> = frames.iter().flat_map(|own| frame(own.0, own.1)).collect();
    assert!(socket == expected);
}

#[test]
fn a_client_that_takes_everything_at_once_is_not_written_to_without_end() {
    let ((mut output, _), mut socket) = (new(), Vec::new());
    let large = vec![7; 3 * FLUSH_BYTES_MAX / 2];
    output.append_chain(chain(&output, &large), READS);
    let step = usize::MAX;
    assert_eq!(flush(&mut output, &mut socket, step, step), Flushed::Enough);
    assert!(output.size() > 0 && output.size() <= FLUSH_BYTES_MAX / 2);
    assert_eq!(flush(&mut output, &mut socket, step, step), Flushed::All);
    assert!(socket == large);
}

#[test]
fn a_slow_readers_buffer_does_not_only_grow() {
    let ((mut output, _), mut socket) = (new(), Vec::new());
    let mut expected = Vec::new();
    for round in 0..1000u32 {
        output.buffer().extend_from_slice(&round.to_be_bytes());
        expected.extend_from_slice(&round.to_be_bytes());
        flush(&mut output, &mut socket, 3 + round as usize % 3, 2);
    }
    assert!(output.held().total() < 4000);
    flush(&mut output, &mut socket, usize::MAX, usize::MAX);
    assert_eq!(socket, expected);
}

/// Sizes of replies: of one that is never cut and stands with others in a buffer, of one that does
/// so alone, and of one that is large.
const SIZES: [usize; 3] = [100, 10_000, 1_000_000];

#[test]
fn m03_replies_of_all_sizes_share_the_socket_by_bytes() {
    let agreed = Agreement {
        window: 1 << 30,
        messages_max: 1000,
    };
    for agreed in [None, Some(agreed)] {
        let ((mut output, _), mut socket) = (new(), Vec::new());
        if let Some(agreed) = agreed {
            output.agree(agreed);
        }
        output.append_copy(&[0], READS);
        flush(&mut output, &mut socket, 0, 1);
        let (mut pushed, mut sent) = ([0; 3], [0; 3]);
        while sent.iter().sum::<usize>() < 20_000_000 {
            for (at, size) in SIZES.into_iter().enumerate() {
                let group = Group::stream(at as u64 + 1).expect("above 0");
                while pushed[at] - sent[at] < size + 4 * GROUP_QUANTUM {
                    let frame = vec![b'a' + at as u8; size];
                    match size {
                        0..=GROUP_QUANTUM => output.append_copy(&frame, group),
                        _ => output.append_chain(chain(&output, &frame), group),
                    }
                    pushed[at] += size;
                }
            }
            socket.clear();
            flush(&mut output, &mut socket, 50_000, 50_000);
            for (at, sent) in sent.iter_mut().enumerate() {
                let own = |byte: &&u8| **byte == b'a' + at as u8;
                *sent += socket.iter().filter(own).count();
            }
        }
        let shares = sent.map(|own| own as f64);
        let squares: f64 = shares.iter().map(|own| own * own).sum();
        let jain = shares.iter().sum::<f64>().powi(2) / (3.0 * squares);
        assert!(jain >= 0.99, "{sent:?} of {agreed:?}");
    }
}

/// A large row is charged, to the connection too, until its last byte is sent or it is given up.
#[test]
fn a_row_that_is_not_copied_is_held_until_its_end_whole_and_in_chunks() {
    let row: Arc<[u8]> = (0..=250).cycle().take(20 * SEGMENT_SIZE).collect();
    let reply = |output: &Output| {
        let mut reply = frame(1, 10 + row.len());
        reply.truncate(reply.len() - row.len());
        let mut frame = chain(output, &reply);
        frame.push_shared(&output.segments, &row);
        (frame, [&reply[..], &row].concat())
    };
    for (is_cut, is_stopped) in [(false, false), (true, false), (true, true)] {
        let ((mut output, segments), mut socket) = (new(), Vec::new());
        if is_cut {
            output.agree(Agreement {
                window: 500_000,
                messages_max: 10,
            });
        }
        let (frame, bytes) = reply(&output);
        output.append_chain(frame, stream(1));
        let held = row.len() + SEGMENT_SIZE;
        assert_eq!((output.held().segments, segments.used()), (held, held));
        assert_eq!(Arc::strong_count(&row), 2);
        flush(&mut output, &mut socket, 300_000, 50_000);
        assert!(socket.len() >= 300_000);
        // Its head is sent.
        assert_eq!(
            (output.held().segments, segments.used()),
            (row.len(), row.len())
        );
        if is_stopped {
            output.stop(1).expect("it was begun");
        } else if is_cut {
            let all = bytes.len() as u32;
            output.credit(1, all - 5).expect("it was begun");
        }
        while flush(&mut output, &mut socket, 300_000, 50_000) != Flushed::All {}
        assert_eq!((output.held().total(), segments.used()), (0, 0));
        assert_eq!(Arc::strong_count(&row), 1);
        if !is_cut {
            assert!(socket == bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However much of large replies a socket takes at a time: what is ready of them leaves room
    /// for answers to pings.
    #[test]
    fn what_is_ready_of_large_replies_is_not_in_the_way_of_pings(
        rooms in prop::collection::vec(1..3 * AHEAD_MAX, 1..20),
        step in 1000..2 * AHEAD_MAX,
    ) {
        let (mut output, segments) = new();
        let window = 100_000_000;
        output.agree(Agreement { window, messages_max: 10 });
        let row: Arc<[u8]> = frame(1, 20_000_000).into();
        for _ in 0..3 {
            let mut reply = Chain::default();
            reply.push_shared(&segments, &row);
            output.append_chain(reply, stream(1));
        }
        for mut room in rooms {
            let write = |slices: &[IoSlice<'_>], _: bool| {
                let size: usize = slices.iter().map(|own| own.len()).sum();
                let taken = size.min(room).min(step);
                room -= taken;
                if taken == 0 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(taken)
            };
            output.flush_with(write, drop).expect("it is fine");
            prop_assert!(output.has_room_for_control(), "{}", output.ready());
        }
        let ping = [0; 29];
        let mut pings = 0;
        while output.has_room_for_control() {
            output.append_copy(&ping, Group::Control);
            pings += ping.len();
        }
        prop_assert!(pings <= OUTPUT_CONTROL_MAX);
    }
}
