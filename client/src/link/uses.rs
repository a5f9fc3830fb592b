//! What streams and watchers do with a connection beyond requests.

use std::sync::Arc;

use tokio::sync::watch;
use vestibule_wire::features::Feature;
use vestibule_wire::request::Body;

use super::ask::Pin;
use super::shared::{Link, Phase, closed};
use super::watches::Observed;
use crate::error::Error;

impl Link {
    /// A transaction begins: the connection is not left before its end.
    pub(crate) fn begin(&self, pin: Pin) {
        let mut state = self.lock();
        if state.epoch == pin.epoch {
            state.open_transactions += 1;
        }
    }

    /// A transaction ends; one that has not ended on the server is told so by a request that nobody
    /// waits for.
    pub(crate) fn end(&self, pin: Pin, rollback: Option<&Body<'_>>) {
        let mut state = self.lock();
        let is_there = match &state.phase {
            Phase::Up(session) | Phase::Leaving(session) => session.epoch == pin.epoch,
            Phase::Closed => state.epoch == pin.epoch,
            Phase::Down(_) => false,
        };
        if !is_there {
            return;
        }
        if let Some(body) = rollback {
            self.post(&mut state, pin.stream_id, body);
        }
        state.open_transactions = state.open_transactions.saturating_sub(1);
        self.to_leave.notify_one();
    }

    /// Watches a key, from now on and over all connections.
    pub(crate) fn observe(&self, key: &Arc<str>) -> Result<watch::Receiver<Observed>, Error> {
        let mut state = self.lock();
        let (told, is_new) = state.watches.add(key)?;
        let can_watch = match &state.phase {
            Phase::Up(session) | Phase::Leaving(session) => session.has(Feature::Watchers),
            Phase::Down(_) | Phase::Closed => false,
        };
        if is_new && can_watch {
            if self.watches_itself(key) {
                // It is watched already: its value is told to who begins.
                self.post(&mut state, 0, &Body::Unwatch(key));
            }
            self.watch(&mut state, key);
        }
        Ok(told)
    }

    /// One observer of a key less.
    pub(crate) fn forget(&self, key: &str) {
        let mut state = self.lock();
        let is_last = state.watches.remove(key);
        let is_up = matches!(state.phase, Phase::Up(_) | Phase::Leaving(_));
        if is_last && is_up && !self.watches_itself(key) {
            self.post(&mut state, 0, &Body::Unwatch(key));
        }
    }

    /// Ends when the client is closed, with the error that says so.
    pub(crate) async fn until_closed(&self) -> Error {
        let mut phases = self.phase.subscribe();
        // The sender is in the link, which is there.
        let _ = phases
            .wait_for(|phase| matches!(phase, Phase::Closed))
            .await;
        closed()
    }
}
