//! What becomes of requests whose link to an upstream has ended.
//!
//! ```text
//!   not sent ────────▶ taken back: it did not happen
//!   sent ─┬ a read ──▶ told as not done: nobody can tell the difference, and it may be asked again
//!         └ else ────▶ outcome unknown
//! ```

use actix::Handler;
use vestibule_wire::ErrorCode;

use super::actor::Worker;
use crate::admission::Class;
use crate::messages::worker::LinkOver;
use crate::resources::in_flight::{Cancelled, InFlightRequest};
use crate::upstream::OnLost;

impl Handler<LinkOver> for Worker {
    type Result = ();

    fn handle(&mut self, over: LinkOver, _ctx: &mut Self::Context) {
        let LinkOver {
            unsent,
            sent,
            error,
            reason,
        } = over;
        let ids = unsent.into_iter().chain(sent).collect();
        let cancelled = {
            let mut state = self.cell.state.borrow_mut();
            let cancelled = state.in_flight.cancel_these(ids);
            self.cell.publish_counts(&state);
            cancelled
        };
        let is_unknown = |own: &Cancelled| own.was_started && own.request.class != Class::Read;
        let (unknown, not_done): (Vec<_>, Vec<_>) = cancelled.into_iter().partition(is_unknown);
        let requests = |all: Vec<Cancelled>| -> Vec<InFlightRequest> {
            all.into_iter().map(|own| own.request).collect()
        };
        self.answer_revoked(&requests(not_done), &error);
        let unknown = requests(unknown);
        let gateway = self.cell.shared.gateway.as_deref();
        if unknown.is_empty() {
            // Nobody is to be told.
        } else if gateway.is_some_and(|own| own.config.lost == OnLost::Close) {
            self.close_unknown(&unknown);
        } else {
            let error = self.cell.shared.outcome_unknown(ErrorCode::SYSTEM, &reason);
            self.answer_unknown(&unknown, &error);
        }
        self.tell_if_quiet();
    }
}
