//! What each option does once it is taken.

use super::*;

#[test]
fn the_log_and_its_format_are_others_from_the_next_line_on() {
    let rig = Rig::start("log = 'off'\n");
    let _ = rig.take("log = 'info'\nlog_format = 'json'\n");
    wait_until("a line is written", || !rig.log().is_empty());
    for line in rig.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON from the first on");
        assert_eq!(line["level"], "info");
    }
    let _ = rig.take("log = 'error'\n");
    let before = rig.log();
    let _ = rig.take("log = 'error'\nidle_timeout = '1h'\n");
    assert_eq!(rig.log(), before, "a reload that is taken is no error");
}

#[test]
fn each_limit_of_time_and_number_is_taken() {
    let rig = Rig::start("");
    for (option, limit) in [
        ("half_frame_timeout", "half_frame_timeout_ms"),
        ("authentication_timeout", "authentication_timeout_ms"),
        (
            "admin_authentication_timeout",
            "admin_authentication_timeout_ms",
        ),
        ("unread_timeout", "unread_timeout_ms"),
        ("idle_timeout", "idle_timeout_ms"),
        ("half_closed_timeout", "half_closed_timeout_ms"),
        ("login.delay_max", "login_delay_max_ms"),
        ("request_timeout", "request_timeout_ms"),
        ("wait_timeout", "wait_timeout_ms"),
        ("transaction_timeout", "transaction_timeout_ms"),
        ("tx_stall_after", "tx_stall_after_ms"),
        ("hold.time_max", "hold_time_max_ms"),
        ("shutdown.grace_period", "shutdown_grace_period_ms"),
        ("lameduck", "lameduck_ms"),
    ] {
        let report = rig.take(&format!("{option} = '7777s'\n"));
        assert!(report.changed.contains(&option.to_owned()), "{report:?}");
        assert_eq!(rig.limit(limit), 7_777_000, "{option}");
    }
    let grace = "shutdown.grace_period = 'auto'\ngrace_auto_min = '7s'\ngrace_auto_max = '7s'\n";
    let _ = rig.take(grace);
    assert_eq!(rig.limit("shutdown_grace_period_ms"), 7_000);
    for (option, limit) in [
        ("login.failures_free", "login_failures_free"),
        ("hold.requests_max", "hold_requests_max"),
        ("hold.bytes_max", "hold_bytes_max"),
        ("connections.max", "connections_max"),
        ("connections.per_address_max", "connections_per_address_max"),
        ("connections.memory_max", "connections_memory_max_bytes"),
        ("memory_max", "memory_max_bytes"),
    ] {
        let _ = rig.take(&format!("{option} = 7654321\n"));
        let value = rig.limit(limit);
        // There are no more connections than descriptors.
        let fits = value == 7_654_321 || option == "connections.max" && value < 7_654_321;
        assert!(fits, "{option}: {value}");
    }
    let _ = rig.take("connections.max = 77\n");
    assert_eq!(rig.limit("connections_max"), 77);
}

#[test]
fn policies_for_solo_are_taken() {
    let rig = Rig::start("");
    let mut operator = rig.server.connect();
    assert_eq!(operator.call("vestibule.solo", NO_ARGS).code, 0);
    let mut peer = rig.server.connect();
    let write = |sync| RequestBuilder::replace(sync, sync);
    assert_eq!(peer.ask(&write(1)).error_code(), Some(116));
    let _ = rig.take("solo.policy_new = 'close'\n");
    let told = rig.server.connect().receive_until_closed();
    assert_eq!(told[0].error_code(), Some(116));
    // By a connection of its own that would be closed now.
    rig.write("solo.policy_new = 'hold'\nhold.time_max = '1h'\n");
    assert_eq!(operator.call("vestibule.reload", NO_ARGS).code, 0);
    peer.send(&write(2));
    peer.ping();
    assert_eq!(operator.call("vestibule.assist", NO_ARGS).code, 0);
    assert_ne!(peer.receive().error_code(), Some(116), "it was kept");
}

#[test]
fn checkpoints_are_made_by_the_new_options() {
    let rig = Rig::start("checkpoint.journal_size = 0\ncheckpoint.interval = 0\n");
    let mut peer = rig.server.connect();
    make_space(&mut peer);
    write_rows(&mut peer, 0..100);
    let last = || rig.metric("vestibule_checkpoint_last_success_timestamp_seconds");
    assert_eq!(last(), None);
    let _ = rig.take("checkpoint.journal_size = 100\ncheckpoint.interval = 0\n");
    wait_until("one is made", || last().is_some());
    let first = last();
    let _ = rig.take("checkpoint.journal_size = 0\ncheckpoint.interval = '1ms'\n");
    write_rows(&mut peer, 100..200);
    wait_until("another one is made", || last() > first);
}

