use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use vestibule_wire::keys;
use vestibule_wire::reply::{HEADER_SIZE, Rows};
use vestibule_wire::request::Body;

use super::*;
use crate::cells::claims::Claims;
use crate::clock::Clock;
use crate::config::Config;
use crate::connection::scan::ParkedScan;
use crate::engine::catalog::{Catalog, CatalogBuilder, User};
use crate::limits::{
    CATALOG_STEP_ROWS_MAX, CONNECTIONS_MEMORY_MAX_DEFAULT, SEGMENT_SIZE, VIEW_STEPS_PER_POLL_MAX,
    WORKER_REQUESTS_MAX, WORKER_RESERVE,
};
use crate::memory::MemoryCharge;
use crate::resources::in_flight::InFlightTable;
use crate::runtime::Mailboxes;
use crate::serving::{Role, ServingCell};
use crate::session::actor::new_cell;
use crate::slots::{ConnectionSlots, ListenerKind};
use crate::testing::{Frame, RequestBuilder};

/// Has this be done with the dispatcher of a connection, while the server still loads; returns what
/// that has written.
fn written(act: impl FnOnce(&mut Dispatcher<'_>)) -> Vec<u8> {
    actix_rt::System::new().block_on(write(act))
}

async fn write(act: impl FnOnce(&mut Dispatcher<'_>)) -> Vec<u8> {
    let clock = Clock::SYSTEM;
    let config = Config {
        session_threads: 1,
        ..Config::default()
    };
    let claims = Arc::new(Claims::new(WORKER_REQUESTS_MAX + WORKER_RESERVE));
    let slots = ConnectionSlots::new(&config).unwrap();
    let serving = ServingCell::new(Role::Primary, clock);
    let shared = Arc::new(Shared::new(config, serving, slots, vec![claims.clone()]));
    let in_flight = InFlightTable::new(claims, clock.now());
    let (_mailboxes, peers) = Mailboxes::new(1);
    let state = WorkerState::new(in_flight, clock);
    let worker = WorkerCell::new(0, shared.clone(), peers, state);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let slot = shared.slots.find(ListenerKind::Clients, true).unwrap();
    let slot = shared.slots.take(slot);
    let peer = SocketAddr::from(([127, 0, 0, 1], 1024)).into();
    let cell = new_cell(&worker, 0, slot, peer, Box::new(stream), [0; 32]);
    let mut state = worker.state.borrow_mut();
    let mut own = cell.state.borrow_mut();
    let now = clock.now();
    let mut dispatcher = Dispatcher::new(&worker, &cell, &mut state, &mut own, now);
    act(&mut dispatcher);
    own.output().to_vec()
}

const PING: DecodedRequest<'static> = DecodedRequest {
    request_type: RequestType::Ping,
    sent_as: RequestType::Ping,
    sync: 5,
    stream: 0,
    body: Body::Ping,
    raw: &[],
    content: &[],
};

#[test]
fn what_is_refused_for_a_state_that_is_over_is_admitted_again() {
    let reply = written(|dispatcher| {
        dispatcher.looks_left = ADMISSION_LOOKS_MAX;
        dispatcher.judged_epoch = dispatcher.shared.serving.load().epoch;
        dispatcher.shared.serving.ready(dispatcher.now);
        assert!(!dispatcher.reject_as_judged(&PING, ErrorCode::LOADING));
    });
    let reply = Frame::read(&reply);
    assert!(reply.error().is_none(), "{reply:?}");
}

#[test]
fn a_state_that_holds_or_changes_again_and_again_is_told_with_a_reason() {
    for changes in [false, true] {
        let reply = written(|dispatcher| {
            dispatcher.looks_left = 0;
            dispatcher.judged_epoch = dispatcher.shared.serving.load().epoch;
            if changes {
                dispatcher.shared.serving.ready(dispatcher.now);
            }
            assert!(dispatcher.reject_as_judged(&PING, ErrorCode::LOADING));
        });
        let reply = Frame::read(&reply);
        let told = reply.error().unwrap();
        let expected = match changes {
            false => "Instance bootstrap hasn't finished yet: starting, retry after 1 s",
            true => "Tx is busy: the state has just changed, retry after 0.1 s",
        };
        assert_eq!(told.message(), expected);
    }
}

/// The frame of a request, without its length.
fn content(request: &RequestBuilder) -> Vec<u8> {
    request.bytes()[5..].to_vec()
}

/// A catalog that takes many steps to be read.
fn large_catalog() -> Catalog {
    let spaces = 1000..4000;
    let builder = spaces.fold(CatalogBuilder::new(), |builder, id| {
        builder.space(id, &format!("space_{id}"))
    });
    builder.build()
}

/// All of `_vspace`.
fn read_catalog(sync: u64) -> Vec<u8> {
    let request = RequestBuilder::new(RequestType::Select, sync)
        .uint(keys::SPACE_ID, 281)
        .uint(keys::INDEX_ID, 0)
        .uint(keys::LIMIT, u64::from(u32::MAX))
        .pair(keys::KEY, &[0x90]);
    content(&request)
}

#[test]
fn a_select_on_the_catalog_gives_its_turn_back_and_goes_on_whatever_changes() {
    written(|dispatcher| {
        let shared = dispatcher.shared;
        shared.publish_catalog(7, Arc::new(large_catalog()));
        shared.serving.ready(dispatcher.now);
        dispatcher.dispatch(&read_catalog(5));
        assert!(dispatcher.session.scan().is_some(), "it took one turn");
        assert!(!dispatcher.worker.turns.has_time(), "others get theirs");
        let mut turns = 1;
        while dispatcher.session.scan().is_some() {
            assert_eq!(dispatcher.session.output_queue().size(), 0);
            shared.publish_catalog(7 + turns, Arc::default());
            dispatcher.worker.turns.begin();
            dispatcher.resume_scan();
            turns += 1;
        }
        let rows = turns * u64::from(VIEW_STEPS_PER_POLL_MAX) * CATALOG_STEP_ROWS_MAX as u64;
        assert!(rows >= 3000, "all of them in {turns} turns");
        let request = read_catalog(5);
        let (_, raw) = read_header(&request).unwrap();
        let Ok(Body::Select(select)) = request::decode_checked(RequestType::Select, raw) else {
            panic!("it is a SELECT");
        };
        let (mut body, catalog) = (Vec::new(), large_catalog());
        let all = catalog.select(&select, &User::guest(), || Rows::begin(&mut body));
        all.unwrap();
        let expected = HEADER_SIZE + body.len();
        assert_eq!(dispatcher.session.output_queue().size(), expected);
    });
}

#[test]
fn a_select_on_the_catalog_waits_while_there_is_no_memory_for_more_of_its_reply() {
    written(|dispatcher| {
        let shared = dispatcher.shared;
        shared.publish_catalog(7, Arc::new(large_catalog()));
        shared.serving.ready(dispatcher.now);
        dispatcher.dispatch(&read_catalog(5));
        let mut others = MemoryCharge::new(shared.memory.clone());
        others.set(CONNECTIONS_MEMORY_MAX_DEFAULT);
        for _ in 0..20 {
            dispatcher.worker.turns.begin();
            dispatcher.resume_scan();
        }
        let held = dispatcher.session.scan().map(ParkedScan::held);
        let held = held.expect("it waits").total();
        assert!(held < 2 * SEGMENT_SIZE, "it has grown to {held}");
        others.set(0);
        for _ in 0..20 {
            dispatcher.worker.turns.begin();
            dispatcher.resume_scan();
        }
        assert!(
            dispatcher.session.scan().is_none(),
            "it has come to its end"
        );
    });
}
