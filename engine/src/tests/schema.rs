//! Definitions, rights and catalog follow the changes of the system spaces: they are what all rows
//! say, and a change costs what it changes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use vestibule_wire::request::{Body, IdOrName, Store};

use super::{Rig, cases, pack};
use crate::model::index::PRIMARY;
use crate::schema::system::{self, read};

/// What somebody may ask for; numbers name a few spaces, users, roles, functions and sequences.
#[derive(Debug, Clone)]
enum Step {
    CreateSpace(u8, u8),
    CreateIndex(u8, u8),
    Rename(u8, u8),
    Truncate(u8),
    DropSpace(u8),
    CreateUser(u8, bool),
    DropUser(u8, bool),
    Password(u8),
    Grant(u8, bool, u8, u8),
    Revoke(u8, bool, u8, u8),
    CreateFunction(u8, bool),
    DropFunction(u8),
    CreateSequence(u8),
    DropSequence(u8),
    /// A row of `_user` as a client may write it: number, owner, name, whether it is a role.
    PutUser(u8, u8, u8, bool),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let few = || 0..4u8;
    prop_oneof![
        4 => (few(), few()).prop_map(|(at, owner)| CreateSpace(at, owner)),
        3 => (few(), few()).prop_map(|(space, at)| CreateIndex(space, at)),
        2 => (few(), few()).prop_map(|(from, to)| Rename(from, to)),
        1 => few().prop_map(Truncate),
        2 => few().prop_map(DropSpace),
        4 => (few(), any::<bool>()).prop_map(|(at, is_role)| CreateUser(at, is_role)),
        2 => (few(), any::<bool>()).prop_map(|(at, is_role)| DropUser(at, is_role)),
        1 => few().prop_map(Password),
        6 => (few(), any::<bool>(), 0..8u8, few())
            .prop_map(|(to, is_role, what, on)| Grant(to, is_role, what, on)),
        3 => (few(), any::<bool>(), 0..8u8, few())
            .prop_map(|(to, is_role, what, on)| Revoke(to, is_role, what, on)),
        2 => (few(), any::<bool>()).prop_map(|(at, setuid)| CreateFunction(at, setuid)),
        1 => few().prop_map(DropFunction),
        2 => few().prop_map(CreateSequence),
        1 => few().prop_map(DropSequence),
        1 => (few(), few(), few(), any::<bool>())
            .prop_map(|(id, owner, name, is_role)| PutUser(id, owner, name, is_role)),
        1 => Just(Reopen),
    ]
}

/// The kind of principals, and the name of one.
fn principal(at: u8, is_role: bool) -> (&'static str, String) {
    let kind = if is_role { "role" } else { "user" };
    (kind, format!("{kind}{at}"))
}

fn granted(what: u8, on: u8) -> serde_json::Value {
    match what {
        0 => json!(["read", "universe"]),
        1 => json!(["write", "space"]),
        2 | 3 => json!(["read,write", "space", format!("s{on}")]),
        4 => json!(["execute", "function", format!("f{on}")]),
        5 => json!(["usage", "sequence", format!("q{on}")]),
        6 => json!(["alter", "user", format!("user{on}")]),
        _ => json!(["execute", "role", format!("role{on}")]),
    }
}

/// The kind of principals, and the arguments of a grant to one or a revocation.
fn grant(to: u8, is_role: bool, what: u8, on: u8) -> (&'static str, serde_json::Value) {
    let (kind, name) = principal(to, is_role);
    let mut args = json!([name]);
    let own = args.as_array_mut().unwrap();
    own.extend(granted(what, on).as_array().unwrap().clone());
    (kind, args)
}

impl Rig {
    fn take(&mut self, step: &Step) {
        let (procedure, args) = match step {
            Step::CreateSpace(at, owner) => {
                let owner = if *owner == 0 {
                    "admin".into()
                } else {
                    format!("user{owner}")
                };
                let args = json!([format!("s{at}"), {"user": owner}]);
                ("box.schema.space.create".into(), args)
            }
            Step::CreateIndex(space, at) => (
                format!("box.space.s{space}:create_index"),
                json!([format!("i{at}"), {"sequence": *at == 3}]),
            ),
            Step::Rename(from, to) => (
                format!("box.space.s{from}:rename"),
                json!([format!("s{to}")]),
            ),
            Step::Truncate(at) => (format!("box.space.s{at}:truncate"), json!([])),
            Step::DropSpace(at) => (format!("box.space.s{at}:drop"), json!([])),
            Step::CreateUser(at, is_role) => {
                let (kind, name) = principal(*at, *is_role);
                (format!("box.schema.{kind}.create"), json!([name]))
            }
            Step::DropUser(at, is_role) => {
                let (kind, name) = principal(*at, *is_role);
                (format!("box.schema.{kind}.drop"), json!([name]))
            }
            Step::Password(at) => (
                "box.schema.user.passwd".into(),
                json!([format!("user{at}"), "secret"]),
            ),
            Step::Grant(to, is_role, what, on) => {
                let (kind, args) = grant(*to, *is_role, *what, *on);
                (format!("box.schema.{kind}.grant"), args)
            }
            Step::Revoke(to, is_role, what, on) => {
                let (kind, args) = grant(*to, *is_role, *what, *on);
                (format!("box.schema.{kind}.revoke"), args)
            }
            Step::CreateFunction(at, setuid) => (
                "box.schema.func.create".into(),
                json!([format!("f{at}"), {"setuid": setuid}]),
            ),
            Step::DropFunction(at) => ("box.schema.func.drop".into(), json!([format!("f{at}")])),
            Step::CreateSequence(at) => (
                "box.schema.sequence.create".into(),
                json!([format!("q{at}")]),
            ),
            Step::DropSequence(at) => (format!("box.sequence.q{at}:drop"), json!([])),
            Step::PutUser(id, owner, name, is_role) => {
                let (kind, name) = principal(*name, *is_role);
                let (id, owner) = (32 + u32::from(*id), 1 + u32::from(*owner));
                let row = pack(&(id, owner, name, kind, BTreeMap::<u8, u8>::new()));
                let _ = self.run(Body::Replace(Store {
                    space: IdOrName::Id(system::USER),
                    tuple: &row,
                }));
                return self.commit();
            }
            Step::Reopen => return self.reopen(),
        };
        self.call(&procedure, &args);
    }

