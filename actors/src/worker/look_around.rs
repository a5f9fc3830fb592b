//! A clock that is wound by hand: the worker looks at everything that is due.

use std::time::Instant;

use actix::fut::wrap_future;
use actix::{ActorFutureExt as _, AsyncContext as _, Handler};
use tokio::task::yield_now;

use super::actor::Worker;
use crate::messages::LookAround;

impl Worker {
    /// When something is due next. What the tick looks at now and then is not asked.
    fn first_due(&self) -> Option<Instant> {
        let state = self.cell.state.borrow();
        let due = [
            state.in_flight.first_due(),
            state.looks.next(),
            self.kept_until.get(),
        ];
        due.into_iter().flatten().min()
    }
}

impl Handler<LookAround> for Worker {
    type Result = ();

    fn handle(&mut self, look: LookAround, ctx: &mut Self::Context) {
        let now = self.cell.shared.clock.now();
        // Connections are looked at now, and not late: nothing has kept this thread from it.
        self.next_look.set(Some(now));
        self.tick(now);
        self.expire(now);
        self.look(now);
        self.revoke_kept(now);
        // Sessions that this has woken, or that were ready before, go on first, and those that they
        // wake: what they send leaves before the answer.
        let behind_sessions = async {
            yield_now().await;
            yield_now().await;
        };
        ctx.spawn(
            wrap_future(behind_sessions).map(|(), worker: &mut Self, _| {
                worker.flush();
                look.done(worker.first_due());
            }),
        );
    }
}
