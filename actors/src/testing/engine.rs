//! An engine that does what a test says: it logs, blocks and fails on command.

mod procedures;
mod view;

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::{Begin, Body, IdOrName, IteratorType, Select};
use vestibule_wire::{Error, ErrorCode};

use crate::engine::catalog::{Catalog, CatalogBuilder, User};
use crate::engine::{
    Caller, Completion, Engine, Fault, Outcome, Progress, ReadView, Reply, Request, ReservationId,
    TransactionId,
};

/// A test waits no longer than this for anything; a busy machine needs much less.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct ScriptState {
    /// Keys of REPLACEs in the order of their execution, committed or not.
    executed: Vec<u64>,
    /// What else happened, in order.
    log: Vec<String>,
    is_blocked: bool,
    is_blocking_wanted: bool,
    /// The CALL `cooperate` waits for its end.
    is_cooperating: bool,
    commits_fail: bool,
    are_commits_held: bool,
    is_committing: bool,
    is_close_held: bool,
    recovery_fails: bool,
    begins_fail: bool,
    /// How often the user `alice` was dropped and made again.
    generation: u64,
    discards_fail: bool,
    are_calls_forbidden: bool,
    is_recovery_held: bool,
    panic_next: bool,
    view_panics: bool,
    /// Of the CALL `take`.
    completion: Option<Completion>,
}

/// What a test holds in its hand.
///
/// ```
/// use vestibule_actors::testing::{Harness, RequestBuilder};
///
/// let harness = Harness::start();
/// let mut peer = harness.connect();
/// // The disk is full: what is written is refused, and forgotten.
/// harness.script().fail_commits(true);
/// assert_eq!(peer.ask(&RequestBuilder::replace(1, 7)).error_code(), Some(40));
/// harness.script().fail_commits(false);
/// assert_eq!(harness.script().keys(), [0; 0]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Script {
    state: Arc<(Mutex<ScriptState>, Condvar)>,
    rows: Arc<RwLock<BTreeMap<u64, Vec<u8>>>>,
    on_pause: Arc<Mutex<Option<OnPause>>>,
}

/// What happens in the middle of a turn, at the procedure `pause`.
struct OnPause(Box<dyn FnMut() + Send>);

impl std::fmt::Debug for OnPause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnPause")
    }
}

impl Script {
    /// Has the procedure `pause` do this, on Tx's thread.
    pub fn on_pause(&self, work: impl FnMut() + Send + 'static) {
        let mut on_pause = self.on_pause.lock().unwrap_or_else(PoisonError::into_inner);
        *on_pause = Some(OnPause(Box::new(work)));
    }

    /// How many rows are committed.
    #[must_use]
    pub fn rows(&self) -> usize {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.len()
    }

