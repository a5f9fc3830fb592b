//! Numbers of spaces and indexes by their names, for servers that take numbers only.
//!
//! All entries are of one version of the server's definitions. A request that uses them tells that
//! version, so that the server refuses it if the numbers may have changed.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::limits::SCHEMA_ENTRIES_MAX;

/// An index, as far as a client needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) id: u32,
    /// Whether a key leads to where it stands in an order: other indexes are paged by offset.
    pub(crate) is_ordered: bool,
    /// Numbers of the fields of its key; `None` if they are parts of fields.
    pub(crate) fields: Option<Vec<u32>>,
}

/// What is known of one version.
#[derive(Debug, Default)]
pub(crate) struct SchemaCache {
    version: u64,
    spaces: HashMap<Arc<str>, u32>,
    indexes: HashMap<(u32, Arc<str>), Arc<IndexEntry>>,
}

impl SchemaCache {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Forgets everything: there is another server at the other end.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Hears of the version of a reply: a newer one makes the entries worthless.
    pub(crate) fn hear(&mut self, version: u64) {
        if version > self.version {
            self.clear();
            self.version = version;
        }
    }

    pub(crate) fn space(&self, name: &str) -> Option<u32> {
        self.spaces.get(name).copied()
    }

    pub(crate) fn index(&self, space: u32, name: &Arc<str>) -> Option<Arc<IndexEntry>> {
        self.indexes.get(&(space, Arc::clone(name))).cloned()
    }

    /// Remembers what a reply of this version told. Of an older version it is of no use.
    pub(crate) fn put_space(&mut self, version: u64, name: &Arc<str>, id: u32) {
        if self.has_room_for(version) {
            self.spaces.insert(Arc::clone(name), id);
        }
    }

    pub(crate) fn put_index(
        &mut self,
        version: u64,
        space: u32,
        name: &Arc<str>,
        entry: Arc<IndexEntry>,
    ) {
        if self.has_room_for(version) {
            self.indexes.insert((space, Arc::clone(name)), entry);
        }
    }

    fn has_room_for(&mut self, version: u64) -> bool {
        self.hear(version);
        if self.spaces.len() + self.indexes.len() >= SCHEMA_ENTRIES_MAX {
            self.spaces.clear();
            self.indexes.clear();
        }
        version == self.version
    }
}

/// A row of `_vspace`, as far as it matters.
#[derive(Debug)]
pub(crate) struct SpaceRow {
    pub(crate) id: u32,
}

impl<'de> Deserialize<'de> for SpaceRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Row;
        impl<'de> Visitor<'de> for Row {
            type Value = SpaceRow;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a row of _vspace")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<SpaceRow, A::Error> {
                let id = next(&mut row)?;
                while row.next_element::<IgnoredAny>()?.is_some() {}
                Ok(SpaceRow { id })
            }
        }
        deserializer.deserialize_seq(Row)
    }
}

impl<'de> Deserialize<'de> for IndexEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Row;
        impl<'de> Visitor<'de> for Row {
            type Value = IndexEntry;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a row of _vindex")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<IndexEntry, A::Error> {
                let _space: u32 = next(&mut row)?;
                let id = next(&mut row)?;
                let _name: String = next(&mut row)?;
                let kind: String = next(&mut row)?;
                let options: IndexOptions = next(&mut row)?;
                let parts: Vec<Part> = next(&mut row)?;
                while row.next_element::<IgnoredAny>()?.is_some() {}
                let fields: Option<Vec<u32>> = parts.into_iter().map(|part| part.0).collect();
                Ok(IndexEntry {
                    id,
                    is_ordered: options.unique && kind.eq_ignore_ascii_case("tree"),
                    fields: fields.filter(|fields| !fields.is_empty()),
                })
            }
        }
        deserializer.deserialize_seq(Row)
    }
}

fn next<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(row: &mut A) -> Result<T, A::Error> {
    let value = row.next_element()?;
    value.ok_or_else(|| serde::de::Error::custom("the row is too short"))
}

#[derive(Debug, Deserialize)]
struct IndexOptions {
    #[serde(default = "unique")]
    unique: bool,
}

fn unique() -> bool {
    true
}

/// The field of a part of a key, `[number, type]` or `{field: number, …}`; `None` if the part is
/// inside of a field, or may be null, so that it stands for no place in an order of keys.
#[derive(Debug)]
struct Part(Option<u32>);

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Part;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a part of a key")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut part: A) -> Result<Part, A::Error> {
                let field = next(&mut part)?;
                while part.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Part(Some(field)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut part: A) -> Result<Part, A::Error> {
                let (mut field, mut is_whole) = (None, true);
                while let Some(name) = part.next_key::<String>()? {
                    match name.as_str() {
                        "field" => field = Some(part.next_value()?),
                        "path" => {
                            is_whole = false;
                            part.next_value::<IgnoredAny>()?;
                        }
                        "is_nullable" => is_whole &= !part.next_value::<bool>()?,
                        _ => drop(part.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Part(field.filter(|_| is_whole)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Arc<str> {
        text.into()
    }

    fn entry(row: &impl serde::Serialize) -> IndexEntry {
        rmp_serde::from_slice(&rmp_serde::to_vec_named(row).unwrap()).unwrap()
    }

    #[test]
    fn a_newer_version_forgets_and_an_older_one_is_not_remembered() {
        let mut cache = SchemaCache::default();
        cache.put_space(5, &name("a"), 512);
        assert_eq!((cache.space("a"), cache.version()), (Some(512), 5));
        cache.put_space(4, &name("b"), 513);
        assert_eq!(cache.space("b"), None);
        cache.hear(5);
        assert_eq!(cache.space("a"), Some(512));
        cache.hear(6);
        assert_eq!((cache.space("a"), cache.version()), (None, 6));
    }

    #[test]
    fn names_are_bounded() {
        let mut cache = SchemaCache::default();
        for at in 0..=SCHEMA_ENTRIES_MAX as u32 {
            cache.put_space(1, &name(&at.to_string()), at);
        }
        assert_eq!(cache.space("0"), None);
        assert_eq!(cache.spaces.len(), 1);
    }

    #[test]
    fn parts_of_keys_come_in_two_forms() {
        #[derive(serde::Serialize)]
        struct Options {
            unique: bool,
        }
        let unique = Options { unique: true };
        let old = entry(&(
            512,
            1,
            "i",
            "tree",
            &unique,
            [(2, "unsigned"), (0, "string")],
        ));
        assert_eq!((old.id, old.is_ordered), (1, true));
        assert_eq!(old.fields, Some(vec![2, 0]));
        #[derive(serde::Serialize)]
        struct NewPart {
            field: u32,
            r#type: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            path: Option<&'static str>,
        }
        let mut part = NewPart {
            field: 3,
            r#type: "unsigned",
            path: None,
        };
        let new = entry(&(512, 2, "i", "TREE", Options { unique: false }, [&part]));
        assert_eq!((new.is_ordered, new.fields), (false, Some(vec![3])));
        part.path = Some("a.b");
        let inside = entry(&(512, 2, "i", "hash", &unique, [&part]));
        assert_eq!((inside.is_ordered, inside.fields), (false, None));
    }

    #[test]
    fn rows_of_spaces_may_have_more_fields() {
        let row = rmp_serde::to_vec(&(512, 1, "rows", "memtx", 0, (), ())).unwrap();
        assert_eq!(rmp_serde::from_slice::<SpaceRow>(&row).unwrap().id, 512);
    }
}
