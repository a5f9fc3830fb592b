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
//! An engine is synchronous and lives on Tx's thread: it needs no lock and never sees two requests at
//! once. Everything but [`Engine::execute`] has a default, so that a small engine is small.

use std::error::Error as StdError;
use std::sync::Arc;

use vestibule_wire::reply::{self, Rows};
use vestibule_wire::request::{Begin, Body, Select};
use vestibule_wire::{Error, ErrorCode};

use crate::catalog::Catalog;
use crate::serving::{SoloGuard, Solos};
use crate::tx::claim::Claim;
use crate::tx::reservation::Holder;
use crate::tx::{CancelToken, Completion, ReservationId};

/// Why an engine cannot start; shown to the operator.
pub type Fault = Box<dyn StdError + Send + Sync>;

/// The state behind the door.
pub trait Engine: Sized + 'static {
    /// Makes the engine ready to serve, on Tx's thread, in state `Loading`. May take minutes:
    /// `progress` tells clients and operators how far it is. Called once, before anything else.
    ///
    /// # Errors
    ///
    /// A fault ends the runtime's start; nothing is served from half an engine.
    fn recover(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), Fault> {
        progress(Progress {
            done: 1,
            total: 1,
            ..Progress::default()
        });
        Ok(())
    }

    /// Executes one request and writes the reply's body. What it changes is seen by later requests of
    /// the same turn and becomes durable with [`commit`](Self::commit), which comes before the reply
    /// is sent.
    ///
    /// # Errors
    ///
    /// The error is the reply, and the request must have changed nothing.
    fn execute(&mut self, request: &Request<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error>;

    /// Makes everything of this turn durable and visible, at once or not at all.
    ///
    /// # Errors
    ///
    /// Every request of the turn is answered with the error, and the engine must be as it was before
    /// the turn.
    fn commit(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Whether somebody may call a procedure, asked before it is looked up: so that whoever may not
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

    /// Opens a transaction under a handle that the runtime chose.
    ///
    /// # Errors
    ///
    /// The reply to BEGIN. An engine without transactions keeps this default.
    fn begin(&mut self, transaction: TransactionId, options: &Begin) -> Result<(), Error> {
        let _ = (transaction, options);
        Err(Error::unsupported(
            "This engine",
            "interactive transactions",
        ))
    }

    /// Commits a transaction into the turn: durable with the turn's [`commit`](Self::commit).
    ///
    /// # Errors
    ///
    /// The reply to COMMIT (97 for a conflict); the transaction is then gone.
    fn commit_transaction(&mut self, transaction: TransactionId) -> Result<(), Error> {
        let _ = transaction;
        Ok(())
    }

    /// Drops a transaction: asked for by the client, by its disconnect, by a deadline.
    fn rollback_transaction(&mut self, transaction: TransactionId) {
        let _ = transaction;
    }

    /// A request that the engine deferred was given up on: its client is gone or was answered, and a late
    /// completion is dropped. An engine that can stop the work should.
    fn cancel(&mut self, ticket: Ticket) {
        let _ = ticket;
    }

    /// Forgets what this turn has changed so far, as after a failed commit: a transition came before its
    /// commit, and after that nothing older may be written. An engine whose changes wait for
    /// [`commit`](Self::commit) must implement it.
    fn discard_turn(&mut self) {}

    /// The runtime has closed a [reservation](Reply::reserve): its connection is gone, or a transition
    /// needs it gone. What the engine keeps under it should be dropped.
    fn close_reservation(&mut self, reservation: ReservationId) {
        let _ = reservation;
    }

    /// Whether what is asked next may change data: what it was admitted for, or its transaction. Told
    /// when it changes, between any two requests. The runtime refuses write requests and fences off
    /// commits by itself; what a CALL does is up to the engine.
    fn set_read_only(&mut self, read_only: bool) {
        let _ = read_only;
    }

    /// Why the engine takes no changes at present (its journal cannot be written, say). Asked after a
    /// commit that failed, and after every turn until it says `None`: status and events tell it.
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
}

/// How much of something long is done, in units of the engine's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Done so far.
    pub done: u64,
    /// In all; 0 if not known.
    pub total: u64,
    /// Rows so far, where that says something: while the engine loads, the reason tells them and how
    /// many there are in a second. 0 if not known.
    pub rows: u64,
}

