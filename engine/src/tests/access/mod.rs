//! Users and rights through the engine: requests, calls, definitions, views; live and after
//! recovery.

mod calls;
mod logins;
mod openings;
mod owners;
mod sequences;
mod shares;

use serde::Serialize;
use vestibule_actors::engine::{Engine, ReplyBody, Scan};
use vestibule_wire::request::{Body, IdOrName, Select, Store};

use super::{NONE, Rig, by, pack, printed, told};

impl Rig {
    /// From now on, this user asks.
    fn log_in(&mut self, user: &str) {
        self.caller.user = self.user(user);
        self.caller.is_administrator = false;
    }

    /// Calls as a client does: the right to call comes first.
    fn ask(&mut self, name: &str, args: &(impl Serialize + ?Sized)) -> String {
        match self.engine.may_call(&self.caller, name) {
            Err(error) => told(&error),
            Ok(()) => {
                let result = self.try_call(name, &pack(args));
                self.engine.commit().unwrap();
                result.map_or_else(|error| told(&error), |body| printed(&body))
            }
        }
    }

    /// The same as `admin`.
    fn admin(&mut self, name: &str, args: &(impl Serialize + ?Sized)) -> String {
        let admin = self.user("admin");
        let user = std::mem::replace(&mut self.caller.user, admin);
        let told = self.ask(name, args);
        self.caller.user = user;
        told
    }

    fn grant(&mut self, args: &(impl Serialize + ?Sized)) {
        assert_eq!(self.admin("box.schema.user.grant", args), "[]");
    }

    /// SELECT of everything, by Tx and from the view.
    fn read(&mut self, space: IdOrName<'_>) -> String {
        let select = Select {
            space,
            ..by(&[0x90])
        };
        let by_tx = self.run(Body::Select(select));
        let view = self.engine.view().unwrap();
        let mut out = Vec::new();
        let seen = view.select(
            &select,
            &self.caller,
            &mut Scan::default(),
            &mut ReplyBody::in_buffer(&mut out),
        );
        // Sessions ask the catalog for the system's spaces.
        if !matches!(space, IdOrName::Id(id) if id < 512) {
            let seen = seen.map_or_else(|error| told(&error), |_| printed(&out));
            assert_eq!(seen, by_tx, "the view differs");
        }
        by_tx
    }

    /// First fields of the rows that a view shows.
    fn shown(&mut self, view: u32) -> Vec<u64> {
        let select = Select {
            space: IdOrName::Id(view),
            ..by(&[0x90])
        };
        let body = self.raw(Body::Select(select)).unwrap();
        let mut reader = vestibule_wire::msgpack::Reader::new(&body[2..]);
        let count = reader.read_array_len().unwrap();
        let mut row = |_| {
            let mut row = vestibule_wire::msgpack::Reader::new(reader.skip().unwrap());
            row.read_array_len().unwrap();
            row.read_uint().unwrap()
        };
        (0..count).map(&mut row).collect()
    }
}

/// Space `s` (512) with one row and space `t` (513), both of `admin`; user `bob` without rights
/// asks.
fn rig() -> Rig {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    rig.insert(&(1, "one"));
    rig.commit();
    rig.call("box.schema.space.create", &("t",));
    rig.call("box.space.t:create_index", &("pk",));
    assert_eq!(rig.call("box.schema.user.create", &("bob",)), "[]");
    rig.log_in("bob");
    rig
}

const S: IdOrName<'static> = IdOrName::Id(512);

#[test]
fn without_rights_nothing_can_be_done_and_nothing_is_learnt() {
    let mut rig = rig();
    for (space, name) in [(512, "512"), (513, "513"), (9999, "9999")] {
        assert_eq!(
            rig.read(IdOrName::Id(space)),
            format!("42: Read access to space '{name}' is denied for user 'bob'")
        );
        let tuple = pack(&(1,));
        let insert = Store {
            space: IdOrName::Id(space),
            tuple: &tuple,
        };
        assert_eq!(
            rig.run(Body::Insert(insert)),
            format!("42: Write access to space '{name}' is denied for user 'bob'")
        );
    }
    for name in ["s", "nosuch"] {
        assert_eq!(
            rig.read(IdOrName::Name(name)),
            format!("42: Read access to space '{name}' is denied for user 'bob'")
        );
    }
    for name in [
        "box.space.s:select",
        "box.space.no:select",
        "box.schema.user.create",
        "nosuch",
    ] {
        assert_eq!(
            rig.ask(name, &("x",)),
            format!("42: Execute access to function '{name}' is denied for user 'bob'")
        );
    }
    assert_eq!(
        rig.update(&(1,), &[("=", 1, 2)]),
        "42: Write access to space '512' is denied for user 'bob'"
    );
    assert_eq!(
        rig.delete(&(1,)),
        "42: Write access to space '512' is denied for user 'bob'"
    );
    assert_eq!(
        rig.upsert(&(1,), &[("=", 1, 2)]),
        "42: Write access to space '512' is denied for user 'bob'"
    );
}

