//! Values of each option, and what it needs beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use toml::Value;

use crate::support::{secret, tls_files, tls_variables};

/// Three values of an option that are not its default, or two that take turns.
pub(super) fn three_values(directory: &Path, path: &str, default: &Value) -> [Value; 3] {
    let texts = |values: [&str; 3]| values.map(|own| Value::String(own.to_owned()));
    match (path, default) {
        ("listen" | "admin_listen" | "tls.listen" | "listen_reads" | "tls.listen_reads", _) => {
            ["127.0.0.1:11", "127.0.0.1:12", "[::1]:13"].map(|own| vec![own].into())
        }
        ("http.listen", _) => ["127.0.0.1:11", "unix:/a/b", "[::1]:13"].map(|own| vec![own].into()),
        ("unix_socket_mode", _) => texts(["0600", "0640", "0666"]),
        ("upstream", _) => ["a=h:1", "b=unix:/run/b.sock", "c=[::1]:3"].map(|own| vec![own].into()),
        (_, Value::Array(_)) => ["alice", "bob", "carol"].map(|own| vec![own].into()),
        (_, Value::Boolean(_)) => [true, false, true].map(Value::Boolean),
        (_, Value::Integer(_)) => [11, 12, 13].map(Value::Integer),
        ("journal.sync", _) => texts(["interval", "never", "turn"]),
        ("guest", _) => texts(["none", "super", "none"]),
        ("solo.policy" | "solo.policy_new", _) => texts(["hold", "close", "reject"]),
        ("log_format", _) => texts(["json", "plain", "json"]),
        ("server_version", _) => texts(["2.11.0", "2.10.0", "3.2.1"]),
        ("mode", _) => texts(["pinned", "shared", "pinned"]),
        ("lost", _) => texts(["close", "error", "close"]),
        ("read_from", _) => texts(["primary", "replica", "primary"]),
        ("upstream_users", _) => {
            let [b, c] = ["b", "c"].map(|name| copy(directory, Path::new("/dev/null"), name));
            ["one".into(), b, c]
        }
        ("upstream_calls_max", _) => [11, 12, 13].map(Value::Integer),
        ("upstream_user" | "primary", _) => texts(["alice", "bob", "carol"]),
        ("instance_name", _) => texts(["orders-1", "orders-2", "orders-3"]),
        ("log", _) => texts(["warn", "vestibule=debug,error", "off"]),
        ("data", _) => texts(["a \"b\" \\c", "b", "c"]),
        ("tls.certificate" | "tls.key" | "tls.client_ca", _) => texts(["a", "b", "c"]),
        ("upstream_tls_server_name", _) => texts(["a", "b", "c"]),
        (path, _) if path.starts_with("upstream_tls_") => {
            let [certificate, key] = tls_files(directory);
            let file = if path.ends_with("key") {
                key
            } else {
                certificate
            };
            ["a", "b", "c"].map(|name| copy(directory, &file, name))
        }
        ("admin_password_file" | "http.token_file" | "upstream_password_file", _) => {
            ["of-number-1", "of-number-2", "of-number-3"]
                .map(|word| secret(directory, word).to_str().unwrap().into())
        }
        (_, Value::String(size)) if size.ends_with("iB") => texts(["11MiB", "12MiB", "13MiB"]),
        // All others are times.
        _ => texts(["11s", "12s", "13s"]),
    }
}

/// A copy of a file that others may not read, by its path.
fn copy(directory: &Path, of: &Path, name: &str) -> Value {
    let copy = directory.join(name);
    let text = fs::read(of).expect("it is there");
    fs::write(&copy, text).expect("the directory is ours");
    let ours = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&copy, ours).expect("the file is ours");
    copy.to_str().expect("the path is plain").into()
}

/// Options that are about upstreams, and the first of them, which makes a gateway.
pub(super) fn of_upstreams() -> Vec<&'static str> {
    let reference = include_str!("../../docs/configuration.md");
    let mut sections = reference.split("\n### ");
    let section = sections.find(|own| own.starts_with("Upstreams\n"));
    let lines = section.expect("it is there").lines();
    let headings = lines.filter_map(|own| own.strip_prefix("**`"));
    let options: Vec<_> = headings.filter_map(|own| own.split('`').next()).collect();
    assert!(
        options[0] == "upstream" && options.len() > 14,
        "{options:?}"
    );
    options
}

/// Variables without which an option is refused that is given. Some of them are refused without it.
pub(super) fn beside(directory: &Path, path: &str, is_given: bool) -> Vec<(String, String)> {
    if path == "tls.listen" {
        return tls_variables(directory).to_vec();
    }
    if !is_given || !of_upstreams()[1..].contains(&path) {
        return Vec::new();
    }
    let password = secret(directory, "beside").display().to_string();
    let [certificate, key] = tls_files(directory).map(|own| own.display().to_string());
    let all = [
        ("UPSTREAM", "z=h:1"),
        ("UPSTREAM_USER", "gateway"),
        ("UPSTREAM_PASSWORD_FILE", &password),
        ("UPSTREAM_TLS_CA", &certificate),
        ("UPSTREAM_TLS_CERTIFICATE", &certificate),
        ("UPSTREAM_TLS_KEY", &key),
        ("UPSTREAM", "alice=h:1,bob=h:2,carol=h:3"),
        ("STALENESS_MAX", "1s"),
        ("READ_FROM", "primary"),
        ("TLS_CERTIFICATE", &certificate),
        ("TLS_KEY", &key),
    ];
    let needed = match path {
        "primary" => &[6][..],
        "listen_reads" => &[0, 7, 8],
        "tls.listen_reads" => &[0, 7, 8, 9, 10],
        "upstream_user" => &[0, 2],
        "upstream_password_file" => &[0, 1],
        "upstream_users" => &[0, 1, 2],
        "upstream_tls_certificate" => &[0, 3, 5],
        "upstream_tls_key" => &[0, 3, 4],
        "upstream_tls_server_name" => &[0, 3],
        _ => &[0],
    };
    let variable = |at: &usize| (format!("VESTIBULE_{}", all[*at].0), all[*at].1.to_owned());
    needed.iter().map(variable).collect()
}
