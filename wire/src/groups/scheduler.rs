//! Whose turn it is: deficit round robin in bytes, new groups first, control ahead of all.
//!
//! ```text
//!            ┌ control ──────────────────────┐ ahead, but for no more than a quarter of the bytes
//!  push ─▶ ──┼ brief: [g9]  fresh: [g8]      ├─▶ pick: a piece of at most a quantum
//!            └ ring:  [g1][g2][g3] ──┐       │
//!                 ▲── out of turn ───┘───────┘ (what a group has not paid for yet, it waits for)
//! ```
//!
//! A group may send while its *balance* is above zero; each piece is taken from it, and each round
//! gives it a quantum. A message that cannot be cut puts its group into debt by its size, which the
//! next rounds pay off, so that groups with whole messages of any sizes still share by bytes.
//!
//! Groups that begin to send come first, for a quantum, and of them those that begin with no more
//! than that: who asks little waits for nobody. (As the sparse flows of FQ-CoDel, RFC 8290 section
//! 4, but that those do not wait for a burst of bulky ones.) A group that has nothing more is
//! remembered until the others have sent what it would have waited for, its debt included, so that
//! ending and beginning again gains nothing; until then it comes first with what it has left of
//! its quantum. Debts last until all is written: a group whose large message is on its way still
//! owes for it. However many of one kind there are, those behind them have half of the bytes.
//!
//! A pick takes constant time, but for the rounds that pay off debts: one visit for each quantum
//! that was sent before. Groups without messages and debts cost nothing, and queues are used again,
//! so that nothing is allocated once a connection has seen its usual number of groups.

use std::collections::{HashMap, VecDeque};

use super::group::Group;
use crate::limits::{GROUP_QUANTUM, GROUP_QUEUE_KEPT_MAX, GROUP_QUEUES_KEPT_MAX};

/// What waits to be sent.
pub(super) trait Message {
    /// Bytes that are left to send; 0 when it is finished.
    fn size(&self) -> usize;
}

/// Messages of one connection that wait for the socket, and the order in which they leave.
///
/// Invariant: every slot is unused or in the one place that it tells; a parked one has messages.
#[derive(Debug)]
pub(super) struct Scheduler<M> {
    control: VecDeque<M>,
    /// Bytes that control may send ahead of data.
    allowance: i64,
    slots: Vec<Slot<M>>,
    unused: Vec<u32>,
    by_group: HashMap<Group, u32>,
    /// Groups that have something to send, by what goes first: [`BRIEF`], [`FRESH`], [`RING`].
    lists: [VecDeque<u32>; 3],
    /// Bytes that those of the first two may send ahead of those behind them.
    head_starts: [i64; RING],
    /// Slots that were idle when they were put here.
    idle: VecDeque<u32>,
    /// Bytes of data that were ever picked.
    sent: u64,
    size: usize,
    messages: usize,
    /// Groups that picks have looked at.
    #[cfg(test)]
    looks: usize,
}

#[derive(Debug)]
struct Slot<M> {
    group: Group,
    queue: VecDeque<M>,
    balance: i64,
    place: SlotPlace,
    /// Where `sent` has to be for an idle group to be forgotten.
    free_at: u64,
    /// Whether the list of idle ones has it, if it is idle or not.
    is_on_idle_list: bool,
}

/// Where a slot that is in use is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SlotPlace {
    /// Among the new ones or in the ring.
    Listed,
    /// Nowhere, until it is woken.
    Parked,
    /// Not forgotten yet, though it has nothing to send.
    Idle,
}

/// Bytes of data, while there are any, for each byte of control at least.
const DATA_PER_CONTROL: i64 = 3;

/// Messages for which a queue takes memory, if it takes any.
const QUEUE_MIN: usize = 4;

const QUANTUM: i64 = GROUP_QUANTUM as i64;

/// The list of groups that begin with no more than they may send at once.
const BRIEF: usize = 0;
/// The list of others that begin.
const FRESH: usize = 1;
/// The list of those that go on.
const RING: usize = 2;

