//! What a transaction may change is bounded by what it takes. Alone in its process: what the
//! process takes is measured.

use std::fs;

use vestibule_actors::PeerAddress;
use vestibule_actors::engine::{Caller, Detached, Engine, Outcome, Reply, Request, TransactionId};
use vestibule_engine::limits::TRANSACTION_BYTES_MAX;
use vestibule_engine::{EmbeddedEngine, EngineOptions, JournalSync};
use vestibule_wire::request::{Begin, Body, IdOrName, Store};

const SPACE: u32 = 512;
const INDEXES: u64 = 20;

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.map_or(0, |pages: usize| pages * 4096)
}

struct Rig {
    engine: EmbeddedEngine,
    caller: Caller,
    transaction: Option<TransactionId>,
}

impl Rig {
    fn insert(&mut self, space: u32, tuple: &impl serde::Serialize) -> Result<(), u16> {
        let tuple = rmp_serde::to_vec_named(tuple).unwrap();
        let (space, tuple) = (IdOrName::Id(space), &*tuple);
        for _ in 0..2 {
            let request = Request {
                body: Body::Insert(Store { space, tuple }),
                caller: &self.caller,
                stream: 0,
                transaction: self.transaction,
            };
            let (mut out, mut context) = (Vec::new(), Detached::default());
            let mut reply = Reply::detached(&mut out, &mut context);
            match self.engine.execute(&request, &mut reply) {
                Ok(Outcome::CommitFirst) => self.engine.commit().unwrap(),
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.code().0),
            }
        }
        panic!("a fresh turn was not enough");
    }
}

/// One long field in many indexes: their keys are nearly all that it takes.
#[test]
fn a_transaction_takes_about_what_it_is_bounded_to() {
    let directory = std::env::temp_dir().join(format!("vestibule-memory-{}", std::process::id()));
    let options = EngineOptions::new(directory.clone()).journal_sync(JournalSync::Never);
    let mut engine = EmbeddedEngine::new(options);
    engine.recover(&mut |_| ()).unwrap();
    let caller = Caller {
        peer: PeerAddress::Local,
        connection: 1,
        user: engine.catalog().user("admin").unwrap().0,
        is_administrator: true,
    };
    let mut rig = Rig {
        engine,
        caller,
        transaction: None,
    };
    let none = std::collections::BTreeMap::<String, bool>::new();
    let nothing: [u8; 0] = [];
    let space = (SPACE, 1, "s", "memtx", 0, &none, nothing);
    rig.insert(280, &space).unwrap();
    for number in 0..=INDEXES {
        let is_unique = std::collections::BTreeMap::from([("unique", number == 0)]);
        let part = if number == 0 {
            (0, "unsigned")
        } else {
            (1, "string")
        };
        let row = (
            SPACE,
            number,
            format!("i{number}"),
            "tree",
            is_unique,
            [part],
        );
        rig.insert(288, &row).unwrap();
    }
    rig.engine.commit().unwrap();
    let id = TransactionId(1);
    let begin = Begin {
        timeout: None,
        isolation: 0,
    };
    rig.engine.begin(id, &begin, &rig.caller).unwrap();
    rig.transaction = Some(id);
    let long = "x".repeat(2000);
    let before = resident_bytes();
    let refused = (0u64..).find_map(|key| {
        let row = (key, format!("{key:08}{long}"));
        rig.insert(SPACE, &row).err().map(|code| (key, code))
    });
    let taken = resident_bytes() - before;
    let (rows, code) = refused.unwrap();
    assert_eq!(code, 2);
    assert!(
        (TRANSACTION_BYTES_MAX * 3 / 4..TRANSACTION_BYTES_MAX * 5 / 4).contains(&taken),
        "{rows} rows took {taken} bytes"
    );
    // It is all given back, to be used again.
    rig.engine.rollback_transaction(id);
    rig.engine.begin(id, &begin, &rig.caller).unwrap();
    rig.insert(SPACE, &(0, "short")).unwrap();
    rig.engine.commit_transaction(id).unwrap();
    rig.engine.commit().unwrap();
    drop(rig);
    fs::remove_dir_all(directory).unwrap();
}
