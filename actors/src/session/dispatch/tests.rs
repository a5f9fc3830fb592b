use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll, Wake, Waker};

use actix::{Actor, Context, Handler, Message};
use tokio::io::ReadBuf;
use tokio::net::{TcpListener, TcpStream};
use vestibule_wire::groups::Agreement;
use vestibule_wire::keys;
use vestibule_wire::reply::{HEADER_SIZE, Rows};
use vestibule_wire::request::Body;

use super::*;
use crate::cells::claims::Claims;
use crate::clock::Clock;
use crate::config::Config;
use crate::connection::scan::ParkedScan;
use crate::connection::transport::Transport;
use crate::endpoints::PeerAddress;
use crate::engine::catalog::{Catalog, CatalogBuilder, User};
use crate::limits::{
    BUFFER_KEEP_MAX, CATALOG_STEP_ROWS_MAX, CONNECTIONS_MEMORY_MAX_DEFAULT, MEMORY_SMALL,
    READ_PER_POLL_MAX, READ_SIZE, SEGMENT_SIZE, VIEW_STEPS_PER_POLL_MAX, WORKER_REQUESTS_MAX,
    WORKER_RESERVE,
};
use crate::memory::MemoryCharge;
use crate::messages::tx::{Batch, Control, Probe, Stop, TxHandle};
use crate::resources::in_flight::InFlightTable;
use crate::resources::outgoing::Back;
use crate::runtime::Mailboxes;
use crate::serving::{Role, ServingCell, TransitionView};
use crate::session::actor::new_cell;
use crate::session::io::{read, take_bytes, take_inbox};
use crate::slots::{ConnectionSlots, ListenerKind};
use crate::testing::{Frame, RequestBuilder};

