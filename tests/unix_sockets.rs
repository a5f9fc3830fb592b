//! Unix sockets of a real server: their files from the beginning to the end, who is at the other
//! end, and clients that speak it.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use support::{Directory, Server, command, make_space, rows, wait_until, write_rows};
use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::RequestType;
use vestibule_client::Client;

/// What has to be given to listen there as well.
fn listening(path: &Path) -> [String; 2] {
    ["--listen".to_owned(), format!("unix:{}", path.display())]
}

fn start(directory: &Directory, socket: &Path) -> Server {
    let arguments = listening(socket);
    Server::start(directory.path(), &arguments.each_ref().map(String::as_str))
}

/// What a server says that does not start.
fn refused(directory: &Directory, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command(directory.path())
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(arguments)
        .output()
        .expect("the binary starts");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|own| own.file_type().is_socket())
}

/// The modes and owners that the files of a directory have, as long as it is looked at.
fn watched(directory: &Path, is_over: &AtomicBool) -> BTreeSet<(u32, u32)> {
    let mut seen = BTreeSet::new();
    // Once more when it is over: a busy machine may not have let it look before.
    let mut is_last = false;
    while !is_last {
        is_last = is_over.load(Ordering::Relaxed);
        let files = fs::read_dir(directory).expect("the directory is there");
        let found = files.filter_map(|own| fs::symlink_metadata(own.ok()?.path()).ok());
        seen.extend(found.map(|own| (own.mode() & 0o777, own.uid())));
    }
    seen
}

#[test]
fn a_socket_is_never_anybody_elses_while_it_is_made() {
    for (umask, mode) in [
        ("0", "0600"),
        ("0", "0660"),
        ("077", "0666"),
        ("022", "0777"),
    ] {
        let directory = Directory::new();
        let sockets = directory.path().join("sockets");
        fs::create_dir(&sockets).expect("the directory is ours");
        let path = sockets.join("own.sock");
        let mut shell = Command::new("sh");
        let script = format!("umask {umask} && exec \"$0\" \"$@\"");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_vestibule")]);
        shell.env("VESTIBULE_DATA", directory.path().join("data"));
        let listen = listening(&path);
        let mut arguments: Vec<&str> = listen.iter().map(String::as_str).collect();
        arguments.extend(["--unix-socket-mode", mode]);
        let is_over = AtomicBool::new(false);
        let seen = thread::scope(|scope| {
            let watching = scope.spawn(|| watched(&sockets, &is_over));
            let server = Server::spawn(shell, "127.0.0.1:0", &arguments);
            is_over.store(true, Ordering::Relaxed);
            assert!(is_socket(&path));
            let seen = watching.join().expect("it has watched");
            assert!(server.terminate().success());
            seen
        });
        let wanted = u32::from_str_radix(mode, 8).expect("it is octal");
        let own = fs::metadata(&sockets).expect("it is there").uid();
        assert!(seen.contains(&(wanted, own)), "{mode}: {seen:?}");
        for (mode, owner) in seen {
            assert_eq!(mode & !wanted, 0, "{mode:o} is wider than {wanted:o}");
            assert_eq!(owner, own);
        }
        let left = fs::read_dir(&sockets).expect("it is there").count();
        assert_eq!(left, 0, "nothing is left of it");
    }
}

#[test]
fn a_server_that_was_killed_leaves_a_socket_that_the_next_one_replaces() {
    let directory = Directory::new();
    let path = directory.path().join("own.sock");
    let server = start(&directory, &path);
    let mut peer = Peer::connect_unix(&path);
    make_space(&mut peer);
    write_rows(&mut peer, 0..100);
    server.kill();
    assert!(is_socket(&path), "nobody has removed it");
    assert!(UnixStream::connect(&path).is_err());
    let server = start(&directory, &path);
    assert_eq!(rows(&mut Peer::connect_unix(&path)).len(), 100);
    // Somebody else's from now on: it is left to him.
    fs::remove_file(&path).expect("it is there");
    let _other = UnixListener::bind(&path).expect("it is free");
    assert!(server.terminate().success());
    assert!(is_socket(&path));
}

