//! An engine of your own with a journal, transactions and a read view: accounts that money moves
//! between.
//!
//! Run it: `cargo run --release --example own_engine` (`-- 127.0.0.1:4000` listens there, a second
//! argument is the journal's file), then talk to it with any Tarantool connector, e.g.
//!
//! ```text
//! python3 -c "import tarantool; c = tarantool.connect('127.0.0.1', 3304)
//! c.replace('accounts', (1, 'ann', 100)); print(c.select('accounts', 1))"
//! ```
//!
//! `testing::check_engine` says whether it keeps the contract of engines: see `tests/examples.rs`.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use vestibule_actors::catalog::{Catalog, CatalogBuilder};
use vestibule_actors::engine::tuples::{Changes, Key, KeyDef, OrderedRows, Tuple, TupleTable};
use vestibule_actors::engine::{
    Caller, Engine, Fault, Outcome, Progress, ReadView, Reply, ReplyBody, Request, Scan,
    TransactionId, ViewStep,
};
use vestibule_actors::wire::request::{Begin, Body, IdOrName, Select};
use vestibule_actors::wire::{Error, ErrorCode};
use vestibule_actors::{Config, Procedures, start};
use vestibule_engine::update::update_tuple;

const SPACE: u32 = 512;
const NAME: &str = "accounts";

/// What is durable, read by sessions on their own threads as well.
#[derive(Default)]
struct Committed {
    rows: TupleTable,
    /// Grows with every commit.
    version: u64,
}

/// The engine.
pub(crate) struct Accounts {
    path: PathBuf,
    /// Open once the engine has recovered.
    journal: Option<File>,
    by_id: KeyDef,
    committed: Arc<RwLock<Committed>>,
    /// What this turn has changed.
    turn: Changes,
    transactions: HashMap<TransactionId, Transaction>,
}

#[derive(Default)]
struct Transaction {
    changes: Changes,
    /// The rows that it changes, as they were before.
    before: Changes,
}

impl Accounts {
    /// With a journal in this file, which is made if it is not there.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            journal: None,
            by_id: KeyDef::new(&[(0, "unsigned")]),
            committed: Arc::default(),
            turn: Changes::new(),
            transactions: HashMap::new(),
        }
    }

    /// Changes one row, in the turn or in a transaction.
    fn put(&mut self, within: Option<TransactionId>, key: Key, row: Option<Tuple>) {
        let Some(within) = within else {
            self.turn.insert(key, row);
            return;
        };
        let before = {
            let committed = read(&self.committed);
            OrderedRows::of(&committed.rows)
                .under(&self.turn)
                .get(&key)
                .cloned()
        };
        let own = self.transactions.entry(within).or_default();
        own.before.entry(key.clone()).or_insert(before);
        own.changes.insert(key, row);
    }

    /// Does something with the rows as a request sees them.
    fn look<R>(&self, within: Option<TransactionId>, look: impl FnOnce(OrderedRows<'_>) -> R) -> R {
        let committed = read(&self.committed);
        let rows = OrderedRows::of(&committed.rows).under(&self.turn);
        match within.and_then(|own| self.transactions.get(&own)) {
            Some(own) => look(rows.under(&own.changes)),
            None => look(rows),
        }
    }

    /// What becomes of a row by a request that writes: its key, and the tuple that is to be there.
    fn change(&self, request: &Request<'_>) -> Result<(Key, Option<Tuple>, Option<Tuple>), Error> {
        let find = |key: &Key| self.look(request.transaction, |rows| rows.get(key).cloned());
        match &request.body {
            Body::Replace(store) | Body::Insert(store) => {
                check_space(store.space)?;
                let key = self.by_id.of(store.tuple)?;
                if matches!(request.body, Body::Insert(_)) && find(&key).is_some() {
                    let text = "Duplicate key exists in unique index 'id' in space 'accounts'";
                    return Err(Error::new(ErrorCode::TUPLE_FOUND, text));
                }
                let row: Tuple = store.tuple.into();
                Ok((key, Some(row.clone()), Some(row)))
            }
            Body::Update(update) => {
                check_space(update.space)?;
                let key = self.by_id.read_whole(update.key)?;
                let Some(old) = find(&key) else {
                    return Ok((key, None, None));
                };
                let new = update_tuple(&old, update.ops, update.index_base)?;
                if self.by_id.of(&new)? != key {
                    let text = "Attempt to modify a tuple field which is part of index 'id'";
                    return Err(Error::new(ErrorCode::CANT_UPDATE_PRIMARY_KEY, text));
                }
                let new: Tuple = new.into();
                Ok((key, Some(new.clone()), Some(new)))
            }
            Body::Delete(delete) => {
                check_space(delete.space)?;
                let key = self.by_id.read_whole(delete.key)?;
                let old = find(&key);
                Ok((key, None, old))
            }
            _ => Err(Error::unsupported("This engine", "this request")),
        }
    }

    /// Appends the turn to the journal: one record of the keys and the rows that are there now.
    fn write(&mut self) -> io::Result<()> {
        let changes = self.turn.iter();
        let changes: Vec<_> = changes
            .map(|(key, row)| (key.to_msgpack(), row.as_deref()))
            .collect();
        let record = rmp_serde::to_vec(&changes).map_err(io::Error::other)?;
        let journal = self.journal.as_mut();
        let journal = journal.ok_or_else(|| io::Error::other("the journal is not open"))?;
        let end = journal.metadata()?.len();
        let written = journal
            .write_all(&record)
            .and_then(|()| journal.sync_data());
        // What is left of it would come back with the next start: nothing may be written behind it.
        if written.is_err() && journal.set_len(end).is_err() {
            self.journal = None;
        }
        written
    }
}