/// Has this be done with the dispatcher of a connection, while the server still loads; returns what
/// that has written.
pub(super) fn written(act: impl FnOnce(&mut Dispatcher<'_>)) -> Vec<u8> {
    actix_rt::System::new().block_on(write(act))
}

async fn write(act: impl FnOnce(&mut Dispatcher<'_>)) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let (worker, cell) = connect(Box::new(stream));
    let mut state = worker.state.borrow_mut();
    let mut own = cell.state.borrow_mut();
    let now = worker.shared.clock.now();
    let mut dispatcher = Dispatcher::new(&worker, &cell, &mut state, &mut own, now);
    act(&mut dispatcher);
    own.output().to_vec()
}

/// A worker, and a connection of it.
pub(super) fn connect(stream: Box<dyn Transport>) -> (WorkerCell, Rc<ConnectionCell>) {
    let clock = Clock::SYSTEM;
    let config = Config {
        session_threads: 1,
        ..Config::default()
    };
    let claims = Arc::new(Claims::new(WORKER_REQUESTS_MAX + WORKER_RESERVE));
    let slots = ConnectionSlots::new(&config, &[]).unwrap();
    let serving = ServingCell::new(Role::Primary, clock);
    let shared = Arc::new(Shared::new(config, serving, slots, vec![claims.clone()]));
    let in_flight = InFlightTable::new(claims, clock.now());
    let (_mailboxes, peers) = Mailboxes::new(1);
    let state = WorkerState::new(
        shared.settings.follow(),
        in_flight,
        shared.memory.clone(),
        clock,
    );
    let worker = WorkerCell::new(0, shared, peers, state);
    let cell = connect_to(&worker, 0, stream);
    (worker, cell)
}

/// One more connection of a worker, the session of which has this number.
pub(super) fn connect_to(
    worker: &WorkerCell,
    index: u32,
    stream: Box<dyn Transport>,
) -> Rc<ConnectionCell> {
    let slots = &worker.shared.slots;
    let slot = slots.find(ListenerKind::Clients, true).unwrap();
    let slot = slots.take(slot);
    let peer = PeerAddress::from(SocketAddr::from(([127, 0, 0, 1], 1024)));
    new_cell(worker, index, slot, peer.into(), stream, [0; 32])
}

const PING: DecodedRequest<'static> = DecodedRequest {
    request_type: RequestType::Ping,
    sent_as: RequestType::Ping,
    code: RequestType::Ping as u16,
    sync: 5,
    stream: 0,
    catalog: 0,
    body: Body::Ping,
    raw: &[],
    content: &[],
    has_own_frame: false,
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
pub(super) fn large_catalog() -> Catalog {
    let spaces = 1000..4000;
    let builder = spaces.fold(CatalogBuilder::new(), |builder, id| {
        builder.space(id, &format!("space_{id}"))
    });
    builder.build()
}

/// All of `_vspace`, or as much of it.
fn read_catalog(sync: u64) -> Vec<u8> {
    read_catalog_rows(sync, u32::MAX)
}

fn read_catalog_rows(sync: u64, limit: u32) -> Vec<u8> {
    let request = RequestBuilder::new(RequestType::Select, sync)
        .uint(keys::SPACE_ID, 281)
        .uint(keys::INDEX_ID, 0)
        .uint(keys::LIMIT, u64::from(limit))
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
        assert!(dispatcher.session.has_scans(), "it took one turn");
        assert!(!dispatcher.worker.turns.has_time(), "others get theirs");
        let mut turns = 1;
        while dispatcher.session.has_scans() {
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
        let held = dispatcher.session.scans().next().map(ParkedScan::held);
        let held = held.expect("it waits").total();
        assert!(held < 2 * SEGMENT_SIZE, "it has grown to {held}");
        others.set(0);
        for _ in 0..20 {
            dispatcher.worker.turns.begin();
            dispatcher.resume_scan();
        }
        assert!(!dispatcher.session.has_scans(), "it has come to its end");
    });
}

/// A Tx that answers nothing.
pub(super) struct SilentTx;

impl Actor for SilentTx {
    type Context = Context<Self>;
}

impl<M: Message<Result = ()>> Handler<M> for SilentTx {
    type Result = ();

    fn handle(&mut self, _message: M, _ctx: &mut Context<Self>) {}
}

impl SilentTx {
    pub(super) fn handle_of_new() -> TxHandle {
        let address = Self.start();
        TxHandle::new(
            address.clone().recipient::<Box<Batch>>(),
            address.clone().recipient::<Control>(),
            address.clone().recipient::<Probe>(),
            address.recipient::<Stop>(),
            1,
        )
    }
}

/// A REPLACE of this size.
fn replace(sync: u64, size: usize) -> RequestBuilder {
    RequestBuilder::replace_large(sync, sync, size as u32)
}

#[test]
fn a_large_request_reaches_tx_in_the_buffer_in_which_it_was_gathered() {
    written(|dispatcher| {
        dispatcher.shared.serving.ready(dispatcher.now);
        let tx = SilentTx::handle_of_new();
        dispatcher.worker.outgoing.attach(Back::Tx(tx));
        let large = replace(2, 4 * BUFFER_KEEP_MAX);
        let requests = [replace(1, 10), large, replace(3, 10)].map(|request| request.bytes());
        // All but the last byte of the large one.
        let most = [&requests[0][..], &requests[1][..requests[1].len() - 1]].concat();
        for piece in most.chunks(READ_SIZE) {
            take_bytes(dispatcher, piece);
        }
        let inbox = dispatcher.session.take_inbox().expect("it is not whole");
        assert_eq!(
            inbox.allocated(),
            requests[1].len(),
            "and takes what it will be"
        );
        let gathered = inbox.as_ptr();
        dispatcher.session.put_inbox(inbox);
        let last = [&requests[1][requests[1].len() - 1..], &requests[2][..]].concat();
        take_bytes(dispatcher, &last);

        let batch = dispatcher.worker.outgoing.batch();
        let syncs: Vec<_> = batch.entries.iter().map(|entry| entry.sync).collect();
        assert_eq!(syncs, [1, 2, 3]);
        for (index, request) in requests.iter().enumerate() {
            let (_, body) = read_header(&request[5..]).expect("the builder writes a header");
            assert_eq!(batch.body(index), body);
        }
        assert_eq!(batch.large.len(), 1);
        assert_eq!(batch.large[0].frame.as_ptr(), gathered);
        assert!(batch.bytes.len() < 100, "the small ones alone are copied");
    });
}

#[test]
fn a_large_request_that_tx_is_not_to_have_stays() {
    written(|dispatcher| {
        dispatcher.shared.serving.ready(dispatcher.now);
        let mut frame = replace(2, 4 * BUFFER_KEEP_MAX).bytes();
        let before = frame.clone();
        // There is no Tx yet: it is refused.
        dispatcher.dispatch_gathered(&mut frame, 5);
        assert!(dispatcher.worker.outgoing.batch().entries.is_empty());
        assert!(frame == before);
        // What is dispatched next is not taken for a large one.
        let tx = SilentTx::handle_of_new();
        dispatcher.worker.outgoing.attach(Back::Tx(tx));
        dispatcher.dispatch_frame(&content(&replace(3, 10)));
        let batch = dispatcher.worker.outgoing.batch();
        assert!(!batch.entries[0].is_large && batch.large.is_empty());
    });
}

/// Who comes in then is an administrator, and Tx is closed or hears nobody.
#[test]
fn nothing_goes_to_tx_any_more_when_a_stop_has_cut_off_what_was_left() {
    let reply = written(|dispatcher| {
        let (serving, now) = (&dispatcher.shared.serving, dispatcher.now);
        serving.ready(now);
        serving.draining("test", TransitionView::default(), now);
        dispatcher.session.on_known_stop();
        let tx = SilentTx::handle_of_new();
        dispatcher.worker.outgoing.attach(Back::Tx(tx));
        dispatcher.worker.outgoing.refuse_requests();
        let rollback = RequestBuilder::new(RequestType::Rollback, 3).stream(1);
        dispatcher.dispatch_frame(&content(&rollback));
        assert!(dispatcher.worker.outgoing.batch().entries.is_empty());
    });
    assert_eq!(Frame::read(&reply).error_code(), Some(279));
}

/// A client with chunks may send thousands of pings in one read.
#[test]
fn pings_that_are_taken_ahead_are_bounded_by_the_turn_as_all_else() {
    const PINGS: u64 = 1000;
    written(|dispatcher| {
        dispatcher.shared.serving.ready(dispatcher.now);
        dispatcher.session.agree_to_chunks(Agreement::default());
        let pings =
            (1..=PINGS).flat_map(|sync| RequestBuilder::new(RequestType::Ping, sync).bytes());
        dispatcher.worker.turns.end();
        take_bytes(dispatcher, &pings.collect::<Vec<_>>());
        assert_eq!(dispatcher.session.output_queue().size(), 0);
        while dispatcher.session.has_inbox() {
            let before = dispatcher.session.output_queue().size();
            dispatcher.worker.turns.begin();
            take_inbox(dispatcher);
            assert!(dispatcher.session.output_queue().size() > before);
        }
    });
}

/// A client of which each read brings one byte, as often as it is read.
struct ByteByByte(Rc<Cell<usize>>);

impl Transport for ByteByByte {
    fn poll_read(
        &mut self,
        _cx: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.set(self.0.get() + 1);
        buffer.put_slice(&[0xab]);
        Poll::Ready(Ok(()))
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn poll_write_ready(&mut self, _cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn has_unread(&self) -> bool {
        true
    }

    fn is_read_closed(&self) -> bool {
        false
    }

    fn is_gone(&self) -> bool {
        false
    }
}

#[test]
fn however_little_a_read_brings_of_a_large_request_the_others_get_their_turn() {
    let reads = Rc::new(Cell::new(0));
    let (worker, cell) = connect(Box::new(ByteByByte(reads.clone())));
    let mut state = worker.state.borrow_mut();
    let mut own = cell.state.borrow_mut();
    let now = worker.shared.clock.now();
    worker.shared.serving.ready(now);
    let mut dispatcher = Dispatcher::new(&worker, &cell, &mut state, &mut own, now);
    // The second of these doubles the room for it.
    let request = replace(1, 4 * BUFFER_KEEP_MAX).bytes();
    take_bytes(&mut dispatcher, &request[..READ_SIZE]);
    take_bytes(&mut dispatcher, &request[READ_SIZE..][..1]);
    let mut cx = task::Context::from_waker(Waker::noop());
    assert!(read(&worker, &cell, &mut state, &mut own, &mut cx).is_pending());
    assert_eq!(reads.get(), READ_PER_POLL_MAX / READ_SIZE);
}

/// Where a panic may be, the batch has a large request and its frame, or nothing of both.
#[test]
fn a_large_request_joins_the_batch_with_its_frame_or_not_at_all() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("for the test");
        }
    }
    written(|dispatcher| {
        dispatcher.shared.serving.ready(dispatcher.now);
        dispatcher
            .worker
            .outgoing
            .attach(Back::Tx(SilentTx::handle_of_new()));
        let [mut first, mut second, third] =
            [1, 2, 3].map(|sync| replace(sync, 4 * BUFFER_KEEP_MAX).bytes());
        let is_untouched = |dispatcher: &Dispatcher<'_>| {
            let batch = dispatcher.worker.outgoing.batch();
            batch.entries.is_empty() && batch.large.is_empty()
        };
        // The first of a batch wakes the worker's task.
        dispatcher
            .worker
            .outgoing
            .set_flush(&Waker::from(Arc::new(Panics)));
        let dispatched = catch_unwind(AssertUnwindSafe(|| {
            dispatcher.dispatch_gathered(&mut first, 5);
        }));
        assert!(dispatched.is_err() && is_untouched(dispatcher));
        dispatcher.worker.outgoing.set_flush(Waker::noop());
        // As if the panic came with the first statement behind.
        dispatcher.has_own_frame = true;
        dispatcher.dispatch(&third[5..]);
        assert!(dispatcher.large_entry.take().is_some() && is_untouched(dispatcher));

        let expected = second.clone();
        dispatcher.dispatch_gathered(&mut second, 5);
        let (_, body) = read_header(&expected[5..]).expect("the builder writes a header");
        assert_eq!(dispatcher.worker.outgoing.batch().body(0), body);
    });
}

