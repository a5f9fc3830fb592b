//! Requests that wait in Tx, by connections: because of replies, of which those of their connection
//! take too much already or those of all together, or for their turn, because Tx is behind.
//!
//! ```text
//!   request ─┬ room for its reply, and Tx keeps up ─▶ executed
//!            ├ no room ──────▶ its connection's queue, and all that it sends later
//!            └ Tx is behind ─▶ the same ─┐
//!   a session has room again ────────────┤
//!   now and then ────────────────────────┼─▶ ready: one of each in its turn, while there is room
//!   the connection is gone ──────────────┘
//! ```
//!
//! They are not begun: they can be revoked, they time out, and a transition counts them, as what
//! waits in a batch. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use vestibule_wire::keys::RequestType;

use super::fair::{Branch as _, Fair, Whose};
use super::reply_account::ReplyAccount;
use super::streams::WaitingRequest;
use crate::limits::{
    BACKLOG_LOOK_PERIOD, BACKLOG_SWEEP_MAX, CONNECTION_BYTES_MAX, CONNECTION_REQUESTS_MAX,
    MEMORY_SMALL,
};
use crate::memory::{Memory, MemoryCharge};
use crate::messages::tx::BatchEntry;

/// What waits of one connection.
struct ConnectionBacklog {
    whose: Rc<Whose>,
    replies: Rc<ReplyAccount>,
    /// Had waited in their streams before: they came earlier than all others.
    resumed: VecDeque<WaitingRequest>,
    fresh: VecDeque<WaitingRequest>,
    /// Of the bodies.
    bytes: usize,
    is_ready: bool,
    /// The connection is gone: what it left open is to be ended when nothing of it waits.
    is_gone: bool,
}

impl ConnectionBacklog {
    fn len(&self) -> usize {
        self.resumed.len() + self.fresh.len()
    }

    fn first(&self) -> Option<&WaitingRequest> {
        self.resumed.front().or_else(|| self.fresh.front())
    }

    /// The connection may have room.
    fn make_ready(&mut self, ready: &mut Fair) {
        if !std::mem::replace(&mut self.is_ready, true) {
            let begins_small = self.first().is_some_and(|own| has_small_reply(&own.entry));
            ready.enter(&self.whose, begins_small);
        }
    }

    /// Whether there is more than a connection can have on its way: some of it was taken back.
    fn is_overfull(&self) -> bool {
        self.len() > 2 * CONNECTION_REQUESTS_MAX || self.bytes > 4 * CONNECTION_BYTES_MAX
    }

    /// Drops what was taken back. What begins and ends transactions keeps its place, without its
    /// body, for what is behind it: as often as requests may be on their way, for nobody takes more
    /// of those back by accident.
    fn sweep(&mut self, is_wanted: impl Fn(&WaitingRequest) -> bool) {
        let mut left = CONNECTION_REQUESTS_MAX;
        for waiting in [&mut self.resumed, &mut self.fresh] {
            waiting.retain_mut(|own| {
                if is_wanted(own) {
                    return true;
                }
                let stays = own.entry.bounds_transaction() && left > 0;
                left -= usize::from(stays);
                own.body = Vec::new();
                stays
            });
        }
        let all = self.resumed.iter().chain(&self.fresh);
        self.bytes = all.map(|request| request.body.len()).sum();
        self.resumed.shrink_to(2 * self.resumed.len());
        self.fresh.shrink_to(2 * self.fresh.len());
    }
}

/// All of them.
pub(super) struct Backlog {
    /// By their numbers.
    connections: BTreeMap<u64, ConnectionBacklog>,
    /// Connections that may have room, in the order in which they have their turns.
    ready: Fair,
    /// When all of them are looked at again.
    next_look: Option<Instant>,
    /// The connection that was swept last.
    swept: u64,
    /// Of all bodies.
    bytes: usize,
    charge: MemoryCharge,
}

