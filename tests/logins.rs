//! Logins of the real binary: wrong ones are slowed down by address, and what came of them is in
//! the audit log.

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;
use vestibule_actors::testing::Peer;

use support::{Directory, Server, address_of_this_machine, secret};

const GUESSERS: usize = 20;
const GUESSES: usize = 1000;
const FREE: usize = 5;
const DELAY: Duration = Duration::from_millis(100);
/// A name that would begin a line of its own, and end a value of JSON.
const FOREIGN: &str = "eve\n{\"level\":\"error\"}\u{1f}\"";

fn start(directory: &Path, format: &str) -> Server {
    let password = secret(directory, "of-admin").to_str().unwrap().to_owned();
    let mut command = support::command(directory);
    command.stderr(fs::File::create(directory.join("log")).unwrap());
    let unix = format!("unix:{}", directory.join("own.sock").display());
    let arguments = [
        "--listen",
        &unix,
        "--guest",
        "none",
        "--admin-password-file",
        &password,
        "--log",
        "warn,vestibule::audit=info",
        "--log-format",
        format,
        "--login-delay-max",
        "100ms",
    ];
    Server::spawn(command, "0.0.0.0:0", &arguments)
}

fn admin(address: SocketAddr) -> Peer {
    let mut admin = Peer::connect(address);
    assert_eq!(admin.log_in("admin", "planted-of-admin").code, 0);
    admin
}

fn call(peer: &mut Peer, name: &str, args: &impl serde::Serialize) {
    let reply = peer.call_with(name, args);
    assert_eq!(reply.error_text(), None, "{name}");
}

/// The lines of the audit log, whose others are checked to be JSON as well.
fn audit_lines(directory: &Path) -> Vec<Value> {
    let log = fs::read_to_string(directory.join("log")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let is_audit = |line: &Value| line["module"] == "vestibule::audit";
    lines.filter(is_audit).collect()
}

fn named<'a>(lines: &'a [Value], message: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["message"] == message)
}

/// L-1. Where a machine has no address but loopback, nobody is slowed down, and that is what is
/// shown; what the delays are is shown in the runtime's own tests as well.
#[test]
fn a_thousand_wrong_passwords_take_the_promised_time_and_hold_up_nobody_else() {
    let directory = Directory::new();
    let server = start(directory.path(), "json");
    let port = server.address().port();
    let local = SocketAddr::from(([127, 0, 0, 1], port));
    let own = address_of_this_machine();
    let from = SocketAddr::new(own.unwrap_or(local.ip()), port);
    let mut administrator = admin(local);
    let password = [("password", "secret")]
        .into_iter()
        .collect::<std::collections::HashMap<_, _>>();
    call(
        &mut administrator,
        "box.schema.user.create",
        &("alice", password),
    );
    let (began, under_way) = (Instant::now(), AtomicUsize::new(GUESSERS));
    thread::scope(|scope| {
        for _ in 0..GUESSERS {
            scope.spawn(|| {
                let mut guesser = Peer::connect(from);
                for _ in 0..GUESSES / GUESSERS {
                    assert_eq!(guesser.log_in("alice", "guess").error_code(), Some(47));
                }
                under_way.fetch_sub(1, Ordering::Relaxed);
            });
        }
        // Others, and those who know the password.
        for address in [local, from] {
            for _ in 0..3 {
                assert_eq!(Peer::connect(address).log_in("alice", "secret").code, 0);
            }
        }
        if own.is_some() {
            let waiting = under_way.load(Ordering::Relaxed);
            assert_eq!(waiting, GUESSERS, "all of them guess still");
        }
    });
    if own.is_some() {
        let each = (GUESSES - FREE) / GUESSERS;
        assert!(began.elapsed() >= DELAY * each as u32);
    }
    // The next one tells how many lines were left out before it.
    assert_eq!(
        Peer::connect(from).log_in(FOREIGN, "guess").error_code(),
        Some(47)
    );
    assert!(server.terminate().success());
    let lines = audit_lines(directory.path());
    let failed: Vec<_> = named(&lines, "auth_fail").collect();
    assert!(failed.len() <= GUESSERS * 20, "{} lines", failed.len());
    let left_out: u64 = failed
        .iter()
        .filter_map(|own| own["left_out"].as_u64())
        .sum();
    assert_eq!(failed.len() as u64 + left_out, GUESSES as u64 + 1);
    let peer = failed[0]["peer"].as_str().unwrap();
    assert!(peer.starts_with(&from.ip().to_string()), "{peer}");
    assert!(failed[0]["connection"].as_u64().is_some());
    assert_eq!(failed[0]["user"], "alice");
    assert_eq!(failed[failed.len() - 1]["user"], FOREIGN);
    assert_eq!(
        named(&lines, "auth_ok")
            .filter(|own| own["user"] == "alice")
            .count(),
        6
    );
}

