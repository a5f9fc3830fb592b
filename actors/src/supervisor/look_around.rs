//! A clock that is wound by hand: the Supervisor looks at everything that is due, and has Tx look.

use std::time::Instant;

use actix::Handler;

use super::actor::Supervisor;
use crate::messages::LookAround;
use crate::messages::tx::Control;

impl Supervisor {
    /// When the machine wants to look next.
    fn first_due(&self, now: Instant) -> Option<Instant> {
        let mut wakes = self.wakes.borrow_mut();
        wakes.retain(|at| *at > now);
        wakes.iter().min().copied()
    }
}

impl Handler<LookAround> for Supervisor {
    type Result = ();

    fn handle(&mut self, look: LookAround, ctx: &mut Self::Context) {
        let now = self.shared.clock.now();
        let actions = self.machine.on_time(now);
        self.apply(actions, ctx);
        if let Some(watchdog) = &mut self.watchdog
            && !self.machine.is_stopping()
        {
            watchdog.note_wound(now);
            self.check_tx(now);
        }
        // One that loads looks at nothing before it has recovered.
        let has_recovered = self.shared.serving.load().state.has_recovered();
        if look.is_for_tx() && has_recovered {
            self.tell_tx(Control::LookAround(look.clone()));
        }
        look.done(self.first_due(now));
    }
}
