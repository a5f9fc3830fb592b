//! Connections whose requests wait for something that others need not wait for: the credit of a
//! call, or for their client to read. Each has a queue of its own, in which its order holds.
//!
//! ```text
//!   a call without credit ─▶ a queue ─┬▶ ready: by the number of its first ── credit? ──▶ goes
//!   a client that reads slowly ──────┤      ▲
//!   a reply that it had no room for ─┤      │ it has read, or what was under way is answered
//!                                    │─▶ slow ones: a reply's worth at a time
//!   another link has to write first ─┘─▶ held ones: when it has
//! ```

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::clients::Clients;
use super::credits::{Kind, UserCredits};
use super::streams::ClientStream;
use super::waiting::{Forward, UnsentRequest};
use crate::limits::UPSTREAM_REPLY_LARGE;

/// The number of the first request of a queue, and its connection.
type ReadyQueue = (u64, u64);

/// The queues of one link.
#[derive(Debug, Default)]
pub(super) struct ConnectionQueues {
    queues: HashMap<u64, ConnectionQueue>,
    /// The ones whose first request is a call.
    calls: BTreeSet<ReadyQueue>,
    /// The others whose first request may go as far as their client is concerned.
    others: BTreeSet<ReadyQueue>,
    len: usize,
}

#[derive(Debug, Default)]
struct ConnectionQueue {
    requests: VecDeque<UnsentRequest>,
    slow: Option<SlowClient>,
    /// How many other links have something of this connection to write first.
    held: usize,
    /// As which it is ready.
    ready: Option<(Kind, ReadyQueue)>,
}

/// How a client goes on that does not read, or reads slowly.
#[derive(Debug)]
struct SlowClient {
    /// Requests of it that are sent and not answered.
    under_way: usize,
    /// The largest of its replies since it is slow, as far as they are known.
    largest: usize,
}

impl SlowClient {
    /// Whether one more may be sent, beside this output, of which there may be so much.
    fn may_send(&self, output: usize, room: usize) -> bool {
        let expected = (self.under_way + 1).saturating_mul(self.largest);
        let fits = output.saturating_add(expected) <= room;
        // One is let through whatever its size.
        fits || self.under_way == 0 && output < room
    }
}

impl ConnectionQueue {
    /// Whether its first request may go, as far as its client and other links are concerned.
    fn may_send(&self, key: ClientStream, clients: &Clients) -> bool {
        if self.held > 0 {
            return false;
        }
        let Some(slow) = &self.slow else {
            return true;
        };
        // What nobody reads takes no room, and ROLLBACK has no reply for anybody.
        let is_ours = self
            .requests
            .front()
            .is_some_and(|own| own.forward.is_ours());
        let may = |room| {
            let output = clients.output(key);
            output.is_none_or(|own| slow.may_send(own, room))
        };
        if is_ours || may(clients.room()) {
            return true;
        }
        // There may have come room before it is awaited.
        may(clients.await_room(key))
    }
}

impl ConnectionQueues {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether something may go as soon as there is credit.
    pub(super) fn has_ready(&self) -> bool {
        !self.calls.is_empty() || !self.others.is_empty()
    }

    #[inline]
    pub(super) fn has(&self, connection: u64) -> bool {
        !self.queues.is_empty() && self.queues.contains_key(&connection)
    }

    #[inline]
    pub(super) fn is_slow(&self, connection: u64) -> bool {
        let queue = (!self.queues.is_empty()).then(|| self.queues.get(&connection));
        queue.flatten().is_some_and(|own| own.slow.is_some())
    }

    /// Looks whether a queue is ready, after a change.
    fn look(&mut self, connection: u64, clients: &Clients) {
        let Some(queue) = self.queues.get_mut(&connection) else {
            return;
        };
        if let Some((kind, own)) = queue.ready.take() {
            match kind {
                Kind::Call => self.calls.remove(&own),
                Kind::Other => self.others.remove(&own),
            };
        }
        let first = queue.requests.front().map(|own| (own.number, own.forward));
        let Some((number, forward)) = first else {
            let is_slow = queue.slow.as_ref().is_some_and(|own| own.under_way > 0);
            if !is_slow && queue.held == 0 {
                self.queues.remove(&connection);
            }
            return;
        };
        if queue.may_send(forward.key, clients) {
            let own = (number, connection);
            queue.ready = Some((forward.kind, own));
            match forward.kind {
                Kind::Call => self.calls.insert(own),
                Kind::Other => self.others.insert(own),
            };
        }
    }

    /// One more waits, behind those of its connection.
    pub(super) fn push(&mut self, request: UnsentRequest, clients: &Clients) {
        let key = request.forward.key;
        let queue = self.queues.entry(key.connection).or_default();
        let is_of_stream = |own: &UnsentRequest| own.forward.key == key;
        // ROLLBACK need not wait for what its client reads.
        if request.forward.is_ours() && !queue.requests.iter().any(is_of_stream) {
            queue.requests.push_front(request);
        } else {
            queue.requests.push_back(request);
        }
        self.len += 1;
        self.look(key.connection, clients);
    }

    /// A client reads slowly, and has so much under way; `own` is what waits of it elsewhere, which
    /// came before what is here.
    pub(super) fn slow_down(
        &mut self,
        key: ClientStream,
        under_way: usize,
        own: Vec<UnsentRequest>,
        clients: &Clients,
    ) {
        let queue = self.queues.entry(key.connection).or_default();
        queue.slow.get_or_insert(SlowClient {
            under_way,
            largest: UPSTREAM_REPLY_LARGE,
        });
        self.push_all_first(key, own, clients);
    }

