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

use vestibule_wire::ErrorCode;
use vestibule_wire::client::{MalformedReply, ReplyFrame, RequestHeader};
use vestibule_wire::keys::{CODE_ERROR, CODE_EVENT};

use super::credits::Credits;
use super::handshake::{Handshake, LinkUser, Refusal};
use super::incoming::{FrameReader, Frames};
use super::outbox::Outbox;
use super::owed::{Owed, OwedRequest};
use super::streams::{BoundStreams, ClientStream, LostStream, StreamStep};
use super::waiting::{Forward, ForwardBody, UnsentRequests};
use crate::cells::claims::{Claims, RequestId, RequestPhase};
use crate::limits::LINK_AHEAD_MAX;

/// Who gets replies.
pub(crate) trait Sink {
    /// What a large reply is gathered in.
    type Large;
    /// Whether somebody waits for a request.
    fn is_waited_for(&self, id: RequestId) -> bool;
    /// A whole reply, or a push before it.
    fn reply(&mut self, to: &OwedRequest, frame: &ReplyFrame<'_>);
    /// A large one of them begins, with a body of this size.
    fn begin(&mut self, to: &OwedRequest, head: &ReplyFrame<'_>, body: usize) -> Self::Large;
    /// More of it.
    fn add(&mut self, large: &mut Self::Large, bytes: &[u8]);
    /// A large one is whole.
    fn end(&mut self, to: &OwedRequest, large: Self::Large);
}

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

/// One connection to an upstream.
#[derive(Debug)]
pub(crate) struct UpstreamLink<L> {
    user: LinkUser,
    credits: Rc<Credits>,
    handshake: Handshake,
    waiting: UnsentRequests,
    streams: BoundStreams,
    owed: Owed,
    out: Outbox,
    incoming: FrameReader<L>,
    /// The upstream's number of its catalog, as its last reply told it; 0 before.
    schema_version: u64,
    /// Since when nothing was to be done.
    idle_since: Instant,
}

impl<L> UpstreamLink<L> {
    pub(crate) fn new(user: LinkUser, credits: Rc<Credits>, now: Instant) -> Self {
        Self {
            user,
            credits,
            handshake: Handshake::default(),
            waiting: UnsentRequests::default(),
            streams: BoundStreams::default(),
            owed: Owed::default(),
            out: Outbox::default(),
            incoming: FrameReader::default(),
            schema_version: 0,
            idle_since: now,
        }
    }

    /// Whether it is greeted and logged in.
    pub(crate) fn is_ready(&self) -> bool {
        self.handshake.is_ready()
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
        let may_go = self.handshake.is_ready()
            && self.waiting.may_pass(forward.key.session)
            && self.may_add()
            && !self.credits.is_wanted()
            && self.credits.has(forward.kind);
        if may_go {
            self.send(&forward, body, claims);
        } else {
            let is_wanted = |id| claims.phase(id) == Some(RequestPhase::Queued);
            self.waiting.push(forward, body, is_wanted);
        }
    }

    /// Sends what waits, as far as it may go now; what keeps the rest is told.
    pub(crate) fn pump(&mut self, claims: &Claims) -> Pumped {
        if !self.handshake.is_ready() {
            return Pumped::All;
        }
        while self.may_add() {
            let credits = &self.credits;
            let Some((forward, body)) = self.waiting.pop(|kind| credits.has(kind)) else {
                return match self.waiting.is_empty() {
                    true => Pumped::All,
                    false => Pumped::ForCredits,
                };
            };
            self.send(&forward, body, claims);
        }
        match self.waiting.is_empty() {
            true => Pumped::All,
            false => Pumped::ForSocket,
        }
    }

    /// The upstream's number of its catalog: as the last reply told it here, or where it was `seen`
    /// otherwise.
    #[inline]
    pub(crate) fn schema_version(&mut self, seen: u64) -> u64 {
        self.schema_version = self.schema_version.max(seen);
        self.schema_version
    }

    /// Whether more may be added to what it has for its socket.
    pub(crate) fn may_add(&self) -> bool {
        self.out.len() < LINK_AHEAD_MAX
    }

    /// Whether something waits in it.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The credits that it shares.
    pub(crate) fn credits(&self) -> &Credits {
        &self.credits
    }

    /// Takes out what is not sent: it never will be, over this link.
    pub(crate) fn take_back(&mut self) -> Vec<RequestId> {
        self.waiting.take_back()
    }

    /// How many transactions of a connection may be open here.
    pub(crate) fn open_of(&self, connection: u64) -> usize {
        self.streams.open_of(connection)
    }

    /// Whether a transaction may be open in a stream.
    pub(crate) fn may_be_open(&self, key: ClientStream) -> bool {
        self.streams.may_be_open(key)
    }

    /// A session does not use this link any more: what it may have left open in its streams is
    /// rolled back, behind what it has sent. Returns where something may be open by now.
    pub(crate) fn leave(
        &mut self,
        session: u32,
        connection: u64,
        claims: &Claims,
    ) -> Vec<LostStream> {
        let lost = self.streams.may_be_open_of(connection);
        let mut keys: Vec<ClientStream> = lost.iter().map(|own| own.key).collect();
        let waiting = self.waiting.iter().filter(|own| {
            let is_its = (own.key.session, own.key.connection) == (session, connection);
            is_its && own.key.stream != 0 && own.step.may_begin()
        });
        keys.extend(waiting.map(|own| own.key));
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().for_each(|key| self.roll_back(key, claims));
        lost
    }

    /// Requests go elsewhere: whatever may be open in streams is rolled back. Returns where that
    /// is.
    pub(crate) fn leave_all(&mut self, claims: &Claims) -> Vec<LostStream> {
        let lost = self.streams.all_that_may_be_open();
        lost.iter().for_each(|own| self.roll_back(own.key, claims));
        lost
    }

    /// The transaction of a stream that this BEGIN has begun, or will have, is rolled back. Returns
    /// what its client has sent in the stream behind that, and is not sent; `None` if that
    /// transaction is not the one of the stream any more.
    pub(crate) fn abort(
        &mut self,
        key: ClientStream,
        begin: RequestId,
        claims: &Claims,
    ) -> Option<Vec<(Forward, ForwardBody<'static>)>> {
        let is_begin = |own: &Forward| own.id == begin && own.step == StreamStep::Begin;
        let is_open = self.streams.is_begun_by(key, begin);
        if !is_open && !self.waiting.iter().any(is_begin) {
            return None;
        }
        let mut unsent = self.waiting.take_stream(key);
        let begun = unsent.iter().position(|(own, _)| is_begin(own));
        let behind = unsent.split_off(begun.map_or(0, |at| at + 1));
        for (forward, body) in unsent {
            self.submit(forward, body, claims);
        }
        self.roll_back(key, claims);
        Some(behind)
    }

    fn roll_back(&mut self, key: ClientStream, claims: &Claims) {
        self.streams.plan_rollback(key);
        self.submit(Forward::rollback(key), ForwardBody::Part(&[]), claims);
    }

    /// Sends a request, unless it was taken back.
    #[inline]
    fn send(&mut self, forward: &Forward, body: ForwardBody<'_>, claims: &Claims) {
        if !forward.is_ours() && !claims.claim(forward.id) {
            return;
        }
        self.credits.take(forward.kind);
        let (key, step) = (forward.key, forward.step);
        let stream = match key.stream {
            0 => 0,
            _ if forward.is_ours() => self.streams.send_rollback(key),
            _ => self.streams.send(key, step, forward.id),
        };
        let sync = self.owed.add(OwedRequest {
            id: forward.id,
            sync: forward.sync,
            kind: forward.kind,
            stream,
            step,
        });
        let header = RequestHeader {
            sync,
            stream_id: stream,
            schema_version: forward.schema_version,
        };
        let request = u64::from(forward.code);
        match body {
            ForwardBody::Part(body) => self.out.append(|out| {
                header.write_with(out, request, |out| out.extend_from_slice(body));
            }),
            ForwardBody::Own(bytes, at) => {
                let body = bytes.len() - at;
                self.out
                    .append(|out| header.write_before(out, request, body));
                self.out.push_buffer(bytes, at);
            }
        }
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
        now: Instant,
    ) -> Result<(), LinkFault> {
        let (taken, greeting) = self.handshake.take_greeting(bytes)?;
        if let Some(greeting) = greeting {
            let (handshake, user) = (&mut self.handshake, &self.user);
            self.out
                .append(|out| handshake.log_in(&greeting, user, out));
        }
        let mut frames = Answers {
            handshake: &mut self.handshake,
            owed: &mut self.owed,
            streams: &mut self.streams,
            credits: &self.credits,
            schema_version: &mut self.schema_version,
            refused: None,
            sink,
        };
        self.incoming.take(&bytes[taken..], &mut frames)?;
        if let Some(refused) = frames.refused {
            return Err(refused.into());
        }
        self.idle_since = now;
        Ok(())
    }

    /// What comes of it when it ends.
    pub(crate) fn end(&mut self) -> EndedLink {
        for own in self.owed.iter() {
            self.credits.give_back(own.kind);
        }
        let owed = std::mem::take(&mut self.owed);
        let waiting = std::mem::take(&mut self.waiting);
        let streams = std::mem::take(&mut self.streams);
        self.out = Outbox::default();
        self.incoming = FrameReader::default();
        let ids = |own: &OwedRequest| own.id;
        let commits = owed.iter().filter(|own| own.step == StreamStep::Commit);
        EndedLink {
            unsent: waiting.iter().map(|own| own.id).collect(),
            sent: owed.iter().map(ids).collect(),
            lost: streams.all_that_may_be_open(),
            committing: commits.filter_map(|own| streams.key(own.stream)).collect(),
        }
    }
}

/// What comes of a link that has ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct EndedLink {
    /// Requests that were not sent.
    pub(crate) unsent: Vec<RequestId>,
    /// Requests that were.
    pub(crate) sent: Vec<RequestId>,
    /// Streams in which a transaction may have been open.
    pub(crate) lost: Vec<LostStream>,
    /// Streams whose COMMIT was sent and not answered.
    pub(crate) committing: Vec<ClientStream>,
}

/// Frames of the upstream, told to the sink as replies to requests.
struct Answers<'a, S> {
    handshake: &'a mut Handshake,
    owed: &'a mut Owed,
    streams: &'a mut BoundStreams,
    credits: &'a Credits,
    schema_version: &'a mut u64,
    refused: Option<Refusal>,
    sink: &'a mut S,
}

