//! What a worker hands to its back next: to Tx, or in a gateway to its links.
//!
//! ```text
//!   sessions ─▶ batch ─ the first of a tick wakes the worker's task ─▶ sent, once per tick
//!                 ▲                                                        │
//!                 └──── used batches, used replies ◀── recycle ◀── Replies ┘
//! ```

use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use vestibule_wire::Error;
use vestibule_wire::features::Features;

use crate::cells::claims::RequestId;
use crate::engine::Caller;
use crate::limits::{BUFFER_KEEP_MAX, LARGE_SLACK_PART, READ_SIZE, TURN_SMALL_BYTES_MAX};
use crate::memory::OutputGauge;
use crate::messages::SessionId;
use crate::messages::tx::{
    Batch, BatchEntry, CallerUpdate, Cancel, LargeRequest, Replies, TransactionEffect, TxHandle,
    UnsentStep,
};

/// How many used batches, and how many used replies, a worker keeps.
const KEPT_MAX: usize = 4;

/// A request that joins the batch together with its frame.
#[derive(Debug)]
pub(crate) struct LargeEntry {
    pub(crate) entry: BatchEntry,
    /// Bytes of its body, which end the frame.
    pub(crate) body: usize,
}

/// What is behind a worker.
pub(crate) enum Back {
    /// The engine, on a thread of its own.
    Tx(TxHandle),
    /// The links to upstreams, on the worker's own thread.
    Links(Rc<dyn TakeBatch>),
}

impl Back {
    /// Which it is: of one that knows nobody yet, another number than of those before.
    fn generation(&self) -> u64 {
        match self {
            Self::Tx(tx) => tx.generation,
            // There is one as long as the worker lives.
            Self::Links(_) => 1,
        }
    }
}

/// A BEGIN that is not done, or what else may have been to begin a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnsentBegin {
    pub(crate) session: SessionId,
    pub(crate) stream: u64,
    pub(crate) begin: RequestId,
    /// Whether it is a BEGIN. Of anything else who takes it knows whether it may begin one.
    pub(crate) is_begin: bool,
}

/// Who takes batches on the worker's own thread.
pub(crate) trait TakeBatch {
    /// Takes what is in a batch. What is left of it is dropped, and its buffers are used again.
    fn take(&self, batch: &mut Batch);

    /// A BEGIN that was taken is not sent, or a call or SQL: nothing that its client has sent
    /// behind it is done without it.
    fn undo_begin(&self, begin: UnsentBegin);
}

/// The batch that the sessions of a worker fill together, and the back to which it goes.
#[derive(Default)]
pub(crate) struct Outgoing {
    batch: Box<Batch>,
    back: Option<Back>,
    /// A stop has come to its end: what is asked for from now on is answered by nobody.
    refuses_requests: bool,
    /// Wakes the task that sends the batch when this tick's sessions have run.
    flush: Option<Waker>,
    /// Used, and empty.
    batches: Vec<Box<Batch>>,
    /// Used, and empty: on their way back to Tx.
    replies: Vec<Box<Replies>>,
}

impl Outgoing {
    /// There is a back.
    pub(crate) fn attach(&mut self, back: Back) {
        self.back = Some(back);
    }

    /// The back is lost, and with it what it was to be sent.
    pub(crate) fn detach(&mut self) {
        self.back = None;
        self.batch.clear();
        self.batch.large.clear();
    }

    /// No request is taken any more; what has to be told of those that were is.
    pub(crate) fn refuse_requests(&mut self) {
        self.refuses_requests = true;
    }

    /// Whether a request may join the batch.
    #[inline]
    pub(crate) fn takes_requests(&self) -> bool {
        self.back.is_some() && !self.refuses_requests
    }

    /// Which back there is; 0 for none.
    #[inline]
    pub(crate) fn back_generation(&self) -> u64 {
        self.back.as_ref().map_or(0, Back::generation)
    }

    /// A request with this body. Where that starts and ends in the batch, the entry is told here.
    #[inline]
    pub(crate) fn push(&mut self, body: &[u8], mut entry: BatchEntry) {
        self.wake_for_first();
        let bytes = &mut self.batch.bytes;
        entry.start = bytes.len() as u32;
        bytes.extend_from_slice(body);
        entry.end = bytes.len() as u32;
        self.batch.entries.push(entry);
    }

    /// A request whose body ends this frame, which is taken over.
    pub(crate) fn push_large(&mut self, request: LargeEntry, frame: &mut Vec<u8>) {
        if frame.capacity() - frame.len() > READ_SIZE.max(frame.len() / LARGE_SLACK_PART) {
            frame.shrink_to_fit();
        }
        let LargeEntry { mut entry, body } = request;
        (entry.start, entry.end) = ((frame.len() - body) as u32, frame.len() as u32);
        entry.is_large = true;
        let (index, frame) = (self.batch.entries.len(), std::mem::take(frame));
        self.wake_for_first();
        self.batch.large.push(LargeRequest { index, frame });
        self.batch.entries.push(entry);
    }

