//! Data as Rust types, in procedures and in work of the embedder.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use vestibule_actors::catalog::GUEST;
use vestibule_actors::testing::{RequestBuilder, TestServer, block_on, config};
use vestibule_actors::wire::keys::RequestType;
use vestibule_actors::wire::request::IteratorType;
use vestibule_actors::wire::{Error, ErrorCode};
use vestibule_actors::{EngineError, RuntimeHandle};
use vestibule_engine::limits::TRANSACTION_BYTES_MAX;
use vestibule_engine::testing::TestData;
use vestibule_engine::{CallData, Data, EmbeddedEngine, EngineOptions, GuestRights, procedures};

type Runtime = RuntimeHandle<EmbeddedEngine>;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    visits: Option<u64>,
}

fn user(id: u64, name: &str, visits: Option<u64>) -> User {
    let name = name.to_owned();
    User { id, name, visits }
}

/// A server over an empty directory, which is removed in the end.
struct Rig {
    server: Option<TestServer<EmbeddedEngine>>,
    directory: PathBuf,
}

impl Rig {
    fn new(name: &str, guest: GuestRights) -> Self {
        let directory = format!("vestibule-data-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        let options = EngineOptions::new(&directory).guest(guest);
        let procedures = procedures::standard()
            .with_engine("read", |call| {
                let (id,): (u64,) = call.parse()?;
                let found = call.data().space::<User>("users").get(&id)?;
                call.reply.value(&found.map(|user| user.name))
            })
            .with_engine("try", |call| {
                let (id,): (u64,) = call.parse()?;
                let mut data = call.data();
                insert(&mut data, id)?;
                let failed = data.atomic(|data| {
                    insert(data, id + 100)?;
                    insert(data, id)
                });
                call.reply.value(&failed.is_err())
            })
            .atomic("twice", |call| {
                let (id,): (u64,) = call.parse()?;
                let mut data = call.data();
                let mut users = data.space::<User>("users");
                users.insert(&user(id, "once", None))?;
                users.insert(&user(id, "twice", None))?;
                call.reply.value(&true)
            });
        let engine = move || Ok(EmbeddedEngine::new(options.clone()));
        let server = TestServer::with_config(config(), engine, procedures);
        let server = Some(server);
        Self { server, directory }
    }

    fn runtime(&self) -> &Runtime {
        self.server.as_ref().expect("it runs").handle()
    }

    fn create(&self) {
        create(self.runtime());
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.server.take());
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Makes the space, as `admin`.
fn create(runtime: &Runtime) {
    let admin = |name: &'static str, args: Vec<u8>| {
        block_on(runtime.call_raw("admin", name, args)).expect("it is created");
    };
    admin("box.schema.space.create", args(&("users",)));
    admin("box.space.users:create_index", args(&("primary",)));
}

fn args(values: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    vestibule_actors::wire::reply::write_serialized(&mut bytes, values).expect("it is MessagePack");
    bytes
}

fn write<R: Send + 'static>(
    runtime: &Runtime,
    work: impl FnOnce(&mut EmbeddedEngine) -> Result<R, Error> + Send + 'static,
) -> Result<R, EngineError> {
    block_on(runtime.write(work))
}

fn code<T>(result: Result<T, EngineError>) -> u16 {
    result.err().map_or(0, |error| error.error().code().0)
}

#[test]
fn work_of_the_embedder_reads_and_writes_tuples_as_types() {
    let rig = Rig::new("types", GuestRights::Granted);
    rig.create();
    let work = |engine: &mut EmbeddedEngine| {
        let mut data = engine.data();
        let mut users = data.space::<User>("users");
        assert_eq!(users.get(&1)?, None);
        let stored = users.insert(&user(1, "alice", Some(1)))?;
        assert_eq!(stored, user(1, "alice", Some(1)));
        users.replace(&(2, "bob", 5))?;
        users.upsert(&(2, "bob", 1), &[("+", 2, 1)])?;
        let changed = users.update(&(1,), &(("=", 1, "ann"), ("+", 2, 9)))?;
        assert_eq!(changed, Some(user(1, "ann", Some(10))));
        assert_eq!(users.update(&3, &[("+", 2, 1)])?, None);
        let all = users.select(IteratorType::All, &(), 10)?;
        assert_eq!(all, [user(1, "ann", Some(10)), user(2, "bob", Some(6))]);
        let from = users.select(IteratorType::Ge, &2, 10)?;
        assert_eq!(from, [user(2, "bob", Some(6))]);
        assert_eq!(users.delete(&2)?, Some(user(2, "bob", Some(6))));
        assert_eq!(users.delete(&2)?, None);
        Ok(())
    };
    assert_eq!(write(rig.runtime(), work), Ok(()));
    let names = block_on(rig.runtime().read(|engine| {
        let users = engine.reader().space::<(u64, String, u64)>("users");
        users.index("primary").get(&1)
    }));
    assert_eq!(names, Ok(Some((1, "ann".to_owned(), 10))));
}

