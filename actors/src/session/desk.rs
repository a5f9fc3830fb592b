//! Where a request is taken: decoded, classed, admitted, and answered, refused or forwarded.
//!
//! ```text
//!   frame ─▶ header ─▶ stream rules ─▶ body ─▶ schema version ─▶ admit ─┬▶ answer here (local.rs)
//!                                                                       ├▶ read view, stepwise
//!                                                                       ├▶ busy: reject, close, hold
//!                                                                       └▶ into the lane's batch
//! ```

use std::time::Instant;

use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::{HEADER_SIZE, ReplyHeader, finish};
use vestibule_wire::request::{self, Body, Select, Target};
use vestibule_wire::{Error, ErrorCode};

use super::control;
use super::lane::LaneState;
use super::registry::Pending;
use super::state::{Closing, Held, ParkedScan, SessionCell, SessionState};
use crate::admission::{Class, Verdict, admit};
use crate::catalogue::USER_SPACE_ID_MIN;
use crate::config::SoloPolicy;
use crate::engine::{Scan, ViewStep};
use crate::limits::{CONNECTION_REQUESTS_MAX, VIEW_RESTARTS_MAX, VIEW_STEPS_PER_POLL_MAX};
use crate::serving::{Serving, State};
use crate::shared::Shared;
use crate::tx::messages::Entry;

/// One session's turn at the desk.
pub(crate) struct Desk<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) lane: &'a mut LaneState,
    pub(crate) lane_index: usize,
    pub(crate) cell: &'a SessionCell,
    pub(crate) session: &'a mut SessionState,
    pub(crate) now: Instant,
}

/// A request that is decoded and waits for its verdict.
pub(crate) struct Taken<'a> {
    pub(crate) request: RequestType,
    pub(crate) sync: u64,
    pub(crate) stream: u64,
    pub(crate) body: Body<'a>,
    pub(crate) raw: &'a [u8],
    /// Header and body, for a request that is kept.
    content: &'a [u8],
}

