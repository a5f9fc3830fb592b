//! Whether there is room for the reply of a request, and what waits until there is.
//!
//! ```text
//!   little was made since the last look, and memory is ample ─▶ room
//!   else ─┬ others of its connection wait, or its replies take too much ─▶ none
//!         └ memory is scarce ─▶ for those within a share, or with a small reply
//! ```

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::backlog::has_small_reply;
use super::callers::Callers;
use super::core::TxCore;
use super::reply_account::ReplyAccount;
use super::streams::WaitingRequest;
use crate::cells::claims::RequestPhase;
use crate::engine::Engine;
use crate::limits::{CONNECTION_REPLY_BYTES_MAX, MEMORY_SMALL};
use crate::messages::tx::BatchEntry;

impl<E: Engine> TxCore<E> {
    /// Whether a request may be executed now, as far as replies are concerned.
    #[inline]
    pub(super) fn has_room(
        &self,
        worker: usize,
        entry: &BatchEntry,
        replies: &ReplyAccount,
    ) -> bool {
        if !replies.is_look_due() && !self.executor.shared.memory.is_scarce() {
            return true;
        }
        !replies.is_waiting() && self.find_room(worker, entry, replies)
    }

    /// Whether a request that had waited in its stream may be executed now.
    pub(super) fn has_room_again(&self, request: &WaitingRequest) -> bool {
        let WaitingRequest {
            worker,
            entry,
            replies,
            ..
        } = request;
        self.has_room(*worker, entry, replies)
            // Behind those of its stream that wait already, or at once: when its client has left
            // and nothing waits for room, nothing ever does again.
            || !replies.is_waiting() && replies.gauge().is_closed()
    }

    /// Whether the first request that waits of its connection may be executed now.
    pub(super) fn may_go_on(&self, request: &WaitingRequest) -> bool {
        // What a client that is gone has sent is executed: nothing is kept for it.
        request.replies.gauge().is_closed()
            || self.find_room(request.worker, &request.entry, &request.replies)
    }

    fn find_room(&self, worker: usize, entry: &BatchEntry, replies: &ReplyAccount) -> bool {
        let shared = &self.executor.shared;
        let delivered = &shared.counters[worker].replies_delivered;
        let mut held = replies.look(delivered.load(Ordering::SeqCst));
        if held >= CONNECTION_REPLY_BYTES_MAX {
            replies.gauge().await_room(CONNECTION_REPLY_BYTES_MAX);
            // There may have come room before that.
            held = replies.look(delivered.load(Ordering::SeqCst));
            if held >= CONNECTION_REPLY_BYTES_MAX {
                return false;
            }
        }
        // What waits for room must not keep itself from it.
        let (memory, waiting) = (&shared.memory, self.backlog.bytes());
        memory.may_reply_beside(waiting, held, || shared.slots.count())
            || held < MEMORY_SMALL && has_small_reply(entry)
    }

    /// Lets a request wait for room, or for its turn.
    pub(super) fn wait_for_room(&mut self, request: WaitingRequest) {
        let now = self.executor.budget.began();
        let callers = &self.callers;
        self.backlog
            .push(request, now, |own| is_wanted(callers, own));
    }

    /// Has what waits for room looked at, if it is time to.
    pub(super) fn look_at_backlog(&mut self, now: Instant) {
        let callers = &self.callers;
        self.backlog.look(now, |own| is_wanted(callers, own));
    }

    /// The same for a request that had waited in its stream.
    pub(super) fn wait_for_room_again(&mut self, request: WaitingRequest) {
        let now = self.executor.budget.began();
        self.backlog.push_resumed(request, now);
    }
}

