//! Sender and receiver over a link that carries bytes, with every order of events.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;

use super::chunk::{self, Chunk, First, HEAD_SIZE_MAX, PieceBegun};
use super::{Agreement, DamagedSequence, Group, Payload, Received, Receiver, Sender, WrongCredit};
use crate::error::{Error, ErrorCode};
use crate::frame::read_prefix;
use crate::limits::GROUP_QUANTUM;

const WINDOW: usize = 100_000;
const MESSAGES_MAX: usize = 4;
pub(super) const AGREED: Agreement = Agreement {
    window: WINDOW,
    messages_max: MESSAGES_MAX,
};
/// Each moves megabytes.
const CASES: u32 = 64;

/// A frame with a content that tells whose it is.
pub(super) fn frame(tag: u64, size: usize) -> Vec<u8> {
    let mut frame = vec![0xce];
    frame.extend((size as u32 + 8).to_be_bytes());
    frame.extend(tag.to_be_bytes());
    frame.extend((0..size).map(|at| (at as u64 * 31 + tag) as u8));
    frame
}

pub(super) fn group(number: u64) -> Group {
    match number {
        0 => Group::Control,
        1 => Group::Read,
        id => Group::stream(id).expect("above 0"),
    }
}

/// Both ends of a connection, in one direction.
struct Link {
    sender: Sender<Bytes>,
    receiver: Receiver,
    /// Bytes on their way there, and frames on their way back.
    there: Vec<u8>,
    back: VecDeque<Vec<u8>>,
    /// What is to be admitted, and what has arrived: contents by group.
    opened: Vec<(u32, First)>,
    arrived: HashMap<Group, Vec<Vec<u8>>>,
    whole: Vec<Vec<u8>>,
    stopped: Vec<u64>,
    /// What the receiver has refused: group and size.
    refused: Vec<(Group, usize)>,
}

