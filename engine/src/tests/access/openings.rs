//! What is open to everybody without a login: told by name, and refused where it is everything and
//! other machines reach the server.

use serde_json::{Value, json};
use vestibule_actors::catalog::Visibility as _;

use crate::GuestRights;
use crate::schema::system;
use crate::schema::system::changes::RowChange;
use crate::tests::{NONE, Rig};

/// A directory in which guest was allowed everything, and made these calls.
fn made_by_guest(calls: &[(&str, Value)]) -> Rig {
    let mut rig = Rig::new();
    rig.log_in("guest");
    rig.take_calls(calls);
    rig.options.guest = GuestRights::Granted;
    rig.reopen();
    rig
}

/// A directory in which `admin` made these calls.
fn granted(calls: &[(&str, Value)]) -> Rig {
    let mut rig = Rig::new();
    rig.take_calls(calls);
    rig.options.guest = GuestRights::Granted;
    rig.reopen();
    rig
}

impl Rig {
    fn take_calls(&mut self, calls: &[(&str, Value)]) {
        for (procedure, args) in calls {
            let told = self.ask(procedure, args);
            assert!(told.starts_with('['), "{procedure} {args}: {told}");
        }
    }

    /// What its engine says where other machines reach it.
    fn exposed(&mut self) -> Result<(), String> {
        let power = self.engine.access().guest_power();
        power.map_or(Ok(()), Err)
    }
}

#[test]
fn nothing_is_open_in_a_new_directory() {
    let mut rig = granted(&[]);
    assert_eq!(rig.engine.openings(), Vec::<String>::new());
    assert_eq!(rig.exposed(), Ok(()));
}

#[test]
fn what_guest_made_while_it_was_allowed_everything_is_told_one_by_one() {
    let mut rig = made_by_guest(&[
        ("box.schema.space.create", json!(["mine"])),
        ("box.space.mine:create_index", json!(["pk"])),
        ("box.schema.sequence.create", json!(["numbers"])),
        ("box.schema.func.create", json!(["app.do"])),
        ("box.schema.user.create", json!(["bob"])),
        ("box.schema.role.create", json!(["readers"])),
    ]);
    let told = rig.engine.openings();
    assert_eq!(
        told,
        [
            "it owns space 'mine'",
            "it owns function 'app.do'",
            "it owns sequence 'numbers'",
            "it owns role 'readers'",
            "it owns user 'bob'",
        ],
        "in the order of kinds"
    );
    assert_eq!(rig.insert(&(1,)), "[[1]]");
    rig.commit();
    assert_eq!(rig.exposed(), Ok(()));
}

#[test]
fn what_was_granted_is_told_with_the_role_that_it_comes_by() {
    let rig = granted(&[
        ("box.schema.space.create", json!(["s"])),
        ("box.schema.user.create", json!(["bob"])),
        ("box.schema.role.create", json!(["r"])),
        ("box.schema.role.create", json!(["r2"])),
        (
            "box.schema.role.grant",
            json!(["r", "read,write", "space", "s"]),
        ),
        ("box.schema.role.grant", json!(["r2", "r"])),
        ("box.schema.user.grant", json!(["guest", "r2"])),
        (
            "box.schema.role.grant",
            json!(["public", "read", "space", "s"]),
        ),
        ("box.schema.user.grant", json!(["guest", "read", "space"])),
        (
            "box.schema.user.grant",
            json!(["guest", "execute", "universe"]),
        ),
        (
            "box.schema.func.create",
            json!(["app.do", {"setuid": true}]),
        ),
        (
            "box.schema.user.grant",
            json!(["guest", "write", "space", "_user"]),
        ),
        (
            "box.schema.user.grant",
            json!(["guest", "alter", "user", "bob"]),
        ),
    ]);
    let mut told = rig.engine.openings();
    told.sort();
    assert_eq!(
        told,
        [
            "it may alter on user 'bob'",
            "it may call 'app.do' with the rights of user 'admin'",
            "it may execute on everything",
            "it may read on every space",
            "it may set the password of user 'bob'",
            "it may write on space '_user'",
            "its role 'public' may read on space 's'",
            "its role 'r' may read,write on space 's'",
        ]
    );
}

