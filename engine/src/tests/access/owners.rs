//! Owners: who becomes one, and what is left of an object's rights once it is gone.

use std::collections::BTreeMap;

use vestibule_actors::engine::Engine;
use vestibule_wire::request::{Body, Delete, IdOrName, Store};

use super::{S, rig};
use crate::schema::system;
use crate::schema::system::grant_rows::{FuncRow, FuncTraits};
use crate::tests::{NONE, Rig, pack};

const BOB: u64 = 32;

impl Rig {
    fn put(&mut self, space: u32, tuple: &[u8]) -> String {
        let space = IdOrName::Id(space);
        let told = self.run(Body::Replace(Store { space, tuple }));
        self.engine.commit().unwrap();
        told
    }
}

/// The row of space `s`.
fn row_of_s(owner: u64) -> Vec<u8> {
    let flags = BTreeMap::<u8, u8>::new();
    pack(&(512, owner, "s", "memtx", 0, flags, NONE))
}

#[test]
fn whoever_may_alter_a_space_does_not_become_its_owner() {
    let mut rig = rig();
    rig.grant(&("bob", "alter", "space", "s"));
    rig.grant(&("bob", "execute", "universe"));
    rig.grant(&("bob", "read,write", "space", "_space"));
    let denied = "42: Alter access to space 's' is denied for user 'bob'";
    assert_eq!(rig.put(system::SPACE, &row_of_s(BOB)), denied);
    let user = BTreeMap::from([("user", "bob")]);
    assert_eq!(rig.ask("box.space.s:alter", &(&user,)), denied);
    let denied = "42: Read access to space 's' is denied for user 'bob'";
    assert_eq!(rig.read(S), denied);
    assert_eq!(rig.ask("box.space.s:rename", &("z",)), "[]");
    assert_eq!(rig.admin("box.space.z:alter", &(&user,)), "[]");
    assert_eq!(rig.read(S), r#"[[1, "one"]]"#);
    // An owner may give it away.
    assert!(rig.put(system::SPACE, &row_of_s(1)).contains("512"));
}

#[test]
fn whoever_may_create_functions_makes_none_that_act_for_admin() {
    let mut rig = rig();
    rig.grant(&("bob", "read,write,execute,create", "universe"));
    let row = |owner, is_setuid| {
        let row = FuncRow {
            id: 9,
            owner,
            name: "box.schema.user.grant".into(),
            is_setuid,
            language: "LUA".into(),
            body: "".into(),
        };
        row.encode(&FuncTraits::default(), "2019-12-29 17:52:51")
    };
    assert_eq!(
        rig.put(system::FUNC, &row(1, true)),
        "42: Create access to function 'box.schema.user.grant' is denied for user 'bob'"
    );
    assert!(rig.put(system::FUNC, &row(BOB, true)).contains("grant"));
    let told = rig.ask("box.schema.user.grant", &(BOB, "write", "space", "s"));
    assert!(told.starts_with("42: "), "{told}");
}

#[test]
fn rights_on_a_user_or_role_go_with_it() {
    let mut rig = rig();
    rig.admin("box.schema.user.create", &("eve",));
    rig.admin("box.schema.role.create", &("r",));
    rig.grant(&("bob", "alter,drop", "user", "eve"));
    rig.grant(&("bob", "drop", "role", "r"));
    let (space, index, key) = (IdOrName::Id(system::USER), IdOrName::Id(0), pack(&(34,)));
    let key = &key[..];
    let admin = rig.user("admin");
    let bob = std::mem::replace(&mut rig.caller.user, admin);
    assert_eq!(
        rig.run(Body::Delete(Delete { space, index, key })),
        "44: Failed to drop user or role 'r': the user has objects"
    );
    rig.caller.user = bob;
    assert_eq!(rig.admin("box.schema.role.drop", &("r",)), "[]");
    assert_eq!(rig.admin("box.schema.user.drop", &("eve",)), "[]");
    rig.admin("box.schema.user.create", &("eve",));
    let rights = rig.admin("box.schema.user.info", &("bob",));
    assert!(!rights.contains("drop"), "{rights}");
}

#[test]
fn numbers_that_leave_no_room_for_the_next_are_refused() {
    let mut rig = rig();
    rig.caller.user = rig.user("admin");
    let user = |id: u64| pack(&(id, 1, "eve", "user", BTreeMap::<u8, u8>::new()));
    let function = |id| {
        let (name, owner, is_setuid) = ("f".into(), 1, false);
        let row = FuncRow {
            id,
            owner,
            name,
            is_setuid,
            language: "LUA".into(),
            body: "".into(),
        };
        row.encode(&FuncTraits::default(), "")
    };
    for id in [1 << 32, u64::MAX] {
        assert_eq!(
            rig.put(system::USER, &user(id)),
            "43: Failed to create user 'eve': user id is too big"
        );
    }
    for id in [32_001, u64::MAX] {
        assert_eq!(
            rig.put(system::FUNC, &function(id)),
            "50: Failed to create function 'f': function id is too big"
        );
    }
    // The last ones, and then none.
    assert!(rig.put(system::USER, &user((1 << 32) - 1)).contains("eve"));
    let told = rig.ask("box.schema.user.create", &("next",));
    assert_eq!(told, "43: Failed to create user 'next': user id is too big");
    assert!(rig.put(system::FUNC, &function(32_000)).contains("\"f\""));
    let told = rig.ask("box.schema.func.create", &("g",));
    assert_eq!(
        told,
        "50: Failed to create function 'g': function id is too big"
    );
}
