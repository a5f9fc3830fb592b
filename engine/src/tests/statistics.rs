//! What monitoring is told of the engine, against what was done.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime};

use vestibule_actors::engine::{Engine, EngineNumbers};
use vestibule_actors::limits::ENGINE_SPACES_TOLD_MAX;

use super::Rig;
use crate::options::JournalSync;

fn numbers(rig: &Rig) -> EngineNumbers {
    let statistics = rig.engine.statistics();
    statistics.expect("it tells something").numbers()
}

#[test]
fn spaces_are_told_as_procedures_tell_them() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let create_index = "box.space.s:create_index";
    let parts = BTreeMap::from([("parts", [(2, "string")])]);
    rig.call(create_index, &("by_name", parts));
    for key in 0..100 {
        rig.insert(&(key, format!("number {key}")));
    }
    // What is not committed is not told.
    rig.commit();
    rig.insert(&(1000, "not committed"));
    let told = numbers(&rig);
    assert_eq!((told.spaces.len(), told.spaces_left_out), (1, 0));
    let space = &told.spaces[0];
    assert_eq!((&*space.name, space.rows), ("s", 100));
    rig.engine.discard_turn().expect("it can");
    let text = |number: u64| format!("[{number}]");
    assert_eq!(rig.call("box.space.s:bsize", &()), text(space.tuple_bytes));
    for index in &space.indexes {
        let procedure = format!("box.space.s.index.{}:bsize", index.name);
        assert_eq!(rig.call(&procedure, &()), text(index.bytes));
    }
    let indexes = space.indexes.iter().map(|own| own.bytes);
    assert!(space.bytes >= indexes.sum::<u64>());
    let whole = told.data_bytes + told.index_bytes;
    assert_eq!(whole, rig.engine.data_bytes() as u64);
}

#[test]
fn a_thousand_spaces_are_told_and_the_others_counted() {
    let mut rig = Rig::new();
    for number in 0..ENGINE_SPACES_TOLD_MAX + 3 {
        rig.call("box.schema.space.create", &(format!("s{number}"),));
    }
    rig.commit();
    let told = numbers(&rig);
    assert_eq!(told.spaces.len(), ENGINE_SPACES_TOLD_MAX);
    assert_eq!(told.spaces_left_out, 3);
    assert_eq!(told.spaces[0].name, "s0");
}

#[test]
fn the_journal_is_told_as_it_grows_and_is_synced() {
    for sync in [JournalSync::Turn, JournalSync::Never] {
        let mut rig = Rig::with_space(&[(1, "unsigned")]);
        rig.options.journal_sync = sync;
        rig.reopen();
        let before = numbers(&rig).journal.expect("there is one");
        assert_eq!(before.written_bytes, 0);
        for key in 0..5 {
            rig.insert(&(key, "x".repeat(1000)));
            rig.commit();
        }
        let after = numbers(&rig).journal.expect("there is one");
        assert!(after.written_bytes > 5000);
        assert_eq!(after.size_bytes, before.size_bytes + after.written_bytes);
        let syncs = after.syncs.count() - before.syncs.count();
        assert_eq!(syncs, if sync == JournalSync::Turn { 5 } else { 0 });
    }
}

#[test]
fn checkpoints_are_told_and_failed_ones_counted() {
    let mut rig = Rig::with_space(&[(1, "unsigned")]);
    let told = |rig: &Rig| numbers(rig).checkpoints.expect("they are made");
    assert_eq!((told(&rig).last_success, told(&rig).failures), (None, 0));
    let begin = SystemTime::now() - Duration::from_secs(1);
    assert!(rig.try_checkpoint());
    let made = told(&rig);
    assert!(made.last_success.is_some_and(|at| at >= begin));
    assert!(made.last_duration.is_some());
    assert_eq!(made.failure, None);
    rig.insert(&(1,));
    rig.commit();
    assert!(told(&rig).journal_bytes > 0);
    fs::remove_dir_all(&rig.options.data_dir).expect("it is there");
    assert!(!rig.try_checkpoint());
    assert_eq!(told(&rig).failures, 1);
    assert!(told(&rig).failure.is_some());
    assert_eq!(told(&rig).last_success, made.last_success);
}
