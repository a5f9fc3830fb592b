//! The engine as Tx drives it, over a journal in a directory of its own.

mod access;
#[cfg(feature = "collations")]
mod collations;
mod damage;
mod ddl;
mod descending;
mod faults;
mod foreign_keys;
mod index_kinds;
mod memory_bound;
mod model;
#[cfg(not(feature = "collations"))]
mod no_collations;
mod paging;
mod part_paths;
mod part_paths_model;
mod recovery;
mod requests;
mod rows;
mod schema;
mod secondary;
mod secondary_model;
mod statistics;
mod temporary;
mod transactions;
mod view;

use std::fs;
use std::sync::Arc;

use proptest::test_runner::Config as ProptestConfig;
use serde::Serialize;
use vestibule_actors::PeerAddress;
use vestibule_actors::catalog::User;
use vestibule_actors::engine::{
    Caller, Detached, Engine, Fault, Outcome, Reply, Request, TransactionId,
};
use vestibule_actors::procedures::ProcedureCall;
use vestibule_wire::Error;
use vestibule_wire::msgpack::Reader;
use vestibule_wire::request::{After, Body, Delete, IdOrName, Select, Store, Update, Upsert};

use crate::durability::storage::Storage;
use crate::engine::EmbeddedEngine;
use crate::options::JournalSync;
use crate::print::Printed;
use crate::testing::new_directory;
use crate::testing::test_disk::TestDisk;
use crate::{EngineOptions, procedures};

/// An engine and the directory of its journal, which is removed in the end.
pub(crate) struct Rig {
    pub(crate) engine: EmbeddedEngine,
    pub(crate) options: EngineOptions,
    /// What an engine that opens the directory again writes to.
    pub(crate) storage: Arc<dyn Storage>,
    /// What the first engine writes to, to let it fail.
    pub(crate) disk: TestDisk,
    pub(crate) caller: Caller,
    /// The transaction that requests are executed in.
    pub(crate) inside: Option<TransactionId>,
    /// Nobody waits for what procedures do.
    pub(crate) is_given_up: bool,
}

pub(crate) const SPACE: u32 = 512;

/// MessagePack of a value; tuples become arrays.
pub(crate) fn pack(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap()
}

/// What stands under the only key of a body, printed.
pub(crate) fn printed(body: &[u8]) -> String {
    let mut reader = Reader::new(body);
    assert_eq!(reader.read_map_len(), Ok(1));
    reader.skip().unwrap();
    Printed(reader.rest()).to_string()
}

pub(crate) fn by(key: &[u8]) -> Select<'_> {
    Select {
        space: IdOrName::Id(SPACE),
        index: IdOrName::Id(0),
        limit: u64::from(u32::MAX),
        offset: 0,
        iterator: 0,
        key,
        fetch_position: false,
        after: After::Start,
    }
}

pub(crate) fn store(tuple: &[u8]) -> Store<'_> {
    Store {
        space: IdOrName::Id(SPACE),
        tuple,
    }
}

/// An engine that has recovered.
fn recovered(options: &EngineOptions, storage: &Arc<dyn Storage>) -> Result<EmbeddedEngine, Fault> {
    let mut engine = EmbeddedEngine::with_storage(options.clone(), storage.clone());
    engine.recover(&mut |_| ())?;
    Ok(engine)
}

/// Cases of a random test: `by_default`, or `PROPTEST_CASES`.
pub(crate) fn cases(by_default: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let cases = asked.and_then(|text| text.parse().ok());
    ProptestConfig::with_cases(cases.unwrap_or(by_default))
}

impl Rig {
    /// An engine without spaces.
    pub(crate) fn new() -> Self {
        let options = EngineOptions {
            journal_sync: JournalSync::Never,
            ..EngineOptions::new(new_directory())
        };
        let disk = TestDisk::default();
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let engine = recovered(&options, &storage).unwrap();
        let caller = Caller {
            peer: PeerAddress::Local,
            connection: 1,
            user: engine.catalog().user("admin").unwrap().0,
            is_administrator: true,
        };
        Self {
            engine,
            options,
            storage,
            disk,
            caller,
            inside: None,
            is_given_up: false,
        }
    }

    /// An engine with the space `s`, number 512, whose index `pk` has these parts.
    pub(crate) fn with_space(parts: &[(u32, &str)]) -> Self {
        let mut rig = Self::new();
        assert_eq!(
            rig.call("box.schema.space.create", &("s",)),
            "[{\"id\": 512, \"name\": \"s\"}]"
        );
        let options = std::collections::BTreeMap::from([("parts", parts)]);
        let index = rig.call("box.space.s:create_index", &("pk", options));
        assert!(index.starts_with("[{\"id\": 0"), "{index}");
        rig
    }

