//! How much of what all connections share one user, one address, or one user at one address may
//! hold, so that no one of them holds what the others need.
//!
//! ```text
//!   take ─▶ within the shares of user, address, both? and what all may have? ─▶ a charge
//!             └ no ─▶ an administrator who has logged in? ─▶ a charge of the reserve
//!                        └ no, or none left ─▶ refused, with what was exceeded
//!   a charge is dropped ─▶ given back
//! ```
//!
//! | file | what |
//! |---|---|
//! | `kind` | what is held |
//! | `shares` | the bounds, of what all may have and of the configured shares |
//! | `table` | who holds how much: pure |
//! | `mod` | the table where every thread sees it, and the charges |

mod kind;
mod shares;
mod table;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use vestibule_wire::Error;

use self::table::{Account, QuotaTable};
use crate::config::QuotaLimits;
use crate::engine::Caller;
use crate::limits::{SHOW_ROWS_MAX, WAIT_BYTES_MAX};
use crate::serialized::as_text;

pub use self::kind::QuotaKind;
pub(crate) use self::shares::QuotaBounds;

/// What is bounded in this way.
#[derive(Debug)]
pub(crate) struct Quota {
    kind: QuotaKind,
    bounds: QuotaBounds,
    table: Mutex<QuotaTable>,
}

/// Everything that is.
#[derive(Debug)]
pub(crate) struct Quotas {
    /// Open transactions.
    pub(crate) transactions: Arc<Quota>,
    /// Reservations, locks among them.
    pub(crate) reservations: Arc<Quota>,
    /// Requests that wait for something else than Tx.
    pub(crate) waits: Arc<Quota>,
    /// Bytes of such requests that Tx keeps meanwhile: in their streams, or for room.
    pub(crate) wait_bytes: Arc<Quota>,
}

impl Quotas {
    pub(crate) fn new(limits: &QuotaLimits) -> Self {
        let quota = |kind, all| Quota::new(kind, QuotaBounds::of(all, limits.shares));
        Self {
            transactions: quota(QuotaKind::Transactions, limits.transactions_max),
            reservations: quota(QuotaKind::Reservations, limits.reservations_max),
            waits: quota(QuotaKind::Waits, limits.waits_max),
            wait_bytes: quota(QuotaKind::WaitBytes, WAIT_BYTES_MAX),
        }
    }

    /// A request of a caller is to wait, with this number of bytes that Tx keeps meanwhile.
    ///
    /// # Errors
    ///
    /// Those of [`Quota::take`].
    pub(crate) fn charge_wait(
        &self,
        caller: &Arc<Caller>,
        bytes: usize,
    ) -> Result<WaitCharge, Error> {
        let _request = self.waits.take(caller, 1)?;
        let _bytes = self.wait_bytes.take(caller, bytes)?;
        Ok(WaitCharge { _request, _bytes })
    }

    /// The same for a request that need not have the charge: `None` unless it leaves half of what
    /// the caller may have to those that need one.
    pub(crate) fn charge_wait_if_ample(
        &self,
        caller: &Arc<Caller>,
        bytes: usize,
    ) -> Option<WaitCharge> {
        let _request = self.waits.take_if_ample(caller, 1)?;
        let _bytes = self.wait_bytes.take_if_ample(caller, bytes)?;
        Some(WaitCharge { _request, _bytes })
    }

    fn all(&self) -> [&Arc<Quota>; 4] {
        [
            &self.transactions,
            &self.reservations,
            &self.waits,
            &self.wait_bytes,
        ]
    }

    /// The bounds of each, by name, with what is in use where that is one number.
    pub(crate) fn limits(&self) -> Vec<(String, u64, Option<u64>)> {
        let rows = |quota: &Arc<Quota>| {
            let (bounds, used) = (quota.bounds, quota.table().used());
            let name = quota.kind.name();
            [
                ("max", bounds.all, Some(used as u64)),
                ("reserve", bounds.reserve, None),
                ("per_user_max", bounds.user, None),
                ("per_address_max", bounds.address, None),
                ("per_user_and_address_max", bounds.user_at_address, None),
            ]
            .map(|(bound, value, used)| (format!("{name}_{bound}"), value as u64, used))
        };
        self.all().into_iter().flat_map(rows).collect()
    }

    /// Who holds how much of what, of each most first.
    pub(crate) fn rows(&self) -> Vec<QuotaInfo> {
        let rows = self.all().into_iter().flat_map(|quota| quota.rows());
        rows.take(SHOW_ROWS_MAX).collect()
    }
}