impl Engine for Accounts {
    fn recover(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), Fault> {
        let mut options = OpenOptions::new();
        let journal = options
            .create(true)
            .read(true)
            .append(true)
            .open(&self.path)?;
        let bytes = std::fs::read(&self.path)?;
        let (mut rest, mut rows, mut good) = (&bytes[..], TupleTable::new(), 0);
        // The last record may be torn: nobody was told that it was written.
        while let Ok(record) = rmp_serde::from_read::<_, Vec<(Vec<u8>, Option<Vec<u8>>)>>(&mut rest)
        {
            for (key, row) in record {
                let key = self.by_id.read(&key)?;
                match row {
                    Some(row) => drop(rows.insert(key, row.into())),
                    None => drop(rows.remove(&key)),
                }
            }
            good = bytes.len() - rest.len();
            progress(Progress::of(good as u64, bytes.len() as u64));
        }
        journal.set_len(good as u64)?;
        self.journal = Some(journal);
        self.committed
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .rows = rows;
        Ok(())
    }

    fn execute(&mut self, request: &Request<'_>, reply: &mut Reply<'_>) -> Result<Outcome, Error> {
        if let Body::Select(select) = &request.body {
            check_space(select.space)?;
            self.look(request.transaction, |rows| {
                rows.select(&self.by_id, select, reply.body())
            })?;
            return Ok(Outcome::Done);
        }
        let (key, row, told) = self.change(request)?;
        let is_update_of_nothing = matches!(request.body, Body::Update(_)) && row.is_none();
        if !is_update_of_nothing {
            self.put(request.transaction, key, row);
        }
        let mut rows = reply.rows();
        if let Some(told) = told {
            rows.push(&told);
        }
        rows.finish(None);
        Ok(Outcome::Done)
    }

    fn commit(&mut self) -> Result<(), Error> {
        if self.turn.is_empty() {
            return Ok(());
        }
        let written = self.write();
        let turn = std::mem::take(&mut self.turn);
        written.map_err(|_| Error::wal_io())?;
        let mut committed = self
            .committed
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for (key, row) in turn {
            match row {
                Some(row) => drop(committed.rows.insert(key, row)),
                None => drop(committed.rows.remove(&key)),
            }
        }
        committed.version += 1;
        Ok(())
    }

