//! A link: one connection of a worker to an upstream, for one user. Bytes in, bytes out, and
//! nothing else: whose they are is the shell's matter.
//!
//! ```text
//!   submit ─┬ may go ─▶ claimed? ─▶ out ─▶ socket          socket ─▶ receive ─▶ the sink
//!           └ waits ──▶ waiting ── pump ──▲                              │
//!                                         └──── credits ◀── owed ◀───────┘ the reply is whole
//! ```
//!
//! What is in `out` is begun: the kernel may have it. Until then it can be taken back, by its claim
//! word.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use vestibule_wire::client::{MalformedReply, RequestHeader};

use self::answers::Answers;
pub(crate) use self::answers::{ReadRole, RefusedRequest, Sink};
pub(crate) use self::ended::EndedLink;
pub(crate) use self::statements::LinkStatements;
use super::clients::Clients;
use super::credits::{Credits, Kind, UserCredits};
use super::handshake::{Handshake, LinkUser, Refusal};
use super::incoming::FrameReader;
use super::kept::{ForwardBody, KeptRequest};
use super::outbox::Outbox;
use super::owed::{Owed, OwedRequest};
use super::sql_request::StatementStep;
use super::streams::{BoundStreams, ClientStream, StreamStep};
use super::waiting::{Forward, UnsentRequests};
use crate::cells::claims::{Claims, RequestId, RequestPhase};
use crate::limits::LINK_AHEAD_MAX;

/// Why a link has come to its end.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum LinkFault {
    /// The connection cannot be had, or is gone.
    #[error("{0}")]
    Lost(String),
    /// The connection does not come about.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The upstream sends what no server sends.
    #[error("it sends what no server sends: {0}")]
    Malformed(#[from] MalformedReply),
}

impl LinkFault {
    /// Whether the upstream refuses the user, and not everybody.
    pub(crate) fn is_of_user(&self) -> bool {
        matches!(self, Self::Refused(own) if own.is_of_user())
    }
}

/// What keeps requests in a link after it has sent what may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// Nothing does, or it is not ready.
    All,
    /// What it has for its socket is to be written first.
    ForSocket,
    /// Credits are to be given back first.
    ForCredits,
}

fn is_queued(claims: &Claims, id: RequestId) -> bool {
    claims.phase(id) == Some(RequestPhase::Queued)
}

/// One connection to an upstream.
#[derive(Debug)]
pub(crate) struct UpstreamLink<L> {
    /// Which of its worker it is.
    number: u64,
    user: LinkUser,
    credits: Rc<UserCredits>,
    pub(super) clients: Rc<Clients>,
    handshake: Handshake,
    /// What its client has set before, and is set here again: sent or not, and not answered.
    /// Nothing else goes before that is.
    settings: usize,
    pub(super) waiting: UnsentRequests,
    /// What others see of that: how many, and their bytes.
    shown: (usize, usize),
    pub(super) streams: BoundStreams,
    pub(super) owed: Owed,
    pub(super) out: Outbox,
    incoming: FrameReader<L>,
    refused: Vec<RefusedRequest>,
    pub(super) statements: LinkStatements,
    reads: ReadRole,
    /// Bytes of a reply from which on it is large.
    bulk_bytes_min: usize,
    /// Who was told something large since that was asked.
    large: Vec<ClientStream>,
    /// What a replica does not answer: it goes to the one that takes changes.
    returned: Vec<KeptRequest>,
    /// The upstream's number of its catalog, as its last reply told it; 0 before.
    schema_version: u64,
    /// Since when nothing was to be done.
    idle_since: Instant,
}

