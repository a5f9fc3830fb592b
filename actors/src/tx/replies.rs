//! The replies of a turn to one worker: small ones one behind the other in one buffer, large ones
//! in segments of their own.
//!
//! Invariant: heads before `committed` are told whatever happens, those after it only if the turn
//! commits.

use std::sync::Arc;

use actix::Recipient;
use vestibule_wire::Error;
use vestibule_wire::reply::{self, HEADER_SIZE, ReplyHeader};

use super::reply_account::ReplyAccount;
use crate::cells::claims::RequestId;
use crate::engine::{LargeFrame, ReplyBody};
use crate::limits::{MEMORY_SMALL, SEGMENT_SIZE, TURN_REPLY_BYTES_MAX, TURN_SMALL_BYTES_MAX};
use crate::memory::{Memory, MemoryCharge};
use crate::messages::post::Post as _;
use crate::messages::tx::{
    AbortedTransaction, Batch, BatchEntry, LargeReply, Replies, ReplyHead, WaitKind,
};
use crate::segments::Segments;

/// Where the replies to one worker are written.
pub(super) struct ReplyBuffer {
    worker: Recipient<Box<Replies>>,
    out: Box<Replies>,
    /// Heads of `out` before this one are committed: a failing commit does not touch them.
    committed: usize,
    /// Heads of `out` before this one, in a turn that writes: they were replied to before anything
    /// was written in it.
    first_after_write: usize,
    /// Used ones, for their buffers.
    spare: Vec<Box<Replies>>,
    /// The reply that was begun, if it has outgrown the bytes of `out`.
    large: LargeFrame,
    /// Bytes of the large replies of `out`.
    large_size: usize,
    /// Where the reply that was begun starts.
    start: usize,
    segments: Arc<Segments>,
    /// For the bytes of `out`, as far as they were looked at.
    charge: MemoryCharge,
    /// Bytes of `out` when that was.
    charged: usize,
    /// Bytes of all messages before this one.
    sent: usize,
    /// The number of this message.
    number: u64,
}

impl ReplyBuffer {
    /// Of a worker whose last message had this number.
    pub(super) fn new(worker: Recipient<Box<Replies>>, memory: Arc<Memory>, last: u64) -> Self {
        Self {
            worker,
            out: Box::default(),
            committed: 0,
            first_after_write: 0,
            spare: Vec::new(),
            large: LargeFrame::default(),
            large_size: 0,
            start: 0,
            segments: memory.segments().clone(),
            charge: MemoryCharge::new(memory),
            charged: 0,
            sent: 0,
            number: last + 1,
        }
    }

    /// Bytes of all replies so far, sent or not.
    #[inline]
    pub(super) fn total(&self) -> usize {
        self.sent + self.size()
    }

    /// Charges what was written since `before` to the connection of this account, and to all
    /// together, if it is not little.
    #[inline]
    pub(super) fn charge(&mut self, before: usize, replies: &ReplyAccount) {
        // Less than before, if a commit in between failed.
        replies.add(self.total().saturating_sub(before), self.number);
        if self.out.bytes.len() >= self.charged + MEMORY_SMALL {
            self.charged = self.out.bytes.len();
            self.charge.set(self.out.bytes.capacity());
        }
    }

    /// How many bytes wait to be sent.
    #[inline]
    pub(super) fn size(&self) -> usize {
        self.out.bytes.len() + self.large_size
    }

