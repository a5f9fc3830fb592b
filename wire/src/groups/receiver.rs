//! The receiving half: pieces become messages again, within what was promised to be held.
//!
//! ```text
//!  DATA, first ─▶ opened ─▶ admitted (credit as far as it may come) ─▶ complete
//!                    └────▶ stopped (its pieces are dropped until it ends)
//! ```
//!
//! The owner decides who is admitted, and when: until then the sender may only borrow from the
//! connection's window. A group has one message under way at most, so that one that is not admitted
//! holds its own group alone.

use std::collections::HashMap;

use super::chunk::{self, First, Head, PieceBegun};
use super::group::Group;
use super::ledger::Agreement;
use crate::error::Error;
use crate::growing::Growing;

/// A sequence of chunks that no sender makes. It ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DamagedSequence {
    /// A message begins with another number than the next.
    #[error("message {0} begins out of order")]
    Order(u32),
    /// A piece of a message that was not begun, or has ended.
    #[error("piece of message {0}, which is not under way")]
    Unknown(u32),
    /// A message begins in a group that has one under way.
    #[error("message {0} begins in a group that has another under way")]
    Busy(u32),
    /// More messages are under way than were agreed.
    #[error("message {0} begins while as many are under way as may be")]
    TooMany(u32),
    /// More bytes than the first piece has told.
    #[error("message {0} is longer than it said")]
    TooLong(u32),
    /// More bytes than there was credit for.
    #[error("message {0} goes beyond its credit")]
    NoCredit(u32),
}

/// What the pieces of a message become: its bytes, unless somebody else takes care of those.
pub trait Assembly: Default {
    /// What it is when all has come.
    type Whole;

    /// Takes the next piece of a message of `total` bytes. Memory is at most twice what has come: a
    /// message costs its sender what it costs here.
    fn append(&mut self, piece: &[u8], total: usize);

    /// Memory that it takes, in bytes.
    fn allocated(&self) -> usize;

    /// All has come.
    fn whole(self) -> Self::Whole;
}

impl Assembly for Growing {
    type Whole = Vec<u8>;

    fn append(&mut self, piece: &[u8], total: usize) {
        self.extend(piece, total);
    }

    fn allocated(&self) -> usize {
        self.allocated()
    }

    fn whole(self) -> Vec<u8> {
        self.into_bytes()
    }
}

/// What a piece has done.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<W = Vec<u8>> {
    /// The message has begun: it is to be admitted or stopped.
    Opened(First),
    /// A piece of it is there.
    Piece,
    /// All of it is there, and what its sender still waits for.
    Complete {
        /// The group it belongs to.
        group: Group,
        /// The content of its frame.
        content: W,
        /// What is to be sent back, if anything.
        credit: Option<Head>,
    },
    /// Nothing: the message was stopped.
    Dropped,
}

/// The messages of one connection that are not whole yet.
#[derive(Debug)]
pub struct Receiver<B = Growing> {
    agreed: Agreement,
    last: u32,
    borrowed: usize,
    open: HashMap<u32, Incoming<B>>,
    by_group: HashMap<Group, u32>,
}

#[derive(Debug)]
struct Incoming<B> {
    group: Group,
    total: usize,
    received: usize,
    limit: usize,
    bytes: B,
    is_stopped: bool,
}

impl<B: Assembly> Incoming<B> {
    fn borrowed(&self) -> usize {
        if self.is_stopped {
            0
        } else {
            self.received.saturating_sub(self.limit)
        }
    }

    fn complete(self, number: u32) -> Received<B::Whole> {
        if self.is_stopped {
            return Received::Dropped;
        }
        let is_due = self.limit < self.total;
        Received::Complete {
            group: self.group,
            content: self.bytes.whole(),
            credit: is_due.then(|| chunk::credit(number, self.total as u32)),
        }
    }
}

impl Receiver {
    /// A receiver that holds what was agreed.
    #[must_use]
    pub fn new(agreed: Agreement) -> Self {
        Self::assembling(agreed)
    }

