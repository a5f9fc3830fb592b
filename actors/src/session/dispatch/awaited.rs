//! Calls that wait for transitions, or for a reload: how they begin to, and how that ends before it
//! is over. It goes on then: others may want it as well, and a transition is ended by asking for
//! another one.

use vestibule_wire::error::Field;
use vestibule_wire::{Error, ErrorCode};

use super::{DecodedRequest, Dispatcher};
use crate::admin::ControlProcedure;
use crate::connection::awaited::AwaitedTransition;
use crate::connection::state::ConnectionState;
use crate::messages::WaitId;
use crate::shared::{STOPPING, Shared};
use crate::timeouts::after;

/// The error for a call that does not wait any longer, though it is not known what comes of it.
fn goes_on(reason: &Error, what: &str) -> Error {
    let text = format!("{}: the {what} goes on", reason.message());
    Error::new(reason.code(), text)
        .with_kind(reason.kind().to_owned())
        .with_field("outcome", Field::Str("unknown".into()))
}

/// The end of a stop: answers all calls of a connection that wait still. The Supervisor may be
/// gone.
pub(crate) fn answer_awaited(shared: &Shared, state: &mut ConnectionState) {
    for (_, call) in state.take_awaited(|_| true) {
        let error = shared.outcome_unknown(ErrorCode::SHUTDOWN, STOPPING);
        state.reply_error(shared, call.sync, &error);
    }
}

impl Dispatcher<'_> {
    /// Has a call wait for what it is named after: a transition, a reload.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS) if as many calls of
    /// the connection wait as may.
    pub(super) fn await_answer(
        &mut self,
        request: &DecodedRequest<'_>,
        procedure: &'static ControlProcedure,
        what: &'static str,
        holds_intake: bool,
    ) -> Result<WaitId, Error> {
        let deadline = after(self.arrived, self.request_timeout());
        let call = AwaitedTransition {
            sync: request.sync,
            stream: request.stream,
            request_type: request.request_type,
            procedure: procedure.name,
            what,
            since: self.arrived,
            deadline,
            holds_intake,
        };
        let id = self.session.await_transition(call).ok_or_else(|| {
            Error::illegal_params(
                "Too many calls of this connection wait for transitions or reloads",
            )
        })?;
        self.look_by(deadline);
        Ok(id)
    }

    /// Answers the calls whose time is over.
    pub(super) fn expire_awaited(&mut self) {
        let now = self.now;
        let is_over = |own: &AwaitedTransition| own.deadline.is_some_and(|at| at <= now);
        self.end_waits(&Error::timeout(), is_over);
    }

    /// Ends the wait of the calls of one sync, or of all; returns how many they were.
    pub(crate) fn kill_awaited(&mut self, sync: Option<u64>) -> usize {
        let is_meant = |own: &AwaitedTransition| sync.is_none_or(|sync| sync == own.sync);
        self.end_waits(&Error::cancelled(), is_meant)
    }

    /// Answers what waits for somebody else than Tx: the connection ends for this.
    pub(crate) fn answer_waiting(&mut self, error: &Error) {
        self.end_waits(error, |_| true);
        if let Some(sync) = (self.session).refuse_login_check(self.shared, error.message()) {
            self.refuse(sync, error);
        }
    }

    fn end_waits(
        &mut self,
        reason: &Error,
        is_meant: impl Fn(&AwaitedTransition) -> bool,
    ) -> usize {
        let ended = self.session.take_awaited(is_meant);
        for (id, call) in &ended {
            self.peers.supervisor.withdraw(self.cell.id, *id);
            self.refuse(call.sync, &goes_on(reason, call.what));
        }
        ended.len()
    }
}
