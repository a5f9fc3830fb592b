//! Requests that wait in a link, because it is not ready, its socket is full, or the upstream has
//! enough to do. They go in the order in which they came, but those that wait for the credit of a
//! call, or for their client to read, let others pass, of other connections.

use bytes::Bytes;
use vestibule_wire::keys::RequestType;

use super::again::Repeat;
use super::clients::Clients;
use super::credits::{Kind, UserCredits};
use super::kept::{ForwardBody, KeptRequest};
use super::line::WaitingLine;
use super::queues::ConnectionQueues;
use super::sql_request::StatementStep;
use super::streams::{ClientStream, StreamStep};
use super::unsent_steps::UnsentSteps;
use crate::cells::claims::RequestId;

/// How many wait, and how many bytes of them, before it is looked for the first time whether they
/// are wanted still.
const SWEEP_LEN_MIN: usize = 1024;
const SWEEP_BYTES_MIN: usize = 1 << 20;

/// A request to be sent, but for its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forward {
    /// Of the worker's in-flight table; [`RequestId::NONE`] for one of ours.
    pub(crate) id: RequestId,
    /// Which came before which, of its worker.
    pub(crate) number: u64,
    /// The session that it came from, and its stream.
    pub(crate) key: ClientStream,
    /// The number of that stream upstream, when it was sent; 0 for none.
    pub(crate) stream: u64,
    /// The number of its type.
    pub(crate) code: u16,
    pub(crate) kind: Kind,
    /// What it does to the transaction of its stream.
    pub(crate) step: StreamStep,
    /// The sync by which its client knows it.
    pub(crate) sync: u64,
    /// Whether it may be sent twice.
    pub(crate) repeat: Repeat,
    /// Whether it is a question for the catalog, whose reply is kept.
    pub(crate) is_of_catalog: bool,
    /// Whether it sets something in its session upstream.
    pub(crate) is_setting: bool,
    /// The version of the catalog that its client knows, as clients are told it; 0 if the client
    /// has told none.
    pub(crate) catalog: u64,
    /// The upstream's number of the catalog that its client knows, so that it is refused if there
    /// is another one by then; 0 if the client has told none.
    pub(crate) schema_version: u64,
    /// What it does with prepared statements.
    pub(crate) statement: StatementStep,
}

impl Forward {
    /// ROLLBACK in a stream whose client does not end its transaction, or may not any more.
    pub(crate) fn rollback(key: ClientStream) -> Self {
        Self {
            step: StreamStep::Rollback,
            ..Self::of_ours(key, RequestType::Rollback as u16)
        }
    }

    /// A request of this type that no client has sent just now, and whose answer nobody gets.
    pub(crate) fn of_ours(key: ClientStream, code: u16) -> Self {
        Self {
            id: RequestId::NONE,
            number: 0,
            key,
            stream: 0,
            code,
            kind: Kind::Other,
            step: StreamStep::Nothing,
            sync: 0,
            repeat: Repeat::InStream,
            is_of_catalog: false,
            is_setting: false,
            catalog: 0,
            schema_version: 0,
            statement: StatementStep::Nothing,
        }
    }

    /// Whether it is of ours, and no client's.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        self.id == RequestId::NONE
    }
}

/// One that waits in a link.
#[derive(Debug)]
pub(super) struct UnsentRequest {
    /// Which came before which in this link; 0 for what was taken out already.
    pub(super) number: u64,
    /// What stands before it of its connection has a smaller one, whatever was taken out and put
    /// back.
    place: i64,
    pub(super) forward: Forward,
    pub(super) body: Bytes,
}

impl UnsentRequest {
    fn keep(self) -> KeptRequest {
        KeptRequest::unsent(self.forward, ForwardBody::Own(self.body))
    }
}

/// What waits in one link.
#[derive(Debug)]
pub(crate) struct UnsentRequests {
    /// What waits for the link, or for credits that are not those of calls.
    others: WaitingLine<UnsentRequest>,
    /// Calls, what waits for clients, and what their connections sent behind that.
    queues: ConnectionQueues,
    /// What they will have done to transactions.
    steps: UnsentSteps,
    last: u64,
    /// The smallest place that was given to one that was put back.
    first: i64,
    bytes: usize,
    sweep_at: (usize, usize),
}

impl Default for UnsentRequests {
    fn default() -> Self {
        Self {
            others: WaitingLine::default(),
            queues: ConnectionQueues::default(),
            steps: UnsentSteps::default(),
            last: 0,
            first: 0,
            bytes: 0,
            sweep_at: (SWEEP_LEN_MIN, SWEEP_BYTES_MIN),
        }
    }
}

impl UnsentRequests {
    pub(crate) fn len(&self) -> usize {
        self.others.len() + self.queues.len()
    }

