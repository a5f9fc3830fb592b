//! Requests of ours that prepare and unprepare statements over a link, and how requests of clients
//! that name them are written.

use std::rc::Rc;

use vestibule_wire::keys::RequestType;

use super::kept::ForwardBody;
use super::link::{LinkStatements, UpstreamLink};
use super::sql_request::{StatementStep, prepare, unprepare};
use super::statements::ClientStatements;
use super::streams::ClientStream;
use super::waiting::Forward;
use crate::cells::claims::Claims;

/// Whose requests of ours are.
const NOBODY: ClientStream = ClientStream {
    session: u32::MAX,
    connection: u64::MAX,
    stream: 0,
};

impl<L> UpstreamLink<L> {
    /// The same, with the prepared statements of these clients.
    pub(crate) fn with_statements(mut self, clients: Rc<ClientStatements>) -> Self {
        self.statements = LinkStatements::of(clients);
        self
    }

    /// The prepared statements.
    pub(crate) fn statements(&self) -> &LinkStatements {
        &self.statements
    }

    /// Unprepares what nobody holds any more.
    pub(super) fn release_statements(&mut self, claims: &Claims) {
        for id in self.statements.take_released() {
            let body = ForwardBody::Own(unprepare(id).into());
            self.submit(Forward::release(id), body, claims);
        }
    }

    /// As what a request is written that has to do with prepared statements, and is sent with this
    /// sync.
    #[cold]
    pub(super) fn statement_body<'a>(
        &mut self,
        forward: &Forward,
        sync: u64,
        body: ForwardBody<'a>,
        claims: &Claims,
    ) -> (u16, ForwardBody<'a>) {
        let written = self.statements.write_as(forward, sync, body);
        if let Some(text) = self.statements.take_to_prepare() {
            let body = ForwardBody::Own(prepare(&text).into());
            self.submit(Forward::prepare(), body, claims);
        }
        written
    }
}

impl Forward {
    /// A PREPARE of ours.
    fn prepare() -> Self {
        Self {
            statement: StatementStep::Prepare,
            ..Self::of_ours(NOBODY, RequestType::Prepare as u16)
        }
    }

    /// An UNPREPARE of ours.
    fn release(id: u32) -> Self {
        Self {
            statement: StatementStep::Release(id),
            ..Self::of_ours(NOBODY, RequestType::Prepare as u16)
        }
    }
}
