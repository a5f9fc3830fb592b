//! What the sessions of one worker share by `Rc`: the batch they fill together, the requests on
//! their way, the credits, the buffers, and the snapshots they read from.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::credits::{CreditQueue, Grant};
use super::in_flight::InFlightTable;
use crate::engine::ReadView;
use crate::engine::catalog::Catalog;
use crate::limits::{
    BUFFER_KEEP_MAX, BUFFERS_KEPT_MAX, READ_SIZE, WORKER_BYTES_MAX, WORKER_REQUESTS_MAX,
    WORKER_RESERVE,
};
use crate::messages::tx::TxHandle;
use crate::messages::tx::{Batch, Replies};
use crate::serving::Serving;
use crate::shared::Shared;

/// Everything of a worker that changes with every request.
pub(crate) struct WorkerState {
    pub(crate) in_flight: InFlightTable,
    pub(crate) outgoing: Batch,
    pub(crate) tx: Option<TxHandle>,
    /// Wakes the task that sends `outgoing` when this tick's sessions have run.
    pub(crate) flush: Option<Waker>,
    /// Sessions that wait for a credit, first come first.
    pub(crate) credit_queue: CreditQueue,
    pub(crate) scratch: Box<[u8]>,
    /// Open transactions that may change data.
    pub(crate) open_writers: Rc<Cell<usize>>,
    /// Sessions (and their connections' numbers) that were not read when they ran last.
    pub(crate) read_paused: Vec<(u32, u64)>,
    /// The connection that is read although all together hold too much.
    pub(crate) progress_exemption: Option<(u32, u64)>,
    /// Numbers of sessions that have ended: the worker forgets them at the end of the tick.
    pub(crate) ended: Vec<u32>,
    /// Sessions with held requests.
    pub(crate) holding: usize,
    /// When the connections' time limits are looked at again.
    pub(crate) next_look: Option<Instant>,
    buffers: Vec<Vec<u8>>,
    batches: Vec<Batch>,
    recycled: Vec<Replies>,
    catalog: Option<Arc<Catalog>>,
    catalog_version: u64,
    /// As of the last [`refresh_view`](Self::refresh_view).
    pub(crate) view: Option<Arc<dyn ReadView>>,
    view_version: u64,
    /// Name of the procedure that was called last: most calls repeat it.
    procedure: Option<Rc<str>>,
    pub(crate) seen: Option<Serving>,
}

impl WorkerState {
    pub(crate) fn new(in_flight: InFlightTable) -> Self {
        Self {
            in_flight,
            outgoing: Batch::default(),
            tx: None,
            flush: None,
            credit_queue: CreditQueue::default(),
            scratch: vec![0; READ_SIZE].into_boxed_slice(),
            open_writers: Rc::default(),
            read_paused: Vec::new(),
            progress_exemption: None,
            ended: Vec::new(),
            holding: 0,
            next_look: None,
            buffers: Vec::new(),
            batches: Vec::new(),
            recycled: Vec::new(),
            catalog: None,
            catalog_version: 0,
            view: None,
            view_version: 0,
            procedure: None,
            seen: None,
        }
    }

    /// The catalog as it is now, with its version; `None` until an engine has recovered.
    pub(crate) fn catalog(&mut self, shared: &Shared) -> Option<Arc<Catalog>> {
        let version = shared.schema_version();
        if self.catalog.is_none() || self.catalog_version != version {
            self.catalog = shared.catalog();
            self.catalog_version = version;
        }
        self.catalog.clone()
    }

    /// Takes over the read view that is published now; false if the engine gives none.
    pub(crate) fn refresh_view(&mut self, shared: &Shared) -> bool {
        let version = shared.view_version();
        if self.view_version != version {
            self.view = shared.view();
            self.view_version = version;
        }
        self.view.is_some()
    }

    /// Which view [`refresh_view`](Self::refresh_view) took over last.
    pub(crate) fn view_version(&self) -> u64 {
        self.view_version
    }

    /// A shared copy of a procedure's name.
    pub(crate) fn intern(&mut self, name: &str) -> Rc<str> {
        match &self.procedure {
            Some(last) if **last == *name => last.clone(),
            _ => self.procedure.insert(name.into()).clone(),
        }
    }

    /// Requests that may still be forwarded without the reserve.
    pub(crate) fn free_credits(&self) -> usize {
        if self.in_flight.bytes() < WORKER_BYTES_MAX {
            WORKER_REQUESTS_MAX - (self.in_flight.len() - self.in_flight.reserved())
        } else {
            0
        }
    }

    /// Whether one more request may be forwarded by a session with this grant.
    pub(crate) fn has_credit(&self, grant: Grant) -> bool {
        self.credit_queue.may_take(grant, self.free_credits())
    }

    /// Whether there is room in the reserve.
    pub(crate) fn has_reserve(&self) -> bool {
        self.in_flight.reserved() < WORKER_RESERVE
    }

    /// An empty buffer, used or new.
    pub(crate) fn spare_buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    pub(crate) fn give_back(&mut self, mut buffer: Vec<u8>) {
        let fits = buffer.capacity() > 0 && buffer.capacity() <= BUFFER_KEEP_MAX;
        if fits && self.buffers.len() < BUFFERS_KEPT_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    /// This wakes the worker's task.
    pub(crate) fn set_flush(&mut self, waker: &Waker) {
        let is_same = |old: &Waker| old.will_wake(waker);
        if !self.flush.as_ref().is_some_and(is_same) {
            self.flush = Some(waker.clone());
        }
    }

    /// Has the worker's task send `outgoing` at the end of this tick.
    pub(crate) fn wake_flush(&self) {
        if let Some(flush) = &self.flush {
            flush.wake_by_ref();
        }
    }

    /// Sends what the sessions gathered, if Tx is there.
    pub(crate) fn send_outgoing(&mut self, worker: usize) {
        let Some(tx) = self.tx.clone() else { return };
        if self.outgoing.is_empty() {
            return;
        }
        let next = self.batches.pop().unwrap_or_default();
        let mut batch = std::mem::replace(&mut self.outgoing, next);
        batch.worker = worker;
        batch.recycled = self.recycled.pop();
        tx.submit(batch);
    }

    /// Keeps the buffers of an answer that is delivered.
    pub(crate) fn recycle(&mut self, mut replies: Replies) {
        for mut batch in replies.spent.drain(..) {
            if batch.bytes.capacity() <= BUFFER_KEEP_MAX && self.batches.len() < 4 {
                batch.clear();
                self.batches.push(batch);
            }
        }
        if replies.bytes.capacity() <= 16 * BUFFER_KEEP_MAX && self.recycled.len() < 4 {
            replies.heads.clear();
            replies.aborted.clear();
            replies.bytes.clear();
            self.recycled.push(replies);
        }
    }
}
