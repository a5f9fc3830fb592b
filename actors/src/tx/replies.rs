//! The replies of a turn to one worker.
//!
//! Invariant: heads before `committed` are told whatever happens, those after it only if the turn
//! commits.

use std::sync::Arc;

use actix::Recipient;
use vestibule_wire::Error;
use vestibule_wire::reply::{self, HEADER_SIZE, ReplyHeader};

use super::reply_account::ReplyAccount;
use crate::cells::claims::RequestId;
use crate::limits::MEMORY_SMALL;
use crate::memory::{Memory, MemoryCharge};
use crate::messages::tx::{AbortedTransaction, Batch, BatchEntry, Replies, ReplyHead, WaitKind};

/// Where the replies to one worker are written.
pub(super) struct ReplyBuffer {
    worker: Recipient<Replies>,
    out: Replies,
    /// Heads of `out` before this one are committed: a failing commit does not touch them.
    committed: usize,
    /// Heads of `out` before this one, in a turn that writes: they were replied to before anything
    /// was written in it.
    first_after_write: usize,
    /// Used ones, for their buffers.
    spare: Vec<Replies>,
    /// For `out`, as far as it was looked at.
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
    pub(super) fn new(worker: Recipient<Replies>, memory: Arc<Memory>, last: u64) -> Self {
        Self {
            worker,
            out: Replies::default(),
            committed: 0,
            first_after_write: 0,
            spare: Vec::new(),
            charge: MemoryCharge::new(memory),
            charged: 0,
            sent: 0,
            number: last + 1,
        }
    }

    /// Bytes of all replies so far, sent or not.
    #[inline]
    pub(super) fn total(&self) -> usize {
        self.sent + self.out.bytes.len()
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
        self.out.bytes.len()
    }

    /// How many replies wait to be sent.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.out.heads.len()
    }

    /// The bytes: the body of a reply that was begun goes to their end.
    #[inline]
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.out.bytes
    }

    /// Begins a reply; returns where.
    #[inline]
    pub(super) fn begin(&mut self, header: ReplyHeader) -> usize {
        header.begin(&mut self.out.bytes)
    }

    /// The body of a reply is written. `wraps_results`: they become one list.
    #[inline]
    pub(super) fn finish(&mut self, entry: &BatchEntry, start: usize, wraps_results: bool) {
        if wraps_results {
            reply::wrap_results(&mut self.out.bytes, start + HEADER_SIZE);
        }
        reply::finish(&mut self.out.bytes, start);
        self.push_head(entry.id, entry.sync);
    }

    /// A reply that was begun is not to be.
    #[inline]
    pub(super) fn abandon(&mut self, start: usize) {
        self.out.bytes.truncate(start);
    }

    /// Answers with an error.
    pub(super) fn error(&mut self, id: RequestId, header: ReplyHeader, error: &Error) {
        header.write_error(&mut self.out.bytes, error);
        self.push_head(id, header.sync);
    }

    #[inline]
    fn push_head(&mut self, id: RequestId, sync: u64) {
        let end = self.out.bytes.len();
        self.out.heads.push(ReplyHead { id, sync, end });
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
    pub(super) fn give_back(&mut self, batch: Batch) {
        self.out.spent.push(batch);
    }

    /// Replies that were read come back, for their buffers.
    pub(super) fn recycle(&mut self, replies: Replies) {
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
            reply::patch_schema_version(&mut self.out.bytes[start..head.end], schema_version);
            start = head.end;
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
        (first, heads)
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
        self.sent += self.out.bytes.len();
        self.charged = 0;
        self.out.charge = self.charge.take();
        self.out.number = self.number;
        self.number += 1;
        self.worker.do_send(std::mem::replace(&mut self.out, next));
        Some(self.number - 1)
    }
}
