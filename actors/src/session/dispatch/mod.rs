//! The way of a request through a session: decoded, classed, admitted, and answered, refused or
//! forwarded.
//!
//! ```text
//!   frame ─▶ header ─▶ stream rules ─▶ body ─▶ schema version ─▶ admit ─┬▶ answered here
//!                                                                       ├▶ the view, stepwise
//!                                                                       ├▶ busy: refuse or hold
//!                                                                       └▶ into the worker's batch
//! ```
//!
//! | file | what |
//! |---|---|
//! | `authenticate` | AUTH: who decides, when, and what becomes of it |
//! | `awaited` | calls that wait for transitions |
//! | `chunks` | messages in chunks |
//! | `control` | control procedures |
//! | `forward` | into the batch for Tx: credit, transactions, deadline |
//! | `hold` | what waits for the end of solo |
//! | `local` | what is answered without Tx |
//! | `local_call` | procedures that sessions run |
//! | `login` | the checks of AUTH, pure |
//! | `orphans` | what is answered in a stream whose transaction died with its Tx |
//! | `upstream` | what is another matter in a gateway |
//! | `view` | SELECTs in steps, from the read view and the catalog |

pub(crate) mod authenticate;
pub(crate) mod awaited;
mod chunks;
mod control;
mod forward;
mod hold;
mod local;
mod local_call;
mod login;
mod orphans;
mod upstream;
mod view;

use std::time::Instant;

use vestibule_wire::header::{Header, read_header};
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::ReplyHeader;
use vestibule_wire::request::{self, Body, Call, IdOrName, Select};
use vestibule_wire::{Error, ErrorCode};

use crate::admin::{self, ControlProcedure};
use crate::admission::{Class, Verdict, admit};
use crate::cells::traffic::{CountedType, RequestPath};
use crate::config::SoloPolicy;
use crate::connection::cell::ConnectionCell;
use crate::connection::intake::Closing;
use crate::connection::state::{ConnectionState, header};
use crate::engine::catalog::SYSTEM_SPACE_ID_MAX;
use crate::engine::transaction_call;
use crate::exposure::refused_request;
use crate::hooks::CloseReason;
use crate::limits::ADMISSION_LOOKS_MAX;
use crate::peers::Peers;
use crate::resources::outgoing::LargeEntry;
use crate::resources::{WorkerCell, WorkerState};
use crate::serving::Admitted;
use crate::shared::Shared;
use crate::upstream::ReadFrom;

/// What a session's turn dispatches requests with.
pub(crate) struct Dispatcher<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) peers: &'a Peers,
    pub(crate) worker: &'a mut WorkerState,
    pub(crate) worker_index: usize,
    pub(crate) cell: &'a ConnectionCell,
    pub(crate) session: &'a mut ConnectionState,
    pub(crate) now: Instant,
    /// The state under which the request at hand is admitted: loaded once for each.
    pub(crate) admitted: Admitted,
    /// What the frame at hand is counted as, when it is taken.
    pub(crate) counted_type: CountedType,
    /// Where the request at hand goes; `None` while it is held, and that is not known.
    pub(crate) path: Option<RequestPath>,
    /// When the request at hand arrived: earlier than now, if it was held.
    pub(crate) arrived: Instant,
    /// In which epoch the request at hand arrived, if it was held.
    pub(crate) held_epoch: Option<u64>,
    /// Where SELECTs of its connection were answered then.
    pub(crate) held_read_from: Option<ReadFrom>,
    /// The request at hand was held: it must not be put behind the others again.
    pub(crate) is_releasing: bool,
    /// What finds no credit has waited too long for one, and is refused.
    pub(crate) is_ending_stall: bool,
    /// The request at hand cannot be dispatched after all: it was held and solo began again, or it
    /// is a SELECT of several steps behind another one.
    pub(crate) is_put_back: bool,
    /// Under which epoch the verdict on the request at hand was made.
    judged_epoch: u64,
    /// How many more times the request at hand is admitted again if the state changes meanwhile.
    looks_left: u32,
    /// Whether the frame that is dispatched next has a buffer of its own, which Tx may have.
    has_own_frame: bool,
    /// What that frame's request is for Tx, which gets it together with the frame.
    large_entry: Option<LargeEntry>,
}

