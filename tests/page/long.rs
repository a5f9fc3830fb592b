//! What it costs to leave the page open.

use std::fs;
use std::time::Duration;

use vestibule_actors::ListenAddress;
use vestibule_actors::testing::Harness;
use vestibule_http::{HttpConfig, HttpHandle, Sources, serve};

use crate::browser::Browser;
use crate::client::get;
use crate::is_left_out;
use crate::support::wait_until;

const STREAMS: &str = "vestibule_http_event_streams";

fn door(harness: &Harness, period: Duration) -> (HttpHandle, std::net::SocketAddr) {
    let any = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
    let config = HttpConfig::new([any]).sample_period(period);
    let door = serve(harness.handle(), config, Sources::new("1.2.3")).expect("it opens");
    let ListenAddress::Tcp(address) = door.addresses()[0].clone() else {
        panic!("it listens on a port");
    };
    (door, address)
}

/// Memory of this process, which has the server in it, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|own| own.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("it is told") * 1024
}

/// Looks at what is in use: the smallest counts, since each frame leaves some rubbish.
const LOOKS: usize = 8;

/// What the script has in use, in bytes, and its elements and listeners, without rubbish.
fn in_use(browser: &Browser) -> [f64; 3] {
    let none = serde_json::json!({});
    browser.command("Performance.enable", &none);
    let look = || {
        browser.command("HeapProfiler.collectGarbage", &none);
        let told = browser.command("Performance.getMetrics", &none);
        let all = told["metrics"].as_array().expect("a list").clone();
        ["JSHeapUsedSize", "Nodes", "JSEventListeners"].map(|name| {
            let own = all.iter().find(|own| own["name"] == name);
            let value = own.and_then(|own| own["value"].as_f64());
            value.expect("it is told")
        })
    };
    let looks = (0..LOOKS).map(|_| look());
    looks.fold([f64::INFINITY; 3], |least, own| {
        [0, 1, 2].map(|at| least[at].min(own[at]))
    })
}

/// Waits until the page has drawn this many samples more.
fn wait_for_samples(browser: &Browser, count: u64) {
    let taken = || browser.script("return window.taken").as_u64().unwrap_or(0);
    let until = taken() + count;
    while taken() < until {
        wait_until("samples go on to come", {
            let before = taken();
            move || taken() > before
        });
    }
}

#[test]
fn an_hour_of_samples_leaves_memory_as_it_was() {
    if is_left_out() {
        return;
    }
    let harness = Harness::start();
    let (_door, address) = door(&harness, Duration::from_millis(12));
    let browser = Browser::start();
    browser.open(address);
    browser.wait_for("word", "Assist");
    // Its own counter, beside the page's.
    browser.script(
        "window.taken = 0;
         new MutationObserver(() => { window.taken += 1; })
             .observe(document.getElementById('sentence'), {childList: true, subtree: true})",
    );
    // Until the charts are full, and everything was drawn once.
    wait_for_samples(&browser, 600);
    let (before, server_before) = (in_use(&browser), resident());
    wait_for_samples(&browser, 3000);
    let (after, server_after) = (in_use(&browser), resident());
    println!("heap, nodes, listeners: {before:?}, then {after:?}");
    println!("server: {server_before} bytes, then {server_after}");
    assert!(
        after[0] < before[0] * 1.25 + 500_000.0,
        "{before:?}, {after:?}"
    );
    // Hundreds of nodes wait to be collected at either time; one kept for each sample is 3,000.
    assert!(after[1] < before[1] + 1000.0, "{before:?}, {after:?}");
    assert!(after[2] <= before[2], "{before:?}, {after:?}");
    assert!(server_after < server_before + (4 << 20));
}

#[test]
fn a_hidden_tab_has_no_stream_and_its_title_follows_all_the_same() {
    if is_left_out() {
        return;
    }
    let harness = Harness::start();
    let (_door, address) = door(&harness, Duration::from_secs(1));
    let browser = Browser::start();
    browser.open(address);
    browser.wait_for("live", "Live");
    let open = || get(address, "/metrics").metric(STREAMS);
    assert_eq!(open(), Some(1.0));
    let page = browser.hide_behind_another_tab();
    wait_until("the stream is closed", || open() == Some(0.0));
    harness.handle().solo("a look");
    wait_until("its title tells it", || {
        browser.titles().iter().any(|own| own.starts_with("Solo"))
    });
    assert_eq!(open(), Some(0.0), "it asks now and then");
    browser.look_at(&page);
    browser.wait_for("word", "Solo");
    wait_until("it has a stream again", || open() == Some(1.0));
}
