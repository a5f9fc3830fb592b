//! Protocol version and feature bits, exchanged by `IPROTO_ID`.

/// Version of the protocol that is announced: the one that introduced [`Feature::WatchOnce`].
pub const PROTOCOL_VERSION: u64 = 6;

/// Authentication method announced in the reply to ID.
pub const AUTH_TYPE: &str = "chap-sha1";

/// Number of the feature that large messages are cut into [chunks](crate::groups): vestibule's own,
/// far above those of the protocol. A server lists it to those who listed it.
pub const CHUNKS: u64 = 22_082;

/// A capability that both ends must have before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Feature {
    /// `STREAM_ID` in the header.
    Streams = 0,
    /// BEGIN, COMMIT and ROLLBACK.
    Transactions = 1,
    /// MP_ERROR extension values inside results.
    ErrorExtension = 2,
    /// WATCH, UNWATCH and EVENT.
    Watchers = 3,
    /// Positions in SELECT.
    Pagination = 4,
    /// Space and index names in place of ids.
    SpaceAndIndexNames = 5,
    /// WATCH_ONCE.
    WatchOnce = 6,
    /// Tuples, with the names of their fields, in replies to changes of data.
    DmlTuples = 7,
    /// The same in what CALL and EVAL return.
    CallReturnsTuples = 8,
    /// The same in the arguments of CALL and EVAL.
    CallTakesTuples = 9,
}

/// A set of features, one bit each. Bits this package does not know are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Features(u16);

impl Features {
    /// What this package speaks: features 0 to 6.
    pub const SUPPORTED: Self = Self(0b111_1111);

    /// The empty set: what a client has before it sends ID.
    pub const NONE: Self = Self(0);

    /// What changes how replies are written, and what is read in requests: between two others that
    /// are passed on to each other, each has to be told what the other can do.
    pub const OF_VALUES: Self = Self::NONE
        .with(Feature::ErrorExtension)
        .with(Feature::DmlTuples)
        .with(Feature::CallReturnsTuples)
        .with(Feature::CallTakesTuples);

    /// Adds a feature.
    #[must_use]
    pub const fn with(self, feature: Feature) -> Self {
        Self(self.0 | 1 << feature as u16)
    }

    /// What both sets have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Adds the feature with this number; unknown numbers are ignored, as the protocol asks.
    #[must_use]
    pub const fn with_code(self, code: u64) -> Self {
        if code <= Feature::CallTakesTuples as u64 {
            Self(self.0 | 1 << code)
        } else {
            self
        }
    }

    /// Whether the feature is in the set.
    #[must_use]
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u16) != 0
    }

    /// The numbers in the set, ascending.
    pub fn codes(self) -> impl Iterator<Item = u64> {
        (0..u64::from(u16::BITS)).filter(move |bit| self.0 & (1 << bit) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_features_are_ignored() {
        let set = Features::NONE
            .with_code(3)
            .with_code(10)
            .with_code(11)
            .with_code(u64::MAX);
        assert!(set.has(Feature::Watchers));
        assert!(!set.has(Feature::Streams));
        assert_eq!(set.codes().collect::<Vec<_>>(), [3]);
        let known = (0..20).fold(Features::NONE, Features::with_code);
        assert_eq!(
            known.codes().collect::<Vec<_>>(),
            (0..10).collect::<Vec<_>>()
        );
        let both = known.and(Features::OF_VALUES);
        assert_eq!(both.codes().collect::<Vec<_>>(), [2, 7, 8, 9]);
    }
}
