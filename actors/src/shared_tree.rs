//! An ordered set whose copies share their nodes.
//!
//! ```text
//!   copy ──▶ root ─┬─▶ left ──▶ …            a change copies the nodes on its way down,
//!                  └─▶ right ─▶ …            and shares all others with the copies before it
//!            root'─┬─▶ left (the same)
//!                  └─▶ right'─▶ …
//! ```
//!
//! A persistent AVL tree. Readers keep the copy that they have, however long they look at it, and
//! a writer pays for what it changes, however much else there is: with a million items, a change
//! copies some 20 nodes, and to copy the set is to count one reference.
//!
//! Where an item stands is told by closures, so that one kind of item can be found by any key.

use std::cmp::Ordering;
use std::mem;
use std::sync::Arc;

/// An ordered set. To clone it takes the same time whatever it holds.
#[derive(Debug, Clone)]
pub struct SharedTree<T> {
    root: Link<T>,
    len: usize,
}

type Link<T> = Option<Arc<Node<T>>>;

#[derive(Debug, Clone)]
struct Node<T> {
    item: T,
    /// Of the tree below and with this node: 1 for a leaf.
    height: u8,
    left: Link<T>,
    right: Link<T>,
}

impl<T> Default for SharedTree<T> {
    fn default() -> Self {
        Self { root: None, len: 0 }
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
        let mut link = &self.root;
        while let Some(node) = link {
            link = match place(&node.item) {
                Ordering::Equal => return Some(&node.item),
                Ordering::Less => &node.right,
                Ordering::Greater => &node.left,
            };
        }
        None
    }

    /// Every item, in order.
    pub fn iter(&self) -> Ascending<'_, T> {
        self.from(|_| false)
    }

    /// The items that do not come before a place, in order. The items that do come before all
    /// others.
    pub fn from(&self, is_before: impl Fn(&T) -> bool) -> Ascending<'_, T> {
        let (mut open, mut link) = (Vec::new(), self.root.as_deref());
        while let Some(node) = link {
            link = if is_before(&node.item) {
                node.right.as_deref()
            } else {
                open.push(node);
                node.left.as_deref()
            };
        }
        Ascending { open }
    }

    /// The items that come before a place, the last of them first.
    pub fn until(&self, is_before: impl Fn(&T) -> bool) -> Descending<'_, T> {
        let (mut open, mut link) = (Vec::new(), self.root.as_deref());
        while let Some(node) = link {
            link = if is_before(&node.item) {
                open.push(node);
                node.right.as_deref()
            } else {
                node.left.as_deref()
            };
        }
        Descending { open }
    }
}

impl<T: Clone> SharedTree<T> {
    /// Puts an item where `place` says, and returns the one that stood there.
    pub fn insert(&mut self, item: T, place: impl Fn(&T) -> Ordering) -> Option<T> {
        let former = insert(&mut self.root, item, &place);
        self.len += usize::from(former.is_none());
        former
    }

    /// The item that stands where `place` says, to be changed so that it stands there still. Nodes
    /// on the way to it are copied if other sets share them, and else changed in place.
    pub fn get_mut(&mut self, place: impl Fn(&T) -> Ordering) -> Option<&mut T> {
        // Nothing is copied for what is not there.
        self.get(&place)?;
        let mut link = &mut self.root;
        while let Some(node) = link {
            let node = Arc::make_mut(node);
            link = match place(&node.item) {
                Ordering::Equal => return Some(&mut node.item),
                Ordering::Less => &mut node.right,
                Ordering::Greater => &mut node.left,
            };
        }
        None
    }

    /// Takes out the item that stands where `place` says.
    pub fn remove(&mut self, place: impl Fn(&T) -> Ordering) -> Option<T> {
        // Nothing is copied for what is not there.
        self.get(&place)?;
        let removed = remove(&mut self.root, &place);
        self.len -= usize::from(removed.is_some());
        removed
    }
}

fn height<T>(link: &Link<T>) -> u8 {
    link.as_ref().map_or(0, |node| node.height)
}

fn insert<T: Clone>(link: &mut Link<T>, item: T, place: &impl Fn(&T) -> Ordering) -> Option<T> {
    let Some(node) = link else {
        *link = Some(Arc::new(Node {
            item,
            height: 1,
            left: None,
            right: None,
        }));
        return None;
    };
    let node = Arc::make_mut(node);
    let former = match place(&node.item) {
        Ordering::Equal => return Some(mem::replace(&mut node.item, item)),
        Ordering::Less => insert(&mut node.right, item, place),
        Ordering::Greater => insert(&mut node.left, item, place),
    };
    node.balance();
    former
}

