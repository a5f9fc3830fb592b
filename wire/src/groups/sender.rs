//! The sending half: which bytes go out next, whole messages or pieces of them.
//!
//! ```text
//!  push ─▶ Scheduler ─┬▶ up to a chunk, and what control says: whole ──▶ pick
//!                     └▶ pieces, as far as there is credit ────────────▶ pick
//! ```
//!
//! A message that is cut may send up to its *limit*, which the receiver raises. What it sends
//! beyond is borrowed from the connection's *window* until the limit is raised that far, so that
//! messages need not wait for an answer before they go on, and the receiver holds no more than a
//! window of what it has not admitted. Without any of both, a message still tells its size.

use bytes::Bytes;

use super::chunk::{self, Head};
use super::group::Group;
use super::ledger::{Agreement, Ledger, Stopped, WrongCredit};
use super::scheduler::{Message, Scheduler};
use crate::error::Error;
use crate::frame::PREFIX_SIZE;
use crate::limits::{CHUNK_PAYLOAD_MAX, GROUP_QUANTUM};

/// Bytes that can be cut without being copied.
pub trait Payload: From<Vec<u8>> {
    /// How many they are.
    fn size(&self) -> usize;

    /// Takes the first `size` of them, at most all.
    fn split(&mut self, size: usize) -> Self;

    /// Drops the first `size` of them, at most all.
    fn skip(&mut self, size: usize) {
        self.split(size);
    }
}

impl Payload for Bytes {
    fn size(&self) -> usize {
        self.len()
    }

    fn split(&mut self, size: usize) -> Self {
        self.split_to(size)
    }
}

/// What is to be written next.
#[derive(Debug)]
pub struct Piece<P> {
    /// The head of a chunk; empty before a whole message.
    pub head: Head,
    /// What follows it.
    pub payload: P,
}

/// Largest frame that is never cut.
const WHOLE_MAX: usize = PREFIX_SIZE + GROUP_QUANTUM;

/// The messages that one end of a connection has to send: whole ones, until it may
/// [cut](Self::cut) them.
#[derive(Debug)]
pub struct Sender<P> {
    scheduler: Scheduler<Waiting<P>>,
    ledger: Option<Ledger>,
}

#[derive(Debug)]
struct Waiting<P> {
    payload: P,
    tag: u64,
    state: State,
}

/// What has become of a message that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing of it is sent.
    New,
    /// A first piece of it is sent, under this number.
    Begun(u32),
    /// Given up: what waits is the frame that says so.
    GivenUp(u32),
}

impl<P: Payload> Message for Waiting<P> {
    fn size(&self) -> usize {
        self.payload.size()
    }
}

impl<P> Default for Sender<P> {
    fn default() -> Self {
        let scheduler = Scheduler::default();
        let ledger = None;
        Self { scheduler, ledger }
    }
}

impl<P: Payload> Sender<P> {
    /// Cuts what is sent from now on: both ends have agreed to it.
    pub fn cut(&mut self, agreed: Agreement) {
        self.ledger = Some(Ledger::new(agreed));
    }