impl<S: Sink> Answers<'_, S> {
    /// The reply is whole; `code` is its own, if it came in one piece.
    #[inline]
    fn finish(&mut self, sync: u64, code: u32) {
        let Some(own) = self.owed.remove(sync) else {
            return;
        };
        self.credits.give_back(own.kind);
        if own.stream != 0 {
            let has_failed = own.step == StreamStep::Begin && code & CODE_ERROR != 0;
            let found_open = code == CODE_ERROR | u32::from(ErrorCode::ACTIVE_TRANSACTION.0);
            let failed = has_failed.then_some((own.id, found_open));
            self.streams.answered(own.stream, failed);
        }
    }
}

impl<S: Sink> Frames for Answers<'_, S> {
    type Large = S::Large;

    #[inline]
    fn frame(&mut self, frame: &ReplyFrame<'_>) {
        if !self.handshake.is_ready() {
            let taken = self.handshake.take_reply(frame);
            self.refused = self.refused.take().or(taken.err());
            return;
        }
        if frame.code == CODE_EVENT {
            return;
        }
        if let Some(version) = frame.schema_version {
            *self.schema_version = version;
        }
        // What is not owed over this link is nobody's.
        let Some(to) = self.owed.get(frame.sync) else {
            return;
        };
        if to.id != RequestId::NONE {
            self.sink.reply(to, frame);
        }
        if frame.is_final() {
            self.finish(frame.sync, frame.code);
        }
    }

    fn begin(&mut self, head: &ReplyFrame<'_>, body: usize) -> Option<S::Large> {
        let to = self.owed.get(head.sync)?;
        let is_waited_for = self.sink.is_waited_for(to.id);
        is_waited_for.then(|| self.sink.begin(to, head, body))
    }

    fn add(&mut self, large: &mut S::Large, bytes: &[u8]) {
        self.sink.add(large, bytes);
    }

    fn end(&mut self, sync: u64, is_final: bool, large: Option<S::Large>) {
        if let Some((to, large)) = self.owed.get(sync).zip(large) {
            self.sink.end(to, large);
        }
        if is_final {
            // What begins a transaction has no large reply.
            self.finish(sync, 0);
        }
    }
}

#[cfg(test)]
mod tests;