fn remove<T: Clone>(link: &mut Link<T>, place: &impl Fn(&T) -> Ordering) -> Option<T> {
    let node = Arc::make_mut(link.as_mut()?);
    let removed = match place(&node.item) {
        Ordering::Less => remove(&mut node.right, place)?,
        Ordering::Greater => remove(&mut node.left, place)?,
        Ordering::Equal => {
            let Some(next) = remove_first(&mut node.right) else {
                let left = node.left.take();
                return mem::replace(link, left).map(|node| node.item.clone());
            };
            mem::replace(&mut node.item, next)
        }
    };
    node.balance();
    Some(removed)
}

fn remove_first<T: Clone>(link: &mut Link<T>) -> Option<T> {
    let node = Arc::make_mut(link.as_mut()?);
    let Some(first) = remove_first(&mut node.left) else {
        let right = node.right.take();
        return mem::replace(link, right).map(|node| node.item.clone());
    };
    node.balance();
    Some(first)
}

impl<T: Clone> Node<T> {
    /// Restores that the trees on both sides differ in height by 1 at most, after one of them
    /// changed by 1.
    fn balance(&mut self) {
        let (left, right) = (height(&self.left), height(&self.right));
        if left > right + 1 {
            if let Some(left) = self.left.as_mut().map(Arc::make_mut)
                && height(&left.left) < height(&left.right)
            {
                left.rotate(false);
            }
            self.rotate(true);
        } else if right > left + 1 {
            if let Some(right) = self.right.as_mut().map(Arc::make_mut)
                && height(&right.right) < height(&right.left)
            {
                right.rotate(true);
            }
            self.rotate(false);
        } else {
            self.height = 1 + left.max(right);
        }
    }

    /// Lets the left node take this one's place, which becomes its right node; or the other way
    /// round.
    fn rotate(&mut self, is_right: bool) {
        let from = if is_right {
            &mut self.left
        } else {
            &mut self.right
        };
        let Some(mut pivot) = from.take() else { return };
        let node = Arc::make_mut(&mut pivot);
        if is_right {
            self.left = node.right.take();
        } else {
            self.right = node.left.take();
        }
        mem::swap(self, node);
        node.height = 1 + height(&node.left).max(height(&node.right));
        let to = if is_right {
            &mut self.right
        } else {
            &mut self.left
        };
        *to = Some(pivot);
        self.height = 1 + height(&self.left).max(height(&self.right));
    }
}

/// Items in order.
#[derive(Debug)]
pub struct Ascending<'a, T> {
    /// The next item's node last, before it those that come later.
    open: Vec<&'a Node<T>>,
}

impl<'a, T> Iterator for Ascending<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        let node = self.open.pop()?;
        let mut link = node.right.as_deref();
        while let Some(next) = link {
            self.open.push(next);
            link = next.left.as_deref();
        }
        Some(&node.item)
    }
}

/// Items in order, the last one first.
#[derive(Debug)]
pub struct Descending<'a, T> {
    open: Vec<&'a Node<T>>,
}

impl<'a, T> Iterator for Descending<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        let node = self.open.pop()?;
        let mut link = node.left.as_deref();
        while let Some(next) = link {
            self.open.push(next);
            link = next.right.as_deref();
        }
        Some(&node.item)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn is_balanced<T>(link: &Link<T>) -> bool {
        link.as_ref().is_none_or(|node| {
            let (left, right) = (height(&node.left), height(&node.right));
            node.height == 1 + left.max(right)
                && left.abs_diff(right) <= 1
                && is_balanced(&node.left)
                && is_balanced(&node.right)
        })
    }

    fn nodes<T>(link: &Link<T>, out: &mut BTreeSet<usize>) {
        if let Some(node) = link {
            out.insert(Arc::as_ptr(node).addr());
            nodes(&node.left, out);
            nodes(&node.right, out);
        }
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
        let shared = places(&tree).intersection(&places(&copy)).count();
        assert!(shared > 90, "only the way down is copied: {shared}");
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
            assert!(is_balanced(&tree.root), "step {step}");
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
        assert!(copied <= 40, "{copied} nodes of 10000 were copied");
        assert!(copy.iter().copied().eq(0..10_000));
    }
}
