//! What the page looks like, on which screen, and for whom it can be used.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::support::{Directory, Server, block, make_space, tool, wait_until};
use crate::{OPTIONS, is_left_out};
use vestibule_actors::testing::{Peer, RequestBuilder};
use vestibule_actors::wire::keys::RequestType;

const WIDTHS: [u32; 2] = [360, 1280];
const SCHEMES: [&str; 2] = ["light", "dark"];

/// A server that has a space, somebody who is connected to it, and its page in a browser.
fn opened() -> (Directory, Server, Peer, Browser) {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &OPTIONS);
    let mut peer = server.connect();
    make_space(&mut peer);
    let browser = Browser::start();
    browser.open(server.http_address());
    (directory, server, peer, browser)
}

/// What `axe-core` finds that keeps people out.
fn barriers(browser: &Browser) -> Vec<Value> {
    let found = browser.script_later(
        "axe.run(document, {resultTypes: ['violations']})
            .then((own) => done(own.violations))
            .catch((fault) => done([{impact: 'critical', id: String(fault), nodes: [{}]}]))",
    );
    let found = found.as_array().expect("a list").iter();
    let kept = found.filter(|own| own["impact"] == "serious" || own["impact"] == "critical");
    let told = kept.map(|own| json!([own["id"], own["nodes"][0]["html"], own["nodes"][0]["any"]]));
    told.collect()
}

#[test]
fn the_page_fits_each_screen_and_keeps_nobody_out() {
    if is_left_out() {
        return;
    }
    let (_directory, _server, mut peer, browser) = opened();
    browser.wait_for("spaces", "rows");
    browser.script(&fs::read_to_string(tool("VESTIBULE_TEST_AXE")).expect("it is there"));
    for (state, procedure) in [("Assist", "vestibule.assist"), ("Solo", "vestibule.solo")] {
        let reason = "a reason that is as long as reasons are of which nobody knows the end";
        let args: &[&str] = if state == "Solo" { &[reason] } else { &[] };
        assert_eq!(peer.call_with(procedure, &args).code, 0);
        browser.wait_for("word", state);
        for (width, scheme) in WIDTHS
            .into_iter()
            .flat_map(|own| SCHEMES.map(|it| (own, it)))
        {
            browser.show(width, 800, scheme);
            let wide = browser.script("return document.documentElement.scrollWidth");
            assert_eq!(wide, width, "{state}, {scheme}: it scrolls to the side");
            assert_eq!(
                barriers(&browser),
                [Value::Null; 0],
                "{state}, {width}, {scheme}"
            );
            let height = browser.script("return document.documentElement.scrollHeight");
            let height = height.as_u64().expect("a height") as u32;
            keep(
                &format!("{state}-{width}-{scheme}"),
                &browser.picture(width, height),
            );
        }
    }
}

/// Keeps a picture for those who look at it, if `VESTIBULE_TEST_PICTURES` says where.
fn keep(name: &str, picture: &[u8]) {
    if let Some(folder) = std::env::var_os("VESTIBULE_TEST_PICTURES") {
        let path = Path::new(&folder).join(format!("{name}.png"));
        fs::write(path, picture).expect("it can be written");
    }
}

#[test]
fn all_of_it_is_reached_by_the_keyboard() {
    if is_left_out() {
        return;
    }
    let (_directory, _server, _peer, browser) = opened();
    browser.wait_for("connections", "guest");
    let press = |key: &str, code: u32| {
        for kind in ["rawKeyDown", "keyUp"] {
            let event =
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            browser.command("Input.dispatchKeyEvent", &event);
        }
    };
    let focused = || {
        let told = browser.script(
            "const own = document.activeElement; return own.id || own.className || own.textContent",
        );
        told.as_str().unwrap_or("").to_owned()
    };
    press("Tab", 9);
    assert_eq!(focused(), "skip", "first a way past the head");
    let mut seen = Vec::new();
    while seen.last().is_none_or(|own| own != "Memory") && seen.len() < 200 {
        press("Tab", 9);
        seen.push(focused());
    }
    assert!(
        seen.iter().any(|own| own == "cursor"),
        "the charts: {seen:?}"
    );
    // A heading of a table sorts by its column.
    let sorted = "return document.activeElement.closest('th').getAttribute('aria-sort')";
    assert_eq!(browser.script(sorted), Value::Null, "{seen:?}");
    let enter = json!({"type": "keyDown", "key": "Enter", "code": "Enter",
        "windowsVirtualKeyCode": 13, "text": "\r"});
    browser.command("Input.dispatchKeyEvent", &enter);
    assert_eq!(browser.script(sorted), "descending");
    // Back in the charts: the values of another second.
    wait_until("there are samples", || {
        browser.script("return Number(document.getElementById('cursor').max) > 2") == true
    });
    browser.script("document.getElementById('cursor').focus()");
    press("ArrowLeft", 37);
    wait_until("it tells a time", || browser.text("when") != "now");
}

