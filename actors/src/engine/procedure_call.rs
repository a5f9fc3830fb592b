//! One CALL as its procedure is given it, and the kinds of procedures that Tx calls.

use futures::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use vestibule_wire::Error;

use super::Engine;
use super::arguments::parse_args;
use super::async_context::AsyncContext;
use super::reply::Reply;
use super::request::{Caller, Outcome, TransactionId};
use super::wrapper::EngineWrapper;

/// One CALL on its way into a closure.
#[derive(Debug)]
pub struct ProcedureCall<'a, E> {
    /// The engine, inside Tx's turn.
    pub engine: &'a mut E,
    /// The whole name that was called.
    pub name: &'a str,
    /// The arguments as a MessagePack array.
    pub args: &'a [u8],
    /// Who calls.
    pub caller: &'a Caller,
    /// In which stream of the connection, 0 for none.
    pub stream: u64,
    /// Inside which transaction, if any.
    pub transaction: Option<TransactionId>,
    /// Where the results go.
    pub reply: Reply<'a>,
}

impl<E> ProcedureCall<'_, E> {
    /// The arguments as a tuple or other sequence of the given type, as
    /// [`Procedures::function`](crate::Procedures::function) takes them.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS), naming the
    /// procedure, the argument, what is expected and what came, if they do not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        parse_args(self.name, self.args)
    }
}

/// One CALL on its way into a closure that changes nothing: see
/// [`Procedures::read_only`](crate::Procedures::read_only).
#[derive(Debug)]
#[non_exhaustive]
pub struct ReadOnlyCall<'a, E> {
    /// The engine, inside Tx's turn: with what the turn has changed so far, which is committed
    /// before the results are sent.
    pub engine: &'a E,
    /// The whole name that was called.
    pub name: &'a str,
    /// The arguments as a MessagePack array.
    pub args: &'a [u8],
    /// Who calls.
    pub caller: &'a Caller,
    /// In which stream of the connection, 0 for none.
    pub stream: u64,
    /// Inside which transaction, if any.
    pub transaction: Option<TransactionId>,
    /// Where the results go.
    pub reply: Reply<'a>,
}

impl<E> ReadOnlyCall<'_, E> {
    /// The arguments as a tuple or other sequence of the given type, as
    /// [`Procedures::function`](crate::Procedures::function) takes them.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ILLEGAL_PARAMS`](vestibule_wire::ErrorCode::ILLEGAL_PARAMS), naming the
    /// procedure, the argument, what is expected and what came, if they do not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        parse_args(self.name, self.args)
    }
}

/// What Tx calls in its turn.
pub(crate) type SyncProcedure<E> =
    Box<dyn Fn(&mut ProcedureCall<'_, E>) -> Result<Outcome, Error> + Send + Sync>;
type AsyncProcedure<E> = Box<
    dyn Fn(&[u8], AsyncContext<E>) -> LocalBoxFuture<'static, Result<Vec<u8>, Error>> + Send + Sync,
>;

/// A procedure, by what is to be known of it before it is called.
pub(crate) enum Procedure<E> {
    /// Changes nothing: a replica calls it.
    ReadOnly(SyncProcedure<E>),
    Sync(SyncProcedure<E>),
    /// In a transaction of its own, if it is called outside of one.
    Atomic(SyncProcedure<E>),
    Async(AsyncProcedure<E>),
}

impl<E: 'static> Procedure<E> {
    /// A procedure that gets the engine to look at.
    pub(super) fn read_only<F>(procedure: F) -> Self
    where
        F: Fn(&mut ReadOnlyCall<'_, E>) -> Result<Outcome, Error> + Send + Sync + 'static,
    {
        Self::ReadOnly(Box::new(move |call| {
            let outcome = procedure(&mut ReadOnlyCall {
                engine: call.engine,
                name: call.name,
                args: call.args,
                caller: call.caller,
                stream: call.stream,
                transaction: call.transaction,
                reply: call.reply.lend(),
            });
            call.reply.note_lent();
            outcome
        }))
    }
}

impl<E: Engine> Procedure<E> {
    /// The same, for what is around the engine.
    pub(super) fn wrapped<W: EngineWrapper<Inner = E>>(self) -> Procedure<W> {
        match self {
            Self::ReadOnly(procedure) => Procedure::ReadOnly(on_inner(procedure)),
            Self::Sync(procedure) => Procedure::Sync(on_inner(procedure)),
            Self::Atomic(procedure) => Procedure::Atomic(on_inner(procedure)),
            Self::Async(start) => {
                Procedure::Async(Box::new(move |args: &[u8], context: AsyncContext<W>| {
                    start(args, context.into_inner())
                }))
            }
        }
    }
}

fn on_inner<W: EngineWrapper>(procedure: SyncProcedure<W::Inner>) -> SyncProcedure<W> {
    Box::new(move |call| {
        let outcome = procedure(&mut ProcedureCall {
            engine: call.engine.inner_mut(),
            name: call.name,
            args: call.args,
            caller: call.caller,
            stream: call.stream,
            transaction: call.transaction,
            reply: call.reply.lend(),
        });
        call.reply.note_lent();
        outcome
    })
}
