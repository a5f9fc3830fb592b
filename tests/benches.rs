//! The benchmarks in `benches/`: each one runs, shortly, and what is kept of long runs is told and
//! drawn as it was measured.
//!
//! A run here says nothing about speed: the server is not optimized, and others run beside it.
//!
//! `tests/run` installs what these tests need. Without it they fail and say so; they are left out
//! only by `VESTIBULE_TEST_SKIP_INTEROP=1`, loudly.

mod support;

use std::path::Path;
use std::process::Command;

use support::{Directory, is_skipped, tool};

/// Runs a benchmark, which has to end well; returns what it printed.
fn bench(script: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool("VESTIBULE_TEST_PYTHON"))
        .arg(Path::new("benches").join(script))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).expect("it is text")
}

/// The same of a script that measures both servers.
fn smoke(script: &str, arguments: &[&str]) -> String {
    let tarantool = tool("VESTIBULE_TEST_TARANTOOL");
    let binary = env!("CARGO_BIN_EXE_vestibule");
    let contenders = ["--vestibule", binary, "--tarantool", &tarantool];
    bench(script, &[&contenders, arguments].concat())
}

#[test]
fn tables_and_pictures_show_what_was_measured() {
    if is_skipped("tables and pictures of measurements") {
        return;
    }
    bench("busy.py", &["--check"]);
    bench("performance.py", &["--check"]);
    bench("gateway.py", &["--check"]);
}

#[test]
fn every_operation_is_compared_with_tarantool_and_kept() {
    if is_skipped("the comparison of rates") {
        return;
    }
    let directory = Directory::new();
    let kept = directory.path().join("figures.json");
    let short = ["--rounds", "1", "--seconds", "0.1", "--keys", "100"];
    let cells = [
        "--many-keys",
        "500",
        "--many-shape",
        "1x64",
        "--only-shape",
        "1x1",
        "--size",
        "1000000",
    ];
    let json = ["--json", kept.to_str().expect("the path is text")];
    smoke(
        "performance.py",
        &[&short[..], &cells[..], &json[..]].concat(),
    );
    let kept = std::fs::read_to_string(kept).expect("figures were kept");
    assert!(!kept.contains("null"), "{kept}");
    assert!(kept.contains("\"keys\": 500,"), "{kept}");
    for op in ["upsert", "select-second", "replace-fsync"] {
        assert!(kept.contains(&format!("\"op\": \"{op}\"")), "{kept}");
    }
}

#[test]
fn a_gateway_is_measured_beside_a_proxy_and_none_at_all() {
    if is_skipped("the benchmark of the gateway") {
        return;
    }
    let directory = Directory::new();
    let kept = directory.path().join("gateway.json");
    let short = ["--rounds", "1", "--seconds", "0.1", "--warmup", "0.1"];
    let few = ["--keys", "100", "--only-shape", "1x1", "--clients", "50"];
    let more = ["--more-shape", "1x1", "--bulk-seconds", "0.5"];
    let events = ["--kills", "1", "--stops", "1", "--blocked-seconds", "2"];
    let json = ["--json", kept.to_str().expect("the path is text")];
    smoke(
        "gateway.py",
        &[&short[..], &few[..], &more[..], &events[..], &json[..]].concat(),
    );
    let kept = std::fs::read_to_string(kept).expect("figures were kept");
    for part in [
        "rate_to_direct",
        "ratios_more",
        "killed_ms",
        "stopped_ms",
        "back_ms",
        "sleepers",
        "p99_us",
        "upstream_connections",
        "mib_per_second",
    ] {
        assert!(kept.contains(&format!("\"{part}\"")), "{kept}");
    }
}

#[test]
fn the_other_benchmarks_run() {
    if is_skipped("benchmarks") {
        return;
    }
    let directory = Directory::new();
    let kept = directory.path().join("busy.json");
    let kept = kept.to_str().expect("the path is text");
    let groups = ["--only", "shapes", "--only", "loopback", "--only", "memory"];
    let few = ["--size", "1000000", "--shape", "1x1", "--without", "yamux"];
    let short = ["--rounds", "1", "--seconds", "0.2"];
    smoke("groups.py", &[&groups[..], &few[..], &short[..]].concat());
    smoke(
        "connections.py",
        &[&["--connections", "50"], &short[..]].concat(),
    );
    let binary = env!("CARGO_BIN_EXE_vestibule");
    let fewer = ["--vestibule", binary, "--clients", "10"];
    bench("handshakes.py", &[&fewer[..], &short[..]].concat());
    smoke("recovery.py", &["--rounds", "1", "--rows", "200"]);
    smoke("drain.py", &["--rounds", "1"]);
    smoke("busy.py", &["--json", kept]);
    let rows = ["--rows", "1000", "--json", kept];
    let few = ["--definitions", "5", "10", "--times", "2", "--keys", "100"];
    let fewer = [
        "--connections",
        "1",
        "10",
        "--rounds",
        "1",
        "--seconds",
        "0.1",
    ];
    smoke("scale.py", &[&rows[..], &few, &fewer].concat());
    let short = ["--megabytes", "1", "--seconds", "0.1"];
    let few = ["--definitions", "10"];
    smoke("stalls.py", &[&rows[..], &few, &short].concat());
}

#[test]
fn calls_of_the_system_are_counted() {
    if is_skipped("calls of the system") {
        return;
    }
    let directory = Directory::new();
    let kept = directory.path().join("where.json");
    let calls = ["--only", "calls", "--seconds", "0.1", "--json"];
    let binary = ["--vestibule", env!("CARGO_BIN_EXE_vestibule")];
    let kept_there = [kept.to_str().expect("the path is text")];
    bench("where.py", &[&calls[..], &kept_there, &binary].concat());
    let kept = std::fs::read_to_string(kept).expect("figures were kept");
    assert!(kept.contains("recvfrom"), "{kept}");
}
