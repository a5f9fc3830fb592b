//! What may be open in a link, and how it is ended that a client leaves open.
//!
//! ```text
//!   sent: [BEGIN 1]   waits: [statement 1] [BEGIN 2] [BEGIN 3] [COMMIT 3]
//!            └─ open by now, when all is sent ──┘ too       └─ ended by its client
//!   its client leaves ─▶ behind all that: [ROLLBACK 1] [ROLLBACK 2] [ROLLBACK 3]
//!                        what comes of 1 and 2 elsewhere is told that they are not there any more
//! ```
//!
//! A BEGIN that waits counts: where it is left behind, what comes in its stream is not to be done
//! without it.

use std::collections::BTreeSet;
use std::iter;

use bytes::Bytes;

use super::kept::ForwardBody;
use super::link::UpstreamLink;
use super::streams::{ClientStream, LostStream, StreamStep};
use super::waiting::Forward;
use crate::cells::claims::{Claims, RequestId, RequestPhase};

/// In which streams a connection leaves a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamsLeft {
    /// Where something may be open: what waits in the others is taken elsewhere.
    Open,
    /// In all of them: what waits is sent here, and nothing comes behind it.
    All,
}

impl<L> UpstreamLink<L> {
    /// How many transactions of a connection may be open here, now or when what waits is sent.
    pub(crate) fn open_of(&self, connection: u64) -> usize {
        self.waiting.steps().open_of(connection, &self.streams)
    }

    /// How many at most, which is known at once however much waits.
    pub(crate) fn open_of_at_most(&self, connection: u64) -> usize {
        (self.waiting.steps()).open_of_at_most(connection, &self.streams)
    }

    /// Whether a transaction may be open in a stream, now or when what waits is sent.
    pub(crate) fn may_be_open(&self, key: ClientStream) -> bool {
        self.waiting.steps().may_be_open(key, &self.streams)
    }

    /// A connection leaves this link: in these streams, what it may have left open is rolled back,
    /// behind what waits. Returns where its client has not ended what may be open, or will be when
    /// what waits is sent.
    pub(crate) fn leave(
        &mut self,
        connection: u64,
        which: StreamsLeft,
        claims: &Claims,
    ) -> Vec<LostStream> {
        // An end that waits may be taken back still.
        let open = self.streams.open_behind(connection, iter::empty());
        let mut keys: BTreeSet<_> = open.iter().map(|own| own.key).collect();
        let mut waiting = self.waiting.of(connection);
        waiting.retain(|own| own.is_ours() || claims.phase(own.id) == Some(RequestPhase::Queued));
        for own in waiting.iter().filter(|own| own.key.stream != 0) {
            if own.is_ours() {
                // It is rolled back already.
                keys.remove(&own.key);
            } else if which == StreamsLeft::All && own.step.may_begin() {
                keys.insert(own.key);
            }
        }
        let steps = waiting.iter().map(|own| (own.key, own.step, own.id));
        let mut lost = self.streams.open_behind(connection, steps);
        lost.retain(|own| keys.contains(&own.key));
        keys.iter().for_each(|key| self.roll_back(*key, claims));
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
    ) -> Option<Vec<(Forward, Bytes)>> {
        let is_begin = |own: &Forward| own.id == begin && own.step == StreamStep::Begin;
        let is_open = self.streams.is_begun_by(key, begin);
        let waiting = self.waiting.of(key.connection);
        if !is_open && !waiting.into_iter().any(is_begin) {
            return None;
        }
        let mut unsent = self.waiting.take_stream(key, &self.clients);
        let begun = unsent.iter().position(|(own, _)| is_begin(own));
        let behind = unsent.split_off(begun.map_or(0, |at| at + 1));
        for (forward, body) in unsent {
            self.submit(forward, ForwardBody::Own(body), claims);
        }
        self.roll_back(key, claims);
        Some(behind)
    }

    /// A call or SQL in a stream, which waits here, is not sent. Returns what is not done without
    /// it of what waits in the stream: that itself, what is behind it, and what is ahead of it from
    /// the first call on. Nothing, if a transaction may be open there by what was sent, or if that
    /// is rolled back already; `None` if it does not wait here.
    pub(crate) fn not_done_without(
        &self,
        key: ClientStream,
        call: RequestId,
        claims: &Claims,
    ) -> Option<Vec<Forward>> {
        let mut its = self.waiting.of(key.connection);
        its.retain(|own| own.key == key);
        let is_it = |own: &&Forward| own.id == call && own.step == StreamStep::MayBegin;
        let (ahead, behind) = its.split_at(its.iter().position(is_it)?);
        // What nobody waits for is not sent either.
        let is_sent =
            |own: &Forward| own.is_ours() || claims.phase(own.id) == Some(RequestPhase::Queued);
        let is_end = |own: &&Forward| own.step.ends() && is_sent(own);
        let end = ahead.iter().rposition(is_end);
        let ahead = &ahead[end.map_or(0, |at| at + 1)..];
        let first = (ahead.iter()).position(|own| own.step.may_begin() && is_sent(own));
        let ahead = &ahead[first.unwrap_or(ahead.len())..];
        let is_open = (end.is_none() && self.streams.may_be_open(key))
            || ahead.iter().any(|own| own.step == StreamStep::Begin);
        if is_open || behind.iter().any(|own| own.is_ours()) {
            return Some(Vec::new());
        }
        Some(ahead.iter().chain(behind).map(|own| **own).collect())
    }

    /// Takes out what waits in a stream with these numbers: it is answered already.
    pub(crate) fn drop_unsent(&mut self, key: ClientStream, numbers: &BTreeSet<u64>) {
        let is_meant = |own: &Forward| own.key == key && numbers.contains(&own.number);
        (self.waiting).take_back_of(key.connection, &self.clients, is_meant);
    }

    fn roll_back(&mut self, key: ClientStream, claims: &Claims) {
        self.streams.plan_rollback(key);
        self.submit(Forward::rollback(key), ForwardBody::Part(&[]), claims);
    }
}