impl<L> UpstreamLink<L> {
    pub(crate) fn new(
        user: LinkUser,
        credits: Rc<UserCredits>,
        clients: Rc<Clients>,
        now: Instant,
    ) -> Self {
        Self {
            number: clients.number_link(),
            user,
            credits,
            clients,
            handshake: Handshake::default(),
            settings: 0,
            waiting: UnsentRequests::default(),
            shown: (0, 0),
            streams: BoundStreams::default(),
            owed: Owed::default(),
            out: Outbox::default(),
            incoming: FrameReader::default(),
            refused: Vec::new(),
            statements: LinkStatements::default(),
            reads: ReadRole::None,
            bulk_bytes_min: usize::MAX,
            large: Vec::new(),
            returned: Vec::new(),
            schema_version: 0,
            idle_since: now,
        }
    }

    /// The same, with this part in reads of replicas.
    pub(crate) fn with_reads(self, reads: ReadRole) -> Self {
        Self { reads, ..self }
    }

    /// The same, which tells of replies of this size and more.
    pub(crate) fn with_bulk(self, bulk_bytes_min: usize) -> Self {
        Self {
            bulk_bytes_min,
            ..self
        }
    }

    /// Which link of its worker it is.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What it has to do with reads of replicas.
    pub(crate) fn reads(&self) -> ReadRole {
        self.reads
    }

    /// What the clients of its worker cost.
    pub(crate) fn clients(&self) -> &Rc<Clients> {
        &self.clients
    }

    /// Whether it is greeted and logged in.
    pub(crate) fn is_logged_in(&self) -> bool {
        self.handshake.is_ready()
    }

