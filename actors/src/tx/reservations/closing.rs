//! Ends of reservations that the runtime brings about, and of locks.

use std::time::Instant;

use crate::cells::reservation_list::Listed;
use crate::engine::{Engine, ReservationId, Ticket};
use crate::shared::Shared;
use crate::tx::core::TxCore;
use crate::tx::locks::{Granted, Origin};

impl Granted {
    /// Writes a lock's new holder down.
    pub(in crate::tx) fn list(self, shared: &Shared, now: Instant) {
        let listed = Listed {
            connection: self.connection,
            kind: "lock",
            name: self.name,
            since: now,
            waiting: self.waiting,
        };
        shared.reservations.put(self.reservation, listed);
    }
}

impl<E: Engine> TxCore<E> {
    /// Closes idle reservations now and others when they become idle, and lets nobody reserve anything,
    /// until [`reopen_reservations`](Self::reopen_reservations). A connection in a transaction uses all
    /// that it has. Between two turns; returns how many were closed at once.
    pub(crate) fn close_idle(&mut self) -> usize {
        self.reservations.get_mut().begin_closing();
        self.sweep_reservations()
    }

    /// Closes all reservations, in use or not, and lets nobody reserve anything. Between two turns;
    /// returns how many there were.
    pub(crate) fn close_all(&mut self) -> usize {
        let closed = self.reservations.get_mut().close_all();
        self.tell_closed(&closed)
    }

    /// The transition is over: reservations may be had again.
    pub(crate) fn reopen_reservations(&mut self) {
        self.reservations.get_mut().reopen();
    }

    /// At the end of a turn: what has become idle while idle ones are closed.
    pub(in crate::tx) fn sweep_reservations(&mut self) -> usize {
        let streams = &self.streams;
        let closed = self
            .reservations
            .get_mut()
            .sweep(|connection| streams.has_transaction(connection));
        self.tell_closed(&closed)
    }

    /// The connection is gone, with everything that it held or waited for.
    pub(in crate::tx) fn leave_reservations(&mut self, connection: u64) {
        for ticket in self.locks.waiting_of(connection) {
            self.stop_waiting(ticket);
        }
        let closed = self.reservations.get_mut().leave(connection);
        self.tell_closed(&closed);
    }

    /// Time is over for a request that waits for a lock: it is told that it has none.
    pub(in crate::tx) fn stop_waiting(&mut self, ticket: Ticket) {
        let stopped = self.locks.stop_waiting(ticket, &mut self.deadlines);
        if let Some((completion, reservation, waiting)) = stopped {
            self.shared.reservations.set_waiting(reservation, waiting);
            completion.complete(Ok(false));
        }
    }

    /// A session gave up on a request: if it waits for a lock, or was given one that its client does
    /// not know of, that is over.
    pub(in crate::tx) fn give_up_lock(&mut self, ticket: Option<Ticket>, origin: Origin) {
        if let Some(ticket) = ticket {
            self.stop_waiting(ticket);
        }
        if let Some(reservation) = self.locks.granted_to(origin)
            && self.reservations.get_mut().remove(reservation)
        {
            self.tell_closed(&[reservation]);
        }
    }

