//! The page and its stream of events, as a browser gets them.

mod support;

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use vestibule_actors::serving::State;
use vestibule_actors::testing::{Harness, RequestBuilder, Script, config};
use vestibule_http::limits::{EVENT_STREAMS_MAX, SAMPLES_MAX};
use vestibule_http::{HttpConfig, HttpHandle, Reloads, Sources, Token};

use support::client::{connect, get};
use support::events::EventStream;
use support::{any_port, door, open, open_with};

/// A door that looks at its runtime as often as it may.
fn busy_door(harness: &Harness) -> (HttpHandle, SocketAddr) {
    let period = Duration::from_millis(10);
    open(harness, HttpConfig::new([any_port()]).sample_period(period))
}

fn stream_of(address: SocketAddr) -> Result<EventStream, u16> {
    EventStream::open(connect(address))
}

#[test]
fn the_page_is_three_files_with_the_types_that_they_are() {
    let harness = Harness::start();
    let (_door, address) = door(&harness);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/status.js", "text/javascript; charset=utf-8"),
        ("/status.css", "text/css; charset=utf-8"),
    ] {
        let answer = get(address, path);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some(kind));
    }
    assert!(get(address, "/").body.contains("href=\"status.txt\""));
}

#[test]
fn a_stream_begins_with_the_last_minutes_and_tells_each_change() {
    let harness = Harness::start();
    let (_door, address) = busy_door(&harness);
    let mut peer = harness.connect();
    peer.ping();
    harness.wait_until("there are samples", || {
        get(address, "/status.json?history")
            .body
            .contains("\"tx_p99\"")
    });
    let mut stream = stream_of(address).expect("there is room");
    let (name, history) = stream.event().expect("it begins with it");
    assert_eq!(name, "history");
    assert!(history.contains("\"period\":0.01"), "{history}");
    assert!(history.contains("\"state\":\"assist\""), "{history}");
    assert!(
        stream
            .next("sample")
            .is_some_and(|own| own.contains("\"word\":\"Assist\""))
    );
    harness.handle().solo("building an index");
    let mut told = String::new();
    while !told.contains("\"word\":\"Solo\"") {
        told = stream.next("sample").expect("it goes on");
    }
    assert!(told.contains("building an index"), "{told}");
    assert!(get(address, "/status.txt").body.contains("Solo for"));
}

#[test]
fn what_is_kept_is_bounded() {
    let harness = Harness::start();
    let (_door, address) = busy_door(&harness);
    let mut stream = stream_of(address).expect("there is room");
    for _ in 0..SAMPLES_MAX + 20 {
        assert!(stream.next("sample").is_some());
    }
    let history = stream_of(address).expect("there is room").next("history");
    let count = history
        .expect("it begins with it")
        .matches("\"at\":")
        .count();
    assert_eq!(count, SAMPLES_MAX);
}

#[test]
fn the_ninth_stream_is_refused_and_probes_find_room() {
    let harness = Harness::start();
    let (_door, address) = door(&harness);
    let open = || stream_of(address);
    let mut streams: Vec<_> = (0..EVENT_STREAMS_MAX)
        .map(|_| open().expect("there is room"))
        .collect();
    assert_eq!(open().err(), Some(503));
    for _ in 0..20 {
        assert_eq!(get(address, "/livez").status, 200);
    }
    let series = "vestibule_http_event_streams";
    assert_eq!(get(address, "/metrics").metric(series), Some(8.0));
    streams.clear();
    harness.wait_until("their places are free", || {
        get(address, "/metrics").metric(series) == Some(0.0)
    });
    assert!(open().is_ok());
}

#[test]
fn who_does_not_read_the_stream_is_closed_and_holds_up_nobody() {
    let harness = Harness::start_with(config(), Script::default());
    let (_door, address) = busy_door(&harness);
    let mut idle = connect(address);
    idle.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("it reads");
    let mut stream = stream_of(address).expect("there is room");
    let series = "vestibule_http_event_streams";
    while get(address, "/metrics").metric(series) != Some(1.0) {
        assert!(stream.next("sample").is_some(), "the other one goes on");
    }
    let mut told = Vec::new();
    let _ = idle.read_to_end(&mut told);
    assert!(told.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn a_door_that_closes_ends_its_streams() {
    let harness = Harness::start();
    let (door, address) = door(&harness);
    let mut stream = stream_of(address).expect("there is room");
    assert!(stream.event().is_some());
    harness.handle().stop_now("the test");
    harness.wait_for(State::Stopped);
    assert!(stream.next("sample").is_some(), "it tells the end as well");
    door.stop();
    while stream.event().is_some() {}
}

#[test]
fn another_token_ends_the_streams_that_the_one_before_has_opened() {
    let harness = Harness::start();
    let (door, address) = busy_door(&harness);
    let mut stream = stream_of(address).expect("there is room");
    let mut settings = door.control().settings();
    settings.tarantool_metrics = false;
    door.control().reconfigure(settings.clone());
    for _ in 0..3 {
        assert!(stream.next("sample").is_some(), "it is the same token");
    }
    settings.token = Some(Token::new("some-token-of-its-own").expect("it is long enough"));
    door.control().reconfigure(settings);
    assert!((0..1000).any(|_| stream.event().is_none()), "it ends");
    let mut again = stream_of(address).expect("there is room");
    assert!(again.event().is_some());
}

#[test]
fn what_the_program_knows_is_warned_of() {
    let harness = Harness::start();
    let mut reloads = Reloads::default();
    reloads.faults = vec!["line 7: no such key".to_owned()];
    reloads.needs_restart = vec!["listen".to_owned()];
    let sources = Sources::new("1.2.3")
        .reloads(move || reloads.clone())
        .certificates(|| vec![("own.crt".to_owned(), std::time::SystemTime::UNIX_EPOCH)])
        .guest_may_do_everything(true);
    let (_door, address) = open_with(&harness, HttpConfig::new([any_port()]), sources);
    let text = get(address, "/status.txt").body;
    for told in [
        "SERIOUS       The configuration was not taken",
        "line 7: no such key",
        "The certificate own.crt has ended",
        "Options were changed that wait for a restart: listen",
        "NOTICE        Whoever connects may do everything",
    ] {
        assert!(text.contains(told), "{text}");
    }
    let json = get(address, "/status.json").body;
    assert!(json.contains("\"about\": \"certificate\""), "{json}");
    assert!(!json.contains("\"history\""), "only for those who ask");
}

#[test]
fn lists_begin_with_what_matters_most() {
    let harness = Harness::start();
    let (_door, address) = door(&harness);
    let mut idle: Vec<_> = (0..3).map(|_| harness.connect()).collect();
    idle.iter_mut().for_each(|peer| {
        peer.ping();
    });
    let mut stuck = harness.block();
    for key in 0..2 {
        idle[2].send(&RequestBuilder::replace(key, key));
    }
    let first = |path: &str| {
        let body = get(address, path).body;
        let rows = body.matches("\"connection\":").count();
        (rows, body)
    };
    harness.wait_until("the busiest is the first", || {
        let (rows, body) = first("/connections.json?limit=1");
        rows == 1 && body.contains("\"in_flight\": 2")
    });
    let (_, oldest) = first("/requests.json?limit=1");
    assert!(oldest.contains("\"procedure\": \"block\""), "{oldest}");
    harness.script().release();
    assert_eq!(stuck.receive().code, 0);
}
