//! Values of each option, and what it needs beside it.

use std::path::Path;

use toml::Value;

use crate::support::{secret, tls_variables};

/// Three values of an option that are not its default, or two that take turns.
pub(super) fn three_values(directory: &Path, path: &str, default: &Value) -> [Value; 3] {
    let texts = |values: [&str; 3]| values.map(|own| Value::String(own.to_owned()));
    match (path, default) {
        ("listen" | "admin_listen" | "tls.listen", _) => {
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
        ("upstream_users", _) => texts(["one", "b", "c"]),
        ("upstream_user", _) => texts(["alice", "bob", "carol"]),
        ("instance_name", _) => texts(["orders-1", "orders-2", "orders-3"]),
        ("log", _) => texts(["warn", "vestibule=debug,error", "off"]),
        ("data", _) => texts(["a \"b\" \\c", "b", "c"]),
        ("tls.certificate" | "tls.key" | "tls.client_ca", _) => texts(["a", "b", "c"]),
        (path, _) if path.starts_with("upstream_tls_") => texts(["a", "b", "c"]),
        ("admin_password_file" | "http.token_file" | "upstream_password_file", _) => {
            ["of-number-1", "of-number-2", "of-number-3"]
                .map(|word| secret(directory, word).to_str().unwrap().into())
        }
        (_, Value::String(size)) if size.ends_with("iB") => texts(["11MiB", "12MiB", "13MiB"]),
        // All others are times.
        _ => texts(["11s", "12s", "13s"]),
    }
}

/// Variables without which an option is refused.
pub(super) fn beside(directory: &Path, path: &str) -> Vec<(String, String)> {
    let variables = (path == "tls.listen").then(|| tls_variables(directory));
    variables.into_iter().flatten().collect()
}
