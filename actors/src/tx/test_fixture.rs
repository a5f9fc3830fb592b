//! Tx without its actor, for tests: requests in, turns by hand, replies out.
//!
//! ```text
//!   test ─▶ Fixture::send ─▶ TxCore::push_batch ─▶ Fixture::turn ─▶ WorkerLink ─┐
//!                                              Fixture::replies ◀── Collector ◀──┘
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Context, Handler, Message};
use tokio::sync::oneshot;
use vestibule_wire::features::Features;
use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;

use super::core::TxCore;
use super::holdings::with_locks;
use crate::admission::Class;
use crate::cells::claims::{Claims, RequestId};
use crate::clock::Clock;
use crate::config::Config;
use crate::endpoints::PeerAddress;
use crate::engine::Caller;
use crate::engine::catalog::User;
use crate::memory::ConnectionCharge;
use crate::messages::SessionId;
use crate::messages::tx::{
    Batch, BatchEntry, CallerUpdate, Cancel, Completed, Push, Replies, TransactionEffect, WaitKind,
    WorkerLink,
};
use crate::serving::Admitted;
use crate::serving::{Role, ServingCell};
use crate::shared::Shared;
use crate::slots::ConnectionSlots;
use crate::testing::{Frame, RequestBuilder, Script, ScriptedEngine};
use crate::upstream::ReplicaRead;

/// Requests that one fixture can send.
const REQUESTS_MAX: usize = 1024;

/// What stands where a worker would.
#[derive(Default)]
struct Collector {
    frames: Vec<Frame>,
    told: Rc<RefCell<Vec<(RequestId, WaitKind)>>>,
    completed: Vec<Completed>,
}

impl Actor for Collector {
    type Context = Context<Self>;
}

impl Handler<Box<Replies>> for Collector {
    type Result = ();

    fn handle(&mut self, replies: Box<Replies>, _ctx: &mut Self::Context) {
        self.told.borrow_mut().extend(&replies.waiting);
        let mut start = 0;
        let mut large = replies.large.into_iter().peekable();
        for (index, head) in replies.heads.iter().enumerate() {
            let large = large.next_if(|own| own.head == index);
            let large = large.map(|own| own.frame.content());
            let frame = large.as_deref().unwrap_or(&replies.bytes[start..head.end]);
            // Past the length, which always takes five bytes.
            self.frames.push(Frame::read(frame));
            start = head.end;
        }
    }
}

impl Handler<Push> for Collector {
    type Result = ();

    fn handle(&mut self, push: Push, _ctx: &mut Self::Context) {
        self.frames.push(Frame::read(&push.frame));
    }
}

impl Handler<Completed> for Collector {
    type Result = ();

    fn handle(&mut self, completed: Completed, _ctx: &mut Self::Context) {
        self.completed.push(completed);
    }
}

/// Hands out what came so far: behind it in the mailbox, so nothing is missed.
struct Take(oneshot::Sender<(Vec<Frame>, Vec<Completed>)>);

impl Message for Take {
    type Result = ();
}

impl Handler<Take> for Collector {
    type Result = ();

    fn handle(&mut self, take: Take, _ctx: &mut Self::Context) {
        let frames = std::mem::take(&mut self.frames);
        let _ = take.0.send((frames, std::mem::take(&mut self.completed)));
    }
}

/// A core with one worker, on which connection n is session n - 1.
pub(crate) struct Fixture {
    pub(crate) core: TxCore<ScriptedEngine>,
    pub(crate) script: Script,
    pub(crate) shared: Arc<Shared>,
    pub(crate) claims: Arc<Claims>,
    /// The clock, wound by hand.
    pub(crate) now: Instant,
    collector: Addr<Collector>,
    /// As what requests were told to wait.
    pub(crate) told: Rc<RefCell<Vec<(RequestId, WaitKind)>>>,
    /// Of the requests that are sent.
    pub(crate) admitted: Admitted,
    /// Of the connections, as their sessions would have them.
    pub(crate) charges: BTreeMap<u64, ConnectionCharge>,
    next: u32,
}

/// Runs a test on a System of its own.
pub(crate) fn fixture<F: Future<Output = ()>>(test: impl FnOnce(Fixture) -> F) {
    fixture_with(Config::default(), test);
}

/// The same with a configuration.
pub(crate) fn fixture_with<F: Future<Output = ()>>(
    config: Config,
    test: impl FnOnce(Fixture) -> F,
) {
    actix_rt::System::new().block_on(async { test(Fixture::new(config)).await });
}

impl Fixture {
    fn new(config: Config) -> Self {
        let claims = Arc::new(Claims::new(REQUESTS_MAX));
        let serving = ServingCell::new(Role::Primary, Clock::SYSTEM);
        serving.ready(Instant::now());
        let admitted = Admitted::under(serving.load());
        let slots = ConnectionSlots::new(&config, &[]).expect("no limit is known");
        let shared = Arc::new(Shared::new(config, serving, slots, vec![claims.clone()]));
        let collector = Collector::default();
        let told = collector.told.clone();
        let collector = collector.start();
        let script = Script::default();
        let core = TxCore::new(
            script.engine(),
            Arc::new(with_locks(Script::procedures())),
            vec![WorkerLink {
                claims: claims.clone(),
                replies: collector.clone().recipient(),
                pushes: collector.clone().recipient(),
            }],
            Arc::new(collector.clone().recipient::<Completed>()),
            shared.clone(),
        );
        Self {
            core,
            script,
            shared,
            claims,
            now: Instant::now(),
            collector,
            told,
            admitted,
            charges: BTreeMap::new(),
            next: 0,
        }
    }

