//! When a map is looked through for entries that are over. Pure.
//!
//! ```text
//!   left after a look ── grows to twice as many, and to the least ──▶ the next look
//! ```
//!
//! So a look costs what as many new entries have cost as it goes over, whatever the map holds.

use std::collections::HashMap;

/// At how many entries the next look is.
#[derive(Debug)]
pub(super) struct SweepAt {
    least: usize,
    next: usize,
}

impl SweepAt {
    /// None before there are as many as these.
    pub(super) const fn new(least: usize) -> Self {
        let next = least;
        Self { least, next }
    }

    /// Before another entry: drops those that are over, if it is time.
    pub(super) fn sweep<K, V>(
        &mut self,
        map: &mut HashMap<K, V>,
        is_kept: impl Fn(&K, &V) -> bool,
    ) {
        if map.len() >= self.next {
            map.retain(|key, value| is_kept(key, value));
            self.next = self.least.max(2 * map.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_when_there_are_twice_as_many_as_were_left() {
        let (mut at, mut map) = (SweepAt::new(4), HashMap::new());
        let mut looks = Vec::new();
        for number in 0..20 {
            let before = map.len();
            at.sweep(&mut map, |own, ()| own % 2 == 0);
            if map.len() < before {
                looks.push((before, map.len()));
            }
            map.insert(number, ());
        }
        assert_eq!(looks, [(4, 2), (4, 3), (6, 5), (10, 7)]);
    }
}