    /// The user of this name, as a login finds it.
    pub(crate) fn user(&self, name: &str) -> User {
        self.engine.catalog().user(name).unwrap().0
    }

    /// The same directory, recovered by another engine.
    pub(crate) fn reopen(&mut self) {
        self.try_reopen().unwrap();
    }

    /// The same; if that fails, there is no engine with this directory.
    pub(crate) fn try_reopen(&mut self) -> Result<(), Fault> {
        self.close();
        self.engine = recovered(&self.options, &self.storage)?;
        Ok(())
    }

    /// Lets go of the directory.
    pub(crate) fn close(&mut self) {
        self.engine = EmbeddedEngine::new(EngineOptions::new(new_directory()));
    }

    /// Executes inside the turn, committing before it if that is asked for.
    pub(crate) fn raw(&mut self, body: Body<'_>) -> Result<Vec<u8>, Error> {
        for _ in 0..2 {
            let mut out = Vec::new();
            let request = Request {
                body,
                caller: &self.caller,
                stream: 0,
                transaction: self.inside,
            };
            let mut context = Detached::default();
            let mut reply = Reply::detached(&mut out, &mut context);
            match self.engine.execute(&request, &mut reply)? {
                Outcome::Done => return Ok(out),
                Outcome::CommitFirst => self.engine.commit()?,
                Outcome::Deferred => panic!("the engine never defers"),
            }
        }
        panic!("a fresh turn was not enough");
    }

    /// Executes inside the turn; the result or `code: text`.
    pub(crate) fn run(&mut self, body: Body<'_>) -> String {
        self.raw(body)
            .map_or_else(|error| told(&error), |body| printed(&body))
    }

    /// Calls a procedure and commits; its results or `code: text`.
    pub(crate) fn call(&mut self, name: &str, args: &(impl Serialize + ?Sized)) -> String {
        let result = self.try_call(name, &pack(args));
        self.engine.commit().unwrap();
        result.map_or_else(|error| told(&error), |body| printed(&body))
    }

    pub(crate) fn try_call(&mut self, name: &str, args: &[u8]) -> Result<Vec<u8>, Error> {
        for _ in 0..2 {
            let mut out = Vec::new();
            let mut context = if self.is_given_up {
                Detached::cancelled()
            } else {
                Detached::default()
            };
            let mut call = ProcedureCall {
                engine: &mut self.engine,
                name,
                args,
                caller: &self.caller,
                stream: 0,
                transaction: self.inside,
                reply: Reply::detached(&mut out, &mut context),
            };
            match procedures::invoke(&mut call)? {
                Outcome::Done => return Ok(out),
                Outcome::CommitFirst => self.engine.commit()?,
                Outcome::Deferred => panic!("none of these procedures defers"),
            }
        }
        panic!("a fresh turn was not enough");
    }

    pub(crate) fn insert(&mut self, tuple: &impl Serialize) -> String {
        self.run(Body::Insert(store(&pack(tuple))))
    }

    pub(crate) fn replace(&mut self, tuple: &impl Serialize) -> String {
        self.run(Body::Replace(store(&pack(tuple))))
    }

    pub(crate) fn delete(&mut self, key: &impl Serialize) -> String {
        let (space, index) = (IdOrName::Id(SPACE), IdOrName::Id(0));
        self.run(Body::Delete(Delete {
            space,
            index,
            key: &pack(key),
        }))
    }

    pub(crate) fn update(&mut self, key: &impl Serialize, ops: &impl Serialize) -> String {
        let (space, index) = (IdOrName::Id(SPACE), IdOrName::Id(0));
        let (key, ops) = (pack(key), pack(ops));
        self.run(Body::Update(Update {
            space,
            index,
            key: &key,
            ops: &ops,
            index_base: 0,
        }))
    }

    pub(crate) fn upsert(&mut self, tuple: &impl Serialize, ops: &impl Serialize) -> String {
        let (tuple, ops) = (pack(tuple), pack(ops));
        let space = IdOrName::Id(SPACE);
        self.run(Body::Upsert(Upsert {
            space,
            tuple: &tuple,
            ops: &ops,
            index_base: 0,
        }))
    }

    pub(crate) fn select(&mut self, iterator: u64, key: &impl Serialize) -> String {
        self.run(Body::Select(Select {
            iterator,
            ..by(&pack(key))
        }))
    }

    pub(crate) fn all(&mut self) -> String {
        self.run(Body::Select(by(&[0x90])))
    }

    pub(crate) fn commit(&mut self) {
        self.engine.commit().unwrap();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.options.data_dir);
    }
}

fn told(error: &Error) -> String {
    format!("{}: {}", error.code().0, error.message())
}

/// No arguments.
pub(crate) const NONE: [u8; 0] = [];
