//! Deadlines of many things at once, pure: a hashed wheel with `now` passed in.
//!
//! ```text
//!   set ─▶ slot of its tick ─▶ list through the entries themselves
//!          │ 0 │ 1 │ 2 │ … │ 511 │  one slot per 10 ms; a later round waits in the same slot
//!                ▲ last tick looked at ─▶ expire(now) empties the slots up to now
//! ```
//!
//! Setting and clearing are O(1) and allocate nothing once the table has grown: most deadlines are
//! cleared long before they are due (Varghese and Lauck, scheme 6). Nothing is due too early; it is
//! found at most a tick late.

use std::time::{Duration, Instant};

use crate::limits::{TIMER_SLOTS, TIMER_TICK};

const NONE: u32 = u32::MAX;

/// One thing's place in the list of its slot.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// When it is due, in ticks; `None`: not set.
    due: Option<u64>,
    next: u32,
    before: u32,
}

const UNSET: Entry = Entry {
    due: None,
    next: NONE,
    before: NONE,
};

/// Deadlines by small numbers: things that have numbers (a table's slots, say) can be timed.
#[derive(Debug)]
pub(crate) struct Timers {
    origin: Instant,
    /// The first entry of each slot.
    heads: Box<[u32]>,
    /// A bit for each slot in which something is.
    occupied: [u64; TIMER_SLOTS / 64],
    entries: Vec<Entry>,
    /// The last tick whose slot was looked at.
    tick: u64,
    count: usize,
}

impl Timers {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            heads: vec![NONE; TIMER_SLOTS].into_boxed_slice(),
            occupied: [0; TIMER_SLOTS / 64],
            entries: Vec::new(),
            tick: 0,
            count: 0,
        }
    }

    /// Sets the deadline of `index`, which has none.
    #[inline]
    pub(crate) fn set(&mut self, index: u32, deadline: Instant) {
        let at = index as usize;
        if self.entries.len() <= at {
            self.entries.resize(at + 1, UNSET);
        }
        debug_assert!(
            self.entries[at].due.is_none(),
            "cleared before it is reused"
        );
        let due = ticks_up(deadline.saturating_duration_since(self.origin)).max(self.tick + 1);
        let slot = slot_of(due);
        let next = std::mem::replace(&mut self.heads[slot], index);
        self.entries[at] = Entry {
            due: Some(due),
            next,
            before: NONE,
        };
        if next != NONE {
            self.entries[next as usize].before = index;
        }
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.count += 1;
    }

    /// Sets the deadline of `index`, unless it has one that is no later. True if it was set.
    pub(crate) fn shorten(&mut self, index: u32, deadline: Instant) -> bool {
        let due = ticks_up(deadline.saturating_duration_since(self.origin));
        let entry = self.entries.get(index as usize);
        if entry.is_some_and(|own| own.due.is_some_and(|own| own <= due)) {
            return false;
        }
        self.clear(index);
        self.set(index, deadline);
        true
    }

    /// The deadline of `index`, to the tick.
    pub(crate) fn deadline(&self, index: u32) -> Option<Instant> {
        let due = self.entries.get(index as usize)?.due?;
        let ticks = u32::try_from(due).unwrap_or(u32::MAX);
        self.origin.checked_add(TIMER_TICK.saturating_mul(ticks))
    }

    /// Takes a deadline back, if there is one.
    #[inline]
    pub(crate) fn clear(&mut self, index: u32) {
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return;
        };
        let Some(due) = entry.due.take() else { return };
        let Entry { next, before, .. } = *entry;
        let slot = slot_of(due);
        if before == NONE {
            self.heads[slot] = next;
            if next == NONE {
                self.occupied[slot / 64] &= !(1 << (slot % 64));
            }
        } else {
            self.entries[before as usize].next = next;
        }
        if next != NONE {
            self.entries[next as usize].before = before;
        }
        self.count -= 1;
    }

    /// Takes out everything that is due.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<u32> {
        let mut due = Vec::new();
        let until = ticks_down(now.saturating_duration_since(self.origin));
        if until <= self.tick {
            return due;
        }
        // A whole turn of the wheel meets every slot.
        let from = (self.tick + 1).max((until + 1).saturating_sub(TIMER_SLOTS as u64));
        for tick in from..=until {
            if self.count == 0 {
                break;
            }
            let mut index = self.heads[slot_of(tick)];
            while index != NONE {
                let entry = self.entries[index as usize];
                if entry.due.is_some_and(|own| own <= until) {
                    self.clear(index);
                    due.push(index);
                }
                index = entry.next;
            }
        }
        self.tick = until;
        due
    }

    /// When the first one is due: a look at each.
    #[cfg(feature = "testing")]
    pub(crate) fn first_due(&self) -> Option<Instant> {
        let first = self.entries.iter().filter_map(|own| own.due).min()?;
        let nanos = TIMER_TICK.as_nanos() as u64 * first;
        Some(self.origin + Duration::from_nanos(nanos))
    }

    /// When [`expire`](Self::expire) is worth calling next; it may find nothing then. `None`:
    /// nothing is set.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        if self.count == 0 {
            return None;
        }
        let first = self.tick + 1;
        let words = self.occupied.len();
        let (word, bit) = (slot_of(first) / 64, slot_of(first) % 64);
        let ahead = (0..=words).find_map(|step| {
            let bits = self.occupied[(word + step) % words];
            let kept = match step {
                0 => bits & (u64::MAX << bit),
                _ if step == words => bits & !(u64::MAX << bit),
                _ => bits,
            };
            (kept != 0).then(|| (64 * step + kept.trailing_zeros() as usize) - bit)
        })?;
        // 2^64 ns are 584 years.
        let nanos = TIMER_TICK.as_nanos() as u64 * (first + ahead as u64);
        Some(self.origin + Duration::from_nanos(nanos))
    }
}

