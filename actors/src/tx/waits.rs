//! Entering a wait, for the one before in a stream or for room, and going on after it.
//!
//! ```text
//!   for its stream ─▶ takes a charge, or is refused ─▶ gives its credit back, has a time limit
//!   for room ───────▶ takes one, if half is left ────▶ gives its credit back
//!                                  └ else ───────────▶ keeps its credit
//! ```
//!
//! From one it may go to the other: it keeps its charge, and has a time limit in its stream only.

use std::sync::Arc;

use vestibule_wire::{Error, ErrorCode};

use super::callers::Callers;
use super::core::{Executor, TxCore};
use super::request::ClaimedRequest;
use super::streams::WaitingRequest;
use crate::admission::Class;
use crate::engine::{Caller, Engine};
use crate::messages::tx::{BatchEntry, WaitKind};
use crate::quotas::WaitCharge;

impl<E: Engine> TxCore<E> {
    /// Keeps a request until the one that runs in its stream is complete. It needs no credit for
    /// that, but there is a bound.
    pub(super) fn wait_in_stream(&mut self, worker: usize, entry: &BatchEntry, body: &[u8]) {
        let Some(client) = self.callers.get(worker, entry.session) else {
            return;
        };
        let executor = &mut self.executor;
        let whose = (worker, entry, &client.caller);
        let charge = executor.limit_wait(&self.callers, whose, body.len(), None);
        if charge.is_some() {
            let request = WaitingRequest::new(worker, entry, body, client, charge);
            executor.streams.wait(request);
        } else {
            executor.keep_place(WaitingRequest::new(worker, entry, &[], client, None));
        }
    }

    /// Keeps a request until there is room for its reply. If that leaves enough to those who have
    /// to wait, it needs no credit for that either; it has no time limit of its own, for its client
    /// may read slowly.
    pub(super) fn put_aside_for_room(&mut self, worker: usize, entry: &BatchEntry, body: &[u8]) {
        let Some(client) = self.callers.get(worker, entry.session) else {
            return;
        };
        let quotas = &self.executor.shared.quotas;
        let charge = quotas.charge_wait_if_ample(&client.caller, body.len());
        let request = WaitingRequest::new(worker, entry, body, client, charge);
        self.tell_unlimited(&request);
        self.wait_for_room(request);
    }

    /// Lets a request that had waited in its stream wait for room.
    pub(super) fn put_aside_again(&mut self, request: WaitingRequest) {
        self.tell_unlimited(&request);
        self.wait_for_room_again(request);
    }

    /// The worker may give its credit to others, if it has one.
    fn tell_unlimited(&mut self, request: &WaitingRequest) {
        if request.charge.is_some() {
            let replies = self.executor.output.to(request.worker);
            replies.tell_waiting(request.entry.id, WaitKind::Unlimited);
        }
    }

    /// Runs a request that waited, or lets it wait for the one that runs in its stream now.
    pub(super) fn run_waiting(&mut self, mut request: WaitingRequest) {
        if self.executor.streams.is_busy(request.key()) {
            if request.is_refused {
                return self.executor.streams.wait_refused(request);
            }
            let (executor, bytes) = (&mut self.executor, request.body.len());
            let whose = (request.worker, &request.entry, &request.caller);
            let charge = request.charge.take();
            request.charge = executor.limit_wait(&self.callers, whose, bytes, charge);
            return match request.charge {
                Some(_) => executor.streams.wait(request),
                None => executor.keep_place(request),
            };
        }
        // It waits no more; perhaps it will once more.
        drop(request.charge.take());
        if request.is_refused || !self.callers.claim(request.worker, request.entry.id) {
            let (worker, entry) = (request.worker, &request.entry);
            return self.executor.pass_undone(worker, entry, &request.caller);
        }
        // Nobody sees what it finds, and nothing depends on it.
        if request.entry.class == Class::Read && request.replies.gauge().is_closed() {
            let error = Error::new(ErrorCode::SYSTEM, "The connection is closed");
            let output = &mut self.executor.output;
            return output.error(request.worker, &request.entry, &error);
        }
        if request.replies.gauge().is_closed() {
            self.executor.output.to(request.worker).discard_next();
        }
        let claimed = ClaimedRequest {
            worker: request.worker,
            entry: &request.entry,
            body: &request.body,
            caller: &request.caller,
            replies: &request.replies,
            callers: &self.callers,
        };
        self.executor.execute(&claimed);
    }
}

