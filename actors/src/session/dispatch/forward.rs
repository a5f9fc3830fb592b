//! Forwards a request to Tx.
//!
//! ```text
//!   credit? ─┬ none ─▶ the connection waits for one
//!            └▶ room for its transaction? ─┬ no ─▶ refused
//!                                          └▶ deadline, effect ─▶ in-flight table ─▶ batch
//! ```

use std::rc::Rc;
use std::time::{Duration, Instant};

use vestibule_wire::request::Body;
use vestibule_wire::{Error, ErrorCode};

use super::{DecodedRequest, Dispatcher};
use crate::admission::Class;
use crate::cells::claims::RequestId;
use crate::cells::traffic::RequestPath;
use crate::messages::tx::BatchEntry;
use crate::resources::credits::Need;
use crate::resources::in_flight::{Credit, Effect, InFlightRequest};
use crate::resources::outgoing::LargeEntry;
use crate::resources::transactions::OpenTransaction;
use crate::timeouts::{Limit, effective, request_deadline, transaction_deadline, waited_too_long};
use crate::upstream::ReplicaRead;

impl Dispatcher<'_> {
    /// Puts a request into the worker's batch for Tx.
    pub(crate) fn forward(&mut self, request: &DecodedRequest<'_>, class: Class) {
        if !self.worker.outgoing.takes_requests() {
            return self.reject_without_back(request);
        }
        let replica_read = self.replica_read(request, class);
        if replica_read == ReplicaRead::No && self.session.counts().replica_reads > 0 {
            // They are not to see what is sent behind them.
            return self.session.on_replica_reads_under_way();
        }
        let need = self.need(request, class);
        let Some(credit) = self.find_credit(need) else {
            if self.is_ending_stall {
                return self.refuse(request.sync, &waited_too_long());
            }
            return self.wait_for_credit(need);
        };
        if self.begins(request)
            && let Err(error) = self.check_begin()
        {
            return self.refuse(request.sync, &error);
        }
        // In this order: an end of a transaction is a part of it, and has its deadline.
        let is_writer = self.is_writer(request, class);
        let (deadline, limit) = self.deadline(request);
        let begin = self.open_transaction(request).and_then(|own| own.begin);
        let effect = self.track_transaction(request);
        let in_flight = InFlightRequest {
            session: self.cell.id,
            sync: request.sync,
            stream: request.stream,
            request_type: request.request_type,
            class,
            is_named: false,
            bytes: request.raw.len(),
            is_writer,
            begin,
            effect,
            since: self.arrived,
            limit,
            credit,
            is_waited_for: false,
            is_replica_read: replica_read != ReplicaRead::No,
            is_setting: self.is_setting(request),
        };
        // A credit was there.
        let Some(id) = self.worker.in_flight.insert(in_flight, deadline) else {
            return;
        };
        if let Some(procedure) = self.procedure(request) {
            self.worker.in_flight.set_procedure(id, procedure);
        }
        if effect == Effect::Opened {
            self.worker.in_flight.set_begin(id);
            self.session.set_begin(request.stream, id);
            if self.shared.gateway.is_some() {
                self.look_by(self.session.transaction_look());
            }
        }
        self.path = Some(RequestPath::Tx);
        self.use_credit(credit, class, request.raw.len());
        if replica_read != ReplicaRead::No {
            self.session.on_replica_read();
        }
        self.update_caller();
        self.add_to_batch(id, request, (class, replica_read));
    }

    /// Refuses what nobody would take: this worker hears of the new Tx a moment after the state
    /// changed, or of the loss of the old one a moment before. After a stop no other one comes.
    #[cold]
    fn reject_without_back(&mut self, request: &DecodedRequest<'_>) {
        let code = match self.shared.serving.load().is_stopping() {
            true => ErrorCode::SHUTDOWN,
            false => ErrorCode::LOADING,
        };
        self.reject_as_judged(request, code);
    }

    /// The credit that a request needs. Of an engine's nothing is to be told apart: what waits
    /// there gives its credit back.
    #[inline]
    fn need(&self, request: &DecodedRequest<'_>, class: Class) -> Need {
        let calls_under_way = match self.shared.gateway {
            Some(_) => self.session.counts().calls,
            None => 0,
        };
        let is_call = class == Class::Call && self.shared.gateway.is_some();
        Need::of(is_call, calls_under_way, request.raw.len())
    }

    /// Whether a request that only reads may be on its way to Tx.
    pub(crate) fn may_forward(&self, request: &DecodedRequest<'_>) -> bool {
        self.find_credit(self.need(request, Class::Read)).is_some()
    }

    /// Whether one more request of this connection may be on its way to Tx, and by whose credit.
    fn find_credit(&self, need: Need) -> Option<Credit> {
        let counts = self.session.counts();
        if !counts.has_credit() {
            None
        } else if (self.worker).has_credit(need.pool, self.session.grant(need.pool)) {
            Some(Credit::Shared(need.pool))
        } else if counts.is_light()
            && need.fits_reserve
            && self
                .worker
                .has_reserve(need.pool, self.session.caller().user.is_guest())
        {
            Some(Credit::Reserve(need.pool))
        } else if counts.is_light()
            && self.session.caller().has_reserve()
            && self.worker.has_admin_reserve()
        {
            Some(Credit::AdminReserve)
        } else {
            None
        }
    }

    /// No credit: this request and what comes behind it on this connection wait for one. Other
    /// connections, and this one's replies, go on.
    fn wait_for_credit(&mut self, need: Need) {
        if self.session.on_no_credit(need, self.now) {
            self.worker.credit_queues[need.pool].wait(self.cell.id.index);
        }
    }

    #[inline]
    fn use_credit(&mut self, credit: Credit, class: Class, bytes: usize) {
        if let Credit::Shared(pool) = credit {
            self.session
                .use_shared_credit(pool, &mut self.worker.credit_queues);
        }
        self.session.on_forward(class, bytes);
    }

    /// How long a request of this connection may take; zero: for ever.
    pub(crate) fn request_timeout(&self) -> Duration {
        let configured = self.worker.settings.request_timeout;
        effective(configured, self.session.request_timeout())
    }

    /// Until when the request at hand may take. The end of an aborted transaction has its own time.
    fn deadline(&self, request: &DecodedRequest<'_>) -> (Option<Instant>, Limit) {
        let is_rollback = matches!(request.body, Body::Rollback);
        self.deadline_of(request.stream, is_rollback, self.arrived)
            .map_or((None, Limit::Request), |(at, limit)| (Some(at), limit))
    }

    /// Until when a request of a stream that came at `since` may take, and whose limit that is.
    pub(super) fn deadline_of(
        &self,
        stream: u64,
        is_rollback: bool,
        since: Instant,
    ) -> Option<(Instant, Limit)> {
        let transaction = self
            .session
            .transaction(stream)
            .filter(|own| !(is_rollback && own.is_aborted))
            .and_then(|own| own.deadline);
        request_deadline(since, self.request_timeout(), transaction)
    }

    /// The open transaction that the request is a part of.
    #[inline]
    fn open_transaction(&self, request: &DecodedRequest<'_>) -> Option<&OpenTransaction> {
        self.session.transaction(request.stream)
    }

    /// Whether this connection may have one more transaction.
    fn check_begin(&self) -> Result<(), Error> {
        let max = self.shared.config.quotas.transactions_per_connection_max;
        if self.session.transaction_slots() < max {
            return Ok(());
        }
        let text = format!("Too many open transactions on this connection: there may be {max}");
        Err(Error::illegal_params(text))
    }

    /// Whether the request begins a transaction.
    fn begins(&self, request: &DecodedRequest<'_>) -> bool {
        matches!(request.body, Body::Begin(_)) && self.session.transaction(request.stream).is_none()
    }

    /// Whether the request may change data, by itself or as a part of its transaction.
    fn is_writer(&self, request: &DecodedRequest<'_>, class: Class) -> bool {
        match self.open_transaction(request) {
            Some(open) => open.is_writer,
            None => !self.admitted.is_read_only() && class.may_write(),
        }
    }

    /// Keeps the list of streams with a transaction; the effect can be undone if the request does
    /// not happen.
    fn track_transaction(&mut self, request: &DecodedRequest<'_>) -> Effect {
        match &request.body {
            Body::Begin(options) if self.begins(request) => {
                let configured = self.worker.settings.transaction_timeout;
                self.session.on_begin(OpenTransaction {
                    stream: request.stream,
                    is_writer: !self.admitted.is_read_only(),
                    deadline: transaction_deadline(self.now, configured, options.timeout),
                    begin: None,
                    is_aborted: false,
                    is_waited_for: false,
                    is_reopened: false,
                })
            }
            Body::Commit | Body::Rollback => self.session.on_finish(request.stream),
            _ => Effect::None,
        }
    }

    /// The name of the procedure that is called, for CALL; and what stands for it in a request that
    /// an upstream alone knows.
    fn procedure(&mut self, request: &DecodedRequest<'_>) -> Option<Rc<str>> {
        match request.body {
            Body::Call(call) => Some(self.worker.intern(call.name)),
            _ if request.code != request.sent_as as u16 => {
                let name = format!("request type {}", request.code);
                Some(self.worker.intern(&name))
            }
            _ => None,
        }
    }

    /// Tells Tx who is calling, once per Tx and login.
    pub(super) fn update_caller(&mut self) {
        let generation = self.worker.outgoing.back_generation();
        if let Some(caller) = self.session.take_caller_update(generation) {
            let gauge = self.session.output_gauge();
            self.worker.outgoing.update_caller(
                self.cell.id.index,
                caller,
                gauge,
                self.session.format(),
            );
        }
    }

    fn add_to_batch(
        &mut self,
        id: RequestId,
        request: &DecodedRequest<'_>,
        (class, replica_read): (Class, ReplicaRead),
    ) {
        let entry = BatchEntry {
            id,
            session: self.cell.id.index,
            request: request.sent_as,
            code: request.code,
            meaning: request.request_type,
            class,
            sync: request.sync,
            stream: request.stream,
            admitted: self.admitted,
            catalog: request.catalog,
            replica_read,
            is_large: false,
            start: 0,
            end: 0,
        };
        if request.has_own_frame {
            let body = request.raw.len();
            self.large_entry = Some(LargeEntry { entry, body });
        } else {
            self.worker.outgoing.push(request.raw, entry);
        }
    }
}
