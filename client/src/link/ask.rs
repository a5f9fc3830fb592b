//! One attempt of a request: sent, answered, or taken back.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};
use vestibule_wire::client::{RequestHeader, SYNC_AT};
use vestibule_wire::error::ErrorCode;
use vestibule_wire::features::Feature;
use vestibule_wire::groups::Group;

use super::resolve::Names;
use super::shared::{Link, Pending, Phase, Session, closed};
use crate::error::{Error, ErrorKind, Outcome, outcome_of};
use crate::incoming::Reply;
use crate::limits::SCHEMA_RETRIES_MAX;
use crate::operation::{Action, Operation};
use crate::outgoing::Room;

/// The connection and the stream that a request has to be sent in, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) epoch: u64,
    pub(crate) stream_id: u64,
}

/// Who of a stream is next: requests that are under way at once are queued in the order in which
/// they came, though small ones find room sooner than large ones.
pub(crate) type Turns = Mutex<()>;

/// A request that is asked, and what it comes with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) operation: &'a Operation,
    /// Where it has to be sent, and in which order, if that is not open.
    pub(crate) pin: Option<(Pin, &'a Turns)>,
    pub(crate) tracker: &'a Tracker,
    pub(crate) pushes: Option<&'a mpsc::Sender<Bytes>>,
}

impl<'a> Asked<'a> {
    /// A request of the client itself, in no stream.
    pub(crate) fn own(operation: &'a Operation, tracker: &'a Tracker) -> Self {
        let (pin, pushes) = (None, None);
        Self {
            operation,
            pin,
            tracker,
            pushes,
        }
    }
}

/// Whether a request whose future was dropped may have run.
#[derive(Debug, Default)]
pub(crate) struct Tracker(AtomicBool);

impl Tracker {
    pub(crate) fn may_have_run(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A request that was queued: taken back if it is dropped before its answer has come.
struct Slot<'a> {
    link: &'a Link,
    sync: u64,
    tracker: &'a Tracker,
    is_answered: bool,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let mut state = self.link.lock();
        self.link.give_up(&mut state, self.sync);
        match state.outgoing.withdraw(self.sync) {
            Some(room) => {
                self.link.free(room);
                // Of one that is begun the server is told.
                self.link.wake(&mut state);
            }
            None => self.tracker.0.store(true, Ordering::Release),
        }
        self.link.to_leave.notify_one();
    }
}

/// Why an attempt came to nothing.
pub(super) enum Failure {
    /// The connection has changed before anything was sent.
    Stale,
    Error(Error),
}

impl Link {
    /// Sends a request and waits for its reply. It is sent once, but for one that the server
    /// refuses because definitions have changed.
    pub(crate) async fn ask(&self, asked: Asked<'_>) -> Result<Reply, Error> {
        let operation = asked.operation;
        let pin = asked.pin.map(|(pin, _)| pin);
        let mut schema_retries = 0;
        loop {
            let turn = match asked.pin {
                Some((_, turns)) => Some(turns.lock().await),
                None => None,
            };
            let session = self.session_for(pin).await?;
            needs(operation, pin, &session)?;
            let place = self.in_flight.acquire().await.map_err(|_| closed())?;
            let names = match self.resolve(&session, operation).await {
                Ok(names) => names,
                Err(Failure::Stale) => continue,
                Err(Failure::Error(error)) => return Err(error),
            };
            let result = self.attempt(asked, &names, &session, turn).await;
            drop(place);
            match result {
                Ok(reply) => return Ok(reply),
                Err(Failure::Stale) => {}
                Err(Failure::Error(error)) => {
                    let is_outdated = error.code() == Some(ErrorCode::WRONG_SCHEMA_VERSION)
                        && names.schema_version != 0;
                    schema_retries += 1;
                    if !is_outdated || schema_retries > SCHEMA_RETRIES_MAX {
                        return Err(error);
                    }
                }
            }
        }
    }

    async fn session_for(&self, pin: Option<Pin>) -> Result<Session, Error> {
        let Some(pin) = pin else {
            return self.wait_up().await;
        };
        match &self.lock().phase {
            Phase::Up(session) | Phase::Leaving(session) if session.epoch == pin.epoch => {
                Ok(session.clone())
            }
            Phase::Closed => Err(closed()),
            _ => Err(Error::not_sent(
                ErrorKind::Connection,
                "the connection of this stream was lost, and with it what it had not committed",
            )),
        }
    }

