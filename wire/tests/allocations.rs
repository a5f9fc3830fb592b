//! What the sending half takes of the allocator once it has seen its usual messages: nothing. In a
//! process of its own, and one test, for all of its memory is counted.

use std::alloc::System;
use std::collections::VecDeque;

use bytes::Bytes;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use vestibule_wire::frame::PREFIX_SIZE;
use vestibule_wire::groups::chunk::Chunk;
use vestibule_wire::groups::{Agreement, Group, Sender};
use vestibule_wire::limits::{CHUNK_PAYLOAD_MIN, GROUP_QUANTUM, GROUP_QUEUES_KEPT_MAX};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static BYTES: [u8; 4 * GROUP_QUANTUM] = [0; 4 * GROUP_QUANTUM];

/// Rounds in which everything takes the memory that it goes on with, and those that are counted
/// each time.
const ROUNDS: usize = 20;

/// How often they are counted: a table of theirs may grow once more, late, by the chance of its
/// hashes.
const TIMES: usize = 8;

/// A message in chunks that is under way.
#[derive(Clone, Copy)]
struct UnderWay {
    number: u32,
    total: u32,
    received: u32,
    limit: u32,
}

/// A receiver that keeps nothing, and gives its credit late.
#[derive(Default)]
struct Late {
    frame: Vec<u8>,
    under_way: Vec<UnderWay>,
    due: VecDeque<u32>,
}

impl Late {
    fn take(&mut self, head: &[u8], payload: &[u8]) {
        if head.is_empty() {
            return;
        }
        self.frame.clear();
        self.frame.extend_from_slice(&head[PREFIX_SIZE..]);
        self.frame.extend_from_slice(payload);
        let Ok(Chunk::Data {
            number,
            first,
            piece,
        }) = Chunk::read(&self.frame)
        else {
            panic!("a piece");
        };
        if let Some(first) = first {
            self.under_way.push(UnderWay {
                number,
                total: first.total,
                received: 0,
                limit: 0,
            });
        }
        let own = self.under_way.iter_mut().find(|own| own.number == number);
        own.expect("it was begun").received += piece.len() as u32;
        if !self.due.contains(&number) {
            self.due.push_back(number);
        }
    }

    /// The credit that is due longest.
    fn answer(&mut self, sender: &mut Sender<Bytes>) -> bool {
        let Some(number) = self.due.pop_front() else {
            return false;
        };
        let at = self.under_way.iter().position(|own| own.number == number);
        let at = at.expect("under way");
        let own = &mut self.under_way[at];
        let ahead = own.received + CHUNK_PAYLOAD_MIN as u32;
        let limit = match own.received == own.total {
            true => own.total,
            false => own.total.min(ahead),
        };
        if limit > own.limit {
            own.limit = limit;
            sender.credit(number, limit).expect("it is due");
        }
        if own.received == own.total {
            self.under_way.swap_remove(at);
        }
        true
    }
}

/// Messages of all sizes in as many streams, in classes and in control, until all are sent.
fn burst(sender: &mut Sender<Bytes>, receiver: &mut Late, streams: usize) {
    let streams = (1..=streams as u64).filter_map(Group::stream);
    let groups = streams.chain([Group::Read, Group::Write, Group::Call, Group::Control]);
    for (at, group) in groups.enumerate() {
        for size in [100, 3 * GROUP_QUANTUM + at, 10, GROUP_QUANTUM] {
            sender.push(group, Bytes::from_static(&BYTES[..size]), at as u64);
        }
    }
    while !sender.is_empty() {
        while let Some(piece) = sender.pick() {
            receiver.take(piece.head.as_bytes(), &piece.payload);
        }
        assert!(receiver.answer(sender) || sender.is_empty(), "it goes on");
    }
    while receiver.answer(sender) {}
    sender.rest();
}

/// Allocations of the rounds that have the fewest.
fn allocated(agreed: Option<Agreement>, streams: usize) -> usize {
    let (mut sender, mut receiver) = (Sender::default(), Late::default());
    if let Some(agreed) = agreed {
        sender.cut(agreed);
    }
    let mut rounds = || {
        for _ in 0..ROUNDS {
            burst(&mut sender, &mut receiver, streams);
        }
    };
    rounds();
    let mut least = usize::MAX;
    for _ in 0..TIMES {
        let region = Region::new(ALLOCATOR);
        rounds();
        least = least.min(taken(region.change()));
        if least == 0 {
            break;
        }
    }
    least
}

fn taken(stats: Stats) -> usize {
    stats.allocations + stats.reallocations
}

/// 100,000 groups have sent and rest, beside one that goes on: memory of theirs is given back, and
/// those that come take the places of those that went.
fn idle_groups_cost_nothing() {
    let region = Region::new(ALLOCATOR);
    let mut sender = Sender::<Bytes>::default();
    for id in 1..=100_000 {
        let group = Group::stream(id).expect("above 0");
        sender.push(group, Bytes::from_static(&BYTES[..100]), id);
    }
    while sender.pick().is_some() {}
    sender.rest();
    let kept = region.change();
    assert_eq!(kept.bytes_allocated, kept.bytes_deallocated, "{kept:?}");
    drop(sender);

    let (mut sender, mut most) = (Sender::<Bytes>::default(), 0);
    let mut region = Region::new(ALLOCATOR);
    for id in 1..=100_000 {
        for (id, size) in [(1, GROUP_QUANTUM), (1 + id, 100)] {
            let group = Group::stream(id).expect("above 0");
            sender.push(group, Bytes::from_static(&BYTES[..size]), id);
        }
        sender.pick().expect("a message");
        sender.pick().expect("a message");
        if id == 1000 {
            most = taken(region.change_and_reset());
        }
    }
    let later = taken(region.change());
    assert_eq!(
        later, 0,
        "of 99,000 that came later; {most} of the first 1000"
    );
}

#[test]
fn in_the_steady_state_nothing_is_allocated_for_a_message_nor_for_who_waits() {
    // A queue of each group is kept when none is in use: that of control, and these.
    let most = GROUP_QUEUES_KEPT_MAX - 3;
    for streams in [1, 8, 30, most] {
        assert_eq!(allocated(None, streams), 0, "{streams} whole");
        for window in [0, 20_000, 1 << 20] {
            for messages_max in [1, 5, 100] {
                let agreed = Agreement {
                    window,
                    messages_max,
                };
                let taken = allocated(Some(agreed), streams);
                assert_eq!(taken, 0, "{streams} streams, {agreed:?}");
            }
        }
    }
    idle_groups_cost_nothing();
}
