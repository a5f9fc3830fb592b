//! Requests that name prepared statements by their numbers, as far as that is no matter of the link
//! that they go over.

use super::hub::Hub;
use super::taking::Taking;
use crate::messages::tx::BatchEntry;
use crate::upstream::{ForwardBody, SessionRequest, StatementStep, with_text};

impl Taking<'_> {
    /// EXECUTE or PREPARE of a statement by its number: what that does to its session.
    pub(super) fn take_by_number(&mut self, entry: &BatchEntry, body: ForwardBody<'_>) {
        let step = StatementStep::of(entry.code, body.bytes());
        let Some(caller) = self.hub.callers.get(entry.session) else {
            return self.take_plain(entry, body);
        };
        if let StatementStep::Execute(id) = step
            && let Some(own) = self.hub.statements.get(caller.connection(), id)
            && own.sets
        {
            return self.take_set(entry, &body, &own.text);
        }
        self.take_plain(entry, body);
    }

    /// A statement that sets something is executed: by its text, so that it counts for the
    /// client's next session as well.
    fn take_set(&mut self, entry: &BatchEntry, body: &ForwardBody<'_>, text: &[u8]) {
        let body = with_text(body.bytes(), text);
        self.take_of_session(entry, SessionRequest::Set, ForwardBody::Own(body.into()));
    }
}

impl Hub {
    /// A client is gone, and what it had prepared is let go.
    pub(super) fn forget_statements(&self, connection: u64) {
        if self.statements.forget(connection) {
            self.open.iter().flatten().for_each(|own| own.wake());
        }
    }
}