/// Bytes that a burst of groups may send ahead of those behind them, which give as many back.
const HEAD_START_MAX: i64 = 64 * QUANTUM;

impl<M> Default for Scheduler<M> {
    fn default() -> Self {
        Self {
            control: VecDeque::new(),
            allowance: QUANTUM,
            slots: Vec::new(),
            unused: Vec::new(),
            by_group: HashMap::new(),
            lists: [const { VecDeque::new() }; 3],
            head_starts: [HEAD_START_MAX; RING],
            idle: VecDeque::new(),
            sent: 0,
            size: 0,
            messages: 0,
            #[cfg(test)]
            looks: 0,
        }
    }
}

impl<M: Message> Scheduler<M> {
    /// Bytes that wait.
    #[must_use]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Bytes of control that wait: few messages, for small ones are put together.
    #[must_use]
    pub(super) fn control_size(&self) -> usize {
        self.control.iter().map(M::size).sum()
    }

    /// Whether nothing waits.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Memory of the queues, about: what is kept for the next does not count when nothing waits,
    /// and what waits in them only by `of_message` bytes each.
    #[must_use]
    pub(super) fn overhead(&self, of_message: usize) -> usize {
        if self.messages == 0 && self.slots.len() <= GROUP_QUEUES_KEPT_MAX {
            return 0;
        }
        let entry = size_of::<(Group, u32)>() + size_of::<u32>();
        let slot = entry + size_of::<Slot<M>>() + QUEUE_MIN * size_of::<M>();
        self.slots.len() * slot + self.messages * of_message
    }

    /// Adds a message behind those of its group.
    pub(super) fn push(&mut self, group: Group, message: M) {
        self.size += message.size();
        self.messages += 1;
        if group == Group::Control {
            self.control.push_back(message);
            return;
        }
        let index = self.enter(group, message.size());
        self.slot_mut(index).queue.push_back(message);
    }

    /// Lets the last message of a group grow by what `extend` adds to it, if that adds anything.
    pub(super) fn extend_last(
        &mut self,
        group: Group,
        extend: impl FnOnce(&mut M) -> bool,
    ) -> bool {
        let Some(message) = self.queue_mut(group).and_then(VecDeque::back_mut) else {
            return false;
        };
        let before = message.size();
        let is_extended = extend(message);
        let added = message.size() - before;
        self.size += added;
        is_extended
    }

    /// What is to be sent next; `None` if nothing waits or nothing may be sent.
    ///
    /// `take` is given a message and takes the next piece off it: of about a quantum's bytes if it
    /// is to be cut, and up to `alone` if no other group has something to send; else the whole. It
    /// answers `None` if nothing of its group may be sent now, for want of the receiver's credit,
    /// say: the group then stands still until it is woken.
    pub(super) fn pick<P>(
        &mut self,
        alone: usize,
        mut take: impl FnMut(Group, &mut M, usize) -> Option<P>,
    ) -> Option<P> {
        let mut picked = None;
        if self.allowance > 0 {
            picked = self.pick_control(&mut take);
        }
        if picked.is_none() {
            picked = self.pick_data(alone, &mut take);
        }
        if picked.is_none() {
            picked = self.pick_control(&mut take);
        }
        picked
    }

    fn pick_control<P>(
        &mut self,
        take: &mut impl FnMut(Group, &mut M, usize) -> Option<P>,
    ) -> Option<P> {
        let message = self.control.front_mut()?;
        let before = message.size();
        let piece = take(Group::Control, message, GROUP_QUANTUM)?;
        let sent = before - message.size();
        if sent == before {
            self.control.pop_front();
            self.messages -= 1;
        }
        self.size -= sent;
        self.allowance = (self.allowance - signed(sent)).max(-QUANTUM);
        Some(piece)
    }