    /// Nothing more of a connection goes before it is let go, as often as it is held.
    pub(super) fn hold(&mut self, connection: u64, clients: &Clients) {
        self.queues.entry(connection).or_default().held += 1;
        self.look(connection, clients);
    }

    /// What was held goes on, unless it is held for something else too.
    pub(super) fn let_go(&mut self, connection: u64, clients: &Clients) {
        if let Some(queue) = self.queues.get_mut(&connection) {
            queue.held = queue.held.saturating_sub(1);
            self.look(connection, clients);
        }
    }

    /// Requests that came before what is here of their connection wait as well.
    pub(super) fn push_all_first(
        &mut self,
        key: ClientStream,
        own: Vec<UnsentRequest>,
        clients: &Clients,
    ) {
        let queue = self.queues.entry(key.connection).or_default();
        self.len += own.len();
        own.into_iter()
            .rev()
            .for_each(|own| queue.requests.push_front(own));
        self.look(key.connection, clients);
    }

    /// One whose reply was not kept waits once more, behind others of these.
    pub(super) fn push_unread(&mut self, request: UnsentRequest, clients: &Clients) {
        let connection = request.forward.key.connection;
        let queue = self.queues.entry(connection).or_default();
        let at = queue.requests.partition_point(|own| own.number == 0);
        queue.requests.insert(at, request);
        self.len += 1;
        self.look(connection, clients);
    }

    /// A request that was under way is answered, with this number of bytes.
    pub(super) fn answered(&mut self, key: ClientStream, bytes: usize, clients: &Clients) {
        if self.queues.is_empty() {
            return;
        }
        let queue = self.queues.get_mut(&key.connection);
        if let Some(slow) = queue.and_then(|own| own.slow.as_mut()) {
            slow.under_way = slow.under_way.saturating_sub(1);
            slow.largest = slow.largest.max(bytes);
            self.look(key.connection, clients);
        }
    }

    /// A client has read replies, or is gone. Whether something of it may go now.
    pub(super) fn has_read(&mut self, connection: u64, clients: &Clients) -> bool {
        self.look(connection, clients);
        let queue = self.queues.get(&connection);
        queue.is_some_and(|own| own.ready.is_some())
    }

    /// The queue that goes next, if there is credit for one.
    pub(super) fn next(&self, credits: &UserCredits, clients: &Clients) -> Option<ReadyQueue> {
        let other = self.others.first().copied();
        if self.calls.is_empty() || !credits.may_call(0) {
            return other;
        }
        // Who is passed over here has several calls under way: they are few.
        let may_call = |(_, connection): &&ReadyQueue| {
            let key = self.queues[connection].requests[0].forward.key;
            credits.may_call(clients.calls(key))
        };
        let call = self.calls.iter().find(may_call).copied();
        call.into_iter().chain(other).min()
    }

    /// Takes out the first request of a queue: it is sent.
    pub(super) fn pop(&mut self, connection: u64, clients: &Clients) -> Option<UnsentRequest> {
        let queue = self.queues.get_mut(&connection)?;
        let request = queue.requests.pop_front()?;
        if let Some(slow) = &mut queue.slow {
            slow.under_way += 1;
        }
        self.len -= 1;
        self.look(connection, clients);
        Some(request)
    }

    /// Takes out those that are meant, of each queue in its order.
    pub(super) fn take_where(
        &mut self,
        clients: &Clients,
        is_meant: impl Fn(&Forward) -> bool,
    ) -> Vec<UnsentRequest> {
        let connections: Vec<u64> = self.queues.keys().copied().collect();
        let connections = connections.into_iter();
        let taken = connections.flat_map(|own| self.take_of(own, clients, &is_meant));
        taken.collect()
    }

    /// The same of one connection.
    pub(super) fn take_of(
        &mut self,
        connection: u64,
        clients: &Clients,
        is_meant: impl Fn(&Forward) -> bool,
    ) -> Vec<UnsentRequest> {
        let Some(queue) = self.queues.get_mut(&connection) else {
            return Vec::new();
        };
        if !queue.requests.iter().any(|own| is_meant(&own.forward)) {
            return Vec::new();
        }
        let all = std::mem::take(&mut queue.requests).into_iter();
        let (taken, kept): (Vec<_>, Vec<_>) = all.partition(|own| is_meant(&own.forward));
        queue.requests = kept.into();
        self.len -= taken.len();
        self.look(connection, clients);
        taken
    }

    /// Takes out what a connection has first, up to what is kept: nothing waits behind that then.
    pub(super) fn take_first(
        &mut self,
        connection: u64,
        clients: &Clients,
        is_kept: impl Fn(&Forward) -> bool,
    ) -> Vec<UnsentRequest> {
        let Some(queue) = self.queues.get_mut(&connection) else {
            return Vec::new();
        };
        let mut requests = queue.requests.iter();
        let kept_at = requests.position(|own| is_kept(&own.forward));
        let count = kept_at.unwrap_or(queue.requests.len());
        let taken: Vec<_> = queue.requests.drain(..count).collect();
        if !taken.is_empty() {
            self.len -= taken.len();
            self.look(connection, clients);
        }
        taken
    }

    /// What waits of a connection, in its order.
    pub(super) fn of(&self, connection: u64) -> impl Iterator<Item = &UnsentRequest> {
        let queue = self.queues.get(&connection);
        queue.into_iter().flat_map(|own| &own.requests)
    }

    /// Everything that waits, of each connection in its order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &UnsentRequest> {
        self.queues.values().flat_map(|own| &own.requests)
    }
}
