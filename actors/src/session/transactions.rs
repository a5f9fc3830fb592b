//! The streams of a connection with an open transaction.
//!
//! A transaction that died with its Tx stays on the list until its client ends it: its statements are
//! refused here. The Tx that comes after knows nothing of it, and would execute them one by one.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use vestibule_wire::request::Body;
use vestibule_wire::{Error, ErrorCode};

use super::desk::{Desk, Taken};

/// A transaction as its session sees it: begun by Tx, or on its way there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenTransaction {
    pub(crate) stream: u64,
    /// It may change data.
    pub(crate) is_writer: bool,
    /// As of its BEGIN's arrival. Tx keeps its own, which is a little later.
    pub(crate) deadline: Option<Instant>,
    /// Its Tx has died, and it with it.
    pub(crate) is_lost: bool,
}

/// Open transactions of one connection. Those that may change data are counted for the whole arbiter: a
/// demotion waits for them.
#[derive(Debug)]
pub(crate) struct OpenTransactions {
    open: Vec<OpenTransaction>,
    writers: Rc<Cell<usize>>,
}

impl OpenTransactions {
    /// None yet. `writers` is the arbiter's count.
    pub(crate) fn new(writers: Rc<Cell<usize>>) -> Self {
        Self {
            open: Vec::new(),
            writers,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is one that something may come of.
    pub(crate) fn are_over(&self) -> bool {
        self.open.iter().all(|own| own.is_lost)
    }

    /// The transaction of a stream.
    pub(crate) fn get(&self, stream: u64) -> Option<&OpenTransaction> {
        self.open.iter().find(|own| own.stream == stream)
    }

    pub(crate) fn contains(&self, stream: u64) -> bool {
        self.get(stream).is_some()
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

    /// The transaction of a stream is aborted: its client has yet to end it, but nothing more can come
    /// of it.
    pub(crate) fn abort(&mut self, stream: u64) {
        let found = self.open.iter_mut().find(|own| own.stream == stream);
        if found.is_some_and(|own| std::mem::take(&mut own.is_writer)) {
            self.count(0, 1);
        }
    }

    /// All that may change data are aborted. Returns how many they were.
    pub(crate) fn abort_writers(&mut self) -> usize {
        let mut aborted = 0;
        for own in &mut self.open {
            aborted += usize::from(std::mem::take(&mut own.is_writer));
        }
        self.count(0, aborted);
        aborted
    }

    /// All of them died with their Tx; their clients have yet to end them.
    pub(crate) fn lose(&mut self) {
        self.abort_writers();
        self.open.iter_mut().for_each(|own| own.is_lost = true);
    }

    pub(crate) fn clear(&mut self) {
        self.abort_writers();
        self.open.clear();
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

impl Desk<'_> {
    /// Whether a request belongs to a transaction that died with its Tx.
    pub(super) fn is_of_lost(&self, taken: &Taken<'_>) -> bool {
        let own = self.session.transaction(taken.stream);
        taken.stream != 0 && own.is_some_and(|own| own.is_lost)
    }

    /// Answers it: until its client has ended it, nothing of it is executed.
    pub(super) fn answer_of_lost(&mut self, taken: &Taken<'_>) {
        if matches!(taken.body, Body::Commit | Body::Rollback) {
            self.session.transactions.close(taken.stream);
        }
        match taken.body {
            Body::Rollback => {
                let header = self.header(taken.sync);
                header.write_empty(self.session.output.buffer());
            }
            Body::Begin(_) => self.refuse(taken.sync, &Error::active_transaction()),
            _ => {
                let text = "Transaction has been aborted: Tx died";
                self.refuse(taken.sync, &Error::new(ErrorCode::SYSTEM, text));
            }
        }
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
            is_lost: false,
        }
    }

    #[test]
    fn the_arbiter_counts_those_that_may_write_until_they_are_over() {
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
        second.lose();
        assert!(second.are_over() && second.contains(1) && second.contains(2));
        second.open(transaction(3, true));
        drop(second);
        assert_eq!(writers.get(), 0);
    }
}
