//! The rows that the system spaces are born with, as Tarantool shows them.

use vestibule_wire::auth::PasswordHash;

use crate::model::field::FieldType::{
    self, Any, Array, Boolean, Integer, Map, Scalar, String, Unsigned,
};
use crate::model::index::Part;
use crate::model::space::Field;
use crate::schema::privileges::{ObjectKind, Privileges};
use crate::schema::system::grant_rows::{FuncRow, PrivRow};
use crate::schema::system::rows::{IndexRow, SpaceRow, UserRow};
use crate::schema::system::{
    ADMIN, COLLATION, FUNC, GUEST, INDEX, PRIV, PUBLIC, SPACE, SUPER, USER, viewed,
};

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
        (GUEST, "guest", "user", Some(PasswordHash::of(""))),
        (ADMIN, "admin", "user", None),
        (PUBLIC, "public", "role", None),
        (3, "replication", "role", None),
        (SUPER, "super", "role", None),
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
    let collations = collations.into_iter().map(|(id, name, strength)| {
        (
            COLLATION,
            crate::schema::system::rows::encode_collation(id, name, strength),
        )
    });
    let spaces = spaces().flat_map(|(space, indexes)| {
        let indexes = indexes.into_iter().map(|index| (INDEX, index.encode()));
        std::iter::once((SPACE, space.encode())).chain(indexes)
    });
    spaces
        .chain(users)
        .chain(collations)
        .chain(std::iter::once((FUNC, user_info().encode(CREATED))))
        .chain(rights().map(|row| (PRIV, row.encode())))
}

/// When the functions that are built in were made, as Tarantool 2.6 says.
const CREATED: &str = "2019-12-29 17:52:51";

/// The one procedure that everybody may call. In Tarantool it has the rights of `admin`, and tells
/// who else exists; here it has those of its caller.
fn user_info() -> FuncRow {
    FuncRow {
        id: 1,
        owner: ADMIN,
        name: "box.schema.user.info".into(),
        is_setuid: false,
    }
}

/// The first rights, Tarantool's own: guest may be there and has the role `public`; `admin` and
/// `super` may do everything.
fn rights() -> impl Iterator<Item = PrivRow> {
    use ObjectKind::{Function, Role, Space, Universe};
    type P = Privileges;
    let views = [277, 281, 286, 289, 297, 305, 313, 341];
    let views = views.map(|view| (PUBLIC, (Space, Some(view)), P::READ));
    let others = [
        (GUEST, (Role, Some(PUBLIC)), P::EXECUTE),
        (GUEST, (Universe, Some(0)), P::SESSION | P::USAGE),
        (ADMIN, (Universe, Some(0)), P::ALL),
        (PUBLIC, (Function, Some(1)), P::EXECUTE),
        (PUBLIC, (Space, Some(276)), P::WRITE),
        (PUBLIC, (Space, Some(330)), P::WRITE),
        (3, (Universe, Some(0)), P::READ),
        (SUPER, (Universe, Some(0)), P::ALL),
    ];
    let all = others.into_iter().chain(views);
    all.map(|(grantee, object, privileges)| PrivRow {
        grantor: ADMIN,
        grantee,
        object,
        privileges,
    })
}
