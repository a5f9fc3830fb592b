//! A hash map whose clones share what neither has changed since.
//!
//! ```text
//!   map ──▶ [ shard │ shard │ shard │ … ]      64 of them, by the key's hash
//!             └▶ key ─▶ value                  a change copies the row of shards and one shard,
//!                                              if a clone still has them
//! ```

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// Shards of a map.
const SHARDS: usize = 64;

type Shard<K, V, S> = Arc<HashMap<K, V, S>>;

/// A map that costs next to nothing to clone.
#[derive(Debug, Clone)]
pub(crate) struct SharedMap<K, V, S> {
    hasher: S,
    shards: Arc<[Shard<K, V, S>; SHARDS]>,
}

impl<K, V, S: Default + Clone> Default for SharedMap<K, V, S> {
    fn default() -> Self {
        let hasher = S::default();
        let shard = Arc::new(HashMap::with_hasher(hasher.clone()));
        Self {
            hasher,
            shards: Arc::new(std::array::from_fn(|_| shard.clone())),
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher + Clone> SharedMap<K, V, S> {
    #[inline]
    fn shard_of<Q: Hash + ?Sized>(&self, key: &Q) -> usize {
        // Of the other bits, the shard's own table makes use.
        (self.hasher.hash_one(key) >> 32) as usize % SHARDS
    }

    #[inline]
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.shards[self.shard_of(key)].get(key)
    }

    /// Every value with its key, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// A value to be changed. What of the map has to be copied for it is added to `left_behind`,
    /// in bytes, about.
    pub(crate) fn get_mut<Q: Hash + Eq + ?Sized>(
        &mut self,
        key: &Q,
        left_behind: &mut u64,
    ) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.get(key)?;
        self.own(key, left_behind).get_mut(key)
    }

    /// Puts a value, and returns the one that it replaces.
    pub(crate) fn insert(&mut self, key: K, value: V, left_behind: &mut u64) -> Option<V> {
        self.own(&key, left_behind).insert(key, value)
    }

    /// Takes a value out.
    pub(crate) fn remove<Q: Hash + Eq + ?Sized>(
        &mut self,
        key: &Q,
        left_behind: &mut u64,
    ) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.get(key)?;
        self.own(key, left_behind).remove(key)
    }

    /// The shard of a key, to be changed.
    fn own<Q: Hash + ?Sized>(&mut self, key: &Q, left_behind: &mut u64) -> &mut HashMap<K, V, S> {
        let at = self.shard_of(key);
        if Arc::get_mut(&mut self.shards).is_none() {
            *left_behind += size_of::<[Shard<K, V, S>; SHARDS]>() as u64;
        }
        let shard = &mut Arc::make_mut(&mut self.shards)[at];
        if Arc::get_mut(shard).is_none() {
            *left_behind += (shard.capacity() * size_of::<(K, V)>()) as u64;
        }
        Arc::make_mut(shard)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::hash_map::RandomState;

    use super::*;

    type Map = SharedMap<Box<str>, u32, RandomState>;

    fn name(number: u32) -> Box<str> {
        format!("n{number}").into()
    }

    fn content(map: &Map) -> Vec<(Box<str>, u32)> {
        let mut all: Vec<_> = map.iter().map(|(key, own)| (key.clone(), *own)).collect();
        all.sort();
        all
    }

    #[test]
    fn a_clone_stays_as_it_was_whatever_becomes_of_the_map() {
        let (mut map, mut left_behind) = (Map::default(), 0);
        for number in 0..1000 {
            assert_eq!(map.insert(name(number), number, &mut left_behind), None);
        }
        // The first shard of all was one for all of them.
        let before = left_behind;
        let (version, expected) = (map.clone(), content(&map));
        for number in (0..1000).step_by(3) {
            assert_eq!(map.remove(&*name(number), &mut left_behind), Some(number));
        }
        for number in (1..1000).step_by(3) {
            *map.get_mut(&*name(number), &mut left_behind).unwrap() += 1;
        }
        assert!(left_behind > before);
        assert_eq!(content(&version), expected);
        assert_eq!(map.iter().count(), 666);
        assert_eq!(version.get("n3"), Some(&3));
        assert_eq!((map.get("n3"), map.get("n4")), (None, Some(&5)));
        let before = left_behind;
        drop(version);
        map.insert(name(3), 3, &mut left_behind);
        assert_eq!(left_behind, before, "nobody is left to copy for");
    }

    #[test]
    fn what_is_not_there_is_not_copied_for() {
        let (mut map, mut left_behind) = (Map::default(), 0);
        let _version = map.clone();
        assert!(map.get_mut("n1", &mut left_behind).is_none());
        assert_eq!(map.remove("n1", &mut left_behind), None);
        assert_eq!((left_behind, map.iter().count()), (0, 0));
    }
}
