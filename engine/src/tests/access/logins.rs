//! Passwords, logins, and what guest may do.

use std::collections::BTreeMap;
use std::sync::Arc;

use vestibule_actors::EngineFactory as _;
use vestibule_actors::engine::{Engine, TransactionId};
use vestibule_wire::auth::PasswordHash;
use vestibule_wire::request::{Begin, Body, IdOrName, Store};

use super::{S, rig};
use crate::engine::EmbeddedEngine;
use crate::schema::system;
use crate::tests::{NONE, Rig, pack, told};
use crate::{AdminPassword, GuestRights};

#[test]
fn everybody_changes_the_own_password_and_nobody_elses() {
    let mut rig = rig();
    rig.grant(&("bob", "execute", "universe"));
    rig.admin("box.schema.user.create", &("eve",));
    assert_eq!(rig.ask("box.schema.user.passwd", &("mine",)), "[]");
    let hash = PasswordHash::of("mine");
    assert_eq!(rig.engine.catalog().user("bob").unwrap().1, Some(hash));
    assert_eq!(
        rig.ask("box.schema.user.passwd", &("eve", "x")),
        "45: User 'eve' is not found"
    );
    rig.grant(&("bob", "read,write", "space", "_user"));
    assert_eq!(
        rig.ask("box.schema.user.passwd", &("eve", "x")),
        "42: Alter access to user 'eve' is denied for user 'bob'"
    );
    rig.log_in("guest");
    assert_eq!(
        rig.ask("box.schema.user.passwd", &("x",)),
        "96: Setting password for guest user has no effect"
    );
    assert_eq!(
        rig.ask("box.schema.user.password", &("secret",)),
        r#"["FOZVZ6vbUTXQz9mnCzAywXmknuc="]"#
    );
}

#[test]
fn admin_has_the_password_of_the_options_from_the_first_start_on() {
    let mut rig = Rig::new();
    let password = |rig: &Rig| rig.engine.catalog().user("admin").unwrap().1;
    assert_eq!(password(&rig), None, "nobody logs in as admin");
    let first = AdminPassword::new("first");
    rig.options.admin_password = Some(first.clone());
    rig.reopen();
    assert_eq!(password(&rig), Some(PasswordHash::of("first")));
    let changes = rig.engine.schema_version();
    // An engine that takes the place of a dead one leaves alone what was changed.
    rig.admin("box.schema.user.passwd", &("admin", "changed"));
    rig.reopen();
    assert_eq!(password(&rig), Some(PasswordHash::of("changed")));
    // Another start does not; it writes nothing if that is the password anyway.
    for _ in 0..2 {
        rig.options.admin_password = Some(AdminPassword::new("second"));
        rig.reopen();
        assert_eq!(password(&rig), Some(PasswordHash::of("second")));
        assert_eq!(rig.engine.schema_version(), changes + 2);
    }
    rig.options.admin_password = None;
    rig.reopen();
    assert_eq!(password(&rig), Some(PasswordHash::of("second")), "as it is");
    assert_eq!(format!("{first:?}"), "AdminPassword");
}

#[test]
fn a_start_that_cannot_write_the_password_of_admin_fails() {
    let mut rig = Rig::new();
    rig.options.admin_password = Some(AdminPassword::new("first"));
    rig.disk.set_fails_appends(true);
    rig.storage = Arc::new(rig.disk.clone());
    let told = rig.try_reopen().unwrap_err().to_string();
    assert!(told.contains("Failed to write to disk"), "{told}");
    rig.disk.set_fails_appends(false);
    rig.reopen();
    let (_, hash) = rig.engine.catalog().user("admin").unwrap();
    assert_eq!(
        hash,
        Some(PasswordHash::of("first")),
        "it was to be done still"
    );
}

#[test]
fn a_login_takes_the_right_to_a_session() {
    let mut rig = rig();
    let may = |rig: &Rig, user| {
        rig.engine
            .catalog()
            .may_log_in(&rig.user(user))
            .map_err(|own| told(&own))
    };
    assert_eq!(may(&rig, "bob"), Ok(()));
    assert_eq!(rig.admin("box.schema.user.disable", &("bob",)), "[]");
    let denied = "42: Session access to universe '' is denied for user 'bob'".to_owned();
    assert_eq!(may(&rig, "bob"), Err(denied));
    assert_eq!(rig.admin("box.schema.user.enable", &("bob",)), "[]");
    assert_eq!(may(&rig, "bob"), Ok(()));
}

/// Everything that a connection may ask for is refused from the drop of its user on.
fn check_gone(rig: &mut Rig) {
    let gone = "45: User 'bob' is not found";
    assert_eq!(rig.read(S), gone);
    assert_eq!(rig.replace(&(2,)), gone);
    // `_vuser`, of which everybody sees the own row.
    assert_eq!(rig.read(IdOrName::Id(305)), gone);
    assert_eq!(rig.ask("box.schema.user.info", &NONE), gone);
    assert_eq!(rig.ask("box.schema.user.passwd", &("mine",)), gone);
    for denied in [
        rig.engine.may_call(&rig.caller, "vestibule.lock"),
        rig.engine.may_begin(&rig.caller),
        rig.engine.may_commit(&rig.caller),
        rig.engine.catalog().may_log_in(&rig.caller.user),
    ] {
        assert_eq!(denied.map_err(|error| told(&error)), Err(gone.to_owned()));
    }
}

