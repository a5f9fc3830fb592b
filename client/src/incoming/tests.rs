use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use proptest::prelude::*;
use vestibule_wire::ErrorCode;
use vestibule_wire::groups::chunk::First;
use vestibule_wire::groups::{Group, Sender, chunk};
use vestibule_wire::limits::CHUNK_PAYLOAD_MAX;
use vestibule_wire::reply::ReplyHeader;

fn frames(syncs: std::ops::Range<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    for sync in syncs {
        let header = ReplyHeader {
            sync,
            schema_version: 7,
        };
        header.write_error(&mut out, &ServerError::no_such_space(sync));
    }
    out
}

/// Has all of these bytes read, and returns what has come.
fn feed(incoming: &mut Incoming, mut bytes: &[u8]) -> Vec<Arrived> {
    let mut arrived = Vec::new();
    while !bytes.is_empty() {
        read(incoming, &mut bytes);
        while let Some(one) = incoming.next().expect("as a server sends") {
            arrived.push(one);
        }
    }
    arrived
}

/// Has some of these bytes read; returns how many.
fn read(incoming: &mut Incoming, bytes: &mut &[u8]) -> usize {
    let read = pin!(incoming.read(bytes));
    match read.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(count) => count.expect("they are there"),
        Poll::Pending => panic!("they are there"),
    }
}

#[test]
fn a_reply_beyond_the_bound_is_an_error() {
    let mut incoming = Incoming::new(10);
    incoming.buffer().extend_from_slice(&frames(1..2));
    let fault = incoming.next().unwrap_err();
    assert!(matches!(fault, Fault::Reply(MalformedReply::TooLong)));
}

#[test]
fn room_is_made_for_the_rest_of_a_long_reply() {
    let mut incoming = Incoming::new(1 << 30);
    incoming.buffer().extend_from_slice(&[0xce, 0, 0x10, 0, 0]);
    assert!(incoming.buffer().capacity() >= 1 << 20);
}

/// What a server says that sends these replies in chunks, until all is said: it hears what is
/// answered. A group that is alone sends pieces of up to `alone` bytes, and `cut` come at a time.
fn in_chunks(
    incoming: &mut Incoming,
    replies: &[Vec<u8>],
    (alone, cut): (usize, usize),
) -> Vec<Arrived> {
    let mut sender = Sender::<Bytes>::default();
    sender.cut(AGREED);
    for (at, reply) in replies.iter().enumerate() {
        let group = Group::stream(at as u64 % 3 + 1).expect("above 0");
        sender.push(group, reply.clone().into(), at as u64);
    }
    let mut arrived = Vec::new();
    loop {
        let mut bytes = Vec::new();
        while let Some(piece) = sender.pick_up_to(alone) {
            bytes.extend_from_slice(piece.head.as_bytes());
            bytes.extend_from_slice(&piece.payload);
        }
        for part in bytes.chunks(cut) {
            arrived.extend(feed(incoming, part));
        }
        let answer = incoming.take_answer();
        if answer.is_empty() && sender.is_empty() {
            return arrived;
        }
        let mut rest = &answer[..];
        while let Some((frame, after)) = split_frame(rest) {
            rest = after;
            match Chunk::read(frame).expect("in form") {
                Chunk::Credit { number, limit } => {
                    sender.credit(number, limit).expect("by the rules");
                }
                Chunk::Stop { number, .. } => drop(sender.stop(number).expect("begun")),
                other => panic!("{other:?} is no answer"),
            }
        }
    }
}

fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [_, length @ ..] = bytes.first_chunk::<PREFIX_SIZE>()?;
    let size = u32::from_be_bytes(*length) as usize;
    bytes[PREFIX_SIZE..].split_at_checked(size)
}

/// A reply whose body has this size.
fn large(sync: u64, size: usize) -> Vec<u8> {
    let mut content = b"\x83\x00\xce\x00\x00\x00\x00\x01\xcf".to_vec();
    content.extend_from_slice(&sync.to_be_bytes());
    content.extend_from_slice(b"\x05\xce\x00\x00\x00\x07");
    content.resize(content.len() + size, sync as u8);
    let mut out = vec![0xce];
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    out.append(&mut content);
    out
}

fn chunked(size_max: usize) -> Incoming {
    let mut incoming = Incoming::new(size_max);
    incoming.take_chunks();
    incoming
}

