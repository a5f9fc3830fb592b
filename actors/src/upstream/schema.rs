//! The version of the catalog that clients are told. An upstream's own number is another one at
//! each instance, and goes back when one restarts from a snapshot; this one only grows.

/// Which run of which upstream: it counts up as long as that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incarnation {
    pub(crate) upstream: usize,
    /// How often it was connected to, when the connection was made.
    pub(crate) number: u64,
}

/// The version that clients are told, and what it follows.
#[derive(Debug)]
pub(crate) struct SchemaVersion {
    own: u64,
    followed: Option<Incarnation>,
    seen: u64,
}

impl SchemaVersion {
    /// A version before any upstream is known.
    pub(crate) fn new(own: u64) -> Self {
        Self {
            own,
            followed: None,
            seen: 0,
        }
    }

    /// Follows this one from now on.
    pub(crate) fn follow(&mut self, incarnation: Incarnation) {
        if self.followed != Some(incarnation) {
            self.followed = Some(incarnation);
            self.seen = 0;
        }
    }

    /// The number of the one that is followed, as far as it is known; 0 before.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// The version that clients are told, if this number is the one seen now of the one that is
    /// followed.
    pub(crate) fn of_seen(&self, incarnation: Incarnation, number: u64) -> Option<u64> {
        let is_it = self.followed == Some(incarnation) && self.seen == number;
        is_it.then_some(self.own)
    }

    /// An upstream has told its number; returns the version that clients are told from now on, if
    /// it is another one.
    pub(crate) fn note(&mut self, incarnation: Incarnation, number: u64) -> Option<u64> {
        // Replies over several connections come in any order.
        if self.followed != Some(incarnation) || number <= self.seen {
            return None;
        }
        // The upstream's own number, where that does not go back.
        self.own = match self.seen {
            0 => number.max(self.own + 1),
            seen => self.own + (number - seen),
        };
        self.seen = number;
        Some(self.own)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn run(upstream: usize, number: u64) -> Incarnation {
        Incarnation { upstream, number }
    }

    #[test]
    fn of_one_upstream_it_is_the_number_itself() {
        let mut version = SchemaVersion::new(1);
        assert_eq!(version.note(run(0, 1), 80), None, "it is not followed");
        version.follow(run(0, 1));
        assert_eq!(version.note(run(0, 1), 80), Some(80));
        assert_eq!(version.note(run(0, 1), 80), None);
        assert_eq!(version.note(run(0, 1), 83), Some(83));
        assert_eq!(
            version.note(run(0, 1), 81),
            None,
            "a reply that was overtaken"
        );
    }

    #[test]
    fn a_restart_that_takes_the_number_back_is_told_as_a_change() {
        let mut version = SchemaVersion::new(1);
        version.follow(run(0, 1));
        version.note(run(0, 1), 121);
        version.follow(run(0, 2));
        assert_eq!(version.note(run(0, 2), 81), Some(122));
        assert_eq!(
            version.note(run(0, 1), 200),
            None,
            "a reply of the run before"
        );
        assert_eq!(version.note(run(0, 2), 82), Some(123));
        version.follow(run(1, 1));
        assert_eq!(
            version.note(run(1, 1), 123),
            Some(124),
            "another one's catalog"
        );
    }

    #[test]
    fn only_what_is_seen_now_of_the_one_that_is_followed_has_the_version_of_now() {
        let mut version = SchemaVersion::new(1);
        version.follow(run(0, 1));
        version.note(run(0, 1), 80);
        version.note(run(0, 1), 81);
        assert_eq!(version.of_seen(run(0, 1), 81), Some(81));
        for (other, number) in [(run(0, 1), 80), (run(0, 2), 81), (run(1, 1), 81)] {
            assert_eq!(version.of_seen(other, number), None, "{other:?}, {number}");
        }
    }

    proptest! {
        #[test]
        fn it_never_goes_back_and_no_change_is_missed(
            steps in prop::collection::vec((0..2usize, 0..3u64, 1..50u64, any::<bool>()), 0..60)
        ) {
            let mut version = SchemaVersion::new(1);
            let mut last = 1;
            for (upstream, number, told, follows) in steps {
                let incarnation = run(upstream, number);
                if follows {
                    version.follow(incarnation);
                }
                let is_news = version.followed == Some(incarnation) && told > version.seen;
                let now = version.note(incarnation, told);
                prop_assert_eq!(now.is_some(), is_news);
                if let Some(now) = now {
                    prop_assert!(now > last);
                    last = now;
                }
            }
        }
    }
}
