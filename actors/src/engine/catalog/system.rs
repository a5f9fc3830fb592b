//! The system spaces, described once: sessions answer for those that have a view, and an engine
//! that stores them begins with their definitions.
//!
//! ```text
//!   SYSTEM_SPACES ─┬▶ catalog: indexes and keys of SELECTs on _vspace, _vindex, …
//!                  └▶ engine: rows of _space and _index, formats, key parts
//! ```

use self::SystemFieldType::{Any, Array, Boolean, Integer, Map, Scalar, String, Unsigned};

/// First number of a space of the system.
pub const SYSTEM_SPACE_ID_MIN: u32 = 256;
/// Last number of a space of the system. Those below the first are users', but for 0, which is
/// nobody's.
pub const SYSTEM_SPACE_ID_MAX: u32 = 511;

/// Counters, such as the largest number of a space so far.
pub const SCHEMA: u32 = 272;
/// Collations.
pub const COLLATION: u32 = 276;
/// Spaces.
pub const SPACE: u32 = 280;
/// The view on [`SPACE`].
pub(super) const VSPACE: u32 = 281;
/// Sequences.
pub const SEQUENCE: u32 = 284;
/// The last value of each sequence.
pub const SEQUENCE_DATA: u32 = 285;
/// Indexes.
pub const INDEX: u32 = 288;
/// Functions: names of procedures that rights can be granted on.
pub const FUNC: u32 = 296;
/// Users and roles.
pub const USER: u32 = 304;
/// Rights.
pub const PRIV: u32 = 312;
/// How often a space was truncated.
pub const TRUNCATE: u32 = 330;
/// Which sequence gives values to which space.
pub const SPACE_SEQUENCE: u32 = 340;

/// A system space, with the view that shows its rows to those who may see them.
#[derive(Debug)]
pub struct SystemSpace {
    /// Number of the space, one of the constants beside.
    pub id: u32,
    /// Name of the space, as `_space`.
    pub name: &'static str,
    /// Number and name of its view, as `_vspace`. What has no view is not for clients.
    pub view: Option<(u32, &'static str)>,
    /// Names and types of its fields.
    pub fields: &'static [(&'static str, SystemFieldType)],
    /// Indexes of the space, which the view has as well: TREE all of them, the primary one first.
    pub indexes: &'static [SystemIndex],
}

/// An index of a system space.
#[derive(Debug)]
pub struct SystemIndex {
    /// Number of the index.
    pub id: u32,
    /// Name of the index.
    pub name: &'static str,
    /// Whether no two rows have the same key.
    pub is_unique: bool,
    /// The fields of its key, from 0.
    pub fields: &'static [u32],
}

/// Types of the fields of system spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Tarantool's")]
pub enum SystemFieldType {
    Any,
    Array,
    Boolean,
    Integer,
    Map,
    Scalar,
    String,
    Unsigned,
}

const fn unique(id: u32, name: &'static str, fields: &'static [u32]) -> SystemIndex {
    SystemIndex {
        id,
        name,
        is_unique: true,
        fields,
    }
}

const fn multiple(id: u32, name: &'static str, fields: &'static [u32]) -> SystemIndex {
    SystemIndex {
        is_unique: false,
        ..unique(id, name, fields)
    }
}

const ID: &[SystemIndex] = &[unique(0, "primary", &[0])];
const ID_OWNER_NAME: &[SystemIndex] = &[
    unique(0, "primary", &[0]),
    multiple(1, "owner", &[1]),
    unique(2, "name", &[2]),
];

