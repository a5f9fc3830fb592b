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
    /// COMMIT or ROLLBACK of it was taken back: it is open still, and stands before the next of its
    /// stream, whose BEGIN may be on its way.
    pub(crate) is_reopened: bool,
}

impl OpenTransaction {
    /// Whether a transition waits for such a one: a stop for all that may come to something, a
    /// demotion for those of them that may change data.
    pub(crate) fn is_concerned(&self, is_stop: bool) -> bool {
        !self.is_aborted && (is_stop || self.is_writer)
    }
}

/// Open transactions of one connection, in the order of their beginnings as far as they are of one
/// stream. Those that may change data are counted for the whole
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

    /// The transaction of a stream: the one that began last.
    pub(crate) fn get(&self, stream: u64) -> Option<&OpenTransaction> {
        self.open.iter().rev().find(|own| own.stream == stream)
    }

    pub(crate) fn open(&mut self, transaction: OpenTransaction) {
        self.open.push(transaction);
        self.count(usize::from(transaction.is_writer), 0);
    }

    /// The transaction of a stream that began last is over.
    pub(crate) fn close(&mut self, stream: u64) -> Option<OpenTransaction> {
        let at = self.open.iter().rposition(|own| own.stream == stream)?;
        Some(self.remove(at))
    }

    /// The end of a transaction did not happen.
    pub(crate) fn reopen(&mut self, transaction: OpenTransaction) {
        let reopened = OpenTransaction {
            is_reopened: true,
            ..transaction
        };
        self.open.insert(0, reopened);
        self.count(usize::from(transaction.is_writer), 0);
    }

    /// The BEGIN of this name did not happen. If its transaction was ended already, that ends the
    /// one that stood in its way.
    pub(crate) fn undo_begin(&mut self, stream: u64, begin: Option<RequestId>) {
        let mut open = self.open.iter();
        let own = open.position(|own| own.stream == stream && own.begin == begin);
        let former = |own: &OpenTransaction| own.stream == stream && own.is_reopened;
        if let Some(at) = own.or_else(|| self.open.iter().position(former)) {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: usize) -> OpenTransaction {
        let removed = self.open.remove(at);
        self.count(0, usize::from(removed.is_writer));
        removed
    }

    /// The BEGIN of a stream's transaction is on its way under this name.
    pub(crate) fn set_begin(&mut self, stream: u64, begin: RequestId) {
        let mut open = self.open.iter_mut().rev();
        if let Some(own) = open.find(|own| own.stream == stream) {
            own.begin = Some(begin);
        }
    }

    /// The transaction of a stream is aborted.
    pub(crate) fn abort(&mut self, stream: u64) {
        if let Some(begin) = self.get(stream).map(|own| own.begin) {
            self.abort_where(|own| own.stream == stream && own.begin == begin);
        }
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

    /// Aborts those that are meant, and were not aborted before; tells which these are.
    pub(crate) fn abort_meant(
        &mut self,
        is_meant: impl Fn(&OpenTransaction) -> bool,
    ) -> Vec<OpenTransaction> {
        let is_meant = |own: &OpenTransaction| !own.is_aborted && is_meant(own);
        let meant = self.open.iter().filter(|own| is_meant(own)).copied();
        let meant: Vec<_> = meant.collect();
        self.abort_where(is_meant);
        meant
    }

    /// When the time of the first one is over that is not aborted.
    pub(crate) fn first_deadline(&self) -> Option<Instant> {
        let live = self.open.iter().filter(|own| !own.is_aborted);
        live.filter_map(|own| own.deadline).min()
    }

    /// All that may change data are aborted. Returns how many they were.
    fn abort_writers(&mut self) -> usize {
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
            is_reopened: false,
        }
    }

    #[test]
    fn a_begin_that_fails_because_an_end_was_taken_back_leaves_one_transaction_or_none() {
        let [first, second] = [1, 2].map(|generation| RequestId {
            index: 3,
            generation,
        });
        for is_ended in [false, true] {
            let writers = Rc::new(Cell::new(0));
            let mut own = OpenTransactions::new(writers.clone());
            own.open(transaction(7, true));
            own.set_begin(7, first);
            // COMMIT, and the next BEGIN behind it; COMMIT is taken back.
            let committed = own.close(7).expect("it is open");
            own.open(transaction(7, true));
            own.set_begin(7, second);
            own.reopen(committed);
            let now = own.get(7).and_then(|own| own.begin);
            assert_eq!((now, writers.get()), (Some(second), 2));
            if is_ended {
                // A COMMIT of the second, which meets the first.
                let closed = own.close(7).and_then(|own| own.begin);
                assert_eq!(closed, Some(second));
            }
            // Tx refuses BEGIN: there is a transaction.
            own.undo_begin(7, Some(second));
            let left = own.get(7).map(|own| own.begin);
            let expected = (!is_ended).then_some(Some(first));
            assert_eq!((left, writers.get()), (expected, usize::from(!is_ended)));
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
