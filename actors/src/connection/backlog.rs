//! Replies that wait because the socket takes no more: one queue for each group, which share it.
//!
//! ```text
//!   replies ─▶ [ stream 7: ▬ ][ reads: ▬ ▬ ][ control: · ] ─▶ whose turn it is ─▶ output ─▶ socket
//! ```
//!
//! While the socket takes what is written there is none of this: replies go straight to the output.
//! Small ones of a group stand one behind the other in one buffer; large ones are chains, which
//! are cut without copying if the client takes chunks.

use vestibule_wire::groups::{Agreement, Group, Payload, Sender, WrongCredit};
use vestibule_wire::limits::GROUP_QUANTUM;

use crate::segments::{Chain, Held};

/// The replies of one connection that wait for the socket.
#[derive(Debug, Default)]
pub(crate) struct GroupBacklog {
    sender: Sender<Chain>,
    /// Bytes that wait in buffers, and in segments.
    held: Held,
}

impl Payload for Chain {
    fn size(&self) -> usize {
        self.len()
    }

    fn split(&mut self, size: usize) -> Self {
        self.split_to(size)
    }

    fn skip(&mut self, size: usize) {
        self.advance(size);
    }
}

impl From<Vec<u8>> for Chain {
    fn from(bytes: Vec<u8>) -> Self {
        Self::of_buffer(bytes)
    }
}

impl GroupBacklog {
    /// The client takes chunks from now on.
    pub(crate) fn agree(&mut self, agreed: Agreement) {
        self.sender.cut(agreed);
    }

    /// Whether the client takes chunks.
    pub(crate) fn is_agreed(&self) -> bool {
        self.sender.is_cutting()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sender.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn size(&self) -> usize {
        self.sender.size()
    }

    /// Bytes of control that wait.
    pub(crate) fn control_size(&self) -> usize {
        self.sender.control_size()
    }

    /// Memory that they take with their queues.
    pub(crate) fn held(&self) -> Held {
        self.held + Held::buffers(self.sender.overhead(Chain::OF_BUFFER))
    }

    /// Adds a small frame, or several.
    pub(crate) fn push_small(&mut self, group: Group, frame: &[u8]) {
        self.held.buffers += frame.len();
        let extend = |last: &mut Chain| last.extend_buffer(frame, GROUP_QUANTUM);
        if !self.sender.extend_last(group, extend) {
            self.sender.push(group, Chain::from(frame.to_vec()), 0);
        }
    }

    /// Adds a large frame.
    pub(crate) fn push_large(&mut self, group: Group, frame: Chain) {
        self.held.segments += frame.segments();
        self.sender.push(group, frame, 0);
    }

    /// Moves what is to be sent next to the end of `ready`; false if that is nothing. Of a group
    /// that is alone up to `alone` bytes, if it is to be cut.
    pub(crate) fn pick(&mut self, alone: usize, ready: &mut Chain) -> bool {
        let before = self.sender.size();
        let picked = self.sender.pick_with(alone, |head, waiting, size| {
            let (is_buffer, segments) = (waiting.buffers() > 0, waiting.segments());
            ready.push_head(head);
            waiting.move_to(ready, size);
            (is_buffer, segments - waiting.segments())
        });
        let Some((is_buffer, segments)) = picked else {
            return false;
        };
        let (taken, held) = (before - self.sender.size(), &mut self.held);
        held.segments -= segments;
        if is_buffer {
            held.buffers = held.buffers.saturating_sub(taken);
        }
        if self.sender.is_empty() {
            self.held = Held::default();
        }
        true
    }

    /// Everything was written that was picked.
    pub(crate) fn rest(&mut self) {
        self.sender.rest();
    }

    /// The client takes more of a message.
    pub(crate) fn credit(&mut self, number: u32, limit: u32) -> Result<(), WrongCredit> {
        self.sender.credit(number, limit)
    }

    /// The client does not take a message.
    pub(crate) fn stop(&mut self, number: u32) -> Result<(), WrongCredit> {
        let held = &mut self.held;
        let dropped = |rest: &Chain| held.segments -= rest.segments();
        self.sender.stop_with(number, dropped).map(drop)
    }
}