#[test]
fn the_side_door_takes_hosts_and_the_names_of_metrics() {
    let rig = Rig::start("");
    let asked_as = |host: &str| {
        let request = format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n");
        ask(rig.http(), &request).status
    };
    assert_eq!(asked_as("status.example.com"), 421);
    let _ = rig.take("http.host = ['status.example.com']\n");
    assert_eq!(asked_as("status.example.com"), 200);
    let has_tarantools = || get(rig.http(), "/metrics").body.contains("tnt_info_uptime");
    assert!(has_tarantools());
    let _ = rig.take("metrics_tarantool = false\n");
    assert_eq!(asked_as("status.example.com"), 421);
    assert!(!has_tarantools());
}

#[test]
fn the_side_door_takes_what_it_can_though_its_address_is_to_go_at_the_next_start() {
    let rig = Rig::start("");
    let text = "listen = ['127.0.0.1:0']\nhttp.host = ['status.example.com']\n";
    fs::write(rig.file(), text).unwrap();
    let told = rig.server.connect().call("vestibule.reload", NO_ARGS);
    let report: Report = told.value();
    assert_eq!(report.changed, ["http.host"]);
    assert_eq!(report.needs_restart, ["http.listen", "debug_procedures"]);
    let request = "GET /livez HTTP/1.1\r\nHost: status.example.com\r\n\r\n";
    assert_eq!(ask(rig.http(), request).status, 200);
}

/// From elsewhere the token is asked for; here that is another address of this machine.
#[test]
fn a_token_is_read_again_though_its_file_has_the_same_name() {
    let Some(elsewhere) = address_of_this_machine() else {
        panic!("this machine has no address but loopback");
    };
    let directory = Directory::new();
    let token = secret(directory.path(), "first-of-the-door");
    let option = format!("http.token_file = '{}'\n", token.display());
    let listen = format!("http.listen = ['{elsewhere}:0']\n");
    let text = format!("listen = ['127.0.0.1:0']\n{listen}{option}");
    let file = directory.path().join("vestibule.toml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.env_clear().current_dir(directory.path()).args([
        "serve",
        "--config",
        "vestibule.toml",
        "--log",
        "off",
    ]);
    let server = Server::spawn_with(command, false, true);
    let status = |word: &str| {
        let shown = format!("Authorization: Bearer planted-{word}\r\n");
        let request = format!("GET /status.json HTTP/1.1\r\nHost: localhost\r\n{shown}\r\n");
        ask(server.http_address(), &request).status
    };
    assert_eq!(status("first-of-the-door"), 200);
    fs::write(&token, "planted-second-of-the-door\n").unwrap();
    assert_eq!(status("second-of-the-door"), 401);
    assert_eq!(server.connect().call("vestibule.reload", NO_ARGS).code, 0);
    assert_eq!(status("second-of-the-door"), 200);
    assert_eq!(status("first-of-the-door"), 401);
}

/// Whether it says of each option what becomes of it, by the table in the documentation.
#[test]
fn each_option_is_taken_or_waits_for_a_restart_as_its_reference_says() {
    let rig = Rig::start("");
    let paths = rig.options().into_keys();
    let counts = each_is_taken_as_its_reference_says(&rig, BASE, paths);
    assert!(counts[0] > 15 && counts[1] > 25, "{counts:?}");
}