impl Link {
    fn new() -> Self {
        let mut sender = Sender::default();
        sender.cut(AGREED);
        Self {
            sender,
            receiver: Receiver::new(AGREED),
            there: Vec::new(),
            back: VecDeque::new(),
            opened: Vec::new(),
            arrived: HashMap::new(),
            whole: Vec::new(),
            stopped: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn send(&mut self) -> bool {
        self.send_up_to(GROUP_QUANTUM)
    }

    fn send_up_to(&mut self, alone: usize) -> bool {
        let Some(piece) = self.sender.pick_up_to(alone) else {
            return false;
        };
        self.there.extend(piece.head.as_bytes());
        self.there.extend(&piece.payload);
        true
    }

    /// The receiver reads a frame, if a whole one is there.
    fn receive(&mut self) -> bool {
        let Ok(Some(prefix)) = read_prefix(&self.there, u64::MAX) else {
            return false;
        };
        let frame: Vec<u8> = self.there.drain(..prefix.frame_size()).collect();
        let content = &frame[prefix.size..];
        if !Chunk::is_one(content) {
            self.whole.push(content.to_vec());
            return true;
        }
        // Anywhere, and in some places again and again.
        let cut = content.len() * (self.there.len() % 9) / 9;
        if let Some(begun) = PieceBegun::read(&content[..cut], content.len())
            && self.receiver.takes_parts(&begun)
        {
            self.receive_in_parts(begun, &content[cut..]);
            return true;
        }
        match Chunk::read(content).expect("what the sender writes") {
            Chunk::Data {
                number,
                first,
                piece,
            } => {
                let received = self.receiver.data(number, first, piece);
                self.take(number, received.expect("in order"));
            }
            Chunk::Reset { number, .. } => {
                self.receiver.reset(number);
                self.opened.retain(|(other, _)| *other != number);
            }
            other => panic!("the sender does not send {other:?}"),
        }
        true
    }

    /// A piece, or a part of one, has done this.
    fn take(&mut self, number: u32, received: Received) {
        match received {
            Received::Opened(first) => self.opened.push((number, first)),
            Received::Complete {
                group,
                content,
                credit,
            } => {
                self.arrived.entry(group).or_default().push(content);
                self.opened.retain(|(other, _)| *other != number);
                self.back
                    .extend(credit.map(|head| head.as_bytes().to_vec()));
            }
            Received::Piece | Received::Dropped => {}
        }
    }

    /// The receiver takes a piece before all of it is there.
    fn receive_in_parts(&mut self, begun: PieceBegun<'_>, mut rest: &[u8]) {
        let number = begun.number;
        let received = self.receiver.data(number, begun.first, begun.bytes);
        self.take(number, received.expect("it may come"));
        while !rest.is_empty() {
            let (part, other) = rest.split_at(rest.len().min(10_000));
            let read = |bytes: &mut Vec<u8>| bytes.extend_from_slice(part);
            let received = self.receiver.fill(number, part.len(), read);
            let ((), received) = received.expect("it may come").expect("it is wanted");
            self.take(number, received);
            rest = other;
        }
    }

    /// The sender reads a frame, if one is there.
    fn read_back(&mut self) -> bool {
        let Some(frame) = self.back.pop_front() else {
            return false;
        };
        match Chunk::read(&frame[5..]).expect("what the receiver writes") {
            Chunk::Credit { number, limit } => self.sender.credit(number, limit).expect("due"),
            Chunk::Stop { number, .. } => {
                self.stopped
                    .extend(self.sender.stop(number).expect("known"));
            }
            other => panic!("the receiver does not send {other:?}"),
        }
        true
    }

    fn admit(&mut self, number: u32, limit: usize) {
        let credit = self.receiver.admit(number, limit);
        self.back
            .extend(credit.map(|head| head.as_bytes().to_vec()));
    }

    /// Lets everything arrive.
    fn settle(&mut self) {
        loop {
            for (number, _) in self.opened.clone() {
                self.admit(number, usize::MAX);
            }
            let moved = [self.send(), self.receive(), self.read_back()];
            if moved == [false; 3] {
                return;
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push { group: u64, size: usize },
    Send { alone: usize },
    Receive,
    ReadBack,
    Admit { which: usize, bytes: usize },
    Stop { which: usize },
    Cancel { group: u64, tag: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![0..100usize, 16_000..17_000usize, 0..200_000usize];
    prop_oneof![
        3 => (0..6u64, size).prop_map(|(group, size)| Step::Push { group, size }),
        8 => (0..100_000usize).prop_map(|alone| Step::Send { alone }),
        6 => Just(Step::Receive),
        4 => Just(Step::ReadBack),
        2 => (0..8usize, 0..300_000usize).prop_map(|(which, bytes)| Step::Admit { which, bytes }),
        1 => (0..8usize).prop_map(|which| Step::Stop { which }),
        1 => (0..6u64, 0..60u64).prop_map(|(group, tag)| Step::Cancel { group, tag }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]
    #[test]
    fn what_is_sent_arrives_once_whole_and_in_its_groups_order(
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut link = Link::new();
        let mut pushed: HashMap<Group, Vec<(u64, Vec<u8>)>> = HashMap::new();
        let mut given_up = Vec::new();
        for (tag, step) in (0..).zip(steps) {
            match step {
                Step::Push { group: number, size } => {
                    let frame = frame(tag, size);
                    link.sender.push(group(number), frame.clone().into(), tag);
                    pushed.entry(group(number)).or_default().push((tag, frame[5..].to_vec()));
                }
                Step::Send { alone } => { link.send_up_to(alone); }
                Step::Receive => { link.receive(); }
                Step::ReadBack => { link.read_back(); }
                Step::Admit { which, bytes } => {
                    if let Some(&(number, _)) = link.opened.get(which) {
                        link.admit(number, bytes);
                    }
                }
                Step::Stop { which } => {
                    if which < link.opened.len() {
                        let (number, first) = link.opened.remove(which);
                        link.refused.push((first.group, first.total as usize));
                        let error = Error::new(ErrorCode::ILLEGAL_PARAMS, "no".to_owned());
                        link.back.extend(link.receiver.stop(number, Some(&error)));
                    }
                }
                Step::Cancel { group: number, tag } => {
                    if link.sender.cancel(group(number), tag, None) {
                        given_up.push(tag);
                    }
                }
            }
            // Beside what is admitted, there is no more than the window.
            prop_assert!(link.receiver.unadmitted() <= WINDOW);
        }
        link.settle();
        prop_assert!(link.sender.is_empty() && link.there.is_empty());
        prop_assert_eq!(link.receiver.allocated(), 0);
        prop_assert!(link.sender.is_settled(WINDOW), "all of the window is back");
        for (group, frames) in pushed {
            let large = link.arrived.remove(&group).unwrap_or_default();
            // What is not cut arrives among the others' whole frames.
            let is_of = |content: &Vec<u8>| frames.iter().any(|(_, frame)| frame == content);
            let small: Vec<_> = link.whole.iter().filter(|content| is_of(content)).collect();
            let has_come = |frame: &Vec<u8>| large.contains(frame) || small.contains(&frame);
            let due = frames.iter().map(|(_, frame)| frame).filter(|frame| has_come(frame));
            prop_assert!(large.iter().all(is_of), "nothing of others");
            prop_assert_eq!(due.clone().count(), large.len() + small.len(), "nothing twice");
            let order: Vec<_> = due.filter(|frame| large.contains(frame)).collect();
            prop_assert_eq!(order, large.iter().collect::<Vec<_>>());
            for (tag, frame) in &frames {
                let has_come = has_come(frame);
                let is_given_up = given_up.contains(tag) || link.stopped.contains(tag);
                prop_assert!(!(has_come && is_given_up), "{tag} has come, though it was given up");
                let may_miss = is_given_up || link.refused.contains(&(group, frame.len()));
                prop_assert!(has_come || may_miss, "{tag} is lost");
            }
        }
    }

    #[test]
    fn no_bytes_make_a_receiver_panic_or_hold_more_than_it_may(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        numbers in prop::collection::vec(
            (0..4u32, any::<bool>(), 0..60_000usize, 0..70_000u32, 1..4u64),
            0..30,
        ),
    ) {
        let _ = Chunk::read(&bytes);
        let mut receiver = Receiver::new(AGREED);
        for (number, is_first, size, total, id) in numbers {
            let first = is_first.then_some(First { group: group(id), total });
            if receiver.data(number, first, &vec![0; size]).is_err() {
                break;
            }
            prop_assert!(receiver.unadmitted() <= WINDOW);
        }
    }
}

#[test]
fn frames_are_as_the_protocol_says() {
    let number = 0x0102_0304;
    let head = chunk::data(number, None, 3);
    assert_eq!(
        head.as_bytes(),
        [
            0xce, 0, 0, 0, 23, 0x82, 0, 0xcd, 0x40, 1, 0xcc, 0xf0, 0xce, 1, 2, 3, 4, 0x81, 0xcc,
            0xf3, 0xc6, 0, 0, 0, 3
        ]
    );
    let first = First {
        group: group(9),
        total: 0x2000_0000,
    };
    let head = chunk::data(1, Some(first), 0);
    assert_eq!(
        head.as_bytes(),
        [
            0xce, 0, 0, 0, 40, 0x84, 0, 0xcd, 0x40, 1, 0xcc, 0xf0, 0xce, 0, 0, 0, 1, 0xcc, 0xf1, 0,
            0x0a, 0xcf, 0, 0, 0, 0, 0, 0, 0, 9, 0x82, 0xcc, 0xf2, 0xce, 0x20, 0, 0, 0, 0xcc, 0xf3,
            0xc6, 0, 0, 0, 0
        ]
    );
    assert!(head.as_bytes().len() <= HEAD_SIZE_MAX);
    let credit = chunk::credit(1, 7);
    assert_eq!(
        credit.as_bytes(),
        [
            0xce, 0, 0, 0, 20, 0x82, 0, 0xcd, 0x40, 2, 0xcc, 0xf0, 0xce, 0, 0, 0, 1, 0x81, 0xcc,
            0xf4, 0xce, 0, 0, 0, 7
        ]
    );
    for (frame, is_reset) in [(chunk::reset(5, None), true), (chunk::stop(5, None), false)] {
        assert_eq!(frame[..5], [0xce, 0, 0, 0, 13]);
        assert_eq!(frame[9], if is_reset { 3 } else { 4 });
        let (number, error) = (5, &[0x80][..]);
        let expected = if is_reset {
            Chunk::Reset { number, error }
        } else {
            Chunk::Stop { number, error }
        };
        assert_eq!(Chunk::read(&frame[5..]), Ok(expected));
    }
}

#[test]
fn a_frame_that_is_not_exactly_in_form_is_malformed() {
    let mut frames = vec![
        chunk::credit(1, 7).as_bytes()[5..].to_vec(),
        chunk::stop(1, None)[5..].to_vec(),
    ];
    let mut data = chunk::data(
        1,
        Some(First {
            group: group(1),
            total: 9,
        }),
        2,
    )
    .as_bytes()[5..]
        .to_vec();
    data.extend([1, 2]);
    frames.push(data);
    for frame in frames {
        assert!(Chunk::is_one(&frame) && Chunk::read(&frame).is_ok());
        for cut in 0..frame.len() {
            assert!(Chunk::read(&frame[..cut]).is_err(), "{cut} of {frame:?}");
        }
        let longer = [&frame[..], &[0xc0]].concat();
        assert!(Chunk::read(&longer).is_err());
    }
    assert!(
        Chunk::read(&chunk::data(1, None, 0).as_bytes()[5..]).is_err(),
        "a later piece without bytes"
    );
    assert!(!Chunk::is_one(&[0x82, 0x00, 0x40]) && !Chunk::is_one(&[]));
}

#[test]
fn a_sequence_that_no_sender_makes_is_named() {
    use DamagedSequence::{Busy, NoCredit, Order, TooLong, TooMany, Unknown};
    let first = |id| {
        Some(First {
            group: group(id),
            total: 200_000,
        })
    };
    let begun = || {
        let mut receiver = Receiver::new(AGREED);
        receiver.data(1, first(2), &[1]).expect("the first");
        receiver
    };
    assert_eq!(begun().data(3, first(3), &[1]), Err(Order(3)));
    assert_eq!(begun().data(1, first(3), &[1]), Err(Order(1)));
    assert_eq!(begun().data(2, first(2), &[1]), Err(Busy(2)));
    assert_eq!(begun().data(2, None, &[1]), Err(Unknown(2)));
    assert_eq!(begun().data(1, None, &vec![0; WINDOW]), Err(NoCredit(1)));
    let mut admitted = begun();
    admitted.admit(1, usize::MAX).expect("credit");
    assert_eq!(admitted.data(1, None, &vec![0; 200_000]), Err(TooLong(1)));
    let mut many = begun();
    for number in 2..=MESSAGES_MAX as u32 {
        many.data(number, first(u64::from(number) + 1), &[])
            .expect("as many as agreed");
    }
    let next = MESSAGES_MAX as u32 + 1;
    assert_eq!(many.data(next, first(100), &[]), Err(TooMany(next)));
}

#[test]
fn a_credit_that_nobody_is_due_is_wrong() {
    let mut sender = Sender::<Bytes>::default();
    sender.cut(AGREED);
    sender.push(group(2), frame(1, 50_000).into(), 1);
    assert_eq!(sender.credit(1, 10), Err(WrongCredit), "not begun");
    sender.pick().expect("its first piece");
    assert_eq!(
        sender.credit(1, 60_000),
        Err(WrongCredit),
        "more than it has"
    );
    assert_eq!(sender.credit(1, 20_000), Ok(()));
    assert_eq!(
        sender.credit(1, 10_000),
        Err(WrongCredit),
        "less than before"
    );
    for never_begun in [0, 2, u32::MAX / 2 + 2, u32::MAX] {
        assert_eq!(sender.stop(never_begun), Err(WrongCredit), "{never_begun}");
    }
    assert_eq!(sender.stop(1), Ok(Some(1)));
    assert_eq!(sender.credit(1, 30_000), Ok(()), "it was on its way");
}

#[test]
fn without_window_and_credit_a_message_tells_its_size_and_waits_alone() {
    let mut link = Link::new();
    link.sender.push(group(2), frame(1, 300_000).into(), 1);
    while link.send() {}
    link.sender.push(group(3), frame(2, 50_000).into(), 2);
    link.sender.push(group(4), frame(3, 500).into(), 3);
    while link.send() {}
    while link.receive() {}
    assert_eq!(link.opened.len(), 2, "both are known to the receiver");
    assert_eq!(link.whole.len(), 1, "what is small needs no credit");
    // The second is admitted, and passes the first.
    let (number, told) = link.opened[1];
    assert_eq!(
        told,
        First {
            group: group(3),
            total: 50_008
        }
    );
    link.admit(number, usize::MAX);
    for _ in 0..100 {
        link.read_back();
        link.send();
        link.receive();
    }
    assert_eq!(link.arrived[&group(3)].len(), 1);
    assert!(!link.arrived.contains_key(&group(2)));
    link.settle();
    assert_eq!(link.arrived[&group(2)], [frame(1, 300_000)[5..].to_vec()]);
}

#[test]
fn messages_up_to_a_chunk_and_those_of_control_are_never_cut() {
    let mut sender = Sender::<Bytes>::default();
    sender.cut(Agreement {
        window: 0,
        ..AGREED
    });
    for (group, size) in [(group(2), GROUP_QUANTUM - 8), (Group::Control, 300_000)] {
        sender.push(group, frame(1, size).into(), 1);
        let piece = sender.pick().expect("whole, without credit");
        assert!(piece.head.as_bytes().is_empty());
        assert_eq!(piece.payload, frame(1, size));
    }
    sender.push(group(2), frame(1, GROUP_QUANTUM - 7).into(), 1);
    let piece = sender.pick().expect("its size");
    assert_eq!(
        (piece.head.as_bytes().is_empty(), piece.payload.size()),
        (false, 0)
    );
}