#[test]
fn without_memory_a_select_that_makes_a_small_reply_is_answered_and_no_other_one() {
    written(|dispatcher| {
        let shared = dispatcher.shared;
        shared.publish_catalog(7, Arc::new(large_catalog()));
        shared.serving.ready(dispatcher.now);
        let mut others = MemoryCharge::new(shared.memory.clone());
        others.set(2 * CONNECTIONS_MEMORY_MAX_DEFAULT);
        dispatcher.dispatch(&read_catalog_rows(5, 10));
        assert!(!dispatcher.session.has_left_frame());
        let answered = dispatcher.session.output_queue().size();
        assert!(answered > HEADER_SIZE);
        let is_left = |dispatcher: &mut Dispatcher<'_>| {
            dispatcher.dispatch(&read_catalog(6));
            assert_eq!(dispatcher.session.output_queue().size(), answered);
            let is_left = dispatcher.session.has_left_frame();
            dispatcher.session.on_reply_back();
            is_left && !dispatcher.session.has_scans()
        };
        assert!(is_left(dispatcher), "it takes many steps");
        let name = |id: u32| format!("{id:0>10000}");
        let wide = (1000..1003).fold(CatalogBuilder::new(), |own, id| own.space(id, &name(id)));
        shared.publish_catalog(8, Arc::new(wide.build()));
        assert!(is_left(dispatcher), "it takes one step, and is not small");
        others.set(0);
        dispatcher.dispatch(&read_catalog(6));
        let all = dispatcher.session.output_queue().size();
        assert!(all - answered > MEMORY_SMALL, "{all}");
    });
}
