//! Messages that wait for what others hold: a place among those under way, or the window; and what
//! a receiver holds of those that it has not taken.

use bytes::Bytes;

use super::chunk::{self, Chunk, First};
use super::transfer_tests::{AGREED, frame, group};
use super::{Agreement, Received, Receiver, Sender};

/// Whether a piece of a message is picked, while another group always has something to send.
fn sends_a_piece(sender: &mut Sender<Bytes>, tag: u64, is_it: impl Fn(u32) -> bool) -> bool {
    sender.push(group(9), frame(tag, 16_000).into(), tag);
    let piece = sender.pick().expect("there is something");
    let frame = [piece.head.as_bytes(), &piece.payload].concat();
    matches!(Chunk::read(&frame[5..]), Ok(Chunk::Data { number, .. }) if is_it(number))
}

#[test]
fn who_waits_for_an_end_begins_though_others_always_have_something_to_send() {
    let mut sender = Sender::<Bytes>::default();
    sender.cut(Agreement {
        messages_max: 1,
        ..AGREED
    });
    sender.push(group(2), frame(1, 300_000).into(), 1);
    sender.pick().expect("its first piece");
    sender.credit(1, 300_008).expect("due");
    sender.push(group(3), frame(2, 300_000).into(), 2);
    let has_begun = (0..200).any(|tag| sends_a_piece(&mut sender, tag, |number| number == 2));
    assert!(has_begun, "the first has long been sent");
}

#[test]
fn who_waits_for_the_window_goes_on_though_others_always_have_something_to_send() {
    let mut sender = Sender::<Bytes>::default();
    sender.cut(AGREED);
    for id in 2..5 {
        sender.push(group(id), frame(id, 300_000).into(), id);
    }
    while sender.pick().is_some() {}
    // One gives all of the window back that it has, and needs no more of it.
    sender.stop(1).expect("begun");
    let moved = (0..200).filter(|tag| sends_a_piece(&mut sender, *tag, |_| true));
    assert!(moved.count() >= 2, "what one had is there for the others");
}

#[test]
fn of_messages_that_waited_for_the_window_and_were_stopped_nothing_is_remembered() {
    let agreed = Agreement {
        window: 0,
        ..AGREED
    };
    let mut sender = Sender::<Bytes>::default();
    sender.cut(agreed);
    for number in 1..=1000 {
        let group = group(u64::from(number) + 1);
        sender.push(group, frame(1, 300_000).into(), 1);
        while sender.pick().is_some() {}
        sender.stop(number).expect("begun");
        sender.pick().expect("its reset");
    }
    assert!(sender.is_settled(agreed.window));
}

#[test]
fn of_messages_that_waited_for_an_end_and_were_cancelled_nothing_is_remembered() {
    let agreed = Agreement {
        messages_max: 1,
        ..AGREED
    };
    let mut sender = Sender::<Bytes>::default();
    sender.cut(agreed);
    sender.push(group(2), frame(1, 300_000).into(), 1);
    while sender.pick().is_some() {}
    for id in 3..=1000 {
        sender.push(group(id), frame(id, 300_000).into(), id);
        assert!(sender.pick().is_none(), "it waits");
        assert!(sender.cancel(group(id), id, None));
    }
    sender.stop(1).expect("begun");
    let reset = sender.pick().expect("it is begun");
    assert_eq!(reset.payload, chunk::reset(1, None));
    assert!(sender.is_settled(agreed.window));
}

#[test]
fn a_sender_uses_what_both_allow_and_one_message_at_least() {
    let most = Agreement {
        window: 1000,
        messages_max: 4,
    };
    for (offered, used) in [((2000, 9), (1000, 4)), ((10, 2), (10, 2)), ((0, 0), (0, 1))] {
        let [offered, used] = [offered, used].map(|(window, messages_max)| Agreement {
            window,
            messages_max,
        });
        assert_eq!(offered.at_most(most), used);
    }
}

#[test]
fn m13_a_total_takes_no_memory_before_its_bytes_come() {
    let mut receiver = Receiver::new(AGREED);
    let mut allocated = 0;
    for number in 1..=AGREED.messages_max as u32 {
        let group = group(u64::from(number) + 1);
        let total = u32::MAX;
        let opened = receiver.data(number, Some(First { group, total }), &[1; 100]);
        assert!(matches!(opened, Ok(Received::Opened(_))));
        receiver.admit_ahead(number, 1000).expect("credit");
        allocated += 200;
        assert!(receiver.allocated() <= allocated);
    }
}

/// However much is admitted: what it declares costs nothing.
#[test]
fn m13_memory_is_at_most_twice_what_has_come() {
    let mut receiver = Receiver::new(AGREED);
    let first = First {
        group: group(2),
        total: 10_000_000,
    };
    receiver.data(1, Some(first), &[]).expect("in form");
    receiver.admit(1, 10_000_000).expect("credit");
    assert_eq!(receiver.allocated(), 0);
    let mut come = 0;
    for size in (1..16_000).step_by(13) {
        receiver.data(1, None, &vec![1; size]).expect("in form");
        come += size;
        assert!(receiver.allocated() <= 2 * come, "{size}");
    }
}

#[test]
fn m08_a_message_of_any_size_begins_when_nothing_else_waits() {
    for agreed in [None, Some(AGREED)] {
        let mut sender = Sender::<Bytes>::default();
        if let Some(agreed) = agreed {
            sender.cut(agreed);
        }
        sender.push(group(2), frame(1, 50_000_000).into(), 1);
        let piece = sender.pick().expect("it begins");
        let size = piece.payload.len();
        assert_eq!(size > 16_384, agreed.is_none(), "whole without chunks");
    }
}
