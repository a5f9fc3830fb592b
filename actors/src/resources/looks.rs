//! When the worker is to look at a session again, by time: something there is over then that no
//! reply of Tx ends, such as the time of a held request.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::messages::SessionId;

/// One look for each session at most, so that they are bounded by the connections.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    by_time: BTreeSet<(Instant, SessionId)>,
}

impl Looks {
    /// A session whose look was at `old` is to be looked at at `new`.
    pub(crate) fn set(&mut self, session: SessionId, old: Option<Instant>, new: Option<Instant>) {
        if let Some(old) = old {
            self.by_time.remove(&(old, session));
        }
        if let Some(new) = new {
            self.by_time.insert((new, session));
        }
    }

    /// When the next look is.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The next session that is to be looked at by now; its look is done with.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<SessionId> {
        let (at, session) = *self.by_time.first()?;
        (at <= now).then(|| {
            self.by_time.pop_first();
            session
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_session_is_looked_at_once_at_its_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let session = |index| SessionId {
            index,
            connection: u64::from(index),
        };
        let mut looks = Looks::default();
        looks.set(session(1), None, Some(at(5)));
        looks.set(session(2), None, Some(at(3)));
        looks.set(session(1), Some(at(5)), Some(at(2)));
        assert_eq!(looks.next(), Some(at(2)));
        assert_eq!(looks.pop_due(at(1)), None);
        assert_eq!(looks.pop_due(at(3)), Some(session(1)));
        assert_eq!(looks.pop_due(at(3)), Some(session(2)));
        assert_eq!((looks.pop_due(at(9)), looks.next()), (None, None));
        looks.set(session(3), None, Some(at(1)));
        looks.set(session(3), Some(at(1)), None);
        assert_eq!(looks.next(), None);
    }
}
