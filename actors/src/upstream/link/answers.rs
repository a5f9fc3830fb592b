//! Replies of an upstream: whose they are, and what follows from them.

use bytes::Bytes;
use vestibule_wire::ErrorCode;
use vestibule_wire::client::ReplyFrame;
use vestibule_wire::keys::{CODE_ERROR, CODE_EVENT};

use crate::cells::claims::RequestId;
use crate::upstream::credits::Credits;
use crate::upstream::handshake::{Handshake, Refusal};
use crate::upstream::incoming::Frames;
use crate::upstream::owed::{Owed, OwedRequest, TakenRequest};
use crate::upstream::streams::{BoundStreams, StreamStep};
use crate::upstream::waiting::KeptRequest;

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

/// Frames of the upstream, told to the sink as replies to requests.
pub(super) struct Answers<'a, S> {
    pub(super) handshake: &'a mut Handshake,
    pub(super) owed: &'a mut Owed,
    pub(super) streams: &'a mut BoundStreams,
    pub(super) credits: &'a Credits,
    pub(super) schema_version: &'a mut u64,
    pub(super) refused: &'a mut Vec<RefusedRequest>,
    pub(super) refusal: Option<Refusal>,
    pub(super) sink: &'a mut S,
}

impl<S: Sink> Answers<'_, S> {
    /// The reply is whole; `code` is its own, if it came in one piece.
    #[inline]
    fn finish(&mut self, sync: u64, code: u32) {
        let Some(TakenRequest {
            forward: own, kept, ..
        }) = self.owed.remove(sync, false)
        else {
            return;
        };
        self.credits.give_back(own.kind);
        self.credits.let_go(kept);
        if own.stream != 0 {
            let has_failed = own.step == StreamStep::Begin && code & CODE_ERROR != 0;
            let found_open = code == CODE_ERROR | u32::from(ErrorCode::ACTIVE_TRANSACTION.0);
            let failed = has_failed.then_some((own.id, found_open));
            self.streams.answered(own.stream, failed);
        }
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
        self.credits.give_back(own.forward.kind);
        self.credits.let_go(own.kept);
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
        if frame.code >= CODE_ERROR && self.keep_refused(frame) {
            return;
        }
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
