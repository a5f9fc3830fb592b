//! Replies of an upstream: whose they are, and what follows from them.

use std::time::Instant;

use bytes::Bytes;
use vestibule_wire::ErrorCode;
use vestibule_wire::client::ReplyFrame;
use vestibule_wire::keys::{CODE_ERROR, CODE_EVENT};

use super::statements::LinkStatements;
use crate::cells::claims::{Claims, RequestId};
use crate::upstream::again::Repeat;
use crate::upstream::clients::Clients;
use crate::upstream::credits::{Kind, UserCredits};
use crate::upstream::handshake::{Handshake, Refusal};
use crate::upstream::incoming::Frames;
use crate::upstream::kept::KeptRequest;
use crate::upstream::owed::{Owed, OwedRequest};
use crate::upstream::sql_request::StatementStep;
use crate::upstream::streams::{BoundStreams, ClientStream, StreamStep};
use crate::upstream::waiting::UnsentRequests;

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

/// A request that its upstream has refused, and that may be sent again.
#[derive(Debug)]
pub(crate) struct RefusedRequest {
    pub(crate) request: KeptRequest,
    /// The reply: its code, and its body.
    pub(crate) code: u32,
    pub(crate) body: Bytes,
}

/// What a request that is owed no more gives back.
#[derive(Debug, Clone, Copy)]
pub(super) struct GivenBack {
    key: ClientStream,
    kind: Kind,
    statement: StatementStep,
}

impl GivenBack {
    #[inline]
    pub(super) fn of(own: &OwedRequest) -> Self {
        Self {
            key: own.key,
            kind: own.kind,
            statement: own.statement,
        }
    }
}

/// What a link has to do with reads of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadRole {
    /// Nothing: there are none.
    None,
    /// The upstream takes changes: when it has answered a client is remembered.
    Writer,
    /// The upstream is a replica, which answers SELECTs. What it refuses, or what its client has no
    /// room for, goes to the one that takes changes.
    Replica,
}

/// Frames of the upstream, told to the sink as replies to requests.
pub(super) struct Answers<'a, S> {
    /// The number of the link.
    pub(super) link: u64,
    pub(super) handshake: &'a mut Handshake,
    pub(super) settings: &'a mut usize,
    pub(super) owed: &'a mut Owed,
    pub(super) streams: &'a mut BoundStreams,
    pub(super) credits: &'a UserCredits,
    pub(super) clients: &'a Clients,
    pub(super) waiting: &'a mut UnsentRequests,
    pub(super) claims: &'a Claims,
    pub(super) schema_version: &'a mut u64,
    pub(super) refused: &'a mut Vec<RefusedRequest>,
    pub(super) statements: &'a mut LinkStatements,
    pub(super) refusal: Option<Refusal>,
    pub(super) reads: ReadRole,
    pub(super) bulk_bytes_min: usize,
    pub(super) large: &'a mut Vec<ClientStream>,
    pub(super) returned: &'a mut Vec<KeptRequest>,
    pub(super) now: Instant,
    pub(super) sink: &'a mut S,
}

impl<S: Sink> Answers<'_, S> {
    /// The reply is whole, of this number of bytes; `code` is its own, if it came in one piece.
    #[inline]
    fn finish(&mut self, sync: u64, code: u32, bytes: usize) {
        // No more than this is read of it, where it stands.
        let Some(own) = self.owed.get(sync) else {
            return;
        };
        let (owed, key) = (GivenBack::of(own), own.key);
        let OwedRequest {
            id, stream, step, ..
        } = *own;
        let kept = self.owed.free(sync);
        self.give_back(sync, owed, kept, bytes);
        match self.reads {
            ReadRole::None => {}
            ReadRole::Writer => self.clients.answered_by_writer(key, self.now),
            ReadRole::Replica => self.clients.answered_by_replica(key, self.now),
        }
        if stream != 0 {
            let has_failed = step == StreamStep::Begin && code & CODE_ERROR != 0;
            let found_open = code == CODE_ERROR | u32::from(ErrorCode::ACTIVE_TRANSACTION.0);
            let failed = has_failed.then_some((id, found_open));
            self.streams.answered(stream, failed);
        }
    }

    /// A request is owed no more, whose reply has this number of bytes.
    #[inline]
    pub(super) fn give_back(&mut self, sync: u64, own: GivenBack, kept: usize, bytes: usize) {
        self.credits.give_back(own.kind);
        self.credits.all().let_go(kept);
        if own.kind == Kind::Call {
            self.clients.end_call(own.key);
        }
        self.waiting.answered(own.key, bytes, self.clients);
        if own.statement != StatementStep::Nothing {
            self.statements.over(sync);
        }
    }

    /// Whether the large reply to this is not taken, because its client does not read and it can be
    /// had again.
    fn is_put_off(&self, to: &OwedRequest, sync: u64) -> bool {
        to.repeat == Repeat::Read && self.owed.has_body(sync) && self.sink.is_waited_for(to.id)
    }

    /// A reply was not taken: its request is asked once more, when its client has read.
    pub(super) fn put_off(&mut self, sync: u64, bytes: usize) {
        let Some(own) = self.owed.remove(sync, true) else {
            return;
        };
        let (forward, kept) = (own.forward, own.kept);
        if self.reads == ReadRole::Replica {
            self.returned.extend(own.keep());
        } else if let Some(request) = own.keep()
            && self.claims.requeue(forward.id)
        {
            self.waiting.push_unread(request, self.clients);
        }
        self.give_back(sync, GivenBack::of(&forward), kept, bytes);
    }

    /// Whether an error of a replica is not told, for the one that takes changes is asked.
    #[cold]
    fn is_returned(&mut self, frame: &ReplyFrame<'_>) -> bool {
        let to = self.owed.get(frame.sync);
        let is_waited_for = to.is_some_and(|own| self.sink.is_waited_for(own.id));
        if self.reads != ReadRole::Replica || !is_waited_for || !self.owed.has_body(frame.sync) {
            return false;
        }
        let Some(own) = self.owed.remove(frame.sync, true) else {
            return false;
        };
        self.give_back(
            frame.sync,
            GivenBack::of(&own.forward),
            own.kept,
            frame.size,
        );
        self.returned.extend(own.keep());
        true
    }

    /// Keeps a request that is refused, if it may be sent again. False if it is answered by that.
    #[cold]
    fn keep_refused(&mut self, frame: &ReplyFrame<'_>) -> bool {
        let Some(to) = self.owed.get(frame.sync) else {
            return false;
        };
        let code = frame.code.checked_sub(CODE_ERROR);
        let code = code.and_then(|code| u16::try_from(code).ok());
        let may = code.is_some_and(|code| to.repeat.may_after_refusal(ErrorCode(code)));
        if !may || !self.sink.is_waited_for(to.id) || !self.owed.has_body(frame.sync) {
            return false;
        }
        let Some(own) = self.owed.remove(frame.sync, true) else {
            return false;
        };
        self.give_back(
            frame.sync,
            GivenBack::of(&own.forward),
            own.kept,
            frame.size,
        );
        self.refused
            .extend(own.keep().map(|request| RefusedRequest {
                request,
                code: frame.code,
                body: Bytes::copy_from_slice(frame.body),
            }));
        true
    }
}