#[test]
fn what_is_no_tuple_of_the_space_is_told_as_a_client_is() {
    let rig = Rig::new("errors", GuestRights::Granted);
    rig.create();
    let insert = |tuple: (u64, u64)| {
        write(rig.runtime(), move |engine| {
            let mut data = engine.data();
            data.space::<(u64, u64)>("users").insert(&tuple)
        })
    };
    assert_eq!(insert((1, 2)), Ok((1, 2)));
    assert_eq!(code(insert((1, 3))), 3);
    let get = |space: &'static str| {
        let read = |engine: &EmbeddedEngine| engine.reader().space::<(u64, String)>(space).get(&1);
        let data_read = |engine: &mut EmbeddedEngine| {
            let mut data = engine.data();
            data.space::<(u64, String)>(space).get(&1)
        };
        let told = code(block_on(rig.runtime().read(move |engine| read(engine))));
        assert_eq!(code(write(rig.runtime(), data_read)), told);
        told
    };
    assert_eq!(get("nothing"), 36);
    assert_eq!(get("users"), 32, "another type");
    // Definitions are for procedures.
    let system = write(rig.runtime(), |engine| {
        let mut data = engine.data();
        data.space::<(u64, u64)>("_space").delete(&512)
    });
    assert_eq!(code(system), 5);
    assert_eq!(insert((2, 2)), Ok((2, 2)));
}

#[test]
fn a_procedure_has_the_rights_of_its_caller() {
    let rig = Rig::new("rights", GuestRights::Granted);
    rig.create();
    let stored = write(rig.runtime(), |engine| {
        let mut data = engine.data();
        data.space::<User>("users").insert(&user(1, "alice", None))
    });
    assert!(stored.is_ok(), "{stored:?}");
    let read = |user: &str| block_on(rig.runtime().call::<_, (String,)>(user, "read", &(1,)));
    assert_eq!(read("admin"), Ok(("alice".to_owned(),)));
    assert_eq!(code(read(GUEST)), 42, "the call");
    let grant = args(&(GUEST, "execute", "universe"));
    let granted = rig
        .runtime()
        .call_raw("admin", "box.schema.user.grant", grant);
    block_on(granted).expect("it is granted");
    assert_eq!(code(read(GUEST)), 42, "the space");
    assert_eq!(read("admin"), Ok(("alice".to_owned(),)));
}

#[test]
fn an_atomic_procedure_works_in_its_transaction() {
    let rig = Rig::new("atomic", GuestRights::Granted);
    rig.create();
    let twice = rig.runtime().call::<_, (bool,)>("admin", "twice", &(1,));
    assert_eq!(code(block_on(twice)), 3);
    let found = rig
        .runtime()
        .call::<_, (Option<String>,)>("admin", "read", &(1,));
    assert_eq!(block_on(found), Ok((None,)), "what it had stored is undone");
}

/// Definitions that change are a turn of their own, whatever else comes.
#[test]
fn work_that_comes_with_a_change_of_definitions_sees_it_done() {
    let rig = Rig::new("definitions", GuestRights::Super);
    rig.create();
    for round in 0..20u64 {
        let runtime = rig.runtime();
        let dropped = runtime.call_raw("admin", "box.space.users:drop", vec![0x90]);
        let stores = runtime.write(move |engine| {
            let mut data = engine.data();
            data.space::<(u64,)>("users").replace(&(round,))
        });
        let of_round = (round,);
        let counts = runtime.call::<_, (Option<String>,)>("admin", "read", &of_round);
        let (dropped, stored, counted) = block_on(futures::future::join3(dropped, stores, counts));
        dropped.expect("it is dropped");
        assert_eq!(code(stored), 36);
        assert_eq!(code(counted), 36);
        rig.create();
    }
}

