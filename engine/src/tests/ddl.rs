//! Definitions: by clients that write into the system spaces, and what the catalog shows.

use vestibule_actors::engine::{Detached, Engine, Outcome, Reply, Request};
use vestibule_wire::msgpack::Reader;
use vestibule_wire::reply::Rows;
use vestibule_wire::request::{Body, Delete, IdOrName, Select, Store};

use super::{NONE, Rig, SPACE, by, pack, printed, store};
use crate::limits::QUIET_CHECKS_MAX;
use crate::print::Printed;
use crate::store::index_build::{BuildError, Room, build};

type Empty = std::collections::BTreeMap<String, u8>;

fn put(rig: &mut Rig, space: u32, row: &impl serde::Serialize) -> String {
    let told = rig.run(Body::Replace(Store {
        space: IdOrName::Id(space),
        tuple: &pack(row),
    }));
    rig.commit();
    told
}

fn remove(rig: &mut Rig, space: u32, key: &impl serde::Serialize) -> String {
    let (space, index) = (IdOrName::Id(space), IdOrName::Id(0));
    let told = rig.run(Body::Delete(Delete {
        space,
        index,
        key: &pack(key),
    }));
    rig.commit();
    told
}

#[test]
fn spaces_can_be_made_by_writing_the_system_spaces() {
    let mut rig = Rig::new();
    let none = Empty::new();
    let row = (
        600,
        1,
        "direct",
        "memtx",
        0,
        &none,
        [("name", "id")]
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>(),
    );
    let told = put(
        &mut rig,
        280,
        &(row.0, row.1, row.2, row.3, row.4, row.5, [row.6]),
    );
    assert!(told.starts_with("[[600, 1, \"direct\""), "{told}");
    let told = put(
        &mut rig,
        288,
        &(600, 0, "pk", "tree", &none, [(0, "integer")]),
    );
    assert!(told.starts_with("[[600, 0, \"pk\""), "{told}");
    let select = Select {
        space: IdOrName::Name("direct"),
        ..by(&[0x90])
    };
    let tuple = pack(&(-5, "x"));
    let stored = rig.run(Body::Insert(Store {
        space: IdOrName::Id(600),
        ..store(&tuple)
    }));
    assert_eq!(stored, r#"[[-5, "x"]]"#);
    assert_eq!(rig.run(Body::Select(select)), r#"[[-5, "x"]]"#);
    assert_eq!(
        remove(&mut rig, 280, &(600,)),
        "11: Can't drop space 'direct': the space has indexes"
    );
    assert!(remove(&mut rig, 288, &(600, 0)).starts_with("[[600, 0"));
    assert_eq!(
        rig.run(Body::Select(select)),
        "35: No index #0 is defined in space 'direct'"
    );
    assert!(remove(&mut rig, 280, &(600,)).starts_with("[[600, 1"));
    assert_eq!(
        rig.run(Body::Select(select)),
        "36: Space 'direct' does not exist"
    );
}

#[test]
fn rows_that_make_no_sense_are_refused() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.insert(&(1,));
    rig.commit();
    let none = Empty::new();
    let format = [0u8; 0];
    let space = |id: u32, name: &'static str, engine: &'static str, count: u32| {
        (id, 1, name, engine, count, Empty::new(), format)
    };
    for (told, expected) in [
        (
            put(&mut rig, 280, &space(600, "v", "vinyl", 0)),
            "5: vestibule does not support engine 'vinyl'",
        ),
        (
            put(&mut rig, 280, &space(600, "v", "x", 0)),
            "57: Space engine 'x' does not exist",
        ),
        (
            put(&mut rig, 280, &space(600, "", "memtx", 0)),
            "70: Invalid identifier '' (expected printable symbols only or it is too long)",
        ),
        (
            put(&mut rig, 280, &space(300, "low", "memtx", 0)),
            "9: Failed to create space 'low': numbers 256 to 511 are the system's",
        ),
        (
            put(&mut rig, 280, &space(512, "s", "memtx", 2)),
            "38: Tuple field count 1 does not match space field count 2",
        ),
        (
            put(&mut rig, 304, &(1, 1, "root", "user", &none)),
            "5: vestibule does not support renaming the system's users",
        ),
        (
            put(&mut rig, 304, &(50, 1, "guest", "user", &none)),
            "46: User 'guest' already exists",
        ),
        (
            remove(&mut rig, 304, &(1,)),
            "44: Failed to drop user or role 'admin': the user or the role is a system",
        ),
    ] {
        assert_eq!(told, expected);
    }
    let told = put(&mut rig, 280, &space(600, "s", "memtx", 0));
    assert!(
        told.starts_with("3: Duplicate key exists in unique index \"name\" in space \"_space\""),
        "{told}"
    );
    assert_eq!(rig.all(), "[[1]]");
    assert_eq!(rig.engine.schema_version(), 3);
}

#[test]
fn rows_of_indexes_that_make_no_sense_are_refused() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.insert(&(1,));
    rig.commit();
    let index = |space: u32, id: u32, kind: &'static str, field: u32, of: &'static str| {
        (space, id, "i", kind, Empty::new(), [(field, of)])
    };
    for (told, expected) in [
        (
            put(&mut rig, 288, &index(999, 0, "tree", 0, "unsigned")),
            "36: Space '999' does not exist",
        ),
        (
            put(&mut rig, 288, &index(512, 128, "tree", 0, "unsigned")),
            "14: Can't create or modify index 'i' in space 's': index id too big",
        ),
        (
            put(&mut rig, 288, &index(512, 0, "tree", 0, "string")),
            "23: Tuple field 1 type does not match one required by operation: \
             expected string, got unsigned",
        ),
        (
            put(&mut rig, 288, &index(512, 0, "tree", 0, "any")),
            "14: Can't create or modify index 'i' in space 's': field type 'any' is not supported",
        ),
        (
            put(&mut rig, 288, &index(512, 0, "rtree", 0, "array")),
            "13: Unsupported index type supplied for index 'i' in space 's'",
        ),
        (
            put(&mut rig, 288, &index(280, 0, "tree", 0, "unsigned")),
            "14: Can't create or modify index 'i' in space '_space': indexes of system spaces are \
             fixed",
        ),
    ] {
        assert_eq!(told, expected);
    }
    assert_eq!(rig.all(), "[[1]]");
    assert_eq!(rig.engine.schema_version(), 3);
}