    /// Rows of the system spaces in each of their indexes.
    fn check_system_indexes(&self) {
        let image = self.engine.image();
        for space in image.spaces().filter(|own| system::is_system(own.def.id)) {
            let rows: Vec<_> = space.rows.tuples().map(|row| row.to_vec()).collect();
            for index in &space.def.secondaries {
                let tree = space.tree(index.id).unwrap();
                let mut found: Vec<_> = tree.tuples().map(|row| row.to_vec()).collect();
                found.sort_by_key(|row| space.def.primary().unwrap().key_of(row).unwrap());
                assert_eq!(found, rows, "{} by {}", space.def.name, index.name);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn what_follows_the_changes_is_what_all_rows_say(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut rig = Rig::new();
        for step in &steps {
            rig.take(step);
            rig.check_system_indexes();
            let [followed, anew] = rig.engine.schema_told();
            for (followed, anew) in followed.iter().zip(&anew) {
                prop_assert_eq!(followed, anew, "after {:?}", step);
            }
            prop_assert_eq!(followed.len(), anew.len());
        }
    }
}

impl Rig {
    /// One more of everything.
    fn fill(&mut self, name: &str) {
        let create_index = format!("box.space.{name}:create_index");
        for (procedure, args) in [
            ("box.schema.space.create", json!([name, {"user": "bob"}])),
            (&create_index, json!(["pk", {"sequence": true}])),
            ("box.schema.role.grant", json!(["r", "read", "space", name])),
            ("box.schema.func.create", json!([name])),
            (
                "box.schema.user.grant",
                json!(["guest", "execute", "function", name]),
            ),
        ] {
            let told = self.call(procedure, &args);
            assert!(told.starts_with('['), "{procedure} {args}: {told}");
        }
    }
}

/// Rows looked at by each of some changes of definitions, in a directory with that many spaces.
fn costs(spaces: u32) -> Vec<(&'static str, usize)> {
    let mut rig = Rig::new();
    rig.call("box.schema.user.create", &("bob",));
    rig.call("box.schema.role.create", &("r",));
    rig.call("box.schema.user.grant", &("bob", "r"));
    (0..spaces).for_each(|at| rig.fill(&format!("space{at}")));
    assert_eq!(
        rig.engine.image().space(system::SPACE).unwrap().rows.len(),
        19 + spaces as usize
    );
    let mut costs = Vec::new();
    for (procedure, args) in [
        ("box.schema.space.create", json!(["new"])),
        (
            "box.space.new:create_index",
            json!(["pk", {"sequence": true}]),
        ),
        (
            "box.space.new:format",
            json!([[{"name": "id", "type": "unsigned"}]]),
        ),
        (
            "box.schema.user.grant",
            json!(["bob", "write", "space", "new"]),
        ),
        (
            "box.schema.role.grant",
            json!(["r", "write", "space", "new"]),
        ),
        (
            "box.schema.role.revoke",
            json!(["r", "write", "space", "new"]),
        ),
        ("box.schema.user.passwd", json!(["bob", "secret"])),
        ("box.schema.user.create", json!(["eve"])),
        ("box.schema.user.grant", json!(["eve", "r"])),
        (
            "box.schema.role.grant",
            json!(["public", "read", "space", "new"]),
        ),
        ("box.schema.role.create", json!(["r2"])),
        ("box.schema.role.grant", json!(["r2", "r"])),
        ("box.schema.user.drop", json!(["eve"])),
        ("box.schema.func.create", json!(["new"])),
        ("box.schema.func.drop", json!(["new"])),
        ("box.schema.sequence.create", json!(["new"])),
        ("box.sequence.new:drop", json!([])),
        ("box.space.new:truncate", json!([])),
        ("box.space.new:rename", json!(["newer"])),
        ("box.space.newer:drop", json!([])),
    ] {
        read::LOOKED_AT.set(0);
        let told = rig.call(procedure, &args);
        assert!(told.starts_with('['), "{procedure} {args}: {told}");
        costs.push((procedure, read::LOOKED_AT.get()));
    }
    costs
}

#[test]
fn a_definition_looks_at_the_same_rows_beside_one_space_and_beside_a_thousand() {
    let (few, many) = (costs(1), costs(1000));
    assert_eq!(few, many);
    assert!(few.iter().all(|(_, rows)| *rows < 40), "{few:?}");
}

/// The checks of definitions look up names, owners and objects by them.
#[test]
fn system_spaces_have_the_indexes_that_they_say_they_have() {
    let rig = Rig::new();
    let image = rig.engine.image();
    let by_name = image.space(system::USER).unwrap().def.secondaries.iter();
    assert_eq!(
        by_name.map(|own| &*own.name).collect::<Vec<_>>(),
        ["owner", "name"]
    );
    assert!(image.spaces().all(|space| space.tree(PRIMARY).is_some()));
    drop(image);
    rig.check_system_indexes();
}