    /// How many there are, and the bytes of their bodies.
    #[inline]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.len(), self.bytes)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.others.is_empty() && self.queues.len() == 0
    }

    /// Whether something waits for credits, and not for its client alone.
    pub(crate) fn wants_credits(&self) -> bool {
        !self.others.is_empty() || self.queues.has_ready()
    }

    /// Whether a request of this connection may go before all that waits: for that waits in
    /// queues of other connections.
    #[inline]
    pub(crate) fn may_pass(&self, connection: u64) -> bool {
        self.others.is_empty() && !self.queues.has(connection)
    }

    /// A request waits. `is_wanted` tells of one that waits whether somebody waits for it: those
    /// for whom nobody does are dropped now and then.
    pub(crate) fn push(
        &mut self,
        forward: Forward,
        body: ForwardBody<'_>,
        clients: &Clients,
        is_wanted: impl Fn(RequestId) -> bool,
    ) {
        self.last += 1;
        let queued = UnsentRequest {
            number: self.last,
            place: self.last as i64,
            forward,
            body: body.keep(),
        };
        self.add(&queued);
        // What is in a stream stays, also if nobody waits for it: what it has begun is undone by
        // who has taken it back, and what stands behind it with it.
        let is_kept = |own: &Forward| own.is_ours() || own.key.stream != 0 || is_wanted(own.id);
        let connection = forward.key.connection;
        if self.queues.has(connection) {
            // It is not to wait behind a call that was killed, or whose time was over.
            let unwanted = self.queues.take_first(connection, clients, is_kept);
            self.taken(unwanted);
        }
        if forward.kind == Kind::Call || self.queues.has(connection) {
            self.queues.push(queued, clients);
        } else {
            self.others.push(self.last, connection, queued);
        }
        if self.len() >= self.sweep_at.0 || self.bytes >= self.sweep_at.1 {
            self.sweep_where(clients, |own| !is_kept(own));
        }
    }

    /// One waits before all that its connection has here.
    fn before_all(&mut self, forward: Forward, body: Bytes) -> UnsentRequest {
        self.first -= 1;
        let own = UnsentRequest {
            number: 0,
            place: self.first,
            forward,
            body,
        };
        self.add(&own);
        own
    }

    fn add(&mut self, own: &UnsentRequest) {
        let Forward { key, step, .. } = own.forward;
        self.bytes += own.body.len();
        self.steps.add(key, step, own.place);
    }

    fn remove(&mut self, own: &UnsentRequest) {
        let Forward { key, step, .. } = own.forward;
        self.bytes -= own.body.len();
        self.steps.remove(key, step, own.place);
    }

    /// A client takes its replies too slowly, and has this number of requests under way: what it
    /// sends, and what waits of it, goes on as it reads. `again` was taken out just now, and is
    /// first.
    pub(crate) fn slow_down(
        &mut self,
        key: ClientStream,
        under_way: usize,
        again: Option<(Forward, Bytes)>,
        clients: &Clients,
    ) {
        let mut own = self.others.take_of(key.connection, |_| true);
        if let Some((forward, body)) = again {
            own.insert(0, self.before_all(forward, body));
        }
        self.queues.slow_down(key, under_way, own, clients);
    }

    /// One that was sent, and is not done, waits once more: before all that its connection has sent
    /// behind it, whatever that waits for.
    pub(crate) fn push_first(&mut self, request: KeptRequest, clients: &Clients) {
        let KeptRequest { forward, body, .. } = request;
        let mut own = (self.others).take_of(forward.key.connection, |_| true);
        own.insert(0, self.before_all(forward, body));
        self.queues.push_all_first(forward.key, own, clients);
    }

    /// A read whose reply its client had no room for waits once more, before what its client has
    /// sent behind it.
    pub(crate) fn push_unread(&mut self, request: KeptRequest, clients: &Clients) {
        let KeptRequest { forward, body, .. } = request;
        let queued = self.before_all(forward, body);
        self.queues.push_unread(queued, clients);
    }

    /// Whether what a connection sends goes on as it reads.
    #[inline]
    pub(crate) fn is_slow(&self, connection: u64) -> bool {
        self.queues.is_slow(connection)
    }

    /// A request that was under way is answered, with this number of bytes.
    #[inline]
    pub(crate) fn answered(&mut self, key: ClientStream, bytes: usize, clients: &Clients) {
        self.queues.answered(key, bytes, clients);
    }

    /// A client has read replies, or is gone. Whether something waited for that.
    pub(crate) fn has_read(&mut self, connection: u64, clients: &Clients) -> bool {
        self.queues.has_read(connection, clients)
    }

    /// Another link has something of this connection to write first: nothing more of it goes before
    /// that is told to be over.
    pub(super) fn hold(&mut self, connection: u64, clients: &Clients) {
        self.queues.hold(connection, clients);
    }

    /// The other link has written that.
    pub(super) fn let_go(&mut self, connection: u64, clients: &Clients) {
        self.queues.let_go(connection, clients);
    }

    /// Drops those for whom nobody waits, when all that was taken back is undone.
    pub(super) fn sweep(&mut self, clients: &Clients, is_wanted: impl Fn(RequestId) -> bool) {
        self.sweep_where(clients, |own| !own.is_ours() && !is_wanted(own.id));
    }

    fn sweep_where(&mut self, clients: &Clients, is_dropped: impl Fn(&Forward) -> bool) {
        drop(self.take_where(clients, is_dropped));
        self.sweep_at = (
            SWEEP_LEN_MIN.max(2 * self.len()),
            SWEEP_BYTES_MIN.max(2 * self.bytes),
        );
    }

    /// Takes out those that are meant, in the order in which they came.
    fn take_where(
        &mut self,
        clients: &Clients,
        is_meant: impl Fn(&Forward) -> bool,
    ) -> Vec<UnsentRequest> {
        let mut taken = self.others.take_where(|own| is_meant(&own.forward));
        taken.extend(self.queues.take_where(clients, is_meant));
        self.taken(taken)
    }

    /// The same of one connection, for which the others are not looked at.
    fn take_of(
        &mut self,
        connection: u64,
        clients: &Clients,
        is_meant: impl Fn(&Forward) -> bool,
    ) -> Vec<UnsentRequest> {
        let is_meant_here = |own: &UnsentRequest| is_meant(&own.forward);
        let mut taken = self.others.take_of(connection, is_meant_here);
        taken.extend(self.queues.take_of(connection, clients, is_meant));
        self.taken(taken)
    }

    fn taken(&mut self, mut taken: Vec<UnsentRequest>) -> Vec<UnsentRequest> {
        taken.iter().for_each(|own| self.remove(own));
        taken.sort_by_key(|own| own.number);
        taken
    }

    /// Takes out what clients have sent. What is of ours stays.
    pub(crate) fn take_back(&mut self, clients: &Clients) -> Vec<KeptRequest> {
        self.take_back_where(clients, |_| true)
    }

    /// The same of those that are meant.
    pub(crate) fn take_back_where(
        &mut self,
        clients: &Clients,
        is_meant: impl Fn(&Forward) -> bool,
    ) -> Vec<KeptRequest> {
        if self.is_empty() {
            return Vec::new();
        }
        let taken = self.take_where(clients, |own| !own.is_ours() && is_meant(own));
        taken.into_iter().map(UnsentRequest::keep).collect()
    }

    /// The same of those of one connection.
    pub(super) fn take_back_of(
        &mut self,
        connection: u64,
        clients: &Clients,
        is_meant: impl Fn(&Forward) -> bool,
    ) -> Vec<KeptRequest> {
        let is_meant = |own: &Forward| !own.is_ours() && is_meant(own);
        let taken = self.take_of(connection, clients, is_meant);
        taken.into_iter().map(UnsentRequest::keep).collect()
    }

    /// Takes out what a client has sent in a stream.
    pub(crate) fn take_stream(
        &mut self,
        key: ClientStream,
        clients: &Clients,
    ) -> Vec<(Forward, Bytes)> {
        let is_its = |own: &Forward| own.key == key && !own.is_ours();
        let taken = self.take_of(key.connection, clients, is_its);
        taken
            .into_iter()
            .map(|own| (own.forward, own.body))
            .collect()
    }

    /// Takes out what goes next, if there is credit for something.
    pub(crate) fn pop(
        &mut self,
        credits: &UserCredits,
        clients: &Clients,
    ) -> Option<(Forward, Bytes)> {
        if !credits.has_any() {
            return None;
        }
        let other = self.others.first();
        let queue = self.queues.next(credits, clients);
        let queued = match (other, queue) {
            (Some(number), Some((first, _))) if number < first => self.others.pop()?,
            (_, Some((_, connection))) => self.queues.pop(connection, clients)?,
            _ => self.others.pop()?,
        };
        self.remove(&queued);
        if self.is_empty() {
            // What was much before says nothing of what comes.
            self.sweep_at = (SWEEP_LEN_MIN, SWEEP_BYTES_MIN);
        }
        Some((queued.forward, queued.body))
    }

    /// What all of them will have done to transactions.
    pub(super) fn steps(&self) -> &UnsentSteps {
        &self.steps
    }

    /// Whether something of a connection waits.
    pub(super) fn has_of(&self, connection: u64) -> bool {
        self.others.has(connection) || self.queues.of(connection).next().is_some()
    }

    /// What waits of a connection, in its order.
    pub(super) fn of(&self, connection: u64) -> Vec<&Forward> {
        let all = self.others.of(connection).chain(self.queues.of(connection));
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|own| own.number);
        all.into_iter().map(|own| &own.forward).collect()
    }

    /// Everything that waits, of each stream in its order: what is in a queue came behind what is
    /// not.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Forward> {
        let all = self.others.iter().chain(self.queues.iter());
        all.map(|own| &own.forward)
    }
}

#[cfg(test)]
pub(super) mod tests;