    #[inline]
    fn wake_for_first(&self) {
        if self.batch.entries.is_empty() {
            self.wake_flush();
        }
    }

    /// From here on, this one calls from a session.
    pub(crate) fn update_caller(
        &mut self,
        session: u32,
        caller: Arc<Caller>,
        gauge: Arc<OutputGauge>,
        format: Features,
    ) {
        self.batch.caller_updates.push_back(CallerUpdate {
            before: self.batch.entries.len(),
            session,
            caller,
            gauge,
            format,
        });
    }

    /// A call in a stream, or its end, was given up before it could be sent: what is sent behind it
    /// learns of that, where an upstream has the streams.
    pub(crate) fn note_unsent(&mut self, session: SessionId, stream: u64, is_end: bool) {
        self.batch.unsent_steps.push_back(UnsentStep {
            before: self.batch.entries.len(),
            session,
            stream,
            is_end,
        });
    }

    /// A connection for which Tx waits has room for replies again.
    pub(crate) fn tell_room(&mut self, connection: u64) {
        self.batch.roomy.push(connection);
        self.wake_flush();
    }

    /// Has Tx stop these requests.
    pub(crate) fn cancel(&mut self, cancels: impl IntoIterator<Item = Cancel>) {
        self.batch.cancels.extend(cancels);
        self.wake_flush();
    }

    /// A BEGIN was taken back that nothing has begun, or what may have been to begin a transaction.
    /// For Tx it is one that there never was.
    pub(crate) fn undo_begin(&mut self, own: UnsentBegin) {
        let Some(Back::Links(links)) = &self.back else {
            return;
        };
        if !self.batch.entries.iter().any(|entry| entry.id == own.begin) {
            return links.undo_begin(own);
        }
        self.cancel([Cancel {
            id: own.begin,
            session: own.session,
            stream: own.stream,
            begin: Some(own.begin),
            transaction: TransactionEffect::Ended(Error::cancelled()),
        }]);
    }

    /// The connection of a session that Tx knows is gone.
    pub(crate) fn disconnect(&mut self, session: SessionId) {
        self.batch.disconnects.push(session);
    }

    /// This wakes the worker's task.
    pub(crate) fn set_flush(&mut self, waker: &Waker) {
        let is_same = |old: &Waker| old.will_wake(waker);
        if !self.flush.as_ref().is_some_and(is_same) {
            self.flush = Some(waker.clone());
        }
    }

    /// Has the worker's task run, which sends the batch, at the end of this tick.
    pub(crate) fn wake_flush(&self) {
        if let Some(flush) = &self.flush {
            flush.wake_by_ref();
        }
    }

    /// What is sent next.
    #[cfg(test)]
    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Sends what the sessions of that worker gathered, if there is a back.
    pub(crate) fn send(&mut self, worker: usize) {
        let Some(back) = &self.back else { return };
        if self.batch.is_empty() {
            return;
        }
        match back {
            Back::Tx(tx) => {
                let next = self.batches.pop().unwrap_or_default();
                let mut batch = std::mem::replace(&mut self.batch, next);
                batch.worker = worker;
                batch.recycled = self.replies.pop();
                tx.submit(batch);
            }
            Back::Links(links) => {
                links.take(&mut self.batch);
                self.batch.clear();
                self.batch.large.clear();
            }
        }
    }

    /// What replies are gathered in on this thread, used or new.
    pub(crate) fn spare_replies(&mut self) -> Box<Replies> {
        self.replies.pop().unwrap_or_default()
    }

    /// Keeps the buffers of an answer that is delivered; hands those of large requests over.
    pub(crate) fn recycle(&mut self, mut replies: Box<Replies>, mut keep: impl FnMut(Vec<u8>)) {
        for mut batch in replies.spent.drain(..) {
            batch.large.drain(..).for_each(|own| keep(own.frame));
            if batch.bytes.capacity() <= BUFFER_KEEP_MAX && self.batches.len() < KEPT_MAX {
                batch.clear();
                self.batches.push(batch);
            }
        }
        replies.large.clear();
        let fits = replies.bytes.capacity() <= 2 * TURN_SMALL_BYTES_MAX;
        if fits && self.replies.len() < KEPT_MAX {
            replies.heads.clear();
            replies.aborted.clear();
            replies.waiting.clear();
            replies.bytes.clear();
            self.replies.push(replies);
        }
    }
}