impl Progress {
    /// The share done, 0.0 to 1.0; `None` if the total is not known.
    #[must_use]
    pub fn share(self) -> Option<f64> {
        (self.total > 0).then(|| (self.done as f64 / self.total as f64).min(1.0))
    }
}

/// Handle of an interactive transaction, unique as long as the runtime lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub u64);

/// Handle of a deferred request, unique as long as the runtime lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The connection's number, unique as long as the runtime lives.
    pub connection: u64,
    /// The stream, 0 for none.
    pub stream: u64,
    /// The authenticated user; `guest` before authentication.
    pub user: Arc<str>,
    /// Whether this connection has the rights of an administrator.
    pub is_administrator: bool,
}

/// A request on its way into the engine.
#[derive(Debug)]
pub struct Request<'a> {
    /// What is asked, borrowed from the bytes of the frame.
    pub body: Body<'a>,
    /// By whom.
    pub caller: &'a Caller,
    /// Inside which transaction, if any.
    pub transaction: Option<TransactionId>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The reply's body is written (an empty map if nothing was).
    Done,
    /// The reply comes later through the [`Completion`] taken from [`Reply::defer`].
    Deferred,
    /// Nothing was done: commit the turn so far, then execute this request again, first of a new
    /// turn. For requests (DDL) that need a turn of their own.
    CommitFirst,
}

/// Where the body of a reply goes, and what else Tx offers while a request runs.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    solos: &'a Solos,
    deferral: Deferral<'a>,
    claim: Option<Claim<'a>>,
    holder: Option<Holder<'a>>,
    /// In a test of an engine: nobody waits.
    is_given_up: bool,
}

/// Makes a [`Completion`] for the request at hand, if the runtime allows it to be deferred.
pub(crate) type MakeCompletion<'a> = &'a dyn Fn() -> Completion;

#[derive(Clone, Copy)]
enum Deferral<'a> {
    Possible(MakeCompletion<'a>),
    Impossible,
}

impl std::fmt::Debug for Deferral<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Possible(_) => "Possible",
            Self::Impossible => "Impossible",
        })
    }
}

impl<'a> Reply<'a> {
    pub(crate) fn new(
        out: &'a mut Vec<u8>,
        solos: &'a Solos,
        completion: MakeCompletion<'a>,
        claim: Claim<'a>,
        holder: Holder<'a>,
    ) -> Self {
        Self {
            out,
            solos,
            deferral: Deferral::Possible(completion),
            claim: Some(claim),
            holder: Some(holder),
            is_given_up: false,
        }
    }

