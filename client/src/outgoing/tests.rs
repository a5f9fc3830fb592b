use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use vestibule_wire::frame::PREFIX_SIZE;
use vestibule_wire::groups::chunk::{self, Chunk};
use vestibule_wire::groups::{Received, Receiver};

use super::*;

pub(super) const BATCH: usize = 10;
const CHUNKS_BATCH: usize = 64 << 10;
const AGREED: Agreement = Agreement {
    window: 40 << 10,
    messages_max: 2,
};

pub(super) fn frame(sync: u64, size: usize) -> Vec<u8> {
    vec![sync as u8; size]
}

pub(super) fn room(size: usize) -> Room {
    Room::of(size, 1 << 20)
}

fn filled(sizes: &[usize]) -> Outgoing {
    let mut outgoing = Outgoing::default();
    for (at, size) in sizes.iter().enumerate() {
        let sync = at as u64 + 1;
        outgoing.push(Group::Write, sync, frame(sync, *size), room(*size));
    }
    outgoing
}

pub(super) fn bytes_of(batch: &Batch) -> Vec<u8> {
    batch.parts().concat()
}

#[test]
fn small_requests_are_taken_together_and_large_ones_are_not_copied() {
    let large = GROUP_QUANTUM + 1;
    let mut outgoing = filled(&[4, 8, 4, large, 1]);
    let mut batch = Batch::default();
    let mut parts = Vec::new();
    while {
        outgoing.take(&mut batch, BATCH);
        batch.size() > 0
    } {
        parts.push(batch.parts().map(<[u8]>::len));
        outgoing.wrote(batch.size());
    }
    assert_eq!(parts, [[12, 0], [4, large], [1, 0]]);
    assert!(outgoing.is_idle());
}

#[test]
fn a_request_that_is_half_written_is_not_sent() {
    let mut outgoing = filled(&[4, 4, 4, 4]);
    let mut batch = Batch::default();
    assert_eq!(outgoing.take(&mut batch, 12), room(12));
    outgoing.wrote(7);
    assert_eq!(outgoing.close(), (vec![2, 3, 4], room(4)));
}

#[test]
fn what_is_withdrawn_is_never_written() {
    let mut outgoing = filled(&[4, 4, 4]);
    assert_eq!(outgoing.withdraw(2), Some(room(4)));
    assert_eq!(outgoing.withdraw(2), None);
    let mut batch = Batch::default();
    outgoing.take(&mut batch, 100);
    assert_eq!(bytes_of(&batch), [1, 1, 1, 1, 3, 3, 3, 3]);
    assert_eq!(outgoing.withdraw(1), None, "in hand");
    assert_eq!(outgoing.withdraw(9), None, "not there");
}

#[test]
fn a_ping_passes_large_requests_that_wait() {
    let mut outgoing = filled(&[50_000, 50_000]);
    outgoing.push(Group::Control, 3, frame(3, 14), Room::default());
    let mut batch = Batch::default();
    outgoing.take(&mut batch, BATCH);
    assert_eq!(bytes_of(&batch), frame(3, 14));
}

#[test]
fn who_writes_is_woken_once_it_has_found_nothing() {
    let mut outgoing = filled(&[4]);
    assert!(!outgoing.wakes(), "it looks before it sleeps");
    let mut batch = Batch::default();
    outgoing.take(&mut batch, BATCH);
    outgoing.wrote(4);
    outgoing.take(&mut batch, BATCH);
    assert!(!outgoing.wakes(), "there is nothing");
    outgoing.push(Group::Read, 2, frame(2, 4), room(4));
    assert!(outgoing.wakes());
    assert!(!outgoing.wakes(), "only once");
}

/// Writes until nothing may be sent; returns it.
pub(super) fn drained(outgoing: &mut Outgoing) -> Vec<u8> {
    let mut batch = Batch::default();
    let mut written = Vec::new();
    while {
        outgoing.take(&mut batch, CHUNKS_BATCH);
        batch.size() > 0
    } {
        written.extend_from_slice(&bytes_of(&batch));
        outgoing.wrote(batch.size());
    }
    written
}

#[test]
fn a_request_that_is_begun_and_withdrawn_is_reset() {
    let mut outgoing = filled(&[200_000]);
    outgoing.cut(AGREED);
    let begun = drained(&mut outgoing);
    assert!(begun.len() >= AGREED.window && begun.len() < 2 * AGREED.window);
    assert_eq!(outgoing.withdraw(1), Some(room(200_000)));
    assert!(outgoing.wakes());
    assert_eq!(drained(&mut outgoing), chunk::reset(1, None));
    assert!(outgoing.is_idle());
    assert_eq!(outgoing.close(), (vec![], Room::default()));
}

#[test]
fn a_request_that_is_stopped_is_told_whether_or_not_all_of_it_was_sent() {
    let mut outgoing = filled(&[30_000, 200_000]);
    outgoing.cut(AGREED);
    drained(&mut outgoing);
    let first = outgoing.stop(1).unwrap();
    assert_eq!(first, Some((1, Room::default())), "all was sent");
    drained(&mut outgoing);
    assert_eq!(outgoing.stop(2).unwrap(), Some((2, room(200_000))));
    assert_eq!(drained(&mut outgoing), chunk::reset(2, None));
    assert_eq!(outgoing.stop(2).unwrap(), None);
    assert_eq!(outgoing.stop(3), Err(WrongCredit), "never begun");
}