/// Each change of what the test does to users and rights, told once, as the administrator's.
fn check_changes(lines: &[Value], own: SocketAddr) {
    let one = |message: &str, name: &str| {
        let found: Vec<_> = named(lines, message)
            .filter(|own| own["name"] == name)
            .collect();
        assert_eq!(found.len(), 1, "{message} of {name}: {lines:#?}");
        assert_eq!(
            (&found[0]["user"], &found[0]["peer"]),
            (&"admin".into(), &own.to_string().into())
        );
        found[0].clone()
    };
    one("user_create", "bob");
    one("password_change", "bob");
    one("space_create", "t");
    let grant = one("role_grant_rights", "clerks");
    assert_eq!(
        (&grant["rights"], &grant["object"]),
        (&"write".into(), &"t".into())
    );
    one("role_create", "clerks");
    one("user_drop", "bob");
    one("role_drop", "clerks");
    one("space_drop", "t");
    let rights = |message| -> Vec<_> {
        let own = named(lines, message).filter(|own| own["name"] == "bob");
        own.filter(|own| own["object"] == "t")
            .map(|own| own["rights"].clone())
            .collect()
    };
    assert_eq!(rights("user_grant_rights"), ["read"]);
    assert_eq!(rights("user_revoke_rights"), ["read"]);
}

#[test]
fn the_audit_log_tells_who_changed_users_and_rights_and_what_was_denied() {
    let directory = Directory::new();
    let server = start(directory.path(), "json");
    let local = SocketAddr::from(([127, 0, 0, 1], server.address().port()));
    let mut peer = admin(local);
    // As the login's line has it, which is of the same connection.
    call(&mut peer, "box.schema.user.create", &("bob",));
    call(
        &mut peer,
        "box.schema.user.passwd",
        &("bob", "planted-secret"),
    );
    call(&mut peer, "box.schema.space.create", &("t",));
    call(
        &mut peer,
        "box.schema.user.grant",
        &("bob", "read", "space", "t"),
    );
    call(&mut peer, "box.schema.role.create", &("clerks",));
    call(
        &mut peer,
        "box.schema.role.grant",
        &("clerks", "write", "space", "t"),
    );
    let mut by_unix = Peer::connect_unix(&directory.path().join("own.sock"));
    assert_eq!(by_unix.log_in("admin", "planted-of-admin").code, 0);
    call(&mut by_unix, "box.schema.user.create", &("zoe",));
    let mut bob = Peer::connect(local);
    assert_eq!(bob.log_in("bob", "planted-secret").code, 0);
    assert_eq!(
        bob.call_with("box.space.t:insert", &([1],)).error_code(),
        Some(42)
    );
    // What is refused is no change.
    assert!(
        peer.call_with("box.schema.user.create", &("bob",))
            .error_code()
            .is_some()
    );
    call(
        &mut peer,
        "box.schema.user.revoke",
        &("bob", "read", "space", "t"),
    );
    call(&mut peer, "box.schema.user.drop", &("bob",));
    call(&mut peer, "box.schema.role.drop", &("clerks",));
    call(&mut peer, "box.space.t:drop", &());
    assert!(server.terminate().success());
    let lines = audit_lines(directory.path());
    let peer_of = |user: &str| {
        let line = named(&lines, "auth_ok").find(|own| own["user"] == user);
        line.expect("the login is told")["peer"].clone()
    };
    let own = peer_of("admin");
    check_changes(&lines, own.as_str().unwrap().parse().unwrap());
    let by_unix: Vec<_> = named(&lines, "user_create")
        .filter(|own| own["name"] == "zoe")
        .collect();
    assert_eq!(by_unix.len(), 1);
    let peer = by_unix[0]["peer"].as_str().unwrap();
    assert!(peer.starts_with("unix/:(socket) user "), "{peer}");
    let denied: Vec<_> = named(&lines, "access_denied").collect();
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0]["user"], "bob");
    let reason = denied[0]["reason"].as_str().unwrap();
    assert!(reason.contains("'box.space.t:insert'"), "{reason}");
    let log = fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(!log.contains("planted"), "{log}");
}

#[test]
fn in_a_log_of_text_a_name_is_no_line() {
    let directory = Directory::new();
    let server = start(directory.path(), "plain");
    let local = SocketAddr::from(([127, 0, 0, 1], server.address().port()));
    assert_eq!(
        Peer::connect(local).log_in(FOREIGN, "guess").error_code(),
        Some(47)
    );
    assert!(server.terminate().success());
    let log = fs::read_to_string(directory.path().join("log")).unwrap();
    let line = log
        .lines()
        .find(|line| line.contains("auth_fail"))
        .expect("it is told");
    assert!(
        line.contains("vestibule::audit") && line.contains(" connection="),
        "{line}"
    );
    assert!(line.contains("user=\"eve\\n"), "{line}");
    assert!(log.lines().all(|line| !line.starts_with('{')), "{log}");
}