    /// The same reply for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Reply<'_> {
        Reply {
            out: self.out,
            solos: self.solos,
            deferral: self.deferral,
            claim: self.claim,
            holder: self.holder,
            is_given_up: self.is_given_up,
        }
    }

    /// A reply that goes nowhere but `out`, for work that no client asked for: it cannot be deferred.
    #[must_use]
    pub fn detached(out: &'a mut Vec<u8>, solos: &'a Solos) -> Self {
        Self {
            out,
            solos,
            deferral: Deferral::Impossible,
            claim: None,
            holder: None,
            is_given_up: false,
        }
    }

    /// The same for a request that nobody waits for any more, for an engine's own tests.
    #[must_use]
    pub fn given_up(self) -> Self {
        Self {
            is_given_up: true,
            ..self
        }
    }

    /// The same, for an engine's own tests.
    #[must_use]
    pub fn for_test(out: &'a mut Vec<u8>, solos: &'a Solos) -> Self {
        Self::detached(out, solos)
    }

    /// Starts a body of tuples.
    pub fn rows(&mut self) -> Rows<'_> {
        Rows::begin(self.out)
    }

    /// Writes one returned value: `{DATA: [value]}`.
    ///
    /// # Errors
    ///
    /// 32 for a value that MessagePack cannot hold.
    pub fn value<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<Outcome, Error> {
        reply::write_value(self.out, value).map(|()| Outcome::Done)
    }

    /// Writes several returned values, given as a tuple or sequence: `{DATA: values}`.
    ///
    /// # Errors
    ///
    /// As [`value`](Self::value).
    pub fn values<T: serde::Serialize + ?Sized>(&mut self, values: &T) -> Result<Outcome, Error> {
        reply::write_values(self.out, values).map(|()| Outcome::Done)
    }

    /// The body's bytes, for what the other methods do not cover.
    pub fn body(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Declares that Tx will be busy from now on: sessions stop waiting for it and answer alone, with
    /// this reason, until the guard is dropped. For work that takes longer than clients wait.
    #[must_use = "the state returns to assist when the guard is dropped"]
    pub fn solo(&self, reason: impl Into<String>) -> SoloGuard {
        self.solos.enter(reason)
    }

    /// Whether nobody waits for this request any more: its time is over, or it was killed. Its client
    /// has been answered, and what is written here will be dropped. Work that takes long should look
    /// now and then; what it has changed is still committed unless it returns an error.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.is_given_up || self.claim.is_some_and(Claim::is_cancelled)
    }

    /// What [`is_cancelled`](Self::is_cancelled) asks, for other threads; `None` in an engine's test.
    #[must_use]
    pub fn cancel_token(&self) -> Option<CancelToken> {
        self.claim.map(Claim::token)
    }

    fn holder(&self) -> Result<Holder<'a>, Error> {
        let here = "A reply that goes nowhere";
        self.holder
            .ok_or_else(|| Error::unsupported(here, "reservations"))
    }

    /// Reserves something of the engine for this connection, beyond this request and any transaction;
    /// `kind` and `name` are what operators see. This request uses it until it is answered; after that
    /// it is idle until a request [takes](Self::take_reservation) it.
    ///
    /// The runtime may close it at any time between two requests, and does when the connection goes:
    /// see [`Engine::close_reservation`].
    ///
    /// # Errors
    ///
    /// 116 while a transition closes reservations, 1 beyond the bounds, 5 in an engine's own test.
    pub fn reserve(&mut self, kind: &'static str, name: &str) -> Result<ReservationId, Error> {
        self.holder()?.reserve(kind, name)
    }

    /// This request uses a reservation of its connection until it is answered.
    ///
    /// # Errors
    ///
    /// 1 if it was closed, or is another connection's.
    pub fn take_reservation(&mut self, id: ReservationId) -> Result<(), Error> {
        self.holder()?.take(id)
    }

    /// Gives a reservation of this connection back; false if it is over already. The engine is not told.
    pub fn release_reservation(&mut self, id: ReservationId) -> bool {
        self.holder.is_some_and(|holder| holder.release(id))
    }

    /// Takes the means to answer later, from any thread. Return [`Outcome::Deferred`] with it.
    ///
    /// # Errors
    ///
    /// 5 where the runtime cannot wait (an engine's own test).
    pub fn defer(&mut self) -> Result<Completion, Error> {
        match self.deferral {
            Deferral::Possible(make) => Ok(make()),
            Deferral::Impossible => Err(Error::new(ErrorCode::UNSUPPORTED, "cannot be deferred")),
        }
    }
}

/// A read-only window on what is durable: sessions answer SELECT from it while Tx is busy.
///
/// It never shows half a turn. A lock inside it may be held for one bounded step only, because Tx may
/// have to wait for that step.
pub trait ReadView: Send + Sync + 'static {
    /// Executes one bounded step of a SELECT, appending to the reply's body in `out`.
    ///
    /// The first step gets a fresh `scan`; after [`ViewStep::More`] the same `scan` comes again, and what
    /// was written, though perhaps at another place of `out`: the body is `out[scan.body_start..]`.
    ///
    /// # Errors
    ///
    /// The error is the reply; `out` is then cut back by the caller.
    fn select(
        &self,
        select: &Select<'_>,
        caller: &Caller,
        scan: &mut Scan,
        out: &mut Vec<u8>,
    ) -> Result<ViewStep, Error>;
}

/// What one step of a SELECT on a view came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewStep {
    /// The body is complete.
    Done,
    /// There is more to scan; the step's bound was reached.
    More,
    /// The data changed since the first step, so going on would show a mixture. The caller starts
    /// over, or asks Tx.
    Changed,
}

/// Where a stepwise SELECT stands. A view uses the fields as it likes, but for the first.
#[derive(Debug, Default)]
pub struct Scan {
    /// Where the reply's body starts in `out`: set by the caller before every step.
    pub body_start: usize,
    /// Version of the data at the first step.
    pub version: u64,
    /// Where the next step starts.
    pub position: Vec<u8>,
    /// Tuples skipped so far, for the offset.
    pub skipped: u64,
    /// Tuples written so far, for the limit and the count.
    pub written: u32,
    /// Steps done so far.
    pub steps: u32,
}

impl Scan {
    /// At the beginning, of a body that starts there.
    #[must_use]
    pub fn at(body_start: usize) -> Self {
        Self {
            body_start,
            ..Self::default()
        }
    }
}