/// What a call changed in these spaces, as a commit notes it.
fn opened(rig: &mut Rig, procedure: &str, args: &Value) -> Vec<String> {
    let rows = |rig: &Rig| {
        let image = rig.engine.image();
        let spaces = [system::PRIV, system::SPACE, system::FUNC];
        let rows = spaces.into_iter().flat_map(|id| {
            let space = image.space(id).unwrap();
            space
                .rows
                .tuples()
                .map(move |row| (id, row.clone()))
                .collect::<Vec<_>>()
        });
        rows.collect::<Vec<_>>()
    };
    let before = rows(rig);
    rig.admin(procedure, args);
    let new = rows(rig).into_iter().filter(|row| !before.contains(row));
    let changes: Vec<_> = new
        .map(|(space, row)| RowChange {
            space,
            old: None,
            new: Some(row),
        })
        .collect();
    rig.engine.opened_by(&changes)
}

#[test]
fn what_opens_later_is_told_when_it_does() {
    let mut rig = granted(&[
        ("box.schema.space.create", json!(["s"])),
        ("box.schema.user.create", json!(["bob"])),
        ("box.schema.role.create", json!(["r"])),
    ]);
    for (procedure, args, expected) in [
        (
            "box.schema.user.grant",
            json!(["bob", "read", "space", "s"]),
            &[][..],
        ),
        (
            "box.schema.role.grant",
            json!(["r", "read", "space", "s"]),
            &[],
        ),
        (
            "box.schema.user.grant",
            json!(["guest", "r"]),
            &["it may execute on role 'r'"],
        ),
        (
            "box.schema.user.grant",
            json!(["guest", "read", "space", "s"]),
            &["it may read on space 's'"],
        ),
        (
            "box.schema.role.grant",
            json!(["public", "write", "universe"]),
            &["its role 'public' may write on everything"],
        ),
        (
            "box.schema.space.create",
            json!(["t", {"user": "guest"}]),
            &["it owns space 't'"],
        ),
        ("box.schema.space.create", json!(["u"]), &[]),
        (
            "box.schema.user.revoke",
            json!(["guest", "read", "space", "s"]),
            &[],
        ),
    ] {
        assert_eq!(
            opened(&mut rig, procedure, &args),
            expected,
            "{procedure} {args}"
        );
    }
    rig.options.guest = GuestRights::Super;
    rig.reopen();
    let nothing = opened(
        &mut rig,
        "box.schema.user.grant",
        &json!(["guest", "read", "space", "t"]),
    );
    assert_eq!((nothing.len(), rig.engine.openings().len()), (0, 0));
    assert_eq!(rig.ask("box.space.t:drop", &NONE), "[]");
}

#[test]
fn whoever_can_come_to_change_all_data_is_refused_where_others_reach_the_server() {
    let grant = |args| ("box.schema.user.grant", args);
    let role_grant = |args| ("box.schema.role.grant", args);
    let bob = || ("box.schema.user.create", json!(["bob"]));
    let may = |route: &[(&str, Value)]| granted(route).exposed();
    assert_eq!(may(&[grant(json!(["guest", "read", "universe"]))]), Ok(()));
    // Neither is of use by itself.
    assert_eq!(
        may(&[grant(json!(["guest", "write", "space", "_user"]))]),
        Ok(())
    );
    assert_eq!(may(&[grant(json!(["guest", "alter", "user"]))]), Ok(()));
    for (route, how) in [
        (vec![grant(json!(["guest", "super"]))], "by its own rights"),
        (
            vec![grant(json!(["guest", "write", "universe"]))],
            "by its own rights",
        ),
        (
            vec![grant(json!(["guest", "write", "space"]))],
            "by its own rights",
        ),
        (
            vec![role_grant(json!(["public", "super"]))],
            "by its own rights",
        ),
        (
            vec![
                grant(json!(["guest", "write", "space", "_user"])),
                grant(json!(["guest", "alter", "user", "admin"])),
            ],
            "by setting the password of user 'admin'",
        ),
        (
            vec![
                bob(),
                (
                    "box.schema.func.create",
                    json!(["box.schema.user.grant", {"setuid": true}]),
                ),
                grant(json!([
                    "guest",
                    "execute",
                    "function",
                    "box.schema.user.grant"
                ])),
            ],
            "by calling 'box.schema.user.grant' as its owner",
        ),
    ] {
        let told = may(&route).expect_err(how);
        assert!(told.contains(how), "{how}: {told}");
    }
    let mut rig = made_by_guest(&[
        ("box.schema.role.create", json!(["mighty"])),
        role_grant(json!(["mighty", "write", "universe"])),
        grant(json!(["guest", "write", "space", "_priv"])),
    ]);
    let told = rig.exposed().unwrap_err();
    assert!(
        told.contains("by the role 'mighty', which it may grant"),
        "{told}"
    );
}
