//! Pieces that are larger than a quantum, and such as are taken before all of them is there.

use bytes::Bytes;

use super::chunk::{self, First, PieceBegun};
use super::transfer_tests::{AGREED, frame, group};
use super::{Agreement, DamagedSequence, Piece, Received, Receiver, Sender};
use crate::frame::PREFIX_SIZE;
use crate::growing::Growing;
use crate::limits::{CHUNK_PAYLOAD_MAX, GROUP_QUANTUM};

#[test]
fn who_is_alone_may_send_a_larger_piece_and_who_is_not_a_quantum() {
    let size_of = |piece: Option<Piece<Bytes>>| piece.map(|piece| piece.payload.len());
    let mut sender = Sender::<Bytes>::default();
    sender.cut(Agreement {
        window: 1 << 20,
        messages_max: 4,
    });
    sender.push(group(2), frame(1, 500_000).into(), 1);
    assert_eq!(size_of(sender.pick()), Some(GROUP_QUANTUM));
    assert_eq!(size_of(sender.pick_up_to(1)), Some(GROUP_QUANTUM));
    assert_eq!(size_of(sender.pick_up_to(40_000)), Some(40_000));
    assert_eq!(
        size_of(sender.pick_up_to(usize::MAX)),
        Some(CHUNK_PAYLOAD_MAX)
    );
    // Another one begins: it is next, and they take turns by a quantum, when the first has paid for
    // what it had more.
    sender.push(group(3), frame(2, 500_000).into(), 2);
    let mut shares = [0, 0];
    for _ in 0..20 {
        let piece = sender.pick_up_to(usize::MAX).expect("both wait");
        assert_eq!(piece.payload.len(), GROUP_QUANTUM);
        let content = &piece.head.as_bytes()[PREFIX_SIZE..];
        let is_second = content[11] == 2;
        shares[usize::from(is_second)] += 1;
    }
    let owed = CHUNK_PAYLOAD_MAX / GROUP_QUANTUM;
    assert_eq!(shares, [(20 - owed) / 2, (20 + owed) / 2]);
}

#[test]
fn what_has_come_of_a_piece_tells_whose_it_is_once_its_head_is_there() {
    let first = First {
        group: group(2),
        total: 1000,
    };
    for first in [None, Some(first)] {
        let head = chunk::data(7, first, 100);
        let frame = [head.as_bytes(), &[1; 100]].concat();
        let content = &frame[PREFIX_SIZE..];
        for size in 0..=content.len() {
            let begun = PieceBegun::read(&content[..size], content.len());
            let come = size
                .checked_sub(content.len() - 100)
                .filter(|come| *come < 100);
            assert_eq!(begun.map(|own| own.bytes.len()), come, "{size}");
            let told = |own: PieceBegun<'_>| (own.number, own.first, own.size);
            assert!(begun.is_none_or(|own| told(own) == (7, first, 100)));
        }
        let short = &content[..content.len() - 50];
        assert_eq!(
            PieceBegun::read(short, content.len() + 1),
            None,
            "it tells another length"
        );
        let too_large = chunk::data(7, first, CHUNK_PAYLOAD_MAX as u32 + 1);
        let too_large = &too_large.as_bytes()[PREFIX_SIZE..];
        let length = too_large.len() + CHUNK_PAYLOAD_MAX + 1;
        assert_eq!(PieceBegun::read(too_large, length), None);
    }
}

/// A piece of this size of a message, of which a byte has come.
fn begun(number: u32, first: Option<First>, size: usize) -> PieceBegun<'static> {
    PieceBegun {
        number,
        first,
        size,
        bytes: &[1],
    }
}

#[test]
fn only_what_may_come_is_taken_in_parts() {
    let mut receiver = Receiver::new(AGREED);
    let total = 2 * AGREED.window as u32;
    let first = First {
        group: group(2),
        total,
    };
    let more = |size| begun(1, None, size);
    assert!(!receiver.takes_parts(&more(1)), "it is not begun");
    let received = receiver.data(1, Some(first), &[]);
    assert_eq!(received, Ok(Received::Opened(first)));
    assert!(receiver.takes_parts(&more(AGREED.window)));
    assert!(
        !receiver.takes_parts(&more(AGREED.window + 1)),
        "beyond window and credit"
    );
    receiver.admit(1, 1000).expect("more than before");
    assert!(receiver.takes_parts(&more(AGREED.window + 1000)));
    receiver.admit(1, usize::MAX).expect("more than before");
    assert!(receiver.takes_parts(&more(total as usize)));
    assert!(
        !receiver.takes_parts(&more(total as usize + 1)),
        "longer than it said"
    );
    let too_many = receiver.fill(1, 9, |bytes| bytes.resize(total as usize + 1, 0));
    assert_eq!(too_many, Err(DamagedSequence::TooLong(1)));
    receiver.stop(1, None);
    assert!(!receiver.takes_parts(&more(1)));
    assert_eq!(
        receiver.fill(1, 9, |_| panic!("nobody wants it")),
        Ok(None::<((), _)>)
    );
}

#[test]
fn of_first_pieces_only_such_as_may_begin_are_taken_in_parts() {
    let mut receiver = Receiver::new(Agreement {
        messages_max: 2,
        ..AGREED
    });
    let first = |stream| First {
        group: group(stream),
        total: 2 * AGREED.window as u32,
    };
    assert!(receiver.takes_parts(&begun(1, Some(first(2)), AGREED.window)));
    assert!(
        !receiver.takes_parts(&begun(1, Some(first(2)), AGREED.window + 1)),
        "beyond the window"
    );
    let short = First {
        total: 10,
        ..first(2)
    };
    assert!(
        !receiver.takes_parts(&begun(1, Some(short), 11)),
        "too long"
    );
    assert!(
        !receiver.takes_parts(&begun(2, Some(first(2)), 1)),
        "out of order"
    );
    receiver
        .begin(1, first(2), Growing::default())
        .expect("in order");
    assert_eq!(receiver.data(1, None, &[1; 10]), Ok(Received::Piece));
    assert!(
        !receiver.takes_parts(&begun(2, Some(first(2)), 1)),
        "its group has another"
    );
    receiver
        .begin(2, first(3), Growing::default())
        .expect("in order");
    assert!(
        !receiver.takes_parts(&begun(3, Some(first(4)), 1)),
        "as many as may be"
    );
}