    /// Tells whoever has to know that reservations are over: the next that waits, or the engine.
    fn tell_closed(&mut self, closed: &[ReservationId]) -> usize {
        for id in closed {
            self.shared.reservations.remove(*id);
            if !self.locks.is_lock(*id) {
                self.engine.close_reservation(*id);
                continue;
            }
            let reservations = self.reservations.get_mut();
            let next = self.locks.hand_over(*id, reservations, &mut self.deadlines);
            if let Some(granted) = next {
                granted.list(&self.shared, self.began);
            }
        }
        closed.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vestibule_wire::keys::RequestType;

    use crate::limits::LOCK_WAIT_DEFAULT;
    use crate::testing::RequestBuilder;
    use crate::tx::messages::{Control, TransactionEffect};
    use crate::tx::test_fixture::{Fixture, fixture};

    const ARGS: &[u8] = &[0x91, 0xa1, b'a'];

    fn lock(sync: u64) -> RequestBuilder {
        RequestBuilder::call(sync, "vestibule.lock", ARGS)
    }

    fn unlock(sync: u64) -> RequestBuilder {
        RequestBuilder::call(sync, "vestibule.unlock", ARGS)
    }

    /// What was told so far: sync, and what the call returned.
    async fn told(fixture: &mut Fixture) -> Vec<(u64, bool)> {
        fixture.turn();
        // Completions travel once around before they are replies.
        let mut frames = fixture.replies().await;
        fixture.turn();
        frames.extend(fixture.replies().await);
        let told = frames.iter();
        told.map(|own| (own.sync, own.data::<Vec<bool>>()[0]))
            .collect()
    }

    /// Whether the lock was free for a connection, which has it now.
    async fn is_free_for(fixture: &mut Fixture, connection: u64) -> bool {
        let without_waiting = RequestBuilder::call(99, "vestibule.lock", &[0x92, 0xa1, b'a', 0]);
        fixture.send_as(connection, &without_waiting);
        told(fixture).await == [(99, true)]
    }

    #[test]
    fn a_lock_goes_to_those_who_wait_first_come_first_served() {
        fixture(|mut fixture: Fixture| async move {
            for connection in 1..=3 {
                fixture.send_as(connection, &lock(connection));
            }
            fixture.send_as(1, &lock(4));
            assert_eq!(told(&mut fixture).await, [(1, true), (4, true)]);
            fixture.send_as(1, &unlock(5));
            assert_eq!(told(&mut fixture).await, [(5, true), (2, true)]);
            fixture.send_as(1, &unlock(6));
            assert_eq!(
                told(&mut fixture).await,
                [(6, false)],
                "not its own any more"
            );
            fixture.leave(2);
            assert_eq!(told(&mut fixture).await, [(3, true)]);
            fixture.send_as(3, &unlock(7));
            assert_eq!(told(&mut fixture).await, [(7, true)]);
            assert!(is_free_for(&mut fixture, 1).await);
        });
    }

    #[test]
    fn who_waits_too_long_is_told_that_it_has_no_lock() {
        fixture(|mut fixture: Fixture| async move {
            fixture.send_as(1, &lock(1));
            fixture.send_as(2, &lock(2));
            assert_eq!(told(&mut fixture).await, [(1, true)]);
            fixture.wait(LOCK_WAIT_DEFAULT + Duration::from_millis(20));
            assert_eq!(told(&mut fixture).await, [(2, false)]);
            fixture.send_as(1, &unlock(3));
            assert_eq!(told(&mut fixture).await, [(3, true)]);
            assert!(is_free_for(&mut fixture, 3).await);
            assert_eq!(fixture.core.next_look(), None);
        });
    }

    #[test]
    fn a_connection_that_is_gone_waits_for_nothing() {
        fixture(|mut fixture: Fixture| async move {
            fixture.send_as(1, &lock(1));
            fixture.send_as(2, &lock(2));
            assert_eq!(told(&mut fixture).await, [(1, true)]);
            fixture.leave(2);
            assert_eq!(told(&mut fixture).await, [(2, false)]);
            fixture.send_as(1, &unlock(3));
            assert_eq!(told(&mut fixture).await, [(3, true)]);
            assert!(is_free_for(&mut fixture, 3).await);
        });
    }

    #[test]
    fn whoever_was_told_an_error_holds_no_lock() {
        fixture(|mut fixture: Fixture| async move {
            // Taken at once, and waited for: both are given up on before the reply is read.
            let taken = fixture.send_as(1, &lock(1));
            fixture.turn();
            fixture.cancel(taken, 0, TransactionEffect::Untouched);
            told(&mut fixture).await;
            assert!(is_free_for(&mut fixture, 2).await);
            let waiting = fixture.send_as(1, &lock(2));
            fixture.turn();
            fixture.send_as(2, &unlock(3));
            fixture.turn();
            fixture.cancel(waiting, 0, TransactionEffect::Untouched);
            told(&mut fixture).await;
            assert!(is_free_for(&mut fixture, 3).await);
        });
    }

    #[test]
    fn whoever_is_told_that_the_turn_failed_holds_no_lock() {
        fixture(|mut fixture: Fixture| async move {
            fixture.script.fail_commits(true);
            fixture.send_as(1, &RequestBuilder::replace(8, 8));
            fixture.send_as(1, &lock(1));
            fixture.turn();
            for frame in fixture.replies().await {
                assert!(frame.error_code().is_some(), "{frame:?}");
            }
            fixture.script.fail_commits(false);
            assert!(is_free_for(&mut fixture, 2).await);
            fixture.send_as(2, &unlock(2));
            assert_eq!(told(&mut fixture).await, [(2, true)]);
            // The same, if a transition comes between the turn and its commit.
            fixture.send_as(1, &lock(3));
            let shared = fixture.shared.clone();
            fixture.script.on_pause(move || {
                shared.raise_fence();
            });
            fixture.send_as(1, &RequestBuilder::call(4, "pause", &[0x91, 0]));
            fixture.turn();
            for frame in fixture.replies().await {
                assert!(frame.error_code().is_some(), "{frame:?}");
            }
            assert!(fixture.shared.reservations.rows(fixture.now).is_empty());
        });
    }

    /// SP-03, SP-04 and TP-04: idle ones go first; whoever is in a transaction keeps its own until that
    /// ends or everything is killed.
    #[test]
    fn a_transition_closes_idle_locks_first_and_then_all() {
        fixture(|mut fixture: Fixture| async move {
            fixture.send_as(1, &lock(1));
            fixture.send_as(2, &RequestBuilder::new(RequestType::Begin, 2).stream(1));
            let other = RequestBuilder::call(3, "vestibule.lock", &[0x91, 0xa1, b'b']);
            fixture.send_as(2, &other);
            fixture.turn();
            fixture.replies().await;
            assert_eq!(fixture.core.close_idle(), 1);
            assert_eq!(fixture.shared.reservations.rows(fixture.now).len(), 1);
            fixture.send_as(3, &lock(4));
            fixture.turn();
            assert_eq!(fixture.replies().await[0].error_code(), Some(116));
            fixture.core.control(&Control::ReopenReservations);
            assert!(is_free_for(&mut fixture, 3).await);
            fixture.core.control(&Control::CloseIdleReservations);
            fixture.send_as(2, &RequestBuilder::new(RequestType::Rollback, 5).stream(1));
            fixture.turn();
            assert!(fixture.shared.reservations.rows(fixture.now).is_empty());
            fixture.core.control(&Control::CloseAllReservations);
            assert_eq!(fixture.core.close_all(), 0);
        });
    }

    #[test]
    fn what_an_engine_reserves_is_in_use_until_its_request_is_answered() {
        fixture(|mut fixture: Fixture| async move {
            let id = fixture
                .ask(&RequestBuilder::call(1, "reserve", &[0x90]))
                .await;
            let id = id.data::<Vec<u64>>()[0];
            let take = RequestBuilder::call(2, "take", &[0x91, id as u8]);
            fixture.send(&take);
            fixture.turn();
            assert_eq!(fixture.core.close_idle(), 0, "its request is deferred");
            assert!(fixture.script.log().is_empty());
            fixture.script.complete();
            fixture.replies().await;
            fixture.turn();
            assert_eq!(fixture.replies().await[0].sync, 2);
            assert_eq!(fixture.script.log(), [format!("closed {id}")]);
            let gone = fixture.ask(&take).await;
            assert_eq!(gone.error_code(), Some(1));
        });
    }
}