/// Every system space, by number.
#[rustfmt::skip]
pub static SYSTEM_SPACES: [SystemSpace; 11] = [
    SystemSpace {
        id: SCHEMA,
        name: "_schema",
        view: None,
        fields: &[("key", String), ("value", Any)],
        indexes: ID,
    },
    SystemSpace {
        id: COLLATION,
        name: "_collation",
        view: Some((277, "_vcollation")),
        fields: &[
            ("id", Unsigned), ("name", String), ("owner", Unsigned), ("type", String),
            ("locale", String), ("opts", Map),
        ],
        indexes: &[unique(0, "primary", &[0]), unique(1, "name", &[1])],
    },
    SystemSpace {
        id: SPACE,
        name: "_space",
        view: Some((VSPACE, "_vspace")),
        fields: &[
            ("id", Unsigned), ("owner", Unsigned), ("name", String), ("engine", String),
            ("field_count", Unsigned), ("flags", Map), ("format", Array),
        ],
        indexes: ID_OWNER_NAME,
    },
    SystemSpace {
        id: SEQUENCE,
        name: "_sequence",
        view: Some((286, "_vsequence")),
        fields: &[
            ("id", Unsigned), ("owner", Unsigned), ("name", String), ("step", Integer),
            ("min", Integer), ("max", Integer), ("start", Integer), ("cache", Integer),
            ("cycle", Boolean),
        ],
        indexes: ID_OWNER_NAME,
    },
    SystemSpace {
        id: SEQUENCE_DATA,
        name: "_sequence_data",
        view: None,
        fields: &[("id", Unsigned), ("value", Integer)],
        indexes: ID,
    },
    SystemSpace {
        id: INDEX,
        name: "_index",
        view: Some((289, "_vindex")),
        fields: &[
            ("id", Unsigned), ("iid", Unsigned), ("name", String), ("type", String),
            ("opts", Map), ("parts", Array),
        ],
        indexes: &[unique(0, "primary", &[0, 1]), unique(2, "name", &[0, 2])],
    },
    SystemSpace {
        id: FUNC,
        name: "_func",
        view: Some((297, "_vfunc")),
        fields: &[
            ("id", Unsigned), ("owner", Unsigned), ("name", String), ("setuid", Unsigned),
            ("language", String), ("body", String), ("routine_type", String), ("param_list", Array),
            ("returns", String), ("aggregate", String), ("sql_data_access", String),
            ("is_deterministic", Boolean), ("is_sandboxed", Boolean), ("is_null_call", Boolean),
            ("exports", Array), ("opts", Map), ("comment", String), ("created", String),
            ("last_altered", String),
        ],
        indexes: ID_OWNER_NAME,
    },
    SystemSpace {
        id: USER,
        name: "_user",
        view: Some((305, "_vuser")),
        fields: &[
            ("id", Unsigned), ("owner", Unsigned), ("name", String), ("type", String),
            ("auth", Map),
        ],
        indexes: ID_OWNER_NAME,
    },
    SystemSpace {
        id: PRIV,
        name: "_priv",
        view: Some((313, "_vpriv")),
        fields: &[
            ("grantor", Unsigned), ("grantee", Unsigned), ("object_type", String),
            ("object_id", Scalar), ("privilege", Unsigned),
        ],
        indexes: &[
            unique(0, "primary", &[1, 2, 3]), multiple(1, "owner", &[0]),
            multiple(2, "object", &[2, 3]),
        ],
    },
    SystemSpace {
        id: TRUNCATE,
        name: "_truncate",
        view: None,
        fields: &[("id", Unsigned), ("count", Unsigned)],
        indexes: ID,
    },
    SystemSpace {
        id: SPACE_SEQUENCE,
        name: "_space_sequence",
        view: Some((341, "_vspace_sequence")),
        fields: &[
            ("id", Unsigned), ("sequence_id", Unsigned), ("is_generated", Boolean),
            ("field", Unsigned), ("path", String),
        ],
        indexes: &[unique(0, "primary", &[0]), multiple(1, "sequence", &[1])],
    },
];

impl SystemSpace {
    /// Numbers and names under which the rows are known: the space's own, and its view's.
    pub fn names(&self) -> impl Iterator<Item = (u32, &'static str)> {
        std::iter::once((self.id, self.name)).chain(self.view)
    }
}

/// The space whose rows a view shows, if this is a view.
#[must_use]
pub fn viewed(space: u32) -> Option<u32> {
    // For all but a few spaces this is the end of it: it is asked on every write.
    if space > SYSTEM_SPACE_ID_MAX {
        return None;
    }
    let shows = |own: &&SystemSpace| own.view.is_some_and(|(view, _)| view == space);
    SYSTEM_SPACES.iter().find(shows).map(|own| own.id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn spaces_stand_by_number_and_no_number_or_name_twice() {
        assert!(SYSTEM_SPACES.is_sorted_by_key(|space| space.id));
        let all = || SYSTEM_SPACES.iter().flat_map(SystemSpace::names);
        let ids: BTreeSet<_> = all().map(|(id, _)| id).collect();
        let names: BTreeSet<_> = all().map(|(_, name)| name).collect();
        assert_eq!((ids.len(), names.len()), (all().count(), all().count()));
        let range = SYSTEM_SPACE_ID_MIN..=SYSTEM_SPACE_ID_MAX;
        assert!(ids.iter().all(|id| range.contains(id)));
    }

    #[test]
    fn keys_are_made_of_fields_that_exist() {
        for space in &SYSTEM_SPACES {
            let fields = space.indexes.iter().flat_map(|index| index.fields);
            for field in fields {
                assert!((*field as usize) < space.fields.len(), "{}", space.name);
            }
            assert_eq!(space.indexes[0].id, 0);
            assert!(space.indexes[0].is_unique);
        }
    }

    #[test]
    fn a_view_shows_the_space_before_it() {
        for view in [277, 281, 289, 297, 305, 313, 341] {
            assert_eq!(viewed(view), Some(view - 1));
        }
        assert_eq!(viewed(286), Some(SEQUENCE));
        for space in [SPACE, SCHEMA, 278, 1, SYSTEM_SPACE_ID_MAX + 1, u32::MAX] {
            assert_eq!(viewed(space), None);
        }
    }
}