    fn discard_turn(&mut self) -> Result<(), Fault> {
        self.turn.clear();
        Ok(())
    }

    fn begin(&mut self, id: TransactionId, _: &Begin, _: &Caller) -> Result<(), Error> {
        self.transactions.insert(id, Transaction::default());
        Ok(())
    }

    /// The first to commit wins: what the transaction changes has to be as it was.
    fn commit_transaction(&mut self, id: TransactionId) -> Result<(), Error> {
        let Some(own) = self.transactions.remove(&id) else {
            return Ok(());
        };
        let is_same = |(key, before): (&Key, &Option<Tuple>)| {
            self.look(None, |rows| rows.get(key) == before.as_ref())
        };
        if !own.before.iter().all(is_same) {
            let text = "Transaction has been aborted by conflict";
            return Err(Error::new(ErrorCode::TRANSACTION_CONFLICT, text));
        }
        self.turn.extend(own.changes);
        Ok(())
    }

    fn rollback_transaction(&mut self, id: TransactionId) {
        self.transactions.remove(&id);
    }

    fn catalog(&self) -> Arc<Catalog> {
        let format = [
            ("id", "unsigned"),
            ("owner", "string"),
            ("balance", "integer"),
        ];
        let builder = CatalogBuilder::new().space_with_format(SPACE, NAME, &format);
        Arc::new(builder.index(SPACE, 0, "id", &[(0, "unsigned")]).build())
    }

    fn view(&self) -> Option<Arc<dyn ReadView>> {
        Some(Arc::new(AccountsView {
            committed: self.committed.clone(),
            by_id: self.by_id.clone(),
        }))
    }
}

/// What sessions read while Tx is busy.
struct AccountsView {
    committed: Arc<RwLock<Committed>>,
    by_id: KeyDef,
}

impl ReadView for AccountsView {
    fn select(
        &self,
        select: &Select<'_>,
        _caller: &Caller,
        scan: &mut Scan,
        body: &mut ReplyBody<'_>,
    ) -> Result<ViewStep, Error> {
        check_space(select.space)?;
        // For one step only, so that Tx never waits for long.
        let committed = read(&self.committed);
        let held = scan.held.get_or_insert_with(|| Box::new(committed.version));
        if held.downcast_ref() != Some(&committed.version) {
            return Ok(ViewStep::Changed);
        }
        OrderedRows::of(&committed.rows).step(&self.by_id, select, scan, body)
    }
}

fn read(committed: &RwLock<Committed>) -> RwLockReadGuard<'_, Committed> {
    committed.read().unwrap_or_else(PoisonError::into_inner)
}

fn check_space(space: IdOrName<'_>) -> Result<(), Error> {
    match space {
        IdOrName::Id(SPACE) | IdOrName::Name(NAME) => Ok(()),
        IdOrName::Id(other) => Err(Error::no_such_space(other)),
        IdOrName::Name(other) => Err(Error::no_such_space(other)),
    }
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next();
    let address = address.as_deref().unwrap_or("127.0.0.1:3304");
    let address = address.parse().map_err(io::Error::other)?;
    let path = PathBuf::from(
        arguments
            .next()
            .unwrap_or_else(|| "accounts.journal".to_owned()),
    );
    actix_rt::System::new().block_on(async {
        let config = Config::default().listen(vec![address]);
        // Called on Tx's thread, and again if Tx has to be replaced.
        let make = move || Ok(Accounts::new(&path));
        let runtime = start(config, make, Procedures::default())?;
        println!("accounts on {:?}; Ctrl-C stops", runtime.addresses());
        let report = runtime.serve_until_signal().await?;
        println!("stopped after {:?}", report.took);
        Ok(())
    })
}