    fn pick_data<P>(
        &mut self,
        alone: usize,
        take: &mut impl FnMut(Group, &mut M, usize) -> Option<P>,
    ) -> Option<P> {
        self.forget_idle();
        loop {
            let rank = self.next_list();
            let is_alone = self.listed() == 1;
            let list = &mut self.lists[rank];
            let index = *list.front()?;
            #[cfg(test)]
            {
                self.looks += 1;
            }
            let slot = &mut self.slots[index as usize];
            if slot.balance <= 0 {
                slot.balance += QUANTUM;
                list.pop_front();
                self.lists[RING].push_back(index);
                continue;
            }
            let Some(message) = slot.queue.front_mut() else {
                list.pop_front();
                self.rest_group(index);
                continue;
            };
            let before = message.size();
            let size = if is_alone { alone } else { GROUP_QUANTUM };
            let Some(piece) = take(slot.group, message, size) else {
                slot.place = SlotPlace::Parked;
                list.pop_front();
                continue;
            };
            let sent = before - message.size();
            if sent == before {
                slot.queue.pop_front();
                self.messages -= 1;
            }
            slot.balance -= signed(sent);
            self.sent += sent as u64;
            self.size -= sent;
            self.allowance = (self.allowance + signed(sent) / DATA_PER_CONTROL).min(QUANTUM);
            self.count_ahead(rank, signed(sent));
            return Some(piece);
        }
    }

    /// Groups that have something to send, as far as is known.
    fn listed(&self) -> usize {
        self.lists.iter().map(VecDeque::len).sum()
    }

    fn has_behind(&self, rank: usize) -> bool {
        self.lists[rank + 1..].iter().any(|list| !list.is_empty())
    }

    /// The list whose turn it is: the first of those that have a head start left.
    fn next_list(&self) -> usize {
        let may_go = |rank: &usize| {
            let has_start = self.head_starts[*rank] > 0 || !self.has_behind(*rank);
            has_start && !self.lists[*rank].is_empty()
        };
        (BRIEF..RING).find(may_go).unwrap_or(RING)
    }

    /// Bytes of a group of this list were sent: ahead of those behind it, and behind others.
    fn count_ahead(&mut self, rank: usize, sent: i64) {
        for start in &mut self.head_starts[..rank] {
            *start = (*start + sent).min(HEAD_START_MAX);
        }
        if rank < RING && self.has_behind(rank) {
            let start = &mut self.head_starts[rank];
            *start = (*start - sent).max(-QUANTUM);
        }
    }

    /// Lets a group go on whose message could not be sent: the receiver has given credit.
    pub(super) fn wake(&mut self, group: Group) {
        let Some(&index) = self.by_group.get(&group) else {
            return;
        };
        let slot = self.slot_mut(index);
        if slot.place == SlotPlace::Parked {
            slot.place = SlotPlace::Listed;
            self.lists[RING].push_back(index);
        }
    }

    /// Keeps of a group's messages what `keep` says, which may also make another of one.
    pub(super) fn retain(&mut self, group: Group, mut keep: impl FnMut(&mut M) -> bool) {
        let Some(queue) = self.queue_mut(group) else {
            return;
        };
        let (before, mut taken, mut added) = (queue.len(), 0, 0);
        queue.retain_mut(|message| {
            taken += message.size();
            let stays = keep(message);
            added += if stays { message.size() } else { 0 };
            stays
        });
        let dropped = before - queue.len();
        self.messages -= dropped;
        self.size = self.size - taken + added;
        self.wake(group);
    }

    /// How many groups were looked at to find whose turn it is.
    #[cfg(test)]
    pub(super) fn looks(&self) -> usize {
        self.looks
    }