#[test]
fn a_reply_in_chunks_beyond_the_bound_is_refused_and_the_others_come() {
    let mut incoming = chunked(100_000);
    // The second of a stream waits for the first; the window is full when others begin.
    let sizes = [90_000, 700_000, 700_000, 300_000, 10, 20_000];
    let replies: Vec<_> = (0..).zip(sizes).map(|(at, size)| large(at, size)).collect();
    let (mut came, mut refused) = (Vec::new(), Vec::new());
    for one in in_chunks(&mut incoming, &replies, (5000, 5000)) {
        match one {
            Arrived::Reply(reply) => came.push(reply.sync),
            Arrived::TooLong { sync, size } => refused.push((sync, size > 100_000)),
            Arrived::GivenUp { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    came.sort_unstable();
    refused.sort_unstable();
    assert_eq!(came, [0, 4, 5]);
    assert_eq!(refused, [(1, true), (2, true), (3, true)]);
    let chunks = incoming.chunks.unwrap();
    assert_eq!((chunks.open(), chunks.allocated()), (0, 0));
}

#[test]
fn a_reply_whose_header_comes_late_is_refused_when_it_is_known_whose_it_is() {
    let mut incoming = chunked(100_000);
    let reply = large(5, 200_000);
    let group = Group::Read;
    let total = reply.len() as u32 - 5;
    let first = chunk::data(1, Some(First { group, total }), 0);
    incoming.buffer().extend_from_slice(first.as_bytes());
    assert!(incoming.next().unwrap().is_none());
    assert_eq!(incoming.take_answer(), chunk::credit(1, 16_384).as_bytes());
    let head = chunk::data(1, None, 4096);
    incoming.buffer().extend_from_slice(head.as_bytes());
    incoming.buffer().extend_from_slice(&reply[5..5 + 4096]);
    let size = total as usize;
    let refused = incoming.next().unwrap();
    assert!(matches!(refused, Some(Arrived::TooLong { sync: 5, size: own }) if own == size));
    assert_eq!(incoming.take_answer(), chunk::stop(1, None));
}

#[test]
fn a_reply_whose_first_piece_is_short_is_taken() {
    let mut incoming = chunked(100_000);
    let reply = large(5, 20_000);
    let (group, total) = (Group::Read, reply.len() as u32 - 5);
    let content = &reply[5..];
    let mut rest = content;
    for size in [1, 2, 19, 5000, content.len() - 5022] {
        let first = (size == 1).then_some(First { group, total });
        let head = chunk::data(1, first, size as u32);
        incoming.buffer().extend_from_slice(head.as_bytes());
        incoming.buffer().extend_from_slice(&rest[..size]);
        rest = &rest[size..];
    }
    let Some(Arrived::Reply(reply)) = incoming.next().unwrap() else {
        panic!("it is whole");
    };
    assert_eq!((reply.sync, reply.body.len()), (5, 20_000));
}

#[test]
fn what_has_no_header_in_its_first_bytes_is_no_reply() {
    let mut incoming = chunked(100_000);
    let (group, total) = (Group::Read, 50_000);
    let head = chunk::data(1, Some(First { group, total }), 2000);
    incoming.buffer().extend_from_slice(head.as_bytes());
    incoming.buffer().extend_from_slice(&[0xc1; 2000]);
    let fault = incoming.next().unwrap_err();
    assert!(matches!(fault, Fault::Reply(MalformedReply::Header)));
}

#[test]
fn a_reply_that_nobody_waits_for_any_more_is_refused_while_it_comes() {
    let mut incoming = chunked(1 << 20);
    for (number, sync) in [(1, 5), (2, 6)] {
        let reply = large(sync, 500_000);
        let group = Group::stream(sync).expect("above 0");
        let total = reply.len() as u32 - 5;
        let head = chunk::data(number, Some(First { group, total }), 5000);
        incoming.buffer().extend_from_slice(head.as_bytes());
        incoming.buffer().extend_from_slice(&reply[5..5005]);
    }
    assert!(incoming.next().unwrap().is_none());
    assert!(!incoming.take_answer().is_empty(), "both are admitted");
    let asked = std::cell::Cell::new(0);
    let mut stop_unwanted = |given_up: u64| {
        incoming.stop_unwanted(given_up, || {
            asked.set(asked.get() + 1);
            move |sync| sync == 6 || given_up == 0
        });
        (asked.get(), incoming.take_answer())
    };
    let none = Vec::new();
    assert_eq!(
        stop_unwanted(0),
        (1, none.clone()),
        "they have told whose they are"
    );
    assert_eq!(stop_unwanted(0), (1, none.clone()), "nothing is new");
    let stop = chunk::stop(1, None);
    assert_eq!(stop_unwanted(1), (2, stop), "one was given up");
    assert_eq!(stop_unwanted(1), (2, none));
    let chunks = incoming.chunks.unwrap();
    assert_eq!(chunks.open(), 1);
}

/// A reply of 600 KB in a client that has read a piece of it and half of the next one, which is
/// read straight to its reply; and the rest of that piece.
fn half_way() -> (Incoming, Vec<u8>) {
    let mut incoming = chunked(1 << 20);
    let reply = large(5, 600_000);
    let (group, total) = (Group::Read, reply.len() as u32 - 5);
    let pieces = reply[5..].chunks(CHUNK_PAYLOAD_MAX);
    let mut bytes = Vec::new();
    for (at, piece) in pieces.take(2).enumerate() {
        let first = (at == 0).then_some(First { group, total });
        bytes.extend_from_slice(chunk::data(1, first, piece.len() as u32).as_bytes());
        bytes.extend_from_slice(piece);
    }
    let rest = bytes.split_off(bytes.len() - CHUNK_PAYLOAD_MAX / 2);
    assert!(feed(&mut incoming, &bytes).is_empty());
    (incoming, rest)
}

#[test]
fn the_rest_of_a_large_piece_is_read_straight_to_its_reply_and_not_beyond() {
    let (mut incoming, rest) = half_way();
    let credit = chunk::credit(2, 9);
    let bytes = [&rest[..], credit.as_bytes()].concat();
    let mut left = &bytes[..];
    assert_eq!(read(&mut incoming, &mut left), rest.len());
    assert!(
        incoming.bytes.is_empty(),
        "nothing is read beside the reply"
    );
    let begun = incoming.chunks.as_ref().map(|own| own.allocated());
    assert!(begun.is_some_and(|own| own <= 4 * CHUNK_PAYLOAD_MAX));
    assert!(!incoming.take_answer().is_empty(), "more of it is admitted");
    let came = feed(&mut incoming, left);
    assert!(matches!(
        came[..],
        [Arrived::Credit {
            number: 2,
            limit: 9
        }]
    ));
}

#[test]
fn a_reply_that_is_given_up_in_the_middle_of_a_piece_has_the_rest_dropped() {
    let (mut incoming, rest) = half_way();
    let _ = incoming.take_answer();
    incoming.stop_unwanted(1, || |_| false);
    assert_eq!(incoming.take_answer(), chunk::stop(1, None));
    let behind = [chunk::reset(1, None), frames(7..8)].concat();
    let came = feed(&mut incoming, &[rest, behind].concat());
    assert!(matches!(&came[..], [Arrived::Reply(reply)] if reply.sync == 7));
    assert_eq!(incoming.chunks.map(|own| own.allocated()), Some(0));
}

#[test]
fn a_server_that_gives_a_reply_up_says_why() {
    let mut incoming = chunked(1 << 20);
    let reply = large(5, 50_000);
    let (group, total) = (Group::Call, reply.len() as u32 - 5);
    let head = chunk::data(1, Some(First { group, total }), 100);
    let why = ServerError::new(ErrorCode::TIMEOUT, "too late");
    incoming.buffer().extend_from_slice(head.as_bytes());
    incoming.buffer().extend_from_slice(&reply[5..105]);
    let reset = chunk::reset(1, Some(&why));
    incoming.buffer().extend_from_slice(&reset);
    let Some(Arrived::GivenUp { sync: 5, error }) = incoming.next().unwrap() else {
        panic!("it is given up");
    };
    assert_eq!(error, Some(why));
}

#[test]
fn chunks_that_nobody_asked_for_are_no_chunks() {
    let mut incoming = Incoming::new(1 << 20);
    let credit = chunk::credit(1, 7);
    incoming.buffer().extend_from_slice(credit.as_bytes());
    assert!(matches!(incoming.next(), Ok(Some(Arrived::Reply(_)))));
    let mut incoming = chunked(1 << 20);
    let head = chunk::data(1, None, 4);
    let piece = [head.as_bytes(), &[0; 4]].concat();
    incoming.buffer().extend_from_slice(&piece);
    let fault = incoming.next().unwrap_err();
    assert!(matches!(
        fault,
        Fault::Sequence(DamagedSequence::Unknown(1))
    ));
}

proptest! {
    #[test]
    fn replies_in_chunks_come_whole_and_those_of_a_stream_in_order(
        sizes in prop::collection::vec(1..600_000usize, 1..8),
        alone in 1..CHUNK_PAYLOAD_MAX + 1,
        cut in 1..200_000usize,
    ) {
        let mut incoming = chunked(1 << 20);
        let replies: Vec<_> = (0..).zip(&sizes).map(|(at, size)| large(at, *size)).collect();
        let mut last = [None; 3];
        let mut count = 0;
        for one in in_chunks(&mut incoming, &replies, (alone, cut)) {
            let Arrived::Reply(reply) = one else { panic!("{one:?}") };
            let expected = ReplyFrame::read(&replies[reply.sync as usize], 1 << 20);
            prop_assert_eq!(reply.frame().body, expected.unwrap().unwrap().body);
            prop_assert_eq!(reply.schema_version, Some(7));
            let last = &mut last[reply.sync as usize % 3];
            prop_assert!(*last < Some(reply.sync));
            *last = Some(reply.sync);
            count += 1;
        }
        prop_assert_eq!(count, sizes.len());
    }
}

proptest! {
    #[test]
    fn whatever_the_cuts_the_same_replies_come_out(
        cuts in prop::collection::vec(1..40usize, 1..60),
    ) {
        let bytes = frames(0..9);
        let mut incoming = Incoming::new(1 << 20);
        let (mut at, mut seen) = (0, 0);
        for cut in cuts.into_iter().chain([bytes.len()]) {
            let end = (at + cut).min(bytes.len());
            incoming.buffer().extend_from_slice(&bytes[at..end]);
            at = end;
            while let Some(Arrived::Reply(reply)) = incoming.next().unwrap() {
                prop_assert_eq!((reply.sync, reply.schema_version), (seen, Some(7)));
                let error = reply.frame().error().unwrap();
                prop_assert_eq!(error, ServerError::no_such_space(seen));
                seen += 1;
            }
        }
        prop_assert_eq!(seen, 9);
    }
}
