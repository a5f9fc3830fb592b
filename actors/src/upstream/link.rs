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

use vestibule_wire::client::{MalformedReply, ReplyFrame, RequestHeader};
use vestibule_wire::keys::CODE_EVENT;

use super::credits::Credits;
use super::handshake::{Handshake, LinkUser, Refusal};
use super::incoming::{FrameReader, Frames};
use super::outbox::Outbox;
use super::owed::{Owed, OwedRequest};
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

    /// Whether nothing waits in it and nothing is owed.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.owed.len() == 0 && self.out.is_empty()
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
            && self.waiting.may_pass(forward.session)
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
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().map(|own| own.id).collect()
    }

    /// Sends a request, unless it was taken back.
    #[inline]
    fn send(&mut self, forward: &Forward, body: ForwardBody<'_>, claims: &Claims) {
        if !claims.claim(forward.id) {
            return;
        }
        self.credits.take(forward.kind);
        let sync = self.owed.add(OwedRequest {
            id: forward.id,
            sync: forward.sync,
            kind: forward.kind,
        });
        let header = RequestHeader {
            sync,
            stream_id: 0,
            schema_version: forward.schema_version,
        };
        let request = forward.request as u64;
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

    /// What comes of it when it ends: the requests that were not sent, and those that were.
    pub(crate) fn end(&mut self) -> (Vec<RequestId>, Vec<RequestId>) {
        for own in self.owed.iter() {
            self.credits.give_back(own.kind);
        }
        let owed = std::mem::take(&mut self.owed);
        self.out = Outbox::default();
        self.incoming = FrameReader::default();
        (self.take_back(), owed.iter().map(|own| own.id).collect())
    }
}

/// Frames of the upstream, told to the sink as replies to requests.
struct Answers<'a, S> {
    handshake: &'a mut Handshake,
    owed: &'a mut Owed,
    credits: &'a Credits,
    schema_version: &'a mut u64,
    refused: Option<Refusal>,
    sink: &'a mut S,
}

impl<S: Sink> Answers<'_, S> {
    fn finish(&mut self, sync: u64) {
        if let Some(own) = self.owed.remove(sync) {
            self.credits.give_back(own.kind);
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
        self.sink.reply(to, frame);
        if frame.is_final() {
            self.finish(frame.sync);
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
            self.finish(sync);
        }
    }
}

#[cfg(test)]
mod tests;
