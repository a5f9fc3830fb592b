//! An engine around another one: what it does not do by itself, the inner one does.
//!
//! ```text
//!   Tx ─▶ Engine of the wrapper ─▶ its own method, or the default ─▶ Engine of the inner one
//! ```

use std::marker::PhantomData;
use std::sync::Arc;

use vestibule_wire::Error;
use vestibule_wire::request::Begin;

use super::catalog::Catalog;
use super::data_memory::DataMemory;
use super::progress::{Fault, Progress};
use super::refused_by::RefusedBy;
use super::reply::Reply;
use super::request::{Caller, Outcome, Request, ReservationId, Ticket, TransactionId};
use super::statistics::Statistics;
use super::view::ReadView;
use super::{Engine, EngineFactory};

/// Writes the trait, whose methods go to the inner engine, and the engine that each wrapper is.
macro_rules! forwarded {
    (
        $(#[$about:meta])*
        changing {
            $($change:ident($($arg:ident: $type:ty),*) -> $result:ty;)*
        }
        looking {
            $($look:ident($($look_arg:ident: $look_type:ty),*) -> $look_result:ty;)*
        }
    ) => {
        $(#[$about])*
        pub trait EngineWrapper: Sized + 'static {
            /// The engine inside.
            type Inner: Engine;

            /// The engine inside, to look at.
            fn inner(&self) -> &Self::Inner;

            /// The engine inside.
            fn inner_mut(&mut self) -> &mut Self::Inner;

            $(
                #[doc = concat!("What [`Engine::", stringify!($change), "`] is, with its")]
                #[doc = "results and errors; the inner engine's if it is not written."]
                #[inline]
                fn $change(&mut self, $($arg: $type),*) -> $result {
                    self.inner_mut().$change($($arg),*)
                }
            )*
            $(
                #[doc = concat!("What [`Engine::", stringify!($look), "`] is, with its")]
                #[doc = "results and errors; the inner engine's if it is not written."]
                #[inline]
                fn $look(&self, $($look_arg: $look_type),*) -> $look_result {
                    self.inner().$look($($look_arg),*)
                }
            )*
        }

        // A method that an engine gets is missing here, and not left to its default.
        #[deny(clippy::missing_trait_methods)]
        // Who forgets to write an engine is told of `Engine`.
        #[diagnostic::do_not_recommend]
        impl<W: EngineWrapper> Engine for W {
            $(
                #[inline]
                fn $change(&mut self, $($arg: $type),*) -> $result {
                    EngineWrapper::$change(self, $($arg),*)
                }
            )*
            $(
                #[inline]
                fn $look(&self, $($look_arg: $look_type),*) -> $look_result {
                    EngineWrapper::$look(self, $($look_arg),*)
                }
            )*
        }
    };
}

forwarded! {
    /// An engine around another one, with state of its own beside it, or with something to say to
    /// what is asked of it. Every wrapper is an [`Engine`]; what it does not write itself is done
    /// by the [inner](Self::Inner) one.
    ///
    /// [`EngineFactory::wrapped`] makes wrappers of what makes the inner engine, and
    /// [`Procedures::wrapped`](super::procedures::Procedures::wrapped) has the inner one's
    /// procedures called on it.
    ///
    /// State of its own is gone when Tx has to be replaced, is not journaled, and is on its own to
    /// follow [`commit`](Self::commit), [`discard_turn`](Self::discard_turn) and
    /// [`rollback_transaction`](Self::rollback_transaction), where that matters. State that other
    /// threads share needs no wrapper: closures of procedures can own an `Arc` of it.
    changing {
        recover(progress: &mut dyn FnMut(Progress)) -> Result<(), Fault>;
        execute(request: &Request<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error>;
        commit() -> Result<(), Error>;
        begin(id: TransactionId, options: &Begin, caller: &Caller) -> Result<(), Error>;
        commit_transaction(id: TransactionId) -> Result<(), Error>;
        rollback_transaction(id: TransactionId) -> ();
        cancel(ticket: Ticket) -> ();
        discard_turn() -> Result<(), Fault>;
        close_reservation(reservation: ReservationId) -> ();
        set_read_only(read_only: bool) -> RefusedBy;
    }
    looking {
        must_commit_first() -> bool;
        may_call(caller: &Caller, procedure: &str) -> Result<(), Error>;
        may_begin(caller: &Caller) -> Result<(), Error>;
        may_commit(caller: &Caller) -> Result<(), Error>;
        no_procedure(name: &str) -> Option<Error>;
        fault() -> Option<String>;
        catalog() -> Arc<Catalog>;
        schema_version() -> u64;
        view() -> Option<Arc<dyn ReadView>>;
        data_memory() -> Option<Arc<DataMemory>>;
        statistics() -> Option<Arc<dyn Statistics>>;
    }
}

/// What makes wrappers of the engines that another factory makes.
pub(super) struct WrappedFactory<E, F, M> {
    factory: F,
    wrap: M,
    inner: PhantomData<fn() -> E>,
}

impl<E, F, M> WrappedFactory<E, F, M> {
    pub(super) fn new(factory: F, wrap: M) -> Self {
        Self {
            factory,
            wrap,
            inner: PhantomData,
        }
    }
}

impl<E, W, F, M> EngineFactory<W> for WrappedFactory<E, F, M>
where
    E: Engine,
    W: Engine,
    F: EngineFactory<E>,
    M: Fn(E) -> W + Send + Sync + 'static,
{
    fn make(&self) -> Result<W, Fault> {
        self.factory.make().map(&self.wrap)
    }

    fn check(&self) -> Result<(), Fault> {
        self.factory.check()
    }

    fn guest_power(&self) -> Option<String> {
        self.factory.guest_power()
    }
}
