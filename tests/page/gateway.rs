//! The page of a gateway.

use super::browser::Browser;
use super::support::tarantool::Tarantool;
use super::support::{Directory, Server, secret, tarantool};
use super::{OPTIONS, complaints, is_left_out};

#[test]
fn the_page_of_a_gateway_has_its_upstreams_and_links() {
    if is_left_out() {
        return;
    }
    let Some(program) = tarantool() else { return };
    let directory = Directory::new();
    let arguments = [directory.path().as_os_str(), "127.0.0.1:0".as_ref()];
    let upstream = Tarantool::start(&program, "gateway/upstream.lua", &arguments);
    let password = secret(directory.path(), "gateway").display().to_string();
    let all = format!("a={},<b>=127.0.0.1:1", upstream.address);
    let account = [
        "--upstream-user",
        "gateway",
        "--upstream-password-file",
        &password,
    ];
    let options = [&OPTIONS[..], &["--upstream", &all], &account].concat();
    let server = Server::start_gateway(&options);
    let browser = Browser::start();
    browser.open(server.http_address());
    browser.wait_for("word", "Assist");
    browser.wait_for("upstreams", "serving, takes changes; requests go there");
    browser.wait_for("upstreams", "<b>");
    browser.wait_for("upstreams", "absent");
    let mut alice = server.connect();
    assert_eq!(alice.log_in("alice", "secret").code, 0);
    assert_eq!(alice.call("box.session.user", &[0x90]).code, 0);
    browser.wait_for("links", "alice");
    drop(upstream);
    browser.wait_for("word", "Solo");
    browser.wait_for("upstreams", "refused");
    assert_eq!(complaints(&browser), [serde_json::Value::Null; 0]);
}

#[test]
fn the_page_of_an_engine_has_none() {
    if is_left_out() {
        return;
    }
    let directory = Directory::new();
    let server = Server::start(directory.path(), &OPTIONS);
    let browser = Browser::start();
    browser.open(server.http_address());
    browser.wait_for("spaces", "Spaces");
    browser.wait_for("threads", "Heard in");
    for id in ["upstreams", "links"] {
        let hidden = format!("return document.getElementById('{id}').hidden");
        assert_eq!(browser.script(&hidden), true, "{id}");
    }
}