/// The next user has the name and the number of the one that was dropped.
#[test]
fn a_connection_of_a_dropped_user_is_not_the_next_user_of_that_name() {
    let mut rig = rig();
    rig.grant(&("bob", "read,write", "space", "s"));
    let first = rig.caller.user.clone();
    assert_eq!(rig.read(S), r#"[[1, "one"]]"#);
    rig.admin("box.schema.user.drop", &("bob",));
    check_gone(&mut rig);
    rig.admin("box.schema.user.create", &("bob",));
    rig.grant(&("bob", "read,write,execute", "universe"));
    let second = rig.user("bob");
    assert_eq!((&first.name, first.id), (&second.name, second.id));
    check_gone(&mut rig);
    rig.log_in("bob");
    assert_eq!(rig.read(S), r#"[[1, "one"]]"#);
    // A role is nobody, and neither is who was a user before.
    let row = pack(&(second.id, 1, "bob", "role", BTreeMap::<u8, u8>::new()));
    let put = |rig: &mut Rig, row: &[u8]| {
        let admin = rig.user("admin");
        let user = std::mem::replace(&mut rig.caller.user, admin);
        let (space, tuple) = (IdOrName::Id(system::USER), row);
        let told = rig.run(Body::Replace(Store { space, tuple }));
        assert!(told.starts_with('['), "{told}");
        rig.commit();
        rig.caller.user = user;
    };
    let own = ("bob", "alter", "user", "bob");
    rig.admin("box.schema.user.revoke", &own);
    put(&mut rig, &row);
    check_gone(&mut rig);
    put(
        &mut rig,
        &pack(&(second.id, 1, "bob", "user", BTreeMap::<u8, u8>::new())),
    );
    check_gone(&mut rig);
    // Another name makes nobody another user.
    rig.log_in("bob");
    put(
        &mut rig,
        &pack(&(second.id, 1, "robert", "user", BTreeMap::<u8, u8>::new())),
    );
    assert_eq!(rig.read(S), r#"[[1, "one"]]"#);
}

#[test]
fn users_stay_who_they_are_when_another_engine_takes_a_dead_ones_place() {
    let mut rig = rig();
    let factory = EmbeddedEngine::factory(rig.options.clone());
    let next = |rig: &mut Rig| {
        rig.close();
        rig.engine = factory.make().unwrap();
        rig.engine.recover(&mut |_| ()).unwrap();
    };
    next(&mut rig);
    rig.log_in("bob");
    rig.grant(&("bob", "read", "space", "s"));
    next(&mut rig);
    assert_eq!(rig.read(S), r#"[[1, "one"]]"#);
    rig.admin("box.schema.user.drop", &("bob",));
    next(&mut rig);
    check_gone(&mut rig);
    rig.admin("box.schema.user.create", &("bob",));
    rig.grant(&("bob", "read", "space", "s"));
    next(&mut rig);
    check_gone(&mut rig);
    rig.log_in("bob");
    assert_eq!(rig.read(S), r#"[[1, "one"]]"#);
}

/// Each statement is checked when it is executed; what was allowed stays.
#[test]
fn a_right_that_is_taken_back_ends_with_the_statement_before() {
    let mut rig = rig();
    rig.grant(&("bob", "read,write", "space", "s"));
    let id = TransactionId(7);
    assert_eq!(rig.engine.may_begin(&rig.caller), Ok(()));
    let options = Begin {
        timeout: None,
        isolation: 0,
    };
    rig.engine.begin(id, &options, &rig.caller).unwrap();
    rig.inside = Some(id);
    assert_eq!(rig.replace(&(2, "two")), r#"[[2, "two"]]"#);
    rig.inside = None;
    rig.admin("box.schema.user.revoke", &("bob", "write", "space", "s"));
    rig.inside = Some(id);
    let denied = "42: Write access to space 's' is denied for user 'bob'";
    assert_eq!(rig.replace(&(3, "three")), denied);
    rig.inside = None;
    assert_eq!(rig.engine.may_commit(&rig.caller), Ok(()));
    rig.engine.commit_transaction(id).unwrap();
    rig.commit();
    assert_eq!(rig.read(S), r#"[[1, "one"], [2, "two"]]"#);
}

#[test]
fn guest_does_what_was_granted_unless_it_may_do_everything() {
    let mut rig = rig();
    rig.log_in("guest");
    assert_eq!(rig.read(S), r#"[[1, "one"]]"#);
    assert_eq!(
        rig.ask("box.schema.user.grant", &("bob", "read", "universe")),
        "[]"
    );
    rig.options.guest = GuestRights::Granted;
    rig.reopen();
    assert!(rig.read(S).starts_with("42: "));
    rig.grant(&("guest", "read", "space", "s"));
    assert_eq!(rig.read(S), r#"[[1, "one"]]"#);
}
