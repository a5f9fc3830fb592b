//! What connections hold outside of transactions: reservations, and locks, which are their first
//! users.
//!
//! | file | what |
//! |---|---|
//! | `reservations` | the table: who holds what, what is in use, what is closed |
//! | `locks` | the table: who holds which lock, and who waits |
//! | `lock_procedures` | how clients ask for them |
//!
//! What the engine has to be told is returned: it alone knows what stands behind its reservations.

mod lock_procedures;
mod locks;
mod reservations;

use std::sync::Arc;
use std::time::Instant;

use vestibule_wire::Error;

use self::locks::{Granted, Locks};
use self::reservations::Reservations;
use super::deadlines::Deadlines;
use crate::cells::reservation_list::{Listed, ReservationKind};
use crate::engine::{Caller, Completion, ReservationId, Ticket};
use crate::messages::tx::RequestOrigin;
use crate::shared::Shared;

pub(crate) use lock_procedures::with_locks;

/// Who holds, or asks for, something, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder<'a> {
    pub(super) caller: &'a Arc<Caller>,
    /// The request: by it a lock is taken back whose request was cancelled.
    pub(super) origin: RequestOrigin,
    /// When the turn began.
    pub(super) now: Instant,
}

/// What connections hold.
pub(super) struct Holdings {
    reservations: Reservations,
    locks: Locks,
    /// Of the requests that wait for locks.
    waits: Deadlines<Ticket>,
    /// Where operators see it.
    shared: Arc<Shared>,
}

impl Holdings {
    /// None: those of the Tx before this one died with it.
    pub(super) fn new(shared: Arc<Shared>, now: Instant) -> Self {
        shared.reservations.clear();
        Self {
            reservations: Reservations::new(shared.quotas.reservations.clone()),
            locks: Locks::default(),
            waits: Deadlines::new(now),
            shared,
        }
    }

    /// A new reservation, in use by the request that Tx executes.
    pub(super) fn reserve(
        &mut self,
        holder: Holder<'_>,
        kind: &'static str,
        name: &str,
    ) -> Result<ReservationId, Error> {
        let connection = holder.caller.connection;
        let id = self.reservations.acquire(holder.caller)?;
        self.reservations.take(id, connection)?;
        let listed = Listed {
            connection,
            kind: ReservationKind::Engine(kind),
            name: name.into(),
            since: holder.now,
            waiting: 0,
        };
        self.shared.reservations.put(id, listed);
        Ok(id)
    }

    /// The request that Tx executes uses a reservation of its connection.
    pub(super) fn take(&mut self, id: ReservationId, connection: u64) -> Result<(), Error> {
        self.reservations.take(id, connection)
    }

    /// A connection gives back what it holds; false if it does not hold it.
    pub(super) fn release(&mut self, id: ReservationId, connection: u64) -> bool {
        let is_own = self.reservations.holder(id) == Some(connection);
        let is_released = is_own && self.reservations.remove(id);
        if is_released {
            self.shared.reservations.remove(id);
        }
        is_released
    }

    /// What the request at hand uses: to be handed back when it is answered.
    #[inline]
    pub(super) fn take_current(&mut self) -> Vec<ReservationId> {
        self.reservations.take_current()
    }

    /// A request that used these is answered.
    #[inline]
    pub(super) fn hand_back(&mut self, used: &[ReservationId]) {
        self.reservations.hand_back(used);
    }

    /// Takes a lock, or finds that the connection has it. Otherwise returns the reservation that is
    /// in the way.
    pub(super) fn try_lock(
        &mut self,
        holder: Holder<'_>,
        name: &str,
    ) -> Result<Option<ReservationId>, Error> {
        let Some(held) = self.locks.find(name) else {
            let (caller, origin) = (holder.caller, holder.origin);
            let reservations = &mut self.reservations;
            let granted = self.locks.take(name, caller, origin, reservations)?;
            self.list(granted, holder.now);
            return Ok(None);
        };
        let is_own = self.reservations.holder(held) == Some(holder.caller.connection);
        Ok((!is_own).then_some(held))
    }

    /// Has a request wait for a lock that is held, until a time.
    pub(super) fn wait(
        &mut self,
        holder: Holder<'_>,
        name: &str,
        held: ReservationId,
        completion: Completion,
        until: Instant,
    ) {
        let timer = self.waits.set(completion.ticket(), until);
        let (caller, origin) = (holder.caller, holder.origin);
        let waiting = self.locks.wait(name, caller, origin, completion, timer);
        self.shared.reservations.set_waiting(held, waiting);
    }

    /// A connection gives a lock back, which goes on to the next that waits; false if it does not
    /// have it.
    pub(super) fn unlock(&mut self, name: &str, connection: u64, now: Instant) -> bool {
        let own = self.locks.find(name);
        let Some(own) = own.filter(|own| self.release(*own, connection)) else {
            return false;
        };
        self.pass_on(own, now);
        true
    }

