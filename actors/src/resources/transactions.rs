//! The streams of a connection with an open transaction.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::cells::claims::RequestId;

/// A transaction as its session sees it: begun by Tx, or on its way there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenTransaction {
    pub(crate) stream: u64,
    /// The transaction may change data.
    pub(crate) is_writer: bool,
    /// As of its BEGIN's arrival. Tx keeps its own, which is a little later.
    pub(crate) deadline: Option<Instant>,
    /// BEGIN of the transaction; `None` before that is in the in-flight table.
    pub(crate) begin: Option<RequestId>,
    /// Nothing more can come of it, but its client has yet to end it. Nobody waits for that.
    pub(crate) is_aborted: bool,
    /// A transition waits for it: it was told to.
    pub(crate) is_waited_for: bool,
}

impl OpenTransaction {
    /// Whether a transition waits for such a one: a stop for all that may come to something, a
    /// demotion for those of them that may change data.
    pub(crate) fn is_concerned(&self, is_stop: bool) -> bool {
        !self.is_aborted && (is_stop || self.is_writer)
    }
}

/// Open transactions of one connection. Those that may change data are counted for the whole
/// worker: a demotion waits for them.
#[derive(Debug)]
pub(crate) struct OpenTransactions {
    open: Vec<OpenTransaction>,
    writers: Rc<Cell<usize>>,
}

impl OpenTransactions {
    /// None yet. `writers` is the worker's count.
    pub(crate) fn new(writers: Rc<Cell<usize>>) -> Self {
        Self {
            open: Vec::new(),
            writers,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// How many are not aborted.
    pub(crate) fn live(&self) -> usize {
        self.open.iter().filter(|own| !own.is_aborted).count()
    }

    /// The transaction of a stream.
    pub(crate) fn get(&self, stream: u64) -> Option<&OpenTransaction> {
        self.open.iter().find(|own| own.stream == stream)
    }

    pub(crate) fn open(&mut self, transaction: OpenTransaction) {
        self.open.push(transaction);
        self.count(usize::from(transaction.is_writer), 0);
    }

    pub(crate) fn close(&mut self, stream: u64) -> Option<OpenTransaction> {
        let at = self.open.iter().position(|own| own.stream == stream)?;
        let closed = self.open.swap_remove(at);
        self.count(0, usize::from(closed.is_writer));
        Some(closed)
    }

    /// The BEGIN of a stream's transaction is on its way under this name.
    pub(crate) fn set_begin(&mut self, stream: u64, begin: RequestId) {
        if let Some(own) = self.open.iter_mut().find(|own| own.stream == stream) {
            own.begin = Some(begin);
        }
    }

    /// The transaction of a stream is aborted.
    pub(crate) fn abort(&mut self, stream: u64) {
        self.abort_where(|own| own.stream == stream);
    }

    /// The transaction that this BEGIN began is aborted, if it is still the one of its stream.
    pub(crate) fn abort_begun_by(&mut self, stream: u64, begin: RequestId) {
        self.abort_where(|own| own.stream == stream && own.begin == Some(begin));
    }

    /// A transition waits for those that are its concern; returns how many these are.
    pub(crate) fn wait_for(&mut self, is_stop: bool) -> usize {
        for own in &mut self.open {
            own.is_waited_for = own.is_concerned(is_stop);
        }
        self.open.iter().filter(|own| own.is_waited_for).count()
    }

    /// How many there are of a transition's concern, and how many of them it was not told of.
    pub(crate) fn concerned(&self, is_stop: bool) -> (usize, usize) {
        let concerned = self.open.iter().filter(|own| own.is_concerned(is_stop));
        let joined = concerned.clone().filter(|own| !own.is_waited_for);
        (concerned.count(), joined.count())
    }

    /// Whether there is one that may change data.
    pub(crate) fn has_writer(&self) -> bool {
        self.open.iter().any(|own| own.is_writer)
    }

    /// All that may change data are aborted. Returns how many they were.
    pub(crate) fn abort_writers(&mut self) -> usize {
        self.abort_where(|own| own.is_writer)
    }

    /// Returns how many of them might have changed data.
    fn abort_where(&mut self, wanted: impl Fn(&OpenTransaction) -> bool) -> usize {
        let mut writers = 0;
        for own in self.open.iter_mut().filter(|own| wanted(own)) {
            own.is_aborted = true;
            writers += usize::from(std::mem::take(&mut own.is_writer));
        }
        self.count(0, writers);
        writers
    }

    pub(crate) fn clear(&mut self) {
        self.take();
    }

    /// All of them, which are over.
    pub(crate) fn take(&mut self) -> Vec<OpenTransaction> {
        self.abort_writers();
        std::mem::take(&mut self.open)
    }

    fn count(&self, more: usize, less: usize) {
        self.writers.set(self.writers.get() + more - less);
    }
}

impl Drop for OpenTransactions {
    fn drop(&mut self) {
        self.abort_writers();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(stream: u64, is_writer: bool) -> OpenTransaction {
        OpenTransaction {
            stream,
            is_writer,
            deadline: None,
            begin: None,
            is_aborted: false,
            is_waited_for: false,
        }
    }

    #[test]
    fn an_abort_meets_its_own_transaction_and_not_the_next_of_the_stream() {
        let id = |generation| RequestId {
            index: 3,
            generation,
        };
        let writers = Rc::new(Cell::new(0));
        let mut own = OpenTransactions::new(writers.clone());
        own.open(transaction(1, true));
        own.set_begin(1, id(2));
        own.abort_begun_by(1, id(1));
        assert_eq!((own.live(), writers.get()), (1, 1));
        own.abort_begun_by(1, id(2));
        assert_eq!((own.live(), own.len(), writers.get()), (0, 1, 0));
    }

    #[test]
    fn the_worker_counts_those_that_may_write_until_they_are_over() {
        let writers = Rc::new(Cell::new(0));
        let mut first = OpenTransactions::new(writers.clone());
        let mut second = OpenTransactions::new(writers.clone());
        first.open(transaction(1, true));
        first.open(transaction(2, false));
        second.open(transaction(1, true));
        second.open(transaction(2, true));
        assert_eq!(writers.get(), 3);
        assert_eq!(first.close(1), Some(transaction(1, true)));
        assert_eq!(first.close(2), Some(transaction(2, false)));
        assert_eq!(first.close(7), None);
        assert_eq!((first.len(), writers.get()), (0, 2));
        second.abort(2);
        second.abort(2);
        assert_eq!(writers.get(), 1);
        assert_eq!(second.abort_writers(), 1);
        assert_eq!((second.len(), writers.get()), (2, 0));
        second.open(transaction(3, true));
        drop(second);
        assert_eq!(writers.get(), 0);
    }
}
