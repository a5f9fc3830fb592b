//! What the door has answered, counted for its own metrics.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// How often a path was answered with a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) path: &'static str,
    pub(crate) status: u16,
    pub(crate) count: u64,
}

/// The counts. Paths are those of the table of routes, and one name for all others: they are
/// bounded, whatever is asked for.
#[derive(Debug, Default)]
pub(crate) struct AnsweredCounts(RefCell<BTreeMap<(&'static str, u16), u64>>);

impl AnsweredCounts {
    pub(crate) fn count(&self, path: &'static str, status: u16) {
        *self.0.borrow_mut().entry((path, status)).or_default() += 1;
    }

    pub(crate) fn all(&self) -> Vec<Answered> {
        let counts = self.0.borrow();
        let rows = counts.iter().map(|(&(path, status), &count)| Answered {
            path,
            status,
            count,
        });
        rows.collect()
    }
}
