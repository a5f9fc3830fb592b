//! What the buffers of all connections, and the replies on their way to them, may take together.
//!
//! ```text
//!   what a connection holds ───┐                    ┌ up to 1/2: everybody is read
//!   replies that Tx has made ──┼──▶ one counter ────┼ up to 3/4: replies are made for everybody
//!                              │                    ├ up to the bound: for those within a share
//!                              │                    └ beyond: only those known to be small
//!            who makes bytes asks before, and charges them at once
//! ```
//!
//! A share is an equal part of the last quarter, so that those who hold little go on while others
//! fill all they may. Who makes a reply does not know its size before: on each thread one reply,
//! and the rest of one request, may go beyond.
//!
//! Buffers of less than [`MEMORY_SMALL`] are not charged: they cost no atomic operation, and their
//! sum is bounded by the number of connections.

use std::cmp::Reverse;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::limits::MEMORY_SMALL;
use crate::segments::{Held, Segments};

/// The counter of a runtime.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Where large replies are made: they are charged there, segment by segment.
    segments: Arc<Segments>,
    max: AtomicUsize,
}

impl Memory {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            segments: Arc::default(),
            max: AtomicUsize::new(max),
        }
    }

    /// Goes by another bound from now on. What is held beyond it ends as what exceeds any.
    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// The bound. Read once for each question: it may be another one the next time.
    #[inline]
    pub(crate) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// Bytes that are charged.
    #[inline]
    pub(crate) fn used(&self) -> usize {
        self.segments.used()
    }

    /// Where large replies are made.
    #[inline]
    pub(crate) fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// Whether connections that hold more than their share are not read.
    fn is_short_for_reading(&self) -> bool {
        self.used() > self.max() / 2
    }

    /// Whether there is room enough again that they are.
    pub(crate) fn has_room(&self) -> bool {
        let max = self.max();
        self.used() <= max / 2 - max / 16
    }

    /// Whether this many bytes may be kept for later: nobody's reading or replies wait for them.
    pub(crate) fn may_keep(&self, bytes: usize) -> bool {
        self.used() + bytes <= self.max() / 4
    }

    /// Whether somebody may have to wait with a reply: the question before [`may_reply`].
    ///
    /// [`may_reply`]: Self::may_reply
    #[inline]
    pub(crate) fn is_scarce(&self) -> bool {
        let max = self.max();
        self.used() > max - max / 4
    }

    /// By how many bytes the bound is exceeded.
    pub(crate) fn excess(&self) -> usize {
        self.used().saturating_sub(self.max())
    }

    /// Whether the bound is exceeded: by replies that were begun before it was reached.
    pub(crate) fn is_over(&self) -> bool {
        self.used() > self.max()
    }

    /// Whether a reply of any size may be made for a connection whose output takes this many bytes.
    /// `connections` counts all of them.
    #[inline]
    pub(crate) fn may_reply(&self, output: usize, connections: impl FnOnce() -> usize) -> bool {
        self.may_reply_beside(0, output, connections)
    }

    /// The same, as if this many bytes were not charged.
    #[inline]
    pub(crate) fn may_reply_beside(
        &self,
        aside: usize,
        output: usize,
        connections: impl FnOnce() -> usize,
    ) -> bool {
        let (used, max) = (self.used().saturating_sub(aside), self.max());
        used <= max - max / 4 || used <= max && output <= self.share(connections())
    }

    /// Whether a reply of this size may be gathered that somebody else has made already.
    pub(crate) fn may_gather(&self, bytes: usize) -> bool {
        self.used().saturating_add(bytes) <= self.max()
    }

    /// What each connection may hold when others hold the rest, by their number.
    pub(crate) fn share(&self, connections: usize) -> usize {
        (self.max() / 4 / connections.max(1)).max(MEMORY_SMALL)
    }
}

/// Bytes that are charged; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct MemoryCharge {
    memory: Arc<Memory>,
    bytes: usize,
}