    /// Winds the clock on and lets Tx do what is due.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.turn();
    }

    /// What a connection is charged, as its session would have it.
    pub(crate) fn charge(&mut self, connection: u64) -> &mut ConnectionCharge {
        let memory = &self.shared.memory;
        self.charges
            .entry(connection)
            .or_insert_with(|| ConnectionCharge::new(memory.clone()))
    }

    /// Hands a request of connection 1 to Tx.
    pub(crate) fn send(&mut self, request: &RequestBuilder) -> RequestId {
        self.send_as(1, request)
    }

    /// Tells Tx that a session has cancelled a request, of this stream and the transaction of this
    /// BEGIN.
    pub(crate) fn cancel(
        &mut self,
        id: RequestId,
        of: (u64, Option<RequestId>),
        transaction: TransactionEffect,
    ) {
        self.claims.free(id);
        self.end_transaction(id, of, transaction);
        self.turn();
    }

    /// Tells Tx what becomes of the transaction that this BEGIN began in this stream, because of a
    /// request that it may have.
    pub(crate) fn end_transaction(
        &mut self,
        id: RequestId,
        (stream, begin): (u64, Option<RequestId>),
        transaction: TransactionEffect,
    ) {
        let mut batch = Box::<Batch>::default();
        batch.cancels.push(Cancel {
            id,
            session: SessionId {
                index: 0,
                connection: 1,
            },
            stream,
            begin,
            transaction,
        });
        self.core.push_batch(batch);
    }

    /// Tells Tx that a connection is gone.
    pub(crate) fn leave(&mut self, connection: u64) {
        let mut batch = Box::<Batch>::default();
        batch.disconnects.push(SessionId {
            index: connection as u32 - 1,
            connection,
        });
        self.core.push_batch(batch);
        self.turn();
    }

    /// Hands a request of a connection, numbered from 1, to Tx.
    pub(crate) fn send_as(&mut self, connection: u64, request: &RequestBuilder) -> RequestId {
        self.send_by(User::guest(), connection, request)
    }

    /// The same of a connection on which a user has logged in.
    pub(crate) fn send_by(
        &mut self,
        user: User,
        connection: u64,
        request: &RequestBuilder,
    ) -> RequestId {
        let frame = request.bytes();
        let (header, body) = read_header(&frame[5..]).expect("the builder writes a header");
        let mut batch = Box::<Batch>::default();
        batch.bytes.extend_from_slice(body);
        batch.caller_updates.push_back(CallerUpdate {
            before: 0,
            session: connection as u32 - 1,
            caller: Arc::new(Caller {
                connection,
                user,
                peer: PeerAddress::Local,
                is_administrator: true,
            }),
            gauge: self.charge(connection).gauge().clone(),
            format: Features::NONE,
        });
        let id = self.claims.queue(self.next);
        let request = RequestType::from_code(header.request_type).expect("a known type");
        batch.entries.push(BatchEntry {
            id,
            session: connection as u32 - 1,
            request,
            code: request as u16,
            meaning: request,
            class: Class::of(request),
            sync: header.sync,
            stream: header.stream_id,
            admitted: self.admitted,
            catalog: 0,
            replica_read: ReplicaRead::No,
            is_large: false,
            start: 0,
            end: body.len() as u32,
        });
        self.next += 1;
        self.core.push_batch(batch);
        id
    }

    /// Turns until there is nothing to do, at the time of the fixture's clock.
    pub(crate) fn turn(&mut self) {
        let is_due = |fixture: &Self| fixture.core.next_look().is_some_and(|at| at <= fixture.now);
        while self.core.has_work() || is_due(self) {
            self.core.turn(self.now);
        }
    }

    /// Lets async procedures go on, as between two turns.
    pub(crate) async fn run_tasks(&mut self) {
        tokio::task::yield_now().await;
        std::future::poll_fn(|cx| {
            self.core.poll_tasks(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// What was replied since it was asked last; completions that came are handed to Tx first.
    pub(crate) async fn replies(&mut self) -> Vec<Frame> {
        let (told, taken) = oneshot::channel();
        self.collector.do_send(Take(told));
        let (frames, completed) = taken.await.expect("the collector lives");
        for completed in completed {
            self.core.push_completed(completed);
        }
        frames
    }

    /// Sends a request, turns, and returns its reply.
    pub(crate) async fn ask(&mut self, request: &RequestBuilder) -> Frame {
        self.send(request);
        self.turn();
        let mut frames = self.replies().await;
        assert_eq!(frames.len(), 1, "one reply");
        frames.remove(0)
    }
}