/// The same of a gateway's, which are refused of a server that is none.
#[test]
fn each_option_of_a_gateway_is_taken_or_waits_for_a_restart_as_its_reference_says() {
    let directory = Directory::new();
    let _ = secret(directory.path(), "gateway");
    let [certificate, key] = tls_files(directory.path());
    // Nobody is there, so nothing is served but what needs nobody.
    let base = format!(
        "listen = [\"127.0.0.1:0\"]
http.listen = [\"127.0.0.1:0\"]
upstream = [\"a=127.0.0.1:1\"]
upstream_user = \"gateway\"
upstream_password_file = \"secret-gateway\"
upstream_tls_ca = \"{certificate}\"
upstream_tls_certificate = \"{certificate}\"
upstream_tls_key = \"{key}\"
",
        certificate = certificate.display(),
        key = key.display()
    );
    for (file, name) in [(&certificate, "other.pem"), (&key, "other.key")] {
        fs::copy(file, directory.path().join(name)).unwrap();
    }
    let rig = Rig::start_in(directory, &base, &[]);
    let paths = rig.options().into_keys();
    let paths = paths.filter(|own| is_of_gateways(own));
    let counts = each_is_taken_as_its_reference_says(&rig, &base, paths);
    assert_eq!(counts, [16, 5]);
}

/// Whether an option is refused of a server that stands before no upstreams.
fn is_of_gateways(path: &str) -> bool {
    let reference = include_str!("../../docs/configuration.md");
    let mut sections = reference.split("\n### ");
    let section = sections.find(|own| own.starts_with("Upstreams\n"));
    section
        .expect("it is there")
        .contains(&format!("\n**`{path}`**: "))
}

/// How many wait for a restart, and how many are taken by a reload.
fn each_is_taken_as_its_reference_says(
    rig: &Rig,
    base: &str,
    paths: impl Iterator<Item = String>,
) -> [usize; 2] {
    let reference = include_str!("../../docs/configuration.md");
    let mut counts = [0, 0];
    for path in paths {
        let heading = format!("**`{path}`**: ");
        let line = reference.lines().find(|own| own.starts_with(&heading));
        let line = line.unwrap_or_else(|| panic!("{path} is documented"));
        let is_reloaded = line.ends_with("; reload");
        assert!(is_reloaded || line.ends_with("; restart"), "{line}");
        let is_gateway = base.contains("upstream = ");
        let value = another_value(&path).filter(|_| is_gateway || !is_of_gateways(&path));
        let Some(value) = value else {
            continue;
        };
        // Not what these files have already, under the same name.
        let base = base
            .lines()
            .filter(|own| !own.starts_with(&format!("{path} ")));
        let base = base.collect::<Vec<_>>().join("\n");
        let value = value.replace("DIRECTORY", rig.directory.path().to_str().unwrap());
        fs::write(rig.file(), format!("{base}\n{path} = {value}\n")).unwrap();
        let _ = secret(rig.directory.path(), "of-sixteen-characters");
        let told = rig.server.connect().call("vestibule.reload", NO_ARGS);
        assert_eq!(told.code, 0, "{path}: {:?}", told.error_text());
        let report: Report = told.value();
        let is_in = |list: &[String]| list.contains(&path);
        assert_eq!(is_in(&report.changed), is_reloaded, "{path}: {report:?}");
        assert_eq!(
            is_in(&report.needs_restart),
            !is_reloaded,
            "{path}: {report:?}"
        );
        counts[usize::from(is_reloaded)] += 1;
    }
    counts
}

/// A value that the option does not have by default, in TOML.
fn another_value(path: &str) -> Option<String> {
    let value = match path {
        // The server would be another one's for those who ask here.
        "administrator" => "['admin']",
        "log" => "'warn'",
        "log_format" => "'json'",
        "instance_name" => "'other'",
        "listen" | "admin_listen" | "http.listen" => "['127.0.0.1:11']",
        "http.host" => "['other.example.com']",
        "guest" => "'none'",
        "unix_socket_mode" => "'0600'",
        "admin_password_file" | "http.token_file" | "upstream_password_file" => {
            "'DIRECTORY/secret-of-sixteen-characters'"
        }
        // No address without a certificate, and no gateway with a directory of its own.
        "data" | "tls.listen" | "upstream" => return None,
        // Only beside two others.
        "listen_reads" | "tls.listen_reads" => return None,
        "upstream_user" => "'other'",
        "primary" => "'a'",
        "upstream_calls_max" => "33",
        "upstream_users" => "'one'",
        "mode" => "'pinned'",
        "read_from" => "'primary'",
        "lost" => "'close'",
        "retry_calls" => "['other']",
        "failover_hold" | "staleness_max" | "silent_abandon" => "'5s'",
        "server_version" => "'2.11.0'",
        "tls.certificate" | "tls.key" | "tls.client_ca" => "'elsewhere'",
        "upstream_tls_server_name" => "'elsewhere'",
        "upstream_tls_key" => "'DIRECTORY/other.key'",
        own if own.starts_with("upstream_tls_") => "'DIRECTORY/other.pem'",
        "read_only" | "force_recovery" => "true",
        // A server whose door is at an address of the network has no certificate here.
        "http.tls" => return None,
        "debug_procedures" | "metrics_tarantool" => "false",
        "solo.policy" | "solo.policy_new" => "'hold'",
        "journal.sync" => "'never'",
        "user_share" | "address_share" | "user_address_share" => "33",
        _ if [
            "timeout",
            "_after",
            "time_max",
            "delay_max",
            "period",
            "interval",
            "lameduck",
        ]
        .iter()
        .any(|end| path.ends_with(end)) =>
        {
            "'333s'"
        }
        "grace_auto_min" => "'1s'",
        "grace_auto_max" => "'333s'",
        _ => "3300",
    };
    let small = [
        "session_threads",
        "checkpoint.count",
        "connection_transactions_max",
    ];
    let value = if small.contains(&path) { "33" } else { value };
    // What is needed to ask again is in the file at the next turn.
    (path != "administrator").then(|| value.to_owned())
}
