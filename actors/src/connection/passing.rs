//! Which requests of an inbox wait for SELECTs of several steps, and which may pass these.
//!
//! ```text
//!   inbox: [ asked: they wait ][ to be asked again ][ not asked yet ]
//!               `waiting`            `again`            the streams of each
//! ```
//!
//! Each is asked once, and again when a SELECT has ended: as far as there is anybody who may pass
//! then, so that a pipeline of such SELECTs is not gone through again for each of them.
//!
//! A request of a stream passes unless a SELECT of several steps or another request of that stream
//! is before it.

use crate::limits::SCAN_WAITERS_MAX;

/// Streams, 0 for that of requests which are in none: some, or all.
#[derive(Debug, Default)]
struct StreamSet {
    some: Vec<u64>,
    are_all: bool,
}

impl StreamSet {
    fn all() -> Self {
        Self {
            some: Vec::new(),
            are_all: true,
        }
    }

    fn has(&self, stream: u64) -> bool {
        self.are_all || self.some.contains(&stream)
    }

    fn is_empty(&self) -> bool {
        !self.are_all && self.some.is_empty()
    }

    /// Adds one, or all if there are too many to tell them apart, or if it is not known which.
    fn add(&mut self, stream: Option<u64>) {
        match stream {
            Some(stream) if self.has(stream) => {}
            Some(stream) if self.some.len() < SCAN_WAITERS_MAX => self.some.push(stream),
            _ => *self = Self::all(),
        }
    }

    fn append(&mut self, other: Self) {
        if other.are_all {
            *self = other;
        } else {
            other.some.into_iter().for_each(|own| self.add(Some(own)));
        }
    }

    /// Drops one; false if it is not known to be there.
    fn remove(&mut self, stream: u64) -> bool {
        let at = self.some.iter().position(|own| *own == stream);
        at.map(|at| self.some.swap_remove(at)).is_some()
    }
}

/// What is known of the requests of an inbox that were asked whether they may pass.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    /// Of those that wait.
    waiting: StreamSet,
    /// Of those that are to be asked again.
    again: StreamSet,
    /// Since how many SELECTs of several steps have begun or ended they wait.
    changes: u32,
    /// Somebody waits because no request at all was taken when he was asked.
    is_shut_out: bool,
}

impl Passing {
    /// Whether those who wait are to be asked again: there were `changes` by now, and requests may
    /// be taken.
    pub(crate) fn is_to_ask(&self, changes: u32, is_open: bool) -> bool {
        is_open && (self.is_shut_out || self.changes != changes)
    }

    /// All that wait are to be asked again, for whom these streams have SELECTs of several steps.
    /// False if none of them may pass.
    pub(crate) fn ask_again(&mut self, changes: u32, scans: impl Iterator<Item = u64>) -> bool {
        (self.changes, self.is_shut_out) = (changes, false);
        self.again.append(std::mem::take(&mut self.waiting));
        scans.for_each(|stream| self.on_scan(stream));
        !self.again.is_empty()
    }

    /// Whether a request of this stream is behind another one that waits, or those before it are
    /// not asked yet after all `changes`. `None` is what is before and behind everything.
    pub(crate) fn has_to_wait(&self, stream: Option<u64>, changes: u32) -> bool {
        self.changes != changes || stream.is_none_or(|stream| self.waiting.has(stream))
    }

    /// A request of this stream waits, and so do those behind it. If requests are not taken at all,
    /// `is_open` is not so, and everybody waits who is to be asked again.
    pub(crate) fn on_waiter(&mut self, stream: Option<u64>, is_open: bool) {
        self.waiting.add(stream);
        if let Some(stream) = stream {
            self.again.remove(stream);
        }
        if !is_open {
            self.is_shut_out = true;
            self.waiting.append(std::mem::take(&mut self.again));
        }
    }

    /// A SELECT of several steps is under way in this stream: nobody of it passes.
    pub(crate) fn on_scan(&mut self, stream: u64) {
        if self.again.remove(stream) {
            self.waiting.add(Some(stream));
        }
    }

    /// Whether it is known that all wait that are to be asked again.
    pub(crate) fn do_all_wait(&self) -> bool {
        self.waiting.are_all || self.again.is_empty()
    }

    /// All that were to be asked again were asked.
    pub(crate) fn on_asked(&mut self) {
        self.again = StreamSet::default();
    }
}
