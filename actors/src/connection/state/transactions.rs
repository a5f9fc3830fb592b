//! Transactions of a connection: open, and orphaned by the death of their Tx.

use std::time::Instant;

use vestibule_wire::Error;
use vestibule_wire::keys::RequestType;

use super::ConnectionState;
use crate::cells::claims::RequestId;
use crate::cells::traffic::Counter;
use crate::connection::orphaned::{OrphanFate, aborted_by};
use crate::resources::in_flight::{Effect, InFlightRequest};
use crate::resources::transactions::OpenTransaction;

/// What has aborted transactions when Tx has died.
const TX_FAILED: &str = "a failure of Tx";

impl ConnectionState {
    /// The open transaction of a stream. Outside of streams, 0, there is none.
    #[inline]
    pub(crate) fn transaction(&self, stream: u64) -> Option<&OpenTransaction> {
        match stream {
            0 => None,
            stream => self.transactions.get(stream),
        }
    }

    /// How many are open.
    pub(crate) fn transaction_count(&self) -> usize {
        self.transactions.len()
    }

    /// A transition waits for those that are its concern; returns how many these are.
    pub(crate) fn wait_for_transactions(&mut self, is_stop: bool) -> usize {
        self.transactions.wait_for(is_stop)
    }

    /// How many there are of a transition's concern, and how many of them it was not told of.
    pub(crate) fn concerned_transactions(&self, is_stop: bool) -> (usize, usize) {
        self.transactions.concerned(is_stop)
    }

    /// How many are open, or died with their Tx and were not ended.
    pub(crate) fn transaction_slots(&self) -> usize {
        self.transactions.len() + self.orphaned.aborted()
    }

    /// A BEGIN is about to be forwarded.
    pub(crate) fn on_begin(&mut self, transaction: OpenTransaction) -> Effect {
        self.count(Counter::STREAMS);
        self.transactions.open(transaction);
        Effect::Opened
    }

    /// A COMMIT or ROLLBACK is about to be forwarded.
    pub(crate) fn on_finish(&mut self, stream: u64) -> Effect {
        let closed = self.transactions.close(stream);
        closed.map_or(Effect::None, Effect::Closed)
    }

    /// The BEGIN of a stream's transaction is forwarded under this name.
    pub(crate) fn set_begin(&mut self, stream: u64, begin: RequestId) {
        self.transactions.set_begin(stream, begin);
    }

    /// A request did not happen: so neither did its effect on the list of open transactions.
    pub(crate) fn undo(&mut self, request: &InFlightRequest) {
        match request.effect {
            Effect::Opened => self.transactions.undo_begin(request.stream, request.begin),
            Effect::Closed(transaction) => self.transactions.reopen(transaction),
            Effect::None => {}
        }
    }

    /// A request was begun, and nobody knows what became of it: a transaction that it began or
    /// ended is over for this session. Tx answers what the client asks of it.
    pub(crate) fn outcome_unknown(&mut self, request: &InFlightRequest) {
        self.note_unknown(request);
        if request.effect == Effect::Opened {
            self.transactions.undo_begin(request.stream, request.begin);
        }
    }

    /// Nobody waits for a request any more that was begun, and may change data yet.
    pub(crate) fn note_unknown(&mut self, request: &InFlightRequest) {
        self.counts.give_up(request.class);
    }

    /// The transaction of a stream is aborted.
    pub(crate) fn abort_transaction(&mut self, stream: u64) {
        self.transactions.abort(stream);
    }

    /// The transaction that this BEGIN began is aborted, if it is still the one of its stream.
    pub(crate) fn abort_begun_by(&mut self, stream: u64, begin: RequestId) {
        self.transactions.abort_begun_by(stream, begin);
    }

    /// Whether a transaction that may change data is open.
    pub(crate) fn has_open_writer(&self) -> bool {
        self.transactions.has_writer()
    }

    /// Transactions that are meant are aborted; tells which these are.
    pub(crate) fn abort_transactions(
        &mut self,
        is_meant: impl Fn(&OpenTransaction) -> bool,
    ) -> Vec<OpenTransaction> {
        self.transactions.abort_meant(is_meant)
    }

    /// When the time of the first one is over that is not aborted.
    pub(crate) fn transaction_look(&self) -> Option<Instant> {
        self.transactions.first_deadline()
    }

    /// The connection is over, and its transactions with it.
    pub(crate) fn drop_transactions(&mut self) {
        self.transactions.clear();
    }

    /// Tx died, and every transaction that was open with it.
    pub(crate) fn orphan_transactions(&mut self) {
        for own in self.transactions.take() {
            self.orphaned
                .add(own.stream, OrphanFate::Aborted(aborted_by(TX_FAILED)));
        }
    }

    /// A BEGIN was held, and is not done: nothing that its client has sent behind it is.
    pub(crate) fn orphan_begin(&mut self, stream: u64) {
        let error = aborted_by("its BEGIN, which was not done");
        self.orphaned.add(stream, OrphanFate::Unbegun(error));
    }

    /// Tx died with a COMMIT that it had begun, which was answered with this error.
    pub(crate) fn orphan_commit(&mut self, stream: u64, error: Error) {
        self.orphaned.add(stream, OrphanFate::Unknown(error));
    }

    /// What a request in the stream of a transaction that died with its Tx is answered; `None` if
    /// it goes its usual way.
    #[inline]
    pub(crate) fn answer_orphaned(
        &mut self,
        stream: u64,
        request: RequestType,
    ) -> Option<Result<(), Error>> {
        if stream == 0 || self.orphaned.is_empty() {
            return None;
        }
        self.orphaned.answer(stream, request)
    }
}
