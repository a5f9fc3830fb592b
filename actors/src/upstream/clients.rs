//! What the clients of a worker cost: how much of what was replied they have not read, and how many
//! calls of theirs are under way; and what they have seen, where replicas answer SELECTs. By their
//! sessions' numbers, for every request looks here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::reads::{ReadMarks, ReadPlace};
use super::streams::ClientStream;
use crate::limits::{CONNECTION_REPLY_BYTES_MAX, MEMORY_SMALL};
use crate::memory::{Memory, OutputGauge};

/// The clients of one worker.
#[derive(Debug)]
pub(crate) struct Clients {
    loads: RefCell<Vec<Option<ClientLoad>>>,
    /// The connections of those that would have room, were memory not scarce: nothing that they do
    /// themselves tells when it is not any more.
    short: RefCell<BTreeSet<u64>>,
    /// The number of the last link.
    last_link: Cell<u64>,
    /// What is kept for all clients until they read.
    pub(super) memory: Arc<Memory>,
}

#[derive(Debug)]
struct ClientLoad {
    /// The number of its connection, which is never used again.
    connection: u64,
    /// What waits to be sent to it.
    gauge: Arc<OutputGauge>,
    /// Calls of it that upstreams have on their way.
    calls: usize,
    /// What it has seen.
    marks: ReadMarks,
    /// Over which link its requests go.
    route: Route,
}

/// Over which link the requests of a client go.
#[derive(Debug, Clone, Copy, Default)]
struct Route {
    /// The number of that link; `None` before there is one.
    link: Option<u64>,
    /// The number of the last request there was when they came to go over it.
    since: u64,
    /// The same of the link before: what was sent by then may have gone over this one as well.
    before: u64,
}

#[cfg(test)]
impl Default for Clients {
    /// Whose replies may take any.
    fn default() -> Self {
        Self::new(Arc::new(Memory::new(usize::MAX)))
    }
}

impl Clients {
    /// None yet, whose replies take this memory.
    pub(crate) fn new(memory: Arc<Memory>) -> Self {
        Self {
            loads: RefCell::default(),
            short: RefCell::default(),
            last_link: Cell::default(),
            memory,
        }
    }

    /// From here on, this connection has that session.
    pub(crate) fn set(&self, session: u32, connection: u64, gauge: Arc<OutputGauge>) {
        let (mut all, index) = (self.loads.borrow_mut(), session as usize);
        if all.len() <= index {
            all.resize_with(index + 1, || None);
        }
        let before = all[index].take().filter(|own| own.connection == connection);
        all[index] = Some(ClientLoad {
            connection,
            gauge,
            calls: before.as_ref().map_or(0, |own| own.calls),
            route: before.as_ref().map(|own| own.route).unwrap_or_default(),
            marks: before.map(|own| own.marks).unwrap_or_default(),
        });
    }

    /// A connection has ended. Another one may have its session already.
    pub(crate) fn forget(&self, session: u32, connection: u64) {
        self.short.borrow_mut().remove(&connection);
        if let Some(own) = self.loads.borrow_mut().get_mut(session as usize) {
            let _ = own.take_if(|own| own.connection == connection);
        }
    }

    fn with<T>(&self, key: ClientStream, ask: impl FnOnce(&mut ClientLoad) -> T) -> Option<T> {
        let mut all = self.loads.borrow_mut();
        let own = all.get_mut(key.session as usize)?.as_mut()?;
        (own.connection == key.connection).then(|| ask(own))
    }

    /// Bytes that wait for a client to read them; `None` if it is gone, and nothing is kept for it.
    pub(crate) fn output(&self, key: ClientStream) -> Option<usize> {
        let output = self.with(key, |own| {
            (!own.gauge.is_closed()).then(|| own.gauge.output())
        });
        output.flatten()
    }

    /// Whether a client has room for replies: it reads them, or is gone.
    #[inline]
    pub(super) fn has_room(&self, key: ClientStream) -> bool {
        let output = self.with(key, |own| own.gauge.output());
        // It is 0 if it is little, and most are asked with that.
        output.is_none_or(|output| output == 0 || output < self.room())
            // Nobody waits for who is gone.
            || self.output(key).is_none()
    }

    /// Bytes that may wait for a client to read them before more is asked for it: few while memory
    /// is scarce, for nobody knows how large a reply will be, and then its session takes no more
    /// of its requests either.
    pub(super) fn room(&self) -> usize {
        match self.memory.is_scarce() {
            true => MEMORY_SMALL,
            false => CONNECTION_REPLY_BYTES_MAX,
        }
    }

    /// The worker is to tell when a client has read, or when memory is not scarce any more. Either
    /// may have been before that: look again, whether there is the room that is returned.
    pub(super) fn await_room(&self, key: ClientStream) -> usize {
        let room = self.room();
        self.with(key, |own| {
            own.gauge.await_room(room);
            if room < CONNECTION_REPLY_BYTES_MAX {
                self.short.borrow_mut().insert(key.connection);
            }
        });
        room
    }