#[test]
fn a_change_of_definitions_has_a_turn_of_its_own() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.insert(&(1,));
    let (mut context, mut out) = (Detached::default(), Vec::new());
    let row = pack(&(600, 1, "t", "memtx", 0, Empty::new(), [0u8; 0]));
    let ddl = Body::Insert(Store {
        space: IdOrName::Id(280),
        tuple: &row,
    });
    let caller = rig.caller.clone();
    let mut execute = |rig: &mut Rig, body| {
        let request = Request {
            body,
            caller: &caller,
            stream: 0,
            transaction: None,
        };
        rig.engine
            .execute(&request, &mut Reply::detached(&mut out, &mut context))
            .unwrap()
    };
    assert_eq!(execute(&mut rig, ddl), Outcome::CommitFirst);
    rig.commit();
    assert_eq!(execute(&mut rig, ddl), Outcome::Done);
    assert_eq!(
        execute(&mut rig, Body::Select(by(&[0x90]))),
        Outcome::CommitFirst
    );
    assert_eq!(execute(&mut rig, ddl), Outcome::CommitFirst);
    rig.commit();
    assert_eq!(execute(&mut rig, Body::Select(by(&[0x90]))), Outcome::Done);
}

#[test]
fn a_failed_commit_leaves_the_definitions_as_they_were() {
    let mut rig = Rig::new();
    let args = pack(&("t",));
    rig.disk.set_fails_next_append(true);
    let version = rig.engine.schema_version();
    rig.try_call("box.schema.space.create", &args).unwrap();
    assert_eq!(rig.engine.commit().unwrap_err().code().0, 40);
    assert_eq!(rig.engine.schema_version(), version);
    rig.engine.resume().unwrap();
    assert_eq!(
        rig.call("box.schema.space.create", &("t",)),
        r#"[{"id": 512, "name": "t"}]"#
    );
    assert_eq!(rig.engine.schema_version(), version + 1);
}