impl Backlog {
    /// An empty one, whose bodies are charged here.
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self {
            connections: BTreeMap::new(),
            ready: Fair::default(),
            next_look: None,
            swept: 0,
            bytes: 0,
            charge: MemoryCharge::new(memory),
        }
    }

    /// Bytes of all bodies.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn set_bytes(&mut self, bytes: usize) {
        self.bytes = bytes;
        self.charge.set(bytes);
    }

    /// Lets a request wait behind those of its connection. `is_wanted` tells which were not taken
    /// back.
    pub(super) fn push(
        &mut self,
        request: WaitingRequest,
        now: Instant,
        is_wanted: impl Fn(&WaitingRequest) -> bool,
    ) {
        let own = self.of(&request, now);
        let before = own.bytes;
        if own.is_overfull() {
            own.sweep(is_wanted);
        }
        own.bytes += request.body.len();
        let after = own.bytes;
        own.fresh.push_back(request);
        self.set_bytes(self.bytes - before + after);
    }

    /// The same for one that had waited in its stream: it came before those that did not.
    pub(super) fn push_resumed(&mut self, request: WaitingRequest, now: Instant) {
        let bytes = request.body.len();
        let own = self.of(&request, now);
        own.bytes += bytes;
        own.resumed.push_back(request);
        self.set_bytes(self.bytes + bytes);
    }

    fn of(&mut self, request: &WaitingRequest, now: Instant) -> &mut ConnectionBacklog {
        let replies = &request.replies;
        replies.set_waiting(true);
        self.next_look.get_or_insert(now + BACKLOG_LOOK_PERIOD);
        self.connections
            .entry(request.caller.connection)
            .or_insert_with(|| ConnectionBacklog {
                whose: Whose::of(&request.caller),
                replies: replies.clone(),
                resumed: VecDeque::new(),
                fresh: VecDeque::new(),
                bytes: 0,
                is_ready: false,
                is_gone: false,
            })
    }

    /// A connection may have room.
    pub(super) fn wake(&mut self, connection: u64) {
        if let Some(own) = self.connections.get_mut(&connection) {
            own.make_ready(&mut self.ready);
        }
    }

    /// Whether something of a connection waits for room, and not just for its turn.
    pub(super) fn awaits_room(&self, connection: u64) -> bool {
        let own = self.connections.get(&connection);
        own.is_some_and(|own| !own.is_ready)
    }

    /// Has all of them looked at, if it is time to; drops what was taken back of the next few.
    pub(super) fn look(&mut self, now: Instant, is_wanted: impl Fn(&WaitingRequest) -> bool) {
        if self.next_look.is_none_or(|at| now < at) {
            return;
        }
        self.sweep(is_wanted);
        for own in self.connections.values_mut() {
            own.make_ready(&mut self.ready);
        }
        let is_empty = self.connections.is_empty();
        self.next_look = (!is_empty).then(|| now + BACKLOG_LOOK_PERIOD);
    }

    /// Drops what was taken back, of one connection after the other, where it ended last.
    fn sweep(&mut self, is_wanted: impl Fn(&WaitingRequest) -> bool) {
        let (mut left, mut bytes) = (BACKLOG_SWEEP_MAX, self.bytes);
        let mut next = self.swept;
        let after = (Bound::Excluded(self.swept), Bound::Unbounded);
        for (connection, own) in self.connections.range_mut(after) {
            if left == 0 {
                break;
            }
            left = left.saturating_sub(own.len());
            bytes -= own.bytes;
            own.sweep(&is_wanted);
            bytes += own.bytes;
            next = *connection;
        }
        // At the end of all of them it begins again.
        self.swept = if left > 0 { 0 } else { next };
        self.set_bytes(bytes);
    }

    /// When they are looked at again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    /// Whether a connection may have room.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The connection whose turn it is.
    fn next(&self) -> Option<u64> {
        self.ready.first().map(|own| own.connection)
    }

    /// The first request of the next connection that may have room.
    pub(super) fn peek(&self) -> Option<&WaitingRequest> {
        self.connections.get(&self.next()?)?.first()
    }

    /// Takes that request out.
    pub(super) fn pop(&mut self) -> Option<WaitingRequest> {
        let next = self.next()?;
        let own = self.connections.get_mut(&next)?;
        let resumed = own.resumed.pop_front();
        let request = resumed.or_else(|| own.fresh.pop_front())?;
        own.bytes -= request.body.len();
        self.set_bytes(self.bytes - request.body.len());
        Some(request)
    }

    /// The next connection has no room for its first request.
    pub(super) fn leave_next(&mut self) {
        let next = self.next();
        if let Some(own) = next.and_then(|next| self.connections.get_mut(&next)) {
            own.is_ready = false;
            self.ready.leave(&own.whose);
        }
    }

    /// The request that was taken out last took so much of Tx's time, of whatever unit.
    pub(super) fn spend(&mut self, connection: u64, cost: u64) {
        let own = self.connections.get(&connection);
        if let Some(own) = own.filter(|own| own.is_ready) {
            self.ready.spend(&own.whose, cost);
        }
    }

    /// Ends the wait of the next connections of which nothing waits any more, up to one that is
    /// gone; returns the number of that. When there is none, [`peek`](Self::peek) finds what there
    /// is.
    pub(super) fn finish_next(&mut self) -> Option<u64> {
        while let Some(next) = self.next() {
            if self.connections.get(&next).is_some_and(|own| own.len() > 0) {
                return None;
            }
            if let Some(own) = self.connections.remove(&next) {
                self.ready.leave(&own.whose);
                own.replies.set_waiting(false);
                if self.connections.is_empty() {
                    self.next_look = None;
                }
                if own.is_gone {
                    return Some(next);
                }
            }
        }
        None
    }

    /// Whether something waits of a connection.
    pub(super) fn has(&self, connection: u64) -> bool {
        self.connections.contains_key(&connection)
    }

    /// A connection is gone. True if something of it waits: it has really left when that is done.
    pub(super) fn leave(&mut self, connection: u64) -> bool {
        self.wake(connection);
        let own = self.connections.get_mut(&connection);
        own.map(|own| {
            own.is_gone = true;
            own.replies.gauge().close();
        })
        .is_some()
    }
}

/// Whether a request is known to have a small reply.
pub(super) fn has_small_reply(entry: &BatchEntry) -> bool {
    match entry.request {
        // The tuple that was sent, or nothing.
        RequestType::Insert | RequestType::Replace | RequestType::Upsert => {
            ((entry.end - entry.start) as usize) < MEMORY_SMALL / 2
        }
        RequestType::Begin | RequestType::Commit | RequestType::Rollback => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
