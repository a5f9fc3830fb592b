//! The sender's account of credit: what it may send of messages that are cut.
//!
//! ```text
//!  begun ─▶ sent up to its limit, and beyond as far as the window goes ─▶ settled, or given up
//! ```

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::chunk::First;
use super::group::Group;
use crate::limits::{CHUNK_MESSAGES_DEFAULT, CHUNK_PAYLOAD_MIN, CHUNK_WINDOW_DEFAULT};

/// What the receiver of chunks has agreed to hold for one connection and direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// Bytes of messages that it has not admitted.
    pub window: usize,
    /// Messages that are under way at once.
    pub messages_max: usize,
}

impl Default for Agreement {
    /// What holds for those who list the feature and say nothing more.
    fn default() -> Self {
        Self {
            window: CHUNK_WINDOW_DEFAULT,
            messages_max: CHUNK_MESSAGES_DEFAULT,
        }
    }
}

impl Agreement {
    /// As much of it as a sender uses that uses no more than `most`: one message at least, without
    /// which those that are to be cut would never be sent.
    #[must_use]
    pub fn at_most(self, most: Self) -> Self {
        Self {
            window: self.window.min(most.window),
            messages_max: self.messages_max.min(most.messages_max).max(1),
        }
    }
}

/// A peer that speaks of messages that were not begun, or takes more than there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("credit for a message that was not begun, or not for more of its bytes than before")]
pub struct WrongCredit;

/// Credit of one connection and direction.
///
/// Invariant: `window` and what all messages have borrowed are together what was agreed.
#[derive(Debug)]
pub(super) struct Ledger {
    window: usize,
    messages_max: usize,
    /// Messages that were ever begun; the number of the last are its lower 32 bits.
    begun: u64,
    messages: HashMap<u32, Begun>,
    for_window: Waiters,
    for_an_end: Waiters,
}

/// Groups that wait for something, in the order in which they began to.
///
/// Invariant: each place is in `order`, which is sorted; those there that nobody has any more are
/// skipped, and few.
#[derive(Debug, Default)]
struct Waiters {
    next: u64,
    order: VecDeque<(u64, Group)>,
    places: HashMap<Group, u64>,
}

/// Places that nobody has any more, beside as many as somebody has, before they are dropped.
const LEFT_PLACES_MAX: usize = 16;

impl Waiters {
    fn push(&mut self, group: Group) {
        if let Entry::Vacant(place) = self.places.entry(group) {
            self.order.push_back((*place.insert(self.next), group));
            self.next += 1;
        }
    }

    fn pop(&mut self) -> Option<Group> {
        while let Some((place, group)) = self.order.pop_front() {
            if self.places.get(&group) == Some(&place) {
                self.places.remove(&group);
                return Some(group);
            }
        }
        None
    }

    fn remove(&mut self, group: Group) {
        let is_waiting = self.places.remove(&group).is_some();
        if is_waiting && self.order.len() > 2 * self.places.len() + LEFT_PLACES_MAX {
            let places = &self.places;
            self.order
                .retain(|(place, group)| places.get(group) == Some(place));
        }
    }
}

/// A message that was begun, until it is sent and its receiver has taken it.
#[derive(Debug, Clone, Copy)]
struct Begun {
    group: Group,
    tag: u64,
    total: usize,
    sent: usize,
    limit: usize,
    is_stopped: bool,
}

impl Begun {
    /// Bytes that were sent ahead of the limit, and that the receiver holds.
    fn borrowed(&self) -> usize {
        if self.is_stopped {
            return 0;
        }
        self.sent.saturating_sub(self.limit)
    }

    fn is_settled(&self) -> bool {
        self.sent == self.total && (self.is_stopped || self.limit == self.total)
    }
}

/// A message that its receiver does not take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopped {
    pub(super) group: Group,
    pub(super) tag: u64,
    /// Whether nothing of it is left to be sent.
    pub(super) is_sent: bool,
}

impl Ledger {
    pub(super) fn new(agreed: Agreement) -> Self {
        Self {
            window: agreed.window,
            messages_max: agreed.messages_max,
            begun: 0,
            messages: HashMap::new(),
            for_window: Waiters::default(),
            for_an_end: Waiters::default(),
        }
    }

    /// Begins a message: its number, and what its first piece tells. `None` while as many are under
    /// way as may be: the group then waits.
    pub(super) fn begin(&mut self, group: Group, tag: u64, total: usize) -> Option<(u32, First)> {
        if self.messages.len() >= self.messages_max {
            self.for_an_end.push(group);
            return None;
        }
        self.begun += 1;
        let number = self.begun as u32;
        let begun = Begun {
            group,
            tag,
            total,
            sent: 0,
            limit: 0,
            is_stopped: false,
        };
        self.messages.insert(number, begun);
        let total = total as u32;
        Some((number, First { group, total }))
    }

