//! Rights behind calls.

use std::collections::BTreeMap;

use vestibule_actors::catalog::User;
use vestibule_actors::engine::Engine;
use vestibule_wire::Error;
use vestibule_wire::request::{Body, Delete, IdOrName, Store, Update};

use super::rig;
use crate::schema::system;
use crate::tests::{NONE, Rig, pack, told};

/// What takes from others is for those who are here for something.
#[test]
fn locks_and_transactions_take_a_right_on_data_whatever_it_is() {
    let mut rig = rig();
    let lock = "42: Execute access to function 'vestibule.lock' is denied for user";
    let begin = "42: Read access to universe '' is denied for user";
    let check = |rig: &mut Rig, user: &str, may: bool| {
        rig.log_in(user);
        let told = |result: Result<(), Error>| result.err().map(|error| told(&error));
        let expected = |text: &str| (!may).then(|| format!("{text} '{user}'"));
        let locks = told(rig.engine.may_call(&rig.caller, "vestibule.lock"));
        assert_eq!(locks, expected(lock));
        assert_eq!(told(rig.engine.may_begin(&rig.caller)), expected(begin));
        // What takes nothing is for everybody.
        assert_eq!(rig.engine.may_call(&rig.caller, "vestibule.unlock"), Ok(()));
    };
    check(&mut rig, "bob", false);
    check(&mut rig, "admin", true);
    for (right, kind, name) in [
        ("read", "space", "s"),
        ("write", "universe", ""),
        ("execute", "universe", ""),
        ("create", "space", ""),
    ] {
        rig.grant(&("bob", right, kind, name));
        check(&mut rig, "bob", true);
        rig.admin("box.schema.user.revoke", &("bob", right, kind, name));
        check(&mut rig, "bob", false);
    }
    rig.caller.user = User {
        id: 99,
        ..User::named("nobody")
    };
    let gone = rig
        .engine
        .may_begin(&rig.caller)
        .map_err(|error| told(&error));
    assert_eq!(gone, Err("45: User 'nobody' is not found".to_owned()));
}

#[test]
fn every_way_to_read_takes_the_right_to_read() {
    let mut rig = rig();
    rig.grant(&("bob", "execute", "universe"));
    rig.grant(&("bob", "write", "space", "s"));
    let denied = "42: Read access to space 's' is denied for user 'bob'";
    for index in ["", ".index.pk"] {
        for method in ["select", "get", "len", "count"] {
            let name = format!("box.space.s{index}:{method}");
            assert_eq!(rig.ask(&name, &(1,)), denied, "{name}");
        }
    }
    for method in ["min", "max", "random"] {
        let name = format!("box.space.s.index.pk:{method}");
        assert_eq!(rig.ask(&name, &(1,)), denied, "{name}");
    }
    assert_eq!(rig.ask("box.space.s:auto_increment", &(("x",),)), denied);
    assert_eq!(rig.ask("box.space.s:put", &((5,),)), "[[5]]");
    let denied = "42: Write access to space 't' is denied for user 'bob'";
    rig.grant(&("bob", "read", "space", "t"));
    for method in ["put", "insert", "auto_increment"] {
        let name = format!("box.space.t:{method}");
        assert_eq!(rig.ask(&name, &((5,),)), denied, "{name}");
    }
}

#[test]
fn whatever_rights_on_data_there_are_operators_procedures_take_an_administrator() {
    let mut rig = rig();
    rig.grant(&("bob", "super"));
    for name in ["vestibule.checkpoints", "vestibule.journal.resume"] {
        let denied = format!("42: Execute access to function '{name}' is denied for user 'bob'");
        assert_eq!(rig.ask(name, &NONE), denied);
    }
    rig.caller.is_administrator = true;
    assert_eq!(rig.ask("vestibule.journal.resume", &NONE), "[true]");
}

#[test]
fn who_may_not_create_spaces_hears_nothing_of_those_that_are_there() {
    let mut rig = rig();
    rig.grant(&("bob", "execute", "universe"));
    let denied = |space| format!("42: Write access to space '{space}' is denied for user 'bob'");
    for name in ["s", "nope"] {
        let if_not_exists = BTreeMap::from([("if_not_exists", true)]);
        let told = rig.ask("box.schema.space.create", &(name, if_not_exists));
        assert_eq!(told, denied("_schema"));
        for id in [512, 600] {
            let options = BTreeMap::from([("id", id)]);
            let told = rig.ask("box.schema.space.create", &(name, options));
            assert_eq!(told, denied("_space"));
        }
    }
    for space in ["_schema", "_space"] {
        rig.grant(&("bob", "write", "space", space));
    }
    for name in ["s", "nope"] {
        assert_eq!(
            rig.ask("box.schema.space.create", &(name,)),
            format!("42: Create access to space '{name}' is denied for user 'bob'")
        );
    }
    // A user who may create one has to know why not.
    rig.grant(&("bob", "create", "space"));
    let taken = "10: Space 's' already exists";
    assert_eq!(rig.ask("box.schema.space.create", &("s",)), taken);
}