#[test]
fn a_path_that_is_taken_or_cannot_be_is_refused_by_name() {
    let directory = Directory::new();
    let path = directory.path().join("own.sock");
    let _running = start(&directory, &path);
    let second = Directory::new();
    let told = |path: &Path| {
        let arguments = listening(path);
        refused(&second, &arguments.each_ref().map(String::as_str))
    };
    let (code, text) = told(&path);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("own.sock: somebody listens there"), "{text}");
    let file = directory.path().join("precious");
    fs::write(&file, "precious").expect("it can be written");
    let (code, text) = told(&file);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("precious: there is something else"), "{text}");
    assert_eq!(fs::read(&file).expect("it is there"), b"precious");
    let (code, text) = told(&PathBuf::from("/nowhere/at/all.sock"));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("/nowhere/at/all.sock: "), "{text}");
    let (code, text) = told(&PathBuf::from(format!("/{}", "x".repeat(107))));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("at most 107 bytes, not 108"), "{text}");
    for wrong in ["own.sock", "/run/.."] {
        let (code, text) = told(Path::new(wrong));
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(&format!("'{wrong}'")), "{text}");
    }
    let (code, text) = refused(&second, &["--unix-socket-mode", "1777"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("octal"), "{text}");
}

#[test]
fn who_is_at_the_other_end_is_known_and_administers_as_the_servers_own_user() {
    let directory = Directory::new();
    let [clients, administrators] =
        ["clients.sock", "admin.sock"].map(|name| directory.path().join(name));
    let admin_listen = format!("unix/:{}", administrators.display());
    let own = listening(&clients);
    // In the environment: the lines that a server writes at its start are read by position.
    let mut command = command(directory.path());
    command.env("VESTIBULE_ADMIN_LISTEN", admin_listen);
    let server = Server::spawn(command, "127.0.0.1:0", &own.each_ref().map(String::as_str));
    let user = fs::metadata(directory.path()).expect("it is there").uid();
    let named = format!("unix/:(socket) user {user} process {}", std::process::id());
    for path in [&clients, &administrators] {
        let mut peer = Peer::connect_unix(path);
        let state = peer.call("vestibule.state", &[0x90]);
        assert_eq!(state.code, 0, "{:?}", state.error_text());
        let shown = peer.call("vestibule.show", b"\x91\xabconnections");
        assert!(shown.error_mentions(&named), "{shown:?}");
        let told: String = peer.call("box.session.peer", &[0x90]).value();
        assert_eq!(told, "unix/:(socket)", "as Tarantool tells it");
    }
    assert!(server.terminate().success());
    assert!(!clients.exists() && !administrators.exists());
}

#[test]
fn a_drain_closes_the_clients_socket_and_administrators_come_in_to_its_end() {
    let directory = Directory::new();
    let [clients, administrators] =
        ["clients.sock", "admin.sock"].map(|name| directory.path().join(name));
    let mut command = command(directory.path());
    let listen = format!("unix:{}", administrators.display());
    command.env("VESTIBULE_ADMIN_LISTEN", listen);
    let mut arguments: Vec<String> = listening(&clients).into();
    arguments.extend(["--shutdown-grace-period", "forever"].map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut server = Server::spawn(command, "127.0.0.1:0", &arguments);
    let mut running = Peer::connect_unix(&clients);
    let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
    assert_eq!(running.ask(&begin).code, 0);
    server.signal("TERM");
    wait_until("nobody comes in any more", || !clients.exists());
    let mut operator = Peer::connect_unix(&administrators);
    operator.send(&RequestBuilder::call(
        1,
        "vestibule.drain",
        b"\x91\x81\xa7timeout\x00",
    ));
    server.wait();
    assert!(!administrators.exists());
}

#[test]
fn clients_of_this_project_speak_it() {
    let directory = Directory::new();
    let path = directory.path().join("own.sock");
    let server = start(&directory, &path);
    make_space(&mut server.connect());
    actix_rt::System::new().block_on(async {
        for url in [
            format!("unix:{}", path.display()),
            format!("unix/:{}", path.display()),
            path.display().to_string(),
        ] {
            let client = Client::connect(&url).await.expect("it connects");
            client.ping().await.expect("it is answered");
        }
    });
}
