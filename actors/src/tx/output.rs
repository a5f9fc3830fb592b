//! What a turn says: replies to all workers, and to steps of async procedures.

use std::sync::atomic::Ordering;

use vestibule_wire::Error;
use vestibule_wire::reply::ReplyHeader;

use super::replies::ReplyBuffer;
use crate::engine::OnCommit;
use crate::messages::tx::{BatchEntry, ReplyHead, RequestOrigin};
use crate::shared::WorkerCounters;

/// The output of one Tx.
pub(super) struct TurnOutput {
    workers: Vec<ReplyBuffer>,
    /// Of the catalog: every reply tells it.
    schema_version: u64,
    /// Steps of this turn that wait for its commit.
    on_commit: Vec<OnCommit>,
}

impl TurnOutput {
    pub(super) fn new(workers: Vec<ReplyBuffer>) -> Self {
        Self {
            workers,
            schema_version: 0,
            on_commit: Vec::new(),
        }
    }

    /// The replies to one worker.
    #[inline]
    pub(super) fn to(&mut self, worker: usize) -> &mut ReplyBuffer {
        &mut self.workers[worker]
    }

    /// Their numbers.
    pub(super) fn workers(&self) -> std::ops::Range<usize> {
        0..self.workers.len()
    }

    /// The version of the catalog that replies tell.
    pub(super) fn schema_version(&self) -> u64 {
        self.schema_version
    }

    pub(super) fn set_schema_version(&mut self, version: u64) {
        self.schema_version = version;
    }

    #[inline]
    pub(super) fn header(&self, sync: u64) -> ReplyHeader {
        ReplyHeader {
            sync,
            schema_version: self.schema_version,
        }
    }

    /// Begins the reply to a request.
    #[inline]
    pub(super) fn begin(&mut self, worker: usize, entry: &BatchEntry) {
        let header = self.header(entry.sync);
        self.workers[worker].begin(header);
    }

    /// Answers a request with a whole body.
    pub(super) fn body(&mut self, worker: usize, entry: &BatchEntry, body: &[u8], wraps: bool) {
        self.begin(worker, entry);
        let replies = &mut self.workers[worker];
        replies.body(wraps).extend_from_slice(body);
        replies.finish(entry, wraps);
    }

    /// Answers a request with an error.
    pub(super) fn error(&mut self, worker: usize, entry: &BatchEntry, error: &Error) {
        let header = self.header(entry.sync);
        self.workers[worker].error(entry.id, header, error);
    }

    /// Answers a request whose reply was taken out.
    pub(super) fn error_instead(&mut self, worker: usize, head: &ReplyHead, error: &Error) {
        let header = self.header(head.sync);
        self.workers[worker].error(head.id, header, error);
    }

    /// A step waits for the commit.
    pub(super) fn await_commit(&mut self, step: OnCommit) {
        self.on_commit.push(step);
    }

    /// The turn writes from here on.
    pub(super) fn mark_first_write(&mut self) {
        for replies in &mut self.workers {
            let count = replies.count();
            replies.mark_first_write(count);
        }
    }

    /// The requests whose replies depend on the commit to come.
    pub(super) fn uncommitted(&self) -> Vec<RequestOrigin> {
        let workers = self.workers.iter().enumerate();
        let origins = workers.flat_map(|(worker, replies)| {
            replies
                .uncommitted()
                .map(move |id| RequestOrigin { worker, id })
        });
        origins.collect()
    }

    /// After a commit that changed the catalog: its replies tell the new version.
    pub(super) fn patch_uncommitted(&mut self) {
        for replies in &mut self.workers {
            replies.patch_uncommitted(self.schema_version);
        }
    }

    /// After a commit that failed: every reply of the turn becomes the error.
    pub(super) fn fail_uncommitted(&mut self, error: &Error) {
        for replies in &mut self.workers {
            replies.fail_uncommitted(self.schema_version, error);
        }
    }

    /// What was replied so far depends on no later commit.
    pub(super) fn mark_committed(&mut self) {
        for replies in &mut self.workers {
            replies.mark_committed();
        }
    }

    /// Tells the steps of this turn what became of it.
    pub(super) fn tell_steps(&mut self, result: &Result<(), Error>) {
        for step in self.on_commit.drain(..) {
            step(result.clone());
        }
    }

    /// Sends the replies, one message to each worker, and tells their numbers.
    pub(super) fn send(&mut self, counters: &[WorkerCounters]) {
        for (replies, counters) in self.workers.iter_mut().zip(counters) {
            if let Some(number) = replies.send() {
                counters.replies_sent.store(number, Ordering::Relaxed);
            }
        }
    }
}
