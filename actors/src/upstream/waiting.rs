//! Requests that wait in a link, because it is not ready, its socket is full, or the upstream has
//! enough to do. They go in the order in which they came, but those that wait for the credit of a
//! call, or for their client to read, let others pass, of other connections.

use std::collections::VecDeque;

use bytes::Bytes;
use vestibule_wire::keys::RequestType;

use super::again::Repeat;
use super::clients::Clients;
use super::credits::{Kind, UserCredits};
use super::kept::{ForwardBody, KeptRequest};
use super::queues::ConnectionQueues;
use super::sql_request::StatementStep;
use super::streams::{ClientStream, StreamStep};
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
    /// How many links it was given to.
    pub(crate) links: u8,
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
            links: 0,
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
    pub(super) forward: Forward,
    pub(super) body: Bytes,
}

impl UnsentRequest {
    fn before_all(forward: Forward, body: Bytes) -> Self {
        Self {
            number: 0,
            forward,
            body,
        }
    }
}

/// What waits in one link.
#[derive(Debug)]
pub(crate) struct UnsentRequests {
    /// What waits for the link, or for credits that are not those of calls.
    others: VecDeque<UnsentRequest>,
    /// Calls, what waits for clients, and what their connections sent behind that.
    queues: ConnectionQueues,
    last: u64,
    bytes: usize,
    sweep_at: (usize, usize),
}

impl Default for UnsentRequests {
    fn default() -> Self {
        Self {
            others: VecDeque::new(),
            queues: ConnectionQueues::default(),
            last: 0,
            bytes: 0,
            sweep_at: (SWEEP_LEN_MIN, SWEEP_BYTES_MIN),
        }
    }
}

