//! What Tx offers to the engine and to procedures while it executes one request.

use std::cell::Cell;
use std::sync::Arc;

use vestibule_wire::Error;

use super::reservations::Holder;
use crate::cells::claims::Claim;
use crate::engine::{
    CancelToken, Completion, Completions, Context, ReservationId, SoloGuard, Ticket,
};
use crate::serving::Solos;

/// Stands behind the [`Reply`](crate::engine::Reply) to one request.
pub(super) struct RequestContext<'a> {
    pub(super) solos: &'a Solos,
    pub(super) claim: Claim<'a>,
    pub(super) holder: Holder<'a>,
    /// The number of the last ticket.
    pub(super) tickets: &'a Cell<u64>,
    pub(super) completions: &'a Arc<dyn Completions>,
    /// The ticket of this request, once its completion was taken.
    pub(super) ticket: Option<Ticket>,
}

impl Context for RequestContext<'_> {
    fn solo(&self, reason: String) -> SoloGuard {
        self.solos.enter(reason)
    }

    fn is_cancelled(&self) -> bool {
        self.claim.is_cancelled()
    }

    fn cancel_token(&self) -> Option<CancelToken> {
        Some(self.claim.token())
    }

    fn defer(&mut self) -> Result<Completion, Error> {
        self.tickets.set(self.tickets.get() + 1);
        let ticket = Ticket(self.tickets.get());
        self.ticket = Some(ticket);
        let completions = self.completions.clone();
        Ok(Completion::new(ticket, self.claim.token(), completions))
    }

    fn reserve(&mut self, kind: &'static str, name: &str) -> Result<ReservationId, Error> {
        self.holder.reserve(kind, name)
    }

    fn take_reservation(&mut self, id: ReservationId) -> Result<(), Error> {
        self.holder.take(id)
    }

    fn release_reservation(&mut self, id: ReservationId) -> bool {
        self.holder.release(id)
    }
}
