//! What the tasks that ask and the keeper share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use vestibule_wire::client::RequestHeader;
use vestibule_wire::features::{Feature, Features};
use vestibule_wire::groups::{Agreement, Group};
use vestibule_wire::request::Body;
use vestibule_wire::{Uuid, events};

use super::transport::WriteHalf;
use super::watches::Watches;
use crate::address::Target;
use crate::error::{Error, ErrorKind, Outcome, ServerError};
use crate::incoming::Reply;
use crate::options::Options;
use crate::outgoing::{Outgoing, Room};
use crate::schema::SchemaCache;
use crate::table::Table;

/// A connection that is logged in: what is known of it and of its server.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Grows with every connection that is made.
    pub(crate) epoch: u64,
    pub(crate) features: Features,
    /// What the server holds of requests in chunks, if it takes such.
    pub(crate) chunks: Option<Agreement>,
    /// Of the server, by its greeting.
    pub(crate) version: (u32, u32, u32),
    pub(crate) instance_uuid: Uuid,
}

impl Session {
    pub(crate) fn has(&self, feature: Feature) -> bool {
        self.features.has(feature)
    }
}

/// Where the connection is.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// There is none; why the last one ended, or could not be made.
    Down(Option<Error>),
    Up(Session),
    /// The server is about to stop: what has begun goes on, nothing else is sent.
    Leaving(Session),
    /// The client has closed it.
    Closed,
}

/// A request that waits for its reply.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) answer: oneshot::Sender<Result<Reply, Error>>,
    pub(crate) pushes: Option<mpsc::Sender<Bytes>>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) epoch: u64,
    pub(crate) table: Table<Pending>,
    pub(crate) outgoing: Outgoing,
    /// Where callers write themselves, if they may.
    socket: Option<WriteHalf>,
    pub(crate) watches: Watches,
    pub(crate) schema: SchemaCache,
    pub(crate) open_transactions: usize,
    /// The error that the last frame of the connection was, if it was one of a busy server.
    pub(crate) last_refusal: Option<ServerError>,
}

/// A connection, as all that use it share it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) target: Target,
    pub(crate) options: Options,
    state: Mutex<State>,
    /// The same phase as in the state, for those who wait for it.
    pub(crate) phase: watch::Sender<Phase>,
    /// There is something to write.
    pub(crate) to_write: Notify,
    /// Something may have ended that leaving waits for.
    pub(crate) to_leave: Notify,
    pub(crate) in_flight: Semaphore,
    /// Room for small requests that wait to be written.
    pub(crate) room_small: Semaphore,
    /// Room for large ones.
    pub(crate) room_large: Semaphore,
    next_stream: AtomicU64,
    /// How many requests that had been queued are not waited for any more. Grows under the lock of
    /// the state.
    pub(crate) given_up: AtomicU64,
}

