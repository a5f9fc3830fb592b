//! An ordered set whose copies share their nodes.
//!
//! ```text
//!   copy ──▶ [ 8 │ 16 │ 24 ]                 a change copies the nodes on its way down,
//!             ├▶ [ 1 … 7 ]                   and shares all others with the copies before it
//!             └▶ [ 9 … 15 ]  …
//!            [ 8 │ 16 │ 24 ]'
//!             ├▶ (the same)
//!             └▶ [ 9 … 15 ]' …
//! ```
//!
//! A persistent B-tree, with items in all nodes. Readers keep the copy that they have, however long
//! they look at it, and a writer pays for what it changes, however much else there is: with a
//! million items, a change copies some five nodes, and to copy the set is to count one reference.
//! Who walks over many items waits for memory once in a node, and not at each of them.
//!
//! Where an item stands is told by closures, so that one kind of item can be found by any key.

use std::cmp::Ordering;
use std::mem;
use std::sync::Arc;

/// Items of a node. With more a walk is faster, and a change slower, which copies whole nodes.
const ITEMS_MAX: usize = 15;
/// A node with fewer looks for a neighbor to join, or takes an item of it.
const ITEMS_FEW: usize = ITEMS_MAX / 2;

/// An ordered set. To clone it takes the same time whatever it holds.
#[derive(Debug, Clone)]
pub struct SharedTree<T> {
    /// Without items if the set has none.
    root: Arc<Node<T>>,
    len: usize,
}

#[derive(Debug)]
struct Node<T> {
    items: Vec<T>,
    /// What stands before each item, and behind the last one: one more than items, or none at the
    /// bottom, which is equally far from the root everywhere.
    children: Vec<Arc<Self>>,
}

impl<T> Default for SharedTree<T> {
    fn default() -> Self {
        Self {
            root: Arc::new(Node::of(Vec::new())),
            len: 0,
        }
    }
}

impl<T> SharedTree<T> {
    /// How many items it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The item that stands where `place` says: how an item compares to the one that is wanted.
    #[inline]
    pub fn get(&self, place: impl Fn(&T) -> Ordering) -> Option<&T> {
        let mut node = &*self.root;
        loop {
            match node.find(&place) {
                Ok(at) => return node.items.get(at),
                Err(at) => node = node.children.get(at)?,
            }
        }
    }

    /// Every item, in order.
    pub fn iter(&self) -> Ascending<'_, T> {
        self.from(|_| false)
    }

    /// The items that do not come before a place, in order. The items that do come before all
    /// others.
    pub fn from(&self, is_before: impl Fn(&T) -> bool) -> Ascending<'_, T> {
        Ascending {
            open: self.way(is_before),
        }
    }

    /// The items that come before a place, the last of them first.
    pub fn until(&self, is_before: impl Fn(&T) -> bool) -> Descending<'_, T> {
        Descending {
            open: self.way(is_before),
        }
    }

    /// The way down to a place: nodes, each with how many of its items come before.
    fn way(&self, is_before: impl Fn(&T) -> bool) -> Vec<(&Node<T>, usize)> {
        let (mut way, mut next) = (Vec::new(), Some(&self.root));
        while let Some(node) = next {
            let at = node.items.partition_point(&is_before);
            way.push((&**node, at));
            next = node.children.get(at);
        }
        way
    }
}

impl<T: Clone> SharedTree<T> {
    /// Puts an item where `place` says, and returns the one that stood there.
    pub fn insert(&mut self, item: T, place: impl Fn(&T) -> Ordering) -> Option<T> {
        match insert(&mut self.root, item, &place) {
            Added::Replaced(former) => return Some(former),
            Added::Fitted => {}
            Added::Split(middle, right) => {
                let left = mem::replace(&mut self.root, right);
                let right = mem::replace(&mut self.root, Arc::new(Node::of(vec![middle])));
                Arc::make_mut(&mut self.root).children.extend([left, right]);
            }
        }
        self.len += 1;
        None
    }

    /// The item that stands where `place` says, to be changed so that it stands there still. Nodes
    /// on the way to it are copied if other sets share them, and else changed in place.
    pub fn get_mut(&mut self, place: impl Fn(&T) -> Ordering) -> Option<&mut T> {
        // Nothing is copied for what is not there.
        self.get(&place)?;
        let mut node = &mut self.root;
        loop {
            let own = Arc::make_mut(node);
            match own.find(&place) {
                Ok(at) => return own.items.get_mut(at),
                Err(at) => node = own.children.get_mut(at)?,
            }
        }
    }

    /// Takes out the item that stands where `place` says.
    pub fn remove(&mut self, place: impl Fn(&T) -> Ordering) -> Option<T> {
        // Nothing is copied for what is not there.
        self.get(&place)?;
        let removed = remove(&mut self.root, &place);
        self.len -= usize::from(removed.is_some());
        if let ([], [only]) = (&*self.root.items, &*self.root.children) {
            self.root = only.clone();
        }
        removed
    }
}

/// What became of an insertion.
enum Added<T> {
    Replaced(T),
    Fitted,
    /// The node was full: the node stands to its right, and the item between both.
    Split(T, Arc<Node<T>>),
}