#[test]
fn rights_on_data_are_those_granted() {
    let mut rig = rig();
    rig.grant(&("bob", "read", "space", "s"));
    assert_eq!(rig.read(S), r#"[[1, "one"]]"#);
    // The space is no secret any more, so it is named.
    let denied = "42: Write access to space 's' is denied for user 'bob'";
    assert_eq!(rig.replace(&(1, "two")), denied);
    assert!(rig.read(IdOrName::Id(513)).starts_with("42: "));
    rig.grant(&("bob", "write", "space"));
    assert_eq!(rig.replace(&(1, "two")), r#"[[1, "two"]]"#);
    assert_eq!(rig.delete(&(1,)), r#"[[1, "two"]]"#);
    rig.commit();
    assert_eq!(
        rig.read(IdOrName::Id(513)),
        "42: Read access to space 't' is denied for user 'bob'"
    );
    // A user who may write every space may know which there are.
    assert_eq!(
        rig.read(IdOrName::Id(9999)),
        "36: Space '9999' does not exist"
    );
    rig.grant(&("bob", "read", "universe"));
    assert_eq!(rig.read(IdOrName::Id(513)), "[]");
}

#[test]
fn rights_are_lost_at_the_next_request_and_stay_lost_after_recovery() {
    let mut rig = rig();
    rig.grant(&("bob", "read,write", "space", "s"));
    assert_eq!(rig.read(S), r#"[[1, "one"]]"#);
    assert_eq!(
        rig.admin("box.schema.user.revoke", &("bob", "write", "space", "s")),
        "[]"
    );
    assert!(
        rig.replace(&(2,))
            .starts_with("42: Write access to space 's'")
    );
    rig.reopen();
    assert_eq!(rig.read(S), r#"[[1, "one"]]"#);
    assert!(rig.replace(&(2,)).starts_with("42: "));
    assert_eq!(
        rig.admin("box.schema.user.revoke", &("bob", "usage", "universe")),
        "[]"
    );
    let usage = "42: Usage access to universe '' is denied for user 'bob'";
    assert_eq!(rig.read(S), usage);
    assert_eq!(rig.read(IdOrName::Id(281)), usage);
    assert_eq!(rig.admin("box.schema.user.drop", &("bob",)), "[]");
    assert_eq!(rig.read(S), "45: User 'bob' is not found");
    assert_eq!(rig.replace(&(2,)), "45: User 'bob' is not found");
    assert_eq!(
        rig.ask("box.schema.user.info", &NONE),
        "45: User 'bob' is not found"
    );
    assert_eq!(rig.read(IdOrName::Id(281)), "45: User 'bob' is not found");
    rig.reopen();
    assert_eq!(rig.read(S), "45: User 'bob' is not found");
}

#[test]
fn rights_come_through_roles_of_roles() {
    let mut rig = rig();
    for role in ["inner", "outer"] {
        assert_eq!(rig.admin("box.schema.role.create", &(role,)), "[]");
    }
    assert_eq!(
        rig.admin("box.schema.role.grant", &("outer", "inner")),
        "[]"
    );
    rig.grant(&("bob", "outer"));
    assert!(rig.read(S).starts_with("42: "));
    assert_eq!(
        rig.admin("box.schema.role.grant", &("inner", "read", "space", "s")),
        "[]"
    );
    assert_eq!(rig.read(S), r#"[[1, "one"]]"#);
    assert_eq!(
        rig.admin("box.schema.role.grant", &("inner", "outer")),
        "87: Granting role 'outer' to role 'inner' would create a loop"
    );
    assert_eq!(
        rig.admin("box.schema.role.grant", &("inner", "inner")),
        "87: Granting role 'inner' to role 'inner' would create a loop"
    );
    assert_eq!(rig.admin("box.schema.role.drop", &("inner",)), "[]");
    assert!(rig.read(S).starts_with("42: "));
    assert_eq!(rig.admin("box.schema.role.info", &("outer",)), "[[]]");
}

#[test]
fn views_show_what_their_reader_may_know_of() {
    let mut rig = rig();
    let system = [276, 277, 281, 286, 289, 297, 305, 313, 330, 341];
    assert_eq!(rig.shown(281), system);
    assert!(rig.shown(289).iter().all(|space| system.contains(space)));
    assert_eq!(rig.shown(305), [2, 32]);
    assert_eq!(rig.shown(313), [1, 1, 1]);
    assert_eq!(rig.shown(297), [1]);
    assert_eq!(rig.shown(277).len(), 277);
    for space in [272, 276, 280, 288, 304, 312] {
        assert!(
            rig.read(IdOrName::Id(space))
                .starts_with("42: Read access to space '_")
        );
    }
    rig.grant(&("bob", "write", "space", "s"));
    assert_eq!(rig.shown(281).last(), Some(&512));
    assert_eq!(rig.shown(289).last(), Some(&512));
    rig.grant(&("bob", "read", "space", "_user"));
    assert_eq!(rig.shown(305), [0, 1, 2, 3, 31, 32]);
    assert_eq!(
        rig.ask("box.schema.user.info", &NONE),
        concat!(
            r#"[[["execute", "role", "public"], ["read", "space", "_user"], "#,
            r#"["write", "space", "s"], ["session,usage", "universe", ""], "#,
            r#"["alter", "user", "bob"]]]"#
        )
    );
    // Who may know of nobody else learns of nobody else.
    rig.admin("box.schema.user.revoke", &("bob", "read", "space", "_user"));
    for name in ["admin", "nosuch"] {
        let unknown = format!("45: User '{name}' is not found");
        assert_eq!(rig.ask("box.schema.user.info", &(name,)), unknown);
    }
}

#[test]
fn procedures_are_called_by_whoever_may_execute_them() {
    let mut rig = rig();
    rig.grant(&("bob", "read", "space", "s"));
    let denied = |name| format!("42: Execute access to function '{name}' is denied for user 'bob'");
    assert_eq!(rig.ask("box.space.s:len", &NONE), denied("box.space.s:len"));
    assert_eq!(
        rig.admin("box.schema.func.create", &("box.space.s:len",)),
        "[]"
    );
    assert_eq!(rig.ask("box.space.s:len", &NONE), denied("box.space.s:len"));
    rig.grant(&("bob", "execute", "function", "box.space.s:len"));
    assert_eq!(rig.ask("box.space.s:len", &NONE), "[1]");
    assert_eq!(
        rig.ask("box.space.s:count", &NONE),
        denied("box.space.s:count")
    );
    // Made known, and nothing behind it.
    assert_eq!(rig.admin("box.schema.func.create", &("ghost",)), "[]");
    rig.grant(&("bob", "execute", "function"));
    assert_eq!(
        rig.ask("ghost", &NONE),
        "33: Procedure 'ghost' is not defined"
    );
    assert_eq!(rig.ask("nosuch", &NONE), denied("nosuch"));
    rig.grant(&("bob", "execute", "universe"));
    assert_eq!(
        rig.ask("nosuch", &NONE),
        "33: Procedure 'nosuch' is not defined"
    );
    assert_eq!(rig.ask("box.space.s:select", &NONE), r#"[[[1, "one"]]]"#);
    // To call is not to read, nor to learn.
    for name in ["t", "nosuch"] {
        for (method, right) in [("select", "Read"), ("insert", "Write"), ("drop", "Drop")] {
            assert_eq!(
                rig.ask(&format!("box.space.{name}:{method}"), &([1],)),
                format!("42: {right} access to space '{name}' is denied for user 'bob'")
            );
        }
    }
}

#[test]
fn a_setuid_function_has_the_rights_of_its_owner() {
    let mut rig = rig();
    let options = std::collections::BTreeMap::from([("setuid", true)]);
    rig.admin("box.schema.func.create", &("box.space.s:select", options));
    rig.grant(&("bob", "execute", "function", "box.space.s:select"));
    assert_eq!(rig.ask("box.space.s:select", &NONE), r#"[[[1, "one"]]]"#);
    // Only the call has them.
    assert!(rig.read(S).starts_with("42: "));
}

#[test]
fn definitions_take_the_rights_to_make_change_and_drop() {
    let mut rig = rig();
    rig.grant(&("bob", "execute", "universe"));
    assert_eq!(
        rig.ask("box.schema.space.create", &("mine",)),
        "42: Write access to space '_schema' is denied for user 'bob'"
    );
    for space in ["_schema", "_space", "_index", "_user", "_priv"] {
        rig.grant(&("bob", "read,write", "space", space));
    }
    for (procedure, name, told) in [
        (
            "box.schema.space.create",
            "mine",
            "Create access to space 'mine'",
        ),
        (
            "box.schema.user.create",
            "eve",
            "Create access to user 'eve'",
        ),
        (
            "box.schema.role.create",
            "eve",
            "Create access to role 'eve'",
        ),
        (
            "box.space.s:create_index",
            "i",
            "Create access to space 's'",
        ),
        ("box.space.s:rename", "z", "Alter access to space 'z'"),
        ("box.space.s:drop", "", "Drop access to space 's'"),
    ] {
        let told = format!("42: {told} is denied for user 'bob'");
        assert_eq!(rig.ask(procedure, &(name,)), told);
    }
    assert_eq!(
        rig.ask("box.space.s:truncate", &NONE),
        "42: Write access to space 's' is denied for user 'bob'"
    );
}

#[test]
fn system_spaces_written_by_hand_take_the_same_rights() {
    let mut rig = rig();
    rig.grant(&("bob", "execute", "universe"));
    for space in ["_schema", "_space", "_index", "_user", "_priv"] {
        rig.grant(&("bob", "read,write", "space", space));
    }
    let row = pack(&(
        600,
        1,
        "x",
        "memtx",
        0,
        std::collections::BTreeMap::<u8, u8>::new(),
        NONE,
    ));
    let insert = Store {
        space: IdOrName::Id(280),
        tuple: &row,
    };
    assert_eq!(
        rig.run(Body::Insert(insert)),
        "42: Create access to space 'x' is denied for user 'bob'"
    );
    rig.grant(&("bob", "create", "space"));
    assert!(
        rig.ask("box.schema.space.create", &("mine",))
            .contains("mine")
    );
    assert!(
        rig.ask("box.space.mine:create_index", &("pk",))
            .contains("pk")
    );
    // The owner needs no grant, and may give some.
    assert_eq!(rig.ask("box.space.mine:replace", &([7],)), "[[7]]");
    rig.admin("box.schema.user.create", &("eve",));
    assert_eq!(
        rig.ask("box.schema.user.grant", &(33, "read", "space", "mine")),
        "[]"
    );
    assert_eq!(
        rig.ask("box.schema.user.grant", &(33, "read", "space", "s")),
        "42: Grant access to space 's' is denied for user 'bob'"
    );
    let dropped = rig.admin("box.schema.user.drop", &("bob",));
    assert_eq!(dropped, "[]");
    rig.log_in("eve");
    assert!(rig.read(IdOrName::Name("mine")).starts_with("42: "));
    assert_eq!(
        rig.admin("box.schema.user.info", &("eve",))
            .matches("space")
            .count(),
        0
    );
}

#[test]
fn only_owners_and_admin_give_rights_away() {
    let mut rig = rig();
    rig.grant(&("bob", "read,write,execute,create,drop,alter", "universe"));
    assert_eq!(rig.ask("box.schema.user.create", &("dave",)), "[]");
    assert_eq!(rig.ask("box.schema.role.create", &("rc",)), "[]");
    assert_eq!(rig.ask("box.schema.user.grant", &("dave", "rc")), "[]");
    let denied = |what| format!("42: Grant access to {what} is denied for user 'bob'");
    for (args, what) in [
        (("dave", "read", "universe", ""), "universe ''"),
        (("dave", "read", "space", ""), "space ''"),
        (("dave", "read", "space", "s"), "space 's'"),
        (("dave", "execute", "role", "super"), "role 'super'"),
    ] {
        assert_eq!(rig.ask("box.schema.user.grant", &args), denied(what));
    }
    // Nor in the name of admin, nor by hand.
    let forged = pack(&(1, 33, "space", 512, 1));
    let insert = Store {
        space: IdOrName::Id(312),
        tuple: &forged,
    };
    assert_eq!(rig.run(Body::Insert(insert)), denied("space 's'"));
    assert_eq!(rig.ask("box.schema.user.passwd", &("dave", "y")), "[]");
    assert_eq!(
        rig.ask("box.schema.user.drop", &("bob",)),
        "44: Failed to drop user or role 'bob': the user is active in the current session"
    );
    assert_eq!(rig.ask("box.schema.user.drop", &("dave",)), "[]");
    // A right to everything is no right to give: super is not admin.
    rig.grant(&("bob", "super"));
    rig.ask("box.schema.user.create", &("dave",));
    assert_eq!(rig.run(Body::Insert(insert)), denied("space 's'"));
}