impl Desk<'_> {
    /// Whether the next frame may be taken now.
    pub(crate) fn is_open(&self) -> bool {
        is_open(self.lane, self.session)
    }

    pub(crate) fn header(&self, sync: u64) -> ReplyHeader {
        ReplyHeader {
            sync,
            schema_version: self.shared.schema_version(),
        }
    }

    pub(crate) fn refuse(&mut self, sync: u64, error: &Error) {
        let header = self.header(sync);
        header.write_error(self.session.output.buffer(), error);
    }

    /// Takes one frame: header and body.
    pub(crate) fn take(&mut self, content: &[u8]) {
        let (header, raw) = match read_header(content) {
            Ok(read) => read,
            Err(fault) => return self.refuse(fault.sync, &fault.error),
        };
        let sync = header.sync;
        let Some(request) = RequestType::from_code(header.request_type) else {
            return self.refuse(sync, &Error::unknown_request_type(header.request_type));
        };
        if let Err(error) = check_stream(request, header.stream_id) {
            return self.refuse(sync, &error);
        }
        let body = match request::decode(request, raw) {
            Ok(body) => body,
            Err(error) => return self.refuse(sync, &error),
        };
        let current = self.shared.schema_version();
        if header.schema_version != 0 && header.schema_version != current {
            let error = Error::wrong_schema_version(current, header.schema_version);
            return self.refuse(sync, &error);
        }
        let stream = header.stream_id;
        self.judge(&Taken {
            request,
            sync,
            stream,
            body,
            raw,
            content,
        });
    }

    /// Decides on a decoded request and does what is decided.
    fn judge(&mut self, taken: &Taken<'_>) {
        let class = self.classify(&taken.body);
        let serving = self.shared.cell.load();
        let in_transaction = taken.stream != 0 && self.session.transactions.contains(&taken.stream);
        match admit(serving.state, serving.role, class, in_transaction) {
            Verdict::Answer => self.answer(taken),
            Verdict::Forward => self.forward(taken, class),
            Verdict::ViewOrForward | Verdict::ViewOrBusy => self.read(taken, serving),
            Verdict::Busy => self.busy(taken),
            Verdict::Reject(code) => self.reject(taken.sync, code),
            Verdict::Close => self.session.close(Closing::Now),
        }
    }

    fn classify(&mut self, body: &Body<'_>) -> Class {
        match body {
            Body::Select(select) if self.is_system_space(select) => Class::Local,
            Body::Select(_) => Class::Read,
            Body::Insert(_)
            | Body::Replace(_)
            | Body::Update(_)
            | Body::Delete(_)
            | Body::Upsert(_) => Class::Write,
            Body::Call(call) if control::is_local(call.name) => Class::Local,
            Body::Call(_) => Class::Call,
            Body::Begin(_) => Class::Begin,
            Body::Commit | Body::Rollback => Class::Finish,
            Body::Ping
            | Body::Id(_)
            | Body::Auth(_)
            | Body::Watch(_)
            | Body::Unwatch(_)
            | Body::WatchOnce(_)
            | Body::Eval(_)
            | Body::Execute
            | Body::Prepare => Class::Local,
        }
    }

    /// Until an engine has recovered there is no catalogue, and a part of one would mislead.
    fn is_system_space(&mut self, select: &Select<'_>) -> bool {
        match select.space {
            Target::Id(id) if id >= USER_SPACE_ID_MIN => false,
            space => {
                let catalogue = self.lane.catalogue(self.shared);
                catalogue.is_some_and(|catalogue| catalogue.has_system_space(space))
            }
        }
    }

    pub(crate) fn reject(&mut self, sync: u64, code: ErrorCode) {
        let error = self.shared.cell.situation(self.now).error(code);
        self.refuse(sync, &error);
    }

    /// Tx is deaf: what happens now is the policy's choice.
    fn busy(&mut self, taken: &Taken<'_>) {
        let policy = self.shared.config.solo_policy;
        if policy == SoloPolicy::Hold && self.hold(taken.content) {
            return;
        }
        self.reject(taken.sync, ErrorCode::LOADING);
        if policy == SoloPolicy::Close {
            self.session.close(Closing::AfterFlush);
        }
    }

    /// Keeps a request until solo ends; false if the bounds are reached.
    fn hold(&mut self, content: &[u8]) -> bool {
        let limits = self.shared.config.hold;
        let is_first = self.session.held.is_none();
        let held = self.session.held.get_or_insert_with(Box::<Held>::default);
        let fits = held.frames.len() < limits.requests_max
            && held.bytes + content.len() <= limits.bytes_max;
        if fits {
            held.bytes += content.len();
            held.frames.push_back((self.now, content.to_vec()));
        }
        if is_first {
            self.lane.holding += 1;
        }
        fits
    }

    /// Takes the held requests again, when solo has ended.
    pub(crate) fn release_held(&mut self) {
        if self.session.held.is_none() || self.shared.cell.load().state == State::Solo {
            return;
        }
        let Some(held) = self.session.held.take() else {
            return;
        };
        self.lane.holding -= 1;
        for (_, content) in held.frames {
            self.take(&content);
        }
    }

    /// Answers held requests whose time is over.
    pub(crate) fn expire_held(&mut self) {
        let Some(mut held) = self.session.held.take() else {
            return;
        };
        let time_max = self.shared.config.hold.time_max;
        while let Some((since, _)) = held.frames.front()
            && self.now.duration_since(*since) >= time_max
        {
            let Some((_, content)) = held.frames.pop_front() else {
                break;
            };
            held.bytes -= content.len();
            let sync = read_header(&content).map_or(0, |(header, _)| header.sync);
            self.reject(sync, ErrorCode::LOADING);
        }
        if held.frames.is_empty() {
            self.lane.holding -= 1;
        } else {
            self.session.held = Some(held);
        }
    }

    /// Puts a request into the lane's batch for Tx.
    fn forward(&mut self, taken: &Taken<'_>, class: Class) {
        if self.lane.tx.is_none() {
            // The state changed to ready a moment before this arbiter heard of the new Tx.
            return self.reject(taken.sync, ErrorCode::LOADING);
        }
        let procedure = match taken.body {
            Body::Call(call) => Some(self.lane.intern(call.name)),
            _ => None,
        };
        let id = self.lane.registry.insert(Pending {
            session: self.cell.index,
            connection: self.cell.connection,
            sync: taken.sync,
            stream: taken.stream,
            request: taken.request,
            class,
            procedure,
            bytes: taken.raw.len(),
            since: self.now,
        });
        let Some(id) = id else {
            // The desk closes before the credit is gone; only re-taken requests can come here.
            return self.reject(taken.sync, ErrorCode::LOADING);
        };
        match taken.body {
            Body::Begin(_) if !self.session.transactions.contains(&taken.stream) => {
                self.session.transactions.push(taken.stream);
            }
            Body::Commit | Body::Rollback => {
                self.session
                    .transactions
                    .retain(|stream| *stream != taken.stream);
            }
            _ => {}
        }
        self.session.counts.add(class);
        self.introduce();
        let outgoing = &mut self.lane.outgoing;
        if outgoing.entries.is_empty() {
            self.lane.flush.iter().for_each(|flush| flush.wake_by_ref());
        }
        let start = outgoing.bytes.len() as u32;
        outgoing.bytes.extend_from_slice(taken.raw);
        outgoing.entries.push(Entry {
            id,
            session: self.cell.index,
            request: taken.request,
            sync: taken.sync,
            stream: taken.stream,
            start,
            end: outgoing.bytes.len() as u32,
        });
    }

    /// Tells Tx who is calling, once per Tx and login.
    fn introduce(&mut self) {
        let generation = self.lane.tx.as_ref().map_or(0, |tx| tx.generation);
        if self.session.introduced_to != generation {
            self.session.introduced_to = generation;
            let caller = self.session.caller.clone();
            self.lane
                .outgoing
                .introductions
                .push((self.cell.index, caller));
        }
    }

    /// A SELECT on data: from the view if this connection has no write under way, else by Tx.
    fn read(&mut self, taken: &Taken<'_>, serving: Serving) {
        let Body::Select(select) = taken.body else {
            return;
        };
        let counts = self.session.counts;
        // Pipelined on one connection, a SELECT sees the writes before it. In solo, what Tx has not
        // begun was revoked, and a call that makes Tx deaf must not hide the data from its own caller.
        let sees_own_writes = counts.writes == 0
            && (counts.calls == 0 || serving.state == State::Solo)
            && taken.stream == 0;
        let is_behind_held = self.session.held.is_some();
        let has_view = self.lane.refresh_view(self.shared);
        if has_view && sees_own_writes && !is_behind_held {
            self.read_view(taken, &select);
        } else if serving.state == State::Solo {
            self.busy(taken);
        } else {
            self.forward(taken, Class::Read);
        }
    }

    fn read_view(&mut self, taken: &Taken<'_>, select: &Select<'_>) {
        let mut scan = Scan::default();
        let header = self.header(taken.sync);
        let out = self.session.output.buffer();
        let start = header.begin(out);
        match self.step_view(select, &mut scan, None) {
            Ok(ViewStep::Done) => finish(self.session.output.buffer(), start),
            Ok(step) => {
                let reply = self.session.output.buffer().split_off(start);
                let restarts = u32::from(step == ViewStep::Changed);
                let content = taken.content.to_vec();
                self.session.scan = Some(Box::new(ParkedScan {
                    content,
                    scan,
                    reply,
                    restarts,
                }));
                self.cell.wake();
            }
            Err(error) => {
                self.session.output.buffer().truncate(start);
                self.refuse(taken.sync, &error);
            }
        }
    }

    /// One bounded step, into `reply` or into the output.
    fn step_view(
        &mut self,
        select: &Select<'_>,
        scan: &mut Scan,
        reply: Option<&mut Vec<u8>>,
    ) -> Result<ViewStep, Error> {
        self.lane.refresh_view(self.shared);
        let Some(view) = &self.lane.view else {
            return Ok(ViewStep::Changed);
        };
        let out = reply.unwrap_or_else(|| self.session.output.buffer());
        view.select(select, &self.session.caller, scan, out)
    }

    /// Goes on with a stepwise SELECT, for a few steps.
    pub(crate) fn resume_scan(&mut self) {
        let Some(mut parked) = self.session.scan.take() else {
            return;
        };
        // It was decoded before it was parked.
        let Ok((header, raw)) = read_header(&parked.content) else {
            return;
        };
        let Ok(body) = request::decode_checked(RequestType::Select, raw) else {
            return;
        };
        let Body::Select(select) = body else { return };
        for _ in 0..VIEW_STEPS_PER_POLL_MAX {
            match self.step_view(&select, &mut parked.scan, Some(&mut parked.reply)) {
                Ok(ViewStep::Done) => {
                    finish(&mut parked.reply, 0);
                    self.session
                        .output
                        .buffer()
                        .extend_from_slice(&parked.reply);
                    return;
                }
                Ok(ViewStep::More) => {}
                Ok(ViewStep::Changed) => {
                    parked.restarts += 1;
                    parked.scan = Scan::default();
                    parked.reply.truncate(HEADER_SIZE);
                    if parked.restarts > VIEW_RESTARTS_MAX {
                        return self.read_by_tx(&parked.content);
                    }
                }
                Err(error) => return self.refuse(header.sync, &error),
            }
        }
        self.session.scan = Some(parked);
        self.cell.wake();
    }

    /// The data change too often for the view: Tx reads them between two turns, or nobody does.
    fn read_by_tx(&mut self, content: &[u8]) {
        let Ok((header, raw)) = read_header(content) else {
            return;
        };
        let Ok(body) = request::decode_checked(RequestType::Select, raw) else {
            return;
        };
        let request = RequestType::Select;
        let (sync, stream) = (header.sync, header.stream_id);
        let taken = Taken {
            request,
            sync,
            stream,
            body,
            raw,
            content,
        };
        if self.shared.cell.load().state == State::Assist {
            self.forward(&taken, Class::Read);
        } else {
            self.busy(&taken);
        }
    }
}

/// Whether a session's next frame may be taken now.
#[inline]
pub(crate) fn is_open(lane: &LaneState, session: &SessionState) -> bool {
    session.closing == Closing::No
        && session.scan.is_none()
        && session.counts.all < CONNECTION_REQUESTS_MAX
        && lane.has_credit()
        && !session.output.is_over_pause()
}

/// Which requests may, must and must not stand in a stream.
fn check_stream(request: RequestType, stream: u64) -> Result<(), Error> {
    match request {
        RequestType::Begin | RequestType::Commit | RequestType::Rollback if stream == 0 => {
            Err(Error::out_of_stream(request.name()))
        }
        RequestType::Auth
        | RequestType::Id
        | RequestType::Watch
        | RequestType::Unwatch
        | RequestType::WatchOnce
            if stream != 0 =>
        {
            Err(Error::in_stream(request.name()))
        }
        _ => Ok(()),
    }
}