impl UnsentRequests {
    pub(crate) fn len(&self) -> usize {
        self.others.len() + self.queues.len()
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
            forward,
            body: body.keep(),
        };
        self.bytes += queued.body.len();
        if forward.kind == Kind::Call || self.queues.has(forward.key.connection) {
            self.queues.push(queued, clients);
        } else {
            self.others.push_back(queued);
        }
        if self.len() >= self.sweep_at.0 || self.bytes >= self.sweep_at.1 {
            self.sweep(clients, is_wanted);
        }
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
        let mut own = self.take_others_of(key.connection);
        if let Some((forward, body)) = again {
            self.bytes += body.len();
            own.insert(0, UnsentRequest::before_all(forward, body));
        }
        self.queues.slow_down(key, under_way, own, clients);
    }

    fn take_others_of(&mut self, connection: u64) -> Vec<UnsentRequest> {
        let others = std::mem::take(&mut self.others).into_iter();
        let is_its = |own: &UnsentRequest| own.forward.key.connection == connection;
        let (own, others): (Vec<_>, Vec<_>) = others.partition(is_its);
        self.others = others.into();
        own
    }

    /// One that was sent, and is not done, waits once more: before all that its connection has sent
    /// behind it, whatever that waits for.
    pub(crate) fn push_first(&mut self, request: KeptRequest, clients: &Clients) {
        let KeptRequest { forward, body, .. } = request;
        let mut own = self.take_others_of(forward.key.connection);
        self.bytes += body.len();
        own.insert(0, UnsentRequest::before_all(forward, body));
        self.queues.push_all_first(forward.key, own, clients);
    }

    /// A read whose reply its client had no room for waits once more, before what its client has
    /// sent behind it.
    pub(crate) fn push_unread(&mut self, request: KeptRequest, clients: &Clients) {
        let KeptRequest { forward, body, .. } = request;
        self.bytes += body.len();
        let queued = UnsentRequest::before_all(forward, body);
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

    fn sweep(&mut self, clients: &Clients, is_wanted: impl Fn(RequestId) -> bool) {
        let is_kept = |own: &Forward| own.is_ours() || is_wanted(own.id);
        drop(self.take_where(clients, |own| !is_kept(own)));
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
        let all = std::mem::take(&mut self.others).into_iter();
        let (mut taken, kept): (Vec<_>, Vec<_>) = all.partition(|own| is_meant(&own.forward));
        self.others = kept.into();
        taken.extend(self.queues.take_where(clients, is_meant));
        self.bytes -= taken.iter().map(|own| own.body.len()).sum::<usize>();
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
        let taken = taken.into_iter();
        let unsent = |own: UnsentRequest| {
            let body = ForwardBody::Own(own.body);
            KeptRequest::unsent(own.forward, body)
        };
        taken.map(unsent).collect()
    }

    /// Takes out what a client has sent in a stream.
    pub(crate) fn take_stream(
        &mut self,
        key: ClientStream,
        clients: &Clients,
    ) -> Vec<(Forward, Bytes)> {
        let taken = self.take_where(clients, |own| own.key == key && !own.is_ours());
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
        let other = self.others.front().map(|own| own.number);
        let queue = self.queues.next(credits, clients);
        let queued = match (other, queue) {
            (Some(number), Some((first, _))) if number < first => self.others.pop_front()?,
            (_, Some((_, connection))) => self.queues.pop(connection, clients)?,
            _ => self.others.pop_front()?,
        };
        self.bytes -= queued.body.len();
        if self.is_empty() {
            // What was much before says nothing of what comes.
            self.sweep_at = (SWEEP_LEN_MIN, SWEEP_BYTES_MIN);
        }
        Some((queued.forward, queued.body))
    }

    /// Everything that waits, of each stream in its order: what is in a queue came behind what is
    /// not.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Forward> {
        let all = self.others.iter().chain(self.queues.iter());
        all.map(|own| &own.forward)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::rc::Rc;
    use std::sync::Arc;

    use super::*;
    use crate::limits::{UPSTREAM_CALLS_MAX, UPSTREAM_CALLS_USERS_RESERVE};
    use crate::upstream::Credits;

    pub(in crate::upstream) fn forward(session: u32, sync: u64, kind: Kind) -> Forward {
        let key = ClientStream {
            session,
            connection: u64::from(session),
            stream: 0,
        };
        Forward {
            id: RequestId {
                index: sync as u32,
                generation: 1,
            },
            number: sync,
            kind,
            sync,
            repeat: Repeat::Write,
            ..Forward::of_ours(key, RequestType::Ping as u16)
        }
    }

    fn push(own: &mut UnsentRequests, session: u32, sync: u64, kind: Kind) {
        own.push(
            forward(session, sync, kind),
            ForwardBody::Part(b"body"),
            &Clients::default(),
            |_| true,
        );
    }

    /// Credits of an upstream that has as many calls on its way as it may have, but for this
    /// number.
    fn credits(calls: usize) -> UserCredits {
        let own = UserCredits::of(Rc::new(Credits::of_one(1, true, Arc::default())));
        let max = UPSTREAM_CALLS_MAX - UPSTREAM_CALLS_USERS_RESERVE;
        (calls..max).for_each(|_| own.take(Kind::Call));
        own
    }

    /// Takes out what goes, with credits for this number of calls.
    fn pop_all(own: &mut UnsentRequests, calls: usize) -> Vec<u64> {
        let (credits, clients) = (credits(calls), Clients::default());
        let pop = || {
            let (forward, _) = own.pop(&credits, &clients)?;
            credits.take(forward.kind);
            Some(forward.sync)
        };
        std::iter::from_fn(pop).collect()
    }

    #[test]
    fn calls_let_others_pass_and_their_own_sessions_wait_behind_them() {
        let mut own = UnsentRequests::default();
        for (session, sync, kind) in [
            (1, 1, Kind::Other),
            (1, 2, Kind::Call),
            (2, 3, Kind::Other),
            (1, 4, Kind::Other),
            (3, 5, Kind::Call),
        ] {
            push(&mut own, session, sync, kind);
        }
        assert_eq!(pop_all(&mut own, 0), [1, 3]);
        assert!(own.may_pass(2) && !own.may_pass(1) && !own.may_pass(3));
        assert_eq!(pop_all(&mut own, 10), [2, 4, 5]);
        assert!(own.is_empty() && own.may_pass(1));
        assert_eq!(own.bytes, 0);
    }

    #[test]
    fn with_credit_for_all_they_go_as_they_came() {
        let mut own = UnsentRequests::default();
        let kind = |sync| [Kind::Call, Kind::Other][sync as usize % 2];
        for sync in 0..10 {
            push(&mut own, sync as u32, sync, kind(sync));
        }
        assert_eq!(pop_all(&mut own, 10), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn what_nobody_waits_for_takes_no_room_for_long() {
        let (mut own, clients) = (UnsentRequests::default(), Clients::default());
        for sync in 0..10_000 {
            let kind = [Kind::Call, Kind::Other][sync as usize % 2];
            let body = ForwardBody::Own(vec![0; 100].into());
            own.push(forward(7, sync, kind), body, &clients, |_| false);
            assert!(own.len() <= SWEEP_LEN_MIN);
        }
        let body = ForwardBody::Own(vec![0; SWEEP_BYTES_MIN].into());
        own.push(forward(7, 0, Kind::Other), body, &clients, |_| false);
        assert!(own.is_empty() && own.may_pass(7));
    }

    #[test]
    fn what_is_taken_back_is_what_clients_have_sent_and_in_its_order() {
        let (mut own, clients) = (UnsentRequests::default(), Clients::default());
        let in_stream = |sync, kind, stream| {
            let mut forward = forward(7, sync, kind);
            forward.key.stream = stream;
            forward
        };
        let all = [
            in_stream(1, Kind::Call, 1),
            in_stream(2, Kind::Other, 2),
            in_stream(3, Kind::Other, 1),
            Forward::rollback(in_stream(0, Kind::Other, 1).key),
        ];
        for forward in all {
            own.push(forward, ForwardBody::Part(b"body"), &clients, |_| true);
        }
        let taken = own.take_stream(all[0].key, &clients);
        let syncs: Vec<_> = taken.iter().map(|(forward, _)| forward.sync).collect();
        assert_eq!((syncs, own.len()), (vec![1, 3], 2));
        let taken = own.take_back(&clients);
        assert!(taken.iter().map(|own| own.forward.id).eq([all[1].id]));
        own.sweep(&clients, |_| false);
        assert_eq!(
            own.pop(&credits(1), &clients).map(|(forward, _)| forward),
            Some(all[3])
        );
        assert!(own.may_pass(7));
    }
}