#[test]
fn without_script_the_page_leads_to_the_text() {
    if is_left_out() {
        return;
    }
    let directory = Directory::new();
    let server = Server::start(directory.path(), &OPTIONS);
    let browser = Browser::start();
    let off = json!({"value": true});
    browser.command("Emulation.setScriptExecutionDisabled", &off);
    browser.open(server.http_address());
    let on = json!({"value": false});
    browser.command("Emulation.setScriptExecutionDisabled", &on);
    let seen = browser.script("return document.body.innerText");
    let seen = seen.as_str().expect("a text");
    assert!(seen.contains("status.txt"), "{seen}");
    assert!(
        !seen.contains("The last 5 minutes"),
        "what is empty is not there: {seen}"
    );
}

// ---- the pictures of the README ---------------------------------------------------------

/// What both may take together, in bytes.
const PICTURES_SIZE_MAX: u64 = 150_000;
const PICTURE: (u32, u32) = (1120, 838);

fn picture(scheme: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/page-{scheme}.png"))
}

/// Draws them once more with `VESTIBULE_WRITE_PICTURES=1`, which takes five minutes: those are what
/// they show.
#[test]
fn the_pictures_of_the_readme_are_there_and_small() {
    if std::env::var_os("VESTIBULE_WRITE_PICTURES").is_some() {
        take_pictures();
    }
    let size = |scheme: &str| fs::metadata(picture(scheme)).expect("it is there").len();
    let all: u64 = SCHEMES.into_iter().map(size).sum();
    assert!(all <= PICTURES_SIZE_MAX, "{all} bytes");
}

/// A server at work, whose engine is blocked twice.
fn take_pictures() {
    let directory = Directory::new();
    let server = Server::start(directory.path(), &OPTIONS);
    make_space(&mut server.connect());
    let began = Instant::now();
    let is_over = |seconds| began.elapsed() > Duration::from_secs(seconds);
    let browser = Browser::start();
    browser.show(PICTURE.0, PICTURE.1, SCHEMES[0]);
    browser.open(server.http_address());
    thread::scope(|scope| {
        for number in 0..3 {
            let server = &server;
            scope.spawn(move || work(server.connect(), number, began, Duration::from_secs(300)));
        }
        let mut blocker = server.connect();
        let wait = |seconds| {
            // Longer than `wait_until` is patient for.
            while !is_over(seconds) {
                pause(Duration::from_millis(100));
            }
        };
        wait(110);
        block(&mut blocker, 24, "building an index");
        assert_eq!(blocker.receive().code, 0);
        wait(283);
        block(&mut blocker, 40, "building an index");
        browser.wait_for("word", "Solo");
        wait(298);
        for scheme in SCHEMES {
            browser.show(PICTURE.0, PICTURE.1, scheme);
            let taken = browser.picture(PICTURE.0, PICTURE.1);
            fs::write(picture(scheme), taken).expect("it can be written");
            shrink(&picture(scheme));
        }
    });
}

/// Leaves out colors that nobody tells apart: a third of the size.
fn shrink(picture: &Path) {
    let status = Command::new("pngquant")
        .args(["--force", "--strip", "--speed", "1", "--output"])
        .args([picture, Path::new("128"), picture])
        .status();
    assert!(status.expect("Debian's pngquant can be run").success());
}

/// What clients do: in waves, so that there is something to see.
fn work(mut peer: Peer, number: u64, began: Instant, long: Duration) {
    let mut key = 0;
    while began.elapsed() < long {
        key += 1;
        let wave = (began.elapsed().as_secs_f64() / 23.0 + number as f64).sin() + 1.3;
        pause(Duration::from_secs_f64(0.004 / wave));
        let request = match key % 10 {
            0..3 => RequestBuilder::replace(key, key % 5000),
            3 => RequestBuilder::new(RequestType::Ping, key),
            _ => RequestBuilder::select(key, key % 5000),
        };
        // Refused now and then: the engine is blocked.
        peer.ask(&request);
    }
}

/// A pause of the pictures alone: tests wait for what happens.
fn pause(time: Duration) {
    let (_told, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}
