//! The bytes of replies of one connection: made by Tx, on their way, and in its output.
//!
//! ```text
//!   Tx ── message n ─▶ … ─▶ worker, which tells the number of the last that it has delivered
//!   └── newer, older: bytes of messages that may be on their way ──┘   output: told by its gauge
//! ```
//!
//! Per reply this costs two additions in Tx's own memory. What others tell is looked at when
//! [`REPLY_LOOK_BYTES`] were made since the last look.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use crate::memory::OutputGauge;

/// Bytes of replies that are made for a connection between two looks at what became of them.
const REPLY_LOOK_BYTES: usize = 1 << 20;

/// Replies that left, or will leave, in messages up to one of this number.
#[derive(Debug, Default, Clone, Copy)]
struct OnTheirWay {
    bytes: usize,
    message: u64,
}

/// What Tx knows of the replies of one connection.
#[derive(Debug)]
pub(super) struct ReplyAccount {
    gauge: Arc<OutputGauge>,
    older: Cell<OnTheirWay>,
    newer: Cell<OnTheirWay>,
    /// Bytes since the last look.
    unseen: Cell<usize>,
    /// Requests of it wait for room: so do all that come after them.
    is_waiting: Cell<bool>,
}

impl ReplyAccount {
    pub(super) fn new(gauge: Arc<OutputGauge>) -> Rc<Self> {
        Rc::new(Self {
            gauge,
            older: Cell::default(),
            newer: Cell::default(),
            unseen: Cell::new(0),
            is_waiting: Cell::new(false),
        })
    }

    pub(super) fn gauge(&self) -> &Arc<OutputGauge> {
        &self.gauge
    }

    /// Bytes of replies were made, which leave with the message of this number.
    #[inline]
    pub(super) fn add(&self, bytes: usize, message: u64) {
        let newer = self.newer.get();
        self.newer.set(OnTheirWay {
            bytes: newer.bytes + bytes,
            message,
        });
        self.unseen.set(self.unseen.get() + bytes);
    }

    /// Whether the next request has to be asked about: enough was made since the last look, or
    /// others wait already.
    #[inline]
    pub(super) fn is_look_due(&self) -> bool {
        self.is_waiting.get() || self.unseen.get() >= REPLY_LOOK_BYTES
    }

    /// Bytes that are on their way or in the output, as far as the messages up to `delivered` have
    /// arrived. Never less than there are.
    pub(super) fn look(&self, delivered: u64) -> usize {
        let (older, newer) = (self.older.get(), self.newer.get());
        self.unseen.set(0);
        // Of two that were looked at, the newer one is empty.
        if delivered >= newer.message.max(older.message) {
            self.older.set(OnTheirWay::default());
            self.newer.set(OnTheirWay::default());
        } else if delivered >= older.message {
            self.older.set(newer);
            self.newer.set(OnTheirWay::default());
        }
        self.older.get().bytes + self.newer.get().bytes + self.gauge.output_and_pushed()
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting.get()
    }

    pub(super) fn set_waiting(&self, is_waiting: bool) {
        self.is_waiting.set(is_waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_until_their_message_is_delivered_and_never_less_than_there_are() {
        let account = ReplyAccount::new(Arc::default());
        assert_eq!(account.look(0), 0);
        account.add(100, 1);
        account.add(50, 1);
        assert_eq!(account.look(0), 150);
        account.add(30, 2);
        account.add(1, 3);
        assert_eq!(account.look(0), 181);
        assert_eq!(account.look(0), 181, "looking changes nothing");
        assert_eq!(account.look(1), 31, "the first is delivered");
        account.add(7, 4);
        assert_eq!(account.look(2), 38, "the third may be under way still");
        assert_eq!(account.look(3), 7);
        assert_eq!(account.look(4), 0);
    }

    #[test]
    fn a_look_is_due_when_much_was_made_since_the_last_and_while_requests_wait() {
        let account = ReplyAccount::new(Arc::default());
        account.add(REPLY_LOOK_BYTES - 1, 1);
        assert!(!account.is_look_due());
        account.add(1, 1);
        assert!(account.is_look_due());
        account.look(1);
        assert!(!account.is_look_due());
        account.set_waiting(true);
        assert!(account.is_look_due());
    }
}