/// The numbers of all users.
fn ids(rig: &Rig) -> Vec<u64> {
    let all = block_on(rig.runtime().read(|engine| {
        let users = engine.reader().space::<User>("users");
        users.select(IteratorType::All, &(), 100)
    }));
    let all = all.expect("it reads");
    all.into_iter().map(|user| user.id).collect()
}

fn insert(data: &mut Data<'_>, id: u64) -> Result<(), Error> {
    let mut users = data.space::<User>("users");
    users.insert(&user(id, "x", None)).map(drop)
}

#[test]
fn work_that_is_atomic_is_done_all_or_not_at_all() {
    let rig = Rig::new("atomic", GuestRights::Granted);
    rig.create();
    // What comes before it in the turn stays.
    let failed = write(rig.runtime(), |engine| {
        let mut data = engine.data();
        insert(&mut data, 1)?;
        data.atomic(|data| {
            insert(data, 2)?;
            assert_eq!(
                data.space::<User>("users").get(&2)?,
                Some(user(2, "x", None))
            );
            insert(data, 1)
        })
    });
    assert_eq!(code(failed), ErrorCode::TUPLE_FOUND.0);
    assert_eq!(ids(&rig), [1]);
    let done = write(rig.runtime(), |engine| {
        engine.data().atomic(|data| {
            insert(data, 2)?;
            insert(data, 3)
        })
    });
    assert_eq!(done, Ok(()));
    assert_eq!(ids(&rig), [1, 2, 3]);
}

#[test]
fn inside_of_atomic_work_it_is_a_savepoint() {
    let rig = Rig::new("savepoint", GuestRights::Granted);
    rig.create();
    let done = write(rig.runtime(), |engine| {
        engine.data().atomic(|data| {
            insert(data, 1)?;
            let failed = data.atomic(|data| {
                data.space::<User>("users").delete(&1)?;
                insert(data, 2)?;
                let deeper = data.atomic(|data| insert(data, 3));
                assert_eq!(deeper, Ok(()));
                insert(data, 2)
            });
            assert!(failed.is_err());
            data.atomic(|data| insert(data, 4))
        })
    });
    assert_eq!(done, Ok(()));
    assert_eq!(ids(&rig), [1, 4]);
    // What fails outside takes what was done inside with it.
    let failed = write(rig.runtime(), |engine| {
        engine.data().atomic(|data| {
            data.atomic(|data| insert(data, 5))?;
            insert(data, 1)
        })
    });
    assert_eq!(code(failed), ErrorCode::TUPLE_FOUND.0);
    assert_eq!(ids(&rig), [1, 4]);
}

/// Three levels: what each comes to is decided by the one around it.
#[test]
fn what_succeeds_inside_of_what_fails_is_undone_with_it() {
    let rig = Rig::new("levels", GuestRights::Granted);
    rig.create();
    let done = write(rig.runtime(), |engine| {
        engine.data().atomic(|data| {
            insert(data, 1)?;
            let failed = data.atomic(|data| {
                data.space::<User>("users").delete(&1)?;
                data.atomic(|data| {
                    insert(data, 2)?;
                    data.atomic(|data| insert(data, 3))
                })?;
                assert!(data.space::<User>("users").get(&3)?.is_some());
                // It fails after all that it was made of has succeeded.
                insert(data, 2)
            });
            assert!(failed.is_err());
            data.atomic(|data| {
                let failed = data.atomic(|data| {
                    data.space::<User>("users").replace(&user(1, "y", None))?;
                    data.atomic(|data| insert(data, 4))?;
                    insert(data, 4)
                });
                assert!(failed.is_err());
                insert(data, 5)
            })
        })
    });
    assert_eq!(done, Ok(()));
    assert_eq!(ids(&rig), [1, 5]);
    let first = block_on(rig.runtime().read(|engine| {
        let users = engine.reader().space::<User>("users");
        users.get(&1)
    }));
    assert_eq!(first, Ok(Some(user(1, "x", None))), "as it was");
}