    /// Slots that it keeps, in use or not.
    #[cfg(test)]
    pub(super) fn slots_in_memory(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of this group that wait.
    #[cfg(test)]
    pub(super) fn size_of(&mut self, group: Group) -> usize {
        let queue = self.queue_mut(group);
        queue.map_or(0, |queue| queue.iter().map(M::size).sum())
    }

    /// The messages of a group, if it is known.
    fn queue_mut(&mut self, group: Group) -> Option<&mut VecDeque<M>> {
        if group == Group::Control {
            return Some(&mut self.control);
        }
        let &index = self.by_group.get(&group)?;
        Some(&mut self.slot_mut(index).queue)
    }

    fn slot_mut(&mut self, index: u32) -> &mut Slot<M> {
        &mut self.slots[index as usize]
    }

    /// The slot of a group that is about to have a message of this size; it is new if it has none.
    fn enter(&mut self, group: Group, size: usize) -> u32 {
        if let Some(&index) = self.by_group.get(&group) {
            if self.slot_mut(index).place == SlotPlace::Idle {
                self.list(index, size);
            }
            return index;
        }
        let index = self.unused.pop().unwrap_or_else(|| {
            self.slots.push(Slot::new(group));
            (self.slots.len() - 1) as u32
        });
        let slot = self.slot_mut(index);
        (slot.group, slot.balance) = (group, QUANTUM);
        self.by_group.insert(group, index);
        self.list(index, size);
        index
    }

    /// A group begins to send, with a message of this size and what it has left of its quantum.
    fn list(&mut self, index: u32, size: usize) {
        let slot = self.slot_mut(index);
        slot.place = SlotPlace::Listed;
        let rank = match slot.balance {
            ..=0 => RING,
            left if signed(size) <= left => BRIEF,
            _ => FRESH,
        };
        self.lists[rank].push_back(index);
    }

    /// Forgets a group that has nothing to send.
    fn leave(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.queue.shrink_to(GROUP_QUEUE_KEPT_MAX);
        self.by_group.remove(&slot.group);
        self.unused.push(index);
    }

    /// A group has nothing more to send. It would have waited for a quantum of each of the others,
    /// and for as many more as it owes.
    fn rest_group(&mut self, index: u32) {
        let others = self.listed() as u64 + 1;
        let sent = self.sent;
        let slot = self.slot_mut(index);
        let owes = u64::try_from(QUANTUM - slot.balance).unwrap_or(0);
        slot.free_at = sent.saturating_add(owes.saturating_mul(others));
        slot.place = SlotPlace::Idle;
        if !std::mem::replace(&mut slot.is_on_idle_list, true) {
            self.idle.push_back(index);
        }
    }

    /// Forgets idle groups whose time has come, of the two that were looked at longest ago: at each
    /// pick, to which at most one is added.
    fn forget_idle(&mut self) {
        for _ in 0..2 {
            let Some(index) = self.idle.pop_front() else {
                return;
            };
            let sent = self.sent;
            let slot = self.slot_mut(index);
            if slot.place == SlotPlace::Idle && sent < slot.free_at {
                self.idle.push_back(index);
                continue;
            }
            slot.is_on_idle_list = false;
            if slot.place == SlotPlace::Idle {
                self.leave(index);
            }
        }
    }

    /// Everything was written that was picked: if nothing waits either, nobody owes anything to
    /// anybody, and all groups are forgotten. What is kept for the next is bounded.
    pub(super) fn rest(&mut self) {
        if self.messages > 0 {
            return;
        }
        if self.slots.len() > GROUP_QUEUES_KEPT_MAX {
            *self = Self::default();
            return;
        }
        self.allowance = QUANTUM;
        self.head_starts = [HEAD_START_MAX; RING];
        self.control.shrink_to(GROUP_QUEUE_KEPT_MAX);
        while let Some(index) = self.idle.pop_front() {
            let slot = self.slot_mut(index);
            slot.is_on_idle_list = false;
            if slot.place == SlotPlace::Idle {
                self.leave(index);
            }
        }
        while let Some(index) = self.lists.iter_mut().find_map(VecDeque::pop_front) {
            self.leave(index);
        }
    }
}

impl<M> Slot<M> {
    fn new(group: Group) -> Self {
        Self {
            group,
            queue: VecDeque::new(),
            balance: 0,
            place: SlotPlace::Listed,
            free_at: 0,
            is_on_idle_list: false,
        }
    }
}

/// Sizes in memory are below `i64::MAX`.
fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
