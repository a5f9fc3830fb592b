//! Requests on their way to the socket: which of them are not sent, to the byte.
//!
//! ```text
//!   push ──▶ groups ──take──▶ in hand ──wrote──▶ sent
//!              │                 │
//!              └─ withdraw       └─ at the end of the connection: those whose last byte was
//!                                   written are sent, the others not
//! ```
//!
//! Who writes is the connection's task, or, while that has nothing to do, who asks: what the socket
//! does not take then is left to the task.
//!
//! A request whose last byte was not handed to the kernel cannot have run: neither one that is cut
//! off, nor one whose last chunk is missing. What is taken next is decided by message groups, so
//! that nobody waits for all of another's; large requests are cut if the server takes chunks.
//!
//! | module | what |
//! |---|---|
//! | `frame` | bytes that wait, and what they are |
//! | `tests` | what is sent, for any requests and cuts |
//! | `caller_tests` | what callers write themselves, and what they leave |

use std::collections::HashMap;
use std::io;

use vestibule_wire::groups::{Agreement, Group, Payload as _, Piece, Sender, WrongCredit};
use vestibule_wire::limits::GROUP_QUANTUM;

use crate::limits::WRITE_BATCH_SIZE;
use frame::{Frame, Owner};

#[cfg(test)]
mod caller_tests;
mod frame;
#[cfg(test)]
mod tests;

pub(crate) use frame::Batch;

/// Largest request that counts as small.
const SMALL_SIZE_MAX: usize = GROUP_QUANTUM;

/// Room that requests take until they are written, in bytes: that of small ones and that of large
/// ones, of which a request takes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Room {
    pub(crate) small: usize,
    pub(crate) large: usize,
}

impl Room {
    /// What a request of `size` bytes takes where there are `max` of each.
    pub(crate) fn of(size: usize, max: usize) -> Self {
        let (small, large) = match size.min(max) {
            charge if size <= SMALL_SIZE_MAX => (charge, 0),
            charge => (0, charge),
        };
        Self { small, large }
    }

    fn add(&mut self, other: Self) {
        self.small += other.small;
        self.large += other.large;
    }
}

/// A request of which not every byte was taken.
#[derive(Debug)]
struct Waiting {
    group: Group,
    room: Room,
}

/// What one connection has to write.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    sender: Sender<Frame>,
    /// By their sync numbers.
    waiting: HashMap<u64, Waiting>,
    /// Requests whose last bytes are being written: where each ends in what was taken.
    in_hand: Vec<(u64, usize)>,
    taken: usize,
    written: usize,
    /// Bytes of credit that wait.
    answers: usize,
    /// Whether the last take found nothing that may be sent.
    is_asleep: bool,
    /// What a caller has taken to write it itself, and whether some of it is left.
    own: Batch,
    is_left: bool,
}

impl Outgoing {
    /// Cuts what is sent over this connection: the server holds what was agreed.
    pub(crate) fn cut(&mut self, agreed: Agreement) {
        self.sender.cut(agreed);
    }

    /// Appends a request to its group. No two have the same sync number.
    pub(crate) fn push(&mut self, group: Group, sync: u64, frame: Vec<u8>, room: Room) {
        self.waiting.insert(sync, Waiting { group, room });
        let frame = Frame::new(Owner::Request(sync), frame);
        self.sender.push(group, frame, sync);
    }

    /// Appends what is said of the server's chunks, ahead of requests; how many bytes of such wait.
    pub(crate) fn answer(&mut self, frames: Vec<u8>) -> usize {
        if !frames.is_empty() {
            self.answers += frames.len();
            let frame = Frame::new(Owner::Answer, frames);
            self.sender.push(Group::Control, frame, 0);
        }
        self.answers
    }

    /// Whether who writes has to be told that there is something.
    pub(crate) fn wakes(&mut self) -> bool {
        (self.is_left || !self.sender.is_empty()) && std::mem::take(&mut self.is_asleep)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.sender.is_empty() && self.written == self.taken
    }

    /// Whether who writes has nothing in hand and waits to be told: a caller may write.
    pub(crate) fn is_free(&self) -> bool {
        self.is_asleep && !self.is_left
    }

