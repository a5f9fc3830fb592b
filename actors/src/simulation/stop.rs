//! A stop, and what had arrived before its session heard of it.

use std::cell::Cell;
use std::time::Instant;

use actix::dev::channel::AddressReceiver;
use futures::{FutureExt as _, StreamExt as _};
use vestibule_wire::keys::{self, RequestType};
use vestibule_wire::{ErrorCode, events};

use super::cost::{start, start_reporting};
use super::kept::replies;
use crate::clock::Clock;
use crate::config::Config;
use crate::limits::SHUTDOWN_NOTICE;
use crate::serving::TransitionView;
use crate::supervisor::Supervisor;
use crate::testing::OneWorker;
use crate::testing::RequestBuilder;
use crate::testing::pipe::ClientEnd;
use crate::transitions::TransitionScope;

/// More than is read in one go.
const MANY: u64 = 20_000;

thread_local! {
    /// Stands still, but where a test sets it: what had arrived is served for a moment only.
    static NOW: Cell<Instant> = Cell::new(Instant::now());
}

fn writes(syncs: std::ops::Range<u64>) -> Vec<u8> {
    let write = |sync| RequestBuilder::replace(sync, sync).bytes();
    syncs.flat_map(write).collect()
}

fn begin_stop(worker: &OneWorker) {
    let serving = &worker.shared.serving;
    serving.draining("test", TransitionView::default(), serving.clock().now());
}

/// The error codes of the next replies.
async fn codes(client: &ClientEnd, count: usize) -> Vec<Option<u16>> {
    let mut codes = Vec::new();
    while codes.len() < count {
        actix_rt::task::yield_now().await;
        codes.extend(replies(client).iter().map(|own| own.error_code()));
    }
    codes
}

/// Nobody can have sent it because of the stop, and who has closed already is not told of a
/// refusal.
#[test]
fn what_had_arrived_before_a_stop_is_executed_and_what_comes_later_refused() {
    actix_rt::System::new().block_on(async {
        let worker = start(Clock::of(|| NOW.get()));
        let [client, idle] = [worker.connect().await, worker.connect().await];
        client.send(&RequestBuilder::new(RequestType::Begin, 1).stream(1).bytes());
        assert_eq!(codes(&client, 1).await, [None]);
        client.send(&writes(2..MANY));
        begin_stop(&worker);
        let told = codes(&client, MANY as usize - 2).await;
        assert!(told.iter().all(Option::is_none));
        while !idle.is_over() {
            actix_rt::task::yield_now().await;
        }
        client.send(&writes(1..3));
        let refused = Some(ErrorCode::SHUTDOWN.0);
        assert_eq!(codes(&client, 2).await, [refused, refused]);
    });
}

/// what was on its way before its client could know of the stop is executed.
#[test]
fn a_client_that_watches_for_a_stop_is_served_for_its_moment_and_no_longer() {
    actix_rt::System::new().block_on(async {
        let worker = start(Clock::of(|| NOW.get()));
        let [client, idle] = [worker.connect().await, worker.connect().await];
        let watch = RequestBuilder::new(RequestType::Watch, 1);
        client.send(&watch.text(keys::EVENT_KEY, events::SHUTDOWN).bytes());
        assert_eq!(codes(&client, 1).await, [None]);
        begin_stop(&worker);
        while !idle.is_over() {
            actix_rt::task::yield_now().await;
        }
        client.send(&writes(1..2));
        assert_eq!(codes(&client, 1).await, [None]);
        NOW.set(NOW.get() + SHUTDOWN_NOTICE - SHUTDOWN_NOTICE / 100);
        client.send(&writes(2..3));
        assert_eq!(codes(&client, 1).await, [None]);
        NOW.set(NOW.get() + SHUTDOWN_NOTICE / 100);
        client.send(&writes(3..4));
        assert_eq!(codes(&client, 1).await, [Some(ErrorCode::SHUTDOWN.0)]);
    });
}

/// A worker whose Tx hears nothing, what the Supervisor is told, and an idle administrator.
async fn with_an_administrator() -> (OneWorker, AddressReceiver<Supervisor>, ClientEnd) {
    let clock = Clock::of(|| NOW.get());
    let (worker, supervisor) = start_reporting(clock, Config::default(), true);
    let client = worker.connect().await;
    let args = [&[0x91, 0xa6][..], b"limits"].concat();
    client.send(&RequestBuilder::call(1, "vestibule.show", &args).bytes());
    assert_eq!(codes(&client, 1).await, [None]);
    (worker, supervisor, client)
}

/// How much the Supervisor, which is not there, was told since it was asked last.
fn told(supervisor: &mut AddressReceiver<Supervisor>) -> usize {
    std::iter::from_fn(|| supervisor.next().now_or_never().flatten()).count()
}

/// Nobody waits for an idle administrator, but one whose bytes have not been read yet is none: what
/// they ask for begins, and Tx may not hear.
#[test]
fn what_an_administrator_had_sent_before_a_stop_is_waited_for_and_cut_off() {
    actix_rt::System::new().block_on(async {
        let (worker, mut supervisor, client) = with_an_administrator().await;
        // Nobody on this thread has anything left to do.
        for _ in 0..100 {
            actix_rt::task::yield_now().await;
        }
        told(&mut supervisor);
        begin_stop(&worker);
        // As the Supervisor does; the bytes are there when the worker hears of it, and unread.
        worker.peers.workers[0].quiesce(1, TransitionScope::Everything);
        client.send(&writes(2..4));
        while worker.shared.in_flight_count() < 2 {
            actix_rt::task::yield_now().await;
        }
        assert_eq!(told(&mut supervisor), 1, "it has seen the stop, and waits");
        worker.peers.workers[0].cut_off(1, TransitionScope::Everything);
        let refused = Some(ErrorCode::SHUTDOWN.0);
        assert_eq!(codes(&client, 2).await, [refused, refused]);
        assert_eq!(worker.shared.queued_count(), 0);
        assert_eq!(told(&mut supervisor), 2, "it has cut off, and is quiet");
    });
}

/// A thread whose administrators are idle has told that it is quiet, and one of them ends a
/// transaction that there is not: that goes to Tx.
#[test]
fn what_an_idle_administrator_asks_for_in_a_stop_is_waited_for_and_cut_off() {
    actix_rt::System::new().block_on(async {
        let (worker, mut supervisor, client) = with_an_administrator().await;
        begin_stop(&worker);
        told(&mut supervisor);
        worker.peers.workers[0].quiesce(1, TransitionScope::Everything);
        let mut reports = 0;
        while reports < 2 {
            actix_rt::task::yield_now().await;
            reports += told(&mut supervisor);
        }
        assert_eq!(reports, 2, "it has seen the stop, and is quiet");
        let rollback = RequestBuilder::new(RequestType::Rollback, 2).stream(1);
        client.send(&rollback.bytes());
        while worker.shared.in_flight_count() == 0 {
            actix_rt::task::yield_now().await;
        }
        assert_eq!(told(&mut supervisor), 1, "it is busy again");
        worker.peers.workers[0].cut_off(1, TransitionScope::Everything);
        assert_eq!(codes(&client, 1).await, [Some(ErrorCode::SHUTDOWN.0)]);
        assert_eq!(told(&mut supervisor), 2, "it has cut off, and is quiet");
    });
}