    /// How much of `size` bytes of a message may be sent now. Less than a chunk's least is nothing,
    /// unless it is the rest: the group then waits.
    pub(super) fn spend(&mut self, number: u32, size: usize, is_first: bool) -> Option<usize> {
        let message = self.messages.get_mut(&number)?;
        let rest = message.total - message.sent;
        let allowed = message.limit.saturating_sub(message.sent) + self.window;
        let mut size = size.min(rest).min(allowed);
        if size < rest.min(CHUNK_PAYLOAD_MIN) {
            let group = message.group;
            if !is_first {
                self.for_window.push(group);
                return None;
            }
            size = 0;
        }
        let before = message.borrowed();
        message.sent += size;
        self.window -= message.borrowed() - before;
        self.forget_settled(number);
        Some(size)
    }

    /// The receiver takes a message up to `limit`; its group, if it is still under way.
    pub(super) fn credit(&mut self, number: u32, limit: u32) -> Result<Option<Group>, WrongCredit> {
        let Some(message) = self.find(number)? else {
            return Ok(None);
        };
        let limit = limit as usize;
        if message.is_stopped {
            return Ok(None);
        }
        if limit > message.total || limit <= message.limit {
            return Err(WrongCredit);
        }
        let before = message.borrowed();
        message.limit = limit;
        let (group, returned) = (message.group, before - message.borrowed());
        self.window += returned;
        self.forget_settled(number);
        Ok(Some(group))
    }

    /// The receiver does not take a message, and holds nothing of it: what message, if it is still
    /// under way.
    pub(super) fn stop(&mut self, number: u32) -> Result<Option<Stopped>, WrongCredit> {
        let Some(message) = self.find(number)? else {
            return Ok(None);
        };
        let borrowed = message.borrowed();
        message.is_stopped = true;
        let stopped = Stopped {
            group: message.group,
            tag: message.tag,
            is_sent: message.sent == message.total,
        };
        self.window += borrowed;
        self.forget_settled(number);
        Ok(Some(stopped))
    }

    /// A message that was begun; `None` if it was settled or given up while what is said of it was
    /// on its way.
    fn find(&mut self, number: u32) -> Result<Option<&mut Begun>, WrongCredit> {
        let was_begun = self.was_begun(number);
        match self.messages.get_mut(&number) {
            None if !was_begun => Err(WrongCredit),
            message => Ok(message),
        }
    }

    /// The message that was a group's next is dropped, and nobody need be told: it may have waited
    /// to begin.
    pub(super) fn give_up_new(&mut self, group: Group) {
        self.for_an_end.remove(group);
    }

    /// The receiver has been told that a message is given up.
    pub(super) fn give_up(&mut self, number: u32) {
        if let Some(message) = self.messages.remove(&number) {
            self.window += message.borrowed();
            self.for_window.remove(message.group);
        }
    }

    /// A group that has waited longest for something that is there now, and so can go on.
    pub(super) fn next_waiting(&mut self) -> Option<Group> {
        let has_room = self.messages.len() < self.messages_max;
        let ended = has_room.then(|| self.for_an_end.pop()).flatten();
        let has_window = self.window >= CHUNK_PAYLOAD_MIN;
        ended.or_else(|| has_window.then(|| self.for_window.pop()).flatten())
    }

    fn forget_settled(&mut self, number: u32) {
        if let Entry::Occupied(message) = self.messages.entry(number)
            && message.get().is_settled()
        {
            self.for_window.remove(message.remove().group);
        }
    }

    /// Whether a message with this number was begun, among the last two thousand millions.
    fn was_begun(&self, number: u32) -> bool {
        let age = (self.begun as u32).wrapping_sub(number);
        u64::from(age) < self.begun.min(1 << 31)
    }

    /// Whether every message is settled, all of this window there, and nobody waits for it.
    #[cfg(test)]
    pub(super) fn is_settled(&self, window: usize) -> bool {
        let waiters = [&self.for_window, &self.for_an_end];
        let nobody_waits = waiters.map(|all| all.places.is_empty());
        self.window == window && self.messages.is_empty() && nobody_waits == [true; 2]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// 0 to 5: a group begins to wait; 6 to 11: it waits no more; 12: the first is taken.
        #[test]
        fn waiters_come_out_in_order_and_few_places_are_kept_of_those_who_left(
            steps in prop::collection::vec(0..13u64, 0..2000)
        ) {
            let (mut waiters, mut expected) = (Waiters::default(), Vec::<Group>::new());
            let group = |number: u64| Group::stream(number + 1).expect("above 0");
            for step in steps {
                match step {
                    0..6 => {
                        waiters.push(group(step));
                        if !expected.contains(&group(step)) {
                            expected.push(group(step));
                        }
                    }
                    6..12 => {
                        waiters.remove(group(step - 6));
                        expected.retain(|own| *own != group(step - 6));
                    }
                    _ => {
                        let first = (!expected.is_empty()).then(|| expected.remove(0));
                        prop_assert_eq!(waiters.pop(), first);
                    }
                }
                prop_assert_eq!(waiters.places.len(), expected.len());
                prop_assert!(waiters.order.len() <= 2 * 6 + LEFT_PLACES_MAX + 1);
            }
        }
    }
}