    /// Has `write` write what is to be sent next, up to a quantum, for as long as it takes some.
    /// What is left, and its errors, are for who writes, once it is [woken](Self::wakes). Only
    /// while that [is free](Self::is_free). Returns as [`take`](Self::take) does.
    pub(crate) fn write_now(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> Room {
        let mut batch = std::mem::take(&mut self.own);
        let freed = self.take(&mut batch, GROUP_QUANTUM);
        self.is_asleep = true;
        while batch.size() > 0 {
            match write(batch.rest()) {
                Ok(count) if count > 0 => {
                    self.wrote(count);
                    batch.skip(count);
                }
                _ => break,
            }
        }
        self.is_left = batch.size() > 0;
        self.own = batch;
        freed
    }

    /// Takes back a request whose last bytes are not in hand yet; returns its room, or `None` if it
    /// may be sent. Of one that is begun the server is told that it is given up.
    pub(crate) fn withdraw(&mut self, sync: u64) -> Option<Room> {
        let waiting = self.waiting.remove(&sync)?;
        self.sender.cancel(waiting.group, sync, None);
        Some(waiting.room)
    }

    /// The server takes more of a request that is cut.
    pub(crate) fn credit(&mut self, number: u32, limit: u32) -> Result<(), WrongCredit> {
        self.sender.credit(number, limit)
    }

    /// The server will not take a request that is cut, nor run it, however much of it was sent: its
    /// sync, unless it was withdrawn, and the room that it had.
    pub(crate) fn stop(&mut self, number: u32) -> Result<Option<(u64, Room)>, WrongCredit> {
        let Some(sync) = self.sender.stop(number)? else {
            return Ok(None);
        };
        let waiting = self.waiting.remove(&sync);
        let room = waiting.map_or_else(Room::default, |waiting| waiting.room);
        Ok(Some((sync, room)))
    }

    /// Moves some of what is to be sent next into `batch`, which is emptied before: about as many
    /// bytes as may be `ahead` of what is urgent, and a bounded number; nothing if nothing may be
    /// sent. A large piece goes last and is not copied. Returns the room of the requests that wait
    /// no more.
    pub(crate) fn take(&mut self, batch: &mut Batch, ahead: usize) -> Room {
        if std::mem::take(&mut self.is_left) {
            std::mem::swap(batch, &mut self.own);
            self.is_asleep = false;
            return Room::default();
        }
        batch.clear();
        self.in_hand.clear();
        self.written = 0;
        let mut freed = Room::default();
        let size_max = ahead.min(WRITE_BATCH_SIZE);
        while batch.has_room(size_max)
            && let Some(Piece { head, payload }) = self.sender.pick_up_to(ahead / 4)
        {
            let (owner, is_last, size) = (payload.owner, payload.is_last, payload.size());
            batch.append(head.as_bytes(), payload, size_max);
            match owner {
                Owner::Answer => self.answers -= size,
                Owner::Reset => {}
                Owner::Request(sync) => {
                    if is_last && let Some(waiting) = self.waiting.remove(&sync) {
                        freed.add(waiting.room);
                        self.in_hand.push((sync, batch.size()));
                    }
                }
            }
        }
        self.taken = batch.size();
        self.is_asleep = self.taken == 0;
        freed
    }

    /// Counts bytes of what is in hand that the kernel has taken.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written >= self.taken {
            self.in_hand.clear();
            if self.sender.is_empty() {
                self.sender.rest();
            }
        }
    }

    /// The end of the connection: which requests were not sent, ascending, and the room of those
    /// that waited.
    pub(crate) fn close(&mut self) -> (Vec<u64>, Room) {
        let Self {
            waiting,
            in_hand,
            written,
            ..
        } = std::mem::take(self);
        let cut_off = in_hand.into_iter().filter(|(_, end)| *end > written);
        let mut unsent: Vec<u64> = cut_off.map(|(sync, _)| sync).collect();
        let mut freed = Room::default();
        for (sync, waiting) in waiting {
            unsent.push(sync);
            freed.add(waiting.room);
        }
        unsent.sort_unstable();
        (unsent, freed)
    }
}