    /// Has `read` add what comes next of a piece that is [taken in parts](Self::takes_parts) to
    /// what has come of its message: at most `most` bytes, for which there is room. What it
    /// returns, and what the bytes have done; `None` if there is no such message.
    ///
    /// # Errors
    /// [`DamagedSequence`] if that is more than may come.
    pub fn fill<T>(
        &mut self,
        number: u32,
        most: usize,
        read: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> Result<Option<(T, Received)>, DamagedSequence> {
        let message = self.open.get_mut(&number).filter(|own| !own.is_stopped);
        let Some(message) = message else {
            return Ok(None);
        };
        let (before, total) = (message.bytes.len(), message.total);
        message.bytes.make_room(before + most, total);
        let value = message.bytes.fill(total, read);
        let added = message.bytes.len() - before;
        self.count(number, added)?;
        Ok(Some((value, self.received(number, None))))
    }

    /// Moves what has come of a message into another buffer, which is empty and has room for more;
    /// the one that it was in.
    pub fn move_into(&mut self, number: u32, mut buffer: Vec<u8>) -> Option<Vec<u8>> {
        let message = self.open.get_mut(&number).filter(|own| !own.is_stopped)?;
        buffer.extend_from_slice(&message.bytes);
        Some(std::mem::replace(&mut message.bytes, buffer.into()).into_bytes())
    }
}

impl<B: Assembly> Receiver<B> {
    /// One that makes something else of the pieces than their bytes.
    #[must_use]
    pub fn assembling(agreed: Agreement) -> Self {
        Self {
            agreed,
            last: 0,
            borrowed: 0,
            open: HashMap::new(),
            by_group: HashMap::new(),
        }
    }

    /// Memory that it takes for what has come, in bytes.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.open
            .values()
            .map(|message| message.bytes.allocated())
            .sum()
    }

    /// What has come of a message that is under way and was not stopped.
    #[must_use]
    pub fn begun(&self, number: u32) -> Option<&B> {
        let message = self.open.get(&number)?;
        (!message.is_stopped).then_some(&message.bytes)
    }

    /// Bytes that a message is to have, which is under way and was not stopped.
    #[must_use]
    pub fn total(&self, number: u32) -> Option<usize> {
        let message = self.open.get(&number)?;
        (!message.is_stopped).then_some(message.total)
    }

    /// Bytes that it holds of what is not admitted.
    #[cfg(test)]
    pub(super) fn unadmitted(&self) -> usize {
        self.borrowed
    }

