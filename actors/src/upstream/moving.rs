//! What becomes of a connection's requests when it goes from one link to another one of the same
//! upstream.
//!
//! ```text
//!   what waits here ──┬ in a stream that stays here ─▶ it is sent here
//!                     └ all else ─▶ taken back ─▶ the other link
//!   what is begun, and not written ─▶ the other link holds what it has of this connection
//! ```

use std::collections::BTreeSet;

use super::kept::KeptRequest;
use super::link::UpstreamLink;
use super::streams::{ClientStream, StreamsKept};
use super::waiting::Forward;

impl<L> UpstreamLink<L> {
    /// Whether a stream stays here.
    pub(crate) fn keeps(&self, key: ClientStream, which: StreamsKept) -> bool {
        key.stream != 0
            && match which {
                StreamsKept::UnderWay => self.streams.has(key),
                StreamsKept::Open => self.streams.may_be_open(key),
            }
    }

    /// Whether any stream of a connection does, or something of it waits here.
    pub(crate) fn keeps_any(&self, connection: u64, which: StreamsKept) -> bool {
        let is_kept = match which {
            StreamsKept::UnderWay => self.streams.has_any_of(connection),
            StreamsKept::Open => self.streams.open_of(connection) > 0,
        };
        is_kept || self.waiting.has_of(connection)
    }

    /// Whether anything of a connection is under way here: a request, or a transaction that may be
    /// open.
    pub(crate) fn has_any_of(&self, connection: u64) -> bool {
        self.keeps_any(connection, StreamsKept::UnderWay) || self.owed.has_of(connection)
    }

    /// Takes out what a connection has sent, is not sent from here, and is of no stream that stays:
    /// one that we roll back is such a stream.
    pub(crate) fn take_back_of(&mut self, connection: u64, which: StreamsKept) -> Vec<KeptRequest> {
        let its = self.waiting.of(connection).into_iter();
        let is_kept = |own: &&Forward| own.is_ours() || self.keeps(own.key, which);
        let kept: BTreeSet<u64> = its.filter(is_kept).map(|own| own.key.stream).collect();
        let stays = |stream: u64| stream != 0 && kept.contains(&stream);
        let is_meant = |own: &Forward| !stays(own.key.stream);
        (self.waiting).take_back_of(connection, &self.clients, is_meant)
    }

    /// What is another one when more may be taken back of a connection than before.
    pub(crate) fn ended_of(&self, connection: u64) -> Option<u64> {
        self.streams.ended_of(connection)
    }

    /// Up to where its socket has to take bytes before all that a connection has sent over it is
    /// written; `None` if it is.
    pub(crate) fn unwritten_of(&self, connection: u64) -> Option<u64> {
        let is_owed = || self.owed.has_of(connection);
        (!self.out.is_empty() && is_owed()).then(|| self.out.end())
    }

    /// How many bytes its socket has taken.
    pub(crate) fn written(&self) -> u64 {
        self.out.written()
    }

    /// Another link has something of this connection to write first.
    pub(crate) fn hold(&mut self, connection: u64) {
        self.waiting.hold(connection, &self.clients);
    }

    /// The other link has written that.
    pub(crate) fn let_go(&mut self, connection: u64) {
        self.waiting.let_go(connection, &self.clients);
    }
}
