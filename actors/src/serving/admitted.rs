//! What a request was admitted for: it outlives the serving state that admitted it.

use crate::states::Serving;

/// Under which epoch a request was admitted, and whether it may change data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admitted(u64);

impl Admitted {
    /// Of the serving state that the request was admitted under.
    pub(crate) fn under(serving: Serving) -> Self {
        Self(serving.epoch << 1 | u64::from(!serving.is_writable()))
    }

    /// The same for a request that arrived in that epoch, and was kept since: what may not be
    /// written any more of before a transition, it may not write.
    pub(crate) fn of_epoch(self, epoch: u64) -> Self {
        Self(epoch.min(self.epoch()) << 1 | self.0 & 1)
    }

    /// The same for what may not change data, whatever the state says.
    pub(crate) fn read_only(self) -> Self {
        Self(self.0 | 1)
    }

    pub(crate) fn epoch(self) -> u64 {
        self.0 >> 1
    }

    pub(crate) fn is_read_only(self) -> bool {
        self.0 & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::{Role, State};

    #[test]
    fn what_was_kept_is_of_the_epoch_in_which_it_came() {
        let serving = Serving {
            state: State::Assist,
            role: Role::Primary,
            drain_target: None,
            epoch: 7,
        };
        let now = Admitted::under(serving);
        assert_eq!((now.epoch(), now.is_read_only()), (7, false));
        let kept = now.of_epoch(5);
        assert_eq!((kept.epoch(), kept.is_read_only()), (5, false));
        assert_eq!(now.of_epoch(9), now);
        let replica = Admitted::under(Serving {
            role: Role::Replica,
            ..serving
        });
        assert!(replica.of_epoch(5).is_read_only());
    }
}
