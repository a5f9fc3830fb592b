//! Shares, charges and room.

use super::*;
use crate::limits::CONNECTION_REPLY_BYTES_MAX;

const MIB: usize = 1 << 20;

#[test]
fn beyond_half_who_holds_more_than_a_share_is_not_read() {
    let memory = Arc::new(Memory::new(8 * MIB));
    let mut light = ConnectionCharge::new(memory.clone());
    let mut heavy = ConnectionCharge::new(memory.clone());
    light.set(Held::buffers(MIB / 2), 0);
    heavy.set(Held::buffers(3 * MIB), 0);
    assert!(!heavy.is_over_share(|| 4));
    heavy.set(Held::buffers(4 * MIB), 0);
    assert!(heavy.is_over_share(|| 4));
    assert!(!light.is_over_share(|| 4));
    assert!(!memory.has_room());
    drop(heavy);
    assert_eq!(memory.used(), MIB / 2);
    assert!(memory.has_room());
}

#[test]
fn the_last_quarter_is_for_replies_to_those_within_a_share_and_nothing_is_beyond_the_bound() {
    let memory = Arc::new(Memory::new(8 * MIB));
    let mut others = MemoryCharge::new(memory.clone());
    let share = MIB / 2;
    assert_eq!(memory.share(4), share);
    let mut may = |used: usize, output: usize| {
        others.set(used);
        memory.may_reply(output, || 4)
    };
    assert!(may(6 * MIB, 6 * MIB));
    assert!(!may(6 * MIB + 1, share + 1));
    assert!(may(8 * MIB, share));
    assert!(!may(8 * MIB + 1, 0));
}

#[test]
fn when_the_bound_is_exceeded_who_holds_more_than_a_share_gives_way() {
    let memory = Arc::new(Memory::new(8 * MIB));
    let mut light = ConnectionCharge::new(memory.clone());
    let mut heavy = ConnectionCharge::new(memory.clone());
    light.set(Held::buffers(MIB / 2), MIB / 2);
    heavy.set(Held::buffers(7 * MIB), 7 * MIB);
    assert!(!heavy.is_to_give_way(|| 4));
    heavy.set(Held::buffers(8 * MIB), 8 * MIB);
    assert!(heavy.is_to_give_way(|| 4));
    assert!(!light.is_to_give_way(|| 4));
}

#[test]
fn no_more_holders_give_way_than_have_to() {
    let holder = |id, has_ended, bytes| (id, Holding { has_ended, bytes });
    let holders = || vec![holder(1, false, 5), holder(2, false, 9), holder(3, true, 2)];
    assert_eq!(give_way(holders(), 0), [0; 0]);
    assert_eq!(give_way(holders(), 2), [3]);
    assert_eq!(give_way(holders(), 3), [3, 2]);
    assert_eq!(give_way(holders(), 100), [3, 2, 1]);
}

#[test]
fn small_buffers_are_nobodys_business() {
    let memory = Arc::new(Memory::new(0));
    let mut small = ConnectionCharge::new(memory.clone());
    small.set(Held::buffers(MEMORY_SMALL - 1), MEMORY_SMALL - 1);
    assert!(!small.is_over_share(|| 1));
    assert_eq!(small.gauge().output(), 0);
    small.set(Held::buffers(MEMORY_SMALL), MEMORY_SMALL);
    assert_eq!(memory.used(), MEMORY_SMALL);
    assert_eq!(small.gauge().output(), MEMORY_SMALL);
    small.set(Held::buffers(1), 0);
    assert_eq!(memory.used(), 0);
}

#[test]
fn a_charge_goes_with_what_it_is_for_and_is_given_back_there() {
    let memory = Arc::new(Memory::new(MIB));
    let mut charge = MemoryCharge::new(memory.clone());
    assert!(charge.take().is_none());
    charge.set(MIB);
    let taken = charge.take();
    drop(charge);
    assert_eq!(memory.used(), MIB);
    drop(taken);
    assert_eq!(memory.used(), 0);
}

#[test]
fn tx_is_told_once_of_the_room_that_it_awaits_and_not_before_there_is_enough() {
    let mut charge = ConnectionCharge::new(Arc::new(Memory::new(MIB)));
    let gauge = charge.gauge().clone();
    assert!(!gauge.take_room(), "nobody awaits it");
    charge.set(Held::buffers(0), CONNECTION_REPLY_BYTES_MAX);
    gauge.await_room(CONNECTION_REPLY_BYTES_MAX);
    assert!(!gauge.take_room());
    charge.set(Held::buffers(0), CONNECTION_REPLY_BYTES_MAX / 2);
    assert!(gauge.take_room());
    assert!(!gauge.take_room());
    gauge.await_room(MEMORY_SMALL);
    assert!(!gauge.take_room(), "that is much where there may be little");
    charge.set(Held::buffers(0), MEMORY_SMALL);
    assert!(!gauge.take_room());
    charge.set(Held::buffers(0), 0);
    assert!(gauge.take_room() && !gauge.take_room());
    assert!(!gauge.is_closed());
    drop(charge);
    assert!(gauge.is_closed());
}
