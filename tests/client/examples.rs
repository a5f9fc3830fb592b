//! The client's examples, run as their heads say, against vestibule.

use std::process::{Command, Stdio};

use crate::support::{Directory, Server, example};

/// Runs an example to its end, which has to be a success; returns what it printed.
fn run(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(example("vestibule-client", "client/examples", name))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the example starts");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {text}{errors}", output.status);
    text
}

fn run_on_a_server(name: &str, more: &[&str]) -> String {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &[]);
    let address = server.address().to_string();
    run(name, &[&[address.as_str()], more].concat())
}

#[test]
fn first_writes_reads_and_pages() {
    let output = run_on_a_server("first", &[]);
    assert!(output.contains("changed: Some(70)"), "{output}");
    assert!(
        output.ends_with("page: Bob has 70\npage: Cem has 100\n"),
        "{output}"
    );
}

#[test]
fn outcomes_tells_what_became_of_each_request() {
    let output = run_on_a_server("outcomes", &[]);
    assert!(output.contains("Refused, a duplicate: true"), "{output}");
    assert_eq!(output.matches("NotSent").count(), 2, "{output}");
    assert!(output.ends_with("inserted\n"), "{output}");
}

#[test]
fn transfer_moves_money_or_nothing() {
    let output = run_on_a_server("transfer", &[]);
    assert!(
        output.starts_with("70: moved\n70: rolled back\n"),
        "{output}"
    );
    assert!(
        output.contains(r#"[(1, "Ada", 30), (2, "Bob", 70)]"#),
        "{output}"
    );
}

#[test]
fn watch_prints_the_status() {
    let output = run_on_a_server("watch", &["1"]);
    assert_eq!(output, "running, takes changes\n");
}

#[test]
fn pool_writes_to_the_primary() {
    let output = run_on_a_server("pool", &[]);
    assert!(
        output.contains(r#"from the primary: Some((1, "Ada", 100))"#),
        "{output}"
    );
    assert!(output.contains("Primary, connected: true"), "{output}");
}

#[test]
fn shared_connection_measures_pings_beside_a_transfer() {
    let output = run_on_a_server("shared_connection", &[]);
    for name in [
        "in chunks, writes:",
        "in chunks, reads:",
        "whole, writes:",
        "whole, reads:",
    ] {
        assert!(output.contains(name), "{output}");
    }
    assert!(!output.contains("does not take chunks"), "{output}");
}
