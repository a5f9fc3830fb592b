//! A gateway on one thread, whose upstream and whose clock do as a test says.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use vestibule_wire::client::ReplyFrame;

use super::*;
use crate::limits::{LINKS_PER_UPSTREAM_MAX, PINNED_LINKS_RESERVE, RECONNECT_WAIT_MIN};
use crate::testing::{RequestBuilder, config};
use crate::upstream::{Destination, LinkMode};

#[test]
fn what_is_asked_is_answered_by_the_upstream_in_order() {
    actix_rt::System::new().block_on(async {
        let gateway = OneGateway::start(config()).await;
        let peer = gateway.connect().await;
        for sync in [7, 8] {
            peer.send(&RequestBuilder::replace(sync, 1).bytes());
        }
        let mut bytes = Vec::new();
        peer.receive(2, &mut bytes).await;
        let first = ReplyFrame::read(&bytes, usize::MAX).unwrap().unwrap();
        let second = ReplyFrame::read(&bytes[first.size..], usize::MAX);
        let second = second.unwrap().unwrap();
        assert_eq!([first.sync, second.sync], [7, 8]);
        assert_eq!((first.code, first.body, second.body), (0, ROW, ROW));
    });
}

thread_local! {
    /// Whether nobody is there who could be connected to, and how often that was tried.
    static IS_AWAY: Cell<bool> = const { Cell::new(false) };
    static REFUSED: Cell<usize> = const { Cell::new(0) };
    /// After how many readings of the clock it goes on by [`RECONNECT_WAIT_MIN`]; 0 for never.
    static READINGS: Cell<usize> = const { Cell::new(0) };
    /// How often it was read.
    static READ: Cell<usize> = const { Cell::new(0) };
    static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// What happens at that reading.
    static AT_READING: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    /// What requests told of the catalog, which have come to the upstream.
    static NUMBERS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

fn dial_who_may_be_away(upstream: usize) -> io::Result<Box<dyn Transport>> {
    if IS_AWAY.get() {
        REFUSED.set(REFUSED.get() + 1);
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    dial(upstream)
}

fn read_jumping() -> Instant {
    READ.set(READ.get() + 1);
    let readings = READINGS.get();
    READINGS.set(readings.saturating_sub(1));
    if readings == 1 {
        AHEAD.set(AHEAD.get() + RECONNECT_WAIT_MIN);
        AT_READING.take().into_iter().for_each(|own| own());
    }
    Instant::now() + AHEAD.get()
}

async fn start(upstreams: Upstreams) -> OneGateway {
    let clock = Clock::of(read_jumping);
    OneGateway::start_by(clock, dial_who_may_be_away, upstreams, config()).await
}

/// A client whose request waits for a connection that did not come about.
async fn paused(meanwhile: fn()) -> (OneGateway, PipePeer) {
    let gateway = start(Upstreams::default()).await;
    let peer = PipePeer::new(gateway.0.connect().await, meanwhile);
    IS_AWAY.set(true);
    peer.send(&RequestBuilder::replace(1, 1).bytes());
    while REFUSED.get() == 0 {
        actix_rt::task::yield_now().await;
    }
    IS_AWAY.set(false);
    (gateway, peer)
}

#[test]
fn what_comes_later_is_not_ahead_whenever_a_connection_may_be_had_again() {
    // At each reading of the clock of the turn that takes the second one, in a world of its own.
    for readings in 0..24 {
        let asked = thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let (_gateway, peer) = paused(act).await;
                READINGS.set(readings);
                peer.send(&RequestBuilder::replace(2, 2).bytes());
                let mut told = Vec::new();
                peer.receive(2, &mut told).await;
                // They are answered as they come.
                let first = ReplyFrame::read(&told, usize::MAX).unwrap().unwrap();
                assert_eq!(first.sync, 1, "after {readings} readings");
            });
        });
        asked.join().unwrap();
    }
}

