//! By what a gateway knows its clients, before a real Tarantool.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use vestibule_actors::testing::{Frame, RequestBuilder};
use vestibule_actors::wire::auth::PasswordHash;
use vestibule_actors::wire::keys::{self, RequestType};

use super::support::{Directory, Server, tarantool, wait_until};
use super::{connect, eval, gateway, gateway_with, log_in, start};

/// A file of these users, all with the password 'secret'.
pub(super) fn list(directory: &Path, names: &[&str], mode: u32) -> PathBuf {
    let (hash, path) = (
        PasswordHash::of("secret").to_base64(),
        directory.join("users"),
    );
    let lines = names.iter().map(|name| format!("{name}:{hash}\n"));
    fs::write(&path, lines.collect::<String>()).expect("the directory is there");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("the file is its own");
    path
}

/// Whether a text is in what was answered.
fn holds(told: &Frame, text: &str) -> bool {
    let mut parts = told.body.windows(text.len());
    told.code == 0 && parts.any(|own| own == text.as_bytes())
}

/// R-9, GW-09: by the hashes that the upstream has.
#[test]
fn users_that_come_change_and_go_upstream_do_so_for_logins_as_well() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let server = gateway(&directory, &[("a", &upstream)]);
    let mut admin = connect(&upstream);
    let mut change = |lua: &str| assert_eq!(admin.ask(&eval(lua)).code, 0, "{lua}");
    let log_in = |password| server.connect().log_in("carol", password).error_code();
    assert_eq!(log_in("first"), Some(45), "nobody is called so");
    change("box.schema.user.create('carol', {password = 'first'})");
    assert_eq!(
        log_in("first"),
        None,
        "who was not known is asked for again"
    );
    change("box.schema.user.passwd('carol', 'second')");
    assert_eq!(log_in("second"), None, "as is who was wrong");
    wait_until("the old password is refused", || {
        log_in("first") == Some(47)
    });
    change("box.schema.user.drop('carol')");
    wait_until("she is not known any more", || log_in("second") == Some(45));
}

/// Tarantool gives the number of a user who is dropped to the next one: what was logged in as the
/// one before is nobody's.
#[test]
fn who_is_dropped_and_created_again_is_served_without_an_operator() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let server = gateway(&directory, &[("a", &upstream)]);
    let mut admin = connect(&upstream);
    let mut create = |drops: &str| {
        let lua = format!("{drops} box.schema.user.create('carol', {{password = 'first'}})");
        assert_eq!(admin.ask(&eval(&lua)).code, 0);
    };
    // What connectors read when they connect, `_vspace`.
    let select = RequestBuilder::new(RequestType::Select, 1);
    let select = select.uint(keys::SPACE_ID, 281).uint(keys::LIMIT, 1);
    let select = select.pair(keys::KEY, &[0x90]);
    let reads = || {
        let mut carol = server.connect();
        carol.log_in("carol", "first").code == 0 && carol.ask(&select).code == 0
    };
    create("");
    assert!(reads());
    create("box.schema.user.drop('carol')");
    wait_until("she reads as who she is now", reads);
}

/// Who has no password is told from who is not there, and guest's is a wrong password as well.
#[test]
fn wrong_logins_are_refused_in_the_words_of_the_upstream() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let lua = "box.schema.user.create('bare') box.schema.role.create('clerk')";
    assert_eq!(connect(&upstream).ask(&eval(lua)).code, 0);
    let server = gateway(&directory, &[("a", &upstream)]);
    for name in ["bare", "admin", "guest", "clerk", "nobody"] {
        let mut peers = [upstream.connect(), server.connect()];
        let [direct, through] = peers.each_mut().map(|own| own.log_in(name, "wrong"));
        assert!(direct.error_code().is_some(), "{name}");
        assert_eq!(
            (direct.error_code(), direct.error_text()),
            (through.error_code(), through.error_text()),
            "{name}"
        );
    }
}