    /// The keys of the rows that are committed.
    #[must_use]
    pub fn keys(&self) -> Vec<u64> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.keys().copied().collect()
    }

    /// Commits of turns that write wait until it is called again with `false`.
    pub fn hold_commits(&self, hold: bool) {
        self.change(|state| state.are_commits_held = hold);
    }

    /// An engine that is closed waits, and has `closing` in its log, until
    /// [`release`](Self::release).
    pub fn hold_close(&self) {
        self.change(|state| state.is_close_held = true);
    }

    /// Waits until a commit is held.
    pub fn wait_until_committing(&self) {
        self.wait("a commit is under way", |state| state.is_committing);
    }

    fn state(&self) -> MutexGuard<'_, ScriptState> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, edit: impl FnOnce(&mut ScriptState)) {
        edit(&mut self.state());
        self.state.1.notify_all();
    }

    fn wait(&self, what: &str, until: impl Fn(&ScriptState) -> bool) {
        let (state, timeout) = self
            .state
            .1
            .wait_timeout_while(self.state(), PATIENCE, |state| !until(state))
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        assert!(!timeout.timed_out(), "waited in vain until {what}");
    }

    /// From the next CALL `block` on, Tx's thread stands still until [`release`](Self::release).
    pub fn hold_tx(&self) {
        self.change(|state| state.is_blocking_wanted = true);
    }

    /// Waits until Tx's thread stands still.
    pub fn wait_until_blocked(&self) {
        self.wait("Tx is blocked", |state| state.is_blocked);
    }

    /// Lets Tx's thread go on, wherever it stands still.
    pub fn release(&self) {
        self.change(|state| {
            state.is_blocking_wanted = false;
            state.are_commits_held = false;
            state.is_close_held = false;
        });
    }

    /// Whether commits fail from now on.
    pub fn fail_commits(&self, fail: bool) {
        self.change(|state| state.commits_fail = fail);
    }

    /// Whether BEGIN fails from now on.
    pub fn fail_begins(&self, fail: bool) {
        self.change(|state| state.begins_fail = fail);
    }

    /// Whether nobody may call anything from now on.
    pub fn forbid_calls(&self, forbid: bool) {
        self.change(|state| state.are_calls_forbidden = forbid);
    }

    /// Whether the engine cannot forget a turn from now on.
    pub fn fail_discards(&self, fail: bool) {
        self.change(|state| state.discards_fail = fail);
    }

    /// Drops the user `alice` and makes another one; sessions hear of it with the next commit.
    pub fn replace_alice(&self) {
        self.change(|state| state.generation += 1);
    }

    /// Recovery waits until it is called again with `false`.
    pub fn hold_recovery(&self, hold: bool) {
        self.change(|state| state.is_recovery_held = hold);
    }

    /// Whether engines made from now on fail to recover.
    pub fn fail_recovery(&self, fail: bool) {
        self.change(|state| state.recovery_fails = fail);
    }

    /// The next REPLACE panics.
    pub fn panic_next(&self) {
        self.change(|state| state.panic_next = true);
    }

    /// The next SELECT on the view panics, on a session's thread.
    pub fn panic_in_view(&self) {
        self.change(|state| state.view_panics = true);
    }

    /// Completes the last CALL `take`.
    pub fn complete(&self) {
        let mut taken = None;
        self.change(|state| taken = state.completion.take());
        if let Some(completion) = taken {
            completion.complete(Ok(true));
        }
    }

    /// Keys of the REPLACEs that were executed, in order.
    #[must_use]
    pub fn executed(&self) -> Vec<u64> {
        self.state().executed.clone()
    }

    /// What the engine wrote down: transactions, recoveries.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// Waits for an entry in the log.
    pub fn wait_for_log(&self, entry: &str) {
        self.wait(entry, |state| state.log.iter().any(|own| own == entry));
    }

    /// An engine that follows this script.
    #[must_use]
    pub fn engine(&self) -> ScriptedEngine {
        ScriptedEngine {
            script: self.clone(),
            pending: BTreeMap::new(),
            transactions: BTreeMap::new(),
        }
    }

    /// This thread stands still, if [`hold_tx`](Self::hold_tx) was called, until
    /// [`release`](Self::release): what the procedure `block` does.
    pub fn stand_still(&self) {
        self.change(|state| state.is_blocked = true);
        self.wait("the test releases Tx", |state| !state.is_blocking_wanted);
        self.change(|state| state.is_blocked = false);
    }
}

/// Writes down the end of an async procedure that does not end by itself.
struct Unending(Script);

impl Unending {
    fn new(script: &Script) -> Self {
        script.change(|state| state.log.push("never: begun".to_owned()));
        Self(script.clone())
    }
}

impl Drop for Unending {
    fn drop(&mut self) {
        self.0
            .change(|state| state.log.push("never: dropped".to_owned()));
    }
}

#[expect(clippy::disallowed_methods, reason = "a procedure that takes its time")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// The engine: one space, 512, of tuples keyed by their first field, an unsigned number.
#[derive(Debug)]
pub struct ScriptedEngine {
    script: Script,
    pending: BTreeMap<u64, Vec<u8>>,
    /// What open transactions have stored.
    transactions: BTreeMap<TransactionId, BTreeMap<u64, Vec<u8>>>,
}

impl Drop for ScriptedEngine {
    fn drop(&mut self) {
        if self.script.state().is_close_held {
            self.script
                .change(|state| state.log.push("closing".to_owned()));
            self.script
                .wait("the test lets it close", |state| !state.is_close_held);
        }
    }
}

impl ScriptedEngine {
    /// Stores the tuple `[key, key]`, as a REPLACE does.
    pub fn put(&mut self, key: u64) {
        let tuple = rmp_serde::to_vec(&(key, key)).unwrap_or_default();
        self.pending.insert(key, tuple);
    }

    /// Rows, committed or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.script.rows() + self.pending.len()
    }
}

/// There is one space.
fn check_space(space: IdOrName<'_>) -> Result<(), Error> {
    match space {
        IdOrName::Id(512) | IdOrName::Name("scripted") => Ok(()),
        IdOrName::Id(other) => Err(Error::no_such_space(other)),
        IdOrName::Name(other) => Err(Error::no_such_space(other)),
    }
}

/// The key of a SELECT from that space.
fn selected(select: &Select<'_>) -> Result<u64, Error> {
    check_space(select.space)?;
    IteratorType::from_code(select.iterator)?;
    first_uint(select.key)
}

fn first_uint(array: &[u8]) -> Result<u64, Error> {
    let mut reader = Reader::new(array);
    let fault = |_| Error::illegal_params("the key must be an unsigned number");
    reader.read_array_len().map_err(fault)?;
    reader.read_uint().map_err(fault)
}