    /// The connections of those that have waited for memory, if there is some: look at them again.
    pub(crate) fn take_short(&self) -> BTreeSet<u64> {
        let mut short = self.short.borrow_mut();
        if short.is_empty() || self.memory.is_scarce() {
            return BTreeSet::new();
        }
        std::mem::take(&mut short)
    }

    /// Calls of a client that upstreams have on their way.
    pub(super) fn calls(&self, key: ClientStream) -> usize {
        self.with(key, |own| own.calls).unwrap_or(0)
    }

    /// One more is sent.
    #[inline]
    pub(super) fn begin_call(&self, key: ClientStream) {
        self.with(key, |own| own.calls += 1);
    }

    /// The number of a new link of the worker.
    pub(super) fn number_link(&self) -> u64 {
        self.last_link.update(|own| own + 1);
        self.last_link.get()
    }

    /// A client goes over the link of this number from now on, which is another one than before,
    /// and this was the last request.
    pub(crate) fn note_move(&self, key: ClientStream, link: u64, last: u64) {
        self.with(key, |own| {
            own.route = Route {
                link: Some(link),
                since: last,
                before: own.route.since,
            };
        });
    }

    /// Whether a client may have sent something over another link since the request of this number
    /// was sent over the link of that one. What went along with its client to that link was not
    /// sent before; of what did so twice that is not known.
    pub(super) fn has_moved_since(&self, key: ClientStream, link: u64, number: u64) -> bool {
        let has_moved = self.with(key, |own| match own.route.link {
            None => false,
            Some(now) => now != link || number <= own.route.before,
        });
        has_moved.unwrap_or(true)
    }

    /// What a client has seen.
    pub(crate) fn marks(&self, key: ClientStream) -> ReadMarks {
        self.with(key, |own| own.marks).unwrap_or_default()
    }

    /// A SELECT of a client that a replica may answer goes there.
    pub(crate) fn set_read_place(&self, key: ClientStream, place: ReadPlace) {
        self.with(key, |own| own.marks.place = place);
    }

    /// The upstream that takes changes has answered a client.
    #[inline]
    pub(super) fn answered_by_writer(&self, key: ClientStream, now: Instant) {
        self.with(key, |own| own.marks.writer = Some(now));
    }

    /// A replica has.
    pub(super) fn answered_by_replica(&self, key: ClientStream, now: Instant) {
        self.with(key, |own| own.marks.replica = Some(now));
    }

    /// One that was sent is not owed any more.
    #[inline]
    pub(super) fn end_call(&self, key: ClientStream) {
        self.with(key, |own| own.calls -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_along_with_its_client_was_overtaken_by_nothing_until_that_moves_again() {
        let own = Clients::default();
        own.set(3, 7, Arc::default());
        let [a, b] = [(); 2].map(|()| own.number_link());
        let moved = |link, numbers: [u64; 3]| {
            numbers.map(|number| own.has_moved_since(key(7), link, number))
        };
        assert_eq!(moved(a, [1, 2, 3]), [false; 3], "nothing went elsewhere");
        own.note_move(key(7), a, 0);
        assert_eq!(moved(a, [1, 2, 3]), [false; 3]);
        // 1 is sent by then, and 2 goes along.
        own.note_move(key(7), b, 2);
        assert_eq!(moved(a, [1, 2, 3]), [true; 3]);
        assert_eq!(moved(b, [1, 2, 3]), [false; 3]);
        // What was sent over this one the first time is behind nothing of the other one.
        own.note_move(key(7), a, 3);
        assert_eq!(moved(a, [1, 3, 4]), [true, false, false]);
        assert_eq!(moved(b, [2, 3, 4]), [true; 3]);
        assert!(own.has_moved_since(key(8), a, 4), "it is gone");
    }

    fn key(connection: u64) -> ClientStream {
        ClientStream {
            session: 3,
            connection,
            stream: 0,
        }
    }

    #[test]
    fn what_one_connection_owes_is_not_asked_of_the_next_one_of_its_session() {
        let own = Clients::default();
        own.set(3, 7, Arc::default());
        own.begin_call(key(7));
        own.begin_call(key(7));
        let now = Instant::now();
        own.answered_by_writer(key(7), now);
        own.note_move(key(7), 1, 4);
        own.set(3, 7, Arc::default());
        assert!(own.has_moved_since(key(7), 2, 5));
        assert_eq!(own.marks(key(7)).writer, Some(now));
        assert_eq!(own.calls(key(7)), 2, "it has logged in again");
        own.set(3, 8, Arc::default());
        own.end_call(key(7));
        assert_eq!((own.calls(key(7)), own.calls(key(8))), (0, 0));
        assert_eq!(own.marks(key(8)), ReadMarks::default());
        own.forget(3, 7);
        assert_eq!((own.output(key(7)), own.output(key(8))), (None, Some(0)));
        own.forget(3, 8);
        assert!(own.output(key(8)).is_none() && own.has_room(key(8)));
    }
}
