//! The page of the side door in a real browser: what it shows in each state, what it looks like on
//! which screen, for whom it can be used, and what it costs to leave it open.
//!
//! `tests/run` installs the browser (Debian's `chromium` and `chromium-driver`) and `axe-core`, and
//! tells where they are. Without them these tests fail and say so; they are left out only by
//! `VESTIBULE_TEST_SKIP_INTEROP=1`, loudly.
//!
//! | file | what |
//! |---|---|
//! | `browser` | the browser |
//! | `gateway` | upstreams and links |
//! | `looks` | screens, keyboards, those who do not see it, and the pictures of the README |
//! | `long` | an hour of samples, hidden tabs |

#[path = "../../http/tests/support/client.rs"]
mod client;
#[path = "../support/mod.rs"]
mod support;

mod browser;
mod gateway;
mod long;
mod looks;

use std::time::Instant;

use browser::Browser;
use serde_json::Value;
use support::{Directory, Server, block, is_skipped, secret, wait_until};
use vestibule_actors::testing::RequestBuilder;
use vestibule_actors::wire::keys::RequestType;

const OPTIONS: [&str; 4] = [
    "--http-listen",
    "127.0.0.1:0",
    "--instance-name",
    "orders-1",
];

/// A name that is markup, and would tell on itself if it were taken for that.
const MARKUP: &str = "<img src=x onerror=\"document.title='taken'\">";

fn is_left_out() -> bool {
    is_skipped("the page in a browser")
}

/// What the console has that is no mere information.
fn complaints(browser: &Browser) -> Vec<Value> {
    let mut entries = browser.log("browser");
    entries.retain(|own| own["level"] != "INFO" && own["level"] != "DEBUG");
    entries
}

#[test]
fn the_page_follows_the_state() {
    if is_left_out() {
        return;
    }
    let directory = Directory::new();
    let secrets = ["token-of-the-door", "password-of-admin"];
    let secrets = secrets.map(|word| secret(directory.path(), word).display().to_string());
    let files = [
        "--http-token-file",
        &secrets[0],
        "--admin-password-file",
        &secrets[1],
    ];
    let server = Server::start(directory.path(), &[&OPTIONS[..], &files].concat());
    let mut peer = server.connect();
    let made = peer.call_with("box.schema.space.create", &(MARKUP,));
    assert_eq!(made.code, 0);
    let _ = peer.call_with("no.such.procedure", &("planted-argument",));
    let browser = Browser::start();
    browser.open(server.http_address());
    browser.wait_for("word", "Assist");
    browser.wait_for("role", "primary");
    assert_eq!(browser.text("name"), "orders-1");
    let icon = "return document.getElementById('icon').href";
    let of_assist = browser.script(icon);
    browser.wait_for("spaces", MARKUP);
    assert_eq!(browser.script("return document.images.length"), 0);

    let began = Instant::now();
    block(&mut peer, 8, "building an index");
    browser.wait_for("word", "Solo");
    println!("solo was seen {:?} after it was asked for", began.elapsed());
    browser.wait_for("sentence", "building an index,");
    let sentence = browser.text("sentence");
    assert!(sentence.contains("told to come back in"), "{sentence}");
    let title = browser.script("return document.title");
    assert!(
        title.as_str().is_some_and(|own| own.starts_with("Solo ")),
        "{title}"
    );
    assert_ne!(browser.script(icon), of_assist);
    let share = browser.script(
        "const own = document.getElementById('progress'); return own.hidden ? null : own.value",
    );
    assert!(share.as_f64().is_some_and(|own| own < 100.0), "{share}");
    browser.wait_for("announce", "building an index");
    assert_eq!(peer.receive().code, 0);
    browser.wait_for("word", "Assist");
    assert_eq!(browser.script(icon), of_assist);
    let bands = "return document.querySelectorAll('.band[data-state=solo]').length > 0";
    wait_until("the charts show it", || browser.script(bands) == true);

    assert_eq!(peer.call("vestibule.demote", &[0x90]).code, 0);
    browser.wait_for("role", "replica");
    browser.wait_for("sentence", "it is a replica");
    assert_eq!(peer.call("vestibule.promote", &[0x90]).code, 0);
    browser.wait_for("role", "primary");
    browser.wait_for("transitions", "primary → replica");
    browser.wait_for("settings", &secrets[0]);
    let page = browser.script("return document.documentElement.outerHTML");
    let page = page.as_str().expect("it is text");
    assert!(!page.contains("planted-"), "a secret is told");
    assert_eq!(complaints(&browser), [Value::Null; 0]);
}