impl MemoryCharge {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        Self { memory, bytes: 0 }
    }

    /// What is charged is this many bytes now, or nothing, if they are few.
    #[inline]
    pub(crate) fn set(&mut self, bytes: usize) {
        let bytes = if bytes < MEMORY_SMALL { 0 } else { bytes };
        if bytes != self.bytes {
            let used = &self.memory.segments;
            if bytes > self.bytes {
                used.charge(bytes - self.bytes);
            } else {
                used.discharge(self.bytes - bytes);
            }
            self.bytes = bytes;
        }
    }

    /// Takes the charge out, to travel with what it is for. `None` if there is nothing.
    pub(crate) fn take(&mut self) -> Option<Self> {
        (self.bytes > 0).then(|| {
            let next = Self::new(self.memory.clone());
            std::mem::replace(self, next)
        })
    }
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// What one connection is charged.
#[derive(Debug)]
pub(crate) struct ConnectionCharge {
    /// For all but the segments, which are charged where they are taken.
    charge: MemoryCharge,
    /// What it holds, segments too; 0 if that is little.
    held: usize,
    gauge: Arc<OutputGauge>,
}

impl ConnectionCharge {
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        Self {
            charge: MemoryCharge::new(memory),
            held: 0,
            gauge: Arc::default(),
        }
    }

    /// The connection holds so much now, and its output takes `output` bytes of it.
    #[inline]
    pub(crate) fn set(&mut self, held: Held, output: usize) {
        self.charge.set(held.buffers);
        self.held = if held.total() < MEMORY_SMALL {
            0
        } else {
            held.total()
        };
        self.gauge.set(output);
    }

    /// Where its large replies are made.
    #[inline]
    pub(crate) fn segments(&self) -> &Arc<Segments> {
        self.charge.memory.segments()
    }

    /// What Tx sees of it.
    pub(crate) fn gauge(&self) -> &Arc<OutputGauge> {
        &self.gauge
    }

    /// Whether the connection should not be read now. `connections` counts all of them.
    #[inline]
    pub(crate) fn is_over_share(&self, connections: impl FnOnce() -> usize) -> bool {
        let memory = &self.charge.memory;
        self.held > 0 && memory.is_short_for_reading() && self.held > memory.share(connections())
    }

    /// Whether the bound is exceeded.
    pub(crate) fn is_over(&self) -> bool {
        self.charge.memory.is_over()
    }

    /// Whether the bound is exceeded, and this one holds more than its share.
    pub(crate) fn is_to_give_way(&self, connections: impl FnOnce() -> usize) -> bool {
        self.is_over() && self.held > self.charge.memory.share(connections())
    }

    /// Bytes that it holds, if they are not few.
    pub(crate) fn bytes(&self) -> usize {
        self.held
    }

    /// Whether somebody may have to wait with a reply.
    #[inline]
    pub(crate) fn is_scarce(&self) -> bool {
        self.charge.memory.is_scarce()
    }

    /// Whether a reply of any size may be made for it now; its output takes this many bytes.
    #[inline]
    pub(crate) fn may_reply(&self, output: usize, connections: impl FnOnce() -> usize) -> bool {
        self.charge.memory.may_reply(output, connections)
    }
}

impl Drop for ConnectionCharge {
    fn drop(&mut self) {
        self.gauge.close();
    }
}

/// What one connection holds while the bound is exceeded, and does not let go by itself: half a
/// request, or half a reply that is not made to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holding {
    /// The client has closed its half of the connection: it may have left.
    pub(crate) has_ended: bool,
    pub(crate) bytes: usize,
}

/// The holders that are closed so that `excess` bytes are given back, and no more of them:
/// first whose clients may have left, then who holds most.
pub(crate) fn give_way<I>(mut holders: Vec<(I, Holding)>, excess: usize) -> Vec<I> {
    holders.sort_by_key(|(_, own)| Reverse((own.has_ended, own.bytes)));
    let mut freed = 0;
    let needed = holders.into_iter().take_while(|(_, own)| {
        let is_needed = freed < excess;
        freed += own.bytes;
        is_needed
    });
    needed.map(|(holder, _)| holder).collect()
}