    /// The same, and what its client has set is set: requests may go over it.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.handshake.is_ready() && self.settings == 0
    }

    /// What its client has set before is to be set here first.
    pub(crate) fn set_again(&mut self, forward: Forward, body: Bytes, claims: &Claims) {
        self.settings += 1;
        self.submit(forward, ForwardBody::Own(body), claims);
    }

    /// Whether nothing waits in it, nothing is owed, and no transaction may be open.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.owed.len() == 0
            && self.out.is_empty()
            && self.streams.is_empty()
    }

    /// Since when it has nothing to do, if it has nothing.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.is_idle().then_some(self.idle_since)
    }

    /// What is to be written.
    pub(crate) fn out(&mut self) -> &mut Outbox {
        &mut self.out
    }

    /// A request is to go over it. `claims` are those of its worker.
    #[inline]
    pub(crate) fn submit(&mut self, forward: Forward, body: ForwardBody<'_>, claims: &Claims) {
        if self.may_send(forward.key, forward.kind) {
            self.send(&forward, body, claims);
        } else {
            (self.waiting).push(forward, body, &self.clients, |id| is_queued(claims, id));
        }
    }

    /// Whether a request of a client would be sent at once.
    #[inline]
    pub(crate) fn may_send(&self, key: ClientStream, kind: Kind) -> bool {
        self.is_ready()
            && self.waiting.may_pass(key.connection)
            && self.may_add()
            && !self.credits().is_wanted()
            && (self.credits).has(kind, || self.clients.calls(key))
            && self.clients.has_room(key)
    }

    /// Sends what waits, as far as it may go now; what keeps the rest is told.
    pub(crate) fn pump(&mut self, claims: &Claims) -> Pumped {
        if !self.handshake.is_ready() {
            return Pumped::All;
        }
        self.release_statements(claims);
        while self.may_add() {
            if self.settings > 0 && self.owed.len() == self.settings {
                // The answers to all of them are waited for.
                return Pumped::All;
            }
            let Some((forward, body)) = self.waiting.pop(&self.credits, &self.clients) else {
                return match self.waiting.wants_credits() {
                    false => Pumped::All,
                    true => Pumped::ForCredits,
                };
            };
            let key = forward.key;
            let is_slow = self.waiting.is_slow(key.connection);
            if !is_slow && !forward.is_ours() && !self.clients.has_room(key) {
                let under_way = self.owed.count_of(key.connection);
                let again = Some((forward, body));
                (self.waiting).slow_down(key, under_way, again, &self.clients);
            } else if !self.send(&forward, ForwardBody::Own(body), claims) && is_slow {
                self.waiting.answered(key, 0, &self.clients);
            }
        }
        match self.waiting.wants_credits() {
            false => Pumped::All,
            true => Pumped::ForSocket,
        }
    }

    /// A client has read replies, or is gone; whether something of it may go by that.
    pub(crate) fn has_read(&mut self, connection: u64) -> bool {
        self.waiting.has_read(connection, &self.clients)
    }

    /// The upstream's number of its catalog, as the last reply told it here; 0 before.
    pub(crate) fn schema_version(&self) -> u64 {
        self.schema_version
    }

    /// Whether more may be added to what it has for its socket.
    pub(crate) fn may_add(&self) -> bool {
        self.out.len() < LINK_AHEAD_MAX
    }

    /// Whether something waits in it that does not wait for its client.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.wants_credits()
    }

    /// The credits that it shares.
    pub(crate) fn credits(&self) -> &Credits {
        self.credits.all()
    }

    /// Takes out what is not sent: it never will be, over this link.
    pub(crate) fn take_back(&mut self) -> Vec<KeptRequest> {
        self.waiting.take_back(&self.clients)
    }

    /// The same of what is no part of a transaction that may be open here.
    pub(crate) fn take_back_unbound(&mut self) -> Vec<KeptRequest> {
        let streams = &self.streams;
        let is_bound = |key: ClientStream| key.stream != 0 && streams.may_be_open(key);
        let is_meant = |own: &Forward| !is_bound(own.key);
        self.waiting.take_back_where(&self.clients, is_meant)
    }

    /// What clients have sent and is not answered. ROLLBACKs of ours have no word among the claims.
    pub(crate) fn owed_requests(&self) -> impl Iterator<Item = &OwedRequest> {
        self.owed.iter().filter(|own| !own.is_ours())
    }

    /// What clients have sent and this has not.
    pub(crate) fn unsent_requests(&self) -> impl Iterator<Item = &Forward> {
        self.waiting.iter().filter(|own| !own.is_ours())
    }

    /// How many transactions have a COMMIT that is sent and not answered.
    pub(crate) fn committing(&self) -> usize {
        let owed = self.owed.iter();
        owed.filter(|own| own.step == StreamStep::Commit).count()
    }

    /// Takes out what was refused, and may be sent again.
    #[inline]
    pub(crate) fn take_refused(&mut self) -> Vec<RefusedRequest> {
        std::mem::take(&mut self.refused)
    }

    /// Takes out whose large replies have begun, or were whole.
    #[inline]
    pub(crate) fn take_large(&mut self) -> Vec<ClientStream> {
        std::mem::take(&mut self.large)
    }

    /// Takes out what its replica does not answer.
    #[inline]
    pub(crate) fn take_returned(&mut self) -> Vec<KeptRequest> {
        std::mem::take(&mut self.returned)
    }

    /// In how many streams a transaction may be open.
    pub(crate) fn all_open(&self) -> usize {
        self.streams.all_that_may_be_open().len()
    }

    /// How many requests are sent and not answered.
    pub(crate) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// How many are not sent.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Shows others what waits, once a turn: not at each request.
    #[inline]
    pub(crate) fn show_waiting(&mut self) {
        let size = self.waiting.size();
        if size != self.shown {
            let before = std::mem::replace(&mut self.shown, size);
            self.credits().count_waiting(before, size);
        }
    }

    /// Drops what waits and nobody waits for. Whether there was something.
    pub(crate) fn drop_unwanted(&mut self, claims: &Claims) -> bool {
        let before = self.waiting.len();
        self.waiting
            .sweep(&self.clients, |id| is_queued(claims, id));
        self.show_waiting();
        self.waiting.len() < before
    }

    /// Bytes that the kernel has not taken.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.out.len()
    }

    /// Sends a request; false if it was taken back.
    #[inline]
    fn send(&mut self, forward: &Forward, body: ForwardBody<'_>, claims: &Claims) -> bool {
        if !forward.is_ours() && !claims.claim(forward.id) {
            return false;
        }
        self.credits.take(forward.kind);
        if forward.kind == Kind::Call {
            self.clients.begin_call(forward.key);
        }
        let (key, step) = (forward.key, forward.step);
        let stream = match key.stream {
            0 => 0,
            _ if forward.is_ours() => self.streams.send_rollback(key),
            _ => self.streams.send(key, step, forward.id),
        };
        // What is in a stream is not sent again.
        let is_kept = forward.repeat.may_move() && self.credits().keep(body.bytes().len());
        let sync = (self.owed).add(forward, stream, is_kept.then_some(&body));
        let header = RequestHeader {
            sync,
            stream_id: stream,
            schema_version: forward.schema_version,
        };
        let (code, body) = match forward.statement {
            StatementStep::Nothing => (forward.code, body),
            _ => self.statement_body(forward, sync, body, claims),
        };
        let request = u64::from(code);
        match body {
            ForwardBody::Part(body) => self.out.append(|out| {
                header.write_before(out, request, body.len());
                out.extend_from_slice(body);
            }),
            ForwardBody::Own(body) => {
                self.out
                    .append(|out| header.write_before(out, request, body.len()));
                self.out.push_buffer(body);
            }
        }
        true
    }

    /// Takes what was read.
    ///
    /// # Errors
    ///
    /// The connection is of no use any more.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        sink: &mut impl Sink<Large = L>,
        claims: &Claims,
        now: Instant,
    ) -> Result<(), LinkFault> {
        let (taken, greeting) = self.handshake.take_greeting(bytes)?;
        if let Some(greeting) = greeting {
            let (handshake, user) = (&mut self.handshake, &self.user);
            self.out
                .append(|out| handshake.log_in(&greeting, user, out));
        }
        let mut frames = Answers {
            link: self.number,
            handshake: &mut self.handshake,
            settings: &mut self.settings,
            owed: &mut self.owed,
            streams: &mut self.streams,
            credits: &self.credits,
            clients: &self.clients,
            waiting: &mut self.waiting,
            claims,
            schema_version: &mut self.schema_version,
            refused: &mut self.refused,
            statements: &mut self.statements,
            refusal: None,
            reads: self.reads,
            bulk_bytes_min: self.bulk_bytes_min,
            large: &mut self.large,
            returned: &mut self.returned,
            now,
            sink,
        };
        self.incoming.take(&bytes[taken..], &mut frames)?;
        if let Some(refused) = frames.refusal {
            return Err(refused.into());
        }
        self.idle_since = now;
        Ok(())
    }

    /// What comes of it when it ends.
    pub(crate) fn end(&mut self) -> EndedLink {
        let mut end = EndedLink::default();
        let streams = std::mem::take(&mut self.streams);
        for own in std::mem::take(&mut self.owed).into_all() {
            let OwedRequest {
                id,
                kind,
                step,
                stream,
                repeat,
                ..
            } = own.forward;
            self.credits.give_back(kind);
            self.credits().let_go(own.kept);
            if kind == Kind::Call {
                self.clients.end_call(own.forward.key);
            }
            if step == StreamStep::Commit {
                end.committing.extend(streams.key(stream));
            }
            match own.keep().filter(|_| repeat.may_after_loss()) {
                Some(kept) => end.again.push(kept),
                // A ROLLBACK of ours: nobody waits for it.
                None if id == RequestId::NONE => {}
                None => end.sent.push(id),
            }
        }
        end.lost = streams.all_that_may_be_open();
        self.statements = LinkStatements::default();
        self.out = Outbox::default();
        self.incoming = FrameReader::default();
        end.again.append(&mut self.take_back());
        self.waiting = UnsentRequests::default();
        self.show_waiting();
        end
    }
}

mod answers;
mod ended;
mod executing;
mod statements;
#[cfg(test)]
mod tests;
