//! Connections that are not read for now, and those that are let through all the same.

use crate::messages::SessionId;

/// Sessions that were not read when they ran last.
#[derive(Default)]
pub(crate) struct PausedReads {
    /// In the order in which they stopped.
    list: Vec<SessionId>,
    /// The connection that is read although all together hold too much, so that its request
    /// comes to an end, or the replies that wait for its credit.
    pub(crate) read: Exemption,
    /// The connection whose reply is made although there is no memory for it, so that it comes to
    /// its end.
    pub(crate) reply: Exemption,
}

impl PausedReads {
    /// A session was not read.
    pub(crate) fn push(&mut self, session: SessionId) {
        self.list.push(session);
    }

    /// All of them, to be looked at.
    pub(crate) fn take(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.list)
    }

    /// Puts back sessions that are still not read.
    pub(crate) fn put_back(&mut self, mut list: Vec<SessionId>) {
        self.list.append(&mut list);
    }
}

/// What one session at a time is let through for.
#[derive(Default)]
pub(crate) struct Exemption(Option<SessionId>);

impl Exemption {
    /// Whether this session has it.
    #[inline]
    pub(crate) fn is_for(&self, session: SessionId) -> bool {
        self.0 == Some(session)
    }

    /// Gives it to a session; false if another one has it.
    pub(crate) fn give(&mut self, session: SessionId) -> bool {
        let is_free = self.0.is_none();
        if is_free {
            self.0 = Some(session);
        }
        is_free
    }

    /// Takes it from a session that does not need it any more.
    pub(crate) fn end_unless(&mut self, needs: impl FnOnce(&SessionId) -> bool) {
        self.0 = self.0.filter(needs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_session_is_exempt_until_it_does_not_need_it() {
        let id = |connection| SessionId {
            index: 3,
            connection,
        };
        let mut exemption = Exemption::default();
        assert!(exemption.give(id(1)));
        assert!(!exemption.give(id(2)));
        // The number is the same, the session is not.
        assert!(exemption.is_for(id(1)) && !exemption.is_for(id(2)));
        exemption.end_unless(|_| true);
        assert!(exemption.is_for(id(1)));
        exemption.end_unless(|_| false);
        assert!(!exemption.is_for(id(1)) && exemption.give(id(2)));
    }
}
