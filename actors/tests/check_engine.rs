//! `testing::check_engine` lets engines pass that keep the contract, and says what is wrong with
//! the others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use vestibule_actors::catalog::{Catalog, CatalogBuilder};
use vestibule_actors::engine::tuples::{Changes, KeyDef, OrderedRows, TupleTable};
use vestibule_actors::engine::{
    Caller, Engine, Fault, Outcome, ReadView, RefusedBy, Reply, ReplyBody, Request, Scan,
    TransactionId, ViewStep,
};
use vestibule_actors::testing::{EngineCheck, Script, check_engine};
use vestibule_actors::wire::request::{Begin, Body, IdOrName, Select};
use vestibule_actors::wire::{Error, ErrorCode};

#[test]
fn the_scripted_engine_keeps_the_contract() {
    let script = Script::default();
    let own = script.clone();
    EngineCheck::of(move || Ok(own.engine()))
        .with_failing_commits(move |fail| script.fail_commits(fail))
        .run();
}

/// What is wrong with an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    KeepsDiscardedTurns,
    KeepsFailedTurns,
    ShowsTurns,
    ShowsNothing,
    SharesTransactions,
    KeepsRolledBack,
    LosesTransactions,
    ForgetsTurnsOnErrors,
    TakesAnything,
    MovesTheSchemaVersion,
    ChangesOnReplicas,
    RefusesWithoutReason,
    LosesEverything,
    HasNoSpace,
}

#[derive(Clone, Default)]
struct Disk {
    rows: Arc<RwLock<TupleTable>>,
    fails: Arc<Mutex<bool>>,
}

struct Flawed {
    flaw: Flaw,
    disk: Disk,
    by_name: KeyDef,
    turn: Changes,
    transaction: Option<(TransactionId, Changes)>,
    version: u64,
    is_read_only: bool,
}

impl Flawed {
    fn new(flaw: Flaw, disk: &Disk) -> Self {
        let disk = match flaw {
            Flaw::LosesEverything => Disk {
                fails: disk.fails.clone(),
                ..Disk::default()
            },
            _ => disk.clone(),
        };
        Self {
            flaw,
            disk,
            by_name: KeyDef::new(&[(1, "string")]),
            turn: Changes::new(),
            transaction: None,
            version: 1,
            is_read_only: false,
        }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn check(&self, space: IdOrName<'_>) -> Result<(), Error> {
        match space {
            IdOrName::Id(600) => Ok(()),
            _ if self.is(Flaw::TakesAnything) => Ok(()),
            _ => Err(Error::no_such_space("of another number")),
        }
    }

    fn apply(&mut self, turn: Changes) {
        let mut rows = self
            .disk
            .rows
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for (key, row) in turn {
            if let Some(row) = row {
                rows.insert(key, row);
            }
        }
    }
}

impl Engine for Flawed {
    fn execute(&mut self, request: &Request<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        let outcome = self.try_execute(request, reply);
        if outcome.is_err() && self.is(Flaw::ForgetsTurnsOnErrors) {
            self.turn.clear();
        }
        outcome
    }

    fn commit(&mut self) -> Result<(), Error> {
        if *self
            .disk
            .fails
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
        {
            if !self.is(Flaw::KeepsFailedTurns) {
                self.turn.clear();
            }
            return Err(Error::wal_io());
        }
        let turn = std::mem::take(&mut self.turn);
        if !self.is(Flaw::ShowsNothing) {
            self.apply(turn);
        }
        self.version += u64::from(self.is(Flaw::MovesTheSchemaVersion));
        Ok(())
    }

    fn discard_turn(&mut self) -> Result<(), Fault> {
        if !self.is(Flaw::KeepsDiscardedTurns) {
            self.turn.clear();
        }
        Ok(())
    }

    fn begin(&mut self, id: TransactionId, _: &Begin, _: &Caller) -> Result<(), Error> {
        self.transaction = Some((id, Changes::new()));
        Ok(())
    }

    fn commit_transaction(&mut self, _: TransactionId) -> Result<(), Error> {
        let own = self
            .transaction
            .take()
            .filter(|_| !self.is(Flaw::LosesTransactions));
        self.turn.extend(own.into_iter().flat_map(|own| own.1));
        Ok(())
    }

    fn rollback_transaction(&mut self, _: TransactionId) {
        let own = self.transaction.take();
        if let Some((_, changes)) = own.filter(|_| self.is(Flaw::KeepsRolledBack)) {
            self.turn.extend(changes);
        }
    }

    fn catalog(&self) -> Arc<Catalog> {
        if self.is(Flaw::HasNoSpace) {
            return Arc::default();
        }
        let format = [("size", "unsigned"), ("name", "string"), ("tags", "map")];
        let builder = CatalogBuilder::new().space_with_format(600, "flawed", &format);
        Arc::new(builder.index(600, 0, "name", &[(1, "string")]).build())
    }

    fn schema_version(&self) -> u64 {
        self.version
    }

    fn set_read_only(&mut self, read_only: bool) -> RefusedBy {
        self.is_read_only = read_only && !self.is(Flaw::ChangesOnReplicas);
        RefusedBy::Engine
    }

