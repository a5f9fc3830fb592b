//! Requests that name prepared statements by their numbers, as far as that is no matter of the link
//! that they go over.

use vestibule_wire::{Error, ErrorCode};

use super::hub::Hub;
use super::taking::Taking;
use crate::messages::tx::BatchEntry;
use crate::upstream::{ForwardBody, SessionRequest, StatementStep, with_text};

impl Taking<'_> {
    /// EXECUTE or PREPARE of a statement by its number.
    pub(super) fn take_by_number(&mut self, entry: &BatchEntry, body: ForwardBody<'_>) {
        let step = StatementStep::of(entry.code, body.bytes());
        let Some(caller) = self.hub.callers.get(entry.session) else {
            return self.take_plain(entry, body);
        };
        let held = |id| self.hub.statements.get(caller.connection(), id);
        match step {
            StatementStep::Execute(id) => {
                if let Some(own) = held(id).filter(|own| own.sets) {
                    return self.take_set(entry, &body, &own.text);
                }
            }
            // It is not this client's to unprepare.
            StatementStep::Unprepare(id)
                if held(id).is_none() && caller.has_statement_upstream(id) =>
            {
                let answer = Err(unknown_statement(id));
                return self.told.answers.push((entry.id, entry.sync, answer));
            }
            _ => {}
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

impl super::callers::SessionCaller {
    /// Whether the upstream knows a statement by this number, over the link that was used last, for
    /// those who hold it.
    fn has_statement_upstream(&self, id: u32) -> bool {
        let link = self.link.as_ref();
        link.is_some_and(|own| own.link.borrow().statements().has(id))
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

/// As Tarantool says it.
fn unknown_statement(id: u32) -> Error {
    let text = format!("Prepared statement with id {id} does not exist");
    Error::new(ErrorCode::WRONG_QUERY_ID, text)
}
