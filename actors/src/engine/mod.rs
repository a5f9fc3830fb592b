//! The seam for embedders: what Tx asks of an engine.
//!
//! ```text
//!   Tx's turn:   execute  execute  execute …  commit ─▶ replies are released
//!                   │        │                  └ one journal write for all of them
//!                   │        └ Deferred: the reply comes later, through a Completion
//!                   └ Done: the reply is written
//!
//!   sessions:    ReadView::select, on their own threads, while Tx is busy
//! ```
//!
//! An engine is synchronous and lives on Tx's thread: it needs no lock and never sees two requests
//! at once. Everything but [`Engine::execute`] and [`Engine::discard_turn`] has a default, so that
//! a small engine is small.
//!
//! | file | what |
//! |---|---|
//! | `request` | what an engine is asked, and by whom; the handles |
//! | `reply` | where a reply goes, and what the runtime offers while a request runs |
//! | `body` | the body of a reply, as it is written |
//! | `completion` | answering later; seeing that nobody waits any more |
//! | `factory` | what makes engines |
//! | `solo` | while an engine holds Tx up, sessions answer alone |
//! | `refused_by` | who refuses changes where there may be none |
//! | `statistics` | what monitoring is told of spaces, journal and checkpoints |
//! | `arguments` | the arguments of a CALL as types; errors of what does not fit |
//! | `local` | procedures that sessions run |
//! | `procedures`, `procedure_call` | what CALL reaches; one CALL as its procedure is given it |
//! | `async_context` | what async procedures may use |
//! | `transaction_calls` | CALLs that mean BEGIN, COMMIT and ROLLBACK |
//! | `tuples` | tuples, keys and ordered rows, for engines of one's own |
//! | `view` | what sessions read from by themselves |
//! | `data_memory` | what the data take in memory |
//! | `catalog` | what clients are told of spaces, indexes and users |
//! | `push` | what a client is told before its reply |
//! | `progress` | how far a start is; why it failed |
//! | `wrapper` | an engine around another one |
//!
//! This is the ground floor of the package: it imports nothing of the runtime, which implements the
//! traits that stand behind [`Reply`], [`Completion`], [`CancelToken`], [`SoloGuard`] and
//! [`AsyncContext`].

pub(crate) mod arguments;
mod async_context;
mod body;
pub mod catalog;
mod completion;
mod data_memory;
mod factory;
mod local;
mod procedure_call;
pub mod procedures;
mod progress;
mod push;
mod refused_by;
mod reply;
mod request;
mod solo;
mod statistics;
mod transaction_calls;
pub mod tuples;
mod view;
mod wrapper;

use std::sync::Arc;

use vestibule_wire::Error;
use vestibule_wire::request::Begin;

use catalog::Catalog;

pub use async_context::AsyncContext;
pub(crate) use async_context::{EngineStep, OnCommit, StepKind, Steps};
pub(crate) use body::LargeFrame;
pub use body::ReplyBody;
pub use completion::{CancelToken, Completion};
pub(crate) use completion::{Cancellation, Completions, unanswered};
pub use data_memory::DataMemory;
pub use factory::EngineFactory;
pub use local::{LocalCall, LocalSpace};
pub(crate) use local::{LocalProcedure, LocalProcedures};
pub(crate) use procedure_call::{Procedure, SyncProcedure};
pub use progress::{Fault, Progress};
pub use push::Pusher;
pub(crate) use push::Pushes;
pub use refused_by::RefusedBy;
pub(crate) use reply::{Context, LockAttempt};
pub use reply::{Detached, Reply};
pub(crate) use request::counted;
pub use request::{Caller, Outcome, Request, ReservationId, Ticket, TransactionId};
pub(crate) use solo::SoloBoard;
pub use solo::SoloGuard;
pub(crate) use statistics::EngineTotals;
pub use statistics::{
    CheckpointNumbers, EngineNumbers, IndexNumbers, JournalNumbers, SpaceNumbers, Statistics,
};
pub(crate) use transaction_calls::transaction_call;
pub use view::{ReadView, Scan, ViewStep};
pub use wrapper::EngineWrapper;