/// How often the clock is read while a request is taken, behind those of this number of clients,
/// all of which wait for a connection of their own, of which there are as many as there may be.
async fn readings_behind(clients: usize) -> usize {
    let hold = Duration::from_secs(3600);
    let upstreams = Upstreams::default().mode(LinkMode::Pinned);
    let gateway = start(upstreams.failover_hold(hold)).await;
    let (mut peers, mut told) = (Vec::new(), Vec::new());
    for _ in 0..LINKS_PER_UPSTREAM_MAX - PINNED_LINKS_RESERVE {
        let peer = gateway.connect().await;
        peer.send(&RequestBuilder::replace(1, 1).bytes());
        peer.receive(1, &mut told).await;
        peers.push(peer);
    }
    let sight = &gateway.0.shared.gateway.as_ref().expect("it is one").sight;
    for waiting in 1..=clients as u64 + 1 {
        let peer = gateway.connect().await;
        READ.set(0);
        peer.send(&RequestBuilder::replace(1, 1).bytes());
        while sight.held() < waiting {
            actix_rt::task::yield_now().await;
        }
        peers.push(peer);
    }
    READ.get()
}

#[test]
fn what_time_it_is_is_asked_no_oftener_for_many_that_wait_for_a_connection() {
    let readings = |clients| {
        let own = move || actix_rt::System::new().block_on(readings_behind(clients));
        thread::spawn(own).join().unwrap()
    };
    let clients = 100;
    let (few, many) = (readings(1), readings(clients));
    assert!(many < few + clients, "{few}, {many}");
}

/// The upstream answers, and notes which numbers of its catalog it was told.
fn act_and_note() {
    UPSTREAM.with_borrow_mut(|all| {
        for (end, received) in all {
            received.extend_from_slice(&end.receive());
            let mut replies = Vec::new();
            while let Ok(Some(prefix)) = read_prefix(received, u64::MAX)
                && let Some(content) = received.get(prefix.size..prefix.frame_size())
            {
                let (header, _) = read_header(content).expect("a gateway sends headers");
                NUMBERS.with_borrow_mut(|all| all.push(header.schema_version));
                let to = ReplyHeader {
                    sync: header.sync,
                    schema_version: CATALOG,
                };
                let is_vote = header.request_type == REQUEST_VOTE;
                to.pass_on(&mut replies, 0, if is_vote { BALLOT } else { ROW });
                received.drain(..prefix.frame_size());
            }
            end.send(&replies);
        }
    });
}

/// Another thread hears of a new catalog at some reading of the clock, while one that knows the one
/// before waits for a connection, or is just about to.
#[test]
fn no_request_goes_with_the_number_of_a_catalog_that_its_client_does_not_know() {
    let codes = (0..24).map(|readings| {
        let own = thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let (gateway, peer) = paused(act_and_note).await;
                let shared = gateway.0.shared.clone();
                let known = shared.schema_version();
                AT_READING.set(Some(Box::new(move || {
                    let gateway = shared.gateway.as_ref().expect("it is one");
                    let Destination::To(target) = gateway.destination() else {
                        panic!("it serves");
                    };
                    let tell = |version| shared.set_schema_version(version);
                    gateway.note_schema(target, CATALOG + 1, tell);
                })));
                READINGS.set(readings);
                let request = RequestBuilder::replace(2, 2).schema_version(known);
                peer.send(&request.bytes());
                let mut told = Vec::new();
                peer.receive(2, &mut told).await;
                let numbers = NUMBERS.take();
                let is_known = |own: &u64| [0, CATALOG].contains(own);
                assert!(numbers.iter().all(is_known), "{readings}: {numbers:?}");
                let codes = codes_of(&told);
                // Either the upstream was asked by what its client knows, or it was not asked.
                let was_told = numbers.contains(&CATALOG);
                assert_eq!(codes[&2] == 0, was_told, "{readings}");
                was_told
            })
        });
        own.join().unwrap()
    });
    let told: BTreeSet<bool> = codes.collect();
    assert_eq!(told.len(), 2, "before it is sent, and behind that");
}

/// The codes of replies, by their syncs.
fn codes_of(mut replies: &[u8]) -> BTreeMap<u64, u32> {
    let mut codes = BTreeMap::new();
    while let Ok(Some(own)) = ReplyFrame::read(replies, usize::MAX) {
        codes.insert(own.sync, own.code);
        replies = &replies[own.size..];
    }
    codes
}
