//! Connections that are not read for now.

use crate::messages::SessionId;

/// Sessions that were not read when they ran last.
#[derive(Default)]
pub(crate) struct PausedReads {
    /// In the order in which they stopped.
    list: Vec<SessionId>,
    /// The connection that is read although all together hold too much.
    exempt: Option<SessionId>,
    /// The connection whose reply is made although there is no memory for it.
    reply_exempt: Option<SessionId>,
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

    /// Whether a session is read although there is no memory, so that its request comes to an end.
    #[inline]
    pub(crate) fn is_exempt(&self, session: SessionId) -> bool {
        self.exempt == Some(session)
    }

    /// Exempts a session; false if another one is.
    pub(crate) fn exempt(&mut self, session: SessionId) -> bool {
        let is_free = self.exempt.is_none();
        if is_free {
            self.exempt = Some(session);
        }
        is_free
    }

    /// Whether a session's reply is made although there is no memory, so that it comes to its end.
    #[inline]
    pub(crate) fn is_reply_exempt(&self, session: SessionId) -> bool {
        self.reply_exempt == Some(session)
    }

    /// Exempts the reply of a session; false if another one is.
    pub(crate) fn exempt_reply(&mut self, session: SessionId) -> bool {
        let is_free = self.reply_exempt.is_none();
        if is_free {
            self.reply_exempt = Some(session);
        }
        is_free
    }

    /// Ends the exemption of a reply that does not need it any more.
    pub(crate) fn end_reply_exemption_unless(&mut self, needs: impl FnOnce(&SessionId) -> bool) {
        self.reply_exempt = self.reply_exempt.filter(needs);
    }

    /// Ends the exemption of a session that does not need it any more.
    pub(crate) fn end_exemption_unless(&mut self, needs: impl FnOnce(&SessionId) -> bool) {
        self.exempt = self.exempt.filter(needs);
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
        let mut paused = PausedReads::default();
        assert!(paused.exempt(id(1)));
        assert!(!paused.exempt(id(2)));
        // The number is the same, the session is not.
        assert!(paused.is_exempt(id(1)) && !paused.is_exempt(id(2)));
        paused.end_exemption_unless(|_| true);
        assert!(paused.is_exempt(id(1)));
        paused.end_exemption_unless(|_| false);
        assert!(!paused.is_exempt(id(1)) && paused.exempt(id(2)));
    }
}
