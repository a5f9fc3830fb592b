//! What a test asks of a whole runtime: whether all know of a change, and that all look at what is
//! due.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::handle::RuntimeHandle;
use crate::messages::LookAround;

impl<E: 'static> RuntimeHandle<E> {
    /// Whether all sessions have heard of the state.
    pub(crate) fn is_known_to_sessions(&self) -> bool {
        let epoch = self.serving().epoch;
        let mut counters = self.shared.counters.iter();
        counters.all(|own| own.reach().0 >= epoch)
    }

    /// Has everybody look at what is due, in the order in which what they do goes on: session
    /// threads, the Supervisor and, if it is to, Tx, as often as one hands something to another.
    /// Returns when something is due next.
    ///
    /// # Errors
    ///
    /// Who has not looked within `patience`.
    pub(crate) fn look_around(
        &self,
        is_tx_to_look: bool,
        patience: Duration,
    ) -> Result<Option<Instant>, &'static str> {
        let workers = || {
            let (look, seen) = LookAround::new(false);
            for worker in &self.peers.workers {
                worker.look_around(look.clone());
            }
            drop(look);
            next_of(&seen, patience).map_err(|()| "a session thread")
        };
        let others = || {
            let (look, seen) = LookAround::new(is_tx_to_look);
            self.peers.supervisor.look_around(look);
            next_of(&seen, patience).map_err(|()| "Tx")
        };
        // What sessions send is executed, what is replied is delivered, and what that lets go on.
        workers()?;
        others()?;
        workers()?;
        let next = [others()?, workers()?];
        Ok(next.into_iter().flatten().min())
    }
}

/// The earliest of what all those are told who look around.
fn next_of(seen: &Receiver<Option<Instant>>, patience: Duration) -> Result<Option<Instant>, ()> {
    let mut next: Option<Instant> = None;
    loop {
        match seen.recv_timeout(patience) {
            Ok(at) => next = next.into_iter().chain(at).min(),
            Err(RecvTimeoutError::Disconnected) => return Ok(next),
            Err(RecvTimeoutError::Timeout) => return Err(()),
        }
    }
}
