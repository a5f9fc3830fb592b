//! The end of a turn: one commit, and the replies that waited for it.

use super::core::TxCore;
use crate::engine::Engine;

impl<E: Engine> TxCore<E> {
    /// Commits the turn so far and tells everyone who was in it.
    pub(super) fn commit(&mut self) {
        let result = self.engine.commit();
        self.settle_begun(result.is_ok());
        match &result {
            Ok(()) => {
                if self.engine.schema_version() != self.schema_version {
                    self.publish_catalogue();
                    for port in &mut self.ports {
                        port.patch_uncommitted(self.schema_version);
                    }
                }
            }
            Err(error) => {
                log::error!("a turn failed to commit: {error}");
                for port in &mut self.ports {
                    port.fail_uncommitted(self.schema_version, error);
                }
            }
        }
        self.tell_fault(result.is_err());
        for port in &mut self.ports {
            port.settle();
        }
        for settle in self.settles.drain(..) {
            settle(result.clone());
        }
    }

    /// A client whose BEGIN is answered with the turn's error has no transaction.
    fn settle_begun(&mut self, is_committed: bool) {
        for key in self.streams.take_begun() {
            if is_committed {
                continue;
            }
            let Some(transaction) = self.streams.take_transaction(key) else {
                continue;
            };
            if let Some(id) = transaction.live() {
                self.engine.rollback_transaction(id);
            }
            if let Some(timer) = transaction.timer {
                self.deadlines.clear(timer);
            }
        }
    }

    /// Whether the engine takes changes is told when it may have changed.
    fn tell_fault(&mut self, has_failed: bool) {
        if !has_failed && !self.has_fault {
            return;
        }
        let fault = self.engine.fault();
        self.has_fault = fault.is_some();
        self.shared.publish_fault(fault);
    }

    pub(super) fn publish_catalogue(&mut self) {
        self.schema_version = self.engine.schema_version();
        self.shared
            .publish_catalogue(self.schema_version, self.engine.catalogue());
    }

    pub(super) fn send_replies(&mut self) {
        for port in &mut self.ports {
            port.send();
        }
    }
}