/// How much output waits for one connection: told by its session, read by Tx.
///
/// ```text
///   Tx:      await_room, then look again ─ still too much ─▶ the request waits
///   session: set, then is it awaited? ──── yes, and there is room ─▶ Tx is told
/// ```
///
/// In a gateway links are in Tx's place.
///
/// The order of these, in each of the two, is what keeps a wake-up from being lost.
#[derive(Debug, Default)]
pub(crate) struct OutputGauge {
    output: AtomicUsize,
    /// Bytes of pushes that are on their way to the output.
    pushed: AtomicUsize,
    /// Woken when there may be room for a push, if that is awaited.
    room: Notify,
    is_push_awaited: AtomicBool,
    /// Below how many bytes there is the room that is awaited; 0 if none is.
    awaited_below: AtomicUsize,
    is_closed: AtomicBool,
}

impl OutputGauge {
    /// Bytes of the output, if they are not few.
    pub(crate) fn output(&self) -> usize {
        self.output.load(Ordering::SeqCst)
    }

    #[inline]
    fn set(&self, output: usize) {
        let output = if output < MEMORY_SMALL { 0 } else { output };
        if output != self.output.load(Ordering::Relaxed) {
            self.output.store(output, Ordering::SeqCst);
            self.wake_pushes();
        }
    }

    /// Bytes of the output with the pushes that are on their way to it.
    pub(crate) fn output_and_pushed(&self) -> usize {
        self.output() + self.pushed.load(Ordering::SeqCst)
    }

    /// A push of this many bytes is on its way until what is returned is dropped, which is when it
    /// stands in the output and is charged there.
    pub(crate) fn begin_push(self: &Arc<Self>, memory: &Arc<Memory>, bytes: usize) -> PushCharge {
        self.pushed.fetch_add(bytes, Ordering::SeqCst);
        let mut charge = MemoryCharge::new(memory.clone());
        charge.set(bytes);
        PushCharge {
            gauge: self.clone(),
            bytes,
            _charge: charge,
        }
    }

    /// Is over when there may be more room for a push than there is when this returns.
    pub(crate) fn more_room(&self) -> Pin<Box<Notified<'_>>> {
        let mut room = Box::pin(self.room.notified());
        room.as_mut().enable();
        self.is_push_awaited.store(true, Ordering::SeqCst);
        room
    }

    #[inline]
    fn wake_pushes(&self) {
        if self.is_push_awaited.load(Ordering::SeqCst)
            && self.is_push_awaited.swap(false, Ordering::SeqCst)
        {
            self.room.notify_waiters();
        }
    }

    /// Tx wants to be told when there is room, where the output may be so large: when half of that
    /// is there, so that it is not asked for the next little.
    pub(crate) fn await_room(&self, room: usize) {
        self.awaited_below.fetch_max(room / 2 + 1, Ordering::SeqCst);
    }

    /// Whether Tx is to be told now that there is room: asked after each change, and true once.
    #[inline]
    pub(crate) fn take_room(&self) -> bool {
        let below = self.awaited_below.load(Ordering::SeqCst);
        below > 0 && self.output() < below && self.awaited_below.swap(0, Ordering::SeqCst) > 0
    }

    /// Nobody reads what is written any more.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.wake_pushes();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }
}

/// The bytes of a push that is on its way.
#[derive(Debug)]
pub(crate) struct PushCharge {
    gauge: Arc<OutputGauge>,
    bytes: usize,
    _charge: MemoryCharge,
}

impl Drop for PushCharge {
    fn drop(&mut self) {
        self.gauge.pushed.fetch_sub(self.bytes, Ordering::SeqCst);
        self.gauge.wake_pushes();
    }
}

#[cfg(test)]
mod tests;