#[test]
fn the_page_follows_a_stop_and_the_start_after_it_and_asks_nobody_else() {
    if is_left_out() {
        return;
    }
    let directory = Directory::new();
    let mut server = Server::start(directory.path(), &OPTIONS);
    let address = server.http_address();
    let mut peer = server.connect();
    let browser = Browser::start();
    browser.open(address);
    browser.wait_for("word", "Assist");
    let begin = RequestBuilder::new(RequestType::Begin, 1).stream(1);
    assert_eq!(peer.ask(&begin).code, 0);
    server.signal("TERM");
    browser.wait_for("word", "Draining");
    browser.wait_for("sentence", "What runs may finish within");
    let rollback = RequestBuilder::new(RequestType::Rollback, 2).stream(1);
    assert_eq!(peer.ask(&rollback).code, 0);
    assert!(server.wait().success());
    browser.wait_for("word", "Not reachable");
    let again = ["--http-listen", &address.to_string()];
    let _server = Server::start(directory.path(), &again);
    browser.wait_for("word", "Assist");
    browser.wait_for("alerts", "The server has started again");
    browser.wait_for("live", "Live");

    let own = format!("http://{address}/");
    let requests = browser.log("performance").into_iter().filter_map(|entry| {
        let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
        let sent = &message["message"];
        let is_request = sent["method"] == "Network.requestWillBeSent";
        let url = sent["params"]["request"]["url"].as_str()?.to_owned();
        is_request.then_some(url)
    });
    let requests: Vec<_> = requests.collect();
    assert!(
        requests.iter().any(|url| url.ends_with("/events")),
        "{requests:?}"
    );
    let strange = requests.iter();
    let strange = strange.filter(|url| !url.starts_with(&own) && !url.starts_with("data:"));
    assert_eq!(strange.collect::<Vec<_>>(), [""; 0], "requests to others");
}

#[test]
fn a_page_without_a_stream_asks_and_takes_one_that_is_free() {
    if is_left_out() {
        return;
    }
    let directory = Directory::new();
    let server = Server::start(directory.path(), &OPTIONS);
    let address = server.http_address();
    let ask = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let streams = (0..vestibule_http::limits::EVENT_STREAMS_MAX).map(|_| {
        let mut stream = client::connect(address);
        std::io::Write::write_all(&mut stream, ask).expect("it reads");
        // They are read: else they would be closed.
        std::thread::spawn({
            let stream = stream.try_clone().expect("it can be shared");
            move || std::io::copy(&mut { stream }, &mut std::io::sink())
        });
        stream
    });
    let streams: Vec<_> = streams.collect();
    wait_until("all are open", || {
        let open = client::get(address, "/metrics").metric("vestibule_http_event_streams");
        open == Some(streams.len() as f64)
    });
    let browser = Browser::start();
    browser.open(address);
    browser.wait_for("live", "asking every");
    browser.wait_for("word", "Assist");
    let mut peer = server.connect();
    assert_eq!(peer.call_with("vestibule.solo", &("a look",)).code, 0);
    browser.wait_for("word", "Solo");
    for stream in streams {
        stream
            .shutdown(std::net::Shutdown::Both)
            .expect("it is open");
    }
    browser.wait_for("live", "Live");
}
