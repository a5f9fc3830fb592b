//! The rows that the system spaces are born with, as Tarantool shows them.

use vestibule_wire::auth::PasswordHash;

use super::rows::{IndexRow, SpaceRow, UserRow};
use super::{ADMIN, COLLATION, INDEX, SPACE, USER, viewed};
use crate::engine::field::FieldType::{
    self, Any, Array, Boolean, Integer, Map, Scalar, String, Unsigned,
};
use crate::engine::index::Part;
use crate::engine::space::Field;

/// A system space and the view on it.
struct System {
    ids: &'static [(u32, &'static str)],
    fields: &'static [(&'static str, FieldType)],
    indexes: &'static [(u32, &'static str, bool, &'static [u32])],
}

const ID_OWNER_NAME: &[(u32, &str, bool, &[u32])] = &[
    (0, "primary", true, &[0]),
    (1, "owner", false, &[1]),
    (2, "name", true, &[2]),
];
const ID: &[(u32, &str, bool, &[u32])] = &[(0, "primary", true, &[0])];

#[rustfmt::skip]
const SYSTEM: &[System] = &[
    System {
        ids: &[(272, "_schema")],
        fields: &[("key", String), ("value", Any)],
        indexes: ID,
    },
    System {
        ids: &[(276, "_collation"), (277, "_vcollation")],
        fields: &[
            ("id", Unsigned), ("name", String), ("owner", Unsigned), ("type", String),
            ("locale", String), ("opts", Map),
        ],
        indexes: &[(0, "primary", true, &[0]), (1, "name", true, &[1])],
    },
    System {
        ids: &[(280, "_space"), (281, "_vspace")],
        fields: &[
            ("id", Unsigned), ("owner", Unsigned), ("name", String), ("engine", String),
            ("field_count", Unsigned), ("flags", Map), ("format", Array),
        ],
        indexes: ID_OWNER_NAME,
    },
    System {
        ids: &[(284, "_sequence"), (286, "_vsequence")],
        fields: &[
            ("id", Unsigned), ("owner", Unsigned), ("name", String), ("step", Integer),
            ("min", Integer), ("max", Integer), ("start", Integer), ("cache", Integer),
            ("cycle", Boolean),
        ],
        indexes: ID_OWNER_NAME,
    },
    System {
        ids: &[(285, "_sequence_data")],
        fields: &[("id", Unsigned), ("value", Integer)],
        indexes: ID,
    },
    System {
        ids: &[(288, "_index"), (289, "_vindex")],
        fields: &[
            ("id", Unsigned), ("iid", Unsigned), ("name", String), ("type", String),
            ("opts", Map), ("parts", Array),
        ],
        indexes: &[(0, "primary", true, &[0, 1]), (2, "name", true, &[0, 2])],
    },
    System {
        ids: &[(296, "_func"), (297, "_vfunc")],
        fields: &[("id", Unsigned), ("owner", Unsigned), ("name", String), ("setuid", Unsigned)],
        indexes: ID_OWNER_NAME,
    },
    System {
        ids: &[(304, "_user"), (305, "_vuser")],
        fields: &[
            ("id", Unsigned), ("owner", Unsigned), ("name", String), ("type", String),
            ("auth", Map),
        ],
        indexes: ID_OWNER_NAME,
    },
    System {
        ids: &[(312, "_priv"), (313, "_vpriv")],
        fields: &[
            ("grantor", Unsigned), ("grantee", Unsigned), ("object_type", String),
            ("object_id", Scalar), ("privilege", Unsigned),
        ],
        indexes: &[
            (0, "primary", true, &[1, 2, 3]), (1, "owner", false, &[0]),
            (2, "object", false, &[2, 3]),
        ],
    },
    System {
        ids: &[(330, "_truncate")],
        fields: &[("id", Unsigned), ("count", Unsigned)],
        indexes: ID,
    },
    System {
        ids: &[(340, "_space_sequence"), (341, "_vspace_sequence")],
        fields: &[
            ("id", Unsigned), ("sequence_id", Unsigned), ("is_generated", Boolean),
            ("field", Unsigned), ("path", String),
        ],
        indexes: &[(0, "primary", true, &[0]), (1, "sequence", false, &[1])],
    },
];

/// Every system space's row of `_space` with its rows of `_index`.
pub(crate) fn spaces() -> impl Iterator<Item = (SpaceRow, Vec<IndexRow>)> {
    SYSTEM
        .iter()
        .flat_map(|system| system.ids.iter().map(|(id, name)| system.rows(*id, name)))
}

impl System {
    fn rows(&self, id: u32, name: &str) -> (SpaceRow, Vec<IndexRow>) {
        let format = self.fields.iter().map(|(name, kind)| Field {
            name: (*name).into(),
            kind: *kind,
            is_nullable: *kind == Any,
        });
        let space = SpaceRow {
            id,
            owner: ADMIN,
            name: name.into(),
            engine: if viewed(id).is_some() {
                "sysview"
            } else {
                "memtx"
            }
            .into(),
            field_count: 0,
            is_temporary: false,
            format: format.collect(),
        };
        let part = |field: &u32| Part {
            field: *field,
            kind: self.fields[*field as usize].1,
            is_nullable: false,
            exclude_null: false,
        };
        let indexes = self
            .indexes
            .iter()
            .map(|(iid, name, is_unique, fields)| IndexRow {
                space: id,
                id: *iid,
                name: (*name).into(),
                kind: "tree".into(),
                is_unique: *is_unique,
                parts: fields.iter().map(part).collect(),
            });
        (space, indexes.collect())
    }
}

/// Every other row: the space it belongs to, and the tuple.
pub(crate) fn tuples() -> impl Iterator<Item = (u32, Vec<u8>)> {
    let users = [
        (0, "guest", "user", Some(PasswordHash::of(""))),
        (ADMIN, "admin", "user", None),
        (2, "public", "role", None),
        (3, "replication", "role", None),
        (31, "super", "role", None),
    ];
    let users = users.into_iter().map(|(id, name, kind, password)| {
        (
            USER,
            UserRow {
                id,
                owner: ADMIN,
                name: name.into(),
                kind: kind.into(),
                password,
            }
            .encode(),
        )
    });
    let collations = [
        (0, "none", ""),
        (1, "unicode", "tertiary"),
        (2, "unicode_ci", "primary"),
        (3, "binary", ""),
    ];
    let collations = collations
        .into_iter()
        .map(|(id, name, strength)| (COLLATION, super::rows::encode_collation(id, name, strength)));
    let spaces = spaces().flat_map(|(space, indexes)| {
        let indexes = indexes.into_iter().map(|index| (INDEX, index.encode()));
        std::iter::once((SPACE, space.encode())).chain(indexes)
    });
    spaces.chain(users).chain(collations)
}
