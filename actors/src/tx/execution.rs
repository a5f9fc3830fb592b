//! One request on its way through the engine, the transactions or the procedures.

use std::rc::Rc;

use vestibule_wire::Error;
use vestibule_wire::request::{self, Body};

use super::context::AsyncContext;
use super::jobs::Jobs;
use super::stream::{Key, Streams};
use crate::engine::{Caller, Engine, Outcome, Reply, Request, TransactionId};
use crate::procedures::{Call, Procedure, Procedures};

/// One request with everything it may touch.
pub(super) struct Execution<'a, E: Engine> {
    pub(super) engine: &'a mut E,
    pub(super) procedures: &'a Procedures<E>,
    pub(super) streams: &'a mut Streams,
    pub(super) transactions: &'a mut u64,
    pub(super) jobs: &'a Rc<Jobs<E>>,
    pub(super) caller: &'a Caller,
    pub(super) reply: Reply<'a>,
}

impl<E: Engine> Execution<'_, E> {
    fn key(&self) -> Key {
        (self.caller.connection, self.caller.stream)
    }

    fn transaction(&self) -> Option<TransactionId> {
        if self.caller.stream == 0 {
            return None;
        }
        self.streams
            .get(self.key())
            .and_then(|stream| stream.transaction)
    }

    pub(super) fn run(&mut self, body: Body<'_>) -> Result<Outcome, Error> {
        let transaction = self.transaction();
        match body {
            Body::Begin(_) if transaction.is_some() => Err(Error::active_transaction()),
            Body::Begin(options) => {
                *self.transactions += 1;
                let id = TransactionId(*self.transactions);
                self.engine.begin(id, &options)?;
                self.streams.entry(self.key()).transaction = Some(id);
                Ok(Outcome::Done)
            }
            Body::Commit | Body::Rollback => {
                let Some(id) = transaction else {
                    return Ok(Outcome::Done);
                };
                self.streams.take_transaction(self.key());
                if matches!(body, Body::Commit) {
                    self.engine.commit_transaction(id)?;
                } else {
                    self.engine.rollback_transaction(id);
                }
                Ok(Outcome::Done)
            }
            Body::Call(call) => self.call(call, transaction),
            body => {
                let request = Request {
                    body,
                    caller: self.caller,
                    transaction,
                };
                self.engine.execute(&request, &mut self.reply)
            }
        }
    }

    fn call(
        &mut self,
        call: request::Call<'_>,
        transaction: Option<TransactionId>,
    ) -> Result<Outcome, Error> {
        self.engine.may_call(self.caller, call.name)?;
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