/// A request that is decoded and waits for its verdict.
pub(crate) struct DecodedRequest<'a> {
    /// What it means: `box.begin` in a stream is a BEGIN.
    pub(crate) request_type: RequestType,
    /// What its bytes are.
    pub(crate) sent_as: RequestType,
    /// The number of its type, which an upstream alone may know.
    pub(crate) code: u16,
    pub(crate) sync: u64,
    pub(crate) stream: u64,
    /// The version of the catalog that its client knows, if it has told one, and else 0.
    pub(crate) catalog: u64,
    pub(crate) body: Body<'a>,
    pub(crate) raw: &'a [u8],
    /// Header and body, for a request that is kept.
    pub(crate) content: &'a [u8],
    /// Whether the frame, which ends with the body, has a buffer of its own, which Tx may have.
    pub(crate) has_own_frame: bool,
}

impl<'a> Dispatcher<'a> {
    /// For what the session does at `now`; what arrives, arrives now.
    pub(crate) fn new(
        worker: &'a WorkerCell,
        cell: &'a ConnectionCell,
        state: &'a mut WorkerState,
        session: &'a mut ConnectionState,
        now: Instant,
    ) -> Self {
        state.turns.note(now);
        state.settings.refresh(&worker.shared.settings);
        session.follow_settings(&state.settings);
        if let Some((gateway, reads)) = worker.shared.gateway.as_ref().zip(state.reads.as_mut()) {
            gateway.reads.refresh(reads);
        }
        Self {
            shared: &worker.shared,
            peers: &worker.peers,
            worker: state,
            worker_index: worker.index,
            cell,
            session,
            now,
            admitted: Admitted::under(worker.shared.serving.load()),
            counted_type: CountedType::OTHER,
            path: None,
            arrived: now,
            held_epoch: None,
            held_read_from: None,
            is_releasing: false,
            is_ending_stall: false,
            is_put_back: false,
            judged_epoch: 0,
            looks_left: 0,
            has_own_frame: false,
            large_entry: None,
        }
    }

    pub(crate) fn header(&self, sync: u64) -> ReplyHeader {
        header(self.shared, sync)
    }

    pub(crate) fn refuse(&mut self, sync: u64, error: &Error) {
        self.session.reply_error(self.shared, sync, error);
    }

    /// Refuses what is no request of its type. Of a login that is one the user is not known.
    #[cold]
    fn refuse_undecoded(&mut self, request_type: RequestType, sync: u64, error: &Error) {
        if request_type == RequestType::Auth {
            (self.session).audit_login(self.shared, "", Some(error.message()));
        }
        self.refuse(sync, error);
    }

    /// Decodes one frame (header and body) and routes its request.
    pub(crate) fn dispatch(&mut self, content: &[u8]) {
        self.counted_type = CountedType::OTHER;
        self.path = Some(RequestPath::Refused);
        let has_own_frame = std::mem::take(&mut self.has_own_frame);
        let (header, raw) = match read_header(content) {
            Ok(read) => read,
            Err(fault) => return self.refuse(fault.sync, &fault.error),
        };
        self.counted_type = CountedType::of_code(header.request_type);
        let sync = header.sync;
        let gateway = self.shared.gateway.as_deref();
        let code = header.request_type;
        let passed = || gateway.and_then(|_| upstream::passes_as(code));
        let Some(request_type) = RequestType::from_code(code).or_else(passed) else {
            return self.refuse(sync, &Error::unknown_request_type(code));
        };
        let checked = match gateway {
            None => check_stream(request_type, header.stream_id),
            Some(gateway) => upstream::check(request_type, header.stream_id, gateway),
        };
        if let Err(error) = checked {
            return self.refuse_undecoded(request_type, sync, &error);
        }
        if self.session.is_watched_guest()
            && let Some(error) = self.refuse_guest(request_type)
        {
            return self.refuse(sync, &error);
        }
        let stream = match gateway {
            // As they ignore them.
            Some(gateway) if header.stream_id != 0 && !gateway.has_id() => 0,
            _ => header.stream_id,
        };
        let meaning = match gateway {
            None => request::decode(request_type, raw)
                .and_then(|body| meaning(request_type, body, &header)),
            Some(gateway) => {
                let asks_replicas = gateway.config.reads_replicas();
                upstream::read(request_type, stream, raw, asks_replicas)
            }
        };
        let (meaning, body) = match meaning {
            Ok(meaning) => meaning,
            Err(error) => return self.refuse_undecoded(request_type, sync, &error),
        };
        let current = self.shared.schema_version();
        if header.schema_version != 0 && header.schema_version != current {
            // A login that was checked meanwhile is not answered by that any more.
            let error = Error::wrong_schema_version(current, header.schema_version);
            if let Body::Auth(auth) = &body {
                self.audit_refused_login(auth.user, &error);
            }
            return self.refuse(sync, &error);
        }
        self.looks_left = ADMISSION_LOOKS_MAX;
        self.admit_and_route(&DecodedRequest {
            request_type: meaning,
            sent_as: request_type,
            code: code as u16,
            sync,
            stream,
            catalog: header.schema_version,
            body,
            raw,
            content,
            has_own_frame,
        });
    }

