//! Who sends, or is sent, so much at a time that others would wait behind it: such a client goes
//! over a second link of its user, the one for bulk. Pure.
//!
//! ```text
//!            a large request or reply            none for a while
//!   small ───────────────────────────▶ bulk ──────────────────────▶ small
//!                                      │  ▲
//!                                      └──┘ another one
//! ```
//!
//! This is what it should be; a client changes its link when nothing of it is under way.

use std::time::{Duration, Instant};

use crate::limits::BULK_BYTES_MIN;

/// What counts as bulk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BulkRule {
    /// Bytes of a request, or of a reply, from which on it is large.
    pub(crate) bytes_min: usize,
    /// For how long its client counts as one of bulk after it.
    pub(crate) lasts: Duration,
}

impl BulkRule {
    /// Clients are for bulk for so long. Zero: nothing is large.
    pub(crate) fn of(lasts: Duration) -> Self {
        let bytes_min = match lasts.is_zero() {
            true => usize::MAX,
            false => BULK_BYTES_MIN,
        };
        Self { bytes_min, lasts }
    }
}

/// What a client has sent, and was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum BulkUse {
    /// Nothing large.
    #[default]
    Small,
    /// Something large, the last time then.
    Large(Instant),
}

impl BulkUse {
    /// Whether there is nothing to be looked at.
    #[inline]
    pub(crate) fn is_small(self) -> bool {
        self == Self::Small
    }

    /// Something large comes, or was there until now.
    pub(crate) fn note(&mut self, now: Instant) {
        *self = Self::Large(now);
    }

    /// Whether its client is one for the link for bulk.
    pub(crate) fn wants_bulk(self, rule: BulkRule, now: Instant) -> bool {
        match self {
            Self::Small => false,
            Self::Large(last) => now.saturating_duration_since(last) < rule.lasts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By seconds: when something large came, and whether the client is one for bulk.
    #[test]
    fn a_client_is_one_for_bulk_until_nothing_large_came_for_a_while() {
        let rule = BulkRule {
            bytes_min: 1,
            lasts: Duration::from_secs(10),
        };
        let start = Instant::now();
        for (large, wants) in [
            (&[][..], [false; 6]),
            (&[0], [true, true, false, false, false, false]),
            (&[0, 5], [true, true, true, false, false, false]),
            (&[0, 5, 14], [true, true, true, true, true, false]),
            (&[14], [false, false, true, true, true, false]),
            // What comes back to it does so at once.
            (&[0, 23], [true, true, false, false, true, true]),
        ] {
            let mut own = BulkUse::default();
            assert!(own.is_small());
            let told = [0, 9, 14, 15, 23, 24].map(|second| {
                let at = |second| start + Duration::from_secs(second);
                for large in large.iter().filter(|own| **own <= second) {
                    own.note(at(*large));
                }
                own.wants_bulk(rule, at(second))
            });
            assert_eq!(told, wants, "{large:?}");
            assert_eq!(own.is_small(), large.is_empty());
        }
    }
}