/// Something that is held, by whom, until this is dropped.
#[derive(Debug)]
#[must_use = "dropped, it is given back"]
pub(crate) struct Charge {
    quota: Arc<Quota>,
    caller: Arc<Caller>,
    amount: usize,
    account: Account,
}

/// A request that waits, and the bytes that Tx keeps of it.
#[derive(Debug)]
pub(crate) struct WaitCharge {
    _request: Charge,
    _bytes: Charge,
}

/// What one user holds from one address of what all share, as `vestibule.show('quotas')` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QuotaInfo {
    /// What is held.
    pub what: QuotaKind,
    /// The user.
    pub user: String,
    /// The address; of IPv6, the network of 64 bits.
    #[serde(serialize_with = "as_text")]
    pub address: IpAddr,
    /// How much is held.
    pub used: usize,
    /// How much there may be of this user from this address.
    pub max: usize,
}

impl Quota {
    pub(crate) fn new(kind: QuotaKind, bounds: QuotaBounds) -> Arc<Self> {
        Arc::new(Self {
            kind,
            bounds,
            table: Mutex::default(),
        })
    }

    fn table(&self) -> MutexGuard<'_, QuotaTable> {
        // Nothing in between its steps can panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A caller is to hold so much more.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS), with what is
    /// exceeded: by the caller's user, address or both, or by all together.
    pub(crate) fn take(
        self: &Arc<Self>,
        caller: &Arc<Caller>,
        amount: usize,
    ) -> Result<Charge, Error> {
        let account = self.table().take(&self.bounds, caller, amount);
        let account =
            account.map_err(|exceeded| exceeded.error(self.kind, &self.bounds, caller))?;
        Ok(self.charge(caller, amount, account))
    }

    /// The same, if half of each bound is left afterwards.
    fn take_if_ample(self: &Arc<Self>, caller: &Arc<Caller>, amount: usize) -> Option<Charge> {
        let bounds = self.bounds.leaving_half(amount);
        let account = self.table().take(&bounds, caller, amount).ok()?;
        Some(self.charge(caller, amount, account))
    }

    fn charge(self: &Arc<Self>, caller: &Arc<Caller>, amount: usize, account: Account) -> Charge {
        Charge {
            quota: self.clone(),
            caller: caller.clone(),
            amount,
            account,
        }
    }

    /// How much is held by all together.
    pub(crate) fn used(&self) -> usize {
        self.table().used()
    }

    /// Who holds how much, most first.
    fn rows(&self) -> Vec<QuotaInfo> {
        let held = self.table().held();
        let row = |(user, address, used): (Arc<str>, IpAddr, usize)| QuotaInfo {
            what: self.kind,
            user: user.to_string(),
            address,
            used,
            max: self.bounds.user_at_address,
        };
        held.into_iter().map(row).collect()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut table = self.quota.table();
        table.give_back(&self.caller, self.amount, self.account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Shares;
    use std::net::SocketAddr;

    use crate::engine::catalog::User;

    fn guest(last: u8) -> Arc<Caller> {
        Arc::new(Caller {
            connection: 1,
            user: User::guest(),
            peer: SocketAddr::from(([10, 0, 0, last], 3301)).into(),
            is_administrator: false,
        })
    }

    #[test]
    fn who_need_not_have_it_leaves_half() {
        let quota = Quota::new(
            QuotaKind::Reservations,
            QuotaBounds::of(160, Shares::default()),
        );
        assert!(quota.take_if_ample(&guest(1), 21).is_none());
        let first = quota.take_if_ample(&guest(1), 19);
        assert!(first.is_some() && quota.take_if_ample(&guest(1), 2).is_none());
        let _last = quota.take_if_ample(&guest(1), 1).expect("half is 20");
        assert!(quota.take_if_ample(&guest(1), 1).is_none());
        assert!(quota.take(&guest(1), 20).is_ok(), "the other half");
    }

    #[test]
    fn what_is_dropped_is_given_back() {
        let quota = Quota::new(
            QuotaKind::Reservations,
            QuotaBounds::of(16, Shares::default()),
        );
        let charges: Vec<_> = (0..4).map(|_| quota.take(&guest(1), 1).unwrap()).collect();
        let refused = quota.take(&guest(1), 1).unwrap_err();
        let text = "Too many reservations of user 'guest' at 10.0.0.1: there may be 4";
        assert_eq!(refused.message(), text);
        assert_eq!(quota.table().used(), 4);
        let row = quota.rows().remove(0);
        assert_eq!(
            (row.used, row.max, row.address),
            (4, 4, IpAddr::from([10, 0, 0, 1]))
        );
        drop(charges);
        assert_eq!(quota.table().used(), 0);
        assert!(quota.rows().is_empty() && quota.take(&guest(1), 1).is_ok());
    }
}
