//! A map inside a field while it is being changed.
//!
//! ```text
//!   map      {a: 1, b: 2, c: 3}       '=' new, '#' a, '+' c
//!   entries  added  [new]   changed  0: removed, 2: a number       all others as they are
//! ```
//!
//! The first look-up walks over the keys; from the second on there is an index of them. So any
//! number of operations on one map costs what the map and the operations take, and not their
//! product.

use std::collections::{BTreeMap, HashMap};

use vestibule_wire::msgpack::{DecodeError, Kind, Reader, write_map_len, write_str};

use super::fields::Value;
use super::steps;
use crate::model::path::Token;

/// Keys with their values: those of the old map in its order, new ones before them.
#[derive(Debug, Clone)]
pub(super) struct Entries<'a> {
    map: &'a [u8],
    /// Where each old key starts, and at last where the map ends.
    starts: Vec<usize>,
    /// Old entries, by their number, that are not as they were; `None` for those that are removed.
    changed: BTreeMap<usize, Option<Value<'a>>>,
    /// New entries in the order in which they came; `None` for those that are removed again.
    added: Vec<(&'a str, Option<Value<'a>>)>,
    /// How many entries there are.
    count: usize,
    index: Option<Index<'a>>,
    /// Whether a key has been looked for.
    is_searched: bool,
}

/// Where keys stand that a path can name.
#[derive(Debug, Clone, Default)]
struct Index<'a> {
    places: HashMap<Name<'a>, usize>,
    /// For an old entry whose key comes again: where it does so next.
    again: HashMap<usize, usize>,
}

/// A key as a path names it: a text, or a number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Name<'a> {
    Text(&'a [u8]),
    Number(u64),
}

impl<'a> Name<'a> {
    /// `None` for a key that no path names.
    fn read(key: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(key);
        match reader.peek().ok()? {
            Kind::Str => reader.read_str_bytes().ok().map(Self::Text),
            // Maps with numbers as keys are looked into as lists are.
            Kind::Uint => reader.read_uint().ok().map(Self::Number),
            _ => None,
        }
    }

    /// `None` for a token that names nothing.
    fn of(token: &Token<'a>) -> Option<Self> {
        match token {
            Token::Key(name) => Some(Self::Text(name.as_bytes())),
            Token::Index(index) => index.checked_add(1).map(Self::Number),
            Token::Any | Token::End => None,
        }
    }
}

impl<'a> Entries<'a> {
    /// Reads a map.
    pub(super) fn read(map: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(map);
        let count = reader.read_map_len()? as usize;
        // An entry takes two bytes at least: a false length allocates no more than the map.
        let mut starts = Vec::with_capacity(count.min(map.len()) + 1);
        starts.push(reader.position());
        for _ in 0..count {
            reader.skip()?;
            reader.skip()?;
            starts.push(reader.position());
        }
        Ok(Self {
            map,
            starts,
            changed: BTreeMap::new(),
            added: Vec::new(),
            count,
            index: None,
            is_searched: false,
        })
    }

    /// How many entries there were at first. Numbers from there on are those of new ones.
    fn old_count(&self) -> usize {
        self.starts.len() - 1
    }

    fn old(&self, at: usize) -> (&'a [u8], &'a [u8]) {
        let entry = &self.map[self.starts[at]..self.starts[at + 1]];
        let mut reader = Reader::new(entry);
        // The map has been walked over: its keys are whole.
        let key = reader.skip().unwrap_or_default();
        (key, reader.rest())
    }

    /// Where a key stands.
    pub(super) fn find(&mut self, token: &Token<'a>) -> Option<usize> {
        let name = Name::of(token)?;
        if !std::mem::replace(&mut self.is_searched, true) {
            // Nothing has been changed: one walk is less than an index.
            let found = (0..self.old_count()).find(|at| Name::read(self.old(*at).0) == Some(name));
            steps::take(found.unwrap_or(self.old_count()) as u64);
            return found;
        }
        if self.index.is_none() {
            self.index = Some(self.build_index());
        }
        let index = self.index.as_ref()?;
        steps::take(1);
        index.places.get(&name).copied()
    }

    /// The first of each key, and where those follow that come again.
    fn build_index(&self) -> Index<'a> {
        let mut index = Index::default();
        steps::take(self.old_count() as u64);
        for at in (0..self.old_count()).rev() {
            let is_there = !matches!(self.changed.get(&at), Some(None));
            if let Some(name) = Name::read(self.old(at).0).filter(|_| is_there)
                && let Some(again) = index.places.insert(name, at)
            {
                index.again.insert(at, again);
            }
        }
        for (at, (name, value)) in self.added.iter().enumerate() {
            if value.is_some() {
                let name = Name::Text(name.as_bytes());
                index.places.insert(name, self.old_count() + at);
            }
        }
        index
    }

    pub(super) fn value(&mut self, at: usize) -> &mut Value<'a> {
        let value = match at.checked_sub(self.old_count()) {
            Some(new) => &mut self.added[new].1,
            None => {
                let (_, value) = self.old(at);
                let changed = self.changed.entry(at);
                changed.or_insert(Some(Value::Raw(value)))
            }
        };
        value.as_mut().expect("what is removed is not found")
    }

    /// Adds a key that is not there, before all others, as Tarantool does.
    pub(super) fn add(&mut self, key: &'a str, value: &'a [u8]) {
        let at = self.old_count() + self.added.len();
        self.added.push((key, Some(Value::Raw(value))));
        self.count += 1;
        if let Some(index) = &mut self.index {
            index.places.insert(Name::Text(key.as_bytes()), at);
        }
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.count -= 1;
        let name = match at.checked_sub(self.old_count()) {
            Some(new) => {
                self.added[new].1 = None;
                Some(Name::Text(self.added[new].0.as_bytes()))
            }
            None => {
                self.changed.insert(at, None);
                Name::read(self.old(at).0)
            }
        };
        if let (Some(index), Some(name)) = (&mut self.index, name) {
            match index.again.remove(&at) {
                Some(again) => index.places.insert(name, again),
                None => index.places.remove(&name),
            };
        }
    }

    /// Appends the map.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.count);
        write_map_len(
            out,
            count.expect("a request adds few keys to those of a map"),
        );
        for (name, value) in self.added.iter().rev() {
            if let Some(value) = value {
                write_str(out, name);
                value.write(out);
            }
        }
        // What is between two changed entries is copied as it is.
        let mut next = 0;
        for (at, value) in &self.changed {
            out.extend_from_slice(&self.map[self.starts[next]..self.starts[*at]]);
            if let Some(value) = value {
                out.extend_from_slice(self.old(*at).0);
                value.write(out);
            }
            next = at + 1;
        }
        let end = self.starts[self.old_count()];
        out.extend_from_slice(&self.map[self.starts[next]..end]);
    }
}
