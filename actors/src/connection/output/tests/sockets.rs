//! What sockets are told: how much their kernel may hold, and in which records it sends.

use std::cell::RefCell;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use vestibule_wire::limits::{
    AHEAD_MAX, AHEAD_MIN, RECORD_SLOW_MAX, SLOW_FLUSH_MAX, UNSENT_IN_KERNEL_FAST_MAX,
    UNSENT_IN_KERNEL_MAX,
};

use super::*;

/// A socket that takes `room` bytes of each flush, what its kernel was told to hold, and the sizes
/// of what it was told to join nothing with.
#[derive(Default)]
struct Socket {
    room: usize,
    bounds: RefCell<Vec<u32>>,
    records: Vec<usize>,
}

impl Transport for Socket {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        match taken {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|own| own.to_vec()).collect();
        self.try_write(&bytes)
    }

    fn try_write_apart(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let taken = self.try_write_vectored(slices)?;
        self.records.push(slices.iter().map(|own| own.len()).sum());
        Ok(taken)
    }

    fn bound_unsent(&self, max: u32) {
        self.bounds.borrow_mut().push(max);
    }

    fn poll_write_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn has_unread(&self) -> bool {
        false
    }

    fn is_read_closed(&self) -> bool {
        false
    }

    fn is_gone(&self) -> bool {
        false
    }
}

/// An output with a large reply that waits, to a client that takes chunks or does not.
fn with_a_large_reply(takes_chunks: bool) -> Output {
    let (mut output, _) = new();
    if takes_chunks {
        output.agree(Agreement {
            window: 9_000_000,
            messages_max: 10,
        });
    }
    output.append_chain(chain(&output, &frame(1, 4_000_000)), stream(1));
    output
}

#[test]
fn the_kernel_holds_more_for_a_socket_that_takes_much_of_a_client_that_takes_chunks() {
    for is_cut in [true, false] {
        let mut output = with_a_large_reply(is_cut);
        let mut socket = Socket::default();
        for room in [
            AHEAD_MIN, 50_000, 300_000, 300_000, 100_000, AHEAD_MAX, 20_000,
        ] {
            socket.room = room;
            output.flush(&mut socket, drop).expect("it is fine");
        }
        let bounds = socket.bounds.into_inner();
        let expected = [UNSENT_IN_KERNEL_FAST_MAX, UNSENT_IN_KERNEL_MAX];
        assert_eq!(bounds, if is_cut { &expected[..] } else { &[] });
    }
}

#[test]
fn a_socket_that_takes_little_at_a_time_is_given_it_in_small_records() {
    for is_cut in [true, false] {
        let mut output = with_a_large_reply(is_cut);
        let mut socket = Socket::default();
        let mut largest: Vec<usize> = Vec::new();
        for room in [AHEAD_MIN, AHEAD_MIN, SLOW_FLUSH_MAX, 60_000, 60_000] {
            socket.room = room;
            socket.records.clear();
            output.flush(&mut socket, drop).expect("it is fine");
            largest.extend(socket.records.iter().max());
        }
        let [first, slow @ .., fast] = &largest[..] else {
            assert!(!is_cut, "nobody else's writes are told apart");
            continue;
        };
        // The first is not known to be slow yet, and the last took more before.
        assert!(is_cut && *first > RECORD_SLOW_MAX && *fast > RECORD_SLOW_MAX);
        assert_eq!(slow, [RECORD_SLOW_MAX; 3]);
    }
}
