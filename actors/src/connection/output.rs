//! Bytes on their way to a client: a chain of segments, then one buffer that is written to.
//!
//! ```text
//!   socket ◀─ sealed: [ segment ][ segment ] … ◀─ open: small replies, encoded in place
//!                       ▲ large replies, and what the kernel had no room for
//!             backlog: what comes while something waits, by groups that share the socket
//! ```
//!
//! What stands in `sealed` and `open` goes out first. While the socket is behind, little is moved
//! there from the backlog: what it has just shown that it takes, and a few pieces.
//!
//! A large reply comes in segments of its own, which are chained, not copied. Most outputs are the
//! open buffer alone, which is lent and given back when it is empty; what waits longer, beyond what
//! costs a connection nothing, is moved into segments.

use std::io::{self, IoSlice};
use std::sync::Arc;

use vestibule_wire::groups::{Agreement, Group, Pace, WrongCredit};
use vestibule_wire::limits::{GROUP_QUANTUM, RECORD_MAX};
use vestibule_wire::reply::{self, HEADER_SIZE, ReplyHeader};

use super::backlog::GroupBacklog;
use super::transport::Transport;
use crate::engine::{LargeFrame, ReplyBody};
use crate::limits::{
    FLUSH_BYTES_MAX, MEMORY_SMALL, OUTPUT_CONTROL_MAX, PARTS_PER_WRITE_MAX, SEGMENT_SIZE,
    SEGMENTS_PER_WRITE_MAX,
};
use crate::segments::{Chain, Held, Segments};

/// The output of one connection.
///
/// Invariant: `sent <= open.len()`; nothing of `open` is sent while there is something sealed.
#[derive(Debug)]
pub(crate) struct Output {
    segments: Arc<Segments>,
    sealed: Chain,
    open: Vec<u8>,
    sent: usize,
    /// What waits behind the rest, by groups; there is one once there was need of it.
    backlog: Option<Box<GroupBacklog>>,
    /// How much of that is taken out at a time.
    pace: Pace,
    /// Something waits: what comes now joins its group.
    is_behind: bool,
    has_written: bool,
    /// Bytes that were ever sent.
    sent_total: u64,
}

/// What a flush came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Everything is in the kernel's hands.
    All,
    /// The kernel's buffer is full.
    Blocked,
    /// The kernel has taken much: others get their turn before it takes more.
    Enough,
    /// The kernel has room; what waits is more than the client takes at present.
    Uncredited,
}

impl Output {
    pub(crate) fn new(segments: Arc<Segments>) -> Self {
        Self {
            segments,
            sealed: Chain::default(),
            open: Vec::new(),
            sent: 0,
            backlog: None,
            pace: Pace::default(),
            is_behind: false,
            has_written: false,
            sent_total: 0,
        }
    }

