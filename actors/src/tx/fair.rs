//! Whose request is next, when many wait: turns by user, by address, by connection.
//!
//! ```text
//!   user ─┬─ address ─┬─ connection     at each level: who has had least goes first, by what its
//!         │           └─ connection     requests have taken; who comes new has had as much as the
//!         └─ address ─── connection     one that is served, and not less
//! ```
//!
//! So a request that comes waits for the one at hand and, at each level, for one of each of those
//! that came before and were not served yet, but for what is known to be small: that goes before
//! those. Who has many connections has no more of it than who has one. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::engine::Caller;

/// Who waits.
#[derive(Debug)]
pub(super) struct Whose {
    user: Arc<str>,
    address: IpAddr,
    pub(super) connection: u64,
}

impl Whose {
    pub(super) fn of(caller: &Caller) -> Rc<Self> {
        Rc::new(Self {
            user: caller.user.name.clone(),
            address: caller.counted_address(),
            connection: caller.connection,
        })
    }
}

/// All who wait.
pub(super) type Fair = Level<Arc<str>, Level<IpAddr, Level<u64, One>>>;

/// By what a level tells its branches apart.
pub(super) trait BranchKey: Ord + Clone {
    fn of(whose: &Whose) -> Self;
}

impl BranchKey for Arc<str> {
    fn of(whose: &Whose) -> Self {
        whose.user.clone()
    }
}

impl BranchKey for IpAddr {
    fn of(whose: &Whose) -> Self {
        whose.address
    }
}

impl BranchKey for u64 {
    fn of(whose: &Whose) -> Self {
        whose.connection
    }
}

/// Some of those who wait.
pub(super) trait Branch: Default {
    /// One joins, who is not there. `is_small`: what it waits with takes next to nothing.
    fn enter(&mut self, whose: &Rc<Whose>, is_small: bool);
    /// Who is next.
    fn first(&self) -> Option<&Rc<Whose>>;
    /// The next one was served, which took this much.
    fn spend(&mut self, whose: &Whose, cost: u64);
    /// One waits no more.
    fn leave(&mut self, whose: &Whose);
    fn is_empty(&self) -> bool;
}

/// Where a branch stands: who has had less before who has had more, small things before others,
/// then as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    had: u64,
    is_large: bool,
    number: u64,
}

/// Lanes that have turns.
#[derive(Debug)]
pub(super) struct Level<K, L> {
    branches: BTreeMap<K, (Standing, L)>,
    order: BTreeMap<Standing, K>,
    /// What the one that was served last had had before.
    had: u64,
    /// Of the last place.
    number: u64,
}

impl<K, L> Default for Level<K, L> {
    fn default() -> Self {
        Self {
            branches: BTreeMap::new(),
            order: BTreeMap::new(),
            had: 0,
            number: 0,
        }
    }
}

impl<K: BranchKey, L: Branch> Branch for Level<K, L> {
    fn enter(&mut self, whose: &Rc<Whose>, is_small: bool) {
        let key = K::of(whose);
        if let Some((_, branch)) = self.branches.get_mut(&key) {
            return branch.enter(whose, is_small);
        }
        self.number += 1;
        let place = Standing {
            had: self.had,
            is_large: !is_small,
            number: self.number,
        };
        let mut branch = L::default();
        branch.enter(whose, is_small);
        self.order.insert(place, key.clone());
        self.branches.insert(key, (place, branch));
    }

    fn first(&self) -> Option<&Rc<Whose>> {
        let (_, key) = self.order.first_key_value()?;
        self.branches.get(key)?.1.first()
    }

    fn spend(&mut self, whose: &Whose, cost: u64) {
        let key = K::of(whose);
        let Some((place, branch)) = self.branches.get_mut(&key) else {
            return;
        };
        self.order.remove(place);
        self.had = self.had.max(place.had);
        self.number += 1;
        *place = Standing {
            had: place.had + cost,
            is_large: true,
            number: self.number,
        };
        self.order.insert(*place, key);
        branch.spend(whose, cost);
    }