/// What a connector finds out when it connects.
#[test]
fn the_catalog_shows_spaces_indexes_collations_and_users() {
    let mut rig = Rig::with_space(&[(1, "unsigned"), (2, "string")]);
    let catalog = rig.engine.catalog();
    let mut fetch = |space: u32, index: u32, key: &[u8]| {
        let (space, index) = (IdOrName::Id(space), IdOrName::Id(index));
        let (mut out, select) = (
            Vec::new(),
            Select {
                space,
                index,
                ..by(key)
            },
        );
        catalog
            .select(&select, &rig.user("admin"), || Rows::begin(&mut out))
            .unwrap();
        assert_eq!(
            rig.raw(Body::Select(select)).unwrap(),
            out,
            "Tx answers the same"
        );
        out
    };
    assert_eq!(
        printed(&fetch(281, 2, &pack(&("s",)))),
        r#"[[512, 1, "s", "memtx", 0, {}, []]]"#
    );
    let index = r#"[[512, 0, "pk", "tree", {"unique": true}, [[0, "unsigned"], [1, "string"]]]]"#;
    assert_eq!(printed(&fetch(289, 0, &pack(&(512,)))), index);
    assert_eq!(printed(&fetch(289, 2, &pack(&(512, "pk")))), index);
    let own = printed(&fetch(280, 0, &pack(&(281,))));
    assert!(own.starts_with(
        r#"[[281, 1, "_vspace", "sysview", 0, {}, [{"name": "id", "type": "unsigned"}"#
    ));
    let collations = printed(&fetch(277, 0, &[0x90]));
    assert!(collations.starts_with(r#"[[0, "none", 1, "BINARY", "", {}], [1, "unicode""#));
    let users = printed(&fetch(304, 2, &pack(&("guest",))));
    assert_eq!(
        users,
        r#"[[0, 1, "guest", "user", {"chap-sha1": "vhvewKp0tNyweZQ+cFKAlsyphfg="}]]"#
    );
    for (ids, known) in [(281, 280..=341), (289, 280..=341)] {
        let body = fetch(ids, 0, &[0x90]);
        let mut reader = Reader::new(&body[2..]);
        let rows = reader.read_array_len().unwrap();
        let shown = (0..rows).filter(|_| {
            let mut row = Reader::new(reader.skip().unwrap());
            row.read_array_len().unwrap();
            known.contains(&row.read_uint().unwrap())
        });
        assert!(shown.count() > 10);
    }
}

#[test]
fn every_row_that_is_built_in_comes_back_through_the_checks() {
    let rig = Rig::new();
    rig.engine.look(|snapshot| {
        for (space, tuple) in crate::schema::system::bootstrap::tuples() {
            let def = rig.engine.definition(IdOrName::Id(space)).unwrap();
            assert_eq!(def.check(&tuple), Ok(()), "{}", Printed(&tuple));
            let key = def.primary().unwrap().key_of(&tuple).unwrap();
            assert_eq!(snapshot.get(space, &key).unwrap()[..], tuple[..]);
        }
    });
    assert_eq!(
        rig.engine.catalog().user("guest").unwrap().1,
        Some(vestibule_wire::auth::PasswordHash::of(""))
    );
    let _ = NONE;
}

#[test]
fn a_space_that_was_truncated_can_be_dropped() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.insert(&(1, 1));
    rig.commit();
    rig.call("box.space.s:truncate", &NONE);
    assert_eq!(rig.call("box.space.s:drop", &NONE), "[]");
    rig.reopen();
    assert!(rig.insert(&(1, 1)).starts_with("36: "));
}

/// A part of an index, all of it told.
fn part(field: u32, kind: &str, is_nullable: bool) -> impl serde::Serialize + use<> {
    #[derive(serde::Serialize)]
    struct Part {
        field: u32,
        r#type: String,
        is_nullable: bool,
    }
    let r#type = kind.to_owned();
    Part {
        field,
        r#type,
        is_nullable,
    }
}

#[test]
fn what_is_wrong_with_an_index_is_told_in_tarantools_order() {
    let mut rig = Rig::new();
    rig.call("box.schema.space.create", &("s",));
    let none = Empty::new();
    let mixed = ((0, "unsigned"), part(1, "string", true));
    let told = put(&mut rig, 288, &(600, 1, "i", "tree", &none, &mixed));
    assert_eq!(told, "36: Space '600' does not exist");
    let told = put(&mut rig, 288, &(512, 1, "i", "tree", &none, &mixed));
    assert_eq!(
        told,
        "12: Can't modify space 's': can not add a secondary key before primary"
    );
    assert!(
        !put(
            &mut rig,
            288,
            &(512, 0, "pk", "tree", &none, [(0, "unsigned")])
        )
        .contains(": ")
    );
    let told = put(&mut rig, 288, &(512, 1, "pk", "tree", &none, &mixed));
    assert!(
        told.starts_with("3: Duplicate key exists in unique index \"name\""),
        "{told}"
    );
    let told = put(&mut rig, 288, &(512, 1, "i", "tree", &none, &mixed));
    assert!(
        told.starts_with("107: Wrong index parts: expected an array;"),
        "{told}"
    );
    let mixed = (part(1, "string", true), (0, "unsigned"));
    let told = put(&mut rig, 288, &(512, 1, "i", "tree", &none, &mixed));
    assert_eq!(
        told,
        "108: Wrong index options (field 2): index part is expected to be a map"
    );
    let told = put(
        &mut rig,
        288,
        &(512, 0, "pk", "x", &none, [part(0, "map", true)]),
    );
    assert_eq!(
        told,
        "152: Primary index of space 's' can not contain nullable parts"
    );
    let told = put(&mut rig, 288, &(512, 1, "i", "x", &none, [(0, "map")]));
    assert_eq!(
        told,
        "13: Unsupported index type supplied for index 'i' in space 's'"
    );
}

#[test]
fn the_row_of_a_truncation_goes_before_that_of_its_space() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.call("box.space.s:truncate", &NONE);
    remove(&mut rig, 288, &(512, 0));
    assert_eq!(
        remove(&mut rig, 280, &(512,)),
        "11: Can't drop space 's': the space has truncate record"
    );
    assert_eq!(remove(&mut rig, 330, &(512,)), "[[512, 1]]");
    assert!(remove(&mut rig, 280, &(512,)).starts_with("[[512, "));
}

#[test]
fn an_index_that_nobody_waits_for_any_more_is_not_built() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    for key in 0..QUIET_CHECKS_MAX {
        rig.insert(&(key, key));
    }
    rig.commit();
    let options = std::collections::BTreeMap::from([("parts", [(2, "unsigned")])]);
    let create = |rig: &mut Rig| rig.call("box.space.s:create_index", &("by", &options));
    rig.is_given_up = true;
    assert_eq!(create(&mut rig), "32: fiber is cancelled");
    {
        let image = rig.engine.image();
        let space = image.space(SPACE).unwrap();
        let primary = space.def.primary().unwrap();
        let built = build(primary, space.rows.tuples(), Room::UNBOUNDED, &mut |_| {
            false
        });
        assert!(matches!(built, Err(BuildError::Cancelled)));
    }
    rig.is_given_up = false;
    assert!(create(&mut rig).starts_with("[{\"id\": 1"));
}
