//! Transactions that were given up before Tx has begun them: their BEGINs wait still, and what
//! their sessions have told of them has come before those.
//!
//! ```text
//!   BEGIN ─────── queued ───────────────▶ begun, and aborted at once
//!   its end ─▶ the transaction is open? ─┬ yes ─▶ aborted
//!                                        └ no ──▶ kept until its BEGIN is executed
//! ```
//!
//! Pure.

use std::collections::HashMap;

use vestibule_wire::Error;

use crate::messages::tx::RequestOrigin;

/// What is to become of a transaction.
#[derive(Debug, PartialEq)]
pub(super) struct Fate {
    /// What ends it.
    pub(super) error: Error,
    /// The transaction is ended for its client.
    pub(super) is_over: bool,
}

/// The transactions that are given up, by their BEGINs.
#[derive(Debug, Default)]
pub(super) struct GivenUp(HashMap<RequestOrigin, Fate>);

impl GivenUp {
    /// A transaction is given up whose BEGIN is not executed. `is_queued` tells of which ones that
    /// is true still: the others are forgotten, so there are never more than requests on their
    /// way.
    pub(super) fn note(
        &mut self,
        begin: RequestOrigin,
        fate: Fate,
        is_queued: impl Fn(RequestOrigin) -> bool,
    ) {
        self.0.retain(|begin, _| is_queued(*begin));
        if is_queued(begin) {
            let is_over = fate.is_over;
            // The first error is the one that ends it.
            self.0.entry(begin).or_insert(fate).is_over |= is_over;
        }
    }

    /// What is to become of the transaction that this BEGIN has begun, if it is given up.
    #[inline]
    pub(super) fn take(&mut self, begin: RequestOrigin) -> Option<Fate> {
        if self.0.is_empty() {
            return None;
        }
        self.0.remove(&begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::claims::RequestId;

    fn begin(index: u32) -> RequestOrigin {
        let id = RequestId {
            index,
            generation: 1,
        };
        RequestOrigin { worker: 0, id }
    }

    fn fate(error: Error, is_over: bool) -> Fate {
        Fate { error, is_over }
    }

    #[test]
    fn only_begins_that_wait_are_kept() {
        let mut own = GivenUp::default();
        let timeout = || fate(Error::timeout(), false);
        own.note(begin(1), timeout(), |_| false);
        assert_eq!(own.take(begin(1)), None);
        own.note(begin(2), timeout(), |_| true);
        own.note(begin(3), timeout(), |begin| begin.id.index == 3);
        assert_eq!(own.0.len(), 1);
        assert_eq!(own.take(begin(3)), Some(timeout()));
        assert_eq!(own.take(begin(3)), None);
    }

    #[test]
    fn the_first_error_ends_a_transaction_and_its_end_is_not_forgotten() {
        let mut own = GivenUp::default();
        for (error, is_over) in [
            (Error::timeout(), false),
            (Error::cancelled(), true),
            (Error::cancelled(), false),
        ] {
            own.note(begin(1), fate(error, is_over), |_| true);
        }
        assert_eq!(own.take(begin(1)), Some(fate(Error::timeout(), true)));
    }
}