    /// Whether it cuts what is sent.
    #[must_use]
    pub fn is_cutting(&self) -> bool {
        self.ledger.is_some()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn size(&self) -> usize {
        self.scheduler.size()
    }

    /// Bytes of control that wait.
    #[must_use]
    pub fn control_size(&self) -> usize {
        self.scheduler.control_size()
    }

    /// Memory of the queues, about: what waits in them counts by `of_message` bytes each.
    #[must_use]
    pub fn overhead(&self, of_message: usize) -> usize {
        self.scheduler.overhead(of_message)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scheduler.is_empty()
    }

    /// Adds a whole frame, with a length prefix of five bytes, which its owner knows by `tag`.
    pub fn push(&mut self, group: Group, frame: P, tag: u64) {
        let (payload, state) = (frame, State::New);
        self.scheduler.push(
            group,
            Waiting {
                payload,
                tag,
                state,
            },
        );
    }

    /// Adds a whole frame to what waits last in its group, if `extend` takes it there: more than
    /// one is sent at once then. `false` if it is to be pushed.
    pub fn extend_last(&mut self, group: Group, extend: impl FnOnce(&mut P) -> bool) -> bool {
        self.scheduler.extend_last(group, |message| {
            message.state == State::New && extend(&mut message.payload)
        })
    }

    /// What is to be written next; `None` if nothing waits, or nothing may be sent now.
    pub fn pick(&mut self) -> Option<Piece<P>> {
        self.pick_up_to(GROUP_QUANTUM)
    }

    /// The same, with a piece of up to `alone` bytes, and no more than a piece may have, if no
    /// other group has something to send: the next that has waits until it is written.
    pub fn pick_up_to(&mut self, alone: usize) -> Option<Piece<P>> {
        self.pick_with(alone, |head, payload, size| Piece {
            head,
            payload: payload.split(size),
        })
    }

    /// The same for who has a place for the bytes: `take` is given the head of a chunk, which is
    /// empty before a whole message, and takes the first bytes, as many as it is told, off what is
    /// left of the message.
    pub fn pick_with<T>(
        &mut self,
        alone: usize,
        mut take: impl FnMut(Head, &mut P, usize) -> T,
    ) -> Option<T> {
        let alone = alone.clamp(GROUP_QUANTUM, CHUNK_PAYLOAD_MAX);
        loop {
            // At every pick, so that who waits does not wait for all others as well.
            let woken = self.ledger.as_mut().and_then(Ledger::next_waiting);
            if let Some(group) = woken {
                self.scheduler.wake(group);
            }
            let ledger = &mut self.ledger;
            let picked = self.scheduler.pick(alone, |group, message, size| {
                let (head, size) = match ledger {
                    Some(ledger) => next_of(ledger, group, message, size)?,
                    None => message.whole(),
                };
                Some(take(head, &mut message.payload, size))
            });
            if picked.is_some() || woken.is_none() {
                return picked;
            }
        }
    }

    /// Everything was written that was picked: if nothing waits either, no group owes anything.
    pub fn rest(&mut self) {
        self.scheduler.rest();
    }

    /// The receiver takes a message up to `limit`.
    ///
    /// # Errors
    /// [`WrongCredit`], which ends the connection.
    pub fn credit(&mut self, number: u32, limit: u32) -> Result<(), WrongCredit> {
        let ledger = self.ledger.as_mut().ok_or(WrongCredit)?;
        if let Some(group) = ledger.credit(number, limit)? {
            self.scheduler.wake(group);
        }
        Ok(())
    }

    /// The receiver will not take a message: what is left of it is dropped, and said to be. Its
    /// tag, unless it was given up, or taken already.
    ///
    /// # Errors
    /// [`WrongCredit`], which ends the connection.
    pub fn stop(&mut self, number: u32) -> Result<Option<u64>, WrongCredit> {
        self.stop_with(number, |_| ())
    }

    /// The same for who has to know what of it is dropped: `dropped` is given that, if anything.
    ///
    /// # Errors
    /// [`WrongCredit`], which ends the connection.
    pub fn stop_with(
        &mut self,
        number: u32,
        dropped: impl FnMut(&P),
    ) -> Result<Option<u64>, WrongCredit> {
        let ledger = self.ledger.as_mut().ok_or(WrongCredit)?;
        Ok(match ledger.stop(number)? {
            Some(Stopped { tag, is_sent, .. }) if is_sent => Some(tag),
            Some(Stopped { group, .. }) => {
                let is_it = |message: &Waiting<P>| message.state == State::Begun(number);
                self.give_up(group, None, is_it, dropped)
            }
            None => None,
        })
    }

    /// Gives up what its owner knows by `tag`, begun or not; whether anything of it was still to be
    /// sent.
    pub fn cancel(&mut self, group: Group, tag: u64, error: Option<&Error>) -> bool {
        let found = self.give_up(group, error, |message| message.tag == tag, |_| ());
        found.is_some()
    }

    /// Drops a message that is not begun, and puts the frame that says so in the place of the rest
    /// of one that is; its tag.
    fn give_up(
        &mut self,
        group: Group,
        error: Option<&Error>,
        is_it: impl Fn(&Waiting<P>) -> bool,
        mut dropped: impl FnMut(&P),
    ) -> Option<u64> {
        let mut tag = None;
        let (ledger, mut is_next) = (&mut self.ledger, true);
        self.scheduler.retain(group, |message| {
            let is_next = std::mem::replace(&mut is_next, false);
            if tag.is_some() || !is_it(message) {
                return true;
            }
            match message.state {
                State::GivenUp(_) => return true,
                State::New => {
                    dropped(&message.payload);
                    if is_next && let Some(ledger) = ledger {
                        ledger.give_up_new(group);
                    }
                }
                State::Begun(number) => {
                    dropped(&message.payload);
                    message.payload = P::from(chunk::reset(number, error));
                    message.state = State::GivenUp(number);
                }
            }
            tag = Some(message.tag);
            message.state != State::New
        });
        tag
    }

    /// Whether every message is settled, and all of this window there.
    #[cfg(test)]
    pub(super) fn is_settled(&self, window: usize) -> bool {
        let ledger = self.ledger.as_ref();
        ledger.is_some_and(|ledger| ledger.is_settled(window))
    }
}

impl<P: Payload> Waiting<P> {
    fn whole(&self) -> (Head, usize) {
        (Head::default(), self.payload.size())
    }
}

/// The next piece of a message, as far as there is credit: its head, and how many bytes follow it.
fn next_of<P: Payload>(
    ledger: &mut Ledger,
    group: Group,
    message: &mut Waiting<P>,
    size: usize,
) -> Option<(Head, usize)> {
    let waits = message.payload.size();
    let (number, first) = match message.state {
        State::Begun(number) => (number, None),
        State::GivenUp(number) => {
            ledger.give_up(number);
            return Some(message.whole());
        }
        // What control says must never wait for credit.
        State::New if group == Group::Control || waits <= WHOLE_MAX => {
            return Some(message.whole());
        }
        State::New => {
            let (number, first) = ledger.begin(group, message.tag, waits - PREFIX_SIZE)?;
            message.payload.skip(PREFIX_SIZE);
            message.state = State::Begun(number);
            (number, Some(first))
        }
    };
    let size = ledger.spend(number, size, first.is_some())?;
    Some((chunk::data(number, first, size as u32), size))
}
