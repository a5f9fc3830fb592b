//! `vestibule ctl` whose connection is cut while it waits.

mod support;

use std::process::{Command, Stdio};

use serde::Deserialize;
use support::{Directory, Server, wait_until};
use vestibule_actors::testing::{Peer, RequestBuilder};

#[derive(Deserialize)]
struct Listed {
    connection: u64,
}

fn listed(operator: &mut Peer) -> Vec<u64> {
    let rows: Vec<Listed> = operator.show("connections").value();
    rows.into_iter().map(|own| own.connection).collect()
}

/// The number of a connection that is none of these.
fn another(operator: &mut Peer, known: &[u64]) -> u64 {
    let mut found = None;
    wait_until("another one is connected", || {
        let new = listed(operator)
            .into_iter()
            .find(|own| !known.contains(own));
        found = new;
        found.is_some()
    });
    found.expect("that is what was waited for")
}

/// Somebody cuts the connection of who waits: that is no end of the server.
#[test]
fn who_waits_for_a_stop_comes_back_when_the_connection_is_cut() {
    let directory = Directory::new();
    let arguments = ["--admin-listen", "127.0.0.1:0", "--lameduck", "1h"];
    let mut server = Server::start(directory.path(), &arguments);
    let address = server.admin_address().to_string();
    let mut operator = Peer::connect(server.admin_address());
    let before = listed(&mut operator);
    let waiting = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .env_clear()
        .args(["ctl", "--connect", &address, "drain", "--wait"])
        .stdout(Stdio::piped())
        .spawn();
    let waiting = waiting.expect("the binary runs");
    wait_until("the stop is announced", || {
        let state = operator.call("vestibule.state", &[0x90]);
        state.error_mentions("stopped")
    });
    let first = another(&mut operator, &before);
    let killed = operator.call_with("vestibule.kill", &(first,));
    assert_eq!(killed.error_text(), None);
    let known = [before, vec![first]].concat();
    let _again = another(&mut operator, &known);
    // It may be over before that is told.
    operator.send(&RequestBuilder::call(
        1000,
        "vestibule.drain",
        b"\x91\x82\xa7timeout\x00\xa8lameduck\x00",
    ));
    let output = waiting.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.starts_with(b"stopped within "), "{output:?}");
    assert!(server.wait().success());
}
