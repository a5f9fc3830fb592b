//! What Tx offers to the engine and to procedures while it executes one request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vestibule_wire::Error;

use super::deferred::Tickets;
use super::holdings::{Holder, Holdings};
use super::pushes::PushOrigin;
use crate::cells::claims::Claim;
use crate::engine::{
    CancelToken, Completion, Context, LockAttempt, Pusher, ReservationId, SoloGuard, Ticket,
};
use crate::quotas::{Charge, Quota};
use crate::serving::Solos;

/// Stands behind the [`Reply`](crate::engine::Reply) to one request.
pub(super) struct RequestContext<'a> {
    pub(super) holder: Holder<'a>,
    pub(super) claim: Claim<'a>,
    pub(super) solos: &'a Solos,
    pub(super) holdings: &'a mut Holdings,
    pub(super) tickets: &'a mut Tickets,
    /// What bounds requests that wait.
    pub(super) waits: &'a Arc<Quota>,
    /// The ticket of this request, once its completion was taken, and what it is charged for that.
    pub(super) deferred: Option<(Ticket, Charge)>,
    /// Where its pushes go.
    pub(super) pushes: PushOrigin<'a>,
    /// Events that are set with the turn's commit.
    pub(super) announced: Vec<Announced>,
}

/// An event that is set with a commit.
pub(super) struct Announced {
    pub(super) key: Box<str>,
    pub(super) value: Vec<u8>,
}

impl Context for RequestContext<'_> {
    fn solo(&self, reason: String) -> SoloGuard {
        self.solos.enter(reason)
    }

    fn now(&self) -> Instant {
        self.pushes.shared.clock.now()
    }

    fn is_cancelled(&self) -> bool {
        self.claim.is_cancelled()
    }

    fn cancel_token(&self) -> Option<CancelToken> {
        Some(self.claim.token())
    }

    fn defer(&mut self) -> Result<Completion, Error> {
        let charge = self.waits.take(self.holder.caller, 1)?;
        let completion = self.tickets.completion(self.claim.token());
        self.deferred = Some((completion.ticket(), charge));
        Ok(completion)
    }

    fn reserve(&mut self, kind: &'static str, name: &str) -> Result<ReservationId, Error> {
        self.holdings.reserve(self.holder, kind, name)
    }

    fn take_reservation(&mut self, id: ReservationId) -> Result<(), Error> {
        self.holdings.take(id, self.holder.caller.connection)
    }

    fn release_reservation(&mut self, id: ReservationId) -> bool {
        self.holdings.release(id, self.holder.caller.connection)
    }

    fn lock(&mut self, name: &str, patience: Duration) -> Result<LockAttempt, Error> {
        let Some(held) = self.holdings.try_lock(self.holder, name)? else {
            return Ok(LockAttempt::Taken);
        };
        if patience.is_zero() {
            return Ok(LockAttempt::Refused);
        }
        let completion = self.defer()?;
        let until = self.holder.now + patience;
        self.holdings
            .wait(self.holder, name, held, completion, until);
        Ok(LockAttempt::Waiting)
    }

    fn unlock(&mut self, name: &str) -> bool {
        let Holder { caller, now, .. } = self.holder;
        self.holdings.unlock(name, caller.connection, now)
    }

    fn pusher(&self) -> Pusher {
        self.pushes.pusher()
    }

    fn broadcast(&mut self, key: &str, value: Vec<u8>) -> Result<(), Error> {
        self.pushes.shared.events.check(key, &value)?;
        let key = key.into();
        self.announced.push(Announced { key, value });
        Ok(())
    }
}