/// A single-threaded storage engine, driven by Tx.
///
/// ```
/// use vestibule_actors::Procedures;
/// use vestibule_actors::engine::{Engine, Fault, Outcome, Reply, Request};
/// use vestibule_actors::testing::TestServer;
/// use vestibule_actors::wire::Error;
///
/// /// A sum: as it was committed, and as this turn has it.
/// #[derive(Default)]
/// struct Sum {
///     committed: u64,
///     turn: u64,
/// }
///
/// impl Engine for Sum {
///     fn execute(&mut self, _: &Request<'_>, _: &mut Reply<'_>) -> Result<Outcome, Error> {
///         Err(Error::unsupported("This engine", "spaces"))
///     }
///
///     fn commit(&mut self) -> Result<(), Error> {
///         // Here a durable engine writes what the turn has changed.
///         self.committed = self.turn;
///         Ok(())
///     }
///
///     fn discard_turn(&mut self) -> Result<(), Fault> {
///         self.turn = self.committed;
///         Ok(())
///     }
/// }
///
/// let procedures = Procedures::<Sum>::default().with_engine("add", |call| {
///     let (amount,): (u64,) = call.parse()?;
///     call.engine.turn += amount;
///     call.reply.value(&call.engine.turn)
/// });
/// let server = TestServer::of(|| Ok(Sum::default()), procedures);
/// let mut peer = server.connect();
/// assert_eq!(peer.call_with("add", &(2,)).value::<u64>(), 2);
/// assert_eq!(peer.call_with("add", &(3,)).value::<u64>(), 5);
/// ```
///
/// `examples/own_engine.rs` of the repository is one with rows, transactions and a read view, and
/// `testing::check_engine` tests whether one keeps the contract.
pub trait Engine: Sized + 'static {
    /// Makes the engine ready to serve, on Tx's thread, in state `Loading`. May take minutes:
    /// `progress` tells clients and operators how far it is. Called once, before anything else.
    ///
    /// # Errors
    ///
    /// A fault ends the runtime's start; nothing is served from half an engine.
    fn recover(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), Fault> {
        progress(Progress::of(1, 1));
        Ok(())
    }

    /// Executes one request and writes the reply's body. What it changes is seen by later requests
    /// of the same turn and becomes durable with [`commit`](Self::commit), which comes before the
    /// reply is sent.
    ///
    /// # Errors
    ///
    /// The error is the reply, and the request must have changed nothing.
    fn execute(&mut self, request: &Request<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error>;

    /// Makes everything of this turn durable and visible, at once or not at all.
    ///
    /// # Errors
    ///
    /// Every request of the turn is answered with the error, and the engine must be as it was
    /// before the turn.
    fn commit(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether this turn has to be committed before anything else is done in it, as with
    /// [`Outcome::CommitFirst`]. Asked before procedures and work of the embedder, which may not
    /// know; [`execute`](Self::execute) answers by itself.
    fn must_commit_first(&self) -> bool {
        false
    }

    /// Whether a caller may call a procedure, asked before it is looked up: a caller that may not
    /// does not learn whether it exists. Control procedures that sessions answer are not asked
    /// about.
    ///
    /// # Errors
    ///
    /// The reply to the CALL.
    fn may_call(&self, caller: &Caller, procedure: &str) -> Result<(), Error> {
        let _ = (caller, procedure);
        Ok(())
    }

    /// Whether a caller may begin a transaction, asked before [`begin`](Self::begin).
    ///
    /// # Errors
    ///
    /// The reply to BEGIN.
    fn may_begin(&self, caller: &Caller) -> Result<(), Error> {
        let _ = caller;
        Ok(())
    }

    /// Whether a caller may commit a transaction, asked before
    /// [`commit_transaction`](Self::commit_transaction); if not, the transaction is rolled back.
    ///
    /// # Errors
    ///
    /// The reply to COMMIT.
    fn may_commit(&self, caller: &Caller) -> Result<(), Error> {
        let _ = caller;
        Ok(())
    }

    /// What to answer to a CALL that the caller may make, of a name that no procedure stands
    /// behind; `None` for [`ErrorCode::NO_SUCH_PROC`](vestibule_wire::ErrorCode::NO_SUCH_PROC).
    fn no_procedure(&self, name: &str) -> Option<Error> {
        let _ = name;
        None
    }

    /// Opens a transaction of a caller, under a handle that the runtime chose.
    ///
    /// # Errors
    ///
    /// The reply to BEGIN. An engine without transactions keeps this default.
    fn begin(
        &mut self,
        transaction: TransactionId,
        options: &Begin,
        caller: &Caller,
    ) -> Result<(), Error> {
        let _ = (transaction, options, caller);
        Err(Error::unsupported(
            "This engine",
            "interactive transactions",
        ))
    }

    /// Commits a transaction into the turn: durable with the turn's [`commit`](Self::commit).
    ///
    /// # Errors
    ///
    /// The reply to COMMIT; the transaction is then gone.
    /// [`ErrorCode::TRANSACTION_CONFLICT`](vestibule_wire::ErrorCode::TRANSACTION_CONFLICT) if
    /// another one committed first.
    fn commit_transaction(&mut self, transaction: TransactionId) -> Result<(), Error> {
        let _ = transaction;
        Ok(())
    }

    /// Drops a transaction: asked for by the client, by its disconnect, by a deadline.
    fn rollback_transaction(&mut self, transaction: TransactionId) {
        let _ = transaction;
    }

    /// A request that the engine deferred was cancelled: its client is gone or was answered, and a
    /// late completion is dropped. An engine that can stop the work should.
    fn cancel(&mut self, ticket: Ticket) {
        let _ = ticket;
    }

    /// Forgets what this turn has changed so far, as after a failed commit: a transition came
    /// before its commit, and after that nothing older may be written. There is no default: only
    /// the engine knows what it keeps until [`commit`](Self::commit). One that keeps nothing, or
    /// writes at once what it is told, returns `Ok(())`.
    ///
    /// # Errors
    ///
    /// An engine that cannot undo: it is dropped, and another one is made and recovers, as after a
    /// panic.
    fn discard_turn(&mut self) -> Result<(), Fault>;

    /// The runtime has closed a [reservation](Reply::reserve): its connection is gone, or a
    /// transition needs it gone. What the engine keeps under it should be dropped.
    fn close_reservation(&mut self, reservation: ReservationId) {
        let _ = reservation;
    }

    /// Whether what is asked next may change data: what it was admitted for, or its transaction.
    /// Told when it changes, between any two requests. Says who refuses what would change data all
    /// the same. The runtime always refuses requests that write, and fences off commits; by default
    /// it also refuses, on a replica, whatever gets the engine to change it: see [`RefusedBy`].
    fn set_read_only(&mut self, read_only: bool) -> RefusedBy {
        let _ = read_only;
        RefusedBy::Runtime
    }

    /// Why the engine takes no changes at present (its journal cannot be written, say). Asked after
    /// a commit that failed, and after every turn until it says `None`: status and events tell it.
    fn fault(&self) -> Option<String> {
        None
    }

    /// What clients are told about spaces, indexes and users. Fetched once after recovery and after
    /// every commit that changed [`schema_version`](Self::schema_version).
    fn catalog(&self) -> Arc<Catalog> {
        Arc::default()
    }

    /// Version of the catalog, at least 1. Must change with the catalog and only then: clients
    /// fetch their schema again whenever it does.
    fn schema_version(&self) -> u64 {
        1
    }

    /// What sessions may read from on their own threads. Fetched once, after recovery.
    fn view(&self) -> Option<Arc<dyn ReadView>> {
        None
    }

    /// What the data take in memory, told by the engine as it goes: asked for once, after recovery.
    /// `None` if that is not counted.
    fn data_memory(&self) -> Option<Arc<DataMemory>> {
        None
    }

    /// What monitoring is told of spaces, journal and checkpoints, by something that any thread may
    /// ask: fetched once, after recovery. `None` if there is nothing to tell.
    fn statistics(&self) -> Option<Arc<dyn Statistics>> {
        None
    }
}
