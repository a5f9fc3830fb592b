//! The cell of a connection, which its session and its worker share.

use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::Instant;

use super::state::ConnectionState;
use crate::config::{Settings, SoloPolicy};
use crate::endpoints::PeerAddress;
use crate::incoming::ConnectionBounds;
use crate::messages::SessionId;
use crate::shared::Shared;
use crate::slots::ConnectionSlot;

/// One connection, shared by its session and the worker that hands it replies.
pub(crate) struct ConnectionCell {
    /// The name of its session.
    pub(crate) id: SessionId,
    pub(crate) peer: PeerAddress,
    pub(crate) bounds: ConnectionBounds,
    pub(crate) since: Instant,
    /// Epoch of the serving state at its accept: in the same solo it counts as a new connection.
    pub(crate) epoch: u64,
    pub(crate) state: RefCell<ConnectionState>,
    /// Wakes the session's task.
    pub(crate) waker: RefCell<Option<Waker>>,
    /// On the worker's list of those with replies to flush.
    pub(crate) is_dirty: Cell<bool>,
    /// Last: it is given back when the socket is closed.
    pub(crate) slot: ConnectionSlot,
}

impl ConnectionCell {
    /// What happens to its requests while Tx is blocked.
    pub(crate) fn solo_policy(&self, shared: &Shared, settings: &Settings) -> SoloPolicy {
        let policy = if self.epoch == shared.serving.load().epoch {
            settings.solo_policy_new
        } else {
            settings.solo_policy
        };
        let is_rejected = policy == SoloPolicy::Reject;
        if is_rejected && self.slot.is_clients() && shared.slots.are_crowded() {
            // A connection that cannot be served now makes room for others.
            return SoloPolicy::Close;
        }
        policy
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn set_waker(&self, waker: &Waker) {
        let mut own = self.waker.borrow_mut();
        if !own.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *own = Some(waker.clone());
        }
    }
}
