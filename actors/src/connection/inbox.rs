//! Bytes that were read and not taken: the beginning of a frame, or what waits for its turn.
//!
//! ```text
//!   ┌──── kept: bytes ────┬─ room ─┐   memory follows what has arrived, whatever size was
//!   └─────────────────────┴────────┘   declared, and does not outgrow the frame
//! ```
//!
//! In a `Vec`, although frames are taken from its front: what is left then is the beginning of one
//! frame, and `BytesMut` would hide the memory of what is taken from the sum that bounds all
//! buffers.

use std::ops::Deref;

use vestibule_wire::frame::{Prefix, read_prefix};
use vestibule_wire::growing::Growing;

use crate::connection::passing::Passing;
use crate::limits::BUFFER_KEEP_MAX;
use crate::resources::Buffers;

/// What a look at a frame that was kept has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Dropped here: somebody has it.
    Taken,
    /// Kept until its turn comes.
    Waits,
    /// The same, and so are all behind it that were looked at before.
    AllWait,
    /// Kept, and looked at again, as all behind it: there was no time for it, or no room.
    Later,
}

/// The kept bytes of one connection.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: Growing,
    /// Whole frames up to here were looked at, and have to wait.
    seen: usize,
    /// Whole frames from there up to here were as well, and are looked at again.
    again_end: usize,
    /// What is known of those that were looked at.
    passing: Option<Box<Passing>>,
}

impl Inbox {
    /// An empty one in a buffer that was used before.
    #[inline]
    pub(crate) fn in_buffer(bytes: Vec<u8>) -> Self {
        Self {
            bytes: bytes.into(),
            seen: 0,
            again_end: 0,
            passing: None,
        }
    }

    /// Memory that it takes, in bytes.
    #[inline]
    pub(crate) fn allocated(&self) -> usize {
        self.bytes.allocated()
    }

    /// Adds what was read to what is kept.
    #[inline]
    pub(crate) fn extend(&mut self, bytes: &[u8], packet_size_max: u64) {
        let total = self.total(packet_size_max);
        self.bytes.extend(bytes, total);
    }

    /// Bytes that are gathered here: no more than the frame that it begins with.
    fn total(&self, packet_size_max: u64) -> usize {
        match read_prefix(&self.bytes, packet_size_max) {
            Ok(Some(prefix)) => prefix.frame_size(),
            Ok(None) | Err(_) => 0,
        }
    }

    /// Bytes that it takes without growing.
    pub(crate) fn room(&self) -> usize {
        self.bytes.room()
    }

