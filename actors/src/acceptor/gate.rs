//! What becomes of a new connection, and how fast those without a place are turned away: pure.

use std::time::{Duration, Instant};

use super::budget::Shares;
use crate::limits::{
    ACCEPT_PAUSE_MAX, ACCEPT_PAUSE_MIN, ACCEPT_WARNING_PERIOD, TURN_AWAY_BURST, TURN_AWAY_PERIOD,
};

/// Where a connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// An address for everybody.
    Clients,
    /// An address of the administrators' own.
    Administrators,
}

/// Which share a connection is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Client,
    Administrator,
    /// One of the administrators' places, kept only by using it as one.
    OnProbation,
}

/// The places that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) clients: usize,
    pub(crate) administrators: usize,
}

/// The place for a connection; none: it is turned away.
///
/// `may_administer`: the peer's address does not rule it out. Beyond the clients' share such a peer
/// gets one of the administrators' places for a while, unless those have a door of their own.
pub(crate) fn enter(
    shares: &Shares,
    taken: Taken,
    door: Door,
    may_administer: bool,
    has_own_door: bool,
) -> Option<Entry> {
    let has_room = taken.administrators < shares.administrators;
    match door {
        Door::Administrators => has_room.then_some(Entry::Administrator),
        Door::Clients if taken.clients < shares.clients => Some(Entry::Client),
        Door::Clients if may_administer && !has_own_door => has_room.then_some(Entry::OnProbation),
        Door::Clients => None,
    }
}

/// Paces the turning away: a burst, then one per period.
#[derive(Debug, Default)]
pub(crate) struct TurnAwayPace {
    /// When the whole burst is there again.
    full_at: Option<Instant>,
}

impl TurnAwayPace {
    /// How long the next one has to wait; zero if it may go now.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        let Some(full_at) = self.full_at else {
            return Duration::ZERO;
        };
        let debt = full_at.saturating_duration_since(now) + TURN_AWAY_PERIOD;
        debt.saturating_sub(TURN_AWAY_PERIOD * TURN_AWAY_BURST)
    }

    /// One was turned away.
    pub(crate) fn count(&mut self, now: Instant) {
        let from = self.full_at.map_or(now, |full_at| full_at.max(now));
        self.full_at = Some(from + TURN_AWAY_PERIOD);
    }
}

/// How long accepting pauses when the system is out of something: longer each time, up to a bound.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    last: Duration,
}

impl Backoff {
    /// It happened (again).
    pub(crate) fn pause(&mut self) -> Duration {
        self.last = (self.last * 2).clamp(ACCEPT_PAUSE_MIN, ACCEPT_PAUSE_MAX);
        self.last
    }

    /// A connection was accepted.
    pub(crate) fn reset(&mut self) {
        self.last = Duration::ZERO;
    }
}

/// One line in the log per interval, with the number of times.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    last: Option<Instant>,
    count: u64,
}

impl Throttle {
    /// It happened: the number of times since the last line, if a line is due.
    pub(crate) fn note(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        let is_recent = |last: Instant| now.saturating_duration_since(last) < ACCEPT_WARNING_PERIOD;
        if self.last.is_some_and(is_recent) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: Shares = Shares {
        limit: Some(64),
        runtime: 30,
        engine: 16,
        administrators: 2,
        spare: 1,
        clients: 3,
        crowded: Some(3),
    };

    #[test]
    fn whatever_comes_no_share_is_exceeded_and_no_place_is_refused_that_is_free() {
        for (clients, administrators) in (0..=3).flat_map(|own| (0..=2).map(move |b| (own, b))) {
            let taken = Taken {
                clients,
                administrators,
            };
            for bits in 0..8u8 {
                let door = [Door::Clients, Door::Administrators][usize::from(bits & 1)];
                let (may, own_door) = (bits & 2 != 0, bits & 4 != 0);
                let entry = enter(&SHARES, taken, door, may, own_door);
                let what = format!("{taken:?} {door:?} {may} {own_door}");
                match entry {
                    Some(Entry::Client) => assert!(clients < 3 && door == Door::Clients, "{what}"),
                    Some(Entry::Administrator) => {
                        assert!(administrators < 2 && door == Door::Administrators, "{what}");
                    }
                    Some(Entry::OnProbation) => {
                        assert!(clients == 3 && administrators < 2, "{what}");
                        assert!(may && !own_door && door == Door::Clients, "{what}");
                    }
                    None => match door {
                        Door::Administrators => assert_eq!(administrators, 2, "{what}"),
                        Door::Clients => {
                            assert_eq!(clients, 3, "{what}");
                            assert!(administrators == 2 || !may || own_door, "{what}");
                        }
                    },
                }
            }
        }
    }

    #[test]
    fn turning_away_is_paced_and_recovers() {
        let begin = Instant::now();
        let mut pace = TurnAwayPace::default();
        for _ in 0..TURN_AWAY_BURST {
            assert_eq!(pace.wait(begin), Duration::ZERO);
            pace.count(begin);
        }
        assert_eq!(pace.wait(begin), TURN_AWAY_PERIOD);
        let soon = begin + TURN_AWAY_PERIOD;
        assert_eq!(pace.wait(soon), Duration::ZERO);
        pace.count(soon);
        assert_eq!(pace.wait(soon), TURN_AWAY_PERIOD);
        let late = begin + TURN_AWAY_PERIOD * TURN_AWAY_BURST * 2;
        for _ in 0..TURN_AWAY_BURST {
            assert_eq!(pace.wait(late), Duration::ZERO);
            pace.count(late);
        }
        assert_eq!(pace.wait(late), TURN_AWAY_PERIOD, "no more than one burst");
    }

    #[test]
    fn pauses_grow_up_to_a_bound_and_begin_anew_after_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..20).map(|_| backoff.pause()).collect();
        assert_eq!(pauses[0], ACCEPT_PAUSE_MIN);
        assert_eq!(pauses[1], ACCEPT_PAUSE_MIN * 2);
        assert_eq!(pauses[19], ACCEPT_PAUSE_MAX);
        assert!(pauses.is_sorted());
        backoff.reset();
        assert_eq!(backoff.pause(), ACCEPT_PAUSE_MIN);
    }

    #[test]
    fn one_line_per_interval_tells_how_often() {
        let begin = Instant::now();
        let mut throttle = Throttle::default();
        assert_eq!(throttle.note(begin), Some(1));
        for _ in 0..1000 {
            assert_eq!(throttle.note(begin), None);
        }
        assert_eq!(throttle.note(begin + ACCEPT_WARNING_PERIOD), Some(1001));
    }
}
