//! Tx is behind: what has come joins the queue of its connection, and waits there for its turn.
//!
//! In the order of arrival a request would wait for all that came before it, and one client can
//! send what takes minutes. As long as turns are full of requests that take next to nothing each,
//! that order is kept, which costs nothing.

use super::core::TxCore;
use super::streams::WaitingRequest;
use crate::cells::claims::RequestPhase;
use crate::engine::Engine;
use crate::messages::tx::{Batch, BatchEntry};

impl<E: Engine> TxCore<E> {
    /// Lets everything that has come wait for its turn.
    pub(super) fn line_up(&mut self) {
        while let Some(request) = self.executor.streams.pop_resumed() {
            let connection = request.caller.connection;
            if self.backlog.awaits_room(connection) {
                self.put_aside_again(request);
            } else {
                self.wait_for_room_again(request);
                self.backlog.wake(connection);
            }
        }
        while let Some((batch, next)) = self.queue.pop_batch() {
            self.line_up_batch(batch, next);
        }
    }

    fn line_up_batch(&mut self, mut batch: Box<Batch>, next: usize) {
        self.recycle_replies(&mut batch);
        for index in next..batch.entries.len() {
            self.update_callers(&mut batch, index);
            let entry = &batch.entries[index];
            self.line_up_request(batch.worker, entry, batch.body(index));
        }
        self.finish_batch(batch);
    }

    fn line_up_request(&mut self, worker: usize, entry: &BatchEntry, body: &[u8]) {
        let phase = self.callers.claims(worker).phase(entry.id);
        if phase != Some(RequestPhase::Queued) && !entry.bounds_transaction() {
            // Taken back.
            return;
        }
        let Some(client) = self.callers.get(worker, entry.session) else {
            return self.run_request(worker, entry, body);
        };
        let connection = client.caller.connection;
        if self.backlog.awaits_room(connection) {
            return self.put_aside_for_room(worker, entry, body);
        }
        // It waits for Tx, so it keeps its credit.
        let request = WaitingRequest::new(worker, entry, body, client, None);
        self.wait_for_room(request);
        self.backlog.wake(connection);
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::catalog::User;
    use crate::testing::RequestBuilder;
    use crate::tx::test_fixture::{Fixture, fixture};

    /// More than half of what a turn makes.
    const LARGE: u32 = 3 << 20;

    impl Fixture {
        /// Stores a row that few of are read in a turn.
        async fn store_row(&mut self) {
            self.send_as(900, &RequestBuilder::replace_large(1, 5, LARGE));
            self.turn();
            self.replies().await;
        }

        /// In how many turns a write of this key is done.
        fn turns_until(&mut self, key: u64) -> usize {
            for turns in 1..100 {
                self.core.turn(self.now);
                if self.script.executed().contains(&key) {
                    return turns;
                }
            }
            panic!("{key} is not written");
        }
    }

    #[test]
    fn the_write_of_a_user_waits_for_few_turns_however_much_guests_ask_for() {
        fixture(|mut fixture: Fixture| async move {
            fixture.store_row().await;
            for connection in 1..=60 {
                for sync in 1..=2 {
                    fixture.send_as(connection, &RequestBuilder::select(sync, 5));
                }
            }
            fixture.send_by(User::named("alice"), 100, &RequestBuilder::replace(1, 77));
            let first = fixture.turns_until(77);
            // Later ones too, and those of guests that are known to be small.
            fixture.send_by(User::named("alice"), 100, &RequestBuilder::replace(2, 78));
            let second = fixture.turns_until(78);
            fixture.send_as(101, &RequestBuilder::replace(1, 79));
            let guest = fixture.turns_until(79);
            let turns = [first, second, guest];
            assert!(turns.iter().all(|turns| *turns <= 2), "{turns:?}");
            fixture.turn();
            assert_eq!(fixture.replies().await.len(), 123, "all are answered");
        });
    }

    #[test]
    fn one_connection_that_asks_for_much_keeps_nobody_for_more_than_one_request_of_it() {
        fixture(|mut fixture: Fixture| async move {
            // Each takes a turn, and has no reply to speak of.
            for sync in 1..=20 {
                fixture.send_as(1, &RequestBuilder::call(sync, "pause", &[0x91, 6]));
            }
            // Of what it sends first nothing is known either.
            fixture.send_as(2, &RequestBuilder::call(1, "pause", &[0x91, 0]));
            fixture.send_as(2, &RequestBuilder::replace(2, 77));
            let turns = fixture.turns_until(77);
            assert!(turns <= 4, "{turns} turns");
            fixture.turn();
            assert_eq!(fixture.replies().await.len(), 22, "all are answered");
        });
    }

    #[test]
    fn what_goes_on_in_its_stream_keeps_nobody_either() {
        fixture(|mut fixture: Fixture| async move {
            fixture.store_row().await;
            for connection in 1..=30 {
                let later = RequestBuilder::call(1, "later", &[0x91, 0]).stream(7);
                fixture.send_as(connection, &later);
                let large = RequestBuilder::select(2, 5).stream(7);
                fixture.send_as(connection, &large);
            }
            fixture.turn();
            fixture.run_tasks().await;
            fixture.send_by(User::named("alice"), 100, &RequestBuilder::replace(1, 77));
            let turns = fixture.turns_until(77);
            assert!(turns <= 3, "{turns} turns");
            fixture.turn();
            assert_eq!(fixture.replies().await.len(), 61, "all are answered");
        });
    }

    #[test]
    fn the_order_of_a_connection_holds_whatever_it_waits_for_and_whoever_it_is_by_then() {
        fixture(|mut fixture: Fixture| async move {
            fixture.store_row().await;
            // Tx falls behind.
            for sync in 1..=4 {
                fixture.send_as(2, &RequestBuilder::select(sync, 5));
                fixture.send_as(3, &RequestBuilder::select(sync, 5));
            }
            let mut expected = Vec::new();
            for sync in 1..=12 {
                let user = User::named(["guest", "alice"][sync as usize / 6 % 2]);
                let stream = [0, 7][sync as usize % 2];
                let write = RequestBuilder::replace(sync, 100 + sync).stream(stream);
                fixture.send_by(user, 1, &write);
                expected.push(100 + sync);
                if sync % 4 == 0 {
                    fixture.core.turn(fixture.now);
                }
            }
            fixture.leave(1);
            fixture.turn();
            let executed = fixture.script.executed();
            let own: Vec<_> = executed.into_iter().filter(|key| *key > 100).collect();
            assert_eq!(own, expected);
        });
    }
}