    /// Counts the request at hand, which is taken, if it is known where it went.
    #[inline]
    pub(crate) fn count_taken(&mut self) {
        let Some(path) = self.path else { return };
        self.session.count(self.counted_type.on(path));
        // A SELECT that goes on is timed by itself.
        if path != RequestPath::Tx && self.worker.turns.is_timed() && !self.session.has_scans() {
            self.worker.turns.note_answered(path);
        }
    }

    /// Why a guest from elsewhere is refused, if it is: it may do everything, and asks for more
    /// than to log in.
    #[cold]
    fn refuse_guest(&mut self, request_type: RequestType) -> Option<Error> {
        use RequestType::{Auth, Id, Ping, Unwatch};
        if matches!(request_type, Auth | Id | Ping | Unwatch) {
            return None;
        }
        let power = self.worker.published.guest_power(self.shared)?;
        Some(refused_request(power))
    }

    /// Decides on a decoded request and does what is decided: under one state, the last one that
    /// is looked at. What is refused comes back here if the state has changed meanwhile.
    fn admit_and_route(&mut self, request: &DecodedRequest<'_>) {
        let is_gateway = self.shared.gateway.is_some();
        let control = control_call(&request.body, is_gateway);
        let local = match &request.body {
            Body::Call(call) if control.is_none() => self.find_local(call.name).zip(Some(call)),
            _ => None,
        };
        let mut class = match (control, local) {
            (None, None) if is_gateway => upstream::class_for(request),
            (None, None) => self.classify(request),
            _ => Class::Local,
        };
        let is_held = self.held_epoch.is_some();
        let serving = self
            .session
            .served_under(self.shared.serving.load(), is_held, self.now);
        self.judged_epoch = serving.epoch;
        self.admitted = Admitted::under(serving);
        if let Some(epoch) = self.held_epoch {
            self.admitted = self.admitted.of_epoch(epoch);
        }
        let in_transaction = self.session.transaction(request.stream).is_some();
        let mut verdict = match is_gateway {
            false => admit(serving, class, in_transaction),
            true => upstream::admit_to(serving, class, request.request_type, in_transaction),
        };
        if class == Class::Write
            && !is_gateway
            && verdict == Verdict::Reject(ErrorCode::READONLY)
            && self.is_temporary(&request.body)
        {
            class = Class::TemporaryWrite;
            verdict = admit(serving, class, in_transaction);
        }
        let needs_tx = !matches!(verdict, Verdict::Answer | Verdict::Close);
        // A refusal need not wait for its turn.
        let joins = needs_tx && !matches!(verdict, Verdict::Reject(_));
        if joins && self.session.has_held() && !self.is_releasing {
            // Behind what is held, whatever the state is by now.
            return self.busy(request);
        }
        if needs_tx && self.answer_in_orphaned(request) {
            return;
        }
        match verdict {
            Verdict::Answer => {
                self.path = Some(RequestPath::Local);
                match (control, local) {
                    (Some((procedure, call)), _) => self.answer_control(request, procedure, call),
                    (None, Some((procedure, call))) => self.answer_local(request, procedure, call),
                    (None, None) => self.answer(request),
                }
            }
            Verdict::Forward => self.forward(request, class),
            Verdict::ViewOrForward | Verdict::ViewOrBusy => self.read(request, serving),
            Verdict::Busy => self.busy_unless_kept(request, class),
            Verdict::Reject(code) => {
                self.reject_as_judged(request, code);
            }
            Verdict::Close => {
                // What it has to be told goes out before.
                let is_told = authenticate::answer_login(self.shared, self.session);
                let closing = match is_told {
                    true => Closing::AfterFlush,
                    false => Closing::Now,
                };
                self.session.close(closing, CloseReason::Stopped);
            }
        }
    }

    /// The class of a request that calls no control procedure: that of its type, but for what
    /// concerns the runtime itself.
    fn classify(&mut self, request: &DecodedRequest<'_>) -> Class {
        match &request.body {
            Body::Select(select) if self.is_system_space(select) => Class::Local,
            _ => Class::of(request.request_type),
        }
    }