    /// Begins a message, whose bytes go to where they are put together: its first piece is
    /// [taken](Self::data) as if it were not the first.
    ///
    /// # Errors
    /// [`DamagedSequence`] if no sender that keeps the rules begins it.
    pub fn begin(&mut self, number: u32, first: First, bytes: B) -> Result<(), DamagedSequence> {
        self.may_begin(number, first)?;
        self.last = number;
        self.by_group.insert(first.group, number);
        let message = Incoming {
            group: first.group,
            total: first.total as usize,
            received: 0,
            limit: 0,
            bytes,
            is_stopped: false,
        };
        self.open.insert(number, message);
        Ok(())
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// [`DamagedSequence`] if no sender that keeps the rules sends it.
    pub fn data(
        &mut self,
        number: u32,
        first: Option<First>,
        piece: &[u8],
    ) -> Result<Received<B::Whole>, DamagedSequence> {
        if let Some(first) = first {
            self.begin(number, first, B::default())?;
        }
        self.count(number, piece.len())?;
        if let Some(message) = self.open.get_mut(&number).filter(|own| !own.is_stopped) {
            message.bytes.append(piece, message.total);
        }
        Ok(self.received(number, first))
    }

    /// Whether a piece may come that has begun to, and is wanted: what has come of it may be taken
    /// before the rest is there.
    #[must_use]
    pub fn takes_parts(&self, begun: &PieceBegun<'_>) -> bool {
        let (left, credit) = match (begun.first, self.open.get(&begun.number)) {
            (Some(first), _) if self.may_begin(begun.number, first).is_ok() => {
                (first.total as usize, 0)
            }
            (None, Some(message)) if !message.is_stopped => (
                message.total - message.received,
                message.limit.saturating_sub(message.received),
            ),
            _ => return false,
        };
        let borrowed = begun.size.saturating_sub(credit);
        begun.size <= left && self.borrowed + borrowed <= self.agreed.window
    }

    fn may_begin(&self, number: u32, first: First) -> Result<(), DamagedSequence> {
        if number != self.last.wrapping_add(1) {
            return Err(DamagedSequence::Order(number));
        }
        if self.by_group.contains_key(&first.group) {
            return Err(DamagedSequence::Busy(number));
        }
        if self.open.len() >= self.agreed.messages_max {
            return Err(DamagedSequence::TooMany(number));
        }
        Ok(())
    }

    /// Counts bytes of a message that have come.
    fn count(&mut self, number: u32, size: usize) -> Result<(), DamagedSequence> {
        let unknown = DamagedSequence::Unknown(number);
        let message = self.open.get_mut(&number).ok_or(unknown)?;
        if size > message.total - message.received {
            return Err(DamagedSequence::TooLong(number));
        }
        let before = message.borrowed();
        message.received += size;
        self.borrowed += message.borrowed() - before;
        if self.borrowed > self.agreed.window {
            return Err(DamagedSequence::NoCredit(number));
        }
        Ok(())
    }

    /// What the bytes that were counted have done, of a message that is under way.
    fn received(&mut self, number: u32, first: Option<First>) -> Received<B::Whole> {
        let message = &self.open[&number];
        let is_stopped = message.is_stopped;
        if message.received == message.total
            && let Some(message) = self.end(number)
        {
            return message.complete(number);
        }
        match first {
            Some(first) => Received::Opened(first),
            None if is_stopped => Received::Dropped,
            None => Received::Piece,
        }
    }

    /// Admits a message up to `limit` of its bytes: what is to be sent to its sender, if that is
    /// more than before. Memory for them is taken when they come.
    pub fn admit(&mut self, number: u32, limit: usize) -> Option<Head> {
        let message = self.open.get_mut(&number)?;
        let limit = limit.min(message.total);
        if message.is_stopped || limit <= message.limit {
            return None;
        }
        let before = message.borrowed();
        message.limit = limit;
        self.borrowed -= before - message.borrowed();
        Some(chunk::credit(number, limit as u32))
    }

    /// Admits a message up to `ahead` bytes beyond those that have come, if less than half of that
    /// is left: what is to be sent to its sender then. Until as much has come it is less, a quarter
    /// at first.
    pub fn admit_ahead(&mut self, number: u32, ahead: usize) -> Option<Head> {
        let message = self.open.get(&number)?;
        let left = message.limit.saturating_sub(message.received);
        let received = message.received;
        let ahead = ahead.min(received.max(ahead / 4));
        (left < ahead / 2).then(|| self.admit(number, received + ahead))?
    }

    /// Refuses a message: what is to be sent to its sender.
    pub fn stop(&mut self, number: u32, error: Option<&Error>) -> Option<Vec<u8>> {
        let message = self.open.get_mut(&number)?;
        self.borrowed -= message.borrowed();
        message.is_stopped = true;
        message.bytes = B::default();
        Some(chunk::stop(number, error))
    }

    /// The sender has given a message up: whether it was under way.
    pub fn reset(&mut self, number: u32) -> bool {
        self.end(number).is_some()
    }

    fn end(&mut self, number: u32) -> Option<Incoming<B>> {
        let message = self.open.remove(&number)?;
        self.by_group.remove(&message.group);
        self.borrowed -= message.borrowed();
        Some(message)
    }
}