    fn leave(&mut self, whose: &Whose) {
        let key = K::of(whose);
        let Some((place, branch)) = self.branches.get_mut(&key) else {
            return;
        };
        branch.leave(whose);
        if branch.is_empty() {
            self.order.remove(place);
            self.branches.remove(&key);
        }
    }

    fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }
}

/// One connection, or none.
#[derive(Debug, Default)]
pub(super) struct One(Option<Rc<Whose>>);

impl Branch for One {
    fn enter(&mut self, whose: &Rc<Whose>, _is_small: bool) {
        self.0 = Some(whose.clone());
    }

    fn first(&self) -> Option<&Rc<Whose>> {
        self.0.as_ref()
    }

    fn spend(&mut self, _whose: &Whose, _cost: u64) {}

    fn leave(&mut self, _whose: &Whose) {
        self.0 = None;
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn whose(user: &str, address: u8, connection: u64) -> Rc<Whose> {
        Rc::new(Whose {
            user: user.into(),
            address: Ipv4Addr::new(10, 0, 0, address).into(),
            connection,
        })
    }

    /// Serves this number, each of which takes this much; returns their connections.
    fn serve(fair: &mut Fair, count: usize, cost: u64) -> Vec<u64> {
        let mut served = Vec::new();
        for _ in 0..count {
            let next = fair.first().expect("somebody waits").clone();
            served.push(next.connection);
            fair.spend(&next, cost);
        }
        served
    }

    #[test]
    fn who_comes_waits_for_one_of_each_at_its_level_and_for_none_of_the_rest() {
        let mut fair = Fair::default();
        for connection in 1..=100 {
            fair.enter(&whose("guest", 1, connection), false);
        }
        assert_eq!(serve(&mut fair, 3, 9000), [1, 2, 3]);
        fair.enter(&whose("alice", 1, 200), false);
        fair.enter(&whose("guest", 2, 300), false);
        // Of the users and of guest's addresses, the new ones are next.
        assert_eq!(serve(&mut fair, 1, 9000), [200]);
        assert_eq!(serve(&mut fair, 3, 9000), [300, 200, 4]);
    }

    #[test]
    fn what_is_small_goes_before_those_that_were_not_served_yet() {
        let mut fair = Fair::default();
        for connection in 1..=100 {
            fair.enter(&whose("guest", 1, connection), false);
        }
        assert_eq!(serve(&mut fair, 1, 9000), [1]);
        let small = whose("guest", 1, 200);
        fair.enter(&small, true);
        assert_eq!(serve(&mut fair, 2, 1), [200, 2], "once");
        fair.leave(&small);
        assert_eq!(serve(&mut fair, 98, 1).len(), 98);
    }

    #[test]
    fn who_takes_little_has_many_turns_for_one_of_who_takes_much() {
        let mut fair = Fair::default();
        fair.enter(&whose("guest", 1, 1), false);
        fair.enter(&whose("alice", 1, 2), false);
        let (mut large, mut small) = (0, 0);
        for _ in 0..1000 {
            let next = fair.first().expect("both wait").clone();
            let is_large = next.connection == 1;
            large += usize::from(is_large);
            small += usize::from(!is_large);
            fair.spend(&next, if is_large { 100 } else { 1 });
        }
        assert!((9..=11).contains(&large), "{large} beside {small}");
    }

    #[test]
    fn nothing_is_left_of_those_who_have_left() {
        let mut fair = Fair::default();
        let all: Vec<_> = (0..20)
            .map(|n| whose(["a", "b"][n % 2], n as u8 % 3, n as u64))
            .collect();
        all.iter().for_each(|own| fair.enter(own, false));
        serve(&mut fair, 50, 3);
        for own in &all {
            assert!(!fair.is_empty());
            fair.leave(own);
        }
        assert!(fair.is_empty() && fair.first().is_none() && fair.order.is_empty());
    }
}
