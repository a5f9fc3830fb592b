//! What is refused, and changes nothing.

use super::*;

/// What cannot be, and what is told of it.
const WRONG: [(&str, &str); 9] = [
    (
        "idle_timeout = 5",
        "vestibule.toml:5: 'idle_timeout' cannot be '5': time unit",
    ),
    (
        "idel_timeout = '5s'",
        "vestibule.toml:5: there is no option 'idel_timeout'; did you",
    ),
    (
        "user_share = 101",
        "vestibule.toml:5: 'user_share' cannot be '101': 101 is not in",
    ),
    ("listen = [", "vestibule.toml:"),
    (
        "grace_auto_min = '2s'\ngrace_auto_max = '1s'\nshutdown.grace_period = 'auto'",
        "'shutdown.grace_period': its shortest, 2s, is longer than its longest, 1s",
    ),
    ("listen = ['0.0.0.0:0']", "vestibule.toml:5: duplicate key"),
    (
        "admin_listen = ['0.0.0.0:0']",
        "0.0.0.0:0 is reachable from other machines",
    ),
    (
        "http.token_file = 'there-is-none'",
        "vestibule.toml:5: 'http.token_file': there-is-none: No such file",
    ),
    (
        "admin_password_file = 'there-is-none'",
        "vestibule.toml:5: 'admin_password_file': there-is-none: No such file",
    ),
];

#[test]
fn what_is_wrong_changes_nothing_and_is_told() {
    let rig = Rig::start("request_timeout = \"1h\"\n");
    let before = rig.options();
    let open = secret(rig.directory.path(), "of-the-side-door");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let open = open.to_str().unwrap();
    let mut times = 0.0;
    // Each has a change that could be taken before what is wrong.
    let open = format!("http.token_file = '{open}'");
    let others = "others may use it (mode 644): take that away";
    for (text, expected) in WRONG.into_iter().chain([(&*open, others)]) {
        let told = rig.refused(&format!("request_timeout = \"2h\"\n{text}\n"));
        assert!(
            told.starts_with("The configuration is not taken: "),
            "{told}"
        );
        assert!(told.contains(expected), "{told}");
        assert_eq!(rig.options(), before, "{text}");
        assert_eq!(rig.limit("request_timeout_ms"), 3_600_000, "{text}");
        let log = rig.log();
        assert!(log.contains(expected), "{log}");
        times += 1.0;
        let refused = rig.metric("vestibule_config_reloads_total{result=\"refused\"}");
        assert_eq!(refused, Some(times));
        assert_eq!(
            rig.metric("vestibule_config_last_reload_successful"),
            Some(0.0)
        );
        let status = get(rig.http(), "/status.json").body;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let faults = status["reloads"]["faults"].to_string();
        assert!(faults.contains(&expected.replace('"', "\\\"")), "{faults}");
        assert!(
            get(rig.http(), "/status.txt")
                .body
                .contains("The configuration was not taken")
        );
    }
    assert!(!rig.log().contains("planted"), "secrets are in no log");
    fs::remove_file(rig.file()).unwrap();
    let told = rig.server.connect().call("vestibule.reload", NO_ARGS);
    let told = told.error_text().unwrap();
    assert!(
        told.contains("cannot read vestibule.toml: No such file"),
        "{told}"
    );
    assert_eq!(rig.options(), before);
    let _ = rig.take("");
    assert_eq!(
        rig.metric("vestibule_config_last_reload_successful"),
        Some(1.0)
    );
    assert!(
        !get(rig.http(), "/status.txt")
            .body
            .contains("The configuration was not taken")
    );
}

/// The arguments and the environment of a process are what they were.
#[test]
fn a_flag_goes_before_what_the_file_says_now() {
    let directory = Directory::new();
    let file = directory.path().join("vestibule.toml");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let arguments = ["--config", file, "--request-timeout", "1h"];
    let server = Server::start(directory.path(), &arguments);
    fs::write(file, "request_timeout = '2h'\nidle_timeout = '3h'\n").unwrap();
    let told = server.connect().call("vestibule.reload", NO_ARGS);
    assert_eq!(told.value::<Report>().changed, ["idle_timeout"]);
}

#[test]
fn only_administrators_have_it_loaded() {
    let rig = Rig::start("");
    let [mut guest, mut admin] = [(); 2].map(|()| rig.server.connect());
    let password = "box.schema.user.passwd";
    assert_eq!(admin.call_with(password, &("admin", "word")).code, 0);
    assert_eq!(admin.log_in("admin", "word").code, 0);
    let mut reload = |text: &str| {
        rig.write(text);
        let told = [&mut guest, &mut admin].map(|own| own.call("vestibule.reload", NO_ARGS));
        told.map(|own| own.error_code())
    };
    assert_eq!(reload("administrator = ['admin']\n"), [None, None]);
    assert_eq!(reload(""), [Some(42), None]);
    assert_eq!(reload("administrator = ['alice']\n"), [None, Some(42)]);
}

/// A pipe is read once: a reload would find nothing in it, and have all options be defaults.
#[test]
fn options_that_came_through_a_pipe_are_told_at_the_start_and_stay_as_they_are() {
    let directory = Directory::new();
    let pipe = directory.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("coreutils has it").success());
    let log = directory.path().join("log");
    let mut command = support::command(directory.path());
    command.stderr(fs::File::create(&log).unwrap());
    let written = pipe.clone();
    let writer = std::thread::spawn(move || fs::write(written, "request_timeout = '1h'\n"));
    let named = pipe.to_str().unwrap();
    let server = Server::spawn(command, "127.0.0.1:0", &["--config", named]);
    writer.join().unwrap().expect("it is read");
    let told = fs::read_to_string(&log).unwrap();
    assert!(
        told.contains("pipe is no regular file: it was read once"),
        "{told}"
    );
    let told = server.connect().call("vestibule.reload", NO_ARGS);
    let told = told.error_text().expect("it is refused");
    assert!(
        told.contains("pipe: it is no regular file, and was read at the start"),
        "{told}"
    );
}