#[test]
fn what_is_settled_is_not_remembered() {
    let mut outgoing = filled(&[30_000, 30_000, 30_000]);
    outgoing.cut(AGREED);
    for number in 1..=3 {
        drained(&mut outgoing);
        outgoing.credit(number, 29_995).unwrap();
    }
    drained(&mut outgoing);
    assert!(outgoing.waiting.is_empty());
    for number in 1..=3 {
        assert_eq!(outgoing.stop(number), Ok(None), "it was taken");
    }
}

#[test]
fn a_request_that_is_stopped_when_it_was_admitted_is_told() {
    let mut outgoing = filled(&[200_000]);
    outgoing.cut(AGREED);
    let mut batch = Batch::default();
    outgoing.take(&mut batch, BATCH);
    outgoing.credit(1, 199_995).unwrap();
    assert_eq!(outgoing.stop(1), Ok(Some((1, room(200_000)))));
    assert_eq!(drained(&mut outgoing), chunk::reset(1, None));
}

/// A server that takes chunks in what it is sent.
struct Model {
    receiver: Receiver,
    bytes: Vec<u8>,
    /// First bytes of whole requests: their sync numbers.
    whole: HashMap<u8, usize>,
    /// What it answers: limits of messages.
    credits: Vec<(u32, u32)>,
}

impl Model {
    fn new() -> Self {
        Self {
            receiver: Receiver::new(AGREED),
            bytes: Vec::new(),
            whole: HashMap::new(),
            credits: Vec::new(),
        }
    }

    fn took(&mut self, content: &[u8]) {
        assert!(content.iter().all(|byte| *byte == content[0]), "mixed up");
        assert_eq!(self.whole.insert(content[0], content.len()), None, "twice");
    }

    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while let Some(&[_, a, b, c, d]) = self.bytes.first_chunk::<PREFIX_SIZE>() {
            let end = PREFIX_SIZE + u32::from_be_bytes([a, b, c, d]) as usize;
            if self.bytes.len() < end {
                return;
            }
            let frame: Vec<u8> = self.bytes.drain(..end).collect();
            self.frame(&frame[PREFIX_SIZE..]);
        }
    }

    fn frame(&mut self, content: &[u8]) {
        if !Chunk::is_one(content) {
            return self.took(content);
        }
        match Chunk::read(content).unwrap() {
            Chunk::Data {
                number,
                first,
                piece,
            } => match self.receiver.data(number, first, piece).unwrap() {
                Received::Complete {
                    content, credit, ..
                } => {
                    self.took(&content);
                    self.said(credit.as_ref());
                }
                _ => {
                    let credit = self.receiver.admit_ahead(number, 20_000);
                    self.said(credit.as_ref());
                }
            },
            Chunk::Reset { number, .. } => assert!(self.receiver.reset(number)),
            other => panic!("{other:?}"),
        }
    }

    fn said(&mut self, credit: Option<&chunk::Head>) {
        let Some(head) = credit else { return };
        match Chunk::read(&head.as_bytes()[PREFIX_SIZE..]).unwrap() {
            Chunk::Credit { number, limit } => self.credits.push((number, limit)),
            other => panic!("{other:?}"),
        }
    }
}

/// A request as the model reads it: its length, and its number in every byte.
fn request(sync: u64, size: usize) -> Vec<u8> {
    let mut frame = vec![0xce];
    frame.extend_from_slice(&(size as u32).to_be_bytes());
    frame.resize(PREFIX_SIZE + size, sync as u8);
    frame
}

#[test]
fn m03_requests_of_all_sizes_share_the_socket_by_bytes() {
    const SIZES: [usize; 3] = [100, 10_000, 1_000_000];
    let agreed = Agreement {
        window: 1 << 30,
        messages_max: 1000,
    };
    for agreed in [None, Some(agreed)] {
        let (mut outgoing, mut batch, mut sync) = (Outgoing::default(), Batch::default(), 0);
        if let Some(agreed) = agreed {
            outgoing.cut(agreed);
        }
        let (mut pushed, mut sent) = ([0; 3], [0; 3]);
        while sent.iter().sum::<usize>() < 20_000_000 {
            for (at, size) in SIZES.into_iter().enumerate() {
                let group = Group::stream(at as u64 + 1).unwrap();
                while pushed[at] - sent[at] < size + 2 * CHUNKS_BATCH {
                    sync += 1;
                    outgoing.push(group, sync, vec![b'a' + at as u8; size], room(size));
                    pushed[at] += size;
                }
            }
            outgoing.take(&mut batch, CHUNKS_BATCH);
            let bytes = bytes_of(&batch);
            outgoing.wrote(bytes.len());
            for (at, sent) in sent.iter_mut().enumerate() {
                let own = |byte: &&u8| **byte == b'a' + at as u8;
                *sent += bytes.iter().filter(own).count();
            }
        }
        let shares = sent.map(|own| own as f64);
        let squares: f64 = shares.iter().map(|own| own * own).sum();
        let jain = shares.iter().sum::<f64>().powi(2) / (3.0 * squares);
        assert!(jain >= 0.99, "{sent:?} of {agreed:?}");
    }
}