    fn view(&self) -> Option<Arc<dyn ReadView>> {
        Some(Arc::new(View(self.disk.clone(), self.by_name.clone())))
    }
}

impl Flawed {
    fn try_execute(
        &mut self,
        request: &Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<Outcome, Error> {
        match request.body {
            Body::Replace(_) if self.is_read_only && self.is(Flaw::RefusesWithoutReason) => {
                return Err(Error::new(ErrorCode::PROC, "not now"));
            }
            Body::Replace(_) if self.is_read_only => {
                return Err(Error::read_only("config", "it is a replica"));
            }
            Body::Replace(store) => {
                self.check(store.space)?;
                let key = match self.by_name.of(store.tuple) {
                    Err(_) if self.is(Flaw::TakesAnything) => return Ok(Outcome::Done),
                    key => key?,
                };
                let change = (key, Some(store.tuple.into()));
                let is_own = request.transaction.is_some() && !self.is(Flaw::SharesTransactions);
                let shows = self.is(Flaw::ShowsTurns);
                match &mut self.transaction {
                    Some((_, own)) if is_own => own.extend([change]),
                    _ if shows => self.apply(Changes::from([change])),
                    _ => self.turn.extend([change]),
                }
            }
            Body::Select(select) => {
                self.check(select.space)?;
                let rows = self
                    .disk
                    .rows
                    .read()
                    .unwrap_or_else(PoisonError::into_inner);
                let mut seen = OrderedRows::of(&rows).under(&self.turn);
                let own = self
                    .transaction
                    .as_ref()
                    .filter(|_| request.transaction.is_some());
                if let Some((_, own)) = own {
                    seen = seen.under(own);
                }
                seen.select(&self.by_name, &select, reply.body())?;
            }
            _ => return Err(Error::new(ErrorCode::UNSUPPORTED, "only what is checked")),
        }
        Ok(Outcome::Done)
    }
}

struct View(Disk, KeyDef);

impl ReadView for View {
    fn select(
        &self,
        select: &Select<'_>,
        _: &Caller,
        scan: &mut Scan,
        body: &mut ReplyBody<'_>,
    ) -> Result<ViewStep, Error> {
        if select.space != IdOrName::Id(600) {
            return Err(Error::no_such_space("of another number"));
        }
        let rows = self.0.rows.read().unwrap_or_else(PoisonError::into_inner);
        OrderedRows::of(&rows).step(&self.1, select, scan, body)
    }
}

/// What is told of an engine with a flaw; nothing if it passes.
fn told(flaw: Flaw) -> String {
    let disk = Disk::default();
    let fails = disk.fails.clone();
    let check = EngineCheck::of(move || Ok(Flawed::new(flaw, &disk)));
    let fail = move |fail| *fails.lock().unwrap_or_else(PoisonError::into_inner) = fail;
    let check = check.with_failing_commits(fail);
    let run = catch_unwind(AssertUnwindSafe(|| check.run()));
    let Err(panic) = run else {
        return String::new();
    };
    let text = panic.downcast_ref::<String>();
    text.expect("a rule is told").clone()
}

#[test]
fn an_engine_without_a_flaw_passes() {
    assert_eq!(told(Flaw::None), "");
    let disk = Disk::default();
    // Once more, on what the first check has left there.
    for _ in 0..2 {
        let disk = disk.clone();
        check_engine(move || Ok(Flawed::new(Flaw::None, &disk)));
    }
}

#[test]
fn each_flaw_is_told_by_the_rule_that_it_breaks() {
    let flaws = [
        (Flaw::KeepsDiscardedTurns, "discard_turn() forgets"),
        (Flaw::KeepsFailedTurns, "when commit() fails"),
        (Flaw::ShowsTurns, "the view shows nothing of a turn before"),
        (Flaw::ShowsNothing, "what was committed is seen"),
        (Flaw::SharesTransactions, "nobody else sees what an open"),
        (Flaw::KeepsRolledBack, "rollback_transaction() forgets"),
        (Flaw::LosesTransactions, "commit_transaction() makes"),
        (
            Flaw::ForgetsTurnsOnErrors,
            "a request that fails takes nothing",
        ),
        (Flaw::TakesAnything, "what makes no sense is refused"),
        (
            Flaw::MovesTheSchemaVersion,
            "the schema version changes with",
        ),
        (
            Flaw::ChangesOnReplicas,
            "an engine whose set_read_only() says",
        ),
        (
            Flaw::RefusesWithoutReason,
            "an engine whose set_read_only() says",
        ),
        (
            Flaw::LosesEverything,
            "an engine that is made after another one has what",
        ),
        (Flaw::HasNoSpace, "the catalog has a space"),
    ];
    for (flaw, rule) in flaws {
        let told = told(flaw);
        let rest = told
            .strip_prefix("the engine breaks a rule: ")
            .unwrap_or(&told);
        assert!(rest.starts_with(rule), "{flaw:?}: {told:?}");
        assert!(told.contains("what was seen: "), "{told}");
    }
}

#[test]
fn an_engine_may_say_that_it_keeps_nothing() {
    let disk = Disk::default();
    EngineCheck::of(move || Ok(Flawed::new(Flaw::LosesEverything, &disk)))
        .that_keeps_nothing()
        .in_space(600)
        .run();
}