impl<S: Sink> Frames for Answers<'_, S> {
    type Large = S::Large;

    #[inline]
    fn frame(&mut self, frame: &ReplyFrame<'_>) {
        if !self.handshake.is_ready() {
            let taken = self.handshake.take_reply(frame);
            self.refusal = self.refusal.take().or(taken.err());
            return;
        }
        if frame.code == CODE_EVENT {
            return;
        }
        if let Some(version) = frame.schema_version {
            *self.schema_version = version;
        }
        // What is not owed over this link is nobody's.
        if frame.code >= CODE_ERROR && (self.is_returned(frame) || self.keep_refused(frame)) {
            return;
        }
        let Some(to) = self.owed.get(frame.sync) else {
            return;
        };
        if to.statement != StatementStep::Nothing && frame.is_final() {
            let to = *to;
            self.answer_statement(&to, frame);
        } else if to.id != RequestId::NONE {
            self.sink.reply(to, frame);
        } else if to.is_setting && frame.is_final() {
            match frame.error().and_then(Refusal::of_setting) {
                // It never becomes ready.
                Some(refusal) => self.refusal = self.refusal.take().or(Some(refusal)),
                None => *self.settings -= 1,
            }
        }
        if frame.is_final() {
            self.finish(frame.sync, frame.code, frame.size);
        }
    }

    fn begin(&mut self, head: &ReplyFrame<'_>, body: usize) -> Option<S::Large> {
        let mut to = self.owed.get(head.sync)?;
        if body >= self.bulk_bytes_min {
            self.large.push(to.key);
        }
        if to.statement != StatementStep::Nothing && head.is_final() {
            let own = *to;
            if !self.on_statement(&own, head) {
                return None;
            }
            to = self.owed.get(head.sync)?;
        }
        if !self.sink.is_waited_for(to.id) {
            return None;
        }
        let is_put_off = head.is_final() && self.is_put_off(to, head.sync);
        if is_put_off && !self.clients.has_room(to.key) {
            let (key, under_way) = (to.key, self.owed.count_of(to.key.connection));
            self.waiting.slow_down(key, under_way, None, self.clients);
            return None;
        }
        Some(self.sink.begin(to, head, body))
    }

    fn add(&mut self, large: &mut S::Large, bytes: &[u8]) {
        self.sink.add(large, bytes);
    }

    fn end(&mut self, sync: u64, is_final: bool, bytes: usize, large: Option<S::Large>) {
        let Some(to) = self.owed.get(sync) else {
            return;
        };
        if bytes >= self.bulk_bytes_min {
            // It may have come for long.
            self.large.push(to.key);
        }
        match large {
            Some(large) => self.sink.end(to, large),
            // Its text or its rows, and no refusal by who takes nothing now.
            None if is_final && to.is_setting && to.id == RequestId::NONE => *self.settings -= 1,
            None if is_final && self.is_put_off(to, sync) => return self.put_off(sync, bytes),
            None => {}
        }
        if is_final {
            // What begins a transaction has no large reply.
            self.finish(sync, 0, bytes);
        }
    }
}