impl Link {
    pub(crate) fn new(target: Target, options: Options) -> Arc<Self> {
        let phase = Phase::Down(None);
        Arc::new(Self {
            target,
            state: Mutex::new(State {
                phase: phase.clone(),
                epoch: 0,
                table: Table::default(),
                outgoing: Outgoing::default(),
                socket: None,
                watches: Watches::default(),
                schema: SchemaCache::default(),
                open_transactions: 0,
                last_refusal: None,
            }),
            phase: watch::Sender::new(phase),
            to_write: Notify::new(),
            to_leave: Notify::new(),
            in_flight: Semaphore::new(options.in_flight_max.min(Semaphore::MAX_PERMITS)),
            room_small: Semaphore::new(options.queued_bytes_max.min(Semaphore::MAX_PERMITS)),
            room_large: Semaphore::new(options.queued_bytes_max.min(Semaphore::MAX_PERMITS)),
            next_stream: AtomicU64::new(1),
            given_up: AtomicU64::new(0),
            options,
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no other stream of this client has.
    pub(crate) fn next_stream(&self) -> u64 {
        self.next_stream.fetch_add(1, Ordering::Relaxed)
    }

    /// Nobody waits for this request any more.
    pub(crate) fn give_up(&self, state: &mut State, sync: u64) -> Option<Pending> {
        let pending = state.table.remove(sync)?;
        self.given_up.fetch_add(1, Ordering::Release);
        Some(pending)
    }

    /// The session, if requests can be sent now.
    pub(crate) fn session(&self) -> Option<Session> {
        match &self.lock().phase {
            Phase::Up(session) => Some(session.clone()),
            _ => None,
        }
    }

    /// How many requests wait for replies.
    pub(crate) fn pending(&self) -> usize {
        self.lock().table.len()
    }

    /// Waits until requests can be sent.
    pub(crate) async fn wait_up(&self) -> Result<Session, Error> {
        if let Some(session) = self.session() {
            return Ok(session);
        }
        let mut phases = self.phase.subscribe();
        loop {
            let phase = phases.borrow_and_update().clone();
            match phase {
                Phase::Up(session) => return Ok(session),
                Phase::Closed => return Err(closed()),
                Phase::Down(error) if self.options.fail_fast => return Err(self.down(error)),
                Phase::Leaving(_) if self.options.fail_fast => return Err(self.down(None)),
                Phase::Down(_) | Phase::Leaving(_) => {}
            }
            if phases.changed().await.is_err() {
                return Err(closed());
            }
        }
    }

    /// Waits for the first attempt to connect.
    pub(crate) async fn first_attempt(&self) -> Result<(), Error> {
        let mut phases = self.phase.subscribe();
        loop {
            if self.session().is_some() {
                return Ok(());
            }
            if let Some(error) = self.last_error() {
                return Err(error);
            }
            if phases.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// The error of a request that finds no connection.
    pub(crate) fn down(&self, last: Option<Error>) -> Error {
        let address = &self.target.address;
        match last {
            Some(last) => {
                let text = format!("not connected to {address}: {last}");
                Error::not_sent(ErrorKind::Connection, text).with_source(last)
            }
            None => {
                let text = format!("not connected to {address}");
                Error::not_sent(ErrorKind::Connection, text)
            }
        }
    }

    /// Why there is no connection, if there is none and an attempt to make one has failed.
    pub(crate) fn last_error(&self) -> Option<Error> {
        match &self.lock().phase {
            Phase::Down(error) => error.clone(),
            _ => None,
        }
    }

    pub(crate) fn set_phase(&self, state: &mut State, phase: Phase) {
        state.phase = phase.clone();
        self.phase.send_replace(phase);
    }

    /// A connection is logged in: what was watched is watched again.
    pub(crate) fn up(&self, session: Session) {
        let mut state = self.lock();
        if matches!(state.phase, Phase::Closed) {
            return;
        }
        state.schema.clear();
        state.last_refusal = None;
        state.epoch = session.epoch;
        let can_watch = session.has(Feature::Watchers);
        if let Some(agreed) = session.chunks {
            state.outgoing.cut(agreed);
        }
        self.set_phase(&mut state, Phase::Up(session));
        if can_watch {
            if self.watches_itself(events::SHUTDOWN) {
                self.watch(&mut state, events::SHUTDOWN);
            }
            for key in state.watches.keys() {
                // That one is watched in any case.
                if self.watches_itself(&key) {
                    continue;
                }
                self.watch(&mut state, &key);
            }
        }
    }

    /// Whether the client itself watches this key, as long as there is a connection.
    pub(crate) fn watches_itself(&self, key: &str) -> bool {
        key == events::SHUTDOWN && self.options.leave_on_shutdown
    }

    /// The connection has ended: every request is told whether it was sent.
    pub(crate) fn ended(&self, reason: &Error) {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Closed) {
            self.set_phase(&mut state, Phase::Down(Some(reason.clone())));
        }
        state.open_transactions = 0;
        let (unsent, room) = state.outgoing.close();
        self.free(room);
        let text = format!(
            "the connection to {} was lost: {reason}",
            self.target.address
        );
        for (sync, pending) in state.table.drain() {
            let outcome = match unsent.binary_search(&sync) {
                Ok(_) => Outcome::NotSent,
                Err(_) => Outcome::Unknown,
            };
            let error = Error::new(ErrorKind::Connection, outcome, text.clone());
            let _ = pending.answer.send(Err(error.with_source(reason.clone())));
        }
    }

    /// Nobody uses it any more, or its user has closed it.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        self.set_phase(&mut state, Phase::Closed);
        self.to_leave.notify_one();
    }

    /// Whether a connection that is being left may end.
    pub(crate) fn has_left(&self) -> bool {
        let state = self.lock();
        let is_over = match &state.phase {
            Phase::Leaving(_) => state.open_transactions == 0,
            Phase::Closed => true,
            Phase::Up(_) | Phase::Down(_) => false,
        };
        is_over && state.table.is_empty() && state.outgoing.is_idle()
    }

    /// Queues a request that nobody waits for, beyond all bounds: for what is small and rare.
    pub(crate) fn post(&self, state: &mut State, stream_id: u64, body: &Body<'_>) -> u64 {
        let sync = state.table.next_sync();
        let header = RequestHeader {
            sync,
            stream_id,
            schema_version: 0,
        };
        let mut frame = Vec::new();
        header.write(&mut frame, body);
        let group = Group::stream(stream_id).unwrap_or(Group::Control);
        state.outgoing.push(group, sync, frame, Room::default());
        self.wake(state);
        sync
    }

    /// Lets callers write to the socket themselves, for as long as what it returns is there.
    pub(super) fn lend(&self, socket: &WriteHalf) -> Lent<'_> {
        self.lock().socket = Some(socket.clone());
        Lent(self)
    }

    /// Sends the request that was queued last and has this room: its caller writes it if it is
    /// small and no other waits for anything, so that the socket is no wake-up away. Else who
    /// writes does, and gathers what others ask.
    pub(crate) fn send(&self, state: &mut State, room: Room) {
        let is_alone = room.large == 0 && state.table.len() == 1 && state.outgoing.is_free();
        if is_alone && let Some(socket) = &state.socket {
            let freed = state.outgoing.write_now(|bytes| socket.try_write(bytes));
            self.free(freed);
        }
        self.wake(state);
    }

    /// Tells who writes, if there is something for it.
    pub(crate) fn wake(&self, state: &mut State) {
        if state.outgoing.wakes() {
            self.to_write.notify_one();
        }
    }

    /// Requests wait no more that had this room.
    pub(crate) fn free(&self, room: Room) {
        self.room_small.add_permits(room.small);
        self.room_large.add_permits(room.large);
    }

    /// Asks for a key, or acknowledges what was told of it.
    pub(crate) fn watch(&self, state: &mut State, key: &str) {
        let sync = self.post(state, 0, &Body::Watch(key));
        state.watches.sent(key, sync);
    }
}

/// A socket that callers may write to.
pub(super) struct Lent<'a>(&'a Link);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // Nobody else keeps it open.
        let socket = self.0.lock().socket.take();
        drop(socket);
    }
}

/// The error of a request to a client that was closed.
pub(crate) fn closed() -> Error {
    Error::not_sent(ErrorKind::Closed, "the client was closed")
}