/// What is kept to be undone counts as what is changed: a savepoint is no way around the bound.
#[test]
fn what_savepoints_keep_is_bounded_with_what_their_transaction_changes() {
    let rig = Rig::new("bounded", GuestRights::Granted);
    rig.create();
    let large = "x".repeat(TRANSACTION_BYTES_MAX / 128);
    let stored = write(rig.runtime(), move |engine| {
        engine.data().atomic(|data| {
            let store = |data: &mut Data<'_>, id| {
                let mut users = data.space::<User>("users");
                users.replace(&user(id, &large, None)).map(drop)
            };
            // Many savepoints beside much that was changed before them take next to nothing.
            (1..=64).try_for_each(|id| store(data, id))?;
            (0..1000).try_for_each(|id| data.atomic(|data| insert(data, 100 + id)))?;
            // In one that stays, the same tuple again and again is kept as often.
            let refused = data.atomic(|data| (0..128).try_for_each(|_| store(data, 1)));
            assert_eq!(
                refused.map_err(|error| error.code()),
                Err(ErrorCode::MEMORY_ISSUE)
            );
            // It is given back with the savepoint.
            store(data, 65)
        })
    });
    assert_eq!(stored, Ok(()));
    assert_eq!(ids(&rig).len(), 100);
}

#[test]
fn in_a_clients_transaction_atomic_work_is_a_part_of_it() {
    let rig = Rig::new("part", GuestRights::Super);
    rig.create();
    let server = rig.server.as_ref().expect("it runs");
    let mut client = server.connect();
    let in_stream = |request: RequestBuilder| request.stream(1);
    let begin = in_stream(RequestBuilder::new(RequestType::Begin, 1));
    assert_eq!(client.ask(&begin).code, 0);
    let call = |sync, id: u64| in_stream(RequestBuilder::call(sync, "try", &args(&(id,))));
    for (sync, id) in [(2, 1), (3, 2)] {
        assert_eq!(client.ask(&call(sync, id)).code, 0);
    }
    assert!(ids(&rig).is_empty(), "nobody sees it before its COMMIT");
    let commit = in_stream(RequestBuilder::new(RequestType::Commit, 4));
    assert_eq!(client.ask(&commit).code, 0);
    assert_eq!(ids(&rig), [1, 2]);
}

#[test]
fn a_replica_refuses_work_that_changes_something_and_reads_on() {
    let rig = Rig::new("replica", GuestRights::Super);
    rig.create();
    let server = rig.server.as_ref().expect("it runs");
    assert!(server.demote(Duration::ZERO).transition.is_some());
    for (name, told) in [("try", 7), ("twice", 7), ("read", 0)] {
        let called = block_on(server.handle().call_raw("admin", name, args(&(1,))));
        let is_refused = called.as_ref().is_err_and(EngineError::is_without_effect);
        assert_eq!((code(called), is_refused), (told, told != 0), "{name}");
    }
    let written = write(server.handle(), |engine| {
        let mut data = engine.data();
        data.atomic(|data| insert(data, 1))
    });
    assert_eq!(code(written), 7);
    assert!(ids(&rig).is_empty());
}

/// While the journal cannot be written, work is refused as on a replica.
#[test]
fn what_cannot_be_written_is_refused_and_changes_nothing() {
    let data = TestData::new();
    let server = TestServer::of(data.engine(), procedures::standard());
    create(server.handle());
    data.fail_writes(true);
    let store = |engine: &mut EmbeddedEngine| insert(&mut engine.data(), 1);
    let failed = write(server.handle(), store);
    assert_eq!(code(failed), ErrorCode::WAL_IO.0);
    let refused = write(server.handle(), store);
    assert!(refused.is_err_and(|error| error.is_without_effect()));
    let users = server
        .handle()
        .read(|engine| engine.reader().space::<User>("users").get(&1));
    assert_eq!(block_on(users), Ok(None));
}

/// What the embedder reads is what a client with all rights would, system spaces included.
#[test]
fn a_reader_sees_system_spaces_and_the_turn() {
    let rig = Rig::new("reader", GuestRights::Granted);
    rig.create();
    let names = block_on(rig.runtime().read(|engine| {
        let spaces = engine.reader().space::<IgnoredAny>("_vspace").index("name");
        spaces.select(IteratorType::Eq, "users", 10)
    }));
    assert_eq!(names.map(|rows| rows.len()), Ok(1));
    let seen = write(rig.runtime(), |engine| {
        insert(&mut engine.data(), 1)?;
        let users = engine.reader().space::<User>("users");
        let whole = users.get(&(1, 2)).map_err(|error| error.code().0);
        Ok((users.get(&1)?, whole.err()))
    });
    assert_eq!(seen, Ok((Some(user(1, "x", None)), Some(19))));
}