    /// Sends it over this connection, or not at all. Its turn in its stream, if it is in one, is
    /// over when it is queued.
    pub(super) async fn attempt(
        &self,
        asked: Asked<'_>,
        names: &Names,
        session: &Session,
        turn: Option<MutexGuard<'_, ()>>,
    ) -> Result<Reply, Failure> {
        let (operation, tracker) = (asked.operation, asked.tracker);
        let pin = asked.pin.map(|(pin, _)| pin);
        let header = RequestHeader {
            // Replaced when the request is queued; all of them are as long.
            sync: u64::MAX,
            stream_id: pin.map_or(0, |pin| pin.stream_id),
            schema_version: names.schema_version,
        };
        let (space, index) = (names.space.as_is(), names.index.as_is());
        let mut frame = operation.frame(header, space, index);
        let room = Room::of(frame.len(), self.options.queued_bytes_max);
        let places = (
            self.room_small.acquire_many(room.small as u32).await,
            self.room_large.acquire_many(room.large as u32).await,
        );
        let (Ok(small), Ok(large)) = places else {
            return Err(Failure::Error(closed()));
        };
        let (answer, answered) = oneshot::channel();
        let sync = {
            let mut state = self.lock();
            let is_open = match &state.phase {
                Phase::Up(own) => own.epoch == session.epoch,
                Phase::Leaving(own) => own.epoch == session.epoch && pin.is_some(),
                Phase::Down(_) | Phase::Closed => false,
            };
            if !is_open {
                return Err(Failure::Stale);
            }
            let sync = state.table.next_sync();
            frame[SYNC_AT..SYNC_AT + 8].copy_from_slice(&sync.to_be_bytes());
            let pushes = asked.pushes.cloned();
            state.table.insert(sync, Pending { answer, pushes });
            let stream = pin.and_then(|pin| Group::stream(pin.stream_id));
            let group = stream.unwrap_or_else(|| operation.group());
            state.outgoing.push(group, sync, frame, room);
            self.send(&mut state, room);
            sync
        };
        drop(turn);
        small.forget();
        large.forget();
        let mut slot = Slot {
            link: self,
            sync,
            tracker,
            is_answered: false,
        };
        let answer = answered.await;
        slot.is_answered = true;
        let lost = |_| Error::new(ErrorKind::Closed, Outcome::Unknown, "the client was closed");
        let reply = answer.map_err(lost).flatten().map_err(Failure::Error)?;
        match reply.frame().error() {
            None => Ok(reply),
            Some(error) => {
                let outcome = outcome_of(&error, operation.procedure());
                Err(Failure::Error(Error::from_server(error, outcome)))
            }
        }
    }
}

/// Whether the server has what a request needs.
fn needs(operation: &Operation, pin: Option<Pin>, session: &Session) -> Result<(), Error> {
    let needed = match &operation.action {
        Action::WatchOnce(_) => Some(Feature::WatchOnce),
        Action::Begin(_) | Action::Commit | Action::Rollback => Some(Feature::Transactions),
        _ if pin.is_some() => Some(Feature::Streams),
        _ => None,
    };
    match needed {
        Some(feature) if !session.has(feature) => Err(lacks(session, feature)),
        _ => Ok(()),
    }
}

/// The error of a request that the server cannot serve.
pub(crate) fn lacks(session: &Session, feature: Feature) -> Error {
    let (major, minor, patch) = session.version;
    let text = format!("the server, of version {major}.{minor}.{patch}, lacks {feature:?}");
    Error::not_sent(ErrorKind::Unsupported, text)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use tokio::net::UnixStream;
    use vestibule_wire::Uuid;
    use vestibule_wire::client::RequestHeader;
    use vestibule_wire::features::Features;
    use vestibule_wire::request::Body;

    use super::*;
    use crate::link::transport::WriteHalf;
    use crate::options::Options;
    use crate::outgoing::Batch;

    fn ping_bytes(sync: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        RequestHeader::with_sync(sync).write(&mut bytes, &Body::Ping);
        bytes
    }

    /// Nothing but the caller runs here.
    #[tokio::test]
    async fn who_asks_alone_writes_and_who_asks_beside_another_leaves_it_to_who_writes() {
        let link = Link::new("h".parse().unwrap(), Options::default());
        let (own, peer) = UnixStream::pair().unwrap();
        own.writable().await.unwrap();
        let mut peer = peer.into_std().unwrap();
        let (reader, writer) = own.into_split();
        link.up(Session {
            epoch: 1,
            features: Features::NONE,
            chunks: None,
            version: (2, 6, 0),
            instance_uuid: Uuid::from_bytes([1; 16]),
        });
        let lent = link.lend(&WriteHalf::from(writer));
        // Who writes has looked, and sleeps.
        let _ = link.lock().outgoing.take(&mut Batch::default(), 1);
        let operation = Operation::from(Action::Ping);
        let tracker = Tracker::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut first = pin!(link.ask(Asked::own(&operation, &tracker)));
        let mut second = pin!(link.ask(Asked::own(&operation, &tracker)));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        let sync = u64::from(u32::MAX) + 1;
        let mut bytes = vec![0; 100];
        let count = peer.read(&mut bytes).expect("it was written at once");
        assert_eq!(bytes[..count], ping_bytes(sync));
        assert!(second.as_mut().poll(&mut cx).is_pending());
        let fault = peer.read(&mut bytes).unwrap_err();
        assert_eq!(fault.kind(), std::io::ErrorKind::WouldBlock);
        let mut batch = Batch::default();
        let _ = link.lock().outgoing.take(&mut batch, 100);
        assert_eq!(batch.rest(), ping_bytes(sync + 1));
        drop(lent);
        drop(reader);
        assert_eq!(peer.read(&mut bytes).expect("it is closed"), 0);
    }
}
