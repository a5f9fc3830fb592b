//! Reservations: state of the engine that a connection holds outside a transaction (a lock, a
//! cursor).
//!
//! ```text
//!   acquire ─▶ in use by that request ── answered ─▶ idle ◀──▶ in use by another request (take)
//!                                                     │
//!      released by its holder, or closed by the runtime: the connection is gone, or a transition
//!      wants idle ones closed ("kill reserved") and at last all of them ("kill all")
//! ```
//!
//! The table is pure. Closing is one mode of it and no list of victims, so nothing that is handed
//! back or asked for late slips through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vestibule_wire::{Error, ErrorCode};

use crate::engine::{Caller, ReservationId};
use crate::limits::RESERVATIONS_PER_CONNECTION_MAX;
use crate::quotas::{Charge, Quota};

/// One reservation.
#[derive(Debug)]
struct Reservation {
    connection: u64,
    /// Requests that use it now.
    users: u32,
    /// Given back with it.
    _charge: Charge,
}

/// Which reservations are let live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// Nothing new, and what becomes idle is closed.
    ClosingIdle,
    /// Nothing at all.
    Closed,
}

/// The reservations of one Tx.
#[derive(Debug)]
pub(super) struct Reservations {
    table: BTreeMap<ReservationId, Reservation>,
    /// What each connection has of them.
    owned: BTreeMap<u64, BTreeSet<ReservationId>>,
    /// What all connections may have of them.
    quota: Arc<Quota>,
    last: u64,
    mode: Mode,
    /// Used by the request that Tx executes at present.
    current: Vec<ReservationId>,
}

impl Reservations {
    /// None yet.
    pub(super) fn new(quota: Arc<Quota>) -> Self {
        Self {
            table: BTreeMap::new(),
            owned: BTreeMap::new(),
            quota,
            last: 0,
            mode: Mode::Open,
            current: Vec::new(),
        }
    }

    /// A new reservation of a connection, idle.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::LOADING`] while a transition closes reservations, [`ErrorCode::ILLEGAL_PARAMS`]
    /// beyond the bounds.
    pub(super) fn acquire(&mut self, caller: &Arc<Caller>) -> Result<ReservationId, Error> {
        if self.mode != Mode::Open {
            let text = "Reservations are being closed: a transition is under way";
            return Err(Error::new(ErrorCode::LOADING, text));
        }
        let connection = caller.connection;
        let count = self.owned.get(&connection).map_or(0, BTreeSet::len);
        if count >= RESERVATIONS_PER_CONNECTION_MAX {
            let text = format!(
                "Too many reservations of this connection: there may be \
                 {RESERVATIONS_PER_CONNECTION_MAX}"
            );
            return Err(Error::illegal_params(text));
        }
        let charge = self.quota.take(caller, 1)?;
        self.last += 1;
        let id = ReservationId(self.last);
        let reservation = Reservation {
            connection,
            users: 0,
            _charge: charge,
        };
        self.table.insert(id, reservation);
        self.owned.entry(connection).or_default().insert(id);
        Ok(id)
    }

    /// The request that Tx executes uses a reservation of its connection until it is answered.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ILLEGAL_PARAMS`] if it is not there (any more), or not this connection's.
    pub(super) fn take(&mut self, id: ReservationId, connection: u64) -> Result<(), Error> {
        let reservation = self.table.get_mut(&id);
        let own = reservation.filter(|own| own.connection == connection);
        let gone = || Error::illegal_params("The reservation does not exist, or it was closed");
        own.ok_or_else(gone)?.users += 1;
        self.current.push(id);
        Ok(())
    }

    /// What the request at hand has taken: to be handed back when it is answered.
    pub(super) fn take_current(&mut self) -> Vec<ReservationId> {
        std::mem::take(&mut self.current)
    }

    /// A request that used these is answered.
    pub(super) fn hand_back(&mut self, ids: &[ReservationId]) {
        for id in ids {
            // One that was closed meanwhile is no longer there.
            if let Some(own) = self.table.get_mut(id) {
                own.users -= 1;
            }
        }
    }

    /// Ends a reservation; false if it is over already.
    pub(super) fn remove(&mut self, id: ReservationId) -> bool {
        let Some(own) = self.table.remove(&id) else {
            return false;
        };
        if let Some(owned) = self.owned.get_mut(&own.connection) {
            owned.remove(&id);
            if owned.is_empty() {
                self.owned.remove(&own.connection);
            }
        }
        true
    }

    /// Whose reservation it is.
    pub(super) fn holder(&self, id: ReservationId) -> Option<u64> {
        self.table.get(&id).map(|own| own.connection)
    }

    fn remove_where(&mut self, wanted: impl Fn(&Reservation) -> bool) -> Vec<ReservationId> {
        let found = self.table.iter().filter(|(_, own)| wanted(own));
        let ids: Vec<_> = found.map(|(id, _)| *id).collect();
        for id in &ids {
            self.remove(*id);
        }
        ids
    }

    /// Closes what is idle from now on, and lets nothing new in.
    pub(super) fn begin_closing(&mut self) {
        if self.mode == Mode::Open {
            self.mode = Mode::ClosingIdle;
        }
    }