impl Engine for ScriptedEngine {
    fn recover(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), Fault> {
        progress(Progress::of(40, 100));
        self.script
            .change(|state| state.log.push("recovering".to_owned()));
        self.script
            .wait("the test lets it recover", |state| !state.is_recovery_held);
        if self.script.state().recovery_fails {
            return Err("scripted failure".into());
        }
        self.script
            .change(|state| state.log.push("recovered".to_owned()));
        Ok(())
    }

    fn execute(&mut self, request: &Request<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        match request.body {
            Body::Replace(store) => {
                check_space(store.space)?;
                let key = first_uint(store.tuple)?;
                let mut panics = false;
                self.script.change(|state| {
                    state.executed.push(key);
                    panics = std::mem::take(&mut state.panic_next);
                });
                assert!(!panics, "scripted panic");
                let stored = match request.transaction {
                    Some(own) => self.transactions.entry(own).or_default(),
                    None => &mut self.pending,
                };
                stored.insert(key, store.tuple.to_vec());
                let mut rows = reply.rows();
                rows.push(store.tuple);
                rows.finish(None);
                Ok(Outcome::Done)
            }
            Body::Select(select) => {
                let key = selected(&select)?;
                let committed = self
                    .script
                    .rows
                    .read()
                    .unwrap_or_else(PoisonError::into_inner);
                let mut rows = reply.rows();
                let own = request
                    .transaction
                    .and_then(|own| self.transactions.get(&own));
                let own = own.and_then(|own| own.get(&key));
                let found = own.or_else(|| self.pending.get(&key));
                if let Some(tuple) = found.or_else(|| committed.get(&key)) {
                    rows.push(tuple);
                }
                rows.finish(None);
                Ok(Outcome::Done)
            }
            _ => Err(Error::unsupported("The scripted engine", "this request")),
        }
    }

    fn commit(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.script.change(|state| state.is_committing = true);
        self.script
            .wait("the test lets it commit", |state| !state.are_commits_held);
        self.script.change(|state| state.is_committing = false);
        if self.script.state().commits_fail {
            return Err(Error::new(ErrorCode::WAL_IO, "scripted failure"));
        }
        self.script
            .rows
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(pending);
        Ok(())
    }

    /// Nobody may call what is named `forbidden.…`, whether it exists or not.
    fn may_call(&self, caller: &Caller, procedure: &str) -> Result<(), Error> {
        if procedure.starts_with("forbidden.") || self.script.state().are_calls_forbidden {
            let user = &caller.user.name;
            return Err(Error::access_denied("Execute", "function", procedure, user));
        }
        Ok(())
    }

    fn discard_turn(&mut self) -> Result<(), Fault> {
        if self.script.state().discards_fail {
            return Err("scripted failure".into());
        }
        self.pending.clear();
        self.script
            .change(|state| state.log.push("discard".to_owned()));
        Ok(())
    }

    fn begin(
        &mut self,
        transaction: TransactionId,
        _options: &Begin,
        _caller: &Caller,
    ) -> Result<(), Error> {
        if self.script.state().begins_fail {
            return Err(Error::unsupported("The scripted engine", "transactions"));
        }
        self.script
            .change(|state| state.log.push(format!("begin {}", transaction.0)));
        Ok(())
    }

    /// Nobody commits for a user who is gone.
    fn may_commit(&self, caller: &Caller) -> Result<(), Error> {
        let user = &caller.user;
        if *user.name == *"alice" && user.generation != self.script.state().generation {
            return Err(Error::no_such_user(&user.name));
        }
        Ok(())
    }

    fn commit_transaction(&mut self, transaction: TransactionId) -> Result<(), Error> {
        let stored = self.transactions.remove(&transaction);
        self.pending.extend(stored.into_iter().flatten());
        self.script
            .change(|state| state.log.push(format!("commit {}", transaction.0)));
        Ok(())
    }

    fn rollback_transaction(&mut self, transaction: TransactionId) {
        self.transactions.remove(&transaction);
        self.script
            .change(|state| state.log.push(format!("rollback {}", transaction.0)));
    }

    fn close_reservation(&mut self, reservation: ReservationId) {
        self.script
            .change(|state| state.log.push(format!("closed {}", reservation.0)));
    }

    fn catalog(&self) -> Arc<Catalog> {
        let builder = CatalogBuilder::new().space(512, "scripted");
        let password = vestibule_wire::auth::PasswordHash::of("secret");
        let builder = builder.index(512, 0, "primary", &[(0, "unsigned")]);
        let mut catalog = builder.build();
        let generation = self.script.state().generation;
        let alice = User {
            generation,
            ..User::named("alice")
        };
        catalog.put_user(alice, Some(password));
        Arc::new(catalog)
    }

    fn schema_version(&self) -> u64 {
        7 + self.script.state().generation
    }

    fn view(&self) -> Option<Arc<dyn ReadView>> {
        Some(self.script.view())
    }
}
