//! Ends of reservations that the runtime brings about, and of locks.

use std::time::Instant;

use super::Granted;
use super::list::Listed;
use super::locks::Origin;
use crate::engine::{Engine, ReservationId, Ticket};
use crate::shared::Shared;
use crate::tx::core::TxCore;

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
    use crate::tx::messages::{Control, Fate};
    use crate::tx::rig::{Rig, rig};

    const ARGS: &[u8] = &[0x91, 0xa1, b'a'];

    fn lock(sync: u64) -> RequestBuilder {
        RequestBuilder::call(sync, "vestibule.lock", ARGS)
    }

    fn unlock(sync: u64) -> RequestBuilder {
        RequestBuilder::call(sync, "vestibule.unlock", ARGS)
    }

    /// What was told so far: sync, and what the call returned.
    async fn told(rig: &mut Rig) -> Vec<(u64, bool)> {
        rig.turn();
        // Completions travel once around before they are replies.
        let mut frames = rig.replies().await;
        rig.turn();
        frames.extend(rig.replies().await);
        let told = frames.iter();
        told.map(|own| (own.sync, own.data::<Vec<bool>>()[0]))
            .collect()
    }

    /// Whether the lock was free for a connection, which has it now.
    async fn is_free_for(rig: &mut Rig, connection: u64) -> bool {
        let without_waiting = RequestBuilder::call(99, "vestibule.lock", &[0x92, 0xa1, b'a', 0]);
        rig.send_as(connection, &without_waiting);
        told(rig).await == [(99, true)]
    }

    #[test]
    fn a_lock_goes_to_those_who_wait_first_come_first_served() {
        rig(|mut rig: Rig| async move {
            for connection in 1..=3 {
                rig.send_as(connection, &lock(connection));
            }
            rig.send_as(1, &lock(4));
            assert_eq!(told(&mut rig).await, [(1, true), (4, true)]);
            rig.send_as(1, &unlock(5));
            assert_eq!(told(&mut rig).await, [(5, true), (2, true)]);
            rig.send_as(1, &unlock(6));
            assert_eq!(told(&mut rig).await, [(6, false)], "not its own any more");
            rig.leave(2);
            assert_eq!(told(&mut rig).await, [(3, true)]);
            rig.send_as(3, &unlock(7));
            assert_eq!(told(&mut rig).await, [(7, true)]);
            assert!(is_free_for(&mut rig, 1).await);
        });
    }

    #[test]
    fn who_waits_too_long_is_told_that_it_has_no_lock() {
        rig(|mut rig: Rig| async move {
            rig.send_as(1, &lock(1));
            rig.send_as(2, &lock(2));
            assert_eq!(told(&mut rig).await, [(1, true)]);
            rig.wait(LOCK_WAIT_DEFAULT + Duration::from_millis(20));
            assert_eq!(told(&mut rig).await, [(2, false)]);
            rig.send_as(1, &unlock(3));
            assert_eq!(told(&mut rig).await, [(3, true)]);
            assert!(is_free_for(&mut rig, 3).await);
            assert_eq!(rig.core.next_look(), None);
        });
    }

    #[test]
    fn a_connection_that_is_gone_waits_for_nothing() {
        rig(|mut rig: Rig| async move {
            rig.send_as(1, &lock(1));
            rig.send_as(2, &lock(2));
            assert_eq!(told(&mut rig).await, [(1, true)]);
            rig.leave(2);
            assert_eq!(told(&mut rig).await, [(2, false)]);
            rig.send_as(1, &unlock(3));
            assert_eq!(told(&mut rig).await, [(3, true)]);
            assert!(is_free_for(&mut rig, 3).await);
        });
    }

    #[test]
    fn whoever_was_told_an_error_holds_no_lock() {
        rig(|mut rig: Rig| async move {
            // Taken at once, and waited for: both are given up on before the reply is read.
            let taken = rig.send_as(1, &lock(1));
            rig.turn();
            rig.cancel(taken, 0, Fate::Untouched);
            told(&mut rig).await;
            assert!(is_free_for(&mut rig, 2).await);
            let waiting = rig.send_as(1, &lock(2));
            rig.turn();
            rig.send_as(2, &unlock(3));
            rig.turn();
            rig.cancel(waiting, 0, Fate::Untouched);
            told(&mut rig).await;
            assert!(is_free_for(&mut rig, 3).await);
        });
    }

    #[test]
    fn whoever_is_told_that_the_turn_failed_holds_no_lock() {
        rig(|mut rig: Rig| async move {
            rig.script.fail_commits(true);
            rig.send_as(1, &RequestBuilder::replace(8, 8));
            rig.send_as(1, &lock(1));
            rig.turn();
            for frame in rig.replies().await {
                assert!(frame.error_code().is_some(), "{frame:?}");
            }
            rig.script.fail_commits(false);
            assert!(is_free_for(&mut rig, 2).await);
            rig.send_as(2, &unlock(2));
            assert_eq!(told(&mut rig).await, [(2, true)]);
            // The same, if a transition comes between the turn and its commit.
            rig.send_as(1, &lock(3));
            let shared = rig.shared.clone();
            rig.script.on_pause(move || {
                shared.raise_fence();
            });
            rig.send_as(1, &RequestBuilder::call(4, "pause", &[0x91, 0]));
            rig.turn();
            for frame in rig.replies().await {
                assert!(frame.error_code().is_some(), "{frame:?}");
            }
            assert!(rig.shared.reservations.rows(rig.now).is_empty());
        });
    }

    /// SP-03, SP-04 and TP-04: idle ones go first; whoever is in a transaction keeps its own until that
    /// ends or everything is killed.
    #[test]
    fn a_transition_closes_idle_locks_first_and_then_all() {
        rig(|mut rig: Rig| async move {
            rig.send_as(1, &lock(1));
            rig.send_as(2, &RequestBuilder::new(RequestType::Begin, 2).stream(1));
            let other = RequestBuilder::call(3, "vestibule.lock", &[0x91, 0xa1, b'b']);
            rig.send_as(2, &other);
            rig.turn();
            rig.replies().await;
            assert_eq!(rig.core.close_idle(), 1);
            assert_eq!(rig.shared.reservations.rows(rig.now).len(), 1);
            rig.send_as(3, &lock(4));
            rig.turn();
            assert_eq!(rig.replies().await[0].error_code(), Some(116));
            rig.core.control(&Control::ReopenReservations);
            assert!(is_free_for(&mut rig, 3).await);
            rig.core.control(&Control::CloseIdleReservations);
            rig.send_as(2, &RequestBuilder::new(RequestType::Rollback, 5).stream(1));
            rig.turn();
            assert!(rig.shared.reservations.rows(rig.now).is_empty());
            rig.core.control(&Control::CloseAllReservations);
            assert_eq!(rig.core.close_all(), 0);
        });
    }

    #[test]
    fn what_an_engine_reserves_is_in_use_until_its_request_is_answered() {
        rig(|mut rig: Rig| async move {
            let id = rig.ask(&RequestBuilder::call(1, "reserve", &[0x90])).await;
            let id = id.data::<Vec<u64>>()[0];
            let take = RequestBuilder::call(2, "take", &[0x91, id as u8]);
            rig.send(&take);
            rig.turn();
            assert_eq!(rig.core.close_idle(), 0, "its request is deferred");
            assert!(rig.script.log().is_empty());
            rig.script.complete();
            rig.replies().await;
            rig.turn();
            assert_eq!(rig.replies().await[0].sync, 2);
            assert_eq!(rig.script.log(), [format!("closed {id}")]);
            let gone = rig.ask(&take).await;
            assert_eq!(gone.error_code(), Some(1));
        });
    }
}
