//! Forwards a request to Tx: credit, rules of transactions, deadline, a place in the table, the batch.

use std::time::{Duration, Instant};

use vestibule_wire::request::Body;
use vestibule_wire::{Error, ErrorCode};

use super::{DecodedRequest, Dispatcher};
use crate::admission::Class;
use crate::limits::{RESERVE_BYTES_MAX, TRANSACTIONS_PER_CONNECTION_MAX};
use crate::resources::in_flight::{Effect, InFlightRequest};
use crate::resources::transactions::OpenTransaction;
use crate::timeouts::{Limit, effective, request_deadline, transaction_deadline};
use crate::tx::messages::{CallerUpdate, Entry};

/// By whose credit a request is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credit {
    /// One of those that all connections of the arbiter share.
    Shared,
    /// One of those for connections with next to nothing on their way.
    Reserve,
}

impl Dispatcher<'_> {
    /// Puts a request into the worker's batch for Tx.
    pub(crate) fn forward(&mut self, request: &DecodedRequest<'_>, class: Class) {
        if self.worker.tx.is_none() {
            // The state changed to ready a moment before this arbiter heard of the new Tx.
            return self.reject(request.sync, ErrorCode::LOADING);
        }
        let Some(credit) = self.find_credit(request.raw) else {
            return self.stall(request.raw);
        };
        if let Err(error) = self.check_transactions(request) {
            return self.refuse(request.sync, &error);
        }
        let is_writer = self.is_writer(request, class);
        let (deadline, limit) = self.deadline(request);
        let effect = self.track_transaction(request);
        let procedure = match request.body {
            Body::Call(call) => Some(self.worker.intern(call.name)),
            _ => None,
        };
        let in_flight = InFlightRequest {
            session: self.cell.index,
            connection: self.cell.connection,
            sync: request.sync,
            stream: request.stream,
            request_type: request.request_type,
            class,
            procedure,
            bytes: request.raw.len(),
            is_writer,
            effect,
            since: self.arrived,
            limit,
            is_reserved: credit == Credit::Reserve,
        };
        let id = self.worker.in_flight.insert(in_flight, deadline);
        // A credit was there.
        let Some(id) = id else { return };
        if effect == Effect::Opened {
            self.session.transactions.set_begin(request.stream, id);
        }
        if credit == Credit::Shared {
            self.worker.credit_queue.take(&mut self.session.grant);
        }
        self.session.counts.add(class, request.raw.len());
        self.introduce();
        let outgoing = &mut self.worker.outgoing;
        if outgoing.entries.is_empty() {
            self.worker
                .flush
                .iter()
                .for_each(|flush| flush.wake_by_ref());
        }
        let start = outgoing.bytes.len() as u32;
        outgoing.bytes.extend_from_slice(request.raw);
        outgoing.entries.push(Entry {
            id,
            session: self.cell.index,
            request: request.request_type,
            sync: request.sync,
            stream: request.stream,
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
    fn deadline(&self, request: &DecodedRequest<'_>) -> (Option<Instant>, Limit) {
        let is_rollback = matches!(request.body, Body::Rollback);
        let transaction = match request.stream {
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

    fn check_transactions(&self, request: &DecodedRequest<'_>) -> Result<(), Error> {
        let open = self.session.transactions.len() + self.session.orphaned.len();
        let is_new = matches!(request.body, Body::Begin(_))
            && self.session.transaction(request.stream).is_none();
        if is_new && open >= TRANSACTIONS_PER_CONNECTION_MAX {
            return Err(Error::illegal_params(
                "Too many open transactions on this connection",
            ));
        }
        Ok(())
    }

    /// Whether the request may change data, by itself or as a part of its transaction.
    fn is_writer(&self, request: &DecodedRequest<'_>, class: Class) -> bool {
        let open = self.session.transaction(request.stream);
        match open.filter(|_| request.stream != 0) {
            Some(open) => open.is_writer,
            None => !self.admitted.is_read_only() && !matches!(class, Class::Read | Class::Finish),
        }
    }

    /// Keeps the list of streams with a transaction; what is told can be undone if it does not happen.
    fn track_transaction(&mut self, request: &DecodedRequest<'_>) -> Effect {
        let open = &mut self.session.transactions;
        let known = open.contains(request.stream);
        match (&request.body, known) {
            (Body::Begin(options), false) => {
                let configured = self.shared.config.transaction_timeout;
                open.open(OpenTransaction {
                    stream: request.stream,
                    is_writer: !self.admitted.is_read_only(),
                    deadline: transaction_deadline(self.now, configured, options.timeout),
                    begin: None,
                    is_aborted: false,
                });
                Effect::Opened
            }
            (Body::Commit | Body::Rollback, true) => open
                .close(request.stream)
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
