//! Control procedures: who may call them, and what they ask of the session.
//!
//! ```text
//!   CALL ─▶ administrator? ─▶ run ─┬ written, setting ─▶ replied now
//!                                  ├ fan-out ──▶ every worker adds its part, the last one replies
//!                                  ├ transition ─▶ the Supervisor tells when it begins, or is
//!                                  │               over; `awaited`: the wait may end before
//!                                  └ reload ─────▶ the embedder tells; `awaited` as well
//! ```

use vestibule_wire::Error;
use vestibule_wire::reply::write_value;
use vestibule_wire::request::Call;

use super::{DecodedRequest, Dispatcher};
use crate::admin::{Answer, ControlCall, ControlProcedure, Setting};
use crate::config::Administrators;
use crate::engine::Caller;
use crate::engine::catalog::Catalog;
use crate::engine::procedures::Audience;
use crate::limits::SESSION_TURN_WORK_PER_LOOK;
use crate::messages::{FanOut, Gather, ReplyTo, Requester, WaitId, WorkerReport};
use crate::reload::ReloadRequest;

/// When a control procedure is replied to.
enum ReplyTime {
    /// The body is written.
    Now,
    /// Another actor tells its worker what to reply.
    Later,
}

impl Dispatcher<'_> {
    /// Answers a CALL of a control procedure.
    pub(crate) fn answer_control(
        &mut self,
        request: &DecodedRequest<'_>,
        procedure: &'static ControlProcedure,
        call: &Call<'_>,
    ) {
        self.worker.turns.spend(SESSION_TURN_WORK_PER_LOOK);
        let (sync, mut body) = (request.sync, Vec::new());
        match self.run_control(request, procedure, call, &mut body) {
            Ok(ReplyTime::Now) => {
                let write = |out: &mut Vec<u8>| {
                    out.append(&mut body);
                    Ok(())
                };
                self.session
                    .reply_with(self.shared, sync, call.wrap_results, write);
            }
            Ok(ReplyTime::Later) => {}
            Err(error) => self.refuse(sync, &error),
        }
    }

    fn run_control(
        &mut self,
        request: &DecodedRequest<'_>,
        procedure: &'static ControlProcedure,
        call: &Call<'_>,
        body: &mut Vec<u8>,
    ) -> Result<ReplyTime, Error> {
        procedure
            .audience
            .check(self.session.caller(), procedure.name)?;
        if procedure.audience == Audience::Administrators {
            let catalog = self.worker.published.catalog(self.shared);
            let administrators = &self.worker.settings.administrators;
            still_there(administrators, self.session.caller(), catalog.as_deref())?;
            self.cell.slot.confirm_admin();
            self.session.on_operated();
        }
        let control = ControlCall {
            procedure,
            args: call.args,
            sync: request.sync,
            caller: self.session.caller(),
            peer: self.cell.peer,
            shared: self.shared,
            now: self.now,
        };
        match (procedure.run)(&control, body)? {
            Answer::Written => {}
            Answer::Set(setting) => self.set(setting, body)?,
            Answer::FanOut(question) => {
                self.fan_out(question, self.reply_to(request, call, WaitId::NONE));
                return Ok(ReplyTime::Later);
            }
            Answer::AtStart(asked) => {
                let wait = self.await_answer(request, procedure, "transition", true)?;
                let requester = Requester::SessionAtStart(self.reply_to(request, call, wait));
                self.peers.supervisor.submit(asked, requester);
                return Ok(ReplyTime::Later);
            }
            Answer::AtEnd(asked) => {
                let wait = self.await_answer(request, procedure, "transition", false)?;
                let requester = Requester::SessionAtEnd(self.reply_to(request, call, wait));
                self.peers.supervisor.submit(asked, requester);
                return Ok(ReplyTime::Later);
            }
            Answer::Reload { requested_by } => {
                let wait = self.await_answer(request, procedure, "reload", false)?;
                let reply_to = self.reply_to(request, call, wait);
                let worker = self.peers.workers[self.worker_index].clone();
                let answer_to = move |answer| worker.reloaded(reply_to, answer);
                let asked = ReloadRequest::new(requested_by, answer_to);
                self.shared.additions.reload.ask(asked);
                return Ok(ReplyTime::Later);
            }
        }
        Ok(ReplyTime::Now)
    }

    /// Takes over a setting; tells what holds now.
    fn set(&mut self, setting: Setting, body: &mut Vec<u8>) -> Result<(), Error> {
        match setting {
            Setting::RequestTimeout(timeout) => {
                self.session.set_request_timeout(timeout);
                self.plan_look();
                write_value(body, &self.request_timeout().as_secs_f64())
            }
            Setting::ReadFrom(read_from) => {
                let read_from = self.session.set_read_from(read_from);
                write_value(body, &read_from.name())
            }
        }
    }

    /// Has every worker add its part; the session's own worker replies.
    fn fan_out(&mut self, question: FanOut, reply_to: ReplyTo) {
        self.session.on_gather();
        if matches!(question, FanOut::Kill(_)) && self.shared.serving.load().is_stopping() {
            // Before anybody is ended by it: what is ended may be the last that a stop waits for.
            (self.peers.supervisor).report(self.worker_index, 0, WorkerReport::Busy);
        }
        let workers = &self.peers.workers;
        let answers_to = workers[self.worker_index].gathered();
        let contributions = Gather::start(question, reply_to, answers_to, workers.len());
        for (worker, contribution) in workers.iter().zip(contributions) {
            worker.contribute(contribution);
        }
    }

    /// Where an answer that takes a while has to go.
    fn reply_to(&self, request: &DecodedRequest<'_>, call: &Call<'_>, wait: WaitId) -> ReplyTo {
        ReplyTo {
            worker: self.worker_index,
            session: self.cell.id,
            sync: request.sync,
            wrap_results: call.wrap_results,
            wait,
        }
    }
}

/// Whether the user is there still by whom a caller is an administrator.
///
/// # Errors
///
/// [`ErrorCode::NO_SUCH_USER`](vestibule_wire::ErrorCode::NO_SUCH_USER) if not, though another may
/// have the name now.
fn still_there(
    administrators: &Administrators,
    caller: &Caller,
    catalog: Option<&Catalog>,
) -> Result<(), Error> {
    let user = &caller.user;
    let is_by_name = matches!(administrators, Administrators::Users(_)) && !user.is_guest();
    let is_there = |catalog: &Catalog| catalog.user(&user.name).is_some_and(|own| own.0 == *user);
    // While an engine takes a dead one's place, the users are those that the dead one had.
    if !is_by_name || catalog.is_none_or(is_there) {
        return Ok(());
    }
    Err(Error::no_such_user(&user.name))
}
