//! Where a request is taken: decoded, classed, admitted, and answered, refused or forwarded.
//!
//! ```text
//!   frame ─▶ header ─▶ stream rules ─▶ body ─▶ schema version ─▶ admit ─┬▶ answer here (local.rs)
//!                                                                       ├▶ read view, stepwise
//!                                                                       ├▶ busy: reject, close, hold
//!                                                                       └▶ into the worker's batch
//! ```

use std::time::{Duration, Instant};

use vestibule_wire::header::read_header;
use vestibule_wire::keys::RequestType;
use vestibule_wire::reply::ReplyHeader;
use vestibule_wire::request::{self, Body, Select, Target};
use vestibule_wire::{Error, ErrorCode};

use super::state::{Closing, SessionCell, SessionState};
use crate::admin::procedures::is_local;
use crate::admission::{Class, Verdict, admit};
use crate::catalog::USER_SPACE_ID_MIN;
use crate::config::SoloPolicy;
use crate::limits::{RESERVE_BYTES_MAX, TRANSACTIONS_PER_CONNECTION_MAX};
use crate::resources::WorkerState;
use crate::resources::in_flight::{Effect, InFlightRequest};
use crate::resources::transactions::OpenTransaction;
use crate::shared::Shared;
use crate::timeouts::{Limit, effective, request_deadline, transaction_deadline};
use crate::tx::fence::Admitted;
use crate::tx::messages::{CallerUpdate, Entry};

/// One session's turn at the desk.
pub(crate) struct Desk<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) worker: &'a mut WorkerState,
    pub(crate) worker_index: usize,
    pub(crate) cell: &'a SessionCell,
    pub(crate) session: &'a mut SessionState,
    pub(crate) now: Instant,
    /// The state under which the request at hand is admitted: loaded once for each.
    pub(crate) admitted: Admitted,
    /// When the request at hand arrived: earlier than now, if it was held.
    pub(crate) arrived: Instant,
    /// The request at hand was held: it must not be put behind the others again.
    pub(crate) is_releasing: bool,
    /// The held request at hand cannot be taken after all, because solo began again.
    pub(crate) is_put_back: bool,
}

/// By whose credit a request is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credit {
    /// One of those that all connections of the arbiter share.
    Shared,
    /// One of those for connections with next to nothing on their way.
    Reserve,
}

/// A request that is decoded and waits for its verdict.
pub(crate) struct Taken<'a> {
    pub(crate) request: RequestType,
    pub(crate) sync: u64,
    pub(crate) stream: u64,
    pub(crate) body: Body<'a>,
    pub(crate) raw: &'a [u8],
    /// Header and body, for a request that is kept.
    pub(crate) content: &'a [u8],
}

