//! What callers write themselves, and what they leave.

use proptest::prelude::*;

use super::tests::{BATCH, bytes_of, drained, frame, room};
use super::*;

/// A socket that takes this many bytes, and then no more.
fn takes(mut left: usize, written: &mut Vec<u8>) -> impl FnMut(&[u8]) -> io::Result<usize> {
    move |bytes| {
        let some = left.min(bytes.len());
        left -= some;
        written.extend_from_slice(&bytes[..some]);
        match some {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            some => Ok(some),
        }
    }
}

#[test]
fn who_asks_writes_while_nobody_else_does_and_leaves_what_the_socket_does_not_take() {
    let mut outgoing = Outgoing::default();
    let mut batch = Batch::default();
    outgoing.push(Group::Control, 1, frame(1, 4), room(4));
    assert!(!outgoing.is_free(), "who writes looks first");
    outgoing.take(&mut batch, BATCH);
    outgoing.wrote(4);
    outgoing.take(&mut batch, BATCH);
    let mut written = Vec::new();
    for sync in 2..4 {
        assert!(outgoing.is_free());
        outgoing.push(Group::Control, sync, frame(sync, 4), room(4));
        let freed = outgoing.write_now(takes(4, &mut written));
        assert_eq!(freed, room(4));
        assert!(!outgoing.wakes(), "all is written");
        assert!(outgoing.is_idle());
    }
    outgoing.push(Group::Control, 4, frame(4, 4), room(4));
    outgoing.write_now(takes(3, &mut written));
    assert!(!outgoing.is_free() && !outgoing.is_idle());
    outgoing.push(Group::Control, 5, frame(5, 4), room(4));
    assert!(outgoing.wakes() && !outgoing.wakes());
    assert_eq!(outgoing.withdraw(4), None, "in hand");
    for rest in [frame(4, 1), frame(5, 4)] {
        outgoing.take(&mut batch, BATCH);
        assert_eq!(bytes_of(&batch), rest);
        outgoing.wrote(batch.size());
        written.extend(rest);
    }
    let all = (2..6).flat_map(|sync| frame(sync, 4));
    assert_eq!(written, all.collect::<Vec<_>>());
    assert!(outgoing.is_idle());
}

#[test]
fn what_its_caller_has_half_written_at_the_end_is_not_sent() {
    for (taken, unsent) in [(3, vec![2]), (4, vec![])] {
        let mut outgoing = Outgoing::default();
        outgoing.take(&mut Batch::default(), BATCH);
        outgoing.push(Group::Control, 2, frame(2, 4), room(4));
        outgoing.write_now(takes(taken, &mut Vec::new()));
        assert_eq!(outgoing.close(), (unsent, Room::default()));
    }
}

proptest! {
    /// 0 withdraws the oldest; the others ask, and what the socket takes then is up to it.
    #[test]
    fn whoever_writes_nothing_is_lost_or_written_twice(
        steps in prop::collection::vec((0..5u8, 0..40usize, 0..60usize), 1..80),
    ) {
        let mut outgoing = Outgoing::default();
        let (mut batch, mut written) = (Batch::default(), Vec::new());
        let mut is_awake = true;
        let mut expected = Vec::new();
        for (at, (step, size, socket)) in steps.into_iter().enumerate() {
            let sync = at as u64 + 1;
            if step == 0 {
                let oldest = |own: &u64| outgoing.withdraw(*own).is_some();
                if let Some(oldest) = expected.iter().position(oldest) {
                    expected.remove(oldest);
                }
            } else {
                outgoing.push(Group::Write, sync, frame(sync, size + 1), room(size + 1));
                expected.push(sync);
            }
            if outgoing.is_free() {
                prop_assert!(!is_awake);
                outgoing.write_now(takes(socket, &mut written));
            }
            is_awake |= outgoing.wakes();
            // The task: at most one batch, which it writes to its end before the next.
            if is_awake {
                outgoing.take(&mut batch, BATCH);
                is_awake = batch.size() > 0;
                written.extend_from_slice(&bytes_of(&batch));
                outgoing.wrote(batch.size());
            }
        }
        written.extend(drained(&mut outgoing));
        prop_assert!(outgoing.is_idle());
        let mut order: Vec<u64> = written.iter().map(|byte| u64::from(*byte)).collect();
        order.dedup();
        prop_assert_eq!(order, expected);
    }
}
