//! A worker as Tx sees it: who calls, and the replies that this turn writes.
//!
//! Invariant: heads before `committed` are told whatever happens, those after it only if the turn
//! commits.

use std::sync::Arc;

use actix::Recipient;
use vestibule_wire::Error;
use vestibule_wire::reply::{self, ReplyHeader};

use super::messages::{BatchEntry, Replies, ReplyHead};
use crate::cells::claims::{Claims, RequestId};
use crate::engine::Caller;

/// A worker as Tx sees it.
pub(crate) struct WorkerLink {
    pub(super) claims: Arc<Claims>,
    worker: Recipient<Replies>,
    pub(super) callers: Vec<Option<Caller>>,
    pub(super) out: Replies,
    /// Heads of `out` before this one are committed: a failing commit does not touch them.
    committed: usize,
    /// Heads of `out` before this one, in a turn that writes: they were replied to before anything was
    /// written in it.
    pub(super) first_after_write: usize,
    pub(super) spare: Vec<Replies>,
}

impl WorkerLink {
    pub(crate) fn new(claims: Arc<Claims>, worker: Recipient<Replies>) -> Self {
        Self {
            claims,
            worker,
            callers: Vec::new(),
            out: Replies::default(),
            committed: 0,
            first_after_write: 0,
            spare: Vec::new(),
        }
    }

    pub(super) fn introduce(&mut self, session: u32, caller: Caller) {
        let index = session as usize;
        if self.callers.len() <= index {
            self.callers.resize(index + 1, None);
        }
        self.callers[index] = Some(caller);
    }

    pub(super) fn end_reply(&mut self, entry: &BatchEntry, start: usize) {
        reply::finish(&mut self.out.bytes, start);
        let end = self.out.bytes.len();
        self.out.heads.push(ReplyHead {
            id: entry.id,
            sync: entry.sync,
            end,
        });
    }

    /// Where the replies begin that are not committed yet.
    pub(super) fn uncommitted_start(&self) -> usize {
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

    /// Takes out the replies of this turn since its first write. Returns the number of the first, and
    /// them.
    pub(super) fn take_after_write(&mut self) -> (usize, Vec<ReplyHead>) {
        let first = self.first_after_write.max(self.committed);
        let heads = self.out.heads.split_off(first.min(self.out.heads.len()));
        let end = self.out.heads.last().map_or(0, |last| last.end);
        self.out.bytes.truncate(end);
        (first, heads)
    }

    /// Answers a request that was taken out.
    pub(super) fn push_error(&mut self, head: &ReplyHead, schema_version: u64, error: &Error) {
        let header = ReplyHeader {
            sync: head.sync,
            schema_version,
        };
        header.write_error(&mut self.out.bytes, error);
        let end = self.out.bytes.len();
        self.out.heads.push(ReplyHead { end, ..*head });
    }

    /// What was replied so far depends on no later commit.
    pub(super) fn mark_committed(&mut self) {
        self.committed = self.out.heads.len();
    }

    /// Forgets a caller, unless its number has a new owner already.
    pub(super) fn forget(&mut self, session: u32, connection: u64) {
        if let Some(caller) = self.callers.get_mut(session as usize)
            && caller
                .as_ref()
                .is_some_and(|caller| caller.connection == connection)
        {
            *caller = None;
        }
    }

    /// Sends what there is, in one message.
    pub(super) fn send(&mut self) {
        let out = &self.out;
        if out.heads.is_empty() && out.spent.is_empty() && out.aborted.is_empty() {
            return;
        }
        let next = self.spare.pop().unwrap_or_default();
        self.committed = 0;
        self.worker.do_send(std::mem::replace(&mut self.out, next));
    }
}