#[test]
fn a_truncation_is_no_secret_to_those_only_who_may_know_of_the_space() {
    let mut rig = rig();
    assert_eq!(rig.admin("box.space.s:truncate", &NONE), "[]");
    let space = IdOrName::Id(system::TRUNCATE);
    let (index, ops) = (IdOrName::Id(0), pack(&(("=", 1, 1),)));
    for id in [512, 513, 9999] {
        let denied = format!("42: Write access to space '{id}' is denied for user 'bob'");
        let (tuple, key) = (pack(&(id, 0)), pack(&(id,)));
        let (tuple, key) = (&tuple[..], &key[..]);
        let update = Update {
            space,
            index,
            key,
            ops: &ops,
            index_base: 0,
        };
        for body in [
            Body::Insert(Store { space, tuple }),
            Body::Replace(Store { space, tuple }),
            Body::Delete(Delete { space, index, key }),
            Body::Update(update),
        ] {
            assert_eq!(rig.run(body), denied);
        }
    }
}

#[test]
fn who_writes_system_spaces_hears_nothing_of_objects_that_are_hidden() {
    let mut rig = rig();
    rig.admin("box.schema.sequence.create", &("q",));
    rig.admin("box.schema.func.create", &("f",));
    rig.admin("box.schema.user.create", &("eve",));
    for space in ["_index", "_priv", "_space_sequence"] {
        rig.grant(&("bob", "write", "space", space));
    }
    let bob = 32;
    let none = BTreeMap::<u8, u8>::new();
    let mut told = |space, row: &[u8], denied: &str| {
        let space = IdOrName::Id(space);
        let store = Store { space, tuple: row };
        let denied = format!("42: {denied} is denied for user 'bob'");
        assert_eq!(rig.run(Body::Insert(store)), denied);
    };
    for id in [513, 9999] {
        let parts = [(0, "unsigned")];
        let row = pack(&(id, 7, "i", "tree", &none, parts));
        told(
            system::INDEX,
            &row,
            &format!("Create access to space '{id}'"),
        );
    }
    for (kind, there) in [
        ("space", 513),
        ("sequence", 1),
        ("function", 2),
        ("user", 33),
    ] {
        for id in [there, 9999] {
            let row = pack(&(bob, bob, kind, id, 4));
            told(
                system::PRIV,
                &row,
                &format!("Grant access to {kind} '{id}'"),
            );
        }
    }
    for id in [1, 77] {
        let row = pack(&(513, id, false, 0, ""));
        let denied = format!("Read access to sequence '{id}'");
        told(system::SPACE_SEQUENCE, &row, &denied);
    }
}

#[test]
fn a_row_in_the_way_is_shown_to_whoever_may_read_it() {
    let mut rig = rig();
    let space = IdOrName::Id(system::SPACE);
    for right in ["write", "create"] {
        let object = if right == "write" { "_space" } else { "" };
        rig.grant(&("bob", right, "space", object));
    }
    let row = pack(&(600, 32, "s", "memtx", 0, BTreeMap::<u8, u8>::new(), NONE));
    let (tuple, key) = (&row[..], &pack(&(512,))[..]);
    let told = "3: Duplicate key exists in unique index \"name\" in space \"_space\"";
    assert_eq!(rig.run(Body::Insert(Store { space, tuple })), told);
    let index = IdOrName::Id(0);
    assert_eq!(
        rig.run(Body::Delete(Delete { space, index, key })),
        "42: Drop access to space '512' is denied for user 'bob'"
    );
    rig.grant(&("bob", "read", "space", "_space"));
    let shown = rig.run(Body::Insert(Store { space, tuple }));
    assert!(shown.contains(" with old tuple - [512, 1, "), "{shown}");
    assert_eq!(
        rig.run(Body::Delete(Delete { space, index, key })),
        "42: Drop access to space 's' is denied for user 'bob'"
    );
    // Nor does an index that cannot be built show what the space holds.
    rig.admin("box.space.s:insert", &((2, "one"),));
    rig.grant(&("bob", "read,write", "space", "_index"));
    rig.grant(&("bob", "create", "space", "s"));
    let (space, parts) = (IdOrName::Id(system::INDEX), [(1, "string")]);
    let row = pack(&(512, 1, "i", "tree", BTreeMap::<u8, u8>::new(), parts));
    let store = Store { space, tuple: &row };
    let told = "3: Duplicate key exists in unique index \"i\" in space \"s\"";
    assert_eq!(rig.run(Body::Insert(store)), told);
    rig.grant(&("bob", "read", "space", "s"));
    let shown = rig.run(Body::Insert(store));
    assert!(shown.contains(" with old tuple - [1, \"one\"]"), "{shown}");
}