fn insert<T: Clone>(node: &mut Arc<Node<T>>, item: T, place: &impl Fn(&T) -> Ordering) -> Added<T> {
    let node = Arc::make_mut(node);
    let at = match node.find(place) {
        Ok(at) => return Added::Replaced(mem::replace(&mut node.items[at], item)),
        Err(at) => at,
    };
    let Some(child) = node.children.get_mut(at) else {
        node.items.insert(at, item);
        return node.split(at);
    };
    match insert(child, item, place) {
        Added::Split(middle, right) => {
            node.items.insert(at, middle);
            node.children.insert(at + 1, right);
            node.split(at)
        }
        done => done,
    }
}

fn remove<T: Clone>(node: &mut Arc<Node<T>>, place: &impl Fn(&T) -> Ordering) -> Option<T> {
    let node = Arc::make_mut(node);
    let (at, is_here) = match node.find(place) {
        Ok(at) => (at, true),
        Err(at) => (at, false),
    };
    if node.children.is_empty() {
        return is_here.then(|| node.items.remove(at));
    }
    if !is_here {
        let removed = remove(&mut node.children[at], place)?;
        node.fill(at);
        return Some(removed);
    }
    // The next item takes its place.
    let next = remove_first(&mut node.children[at + 1])?;
    let removed = mem::replace(&mut node.items[at], next);
    node.fill(at + 1);
    Some(removed)
}

fn remove_first<T: Clone>(node: &mut Arc<Node<T>>) -> Option<T> {
    let node = Arc::make_mut(node);
    let Some(child) = node.children.first_mut() else {
        return (!node.items.is_empty()).then(|| node.items.remove(0));
    };
    let first = remove_first(child)?;
    node.fill(0);
    Some(first)
}

impl<T: Clone> Clone for Node<T> {
    /// With room for one item more: it is copied to be changed.
    fn clone(&self) -> Self {
        let mut own = Self::of(Vec::with_capacity(self.items.len() + 1));
        own.items.extend_from_slice(&self.items);
        if !self.children.is_empty() {
            own.children.reserve_exact(self.children.len() + 1);
            own.children.extend_from_slice(&self.children);
        }
        own
    }
}

impl<T> Node<T> {
    /// A node at the bottom.
    fn of(items: Vec<T>) -> Self {
        Self {
            items,
            children: Vec::new(),
        }
    }

    /// The place of an item, or of the child that it would be in.
    #[inline]
    fn find(&self, place: &impl Fn(&T) -> Ordering) -> Result<usize, usize> {
        self.items.binary_search_by(place)
    }

    /// Splits a node that has one item more than it may, of which the one at `at` is new: in the
    /// middle, or at its end if it came there, so that items in order leave full nodes behind.
    fn split(&mut self, at: usize) -> Added<T> {
        if self.items.len() <= ITEMS_MAX {
            return Added::Fitted;
        }
        let middle = if at == ITEMS_MAX {
            at - 1
        } else {
            ITEMS_MAX / 2
        };
        let mut right = Self::of(self.items.split_off(middle + 1));
        if !self.children.is_empty() {
            right.children = self.children.split_off(middle + 1);
        }
        let item = self.items.remove(middle);
        Added::Split(item, Arc::new(right))
    }
}

impl<T: Clone> Node<T> {
    /// Sees to it that a child which may have lost an item has enough of them: it is joined with a
    /// neighbor, if both fit into one, and else gets an item of it.
    fn fill(&mut self, at: usize) {
        if self.children[at].items.len() >= ITEMS_FEW || self.items.is_empty() {
            return;
        }
        let left = at.saturating_sub(1);
        let sizes = [left, left + 1].map(|own| self.children[own].items.len());
        if sizes[0] + 1 + sizes[1] <= ITEMS_MAX {
            let mut right = Arc::unwrap_or_clone(self.children.remove(left + 1));
            let parting = self.items.remove(left);
            let own = Arc::make_mut(&mut self.children[left]);
            own.items.push(parting);
            own.items.append(&mut right.items);
            own.children.append(&mut right.children);
            return;
        }
        let (before, behind) = self.children.split_at_mut(left + 1);
        let (before, behind) = (
            Arc::make_mut(&mut before[left]),
            Arc::make_mut(&mut behind[0]),
        );
        let parting = &mut self.items[left];
        if at == left {
            let first = behind.items.remove(0);
            before.items.push(mem::replace(parting, first));
            if !behind.children.is_empty() {
                before.children.push(behind.children.remove(0));
            }
        } else if let Some(last) = before.items.pop() {
            behind.items.insert(0, mem::replace(parting, last));
            if let Some(child) = before.children.pop() {
                behind.children.insert(0, child);
            }
        }
    }
}

/// Items in order.
#[derive(Debug)]
pub struct Ascending<'a, T> {
    /// The next item's node last, before it those that it goes on with, each with the place of the
    /// next item in it.
    open: Vec<(&'a Node<T>, usize)>,
}

