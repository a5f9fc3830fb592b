//! Who waits until a link has written what it had of a connection: another link, which sends
//! nothing of that connection before. Pure.
//!
//! ```text
//!   follow ─▶ one for each connection and link, by how many bytes are written then ─▶ written: go
//! ```

use std::collections::{BTreeMap, HashMap};

/// Which connection waits, and on which link: by a number that no other link has meanwhile.
type FollowerKey = (u64, usize);

/// The followers of one link, which are reached as `T`.
#[derive(Debug)]
pub(crate) struct LinkFollowers<T> {
    /// By how many bytes are written when they go on.
    waiting: BTreeMap<(u64, FollowerKey), T>,
    until: HashMap<FollowerKey, u64>,
}

impl<T> Default for LinkFollowers<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            until: HashMap::new(),
        }
    }
}

impl<T> LinkFollowers<T> {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A link waits for this number of bytes, for this connection. False if it has waited for fewer
    /// before: it is told once.
    pub(crate) fn follow(&mut self, own: FollowerKey, until: u64, link: T) -> bool {
        let before = self.until.get(&own).copied();
        if before.is_some_and(|before| before >= until) {
            return false;
        }
        if let Some(before) = before {
            self.waiting.remove(&(before, own));
        }
        self.until.insert(own, until);
        self.waiting.insert((until, own), link);
        before.is_none()
    }

    /// This number of bytes is written: who goes on by that, with the connection.
    pub(crate) fn take(&mut self, written: u64) -> Vec<(u64, T)> {
        let mut over = Vec::new();
        while let Some(first) = self.waiting.first_entry()
            && first.key().0 <= written
        {
            let ((_, own), link) = first.remove_entry();
            self.until.remove(&own);
            over.push((own.0, link));
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_link_is_told_once_for_a_connection_when_all_is_written() {
        let mut own = LinkFollowers::default();
        assert!(own.follow((7, 1), 10, "one"));
        assert!(own.follow((7, 2), 10, "other"));
        assert!(own.follow((8, 1), 10, "one"));
        assert!(!own.follow((7, 1), 20, "one"), "it waits already");
        assert!(!own.follow((7, 1), 15, "one"), "and for more than that");
        assert_eq!(own.take(9), []);
        assert_eq!(own.take(10), [(7, "other"), (8, "one")]);
        assert_eq!(own.take(19), []);
        assert_eq!(own.take(u64::MAX), [(7, "one")]);
        assert!(own.is_empty() && own.until.is_empty());
        assert!(own.follow((7, 1), 5, "one"), "again");
    }
}