impl<E: Engine> Executor<E> {
    /// A request is to wait in its stream: with the charge that it has, or one that it takes.
    /// `None`: it may not, and is answered.
    fn limit_wait(
        &mut self,
        callers: &Callers,
        (worker, entry, caller): (usize, &BatchEntry, &Arc<Caller>),
        bytes: usize,
        charge: Option<WaitCharge>,
    ) -> Option<WaitCharge> {
        let quotas = &self.shared.quotas;
        let charge = charge.map_or_else(|| quotas.charge_wait(caller, bytes), Ok);
        match charge {
            Ok(charge) => {
                let replies = self.output.to(worker);
                replies.tell_waiting(entry.id, WaitKind::Limited);
                Some(charge)
            }
            Err(error) => {
                if callers.claim(worker, entry.id) {
                    self.output.error(worker, entry, &error);
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::claims::RequestId;
    use crate::config::{Config, QuotaLimits};
    use crate::limits::CONNECTION_REPLY_BYTES_MAX;
    use crate::messages::tx::Batch;
    use crate::segments::Held;
    use crate::testing::RequestBuilder;
    use crate::tx::test_fixture::{Fixture, fixture, fixture_with};

    impl Fixture {
        fn fill_output(&mut self, connection: u64) {
            let full = CONNECTION_REPLY_BYTES_MAX;
            self.charge(connection).set(Held::buffers(full), full);
            // It is looked at when something waits, or much was made.
            self.core
                .callers
                .get(0, connection as u32 - 1)
                .expect("it has sent something")
                .replies
                .set_waiting(true);
        }

        fn empty_output(&mut self, connection: u64) {
            self.charge(connection).set(Held::default(), 0);
            let mut batch = Box::<Batch>::default();
            batch.roomy.push(connection);
            self.core.push_batch(batch);
            self.turn();
        }

        fn told(&self, id: RequestId) -> Vec<WaitKind> {
            let told = self.told.borrow();
            let own = told.iter().filter(|own| own.0 == id);
            own.map(|own| own.1).collect()
        }
    }

    fn of_stream(request: RequestBuilder) -> RequestBuilder {
        request.stream(7)
    }

    #[test]
    fn a_wait_has_a_limit_in_a_stream_and_none_for_room_whichever_comes_first() {
        fixture(|mut fixture: Fixture| async move {
            fixture
                .ask(&RequestBuilder::call(9, "reserve", &[0x90]))
                .await;
            fixture.fill_output(1);
            fixture.send(&of_stream(RequestBuilder::call(10, "take", &[0x91, 1])));
            let id = fixture.send(&of_stream(RequestBuilder::replace(11, 11)));
            fixture.turn();
            fixture.empty_output(1);
            fixture.replies().await;
            assert_eq!(fixture.told(id), [WaitKind::Unlimited, WaitKind::Limited]);
            fixture.fill_output(1);
            fixture.script.complete();
            fixture.replies().await;
            fixture.turn();
            fixture.replies().await;
            let last = fixture.told(id).pop();
            assert_eq!(last, Some(WaitKind::Unlimited), "its time is taken back");
            assert_eq!(fixture.script.executed(), []);
        });
    }

    #[test]
    fn what_waits_for_room_leaves_half_of_the_waits_to_those_who_need_them() {
        let config = Config {
            quotas: QuotaLimits {
                waits_max: 32,
                ..QuotaLimits::default()
            },
            ..Config::default()
        };
        fixture_with(config, |mut fixture: Fixture| async move {
            fixture.ask(&RequestBuilder::replace(1, 1)).await;
            fixture.fill_output(1);
            let ids: Vec<_> = (10..30)
                .map(|sync| fixture.send(&RequestBuilder::replace(sync, sync)))
                .collect();
            fixture.turn();
            // Of the same user, from the same address.
            fixture.send_as(2, &of_stream(RequestBuilder::call(1, "never", &[0x90])));
            let other = fixture.send_as(2, &of_stream(RequestBuilder::replace(2, 2)));
            fixture.turn();
            assert!(fixture.replies().await.is_empty(), "nothing is refused");
            assert_eq!(fixture.told(other), [WaitKind::Limited]);
            let told = ids.iter().filter(|id| !fixture.told(**id).is_empty());
            assert_eq!(told.count(), 4, "half of the share");
        });
    }

    #[test]
    fn bodies_that_wait_for_room_are_charged_and_dropped_when_they_are_taken_back() {
        fixture(|mut fixture: Fixture| async move {
            fixture.ask(&RequestBuilder::replace(1, 1)).await;
            fixture.fill_output(1);
            let before = fixture.shared.memory.used();
            let body = vec![0; 1 << 20];
            let id = fixture.send(&RequestBuilder::call(2, "echo", &body));
            fixture.turn();
            assert!(fixture.shared.memory.used() >= before + (1 << 20));
            assert!(fixture.claims.revoke(id));
            fixture.wait(crate::limits::BACKLOG_LOOK_PERIOD);
            assert_eq!(fixture.shared.memory.used(), before);
        });
    }
}
