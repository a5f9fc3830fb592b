//! The streams of a connection with an open transaction.

use std::cell::Cell;
use std::rc::Rc;

/// Open transactions of one connection. Those that may change data are counted for the whole arbiter: a
/// demotion waits for them.
#[derive(Debug)]
pub(crate) struct OpenTransactions {
    /// Each with whether it may change data.
    open: Vec<(u64, bool)>,
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

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether the transaction of this stream may change data; `None` if there is none.
    pub(crate) fn is_writer(&self, stream: u64) -> Option<bool> {
        let found = self.open.iter().find(|(own, _)| *own == stream);
        found.map(|(_, is_writer)| *is_writer)
    }

    pub(crate) fn contains(&self, stream: u64) -> bool {
        self.is_writer(stream).is_some()
    }

    pub(crate) fn open(&mut self, stream: u64, is_writer: bool) {
        self.open.push((stream, is_writer));
        self.count(usize::from(is_writer), 0);
    }

    pub(crate) fn close(&mut self, stream: u64) {
        if let Some(at) = self.open.iter().position(|(own, _)| *own == stream) {
            let (_, is_writer) = self.open.swap_remove(at);
            self.count(0, usize::from(is_writer));
        }
    }

    /// All that may change data are aborted: their clients have yet to end them, but nothing more can
    /// come of them. Returns how many they were.
    pub(crate) fn abort_writers(&mut self) -> usize {
        let mut aborted = 0;
        for (_, is_writer) in &mut self.open {
            aborted += usize::from(std::mem::take(is_writer));
        }
        self.count(0, aborted);
        aborted
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arbiter_counts_those_that_may_write_until_they_are_over() {
        let writers = Rc::new(Cell::new(0));
        let mut first = OpenTransactions::new(writers.clone());
        let mut second = OpenTransactions::new(writers.clone());
        first.open(1, true);
        first.open(2, false);
        second.open(1, true);
        second.open(2, true);
        assert_eq!(writers.get(), 3);
        first.close(1);
        first.close(2);
        first.close(7);
        assert_eq!((first.len(), writers.get()), (0, 2));
        assert_eq!(second.abort_writers(), 2);
        assert_eq!((second.len(), writers.get()), (2, 0));
        assert_eq!(second.is_writer(1), Some(false));
        second.open(3, true);
        drop(second);
        assert_eq!(writers.get(), 0);
    }
}