    /// Has `add` add more of the frame that it begins with, no more than there is
    /// [room](Self::room) for.
    pub(crate) fn fill<T>(
        &mut self,
        packet_size_max: u64,
        add: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> T {
        let total = self.total(packet_size_max);
        self.bytes.fill(total, add)
    }

    /// Bytes that a large frame lacks that it begins with, which is not whole.
    pub(crate) fn lacks(&self, packet_size_max: u64) -> Option<usize> {
        let size = self.large_prefix(packet_size_max)?.frame_size();
        size.checked_sub(self.bytes.len())
            .filter(|lacks| *lacks > 0)
    }

    /// Moves to a spare buffer of the size of the large frame that it begins with, if there is one.
    pub(crate) fn use_spare(&mut self, packet_size_max: u64, buffers: &mut Buffers) {
        if let Some(large) = self.large_prefix(packet_size_max)
            && self.bytes.capacity() < large.frame_size()
            && let Some(mut spare) = buffers.spare_large(large.frame_size(), self.bytes.len())
        {
            spare.extend_from_slice(&self.bytes);
            let left = std::mem::replace(&mut self.bytes, spare.into());
            buffers.give_back(left.into_bytes());
        }
    }

    /// The prefix of the frame that it begins with, if that is too large for a buffer that is kept
    /// for reuse.
    pub(crate) fn large_prefix(&self, packet_size_max: u64) -> Option<Prefix> {
        let prefix = read_prefix(&self.bytes, packet_size_max).ok()??;
        (prefix.frame_size() > BUFFER_KEEP_MAX).then_some(prefix)
    }

    /// Splits off what is behind the first `at` bytes.
    pub(crate) fn split_off(&mut self, at: usize) -> Vec<u8> {
        self.bytes.edit().split_off(at)
    }

    /// Whether it begins with a whole frame, or with what is none.
    pub(crate) fn has_frame(&self, packet_size_max: u64) -> bool {
        match read_prefix(&self.bytes, packet_size_max) {
            Ok(Some(prefix)) => self.bytes.len() >= prefix.frame_size(),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// Drops what was taken.
    #[inline]
    pub(crate) fn advance(&mut self, taken: usize) {
        if taken > 0 {
            self.bytes.edit().drain(..taken);
        }
        self.seen = self.seen.saturating_sub(taken);
        self.again_end = self.again_end.saturating_sub(taken);
    }

    /// Goes through the contents of the whole frames that were not looked at, or are looked at
    /// again, which `take` is told as well, up to a fault or to one that is to be looked at later,
    /// and drops those that `take` takes. Each byte is moved once for each time that there was one,
    /// however many these are.
    pub(crate) fn take_out<E>(
        &mut self,
        packet_size_max: u64,
        mut take: impl FnMut(&[u8], bool) -> Result<Look, E>,
    ) -> Result<(), E> {
        let (mut at, mut result) = (self.seen, Ok(()));
        while let Ok(Some(prefix)) = read_prefix(&self.bytes[at..], packet_size_max)
            && let Some(content) = (self.bytes).get(at + prefix.size..at + prefix.frame_size())
        {
            let frame = at..at + prefix.frame_size();
            at = frame.end;
            #[cfg(test)]
            LOOKS.set(LOOKS.get() + 1);
            match take(content, frame.start < self.again_end) {
                Ok(Look::Taken) => {}
                Ok(Look::Later) => {
                    at = frame.start;
                    break;
                }
                Ok(look @ (Look::Waits | Look::AllWait)) => {
                    if look == Look::AllWait {
                        at = at.max(self.again_end);
                    }
                    let waits = frame.start..at;
                    let size = waits.len();
                    if self.seen < frame.start {
                        self.bytes.edit().copy_within(waits, self.seen);
                    }
                    self.seen += size;
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.again_end = match self.again_end > at {
            true => self.again_end - (at - self.seen),
            false => 0,
        };
        if self.seen < at {
            self.bytes.edit().drain(self.seen..at);
        }
        result
    }

    /// Has the frames looked at again that have to wait: by another rule some need not.
    pub(crate) fn look_again(&mut self) {
        self.again_end = self.again_end.max(self.seen);
        self.seen = 0;
    }

    /// Whether some are left that are to be looked at again.
    pub(crate) fn is_looked_at_again(&self) -> bool {
        self.again_end > self.seen
    }

    /// What is known of the frames that were looked at, which is put back after the next look.
    pub(crate) fn take_passing(&mut self) -> Box<Passing> {
        self.passing.take().unwrap_or_default()
    }

    /// Keeps what is known of the frames that were looked at.
    pub(crate) fn put_passing(&mut self, passing: Box<Passing>) {
        self.passing = Some(passing);
    }

    /// Drops the whole frames that were looked at.
    pub(crate) fn drop_seen(&mut self) {
        self.advance(self.seen);
    }

    /// Hands over the inbox's buffer, for another use.
    #[inline]
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.bytes.into_bytes()
    }
}

#[cfg(test)]
std::thread_local! {
    static LOOKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many frames this thread has looked at that were kept.
#[cfg(test)]
pub(crate) fn looks() -> usize {
    LOOKS.get()
}

impl Deref for Inbox {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_what_has_arrived_and_ends_with_the_frame() {
        let size = 1_000_000u32;
        let mut frame = vec![0xce];
        frame.extend_from_slice(&size.to_be_bytes());
        frame.resize(frame.len() + size as usize, 0);
        let mut inbox = Inbox::in_buffer(Vec::new());
        inbox.extend(&frame[..10], u64::from(size));
        for chunk in frame[10..].chunks(10_000) {
            inbox.extend(chunk, u64::from(size));
            assert!(inbox.allocated() <= 2 * inbox.len(), "no more than twice");
            assert!(inbox.allocated() <= frame.len());
        }
        assert_eq!(*inbox, *frame);
    }

    #[test]
    fn what_is_taken_makes_room() {
        let mut inbox = Inbox::in_buffer(Vec::with_capacity(100));
        inbox.extend(&[1; 100], 1000);
        inbox.advance(90);
        assert_eq!((inbox.len(), inbox.allocated()), (10, 100));
        inbox.extend(&[2; 90], 1000);
        assert_eq!(
            (inbox.len(), inbox.allocated()),
            (100, 100),
            "no new memory"
        );
        assert_eq!(inbox[..11], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
        inbox.advance(60);
        assert_eq!((inbox.len(), inbox.into_buffer().capacity()), (40, 100));
    }

    #[test]
    fn bytes_come_out_as_they_came_in_however_they_are_cut() {
        let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        for (arrive, take) in [(1, 1), (7, 3), (3, 7), (100, 99), (999, 1000)] {
            let (mut inbox, mut out) = (Inbox::in_buffer(Vec::new()), Vec::new());
            for piece in bytes.chunks(arrive) {
                inbox.extend(piece, 1 << 20);
                while inbox.len() >= take {
                    out.extend_from_slice(&inbox[..take]);
                    inbox.advance(take);
                }
            }
            out.extend_from_slice(&inbox);
            assert_eq!(out, bytes, "{arrive} {take}");
        }
    }

    #[test]
    fn what_must_not_wait_is_taken_out_from_among_what_does() {
        let mut inbox = Inbox::in_buffer(Vec::new());
        let wanted = |inbox: &mut Inbox| {
            let mut taken = Vec::new();
            let result = inbox.take_out(100, |content, _| {
                if content == b"!?" {
                    return Err("a fault");
                }
                if content == b"!-" {
                    return Ok(Look::Later);
                }
                let is_wanted = content.starts_with(b"!");
                taken.extend(is_wanted.then(|| content.to_vec()));
                Ok(if is_wanted { Look::Taken } else { Look::Waits })
            });
            (taken, result)
        };
        inbox.extend(&[2, b'a', b'a', 2, b'!', b'1', 1, b'b', 2, b'!'], 100);
        assert_eq!(wanted(&mut inbox), (vec![b"!1".to_vec()], Ok(())));
        assert_eq!(wanted(&mut inbox), (vec![], Ok(())));
        assert_eq!(*inbox, [2, b'a', b'a', 1, b'b', 2, b'!']);
        inbox.extend(b"2\x01c", 100);
        assert_eq!(wanted(&mut inbox), (vec![b"!2".to_vec()], Ok(())));
        inbox.advance(3);
        assert_eq!(wanted(&mut inbox), (vec![], Ok(())));
        assert_eq!(*inbox, [1, b'b', 1, b'c']);
        inbox.extend(b"\x02!3\x01d\x02!4\x02!?\x02!5", 100);
        let taken = vec![b"!3".to_vec(), b"!4".to_vec()];
        assert_eq!(wanted(&mut inbox), (taken, Err("a fault")));
        assert_eq!(*inbox, *b"\x01b\x01c\x01d\x02!5");
        inbox.extend(b"\x02!-\x02!6", 100);
        assert_eq!(wanted(&mut inbox), (vec![b"!5".to_vec()], Ok(())));
        assert_eq!(wanted(&mut inbox), (vec![], Ok(())));
        assert_eq!(*inbox, *b"\x01b\x01c\x01d\x02!-\x02!6");
        inbox.advance(9);
        assert_eq!(wanted(&mut inbox), (vec![b"!6".to_vec()], Ok(())));
    }
}