fn slot_of(tick: u64) -> usize {
    (tick % TIMER_SLOTS as u64) as usize
}

fn ticks_down(time: Duration) -> u64 {
    (time.as_nanos() / TIMER_TICK.as_nanos()) as u64
}

/// Rounded up: nothing is due before its time.
fn ticks_up(time: Duration) -> u64 {
    let ticks = time.as_nanos().div_ceil(TIMER_TICK.as_nanos());
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_due_is_found_once_and_what_was_cleared_never() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        timers.set(0, start + TIMER_TICK);
        timers.set(1, start + TIMER_TICK);
        timers.set(2, start + TIMER_TICK * (TIMER_SLOTS as u32 + 1));
        timers.clear(1);
        assert_eq!(timers.expire(start), []);
        assert_eq!(timers.next_look(), Some(start + TIMER_TICK));
        assert_eq!(timers.expire(start + TIMER_TICK), [0]);
        assert_eq!(timers.expire(start + TIMER_TICK * 3), []);
        assert_eq!(timers.expire(start + TIMER_TICK * (TIMER_SLOTS as u32)), []);
        assert_eq!(timers.expire(start + TIMER_TICK * 9000), [2]);
        assert_eq!(timers.next_look(), None);
    }

    #[test]
    fn what_is_over_already_is_due_at_the_next_look() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        assert_eq!(timers.expire(start + TIMER_TICK * 700), []);
        timers.set(7, start);
        let next = timers.next_look().expect("something is set");
        assert_eq!(next, start + TIMER_TICK * 701);
        assert_eq!(timers.expire(next), [7]);
    }

    proptest! {
        /// Against the plainest model: a map from number to deadline.
        #[test]
        fn it_finds_what_a_sorted_map_finds(
            steps in prop::collection::vec((0..3u8, 0..40u32, 0..20_000u64), 1..300),
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut timers = Timers::new(start);
            let mut model = BTreeMap::new();
            for (step, index, time_ms) in steps {
                match step {
                    0 => {
                        timers.clear(index);
                        let deadline = now + Duration::from_millis(time_ms);
                        timers.set(index, deadline);
                        model.insert(index, deadline);
                    }
                    1 => {
                        timers.clear(index);
                        model.remove(&index);
                    }
                    _ => {
                        // Now and then exactly when it asks to be looked at.
                        let next = timers.next_look().filter(|_| time_ms % 2 == 0);
                        now = next.unwrap_or(now + Duration::from_millis(time_ms / 10)).max(now);
                        for index in timers.expire(now) {
                            let deadline = model.remove(&index).expect("set and not cleared");
                            prop_assert!(deadline <= now, "too early");
                        }
                        for deadline in model.values() {
                            prop_assert!(*deadline + TIMER_TICK * 2 > now, "too late");
                        }
                    }
                }
                prop_assert_eq!(timers.next_look().is_none(), model.is_empty());
                let first = model.values().min();
                prop_assert_eq!(first.is_none(), timers.first_due().is_none());
                if let (Some(first), Some(due)) = (first, timers.first_due()) {
                    prop_assert!(due >= *first, "too early");
                    prop_assert!(due < (*first).max(now) + TIMER_TICK * 2, "too late");
                }
            }
        }
    }
}
