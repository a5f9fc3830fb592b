use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use vestibule_wire::request::Body;

use super::*;
use crate::cells::claims::Claims;
use crate::clock::Clock;
use crate::config::Config;
use crate::limits::{WORKER_REQUESTS_MAX, WORKER_RESERVE};
use crate::resources::in_flight::InFlightTable;
use crate::runtime::Mailboxes;
use crate::serving::{Role, ServingCell};
use crate::session::actor::new_cell;
use crate::slots::{ConnectionSlots, ListenerKind};
use crate::testing::Frame;

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
