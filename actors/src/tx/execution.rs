//! One request on its way through the engine, the transactions or the procedures.

use std::rc::Rc;

use vestibule_wire::Error;
use vestibule_wire::request::{self, Begin, Body};

use super::context::AsyncContext;
use super::jobs::Jobs;
use super::stream::{Key, Streams, Transaction};
use crate::engine::{Caller, Engine, Outcome, Reply, Request, TransactionId};
use crate::procedures::{Call, Procedure, Procedures};

/// One request with everything it may touch.
pub(super) struct Execution<'a, E: Engine> {
    pub(super) engine: &'a mut E,
    pub(super) procedures: &'a Procedures<E>,
    pub(super) streams: &'a mut Streams,
    pub(super) transactions: &'a mut u64,
    /// The role is replica: transactions that begin now change nothing.
    pub(super) is_read_only: bool,
    pub(super) jobs: &'a Rc<Jobs<E>>,
    pub(super) caller: &'a Caller,
    pub(super) reply: Reply<'a>,
}

impl<E: Engine> Execution<'_, E> {
    fn key(&self) -> Key {
        (self.caller.connection, self.caller.stream)
    }

    fn transaction(&self) -> Option<&Transaction> {
        if self.caller.stream == 0 {
            return None;
        }
        self.streams.get(self.key())?.transaction.as_ref()
    }

    pub(super) fn run(&mut self, body: Body<'_>) -> Result<Outcome, Error> {
        let open = self.transaction();
        match body {
            Body::Begin(_) if open.is_some() => Err(Error::active_transaction()),
            Body::Begin(options) => self.begin(&options),
            Body::Commit | Body::Rollback => self.end(matches!(body, Body::Commit)),
            body => {
                if let Some(error) = open.and_then(|own| own.aborted.as_deref()) {
                    return Err(error.clone());
                }
                let transaction = open.map(|own| own.id);
                if let Body::Call(call) = body {
                    return self.call(call, transaction);
                }
                let request = Request {
                    body,
                    caller: self.caller,
                    transaction,
                };
                self.engine.execute(&request, &mut self.reply)
            }
        }
    }

    fn begin(&mut self, options: &Begin) -> Result<Outcome, Error> {
        *self.transactions += 1;
        let id = TransactionId(*self.transactions);
        self.engine.begin(id, options)?;
        let transaction = Transaction::new(id, self.is_read_only);
        self.streams.entry(self.key()).transaction = Some(transaction);
        Ok(Outcome::Done)
    }

    /// COMMIT and ROLLBACK, which end an aborted transaction too.
    fn end(&mut self, is_commit: bool) -> Result<Outcome, Error> {
        if self.caller.stream == 0 {
            return Ok(Outcome::Done);
        }
        let Some(transaction) = self.streams.take_transaction(self.key()) else {
            return Ok(Outcome::Done);
        };
        match transaction.aborted {
            Some(error) if is_commit => return Err(*error),
            Some(_) => {}
            None if is_commit => self.engine.commit_transaction(transaction.id)?,
            None => self.engine.rollback_transaction(transaction.id),
        }
        Ok(Outcome::Done)
    }

    fn call(
        &mut self,
        call: request::Call<'_>,
        transaction: Option<TransactionId>,
    ) -> Result<Outcome, Error> {
        match self.procedures.find(call.name)? {
            Procedure::Sync(procedure) => procedure(&mut Call {
                engine: self.engine,
                name: call.name,
                args: call.args,
                caller: self.caller,
                transaction,
                reply: self.reply.reborrow(),
            }),
            Procedure::Async(start) => {
                let completion = self.reply.defer()?;
                let context = AsyncContext::new(self.caller.clone(), self.jobs.clone());
                let running = start(call.args, context);
                actix_rt::spawn(async move { completion.complete_raw(running.await) });
                Ok(Outcome::Deferred)
            }
        }
    }
}
