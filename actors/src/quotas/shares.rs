//! The bounds of one thing that all connections share.

use crate::config::Shares;
use crate::limits::QUOTA_RESERVE_PART;

/// How much may be held of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuotaBounds {
    /// By all together, the reserve included.
    pub(crate) all: usize,
    /// Of that, kept for administrators who have logged in and who find the rest taken.
    pub(crate) reserve: usize,
    /// By one user.
    pub(crate) user: usize,
    /// From one address.
    pub(crate) address: usize,
    /// By one user from one address.
    pub(crate) user_at_address: usize,
}

impl QuotaBounds {
    /// Of `all` that there may be.
    pub(crate) fn of(all: usize, shares: Shares) -> Self {
        let reserve = all / QUOTA_RESERVE_PART;
        // Rounded up, so that no share is nothing.
        let share = |percent: u8| {
            let part = (all as u128 * u128::from(percent)).div_ceil(100);
            usize::try_from(part).unwrap_or(all).min(all - reserve)
        };
        Self {
            all,
            reserve,
            user: share(shares.user_percent),
            address: share(shares.address_percent),
            user_at_address: share(shares.user_at_address_percent),
        }
    }

    /// Bounds with which this amount more leaves half of each, and the reserve.
    pub(super) fn leaving_half(&self, amount: usize) -> Self {
        let until = |bound: usize| (bound / 2 + 1).saturating_sub(amount);
        Self {
            all: until(self.ordinary()),
            reserve: 0,
            user: until(self.user),
            address: until(self.address),
            user_at_address: until(self.user_at_address),
        }
    }

    /// What those may hold together who are no administrators.
    pub(crate) fn ordinary(&self) -> usize {
        self.all - self.reserve
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_parts_of_the_whole_and_leave_the_reserve_alone() {
        let bounds = QuotaBounds::of(4096, Shares::default());
        let expected = QuotaBounds {
            all: 4096,
            reserve: 256,
            user: 2048,
            address: 2048,
            user_at_address: 1024,
        };
        assert_eq!(bounds, expected);
        let whole = Shares {
            user_percent: 100,
            address_percent: 100,
            user_at_address_percent: 1,
        };
        let bounds = QuotaBounds::of(32, whole);
        assert_eq!((bounds.user, bounds.address), (30, 30));
        assert_eq!(bounds.user_at_address, 1);
    }
}