/// Whether a request that waits was not taken back.
fn is_wanted(callers: &Callers, request: &WaitingRequest) -> bool {
    callers.claims(request.worker).phase(request.entry.id) == Some(RequestPhase::Queued)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::claims::RequestId;
    use crate::config::{Config, ConnectionLimits};
    use crate::segments::Held;
    use crate::tx::test_fixture::{Fixture, fixture, fixture_with};

    use vestibule_wire::keys::RequestType;

    use crate::testing::RequestBuilder;

    const MIB: usize = 1 << 20;
    /// Little more than the tuple.
    const FRAME_MARGIN: usize = 64;

    /// A REPLACE of the row that is read, of this size.
    fn large(sync: u64, size: usize) -> RequestBuilder {
        RequestBuilder::replace_large(sync, 5, size as u32)
    }

    impl Fixture {
        /// Stores a row of 3 MiB, and has its reply forgotten.
        async fn store_large(&mut self) {
            self.send_as(9, &large(1, 3 * MIB));
            self.turn();
            assert_eq!(self.take_syncs().await, [1]);
        }

        /// The syncs of what was replied since it was asked last, delivered to sessions whose
        /// clients have read everything.
        async fn take_syncs(&mut self) -> Vec<u64> {
            let frames = self.replies().await;
            let counters = &self.shared.counters[0];
            let sent = counters.replies_sent.load(Ordering::Relaxed);
            counters.replies_delivered.store(sent, Ordering::SeqCst);
            frames.iter().map(|frame| frame.sync).collect()
        }

        /// The worker tells that a connection has room.
        fn tell_room(&mut self, connection: u64) {
            let mut batch = Box::<crate::messages::tx::Batch>::default();
            batch.roomy.push(connection);
            self.core.push_batch(batch);
            self.turn();
        }

        fn used(&self) -> usize {
            self.shared.memory.used()
        }

        fn is_queued(&self, id: RequestId) -> bool {
            self.claims.phase(id) == Some(RequestPhase::Queued)
        }
    }

    #[test]
    fn requests_wait_while_replies_of_their_connection_take_too_much_and_go_on_in_order() {
        fixture(|mut fixture: Fixture| async move {
            fixture.store_large().await;
            for sync in 10..20 {
                fixture.send(&RequestBuilder::select(sync, 5));
            }
            // Small, and behind them all the same.
            fixture.send(&RequestBuilder::replace(20, 77));
            fixture.send_as(2, &RequestBuilder::replace(1, 78));
            fixture.turn();
            // Not delivered, so not known to be read.
            let frames = fixture.replies().await;
            let syncs: Vec<u64> = frames.iter().map(|frame| frame.sync).collect();
            assert_eq!(syncs, [10, 11, 1]);
            assert_eq!(fixture.script.executed(), [5, 78]);
            fixture.take_syncs().await;
            // The second is delivered and waits for a client that reads slowly.
            fixture.charge(1).set(Held::buffers(3 * MIB), 3 * MIB);
            fixture.tell_room(1);
            assert_eq!(fixture.take_syncs().await, [12]);
            fixture.charge(1).set(
                Held::buffers(CONNECTION_REPLY_BYTES_MAX),
                CONNECTION_REPLY_BYTES_MAX,
            );
            fixture.tell_room(1);
            assert_eq!(fixture.take_syncs().await, []);
            fixture.charge(1).set(Held::default(), 0);
            for sync in (13..19).step_by(2) {
                fixture.tell_room(1);
                assert_eq!(fixture.take_syncs().await, [sync, sync + 1]);
            }
            fixture.tell_room(1);
            assert_eq!(fixture.take_syncs().await, [19, 20]);
            fixture.send(&RequestBuilder::replace(21, 79));
            fixture.turn();
            assert_eq!(fixture.take_syncs().await, [21], "nothing waits any more");
            assert_eq!(fixture.used(), 0);
        });
    }

    #[test]
    fn tx_looks_again_by_itself_and_runs_nothing_that_was_taken_back() {
        fixture(|mut fixture: Fixture| async move {
            fixture.store_large().await;
            let ids: Vec<_> = (10..16)
                .map(|sync| fixture.send(&RequestBuilder::select(sync, 5)))
                .collect();
            fixture.turn();
            let queued: Vec<_> = ids.iter().map(|id| fixture.is_queued(*id)).collect();
            assert_eq!(queued, [false, false, true, true, true, true]);
            assert!(fixture.claims.revoke(ids[2]));
            fixture.take_syncs().await;
            assert_eq!(fixture.take_syncs().await, []);
            fixture.wait(crate::limits::BACKLOG_LOOK_PERIOD);
            assert_eq!(fixture.take_syncs().await, [13, 14]);
            fixture.wait(crate::limits::BACKLOG_LOOK_PERIOD);
            assert_eq!(fixture.take_syncs().await, [15]);
            fixture.wait(crate::limits::BACKLOG_LOOK_PERIOD);
            assert_eq!(
                fixture.core.next_look(),
                None,
                "there is nothing to look at"
            );
        });
    }

    #[test]
    fn what_waits_of_a_client_that_is_gone_is_executed_but_for_its_reads_and_then_rolled_back() {
        fixture(|mut fixture: Fixture| async move {
            fixture.store_large().await;
            for sync in 10..13 {
                fixture.send(&RequestBuilder::select(sync, 5));
            }
            fixture.send(&RequestBuilder::replace(13, 77));
            fixture.send(&RequestBuilder::new(RequestType::Begin, 14).stream(3));
            fixture.turn();
            fixture.replies().await;
            fixture.leave(1);
            let frames = fixture.replies().await;
            let syncs: Vec<_> = frames.iter().map(|own| (own.sync, own.code == 0)).collect();
            assert_eq!(syncs, [(12, false), (13, true), (14, true)]);
            assert_eq!(fixture.script.executed(), [5, 77]);
            fixture.turn();
            fixture.send_as(2, &RequestBuilder::replace(1, 78));
            fixture.turn();
            assert_eq!(fixture.script.log(), ["begin 1", "rollback 1"]);
        });
    }

    #[test]
    fn a_transaction_of_a_client_that_is_gone_runs_to_its_end_though_there_is_no_room() {
        fixture(|mut fixture: Fixture| async move {
            fixture.store_large().await;
            let of_stream = |request: RequestBuilder| request.stream(7);
            fixture.send(&of_stream(RequestBuilder::new(RequestType::Begin, 10)));
            fixture.send(&of_stream(RequestBuilder::replace(11, 11)));
            fixture.send(&of_stream(RequestBuilder::call(12, "later", &[0x91, 1])));
            fixture.send(&of_stream(RequestBuilder::replace(13, 13)));
            fixture.send(&of_stream(RequestBuilder::new(RequestType::Commit, 14)));
            // Its replies take all that they may; nothing waits for room.
            for sync in 20..22 {
                fixture.send(&RequestBuilder::select(sync, 5));
            }
            fixture.turn();
            assert_eq!(fixture.core.backlog.next_look(), None);
            fixture.leave(1);
            for _ in 0..8 {
                fixture.run_tasks().await;
                fixture.turn();
            }
            assert_eq!(fixture.script.executed(), [5, 11, 13]);
            assert_eq!(fixture.script.log(), ["begin 1", "commit 1"]);
        });
    }

    #[test]
    fn a_client_that_is_gone_gets_no_reads_in_transactions_either() {
        fixture(|mut fixture: Fixture| async move {
            fixture.store_large().await;
            for sync in 10..12 {
                fixture.send(&RequestBuilder::select(sync, 5));
            }
            let of_stream = |request: RequestBuilder| request.stream(7);
            fixture.send(&of_stream(RequestBuilder::new(RequestType::Begin, 12)));
            for sync in 13..20 {
                fixture.send(&of_stream(RequestBuilder::select(sync, 5)));
            }
            fixture.send(&of_stream(RequestBuilder::replace(20, 77)));
            fixture.send(&of_stream(RequestBuilder::new(RequestType::Commit, 21)));
            fixture.turn();
            fixture.replies().await;
            fixture.leave(1);
            let frames = fixture.replies().await;
            let done = frames.iter().filter(|own| own.code == 0);
            let done: Vec<_> = done.map(|own| own.sync).collect();
            assert_eq!(done, [12, 20, 21]);
            assert_eq!(frames.len(), 10, "each has its reply");
            assert_eq!(fixture.script.log(), ["begin 1", "commit 1"]);
        });
    }

    #[test]
    fn a_connection_of_which_all_was_taken_back_is_in_nobodys_way() {
        fixture(|mut fixture: Fixture| async move {
            fixture.store_large().await;
            for connection in 1..3 {
                for sync in 10..12 {
                    fixture.send_as(connection, &RequestBuilder::select(sync, 5));
                }
            }
            // More than a connection may have on its way, so what was taken back of it is dropped.
            for sync in 12..14 {
                let id = fixture.send(&large(sync, 33 * MIB));
                assert!(fixture.claims.revoke(id));
            }
            fixture.send_as(2, &RequestBuilder::select(12, 5));
            fixture.turn();
            fixture.take_syncs().await;
            fixture.now += crate::limits::BACKLOG_LOOK_PERIOD;
            for _ in 0..4 {
                fixture.core.turn(fixture.now);
            }
            assert_eq!(fixture.take_syncs().await, [12]);
            assert!(!fixture.core.has_work(), "or Tx would never come to rest");
        });
    }

    #[test]
    fn the_order_of_a_stream_holds_whatever_its_requests_wait_for() {
        fixture(|mut fixture: Fixture| async move {
            fixture.store_large().await;
            let of_stream = |request: RequestBuilder| request.stream(7);
            let write = |sync| of_stream(RequestBuilder::replace(sync, sync));
            fixture
                .ask(&RequestBuilder::call(9, "reserve", &[0x90]))
                .await;
            fixture.send(&of_stream(RequestBuilder::call(10, "take", &[0x91, 1])));
            fixture.send(&write(11));
            fixture.send(&write(12));
            fixture.turn();
            // Others of the connection use up its room.
            for sync in 20..23 {
                fixture.send(&RequestBuilder::select(sync, 5));
            }
            fixture.send(&write(13));
            fixture.turn();
            fixture.replies().await;
            fixture.script.complete();
            // The completion is handed on by this.
            fixture.replies().await;
            fixture.turn();
            fixture.send(&write(14));
            fixture.turn();
            assert_eq!(fixture.script.executed(), [5]);
            for _ in 0..3 {
                fixture.take_syncs().await;
                fixture.tell_room(1);
            }
            assert_eq!(fixture.script.executed(), [5, 11, 12, 13, 14]);
        });
    }

    fn small_memory() -> Config {
        Config::default().connection_limits(ConnectionLimits::default().memory_max(16 * MIB))
    }

    #[test]
    fn many_connections_get_no_more_than_the_bound_and_one_reply() {
        fixture_with(small_memory(), |mut fixture: Fixture| async move {
            fixture.store_large().await;
            let mut peak = 0;
            for connection in 1..60 {
                fixture.send_as(connection, &RequestBuilder::select(1, 5));
                fixture.core.turn(fixture.now);
                // Nobody reads: what is delivered stays where it is.
                let count = fixture.take_syncs().await.len();
                let bytes = count * 3 * MIB;
                fixture.charge(connection).set(Held::buffers(bytes), bytes);
                peak = peak.max(fixture.used());
            }
            let one_reply = 3 * MIB + FRAME_MARGIN;
            assert!(peak <= 16 * MIB + one_reply, "{peak}");
            assert!(peak > 12 * MIB, "{peak}");
            // A small reply is for everybody, a large one for nobody until there is room.
            fixture.send_as(100, &RequestBuilder::replace(1, 100));
            fixture.send_as(101, &RequestBuilder::select(1, 5));
            fixture.turn();
            assert_eq!(fixture.script.executed(), [5, 100]);
            assert_eq!(fixture.take_syncs().await, [1]);
            for own in fixture.charges.values_mut() {
                own.set(Held::default(), 0);
            }
            for _ in 1..60 {
                fixture.wait(crate::limits::BACKLOG_LOOK_PERIOD);
                fixture.take_syncs().await;
            }
            assert_eq!((fixture.used(), fixture.core.next_look()), (0, None));
        });
    }
}