    /// Until an engine has recovered there is no catalog, and a part of one would mislead.
    fn is_system_space(&mut self, select: &Select<'_>) -> bool {
        match select.space {
            IdOrName::Id(id) if id > SYSTEM_SPACE_ID_MAX => false,
            space => {
                let catalog = self.worker.published.catalog(self.shared);
                catalog.is_some_and(|catalog| catalog.has_system_space(space))
            }
        }
    }

    /// Whether a request changes a space whose content is not durable, as the user sees it in the
    /// newest catalog.
    #[cold]
    fn is_temporary(&mut self, body: &Body<'_>) -> bool {
        let space = match body {
            Body::Insert(store) | Body::Replace(store) => store.space,
            Body::Update(update) => update.space,
            Body::Delete(delete) => delete.space,
            Body::Upsert(upsert) => upsert.space,
            _ => return false,
        };
        let Some(catalog) = self.worker.published.catalog(self.shared) else {
            return false;
        };
        let (_, caller) = self.session.output_and_caller();
        catalog.shows_temporary(space, &caller.user)
    }

    /// Refuses what no verdict was made on right now, with what is to be said of the state by now.
    pub(crate) fn reject(&mut self, sync: u64, code: ErrorCode) {
        let error = self.shared.serving.status(self.now).error(code);
        self.refuse(sync, &error);
    }

    /// Refuses a request for the state that the verdict on it was made under. If that has changed
    /// since, there is nothing to be said of it any more, and the request is admitted again. True
    /// if it was refused, here and now.
    pub(crate) fn reject_as_judged(
        &mut self,
        request: &DecodedRequest<'_>,
        code: ErrorCode,
    ) -> bool {
        let status = self.shared.serving.status(self.now);
        let is_as_judged = status.serving.epoch == self.judged_epoch;
        if !is_as_judged && let Some(left) = self.looks_left.checked_sub(1) {
            self.looks_left = left;
            self.admit_and_route(request);
            return false;
        }
        let error = status.error(code);
        if let Body::Auth(auth) = &request.body {
            self.audit_refused_login(auth.user, &error);
        }
        self.refuse(request.sync, &error);
        true
    }

    /// Tx is blocked: what happens now is the policy's choice.
    pub(crate) fn busy(&mut self, request: &DecodedRequest<'_>) {
        let policy = self.cell.solo_policy(self.shared, &self.worker.settings);
        let joins = policy == SoloPolicy::Hold || self.session.has_held();
        let not_held = match joins.then(|| self.hold(request)) {
            Some(Ok(())) => return,
            tried => tried.and_then(Result::err),
        };
        let is_refused = self.reject_as_judged(request, ErrorCode::LOADING);
        if let Some(refused) = not_held.filter(|_| is_refused) {
            self.on_not_held(&refused);
        }
        if is_refused && policy == SoloPolicy::Close {
            self.session.close(Closing::AfterFlush, CloseReason::Solo);
        }
    }
}

/// What a request means: a CALL of `box.begin` and the like, in a stream, is what it is called
/// after.
fn meaning<'a>(
    request_type: RequestType,
    body: Body<'a>,
    header: &Header,
) -> Result<(RequestType, Body<'a>), Error> {
    let meaning = match &body {
        Body::Call(call) if header.stream_id != 0 => transaction_call(call)?,
        _ => None,
    };
    Ok(meaning.unwrap_or((request_type, body)))
}

/// The control procedure that a request calls, and the call.
fn control_call<'a>(
    body: &'a Body<'a>,
    is_gateway: bool,
) -> Option<(&'static ControlProcedure, &'a Call<'a>)> {
    match body {
        Body::Call(call) => {
            let procedure = admin::find(call.name)?;
            let is_answered = !is_gateway || upstream::is_own(procedure);
            is_answered.then_some((procedure, call))
        }
        _ => None,
    }
}

/// Which requests may, must and must not stand in a stream.
fn check_stream(request_type: RequestType, stream: u64) -> Result<(), Error> {
    match request_type {
        RequestType::Begin | RequestType::Commit | RequestType::Rollback if stream == 0 => {
            Err(Error::out_of_stream(request_type.name()))
        }
        RequestType::Auth
        | RequestType::Id
        | RequestType::Watch
        | RequestType::Unwatch
        | RequestType::WatchOnce
            if stream != 0 =>
        {
            Err(Error::in_stream(request_type.name()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod ahead_tests;
#[cfg(test)]
mod foreseen_tests;
#[cfg(test)]
mod piece_tests;
#[cfg(test)]
mod tests;