    /// A reservation was closed. If it is a lock, the next one that waits gets it; false if it is
    /// the engine's, which has to be told.
    pub(super) fn pass_on(&mut self, closed: ReservationId, now: Instant) -> bool {
        self.shared.reservations.remove(closed);
        if !self.locks.is_lock(closed) {
            return false;
        }
        let (reservations, waits) = (&mut self.reservations, &mut self.waits);
        if let Some(granted) = self.locks.hand_over(closed, reservations, waits) {
            self.list(granted, now);
        }
        true
    }

    /// Writes a lock's new holder down.
    fn list(&self, granted: Granted, now: Instant) {
        let listed = Listed {
            connection: granted.connection,
            kind: ReservationKind::Lock,
            name: granted.name,
            since: now,
            waiting: granted.waiting,
        };
        self.shared.reservations.put(granted.reservation, listed);
    }

    /// A request is over whose client was told an error: it waits for no lock any more, and the
    /// lock that it was given is free.
    pub(super) fn cancel(&mut self, ticket: Option<Ticket>, origin: RequestOrigin, now: Instant) {
        if let Some(ticket) = ticket {
            self.stop_waiting(ticket);
        }
        if let Some(reservation) = self.locks.granted_to(origin)
            && self.reservations.remove(reservation)
        {
            self.pass_on(reservation, now);
        }
    }

    /// Tells those who have waited for a lock too long that they have none.
    pub(super) fn expire(&mut self, now: Instant) {
        for ticket in self.waits.expire(now) {
            self.stop_waiting(ticket);
        }
    }

    /// When somebody may have waited too long next.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.waits.next_look()
    }

    /// When the first one is due.
    #[cfg(feature = "testing")]
    pub(super) fn first_due(&self) -> Option<Instant> {
        self.waits.first_due()
    }

    fn stop_waiting(&mut self, ticket: Ticket) {
        let stopped = self.locks.stop_waiting(ticket, &mut self.waits);
        if let Some((completion, held, waiting)) = stopped {
            self.shared.reservations.set_waiting(held, waiting);
            completion.complete(Ok(false));
        }
    }

    /// A connection is gone: it waits for nothing. Returns what it held, which is to be
    /// [passed on](Self::pass_on).
    pub(super) fn leave(&mut self, connection: u64) -> Vec<ReservationId> {
        for ticket in self.locks.waiting_of(connection) {
            self.stop_waiting(ticket);
        }
        self.reservations.leave(connection)
    }

    /// From now on idle reservations are [swept](Self::sweep), and nobody reserves anything.
    pub(super) fn begin_closing(&mut self) {
        self.reservations.begin_closing();
    }

    /// Takes out what is idle, while idle reservations are closed: to be [passed
    /// on](Self::pass_on). A connection that `is_busy` (in a transaction, say) uses all that it
    /// has.
    #[inline]
    pub(super) fn sweep(&mut self, is_busy: impl Fn(u64) -> bool) -> Vec<ReservationId> {
        self.reservations.sweep(is_busy)
    }

    /// Takes out everything, in use or not, and nobody reserves anything: to be
    /// [passed on](Self::pass_on).
    pub(super) fn close_all(&mut self) -> Vec<ReservationId> {
        self.reservations.close_all()
    }

    /// Reservations may be had again.
    pub(super) fn reopen(&mut self) {
        self.reservations.reopen();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vestibule_wire::keys::RequestType;

    use crate::limits::LOCK_WAIT_DEFAULT;
    use crate::messages::tx::{Control, TransactionEffect};
    use crate::testing::RequestBuilder;
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
            // Taken at once, and waited for: both are cancelled before the reply is read.
            let taken = fixture.send_as(1, &lock(1));
            fixture.turn();
            fixture.cancel(taken, (0, None), TransactionEffect::Untouched);
            told(&mut fixture).await;
            assert!(is_free_for(&mut fixture, 2).await);
            let waiting = fixture.send_as(1, &lock(2));
            fixture.turn();
            fixture.send_as(2, &unlock(3));
            fixture.turn();
            fixture.cancel(waiting, (0, None), TransactionEffect::Untouched);
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
            // A turn that has not begun yet by the clock is not ended by it.
            fixture.now += Duration::from_secs(60);
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

    /// SP-03, SP-04 and TP-04: idle ones go first; a connection in a transaction keeps its own
    /// until that ends or everything is killed.
    #[test]
    fn a_transition_closes_idle_locks_first_and_then_all() {
        fixture(|mut fixture: Fixture| async move {
            fixture.send_as(1, &lock(1));
            fixture.send_as(2, &RequestBuilder::new(RequestType::Begin, 2).stream(1));
            let other = RequestBuilder::call(3, "vestibule.lock", &[0x91, 0xa1, b'b']);
            fixture.send_as(2, &other);
            fixture.turn();
            fixture.replies().await;
            assert_eq!(fixture.core.executor.close_idle(), 1);
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
            assert_eq!(fixture.core.executor.close_all(), 0);
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
            assert_eq!(
                fixture.core.executor.close_idle(),
                0,
                "its request is deferred"
            );
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
