//! The configuration of the real binary: its layers, its faults, and what is generated from it.

mod support;
#[path = "configuration/values.rs"]
mod values_of_options;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use support::{Directory, Server, secret};
use toml::{Table, Value};
use values_of_options::{beside, of_upstreams, three_values};

/// `vestibule` with arguments and variables, and nothing of this environment.
fn vestibule(variables: &[(String, String)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command
        .env_clear()
        .envs(variables.iter().cloned())
        .args(arguments);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// What `config show` says: of each option, by its path, its value and where it comes from.
fn shown(variables: &[(String, String)], arguments: &[&str]) -> Vec<(String, Value, String)> {
    let output = vestibule(variables, &[&["config", "show"], arguments].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut table = String::new();
    let mut found = Vec::new();
    for line in text(&output.stdout).lines().filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix('[') {
            table = format!("{}.", name.trim_end_matches(']'));
            continue;
        }
        let (assigned, origin) = line.rsplit_once("# ").unwrap();
        let parsed: Table = assigned.trim_start_matches('#').parse().unwrap();
        let (key, value) = parsed.into_iter().next().unwrap();
        found.push((format!("{table}{key}"), value, origin.to_owned()));
    }
    assert!(found.len() > 40, "{found:?}");
    found
}

/// What each option is, wherever it comes from.
fn values(arguments: &[&str]) -> Vec<(String, Value)> {
    let shown = shown(&[], arguments).into_iter();
    shown.map(|(path, value, _)| (path, value)).collect()
}

fn one_of(shown: &[(String, Value, String)], path: &str) -> (Value, String) {
    let (_, value, origin) = shown.iter().find(|(own, ..)| own == path).unwrap();
    (value.clone(), origin.clone())
}

fn flag_of(path: &str) -> String {
    format!("--{}", path.replace(['.', '_'], "-"))
}

fn variable_of(path: &str) -> String {
    format!("VESTIBULE_{}", path.replace('.', "_").to_uppercase())
}

/// A value as flags and variables have it.
fn plain(value: &Value) -> String {
    match value {
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A file that sets one option.
fn file_with(directory: &Path, path: &str, value: &Value) -> String {
    let text = match path.split_once('.') {
        Some((table, key)) => format!("# A comment.\n[{table}]\n{key} = {value}\n"),
        None => format!("# A comment.\n{path} = {value}\n"),
    };
    let file = directory.join("vestibule.toml");
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn every_option_counts_by_file_variable_and_flag_in_this_order() {
    let directory = Directory::new();
    for (path, default, origin) in shown(&[], &[]) {
        assert_eq!(origin, "default", "{path}");
        let values = three_values(directory.path(), &path, &default);
        let file = file_with(directory.path(), &path, &values[0]);
        let line = if path.contains('.') { 3 } else { 2 };
        let origins = [
            format!("{file}:{line}"),
            format!("environment {}", variable_of(&path)),
            format!("flag {}", flag_of(&path)),
        ];
        for given in 0..8_usize {
            let has = |layer: usize| given & (1 << layer) != 0;
            let beside = beside(directory.path(), &path, given != 0);
            let mut variables = beside.clone();
            let mut arguments = Vec::new();
            if has(0) {
                arguments.extend(["--config".to_owned(), file.clone()]);
            }
            if has(1) {
                variables.push((variable_of(&path), plain(&values[1])));
            }
            if has(2) {
                arguments.push(format!("{}={}", flag_of(&path), plain(&values[2])));
            }
            let expected = match (0..3).rev().find(|layer| has(*layer)) {
                Some(layer) => (values[layer].clone(), origins[layer].clone()),
                None => (default.clone(), "default".to_owned()),
            };
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let shown = shown(&variables, &arguments);
            assert_eq!(
                one_of(&shown, &path),
                expected,
                "{path}, layers {given:03b}"
            );
            let others = shown.iter().filter(|(_, _, origin)| origin != "default");
            let count = beside.len() + usize::from(given != 0);
            assert_eq!(others.count(), count, "{path}");
        }
    }
}

/// Each of them, so that none is forgotten that comes to be there.
#[test]
fn what_is_about_upstreams_is_refused_where_there_is_none() {
    let directory = Directory::new();
    let refused = |variables: &[(String, String)], arguments: &[&str], expected: &str| {
        let output = vestibule(variables, &[&["config", "check"], arguments].concat());
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{expected}: {told}");
        assert!(told.contains(expected), "{expected}: {told}");
    };
    let defaults = shown(&[], &[]);
    for path in &of_upstreams()[1..] {
        let (default, _) = one_of(&defaults, path);
        let [first, ..] = three_values(directory.path(), path, &default);
        let (file, value) = (file_with(directory.path(), path, &first), plain(&first));
        let why = "this server stands before none, and does nothing with it";
        let line = if path.contains('.') { 3 } else { 2 };
        let expected = format!("{file}:{line}: '{path}': only with 'upstream': {why}");
        refused(&[], &["--config", &file], &expected);
        let variable = variable_of(path);
        let expected = format!("environment {variable}: only with VESTIBULE_UPSTREAM: {why}");
        refused(&[(variable, value.clone())], &[], &expected);
        let flag = flag_of(path);
        let expected = format!("flag {flag}: only with --upstream: {why}");
        refused(&[], &[&format!("{flag}={value}")], &expected);
    }
    // What says what is so anyway changes nothing.
    let output = vestibule(&[], &["config", "check", "--failover-hold=1000ms"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn a_list_takes_the_place_of_the_whole_list_below_it() {
    let directory = Directory::new();
    let given = Value::from(vec!["127.0.0.1:1", "127.0.0.1:2"]);
    let file = file_with(directory.path(), "listen", &given);
    let of_file = ["--config", &file];
    assert_eq!(one_of(&shown(&[], &of_file), "listen").0, given);
    let variable = [(
        "VESTIBULE_LISTEN".to_owned(),
        "127.0.0.1:3,127.0.0.1:4".to_owned(),
    )];
    let told = one_of(&shown(&variable, &of_file), "listen").0;
    assert_eq!(told, vec!["127.0.0.1:3", "127.0.0.1:4"].into());
    let flags = [
        &of_file[..],
        &["--listen", "127.0.0.1:5", "--listen", "127.0.0.1:6"],
    ]
    .concat();
    let told = one_of(&shown(&variable, &flags), "listen").0;
    assert_eq!(told, vec!["127.0.0.1:5", "127.0.0.1:6"].into());
    let none = file_with(directory.path(), "listen", &Value::Array(Vec::new()));
    assert_eq!(
        one_of(&shown(&[], &["--config", &none]), "listen").0,
        Value::Array(Vec::new())
    );
}

#[test]
fn a_switch_of_a_file_can_be_taken_back() {
    let directory = Directory::new();
    let file = file_with(directory.path(), "read_only", &Value::Boolean(true));
    let read_only = |arguments: &[&str]| one_of(&shown(&[], arguments), "read_only").0;
    assert_eq!(read_only(&["--config", &file]), Value::Boolean(true));
    assert_eq!(
        read_only(&["--config", &file, "--read-only=false"]),
        Value::Boolean(false)
    );
    assert_eq!(read_only(&["--read-only"]), Value::Boolean(true));
}

#[test]
fn what_is_wrong_in_a_file_ends_every_command_with_file_and_line() {
    let directory = Directory::new();
    let data = directory.path().join("data");
    let file = directory.path().join("vestibule.toml");
    let [file_name, data] = [&file, &data].map(|path| path.to_str().unwrap());
    let lines = "listen = [\"127.0.0.1:0\"]\nidle_timout = \"3s\"\n\n[journal]\nsync = 5\n";
    for (text_of_file, expected) in [
        (
            lines,
            "vestibule: FILE:2: there is no option 'idle_timout'; did you mean 'idle_timeout'?\n\
             vestibule: FILE:5: 'journal.sync' is a string, and not a number\n",
        ),
        (
            "\n[checkpoint]\ncount = 0\n",
            "vestibule: FILE:3: 'checkpoint.count' cannot be '0': 0 is not in 1..=65535\n",
        ),
    ] {
        fs::write(&file, text_of_file).unwrap();
        let expected = expected.replace("FILE", file_name);
        for command in [
            "config check",
            "config show",
            "serve",
            "check",
            "dump",
            "load",
            "",
        ] {
            let arguments: Vec<_> = command.split_whitespace().collect();
            let arguments = [&arguments[..], &["--config", file_name, "--data", data]].concat();
            let output = vestibule(&[], &arguments);
            assert_eq!(text(&output.stderr), expected, "{command}");
            assert_eq!(output.status.code(), Some(2), "{command}");
            assert!(output.stdout.is_empty());
        }
    }
    assert!(!Path::new(data).exists(), "nothing was begun");
}

#[test]
fn a_check_tells_what_a_start_would() {
    let directory = Directory::new();
    let check = |arguments: &[&str]| {
        let output = vestibule(&[], &[&["config", "check"], arguments].concat());
        let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
        (output.status.code(), told)
    };
    let nothing = "no file is named, and what is given besides is sound\n";
    assert_eq!(check(&[]), (Some(0), nothing.to_owned()));
    let open = Value::from(vec!["0.0.0.0:3301"]);
    let file = file_with(directory.path(), "listen", &open);
    let (code, told) = check(&["--config", &file]);
    assert_eq!(code, Some(2), "{told}");
    assert!(
        told.contains("the user 'guest', who needs no password"),
        "{told}"
    );
    let sound = check(&["--config", &file, "--guest", "none"]);
    assert_eq!(sound, (Some(0), format!("{file} is sound\n")));
    let bounds = ["--shutdown-grace-period=auto", "--grace-auto-min=31s"];
    let (code, told) = check(&bounds);
    assert_eq!(code, Some(2));
    assert!(told.contains("is longer than its longest"), "{told}");
    let (code, told) = check(&["--config", "/nowhere/vestibule.toml"]);
    assert_eq!(code, Some(2));
    let expected = "vestibule: cannot read /nowhere/vestibule.toml: No such file or directory";
    assert!(told.starts_with(expected), "{told}");
    let (code, told) = check(&["--config", "/dev/zero"]);
    assert_eq!(code, Some(2));
    assert!(told.contains("it is larger than 1048576 bytes"), "{told}");
}

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let directory = Directory::new();
    let given = [
        "--listen=127.0.0.1:1,[::1]:2",
        "--journal-sync=never",
        "--read-only",
        "--memory-max=3GiB",
        "--data=a 'b' \"c\"",
    ];
    let output = vestibule(&[], &[&["config", "show"], &given[..]].concat());
    let file = directory.path().join("shown.toml");
    fs::write(&file, &output.stdout).unwrap();
    assert_eq!(
        values(&["--config", file.to_str().unwrap()]),
        values(&given)
    );
}

/// Options that are there only if they are given; in the template stands what help calls a value.
const WITHOUT_DEFAULT: [&str; 15] = [
    "instance_name",
    "admin_password_file",
    "upstream_user",
    "upstream_password_file",
    "primary",
    "upstream_calls_max",
    "upstream_tls_ca",
    "upstream_tls_certificate",
    "upstream_tls_key",
    "upstream_tls_server_name",
    "server_version",
    "tls.certificate",
    "tls.key",
    "tls.client_ca",
    "http.token_file",
];

#[test]
fn the_template_holds_every_option_with_its_default() {
    let output = vestibule(&[], &["config", "default"]);
    let template = text(&output.stdout);
    let is_there = |line: &str| template.lines().any(|own| own == line);
    assert!(is_there("#admin_password_file = \"FILE\""));
    assert!(is_there("#upstream_calls_max = 384"));
    let as_it_is: Table = template.parse().unwrap();
    let is_empty = |table: &Value| table.as_table().unwrap().is_empty();
    assert!(as_it_is.values().all(is_empty));
    let is_option = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        let in_key = |own: char| own.is_ascii_lowercase() || own == '_';
        let mut without = WITHOUT_DEFAULT.iter().map(|own| own.rsplit('.').next());
        line.contains(" = ") && key.chars().all(in_key) && !without.any(|own| own == Some(key))
    };
    let mut all_on = String::new();
    for line in template.lines() {
        let option = line.strip_prefix('#').filter(|own| is_option(own));
        let line = option.unwrap_or(line);
        writeln!(all_on, "{line}").unwrap();
    }
    let directory = Directory::new();
    let file = directory.path().join("all.toml");
    fs::write(&file, all_on).unwrap();
    let of_file = ["--config", file.to_str().unwrap()];
    assert_eq!(values(&of_file), values(&[]));
    let from_file = shown(&[], &of_file);
    let left_out = from_file.iter().filter(|(_, _, own)| own == "default");
    let left_out: Vec<_> = left_out.map(|(path, ..)| path.as_str()).collect();
    assert_eq!(left_out, WITHOUT_DEFAULT);
    assert!(
        template.lines().all(|line| line.chars().count() <= 100),
        "{template}"
    );
}

/// Files in the tree that are written by the binary.
#[test]
fn what_is_generated_is_as_the_binary_has_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = |what: &str| {
        let output = vestibule(&[], &["config", what]);
        text(&output.stdout).to_owned()
    };
    let packaged = fs::read_to_string(root.join("packaging/vestibule.toml")).unwrap();
    let how = "packaging/generate writes it again";
    assert!(
        packaged == made("default"),
        "packaging/vestibule.toml: {how}"
    );
    let chapter = fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    let (_, reference) = chapter.split_once("## Reference\n\n").unwrap();
    let is_same = reference.trim_end() == made("reference").trim_end();
    assert!(is_same, "docs/configuration.md: {how}");
}

#[test]
fn a_server_and_its_tools_read_the_same_file() {
    let directory = Directory::new();
    let data = directory.path().join("data of the file");
    let value = Value::String(data.to_str().unwrap().to_owned());
    let file = file_with(directory.path(), "data", &value);
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.env("VESTIBULE_CONFIG", &file);
    let server = Server::spawn(command, "127.0.0.1:0", &[]);
    assert!(data.join("instance-uuid").exists());
    assert!(server.terminate().success());
    let checked = vestibule(&[("VESTIBULE_CONFIG".to_owned(), file)], &["check"]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(
        text(&checked.stdout).contains("data of the file"),
        "{}",
        text(&checked.stdout)
    );
}

#[test]
fn the_password_of_admin_comes_from_a_file_that_others_may_not_read() {
    let directory = Directory::new();
    let file = secret(directory.path(), "1").to_str().unwrap().to_owned();
    let start = |file: &str| {
        let arguments = ["--guest", "none", "--admin-password-file", file];
        Server::start(directory.path(), &arguments)
    };
    // From nothing to a login, before anybody else is served.
    let server = start(&file);
    assert_eq!(server.connect().log_in("admin", "planted-1").code, 0);
    assert!(server.terminate().success());
    let server = start(secret(directory.path(), "2").to_str().unwrap());
    assert_ne!(server.connect().log_in("admin", "planted-1").code, 0);
    assert_eq!(server.connect().log_in("admin", "planted-2").code, 0);
    assert!(server.terminate().success());

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let given = Value::String(file.clone());
    let config = file_with(directory.path(), "admin_password_file", &given);
    let data = directory.path().join("never");
    let data = data.to_str().unwrap();
    for command in ["config check", "config show", "serve"] {
        let arguments: Vec<_> = command.split(' ').collect();
        let arguments = [&arguments[..], &["--config", &config, "--data", data]].concat();
        let output = vestibule(&[], &arguments);
        assert_eq!(output.status.code(), Some(2));
        let told = text(&output.stderr);
        let expected = format!(
            "vestibule: {config}:2: 'admin_password_file': {file}: others may use it (mode 644): "
        );
        assert!(told.starts_with(&expected), "{told}");
    }
    let variables = [(
        "VESTIBULE_ADMIN_PASSWORD_FILE".to_owned(),
        "/nowhere".to_owned(),
    )];
    let output = vestibule(&variables, &["config", "check"]);
    let told = text(&output.stderr);
    let expected = "vestibule: environment VESTIBULE_ADMIN_PASSWORD_FILE: \
                    /nowhere: No such file";
    assert!(told.starts_with(expected), "{told}");
    assert!(!Path::new(data).exists());
}

#[test]
fn what_is_told_of_a_configuration_holds_no_secret() {
    let directory = Directory::new();
    let file = secret(directory.path(), "1").to_str().unwrap().to_owned();
    for what in ["show", "check"] {
        let output = vestibule(&[], &["config", what, "--admin-password-file", &file]);
        assert!(output.status.success());
        let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!told.contains("planted"), "{told}");
    }
}

#[test]
fn a_log_in_json_is_one_object_a_line_and_the_instance_tells_its_name() {
    #[derive(serde::Deserialize)]
    struct Info {
        name: Option<String>,
    }
    let directory = Directory::new();
    let log = directory.path().join("log");
    let start = |arguments: &[&str]| {
        let mut command = support::command(directory.path());
        command.stderr(fs::File::create(&log).unwrap());
        Server::spawn(command, "127.0.0.1:0", arguments)
    };
    let name = |server: &Server| {
        let (info,): (Info,) = server.connect().call("box.info", &[0x90]).data();
        info.name
    };
    let server = start(&["--log-format", "json", "--instance-name", "orders-1"]);
    assert_eq!(name(&server).as_deref(), Some("orders-1"));
    assert_ne!(server.connect().log_in("admin", "planted-1").code, 0);
    let pid = u64::from(server.pid());
    assert!(server.terminate().success());
    let told = fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let wrong = lines.iter().find(|line| {
        let message = line["message"].as_str().unwrap();
        message.contains("wrong logins")
    });
    let wrong = wrong.unwrap();
    assert_eq!(
        (&wrong["level"], wrong["pid"].as_u64()),
        (&"warn".into(), Some(pid))
    );
    assert!(
        wrong["module"]
            .as_str()
            .unwrap()
            .starts_with("vestibule_actors::")
    );
    assert!(wrong["thread"].is_string());
    assert!(wrong["time"].as_str().unwrap().ends_with('Z'));
    assert!(!told.contains("planted"), "{told}");

    let server = start(&[]);
    assert_eq!(name(&server), None);
    assert!(server.terminate().success());
}