impl Desk<'_> {
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
        self.admitted = Admitted::under(serving);
        let in_transaction = taken.stream != 0 && self.session.transaction(taken.stream).is_some();
        let verdict = admit(serving, class, in_transaction);
        let needs_tx = !matches!(verdict, Verdict::Answer | Verdict::Close);
        if needs_tx && self.session.held.is_some() && !self.is_releasing {
            // Behind what is held, whatever the state is by now.
            return self.busy(taken);
        }
        if needs_tx && self.answer_in_lost(taken) {
            return;
        }
        match verdict {
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
            Body::Call(call) if is_local(call.name) => Class::Local,
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

    /// Until an engine has recovered there is no catalog, and a part of one would mislead.
    fn is_system_space(&mut self, select: &Select<'_>) -> bool {
        match select.space {
            Target::Id(id) if id >= USER_SPACE_ID_MIN => false,
            space => {
                let catalog = self.worker.catalog(self.shared);
                catalog.is_some_and(|catalog| catalog.has_system_space(space))
            }
        }
    }

    pub(crate) fn reject(&mut self, sync: u64, code: ErrorCode) {
        let error = self.shared.cell.situation(self.now).error(code);
        self.refuse(sync, &error);
    }

    /// Tx is deaf: what happens now is the policy's choice.
    pub(crate) fn busy(&mut self, taken: &Taken<'_>) {
        let policy = self.cell.solo_policy(self.shared);
        let joins = policy == SoloPolicy::Hold || self.session.held.is_some();
        if joins && self.hold(taken.content) {
            return;
        }
        self.reject(taken.sync, ErrorCode::LOADING);
        if policy == SoloPolicy::Close {
            self.session.close(Closing::AfterFlush);
        }
    }

    /// Puts a request into the worker's batch for Tx.
    pub(crate) fn forward(&mut self, taken: &Taken<'_>, class: Class) {
        if self.worker.tx.is_none() {
            // The state changed to ready a moment before this arbiter heard of the new Tx.
            return self.reject(taken.sync, ErrorCode::LOADING);
        }
        let Some(credit) = self.find_credit(taken.raw) else {
            return self.stall(taken.raw);
        };
        if let Err(error) = self.check_transactions(taken) {
            return self.refuse(taken.sync, &error);
        }
        let is_writer = self.is_writer(taken, class);
        let (deadline, limit) = self.deadline(taken);
        let effect = self.track_transaction(taken);
        let procedure = match taken.body {
            Body::Call(call) => Some(self.worker.intern(call.name)),
            _ => None,
        };
        let request = InFlightRequest {
            session: self.cell.index,
            connection: self.cell.connection,
            sync: taken.sync,
            stream: taken.stream,
            request_type: taken.request,
            class,
            procedure,
            bytes: taken.raw.len(),
            is_writer,
            effect,
            since: self.arrived,
            limit,
            is_reserved: credit == Credit::Reserve,
        };
        let id = self.worker.in_flight.insert(request, deadline);
        // A credit was there.
        let Some(id) = id else { return };
        if effect == Effect::Opened {
            self.session.transactions.set_begin(taken.stream, id);
        }
        if credit == Credit::Shared {
            self.worker.credit_queue.take(&mut self.session.grant);
        }
        self.session.counts.add(class, taken.raw.len());
        self.introduce();
        let outgoing = &mut self.worker.outgoing;
        if outgoing.entries.is_empty() {
            self.worker
                .flush
                .iter()
                .for_each(|flush| flush.wake_by_ref());
        }
        let start = outgoing.bytes.len() as u32;
        outgoing.bytes.extend_from_slice(taken.raw);
        outgoing.entries.push(Entry {
            id,
            session: self.cell.index,
            request: taken.request,
            sync: taken.sync,
            stream: taken.stream,
            admitted: self.admitted,
            start,
            end: outgoing.bytes.len() as u32,
        });
    }

    /// Whether one more request of this connection may be on its way to Tx, and by whose credit.
    pub(crate) fn find_credit(&self, raw: &[u8]) -> Option<Credit> {
        let counts = self.session.counts;
        if !counts.has_credit() {
            None
        } else if self.worker.has_credit(self.session.grant) {
            Some(Credit::Shared)
        } else if counts.is_light() && raw.len() <= RESERVE_BYTES_MAX && self.worker.has_reserve() {
            Some(Credit::Reserve)
        } else {
            None
        }
    }

    /// No credit: this request and what comes behind it on this connection wait for one. Other
    /// connections, and this one's replies, go on.
    fn stall(&mut self, raw: &[u8]) {
        if std::mem::replace(&mut self.session.is_stalled, true) {
            return;
        }
        // A connection at its own bound waits for its own replies, and not before others.
        self.session.is_on_stop_list = self.session.counts.has_credit();
        self.session.fits_reserve = raw.len() <= RESERVE_BYTES_MAX;
        if self.session.is_on_stop_list {
            self.worker.credit_queue.wait(self.cell.index);
        }
    }

    /// How long a request of this connection may take; zero: for ever.
    pub(crate) fn request_timeout(&self) -> Duration {
        let configured = self.shared.config.request_timeout;
        effective(configured, self.session.request_timeout)
    }

    /// Until when the request at hand may take. The end of an aborted transaction has its own time.
    fn deadline(&self, taken: &Taken<'_>) -> (Option<Instant>, Limit) {
        let is_rollback = matches!(taken.body, Body::Rollback);
        let transaction = match taken.stream {
            0 => None,
            stream => self
                .session
                .transaction(stream)
                .filter(|own| !(is_rollback && own.is_aborted))
                .and_then(|own| own.deadline),
        };
        request_deadline(self.arrived, self.request_timeout(), transaction)
            .map_or((None, Limit::Request), |(at, limit)| (Some(at), limit))
    }

    fn check_transactions(&self, taken: &Taken<'_>) -> Result<(), Error> {
        let open = self.session.transactions.len() + self.session.lost.len();
        let is_new = matches!(taken.body, Body::Begin(_))
            && self.session.transaction(taken.stream).is_none();
        if is_new && open >= TRANSACTIONS_PER_CONNECTION_MAX {
            return Err(Error::illegal_params(
                "Too many open transactions on this connection",
            ));
        }
        Ok(())
    }

    /// Whether the request may change data, by itself or as a part of its transaction.
    fn is_writer(&self, taken: &Taken<'_>, class: Class) -> bool {
        let open = self.session.transaction(taken.stream);
        match open.filter(|_| taken.stream != 0) {
            Some(open) => open.is_writer,
            None => !self.admitted.is_read_only() && !matches!(class, Class::Read | Class::Finish),
        }
    }

    /// Keeps the list of streams with a transaction; what is told can be undone if it does not happen.
    fn track_transaction(&mut self, taken: &Taken<'_>) -> Effect {
        let open = &mut self.session.transactions;
        let known = open.contains(taken.stream);
        match (&taken.body, known) {
            (Body::Begin(options), false) => {
                let configured = self.shared.config.transaction_timeout;
                open.open(OpenTransaction {
                    stream: taken.stream,
                    is_writer: !self.admitted.is_read_only(),
                    deadline: transaction_deadline(self.now, configured, options.timeout),
                    begin: None,
                    is_aborted: false,
                });
                Effect::Opened
            }
            (Body::Commit | Body::Rollback, true) => open
                .close(taken.stream)
                .map_or(Effect::None, Effect::Closed),
            _ => Effect::None,
        }
    }

    /// Tells Tx who is calling, once per Tx and login.
    fn introduce(&mut self) {
        let generation = self.worker.tx.as_ref().map_or(0, |tx| tx.generation);
        let is_known = self.session.introduced_to == generation;
        if !is_known || std::mem::take(&mut self.session.must_introduce) {
            self.session.must_introduce = false;
            self.session.introduced_to = generation;
            let (session, caller) = (self.cell.index, self.session.caller.clone());
            let outgoing = &mut self.worker.outgoing;
            let before = outgoing.entries.len();
            outgoing.caller_updates.push_back(CallerUpdate {
                before,
                session,
                caller,
            });
        }
    }
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