    /// Whether so much waits that the turn is over.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.out.bytes.len() >= TURN_SMALL_BYTES_MAX || self.size() >= TURN_REPLY_BYTES_MAX
    }

    /// How many replies wait to be sent.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.out.heads.len()
    }

    /// The body of the reply that was begun. `wraps_results`: they will become one list, for which
    /// they have to stand in one place.
    #[inline]
    pub(super) fn body(&mut self, wraps_results: bool) -> ReplyBody<'_> {
        let out = &mut self.out.bytes;
        if wraps_results {
            return ReplyBody::contiguous(out);
        }
        ReplyBody::framed(
            out,
            self.start,
            HEADER_SIZE,
            &mut self.large,
            &self.segments,
        )
    }

    /// Begins a reply.
    #[inline]
    pub(super) fn begin(&mut self, header: ReplyHeader) {
        self.start = header.begin(&mut self.out.bytes);
    }

    /// The reply that is made next reaches nobody: if it is large, it is not kept.
    pub(super) fn discard_next(&mut self) {
        self.large.is_discarded = true;
    }

    /// The body of the reply that was begun is written. `wraps_results`: they become one list.
    #[inline]
    pub(super) fn finish(&mut self, entry: &BatchEntry, wraps_results: bool) {
        if wraps_results {
            self.wrap_results();
        }
        if self.large.bytes.is_empty() {
            reply::finish(&mut self.out.bytes, self.start);
        } else {
            self.finish_large();
        }
        self.large.clear();
        self.out.push_head(entry.id, entry.sync);
    }

    fn wrap_results(&mut self) {
        let out = &mut self.out.bytes;
        reply::wrap_results(out, self.start + HEADER_SIZE);
        if out.len() > self.start + SEGMENT_SIZE {
            self.large.bytes.push(&self.segments, &out[self.start..]);
            out.truncate(self.start);
            out.shrink_to(TURN_SMALL_BYTES_MAX);
        }
    }

    #[cold]
    fn finish_large(&mut self) {
        let mut frame = std::mem::take(&mut self.large.bytes);
        let (at, length) = reply::length_of(frame.len());
        frame.patch(at, &length);
        self.large_size += frame.len();
        let head = self.out.heads.len();
        self.out.large.push(LargeReply { head, frame });
    }

    /// The reply that was begun is not to be.
    #[inline]
    pub(super) fn abandon(&mut self) {
        self.out.bytes.truncate(self.start);
        self.large.clear();
    }

    /// Answers with an error.
    pub(super) fn error(&mut self, id: RequestId, header: ReplyHeader, error: &Error) {
        header.write_error(&mut self.out.bytes, error);
        self.out.push_head(id, header.sync);
    }

    /// The session of a transaction is to hear that it was aborted.
    pub(super) fn tell_aborted(&mut self, aborted: AbortedTransaction) {
        self.out.aborted.push(aborted);
    }

    /// A request waits for something else than Tx from now on.
    pub(super) fn tell_waiting(&mut self, id: RequestId, kind: WaitKind) {
        self.out.waiting.push((id, kind));
    }

    /// A batch is done: it goes back for its buffers.
    pub(super) fn give_back(&mut self, batch: Box<Batch>) {
        self.out.spent.push(batch);
    }

    /// Replies that were read come back, for their buffers.
    pub(super) fn recycle(&mut self, replies: Box<Replies>) {
        self.spare.push(replies);
    }

    /// The turn writes from this reply on.
    #[inline]
    pub(super) fn mark_first_write(&mut self, head: usize) {
        self.first_after_write = head;
    }

    /// Where the replies begin that are not committed yet.
    fn uncommitted_start(&self) -> usize {
        self.committed
            .checked_sub(1)
            .map_or(0, |last| self.out.heads[last].end)
    }

    /// After a commit that changed the catalog: its replies tell the new version.
    pub(super) fn patch_uncommitted(&mut self, schema_version: u64) {
        let mut start = self.uncommitted_start();
        for head in &self.out.heads[self.committed..] {
            if start < head.end {
                reply::patch_schema_version(&mut self.out.bytes[start..head.end], schema_version);
            }
            start = head.end;
        }
        for own in &mut self.out.large {
            if own.head >= self.committed {
                let (at, version) = reply::schema_version_of(schema_version);
                own.frame.patch(at, &version);
            }
        }
    }

    /// The requests whose replies depend on the commit to come.
    pub(super) fn uncommitted(&self) -> impl Iterator<Item = RequestId> {
        self.out.heads[self.committed..].iter().map(|head| head.id)
    }

    /// After a commit that failed: every reply of the turn becomes the error.
    pub(super) fn fail_uncommitted(&mut self, schema_version: u64, error: &Error) {
        let start = self.uncommitted_start();
        self.out.bytes.truncate(start);
        self.drop_large(self.committed);
        for head in &mut self.out.heads[self.committed..] {
            let header = ReplyHeader {
                sync: head.sync,
                schema_version,
            };
            header.write_error(&mut self.out.bytes, error);
            head.end = self.out.bytes.len();
        }
    }

    /// Takes out the replies of this turn since its first write. Returns the number of the first,
    /// and them.
    pub(super) fn take_after_write(&mut self) -> (usize, Vec<ReplyHead>) {
        let first = self.first_after_write.max(self.committed);
        let heads = self.out.heads.split_off(first.min(self.out.heads.len()));
        let end = self.out.heads.last().map_or(0, |last| last.end);
        self.out.bytes.truncate(end);
        self.drop_large(first);
        (first, heads)
    }

    /// Drops the large replies from this head on.
    fn drop_large(&mut self, first: usize) {
        self.out.large.retain(|own| own.head < first);
        self.large_size = self.out.large.iter().map(|own| own.frame.len()).sum();
    }

    /// What was replied so far depends on no later commit.
    #[inline]
    pub(super) fn mark_committed(&mut self) {
        self.committed = self.out.heads.len();
    }

    /// Sends what there is, in one message; returns its number.
    pub(super) fn send(&mut self) -> Option<u64> {
        let out = &self.out;
        let has_replies = !out.heads.is_empty() || !out.aborted.is_empty();
        if !has_replies && out.waiting.is_empty() && out.spent.is_empty() {
            return None;
        }
        let next = self.spare.pop().unwrap_or_default();
        self.committed = 0;
        self.sent += self.size();
        (self.charged, self.large_size) = (0, 0);
        self.out.charge = self.charge.take();
        self.out.number = self.number;
        self.number += 1;
        self.worker.post(std::mem::replace(&mut self.out, next));
        Some(self.number - 1)
    }
}
