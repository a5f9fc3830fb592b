//! The end of a turn: one commit, and the replies that waited for it.

use super::core::TxCore;
use super::stream::Transaction;
use crate::engine::Engine;

impl<E: Engine> TxCore<E> {
    /// Commits the turn so far and tells everyone who was in it.
    pub(super) fn commit(&mut self) {
        // Nothing comes between this question and the write.
        let result = match self.writes.take() {
            None => self.engine.commit(),
            Some(oldest) => {
                if self.shared.fence.begin_write(oldest).is_err() {
                    return self.discard_turn();
                }
                let result = self.engine.commit();
                self.shared.fence.end_write();
                result
            }
        };
        self.writes.forget_reads();
        self.settle_begun(|_| result.is_ok());
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
                self.take_back_locks();
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

    /// A client whose `vestibule.lock` is answered with the turn's error has no lock.
    fn take_back_locks(&mut self) {
        let ports = self.ports.iter().enumerate();
        let origins = ports.flat_map(|(lane, port)| port.uncommitted().map(move |id| (lane, id)));
        for origin in origins.collect::<Vec<_>>() {
            self.give_up_lock(None, origin);
        }
    }

    /// A client whose BEGIN is answered with the turn's error has no transaction.
    pub(super) fn settle_begun(&mut self, stays: impl Fn(&Transaction) -> bool) {
        for key in self.streams.take_begun() {
            let stream = self.streams.get(key);
            if stream.is_some_and(|own| own.transaction.as_ref().is_some_and(&stays)) {
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
