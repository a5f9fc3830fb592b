//! Passwords, logins, and what guest may do.

use serde::Serialize;
use vestibule_actors::engine::Engine;

use super::{S, rig};
use crate::engine::EmbeddedEngine;
use crate::tests::{Rig, new_directory, told};
use crate::{EngineOptions, GuestRights};

#[test]
fn everybody_changes_the_own_password_and_nobody_elses() {
    let mut rig = rig();
    rig.grant(&("bob", "execute", "universe"));
    rig.admin("box.schema.user.create", &("eve",));
    assert_eq!(rig.ask("box.schema.user.passwd", &("mine",)), "[]");
    let hash = vestibule_wire::auth::PasswordHash::of("mine");
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

/// An engine whose guest was granted something; what it says when other machines reach it.
fn exposed(granted: &(impl Serialize + ?Sized)) -> Result<(), String> {
    let mut rig = Rig::new();
    rig.grant(granted);
    let options = EngineOptions {
        guest: GuestRights::Granted,
        is_exposed: true,
        ..rig.options.clone()
    };
    rig.engine = EmbeddedEngine::new(EngineOptions::new(new_directory()));
    let mut engine = EmbeddedEngine::new(options);
    engine
        .recover(&mut |_| ())
        .map_err(|fault| fault.to_string())
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
    assert_eq!(exposed(&("guest", "read", "universe")), Ok(()));
    for told in [
        exposed(&("guest", "super")),
        exposed(&("guest", "write", "universe")),
    ] {
        let told = told.unwrap_err();
        assert!(
            told.contains("box.schema.user.revoke('guest', 'super')"),
            "{told}"
        );
    }
}
