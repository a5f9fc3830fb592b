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
use vestibule_wire::reply::ReplyHeader;
use vestibule_wire::request::{self, Body, Select, Target};
use vestibule_wire::{Error, ErrorCode};

use super::control;
use super::lane::LaneState;
use super::registry::Pending;
use super::state::{Closing, SessionCell, SessionState};
use crate::admission::{Class, Verdict, admit};
use crate::catalogue::USER_SPACE_ID_MIN;
use crate::config::SoloPolicy;
use crate::limits::CONNECTION_REQUESTS_MAX;
use crate::shared::Shared;
use crate::tx::messages::{Entry, Introduction};

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
    pub(super) content: &'a [u8],
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
    pub(super) fn busy(&mut self, taken: &Taken<'_>) {
        let policy = self.cell.solo_policy(self.shared);
        if policy == SoloPolicy::Hold && self.hold(taken.content) {
            return;
        }
        self.reject(taken.sync, ErrorCode::LOADING);
        if policy == SoloPolicy::Close {
            self.session.close(Closing::AfterFlush);
        }
    }

    /// Puts a request into the lane's batch for Tx.
    pub(super) fn forward(&mut self, taken: &Taken<'_>, class: Class) {
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
            let (session, caller) = (self.cell.index, self.session.caller.clone());
            let outgoing = &mut self.lane.outgoing;
            let before = outgoing.entries.len();
            outgoing.introductions.push_back(Introduction {
                before,
                session,
                caller,
            });
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