impl<'a, T> Iterator for Ascending<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        loop {
            let (node, at) = self.open.last_mut()?;
            let node: &'a Node<T> = node;
            if let Some(item) = node.items.get(*at) {
                *at += 1;
                let mut next = node.children.get(*at);
                while let Some(child) = next {
                    self.open.push((&**child, 0));
                    next = child.children.first();
                }
                return Some(item);
            }
            self.open.pop();
        }
    }
}

/// Items in order, the last one first.
#[derive(Debug)]
pub struct Descending<'a, T> {
    /// The next item's node last, before it those that it goes on with, each with the place behind
    /// the next item in it.
    open: Vec<(&'a Node<T>, usize)>,
}

impl<'a, T> Iterator for Descending<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        loop {
            let (node, at) = self.open.last_mut()?;
            let node: &'a Node<T> = node;
            if let Some(before) = at.checked_sub(1) {
                *at = before;
                let mut next = node.children.get(before);
                while let Some(child) = next {
                    self.open.push((&**child, child.items.len()));
                    next = child.children.last();
                }
                return node.items.get(before);
            }
            self.open.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// How deep a tree is that is as it should be: equally deep everywhere, no node too full or
    /// empty.
    fn depth<T>(node: &Node<T>, is_root: bool) -> usize {
        let (items, children) = (node.items.len(), node.children.len());
        assert!(items <= ITEMS_MAX && (items > 0 || is_root), "{items}");
        assert!(children == 0 || children == items + 1, "{items} {children}");
        let mut below = node.children.iter().map(|child| depth(child, false));
        let Some(first) = below.next() else { return 1 };
        assert!(below.all(|own| own == first));
        first + 1
    }

    fn nodes<T>(node: &Arc<Node<T>>, out: &mut BTreeSet<usize>) {
        out.insert(Arc::as_ptr(node).addr());
        node.children.iter().for_each(|child| nodes(child, out));
    }

    fn number(state: &mut u64) -> u64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *state >> 33
    }

    #[test]
    fn an_item_is_changed_in_place_unless_a_copy_shares_it() {
        let mut tree: SharedTree<(u64, char)> = SharedTree::default();
        let at = |wanted: u64| move |(own, _): &(u64, char)| own.cmp(&wanted);
        for number in 0..100 {
            tree.insert((number, 'a'), at(number));
        }
        let places = |tree: &SharedTree<_>| {
            let mut places = BTreeSet::new();
            nodes(&tree.root, &mut places);
            places
        };
        let before = places(&tree);
        tree.get_mut(at(42)).unwrap().1 = 'b';
        assert_eq!(places(&tree), before);
        assert!(tree.get_mut(at(100)).is_none());
        let copy = tree.clone();
        tree.get_mut(at(42)).unwrap().1 = 'c';
        assert_eq!(copy.get(at(42)), Some(&(42, 'b')));
        assert_eq!(tree.get(at(42)), Some(&(42, 'c')));
        let copied = places(&tree).difference(&places(&copy)).count();
        assert_eq!(copied, depth(&tree.root, true), "the way down is copied");
    }

    #[test]
    fn it_is_an_ordered_set_and_copies_keep_what_they_had() {
        let mut tree: SharedTree<u64> = SharedTree::default();
        let (mut model, mut state) = (BTreeSet::new(), 7);
        let mut copies = Vec::new();
        for step in 0..4000 {
            let item = number(&mut state) % 400;
            if number(&mut state).is_multiple_of(3) {
                assert_eq!(
                    tree.remove(|own| own.cmp(&item)).is_some(),
                    model.remove(&item)
                );
            } else {
                assert_eq!(
                    tree.insert(item, |own| own.cmp(&item)).is_none(),
                    model.insert(item)
                );
            }
            assert_eq!(tree.len(), model.len());
            assert!(depth(&tree.root, true) <= 4, "step {step}");
            if step % 500 == 0 {
                copies.push((tree.clone(), model.clone()));
            }
            let at = number(&mut state) % 400;
            assert_eq!(tree.get(|own| own.cmp(&at)), model.get(&at));
            assert!(
                tree.from(|own| *own < at)
                    .take(5)
                    .eq(model.range(at..).take(5))
            );
            let until = tree.until(|own| *own < at).take(5);
            assert!(until.eq(model.range(..at).rev().take(5)));
        }
        for (tree, model) in copies {
            assert!(tree.iter().eq(&model));
        }
    }

    #[test]
    fn a_change_copies_its_way_down_and_nothing_else() {
        let mut tree = SharedTree::default();
        for item in 0..10_000 {
            tree.insert(item, |own: &i32| own.cmp(&item));
        }
        let mut before = BTreeSet::new();
        nodes(&tree.root, &mut before);
        let copy = tree.clone();
        tree.insert(10_000, |own| own.cmp(&10_000));
        tree.remove(|own| own.cmp(&17));
        let mut after = BTreeSet::new();
        nodes(&tree.root, &mut after);
        let copied = after.difference(&before).count();
        let depth = depth(&tree.root, true);
        assert!(depth <= 4, "{depth}");
        // Two ways down, and a neighbor on each level.
        assert!(copied <= 3 * depth, "{copied} of {} nodes", before.len());
        assert!(copy.iter().copied().eq(0..10_000));
    }
}