/// A ping that is asked for while a large request goes out is in the batch that is taken next.
#[test]
fn m04_a_ping_is_in_the_next_batch_whatever_else_waits() {
    for agreed in [
        None,
        Some(Agreement {
            window: 1 << 30,
            messages_max: 8,
        }),
    ] {
        let (mut outgoing, mut batch) = (Outgoing::default(), Batch::default());
        if let Some(agreed) = agreed {
            outgoing.cut(agreed);
        }
        for sync in 1..=8 {
            let group = Group::stream(sync).unwrap();
            outgoing.push(group, sync, vec![0; 3 << 20], room(3 << 20));
        }
        for sync in 100..110 {
            outgoing.take(&mut batch, CHUNKS_BATCH);
            outgoing.wrote(batch.size());
            outgoing.push(Group::Control, sync, vec![sync as u8; 10], room(10));
            outgoing.take(&mut batch, CHUNKS_BATCH);
            outgoing.wrote(batch.size());
            assert_eq!(bytes_of(&batch)[..10], [sync as u8; 10], "{agreed:?}");
        }
    }
}

proptest! {
    #[test]
    fn sent_are_exactly_those_whose_every_byte_was_written(
        sizes in prop::collection::vec(1..30usize, 1..40),
        withdrawn in prop::collection::vec(1..40u64, 0..10),
        mut left in 0..800usize,
    ) {
        let mut outgoing = filled(&sizes);
        let is_gone = |sync: &u64| withdrawn.contains(sync);
        for sync in &withdrawn {
            outgoing.withdraw(*sync);
        }
        let mut written = Vec::new();
        let mut batch = Batch::default();
        while { outgoing.take(&mut batch, BATCH); batch.size() > 0 } {
            let some = left.min(batch.size());
            written.extend_from_slice(&bytes_of(&batch)[..some]);
            outgoing.wrote(some);
            left -= some;
            if some < batch.size() {
                break;
            }
        }
        let (unsent, _) = outgoing.close();
        for (at, size) in sizes.iter().enumerate() {
            let sync = at as u64 + 1;
            let count = written.iter().filter(|byte| **byte == sync as u8).count();
            prop_assert!(count == 0 || !is_gone(&sync));
            prop_assert_eq!(count == *size, !unsent.contains(&sync) && !is_gone(&sync));
        }
        prop_assert!(outgoing.is_idle());
    }

    #[test]
    fn what_a_server_has_whole_is_what_was_sent_also_in_chunks(
        requests in prop::collection::vec((1..90_000usize, 0..5u64), 1..12),
        withdrawn in prop::collection::vec((0..20usize, 1..12u64), 0..6),
        mut left in 0..500_000usize,
        step in 1..70_000usize,
    ) {
        let mut outgoing = Outgoing::default();
        outgoing.cut(AGREED);
        let groups = [Group::Control, Group::Read, Group::Write, Group::Call];
        let mut charged = Room::default();
        for (at, (size, group)) in requests.iter().enumerate() {
            let sync = at as u64 + 1;
            let frame = request(sync, *size);
            let own = room(frame.len());
            charged.add(own);
            let group = groups.get(*group as usize).copied();
            let group = group.or_else(|| Group::stream(7)).unwrap();
            outgoing.push(group, sync, frame, own);
        }
        let mut model = Model::new();
        let mut gone = HashSet::new();
        let mut freed = Room::default();
        let mut batch = Batch::default();
        'written: for turn in 0.. {
            for (_, sync) in withdrawn.iter().filter(|(at, _)| *at == turn) {
                if let Some(room) = outgoing.withdraw(*sync) {
                    freed.add(room);
                    gone.insert(*sync);
                }
            }
            freed.add(outgoing.take(&mut batch, 4 * BATCH));
            if batch.size() == 0 {
                let credits = std::mem::take(&mut model.credits);
                if credits.is_empty() && turn > 20 {
                    break;
                }
                for (number, limit) in credits {
                    outgoing.credit(number, limit).unwrap();
                }
                continue;
            }
            let bytes = bytes_of(&batch);
            for part in bytes.chunks(step) {
                let some = left.min(part.len());
                outgoing.wrote(some);
                model.take(&part[..some]);
                left -= some;
                if some < part.len() {
                    break 'written;
                }
            }
        }
        let (unsent, rest) = outgoing.close();
        freed.add(rest);
        prop_assert_eq!(freed, charged);
        for (at, (size, _)) in requests.iter().enumerate() {
            let sync = at as u64 + 1;
            let is_whole = model.whole.get(&(sync as u8)) == Some(size);
            let is_sent = !unsent.contains(&sync) && !gone.contains(&sync);
            prop_assert_eq!(is_whole, is_sent, "request {}", sync);
        }
        prop_assert!(left == 0 || unsent.is_empty(), "{:?} were not sent", unsent);
    }
}