    /// Where small frames are appended.
    #[inline]
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.open
    }

    /// Appends a whole frame.
    #[inline]
    pub(crate) fn append_copy(&mut self, frame: &[u8], group: Group) {
        if self.is_behind {
            self.backlog().push_small(group, frame);
        } else if self.sealed.is_empty() && self.open.len() + frame.len() <= SEGMENT_SIZE {
            self.open.extend_from_slice(frame);
        } else {
            self.seal();
            self.sealed.push(&self.segments, frame);
        }
    }

    /// Appends a whole frame that has segments of its own.
    pub(crate) fn append_chain(&mut self, frame: Chain, group: Group) {
        // Others need not wait for all that follows: its group owes for it.
        self.backlog().push_large(group, frame);
        self.is_behind = true;
    }

    fn backlog(&mut self) -> &mut GroupBacklog {
        self.backlog.get_or_insert_default()
    }

    fn has_backlog(&self) -> bool {
        self.backlog.as_ref().is_some_and(|own| !own.is_empty())
    }

    /// The client takes chunks from now on.
    pub(crate) fn agree(&mut self, agreed: Agreement) {
        // What it was sent before it knew goes out whole, and before the answer.
        self.seal();
        while let Some(backlog) = &mut self.backlog
            && backlog.pick(GROUP_QUANTUM, &mut self.sealed)
        {}
        self.is_behind = false;
        self.backlog().agree(agreed);
    }

    fn takes_chunks(&self) -> bool {
        self.backlog.as_ref().is_some_and(|own| own.is_agreed())
    }

    /// The client takes more of a message.
    pub(crate) fn credit(&mut self, number: u32, limit: u32) -> Result<(), WrongCredit> {
        let backlog = self.backlog.as_mut().ok_or(WrongCredit)?;
        backlog.credit(number, limit)
    }

    /// The client does not take a message.
    pub(crate) fn stop(&mut self, number: u32) -> Result<(), WrongCredit> {
        let backlog = self.backlog.as_mut().ok_or(WrongCredit)?;
        backlog.stop(number)
    }

    /// Where what is encoded in place begins now, for [`regroup`](Self::regroup).
    #[inline]
    pub(crate) fn mark(&self) -> usize {
        self.open.len()
    }

    /// What was encoded in place since then goes the way of its group.
    #[inline]
    pub(crate) fn regroup(&mut self, mark: usize, group: Group) {
        if self.is_behind && self.open.len() > mark {
            let backlog = self.backlog.get_or_insert_default();
            backlog.push_small(group, &self.open[mark..]);
            self.open.truncate(mark);
        }
    }

    /// Begins a reply of any size; returns where.
    #[inline]
    pub(crate) fn begin(&mut self, header: ReplyHeader) -> usize {
        header.begin(&mut self.open)
    }

    /// The body of the reply that was begun there. `large` is for what outgrows the buffer.
    #[inline]
    pub(crate) fn body<'a>(&'a mut self, start: usize, large: &'a mut LargeFrame) -> ReplyBody<'a> {
        ReplyBody::framed(&mut self.open, start, HEADER_SIZE, large, &self.segments)
    }

    /// The reply that was begun there is complete.
    #[inline]
    pub(crate) fn finish(&mut self, start: usize, large: LargeFrame, group: Group) {
        if large.bytes.is_empty() {
            reply::finish(&mut self.open, start);
            self.regroup(start, group);
        } else {
            self.finish_large(large, group);
        }
    }

    /// The reply is complete, and is in segments.
    pub(crate) fn finish_large(&mut self, large: LargeFrame, group: Group) {
        let mut frame = large.bytes;
        let (at, length) = reply::length_of(frame.len());
        frame.patch(at, &length);
        match frame.single() {
            // What it does not fill is for others.
            Some(small) => self.append_copy(small, group),
            None => self.append_chain(frame, group),
        }
    }

    /// The reply that was begun there is not to be.
    pub(crate) fn abandon(&mut self, start: usize) {
        self.open.truncate(start);
    }

    /// Takes out the reply that was begun there: others may go out before it.
    pub(crate) fn take_begun(&mut self, start: usize, mut large: LargeFrame) -> LargeFrame {
        if large.bytes.is_empty() {
            large.bytes.push(&self.segments, &self.open[start..]);
            self.open.truncate(start);
        }
        large
    }

    /// Moves the open buffer's content into segments.
    fn seal(&mut self) {
        if self.sent < self.open.len() {
            self.sealed.push(&self.segments, &self.open[self.sent..]);
        }
        self.sent = 0;
        self.open.clear();
    }

    /// Uses a spare buffer if it holds none of its own.
    #[inline]
    pub(crate) fn lend(&mut self, spare: impl FnOnce() -> Vec<u8>) {
        if self.open.capacity() == 0 {
            self.open = spare();
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// Memory that it takes.
    #[inline]
    pub(crate) fn held(&self) -> Held {
        let ready = Held {
            buffers: self.open.capacity() + self.sealed.buffers(),
            segments: self.sealed.allocated() - self.sealed.buffers(),
        };
        match &self.backlog {
            None => ready,
            Some(backlog) => ready + backlog.held(),
        }
    }

    /// Bytes that wait.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.ready() + self.backlog.as_ref().map_or(0, |own| own.size())
    }

    /// Bytes that wait, with `begun` of replies that are not complete, but without those that hold
    /// up nobody but their own groups: of a client that takes chunks `aside` of them at most.
    #[inline]
    pub(crate) fn size_in_the_way(&self, begun: usize, aside: usize) -> usize {
        let aside = if self.takes_chunks() { aside } else { 0 };
        (self.size() + begun).saturating_sub(aside)
    }

    /// Whether the client may have to say that it takes more before this is empty.
    #[inline]
    pub(crate) fn needs_credit(&self) -> bool {
        let backlog = self.backlog.as_ref();
        backlog.is_some_and(|own| own.is_agreed() && !own.is_empty())
    }

    /// Whether few answers wait of those that go ahead of all others.
    pub(crate) fn has_room_for_control(&self) -> bool {
        let waiting = self.backlog.as_ref().map_or(0, |own| own.control_size());
        self.ready() + waiting < OUTPUT_CONTROL_MAX
    }

    /// Bytes that are to be written before any of the backlog.
    #[inline]
    fn ready(&self) -> usize {
        self.open.len() - self.sent + self.sealed.len()
    }

    /// Whether anything was written since this was asked last.
    pub(crate) fn take_written(&mut self) -> bool {
        std::mem::take(&mut self.has_written)
    }

    /// Bytes that were ever sent.
    pub(crate) fn sent_total(&self) -> u64 {
        self.sent_total
    }

    /// Writes what it can; hands the open buffer back through `give_back` when it is of no use.
    pub(crate) fn flush(
        &mut self,
        stream: &mut dyn Transport,
        give_back: impl FnOnce(Vec<u8>),
    ) -> io::Result<Flushed> {
        let write = |slices: &[IoSlice<'_>], is_apart: bool| match slices {
            slices if is_apart => stream.try_write_apart(slices),
            [single] => stream.try_write(single),
            slices => stream.try_write_vectored(slices),
        };
        let flushed = self.flush_with(write, give_back);
        if self.takes_chunks()
            && let Some(max) = self.pace.new_unsent_max()
        {
            stream.bound_unsent(max);
        }
        flushed
    }

    /// Writes what it can by `write`, which is told whether its bytes are to go out apart.
    pub(crate) fn flush_with(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>], bool) -> io::Result<usize>,
        give_back: impl FnOnce(Vec<u8>),
    ) -> io::Result<Flushed> {
        let mut total = 0;
        loop {
            if self.backlog.is_some() {
                self.refill(total);
            }
            if self.ready() == 0 {
                break;
            }
            if total >= FLUSH_BYTES_MAX {
                self.is_behind = true;
                self.pace.on_open(total);
                return Ok(Flushed::Enough);
            }
            match self.write(&mut write) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    total += written;
                    self.advance(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_behind = true;
                    self.pace.on_full(total);
                    self.settle(give_back);
                    return Ok(Flushed::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        if self.backlog.is_some() {
            self.pace.on_open(total);
        }
        let mut open = std::mem::take(&mut self.open);
        open.clear();
        give_back(open);
        if self.is_behind && !self.end_backlog() {
            return Ok(Flushed::Uncredited);
        }
        Ok(Flushed::All)
    }

    /// Moves of the backlog what the socket is likely to take, by the bytes that it has just taken.
    fn refill(&mut self, taken: usize) {
        while let Some(alone) = self.pace.piece(taken, self.ready())
            && self.has_backlog()
        {
            if self.open.len() > self.sent {
                self.seal();
            }
            let Some(backlog) = &mut self.backlog else {
                return;
            };
            if !backlog.pick(alone, &mut self.sealed) {
                return;
            }
        }
    }

    /// Nothing is left to be written. False if something waits for the client's credit.
    fn end_backlog(&mut self) -> bool {
        if let Some(backlog) = &mut self.backlog {
            if !backlog.is_empty() {
                return false;
            }
            if backlog.is_agreed() {
                backlog.rest();
            } else {
                self.backlog = None;
            }
        }
        self.is_behind = false;
        true
    }

    /// One write of what comes first.
    #[inline]
    fn write(
        &self,
        write: &mut impl FnMut(&[IoSlice<'_>], bool) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let open = IoSlice::new(&self.open[self.sent..]);
        if self.sealed.is_empty() {
            return write(&[open], false);
        }
        let mut slices = [IoSlice::new(&[]); PARTS_PER_WRITE_MAX + 1];
        let is_apart = self.is_behind && self.ready() <= RECORD_MAX && self.takes_chunks();
        let most = match is_apart {
            true => self.pace.record_max(),
            false => SEGMENTS_PER_WRITE_MAX * SEGMENT_SIZE,
        };
        let (mut count, are_all) = self.sealed.slices(&mut slices[..PARTS_PER_WRITE_MAX], most);
        if are_all && !open.is_empty() {
            slices[count] = open;
            count += 1;
        }
        write(&slices[..count], is_apart)
    }

    /// So much of what comes first is sent.
    #[inline]
    fn advance(&mut self, written: usize) {
        self.has_written = true;
        self.sent_total += written as u64;
        self.sent += if self.sealed.is_empty() {
            written
        } else {
            self.sealed.advance(written)
        };
    }

    /// What is left waits for the client. If that is much, it does so in segments, and the buffer
    /// is given back.
    fn settle(&mut self, give_back: impl FnOnce(Vec<u8>)) {
        if self.open.len() - self.sent >= MEMORY_SMALL {
            self.seal();
        } else if self.sent > self.open.len() / 2 {
            self.open.drain(..self.sent);
            self.sent = 0;
        }
        if self.open.is_empty() {
            give_back(std::mem::take(&mut self.open));
        } else if self.open.capacity() >= MEMORY_SMALL {
            self.open.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests;
