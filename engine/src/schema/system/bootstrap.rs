//! The rows that the system spaces are born with, as Tarantool shows them.

use vestibule_actors::catalog::system::{SYSTEM_SPACES, SystemFieldType, SystemSpace};
use vestibule_wire::auth::PasswordHash;

use crate::model::collation::KnownCollation;
use crate::model::field::FieldType;
use crate::model::index::Part;
use crate::model::space::Field;
use crate::privileges::{ObjectKind, Privileges};
use crate::schema::system::grant_rows::{FuncRow, FuncTraits, PrivRow};
use crate::schema::system::rows::{
    IndexRow, RowOptions, SpaceOptions, SpaceRow, UserRow, encode_collation,
};
use crate::schema::system::{
    ADMIN, COLLATION, FUNC, GUEST, INDEX, PRIV, PUBLIC, PUBLIC_FUNCTION, SPACE, SUPER, TRUNCATE,
    USER,
};

/// Every system space's row of `_space` with its rows of `_index`.
pub(crate) fn spaces() -> impl Iterator<Item = (SpaceRow, Vec<IndexRow>)> {
    SYSTEM_SPACES
        .iter()
        .flat_map(|system| system.names().map(|(id, name)| rows(system, id, name)))
}

/// The definition of a system space, or of the view on it.
fn rows(system: &SystemSpace, id: u32, name: &str) -> (SpaceRow, Vec<IndexRow>) {
    let format = system.fields.iter().map(|(name, kind)| {
        let is_nullable = *kind == SystemFieldType::Any;
        Field::new(name, field_type(*kind), is_nullable)
    });
    let is_view = id != system.id;
    let space = SpaceRow {
        id,
        owner: ADMIN,
        name: name.into(),
        engine: if is_view { "sysview" } else { "memtx" }.into(),
        field_count: 0,
        options: SpaceOptions::default(),
        format: format.collect(),
    };
    let part = |field: &u32| Part::new(*field, field_type(system.fields[*field as usize].1));
    let indexes = system.indexes.iter().map(|index| IndexRow {
        space: id,
        id: index.id,
        name: index.name.into(),
        kind: "tree".into(),
        is_unique: index.is_unique,
        options: RowOptions::unique(index.is_unique),
        parts: index.fields.iter().map(part).collect(),
    });
    (space, indexes.collect())
}

fn field_type(kind: SystemFieldType) -> FieldType {
    match kind {
        SystemFieldType::Any => FieldType::Any,
        SystemFieldType::Array => FieldType::Array,
        SystemFieldType::Boolean => FieldType::Boolean,
        SystemFieldType::Integer => FieldType::Integer,
        SystemFieldType::Map => FieldType::Map,
        SystemFieldType::Scalar => FieldType::Scalar,
        SystemFieldType::String => FieldType::String,
        SystemFieldType::Unsigned => FieldType::Unsigned,
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
    let collations = KnownCollation::all().map(|own| (COLLATION, encode_collation(own)));
    let spaces = spaces().flat_map(|(space, indexes)| {
        let indexes = indexes.into_iter().map(|index| (INDEX, index.encode()));
        std::iter::once((SPACE, space.encode())).chain(indexes)
    });
    spaces
        .chain(users)
        .chain(collations)
        .chain(std::iter::once((
            FUNC,
            user_info().encode(&FuncTraits::default(), CREATED),
        )))
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
        language: "LUA".into(),
        body: "".into(),
    }
}

/// The first rights, Tarantool's own: guest may be there and has the role `public`; `admin` and
/// `super` may do everything.
fn rights() -> impl Iterator<Item = PrivRow> {
    use ObjectKind::{Function, Role, Space, Universe};
    type P = Privileges;
    let views = SYSTEM_SPACES.iter().filter_map(|system| system.view);
    let views = views.map(|(view, _)| (PUBLIC, (Space, Some(u64::from(view))), P::READ));
    let others = [
        (GUEST, (Role, Some(PUBLIC)), P::EXECUTE),
        (GUEST, (Universe, Some(0)), P::SESSION | P::USAGE),
        (ADMIN, (Universe, Some(0)), P::ALL),
        (PUBLIC, (Function, Some(PUBLIC_FUNCTION)), P::EXECUTE),
        (PUBLIC, (Space, Some(u64::from(COLLATION))), P::WRITE),
        (PUBLIC, (Space, Some(u64::from(TRUNCATE))), P::WRITE),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// FNV-1a, 64 bits.
    fn hash(state: u64, bytes: &[u8]) -> u64 {
        let step = |state: u64, byte: &u8| (state ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        bytes.iter().fold(state, step)
    }

    #[test]
    fn the_first_rows_are_those_that_data_directories_were_made_with() {
        let mut spaces: BTreeMap<u32, (usize, usize, u64)> = BTreeMap::new();
        for (space, tuple) in tuples() {
            let entry = spaces.entry(space).or_insert((0, 0, 0xcbf2_9ce4_8422_2325));
            let (rows, bytes, state) = *entry;
            *entry = (rows + 1, bytes + tuple.len(), hash(state, &tuple));
        }
        // Rows, their bytes, and the hash of these.
        let expected = BTreeMap::from([
            (COLLATION, (277, 12_914, 17_924_446_941_711_071_937)),
            (SPACE, (19, 3790, 13_376_314_984_435_590_356)),
            (INDEX, (45, 1767, 4_643_756_660_344_843_082)),
            (FUNC, (1, 106, 12_523_077_546_235_340_632)),
            (USER, (5, 121, 15_152_631_260_591_211_112)),
            (PRIV, (16, 218, 13_504_172_430_553_921_923)),
        ]);
        assert_eq!(spaces, expected);
    }
}