    /// Takes out what has become idle, while idle ones are closed. A connection that `is_busy` (in
    /// a transaction, say) uses all that it has.
    pub(super) fn sweep(&mut self, is_busy: impl Fn(u64) -> bool) -> Vec<ReservationId> {
        if self.mode != Mode::ClosingIdle {
            return Vec::new();
        }
        self.remove_where(|own| own.users == 0 && !is_busy(own.connection))
    }

    pub(super) fn close_all(&mut self) -> Vec<ReservationId> {
        self.mode = Mode::Closed;
        self.remove_where(|_| true)
    }

    pub(super) fn reopen(&mut self) {
        self.mode = Mode::Open;
    }

    /// The connection is gone.
    pub(super) fn leave(&mut self, connection: u64) -> Vec<ReservationId> {
        let owned = self.owned.remove(&connection).unwrap_or_default();
        for id in &owned {
            self.table.remove(id);
        }
        owned.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;
    use crate::config::Shares;
    use crate::endpoints::PeerAddress;
    use crate::engine::catalog::User;
    use crate::quotas::{QuotaBounds, QuotaKind};

    const NOBODY: fn(u64) -> bool = |_| false;
    const MAX: usize = 4096;

    impl Reservations {
        fn of_nobody() -> Self {
            let bounds = QuotaBounds::of(MAX, Shares::default());
            Self::new(Quota::new(QuotaKind::Reservations, bounds))
        }

        fn acquire_for(&mut self, connection: u64) -> Result<ReservationId, Error> {
            self.acquire(&Arc::new(Caller {
                connection,
                user: User::guest(),
                peer: PeerAddress::Local,
                is_administrator: false,
            }))
        }
    }

    /// SP-03: idle ones are closed at once, those in use when they are handed back, and those of a
    /// connection in a transaction when that is over.
    #[test]
    fn idle_ones_are_closed_first_and_the_others_when_they_are_handed_back() {
        let mut table = Reservations::of_nobody();
        let idle = table.acquire_for(1).unwrap();
        let used = table.acquire_for(2).unwrap();
        let in_transaction = table.acquire_for(3).unwrap();
        table.take(used, 2).unwrap();
        let taken = table.take_current();
        table.begin_closing();
        assert_eq!(table.sweep(|connection| connection == 3), [idle]);
        assert!(table.acquire_for(1).is_err());
        table.hand_back(&taken);
        assert_eq!(table.sweep(|connection| connection == 3), [used]);
        assert_eq!(table.sweep(NOBODY), [in_transaction]);
        table.reopen();
        assert!(table.acquire_for(1).is_ok());
    }

    /// SP-04: all are closed, and one in use is not there any more when it is handed back.
    #[test]
    fn closing_all_waits_for_nobody() {
        let mut table = Reservations::of_nobody();
        let used = table.acquire_for(1).unwrap();
        table.take(used, 1).unwrap();
        let taken = table.take_current();
        assert_eq!(table.close_all(), [used]);
        table.hand_back(&taken);
        assert!(table.table.is_empty() && table.owned.is_empty());
    }

    /// SP-05: what is gone, or another's, is told so.
    #[test]
    fn only_its_connection_takes_a_reservation_and_only_while_it_lives() {
        let mut table = Reservations::of_nobody();
        let id = table.acquire_for(1).unwrap();
        assert!(table.take(id, 2).is_err());
        assert_eq!(table.leave(1), [id]);
        let gone = table.take(id, 1).unwrap_err();
        assert_eq!(
            gone.message(),
            "The reservation does not exist, or it was closed"
        );
    }

    #[test]
    fn they_are_bounded() {
        let mut table = Reservations::of_nobody();
        for _ in 0..RESERVATIONS_PER_CONNECTION_MAX {
            table.acquire_for(1).unwrap();
        }
        assert!(table.acquire_for(1).is_err());
        for connection in 2..=MAX as u64 {
            while table.acquire_for(connection).is_ok() {}
        }
        assert_eq!(
            table.table.len(),
            MAX / 4,
            "the share of one user at one address"
        );
        assert_eq!(table.leave(1).len(), RESERVATIONS_PER_CONNECTION_MAX);
        assert!(table.acquire_for(2).is_err() && table.acquire_for(9).is_ok());
    }

    proptest! {
        /// X-04: whatever is handed back, taken or asked for while all are closed, none is left.
        #[test]
        fn none_outlives_closing_all(
            steps in prop::collection::vec((0..6u8, 0..4u64), 0..120),
        ) {
            let mut table = Reservations::of_nobody();
            let mut ids = Vec::new();
            let mut taken = Vec::new();
            let mut is_closed = false;
            for (step, connection) in steps {
                match step {
                    0 => ids.extend(table.acquire_for(connection).map(|id| (id, connection))),
                    1 => {
                        if let Some((id, connection)) = ids.last() {
                            let _ = table.take(*id, *connection);
                        }
                        taken.push(table.take_current());
                    }
                    2 => {
                        if let Some(taken) = taken.pop() {
                            table.hand_back(&taken);
                        }
                    }
                    3 => {
                        table.begin_closing();
                        table.sweep(|busy| busy == connection);
                    }
                    4 => {
                        table.close_all();
                        is_closed = true;
                    }
                    _ => drop(table.leave(connection)),
                }
                prop_assert!(!is_closed || table.table.is_empty());
            }
            for taken in taken {
                table.hand_back(&taken);
            }
            table.close_all();
            prop_assert!(table.table.is_empty() && table.owned.is_empty());
        }
    }
}