#[test]
fn users_of_a_list_are_themselves_upstream_and_the_gateway_needs_no_account() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let users = list(directory.path(), &["alice", "carol"], 0o600);
    let address = format!("a={}", upstream.address);
    let users = users.to_str().expect("the path is plain");
    let server = Server::start_gateway(&["--upstream", &address, "--upstream-users", users]);
    let mut alice = log_in(server.connect());
    let who = eval("return box.session.user()");
    assert!(holds(&alice.ask(&who), "alice"));
    let mut carol = server.connect();
    assert_eq!(carol.log_in("carol", "secret").code, 0, "by the list");
    assert_eq!(
        carol.ask(&who).error_code(),
        Some(45),
        "in the upstream's words"
    );
    let refused = server.connect().log_in("gateway", "planted-gateway");
    assert_eq!(refused.error_code(), Some(45));
}

#[test]
fn a_list_is_read_again_at_a_reload_and_one_that_is_wrong_changes_nothing() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let users = list(directory.path(), &["carol"], 0o600);
    let address = format!("a={}", upstream.address);
    let path = users.to_str().expect("the path is plain");
    let server = Server::start_gateway(&["--upstream", &address, "--upstream-users", path]);
    let told = |user: &str| server.connect().log_in(user, "secret").error_code();
    let reload = || server.connect().call("vestibule.reload", &[0x90]);
    assert_eq!([told("alice"), told("carol")], [Some(45), None]);
    fs::write(&users, "alice\n").expect("it can be written");
    let refused = reload();
    let text = refused.error_text().expect("it is refused");
    assert!(text.contains("no NAME:HASH"), "{text}");
    assert_eq!([told("alice"), told("carol")], [Some(45), None]);
    list(directory.path(), &["alice"], 0o600);
    assert_eq!(reload().code, 0);
    assert_eq!([told("alice"), told("carol")], [None, Some(45)]);
    let mut alice = log_in(server.connect());
    assert!(holds(
        &alice.ask(&eval("return box.session.user()")),
        "alice"
    ));
    // By SIGHUP as well.
    list(directory.path(), &["carol"], 0o600);
    server.signal("HUP");
    wait_until("it is taken", || told("carol").is_none());
    assert_eq!(told("alice"), Some(45));
    // Who is there already stays so.
    assert!(holds(
        &alice.ask(&eval("return box.session.user()")),
        "alice"
    ));
}

#[test]
fn one_account_is_that_of_all() {
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let upstream = start(&program, &directory);
    let address = format!("a={}", upstream.address);
    let options = ["--upstream", &*address, "--upstream-users", "one"];
    let server = gateway_with(&directory, &options);
    let mut own = server.connect();
    assert_eq!(own.log_in("gateway", "planted-gateway").code, 0);
    let who = own.call("box.info", &[0x90]);
    assert!(holds(&who, "running"));
    let refused = server.connect().log_in("alice", "secret");
    assert_eq!(refused.error_code(), Some(45));
}

#[test]
fn a_list_that_others_may_read_or_that_is_none_is_refused() {
    let directory = Directory::new();
    let told = |users: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_vestibule"))
            .args(["serve", "--upstream", "a=127.0.0.1:1", "--upstream-users"])
            .arg(users)
            .output();
        let output = output.expect("the binary starts");
        assert!(!output.status.success());
        String::from_utf8(output.stderr).expect("it is text")
    };
    let text = told(&list(directory.path(), &["alice"], 0o644));
    assert!(
        text.contains("flag --upstream-users: ") && text.contains("others may use it"),
        "{text}"
    );
    let text = told(&list(directory.path(), &["alice", "alice"], 0o600));
    assert!(
        text.contains("line 2: that user stands there already"),
        "{text}"
    );
    let text = told(Path::new("/nowhere/at/all"));
    assert!(text.contains("No such file"), "{text}");
}
